/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_LISTEN_ITEM_H
#define RETETHER_BROKER_LISTEN_ITEM_H

#include "session/base/endpoint.h"
#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Where guests' vSockets dial when nothing else is said. */
#define RT_GUEST_PORT 7400

/* One item of listen.guests or listen.clients: "unix:PATH,mode=0660,group=NAME", or an endpoint of another kind; or
 * "vm:DIR:PORT,...", a directory of virtual machines (broker/vms.h). */
struct rt_listen_item {
    struct rt_endpoint endpoint; /* of virtual machines: unix, with the directory as its path */
    bool is_vms;
    uint32_t port; /* with is_vms: that their guests dial */
    unsigned mode; /* unix: permission bits of the socket file */
    bool has_group;
    gid_t gid; /* with has_group: whose it is; else the agent's own */
};

/* Returns 0, or RT_ECONFIG with `why`. */
RT_MUST_CHECK int rt_listen_item_parse(struct rt_listen_item *item, const char *text, char *why, size_t why_size);

#endif
