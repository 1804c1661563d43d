/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_CALLS_H
#define RETETHER_MIGRATE_STORE_CALLS_H

#include "session/base/error.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a connection has asked, and has no answer to, oldest first. Pure. Calls are answered in their order, and a late
 * answer must not be taken for that of the next call. So a call that has timed out stays in its place, without a
 * callback:
 *
 *          0   A sent; heard = 0
 *         10   B sent. first = A, waiting = A (the first that has not timed out)
 *       1000   no answer: A's callback gets RT_ETIMEDOUT; waiting = B
 *       1005   an answer comes: it is A's, and nobody's; heard = 1005. The next one is B's
 *       4005   had B's not come: silent for RT_REDIS_SILENCE_MS with a call under way, so the connection is dropped */

/* A connection on which a call has had no answer at all for this long is dropped. */
#define RT_REDIS_SILENCE_MS 3000
/* Calls not yet answered, late ones included: several for each operation. One more is RT_ELIMIT. */
#define RT_REDIS_CALLS_MAX 65536u

/* What became of a call. error 0: reply is there (perhaps an error reply) and lives until the callback returns.
 * RT_ETIMEDOUT: no answer in time, or the connection was lost meanwhile: it may have happened. RT_ECANCELED: stopped.
 */
typedef void (*rt_redis_cb)(void *ctx, int error, const redisReply *reply);

struct rt_redis_call;

struct rt_redis_calls { /* zeroed: none */
    struct rt_redis_call *first, *last;
    struct rt_redis_call *waiting; /* the first not timed out */
    struct rt_redis_call *unsent;  /* the first that rt_calls_sent() has not seen */
    size_t n;
    uint64_t heard_ms; /* time of the last answer, or of the first call after none was under way */
};

/* Returns 0, RT_ELIMIT or RT_ENOMEM. Times out at limit_ms, which must not fall from call to call. cb may be NULL. */
RT_MUST_CHECK int rt_calls_push(struct rt_redis_calls *calls, uint64_t now, uint64_t limit_ms, rt_redis_cb cb,
                                void *ctx);
/* Those that were pushed are under way from now on. A loop may have been held up since: their time begins here. */
void rt_calls_sent(struct rt_redis_calls *calls, uint64_t now, uint64_t limit_ms);
/* When something is due: the end of a call, or of patience; RT_NEVER without calls. */
uint64_t rt_calls_due(const struct rt_redis_calls *calls);
bool rt_calls_silent(const struct rt_redis_calls *calls, uint64_t now);
/* The oldest call has its answer; there must be one. */
void rt_calls_answer(struct rt_redis_calls *calls, const redisReply *reply);
/* Tells the calls that have timed out, in their order. They stay for the answers that come late. */
void rt_calls_expire(struct rt_redis_calls *calls, uint64_t now);
/* Tells all, and forgets them. */
void rt_calls_fail(struct rt_redis_calls *calls, int error);

#endif
