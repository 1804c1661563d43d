/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include <stdlib.h>

/* What brings the client's next step about, and what its end waits for. */

uint64_t rt_sdk_now(const struct retether_client *client)
{
    if (client->own != NULL) { /* it stands still between two dispatches, however long that is */
        uv_update_time(client->own);
    }
    return uv_now(client->loop);
}

static void timer_cb(uv_timer_t *timer)
{
    struct retether_client *client = timer->data;

    rt_client_tick(client->machine, rt_sdk_now(client));
    client->awake = true;
}

void rt_sdk_wake_at(struct retether_client *client, uint64_t delay_ms)
{
    (void)uv_timer_start(&client->timer, timer_cb, delay_ms, 0);
}

void rt_sdk_wake(struct retether_client *client)
{
    if (!client->awake && client->phase == RT_SDK_OPEN) {
        client->awake = true;
        rt_sdk_wake_at(client, 0); /* the prepare handle may have run in this iteration already */
    }
}

void rt_sdk_attachments_sweep(struct retether_client *client)
{
    struct rt_list *first;

    while ((first = rt_list_pop(&client->closed_attachments)) != NULL) {
        free(RT_LIST_OF(first, struct retether_attachment, listed));
    }
}

void rt_sdk_release(struct retether_client *client)
{
    void (*closed)(void *ctx) = client->closed;
    void *ctx = client->closed_ctx;

    if (client->phase != RT_SDK_CLOSING || client->open_handles > 0 || client->links.n > 0) {
        return;
    }
    rt_sdk_attachments_sweep(client);
    rt_conn_set_close(&client->links);
    rt_tls_close(&client->tls);
    rt_client_free(client->machine);
    client->phase = RT_SDK_CLOSED;
    if (client->own == NULL) { /* else the dispatch that is running frees it */
        free(client);
    }
    if (closed != NULL) {
        closed(ctx);
    }
}
