/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/calls.h"

#include "session/base/timer.h"

#include <stdlib.h>

struct rt_redis_call {
    struct rt_redis_call *next;
    rt_redis_cb cb; /* NULL: timed out, or nobody cares */
    void *ctx;
    uint64_t limit_ms;
};

static void tell(struct rt_redis_call *call, int error, const redisReply *reply)
{
    rt_redis_cb cb = call->cb;

    call->cb = NULL;
    if (cb != NULL) {
        cb(call->ctx, error, reply);
    }
}

int rt_calls_push(struct rt_redis_calls *calls, uint64_t now, uint64_t limit_ms, rt_redis_cb cb, void *ctx)
{
    struct rt_redis_call *call;

    if (calls->n >= RT_REDIS_CALLS_MAX) {
        return RT_ELIMIT;
    }
    call = malloc(sizeof(*call));
    if (call == NULL) {
        return RT_ENOMEM;
    }
    *call = (struct rt_redis_call){.cb = cb, .ctx = ctx, .limit_ms = limit_ms};
    if (calls->first == NULL) {
        calls->first = call;
        calls->heard_ms = now;
    } else {
        calls->last->next = call;
    }
    calls->last = call;
    calls->waiting = calls->waiting == NULL ? call : calls->waiting;
    calls->unsent = calls->unsent == NULL ? call : calls->unsent;
    calls->n++;
    return 0;
}

void rt_calls_sent(struct rt_redis_calls *calls, uint64_t now, uint64_t limit_ms)
{
    if (calls->unsent != NULL && calls->unsent == calls->first) {
        calls->heard_ms = now;
    }
    for (; calls->unsent != NULL; calls->unsent = calls->unsent->next) {
        calls->unsent->limit_ms = limit_ms;
    }
}

uint64_t rt_calls_due(const struct rt_redis_calls *calls)
{
    uint64_t silent = calls->heard_ms + RT_REDIS_SILENCE_MS;

    if (calls->first == NULL) {
        return RT_NEVER;
    }
    return calls->waiting != NULL && calls->waiting->limit_ms < silent ? calls->waiting->limit_ms : silent;
}

bool rt_calls_silent(const struct rt_redis_calls *calls, uint64_t now)
{
    return calls->first != NULL && now >= calls->heard_ms + RT_REDIS_SILENCE_MS;
}

void rt_calls_answer(struct rt_redis_calls *calls, const redisReply *reply)
{
    struct rt_redis_call *call = calls->first;

    calls->first = call->next;
    if (calls->waiting == call) {
        calls->waiting = call->next;
    }
    if (calls->unsent == call) {
        calls->unsent = call->next;
    }
    calls->n--;
    tell(call, 0, reply);
    free(call);
}

void rt_calls_expire(struct rt_redis_calls *calls, uint64_t now)
{
    while (calls->waiting != NULL && calls->waiting->limit_ms <= now) {
        struct rt_redis_call *call = calls->waiting;

        calls->waiting = call->next;
        tell(call, RT_ETIMEDOUT, NULL);
    }
}

void rt_calls_fail(struct rt_redis_calls *calls, int error)
{
    struct rt_redis_call *call = calls->first;

    *calls = (struct rt_redis_calls){0};
    while (call != NULL) {
        struct rt_redis_call *next = call->next;

        tell(call, error, NULL);
        free(call);
        call = next;
    }
}
