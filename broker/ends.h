/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_ENDS_H
#define RETETHER_BROKER_ENDS_H

#include "migrate/core/store_op.h"
#include "session/core/order.h"
#include "session/core/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* Ends of sessions (status and tails) on this host's disk until the store has them: one file each, DIR/TENANT+CID+LIFE,
 * written whole or not at all and fsynced, for then the guest powers off. What is revoked lies in a directory of its
 * own in the same way, as ends that have a key, a life and a host, and nothing else. */

/* Bytes of one file: two tails, their order and a head. */
#define RT_END_FILE_MAX (2 * RT_TAIL_MAX + RT_ORDER_PACKED_MAX + 1024)
#define RT_ENDS_PATH_MAX 512

struct rt_ends {
    char dir[RT_ENDS_PATH_MAX];
    size_t n, max;                    /* files there are, and may be; one more is RT_ELIMIT */
    char why[RT_ENDS_PATH_MAX + 128]; /* the last failure, for people */
};

typedef void (*rt_ends_cb)(void *ctx, const struct rt_store_op *end);
/* A file that is not a whole end is left where it is, and not read again. */
typedef void (*rt_ends_bad_cb)(void *ctx, const char *path, const char *why);

/* Opens the directory, made when it is missing, and gives every end in it to `each` (its slices live until that
 * returns). Leftovers of writes that did not finish are removed. Returns 0, RT_EINVAL, RT_EIO or RT_ENOMEM. */
RT_MUST_CHECK int rt_ends_open(struct rt_ends *ends, const char *dir, size_t max, rt_ends_cb each, rt_ends_bad_cb bad,
                               void *ctx);

/* Returns 0 once it is on the disk; RT_ELIMIT, RT_EINVAL (a name that cannot be a file's), RT_EIO, RT_ENOMEM. An end of
 * the same session and life is replaced. */
RT_MUST_CHECK int rt_ends_keep(struct rt_ends *ends, const struct rt_store_op *end);
void rt_ends_drop(struct rt_ends *ends, const struct rt_key *key, uint64_t life);

#endif
