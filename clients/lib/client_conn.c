/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include <stdio.h>
#include <stdlib.h>

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

static void connected_cb(struct rt_conn *base)
{
    struct retether_client *client = base->set->owner;

    rt_client_connected(client->machine, of(base)->agent, rt_sdk_now(client));
    tell(client, of(base)->address, NULL);
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

void rt_sdk_conn_dial(struct retether_client *client, const struct rt_client_action *action)
{
    struct rt_sdk_conn *conn = calloc(1, sizeof(*conn));
    struct rt_endpoint endpoint;
    char why[RT_DIALER_TEXT_MAX] = "out of memory";

    if (conn == NULL || rt_endpoint_parse(&endpoint, action->addr, why, sizeof(why)) != RT_OK) {
        free(conn);
        rt_client_lost(client->machine, action->agent, rt_sdk_now(client));
        tell(client, action->addr, why);
        return;
    }
    conn->agent = action->agent;
    snprintf(conn->address, sizeof(conn->address), "%s", action->addr);
    rt_conn_dial(&conn->base, &client->links, &client->conns[conn->agent], &endpoint);
}

void rt_sdk_conn_hangup(struct retether_client *client, const struct rt_client_action *action)
{
    struct rt_conn *base = client->conns[action->agent];

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
