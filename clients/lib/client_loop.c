/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include <assert.h>
#include <stdlib.h>

/* A client with a loop of its own, for callers whose loop is not libuv's: they wait for libuv's epoll descriptor and
 * its next timer, and run one iteration of it when either is due.
 *
 * An iteration: the client's step (prepare), what descriptors have (poll), closed handles; and timers, before these
 * with libuv 1.44, behind them since 1.45. So the timer of a step that is due may fire when prepare has run, and then
 * it is the client that knows of the step, not libuv: the next timeout is 0 as long as there is one.
 *
 * What a callback of poll begins to watch gets into epoll only by the next iteration's poll. That one is certain: a
 * callback that begins to watch something new ends in rt_sdk_wake(), or closes a handle, and either makes the next
 * timeout 0. A link that goes on writing, or reads again, is in epoll already. */

int rt_sdk_loop_open(struct retether_client *client, uv_loop_t *loop)
{
    int rc;

    client->loop = loop;
    if (loop != NULL) {
        return RT_OK;
    }
    client->own = malloc(sizeof(*client->own));
    if (client->own == NULL) {
        return RT_ENOMEM;
    }
    rc = uv_loop_init(client->own);
    if (rc != 0) {
        free(client->own);
        client->own = NULL;
        return rc == UV_ENOMEM ? RT_ENOMEM : RT_EIO;
    }
    client->loop = client->own;
    return RT_OK;
}

void rt_sdk_loop_close(struct retether_client *client)
{
    if (client->own != NULL) {
        int rc = uv_loop_close(client->own);

        assert(rc == 0); /* every handle has been closed */
        (void)rc;
        free(client->own);
        client->own = NULL;
    }
}

int retether_client_fd(const struct retether_client *client)
{
    return client->own != NULL ? uv_backend_fd(client->own) : RT_ESTATE;
}

int retether_client_timeout(const struct retether_client *client)
{
    if (client->own == NULL) {
        return RT_ESTATE;
    }
    if (client->awake && client->phase == RT_SDK_OPEN) {
        return 0;
    }
    uv_update_time(client->own);
    return uv_backend_timeout(client->own);
}

int retether_client_dispatch(struct retether_client *client)
{
    if (client->own == NULL || client->dispatching) {
        return RT_ESTATE;
    }
    client->dispatching = true;
    (void)uv_run(client->own, UV_RUN_NOWAIT);
    client->dispatching = false;
    if (client->phase != RT_SDK_CLOSED) {
        return 1;
    }
    rt_sdk_loop_close(client);
    free(client);
    return 0;
}
