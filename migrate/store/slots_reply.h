/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_SLOTS_REPLY_H
#define RETETHER_MIGRATE_STORE_SLOTS_REPLY_H

#include "migrate/core/slots.h"

#include <hiredis/hiredis.h>

/* The answer to CLUSTER SLOTS, as a map. Pure. asked: who gave it; a node without a host means that one. Returns 0;
 * RT_EPROTO: it makes no sense; RT_ELIMIT: too many nodes. Then the map is of no use. A map without an owner for each
 * slot is one. */
RT_MUST_CHECK int rt_slots_reply(const redisReply *reply, const struct rt_slot_place *asked, struct rt_slot_map *map);

#endif
