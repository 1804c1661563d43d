/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_STORE_LOOK_H
#define RETETHER_MIGRATE_CORE_STORE_LOOK_H

#include <stdint.h>

/* What a look at the store has found, as plain data: so many checks, each of one thing. */

#define RT_CHECK_VALUE_MAX 127 /* bytes; longer ones are cut */

enum rt_check {
    RT_CHECK_SERVER,
    RT_CHECK_SENTINELS,
    RT_CHECK_VERSION,
    RT_CHECK_FUNCTIONS,
    RT_CHECK_RIGHTS,
    RT_CHECK_MEMORY,
    RT_CHECK_EVICTION,
    RT_CHECK_PERSISTENCE,
    RT_CHECK_REPLICAS,
    RT_CHECK_MIN_REPLICAS,
    RT_CHECK_RECORDS,
    RT_CHECKS
};

/* UNKNOWN: it could not be looked at. */
enum rt_check_state { RT_CHECK_UNKNOWN, RT_CHECK_OK, RT_CHECK_WEAK };

struct rt_store_check {
    const char *name; /* these three are there for good */
    const char *risk; /* what a weakness may lead to; "" without one */
    const char *mend; /* what to change; "" where there is nothing */
    enum rt_check_state state;
    char value[RT_CHECK_VALUE_MAX + 1];
};

struct rt_store_look {
    struct rt_store_check checks[RT_CHECKS];
    uint64_t replicas; /* connected */
};

#endif
