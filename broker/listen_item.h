/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_LISTEN_ITEM_H
#define RETETHER_BROKER_LISTEN_ITEM_H

#include "session/base/endpoint.h"
#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One item of listen.guests or listen.clients: "unix:PATH,mode=0660,group=NAME", or an endpoint of another kind. */
struct rt_listen_item {
    struct rt_endpoint endpoint;
    unsigned mode; /* unix: permission bits of the socket file */
    bool has_group;
    gid_t gid; /* with has_group: whose it is; else the agent's own */
};

/* Returns 0, or RT_ECONFIG with `why`. */
RT_MUST_CHECK int rt_listen_item_parse(struct rt_listen_item *item, const char *text, char *why, size_t why_size);

#endif
