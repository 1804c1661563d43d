/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct rt_sdk_conn *of(struct rt_conn *base)
{
    return (struct rt_sdk_conn *)base; /* its first member */
}

static void tell(struct retether_client *client, const char *address, const char *reason)
{
    if (client->callbacks.link != NULL && client->phase == RT_SDK_OPEN) {
        client->callbacks.link(client, address, reason, client->callbacks.ctx);
    }
}

static const struct rt_dialer_names names = {.get = uv_getaddrinfo, .release = uv_freeaddrinfo};

/* Whether the agent of that host is the one of this name: the same, or its first label, without case. */
static bool is_named(const char *host, const char *name)
{
    return strcasecmp(host, name) == 0 ||
           (strncasecmp(host, name, strlen(host)) == 0 && strcspn(name, ".") == strlen(host));
}

/* Whether an agent of our domain answers, and which. Where another has sent us, the wire has looked at that too. */
static bool is_agent(const struct retether_client *client, const struct rt_sdk_conn *conn, const char *peer,
                     struct rt_identity *identity, char *why, size_t why_size)
{
    struct rt_slice uri = rt_slice_text(peer);
    char label[RT_IDENTITY_LABEL_MAX];

    if (rt_identity_parse(identity, &uri, 1, client->tls.domain, why, why_size) != 0) {
        return false;
    }
    if (identity->role != RT_IDENTITY_AGENT) {
        rt_identity_label(identity, label);
        snprintf(why, why_size, "%s answers there, which is no agent", label);
        return false;
    }
    if (conn->expect[0] == '\0' && conn->name[0] != '\0' && !is_named(identity->name, conn->name)) {
        rt_identity_label(identity, label);
        snprintf(why, why_size, "handshake: %s answers at %s", label, conn->name);
        return false;
    }
    return true;
}

static bool connected_cb(struct rt_conn *base, const char *peer, char *why, size_t why_size)
{
    struct retether_client *client = base->set->owner;
    struct rt_identity agent;

    if (peer != NULL && !is_agent(client, of(base), peer, &agent, why, why_size)) {
        return false;
    }
    rt_client_connected(client->machine, of(base)->agent, peer != NULL ? agent.name : NULL, rt_sdk_now(client));
    tell(client, of(base)->address, NULL);
    return true;
}

static size_t input_cb(struct rt_conn *base, const uint8_t *data, size_t size)
{
    struct retether_client *client = base->set->owner;

    return rt_client_input(client->machine, of(base)->agent, data, size, rt_sdk_now(client));
}

static size_t output_cb(struct rt_conn *base, uint8_t *out, size_t cap)
{
    struct retether_client *client = base->set->owner;

    return rt_client_output(client->machine, of(base)->agent, out, cap, rt_sdk_now(client));
}

static void wake_cb(void *owner)
{
    rt_sdk_wake(owner);
}

static void lost_cb(struct rt_conn *base, const char *reason)
{
    struct retether_client *client = base->set->owner;

    rt_client_lost(client->machine, of(base)->agent, rt_sdk_now(client));
    tell(client, of(base)->address, reason);
}

static void freed_cb(void *owner)
{
    rt_sdk_release(owner);
}

const struct rt_conn_ops rt_sdk_conn_ops = {
    .connected = connected_cb,
    .input = input_cb,
    .output = output_cb,
    .lost = lost_cb,
    .wake = wake_cb,
    .freed = freed_cb,
};

/* What a connection is opened with. */
static int set_wire(struct retether_client *client, struct rt_sdk_conn *conn, const struct rt_client_action *action,
                    const struct rt_endpoint *endpoint, struct rt_wire_setup *wire, char *why, size_t why_size)
{
    struct rt_identity agent = {.role = RT_IDENTITY_AGENT};

    *wire = (struct rt_wire_setup){.ops = NULL};
    if (endpoint->kind != RT_ENDPOINT_TLS) {
        return RT_OK;
    }
    if (client->tls.ctx == NULL) {
        return rt_fail(RT_EAUTH, why, why_size, "TLS takes certificates, and none were given");
    }
    wire->ops = &rt_wire_tls;
    wire->context = &client->tls;
    /* Who is dialled by name has to show that it is the one, so nothing is resumed there. */
    if (action->host[0] != '\0' && (!action->given || endpoint->name[0] == '\0')) {
        snprintf(agent.name, sizeof(agent.name), "%s", action->host);
        rt_identity_print(&agent, client->tls.domain, conn->expect);
        wire->expect = conn->expect;
        wire->guess = action->given;
    }
    return RT_OK;
}

void rt_sdk_conn_dial(struct retether_client *client, const struct rt_client_action *action)
{
    struct rt_sdk_conn *conn = calloc(1, sizeof(*conn));
    struct rt_endpoint endpoint;
    struct rt_wire_setup wire;
    char why[RT_DIALER_TEXT_MAX] = "out of memory";

    if (conn == NULL || rt_endpoint_parse(&endpoint, action->addr, why, sizeof(why)) != RT_OK ||
        set_wire(client, conn, action, &endpoint, &wire, why, sizeof(why)) != RT_OK) {
        free(conn);
        rt_client_lost(client->machine, action->agent, rt_sdk_now(client));
        tell(client, action->addr, why);
        return;
    }
    conn->agent = action->agent;
    conn->base.to.dialer.names = &names;
    memcpy(conn->name, endpoint.name, sizeof(conn->name));
    snprintf(conn->address, sizeof(conn->address), "%s", action->addr);
    rt_conn_dial(&conn->base, &client->links, &client->conns[conn->agent], &endpoint, &wire);
}

void rt_sdk_conn_hangup(struct retether_client *client, const struct rt_client_action *action)
{
    struct rt_conn *base = client->conns[action->agent];
    struct rt_identity disproved = {.role = RT_IDENTITY_AGENT};

    if (action->host[0] != '\0') {
        snprintf(disproved.name, sizeof(disproved.name), "%s", action->host);
        rt_tls_forget(&client->tls, &disproved);
    }
    if (base != NULL) {
        rt_conn_hangup(base, RT_LINK_NOW, action->reason);
        tell(client, of(base)->address, action->reason);
    }
}

void rt_sdk_conn_finish(struct retether_client *client)
{
    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        if (client->conns[i] != NULL) {
            rt_conn_hangup(client->conns[i], RT_LINK_AFTER, "closed by the application");
        }
    }
}

bool rt_sdk_conn_pump(struct retether_client *client)
{
    bool more = false;

    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        if (client->conns[i] != NULL && rt_conn_pump(client->conns[i])) {
            more = true;
        }
    }
    return more;
}
