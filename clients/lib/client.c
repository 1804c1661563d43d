/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "retether/client.h"

#include "clients/lib/client_internal.h"
#include "clients/lib/sized.h"
#include "session/base/random.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the step ---- */

static bool carry_out(struct retether_client *client)
{
    struct rt_client_action action;
    bool moved = false;

    while (rt_client_next(client->machine, &action, rt_sdk_now(client))) {
        moved = true;
        if (action.kind == RT_CLIENT_DIAL) {
            rt_sdk_conn_dial(client, &action);
        } else {
            rt_sdk_conn_hangup(client, &action);
        }
    }
    return moved;
}

/* Until nothing moves. Returns whether that was reached. Applications are called in here. Attachments come in the order
 * in which they got something to tell; one that has something left goes behind the others. */
static bool settle(struct retether_client *client)
{
    unsigned turns = 0;

    for (unsigned i = 0; i < RT_SDK_ROUNDS_MAX; i++) {
        bool moved = carry_out(client);
        struct rt_catt *ready;

        moved = rt_sdk_requests_step(client) || moved;
        while (client->phase == RT_SDK_OPEN && (ready = rt_client_ready(client->machine)) != NULL) {
            rt_sdk_attachment_step(rt_catt_data(ready));
            moved = true;
            if (++turns == RT_SDK_TURNS_MAX) {
                return false;
            }
        }
        if (client->phase != RT_SDK_OPEN || !moved) {
            return true;
        }
    }
    return false;
}

static void step(struct retether_client *client)
{
    uint64_t now = rt_sdk_now(client);
    uint64_t deadline;
    bool more = !settle(client);

    if (client->phase != RT_SDK_OPEN) {
        return;
    }
    rt_sdk_attachments_sweep(client);
    more = rt_sdk_conn_pump(client) || more;
    client->awake = false;
    deadline = more ? now : rt_client_deadline(client->machine);
    if (deadline == RT_NEVER) {
        (void)uv_timer_stop(&client->timer);
    } else {
        rt_sdk_wake_at(client, deadline > now ? deadline - now : 0);
    }
}

static void prepare_cb(uv_prepare_t *prepare)
{
    struct retether_client *client = prepare->data;

    if (client->awake && client->phase == RT_SDK_OPEN) {
        step(client);
    }
}

/* ---- making and closing ---- */

/* Takes what can fail. */
static int take_up(struct retether_client *client, uv_loop_t *loop, const char *name,
                   const struct retether_client_callbacks *callbacks)
{
    struct rt_client_config config = {.random = rt_random_fill, .on_reply = rt_sdk_request_reply, .ctx = client};
    int rc = RT_OK;

    if (callbacks != NULL) {
        rc = rt_sized_take(&client->callbacks, sizeof(client->callbacks), callbacks, sizeof(client->callbacks));
    }
    if (rc != RT_OK || (rc = rt_sdk_loop_open(client, loop)) != RT_OK) {
        return rc;
    }
    snprintf(config.name, sizeof(config.name), "%s", name);
    rt_random_fill(NULL, &config.seed, sizeof(config.seed));
    client->machine = rt_client_new(&config);
    if (client->machine == NULL) {
        rt_sdk_loop_close(client);
        return RT_ENOMEM;
    }
    return RT_OK;
}

int retether_client_new(uv_loop_t *loop, const char *name, const struct retether_client_callbacks *callbacks,
                        struct retether_client **out)
{
    struct retether_client *client = calloc(1, sizeof(*client));
    int rc;

    *out = NULL;
    if (client == NULL) {
        return RT_ENOMEM;
    }
    rc = take_up(client, loop, name, callbacks);
    if (rc != RT_OK) {
        free(client);
        return rc;
    }
    rt_conn_set_init(&client->links, client, client->loop, &rt_sdk_conn_ops);
    (void)uv_prepare_init(client->loop, &client->prepare);
    (void)uv_timer_init(client->loop, &client->timer);
    client->prepare.data = client;
    client->timer.data = client;
    client->open_handles = 2;
    rt_list_init(&client->attachments);
    rt_list_init(&client->closed_attachments);
    rt_list_init(&client->requests);
    rt_list_init(&client->replies);
    (void)uv_prepare_start(&client->prepare, prepare_cb);
    *out = client;
    return RT_OK;
}

int retether_client_add_agent(struct retether_client *client, const char *endpoint, char *why, size_t why_size)
{
    struct rt_endpoint parsed;
    int rc;

    if (strncmp(endpoint, "unix:", 5) != 0 && strncmp(endpoint, "tls:", 4) != 0) {
        return rt_fail(RT_EINVAL, why, why_size, "%s: clients reach agents at tls:ADDRESS:PORT or unix:PATH", endpoint);
    }
    rc = rt_endpoint_parse(&parsed, endpoint, why, why_size);
    if (rc == RT_OK && (rc = rt_client_add_agent(client->machine, endpoint)) != RT_OK) {
        snprintf(why, why_size, "%s: %s", endpoint, rc == RT_ELIMIT ? "no more agents can be given" : rt_strerror(rc));
    }
    if (rc == RT_OK) {
        rt_sdk_wake(client);
    }
    return rc;
}

int retether_client_tls(struct retether_client *client, const struct retether_tls_options *given, char *why,
                        size_t why_size)
{
    struct retether_tls_options options = {.size = sizeof(options)};
    struct rt_tls_directory directory;
    struct rt_tls_settings settings = {.domain = NULL};
    int rc = rt_sized_take(&options, sizeof(options), given, sizeof(options));

    if (rc != RT_OK || options.directory == NULL) {
        return rt_fail(RT_EINVAL, why, why_size, "no directory of certificates");
    }
    rc = rt_tls_directory(&directory, options.directory, &settings, why, why_size);
    if (rc == RT_OK) {
        rc = rt_tls_load(&client->tls, &settings, why, why_size);
    }
    return rc == RT_OK || rc == RT_ENOMEM ? rc : RT_EINVAL;
}

static void handle_closed_cb(uv_handle_t *handle)
{
    struct retether_client *client = handle->data;

    client->open_handles--;
    rt_sdk_release(client);
}

void retether_client_close(struct retether_client *client, void (*closed)(void *ctx), void *ctx)
{
    client->closed = closed;
    client->closed_ctx = ctx;
    rt_sdk_attachments_close(client);
    rt_sdk_requests_close(client);
    (void)rt_sdk_conn_pump(client); /* the farewells */
    client->phase = RT_SDK_CLOSING;
    rt_sdk_conn_finish(client);
    uv_close((uv_handle_t *)&client->prepare, handle_closed_cb);
    uv_close((uv_handle_t *)&client->timer, handle_closed_cb);
}

/* ---- names ---- */

const char *retether_state_name(unsigned state)
{
    return rt_session_state_name(state);
}
