/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_REFUSAL_H
#define RETETHER_MIGRATE_STORE_REFUSAL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

/* What an error reply of a server means, and what to do about it. Pure. */

struct rt_refusal {
    const char *code; /* what the reply begins with */
    /* A primary says so, and just as well one that others have replaced and that does not know it yet: it is to be
     * asked for its role, and the Sentinels for the primary. */
    bool doubtful;
    const char *what; /* for the log: what it refuses, why, what to change; NULL: it passes by itself */
};

/* NULL: none that is known. The reply is an error. */
const struct rt_refusal *rt_refusal_of(const redisReply *error);

#endif
