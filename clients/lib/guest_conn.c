/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include <stdio.h>
#include <stdlib.h>

static bool connected_cb(struct rt_conn *conn, const char *peer, char *why, size_t why_size)
{
    struct retether_guest *guest = conn->set->owner;

    (void)peer;
    (void)why;
    (void)why_size;
    rt_tether_connected(guest->tether, rt_guest_now(guest));
    return true;
}

static size_t input_cb(struct rt_conn *conn, const uint8_t *data, size_t size)
{
    struct retether_guest *guest = conn->set->owner;

    return rt_tether_input(guest->tether, data, size, rt_guest_now(guest));
}

static size_t output_cb(struct rt_conn *conn, uint8_t *out, size_t cap)
{
    struct retether_guest *guest = conn->set->owner;

    return rt_tether_output(guest->tether, out, cap, rt_guest_now(guest));
}

static void wake_cb(void *owner)
{
    rt_guest_wake(owner);
}

static void lost_cb(struct rt_conn *conn, const char *reason)
{
    struct retether_guest *guest = conn->set->owner;

    snprintf(guest->reason, sizeof(guest->reason), "%s", reason);
    rt_tether_lost(guest->tether, rt_guest_now(guest));
}

static void freed_cb(void *owner)
{
    rt_guest_release(owner);
}

const struct rt_conn_ops rt_guest_conn_ops = {
    .connected = connected_cb,
    .input = input_cb,
    .output = output_cb,
    .lost = lost_cb,
    .wake = wake_cb,
    .freed = freed_cb,
};

void rt_guest_conn_dial(struct retether_guest *guest)
{
    struct rt_conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        snprintf(guest->reason, sizeof(guest->reason), "%s", rt_strerror(RT_ENOMEM));
        rt_tether_lost(guest->tether, rt_guest_now(guest));
        return;
    }
    rt_conn_dial(conn, &guest->links, &guest->conn, &guest->endpoint, NULL);
}

void rt_guest_conn_hangup(struct retether_guest *guest, const char *reason)
{
    snprintf(guest->reason, sizeof(guest->reason), "%s", reason != NULL ? reason : "");
    if (guest->conn != NULL) {
        rt_conn_hangup(guest->conn, RT_LINK_NOW, reason);
    }
}

void rt_guest_conn_finish(struct retether_guest *guest)
{
    if (guest->conn != NULL) {
        rt_conn_hangup(guest->conn, RT_LINK_AFTER, "the container is over");
    }
}
