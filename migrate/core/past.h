/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_PAST_H
#define RETETHER_MIGRATE_CORE_PAST_H

#include "session/base/slice.h"

/* A record's past (RT_PAST_MAX): "made moves ring bytes-of-label\n", the label, then a line "life epoch ms host\n" for
 * each entry of the history, oldest first. Written by the store's functions (functions.lua), given back to them as it
 * is, and read where an agent tells of a session without the store. */

struct rt_store_record;

/* Fills the record's history from the lines of one. Returns 0 or RT_EPROTO. */
int rt_past_history(struct rt_slice hist, struct rt_store_record *record);
/* Fills what the past tells; nothing of one that is not as above. Returns 0 or RT_EPROTO. */
int rt_past_read(struct rt_slice past, struct rt_store_record *record);

#endif
