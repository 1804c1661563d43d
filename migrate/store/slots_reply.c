/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/slots_reply.h"

#include "migrate/store/codec.h"

#include <string.h>

/* [first slot, last slot, primary, replica...] for each range; a node is [host or nil, port, id, ...]. */

static int read_place(const redisReply *node, const struct rt_slot_place *asked, struct rt_slot_place *place)
{
    const redisReply *host = rt_store_element(node, 0, REDIS_REPLY_STRING);
    uint64_t port;

    if (rt_store_integer(node, 1, &port) != 0 || port > UINT16_MAX ||
        (host == NULL && rt_store_element(node, 0, REDIS_REPLY_NIL) == NULL) ||
        (host != NULL && (host->len > RT_SLOT_HOST_MAX || strlen(host->str) != host->len))) {
        return RT_EPROTO;
    }
    *place = *asked;
    place->port = (uint16_t)port;
    if (host != NULL && host->len > 0) {
        memset(place->host, 0, sizeof(place->host));
        memcpy(place->host, host->str, host->len);
    }
    return 0;
}

static int read_range(const redisReply *range, const struct rt_slot_place *asked, struct rt_slot_map *map)
{
    struct rt_slot_place place;
    uint64_t first, last;
    int primary, rc;

    if (rt_store_integer(range, 0, &first) != 0 || rt_store_integer(range, 1, &last) != 0 || range->elements < 3) {
        return RT_EPROTO;
    }
    rc = read_place(range->element[2], asked, &place);
    primary = rc == 0 ? rt_slot_map_primary(map, &place) : rc;
    if (primary < 0) {
        return primary;
    }
    rc = rt_slot_map_range(map, first, last, (unsigned)primary);
    for (size_t i = 3; i < range->elements && rc == 0; i++) {
        rc = read_place(range->element[i], asked, &place);
        if (rc == 0) {
            rc = rt_slot_map_replica(map, &place, (unsigned)primary);
        }
    }
    return rc;
}

int rt_slots_reply(const redisReply *reply, const struct rt_slot_place *asked, struct rt_slot_map *map)
{
    int rc = reply->type == REDIS_REPLY_ARRAY ? 0 : RT_EPROTO;

    rt_slot_map_clear(map);
    for (size_t i = 0; rc == 0 && i < reply->elements; i++) {
        rc = read_range(reply->element[i], asked, map);
    }
    return rc;
}
