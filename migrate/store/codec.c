/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/codec.h"

#include "session/base/text.h"
#include "session/core/frame.h"
#include "session/core/order.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool rt_store_word(const char *text, size_t max)
{
    size_t size = strlen(text);

    if (size == 0 || size > max) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

void rt_store_key(const struct rt_key *key, char part, char out[RT_STORE_KEY_MAX])
{
    snprintf(out, RT_STORE_KEY_MAX, "rt:{%s/%s}:%c", key->tenant, key->cid, part);
}

void rt_store_host_key(const char *host, const char *part, char out[RT_STORE_HOST_KEY_MAX])
{
    snprintf(out, RT_STORE_HOST_KEY_MAX, "rt:{host/%s}:%s", host, part);
}

void rt_store_member(const struct rt_key *key, char out[RT_STORE_MEMBER_MAX])
{
    snprintf(out, RT_STORE_MEMBER_MAX, "%s/%s", key->tenant, key->cid);
}

void rt_store_format_id(const struct rt_id *id, char out[RT_STORE_ID_HEX + 1])
{
    rt_hex(id->b, sizeof(id->b), out);
}

/* The arguments' room is sized for the largest command; see the static assertion in add_claim(). */
static char *take(struct rt_store_args *args, size_t size)
{
    char *room = args->scratch + args->used;

    assert(args->used + size <= sizeof(args->scratch));
    args->used += size;
    return room;
}

static void add_number(struct rt_store_args *args, uint64_t value)
{
    char *room = take(args, 24);

    snprintf(room, 24, "%" PRIu64, value);
    rt_redis_text(&args->redis, room);
}

static void add_flag(struct rt_store_args *args, bool value)
{
    rt_redis_text(&args->redis, value ? "1" : "0");
}

static void add_slice(struct rt_store_args *args, struct rt_slice slice)
{
    rt_redis_arg(&args->redis, slice.data, slice.size);
}

/* Ids in hex, end to end. */
static void add_ids(struct rt_store_args *args, const struct rt_id *ids, size_t n)
{
    char *room = take(args, RT_STORE_ID_HEX * n + 1);

    for (size_t i = 0; i < n; i++) {
        rt_store_format_id(&ids[i], room + RT_STORE_ID_HEX * i);
    }
    rt_redis_arg(&args->redis, room, RT_STORE_ID_HEX * n);
}

/* FCALL name 2 record tails */
static void add_function(struct rt_store_args *args, const char *name, const struct rt_key *key)
{
    char *record = take(args, RT_STORE_KEY_MAX);
    char *tails = take(args, RT_STORE_KEY_MAX);

    rt_store_key(key, 'r', record);
    rt_store_key(key, 't', tails);
    rt_redis_function(&args->redis, name, "2");
    rt_redis_texts(&args->redis, record, tails, NULL);
}

/* FCALL name 1 record: while a slot moves, a function whose keys are not all there is refused. */
static void add_alone(struct rt_store_args *args, const char *name, const struct rt_key *key)
{
    char *record = take(args, RT_STORE_KEY_MAX);

    rt_store_key(key, 'r', record);
    rt_redis_function(&args->redis, name, "1");
    rt_redis_text(&args->redis, record);
}

/* FCALL name 3 record tails revoked */
static void add_judging(struct rt_store_args *args, const char *name, const struct rt_key *key)
{
    char *revoked = take(args, RT_STORE_KEY_MAX);

    rt_store_key(key, 'v', revoked);
    add_function(args, name, key);
    rt_redis_text(&args->redis, revoked);
    args->redis.argv[2] = "3";
}

_Static_assert(sizeof((struct rt_store_args *)0)->scratch >
                   3 * RT_STORE_KEY_MAX + 9 * 24 + (RT_ANCESTORS_MAX + 5) * (RT_STORE_ID_HEX + 1),
               "a claim fits");

static int add_claim(struct rt_store_args *args, const struct rt_store_op *op)
{
    const struct rt_claim *claim = &op->claim;

    if (claim->n_ancestors > RT_ANCESTORS_MAX || claim->life >= RT_COUNTER_MAX || claim->epoch >= RT_COUNTER_MAX ||
        claim->granted_life >= RT_COUNTER_MAX || claim->base >= RT_COUNTER_MAX || op->past.size > RT_PAST_MAX ||
        !rt_store_word(claim->host, RT_HOST_MAX)) {
        return RT_EINVAL;
    }
    add_judging(args, "claim", &claim->key);
    rt_redis_text(&args->redis, op->kind == RT_STORE_TAKE ? "take" : "test");
    add_flag(args, claim->join);
    add_ids(args, &claim->inc, 1);
    add_number(args, claim->life);
    add_number(args, claim->epoch);
    add_ids(args, &claim->nonce, 1);
    add_ids(args, &claim->ticket, 1);
    add_ids(args, claim->ancestors, claim->n_ancestors);
    add_ids(args, &claim->next, 1);
    rt_redis_texts(&args->redis, claim->host, claim->proof, claim->dead_host, NULL);
    add_flag(args, claim->store_whole);
    add_number(args, claim->granted_life);
    rt_redis_texts(&args->redis, claim->key.tenant, claim->key.cid, NULL);
    add_slice(args, op->past);
    add_flag(args, claim->taken);
    add_number(args, claim->base);
    return 0;
}

static int add_create(struct rt_store_args *args, const struct rt_store_op *op, const char *host)
{
    if (op->label.size > RT_LABEL_MAX || op->ring >= RT_COUNTER_MAX) {
        return RT_EINVAL;
    }
    add_judging(args, "create", &op->key);
    add_slice(args, op->label);
    add_number(args, op->ring);
    rt_redis_texts(&args->redis, op->key.tenant, op->key.cid, host, NULL);
    return 0;
}

static int add_revoke(struct rt_store_args *args, const struct rt_store_op *op)
{
    if (op->known >= RT_COUNTER_MAX) {
        return RT_EINVAL;
    }
    add_judging(args, "revoke", &op->key);
    add_number(args, op->life);
    add_number(args, op->known);
    add_flag(args, op->whole);
    rt_redis_texts(&args->redis, op->key.tenant, op->key.cid, NULL);
    return 0;
}

static int add_fenced(struct rt_store_args *args, const struct rt_store_op *op, const char *host)
{
    bool report = op->kind == RT_STORE_REPORT;
    bool other = !report && op->host[0] != '\0';

    if (other && (op->state != RT_SESSION_LOST || !rt_store_word(op->host, RT_HOST_MAX))) {
        return RT_EINVAL;
    }
    if ((report ? op->report.size > RT_REPORT_MAX
                : op->state != RT_SESSION_RUNNING && op->state != RT_SESSION_MOVING && op->state != RT_SESSION_LOST) !=
        0) {
        return RT_EINVAL;
    }
    add_alone(args, report ? "report" : "state", &op->key);
    add_number(args, op->life);
    add_number(args, op->epoch);
    rt_redis_text(&args->redis, other ? op->host : host);
    if (report) {
        add_slice(args, op->report);
    } else {
        add_number(args, op->state);
        add_flag(args, other);
    }
    return 0;
}

static int add_end(struct rt_store_args *args, const struct rt_store_op *op, const char *host)
{
    const struct rt_end_msg *end = &op->end;

    if (op->tail[0].size > RT_TAIL_MAX || op->tail[1].size > RT_TAIL_MAX || end->ord.size > RT_ORDER_PACKED_MAX ||
        end->code >= RT_COUNTER_MAX || end->sig >= RT_COUNTER_MAX || end->out >= RT_COUNTER_MAX ||
        end->err >= RT_COUNTER_MAX) {
        return RT_EINVAL;
    }
    add_function(args, op->kind == RT_STORE_END ? "end" : "mark", &op->key);
    add_number(args, op->life);
    add_number(args, end->code);
    add_number(args, end->sig);
    add_number(args, end->out);
    add_number(args, end->err);
    add_slice(args, op->tail[0]);
    add_slice(args, op->tail[1]);
    add_slice(args, end->ord);
    if (op->kind == RT_STORE_MARK) {
        rt_redis_text(&args->redis, host);
    } else {
        add_flag(args, op->again);
    }
    return 0;
}

static void add_get(struct rt_store_args *args, const struct rt_key *key)
{
    char *name = take(args, RT_STORE_KEY_MAX);

    rt_store_key(key, 'r', name);
    rt_redis_texts(&args->redis, "HGETALL", name, NULL);
}

static int add_registry(struct rt_store_args *args, const struct rt_store_op *op)
{
    const char *host = op->host;

    if (op->kind == RT_STORE_HOST_ROW) {
        char *drains = take(args, RT_HOST_MAX + sizeof(RT_STORE_DRAINS));

        (void)snprintf(drains, RT_HOST_MAX + sizeof(RT_STORE_DRAINS), "%s" RT_STORE_DRAINS, host);
        rt_redis_texts(&args->redis, "HMGET", RT_STORE_REGISTRY, host, drains, NULL);
        return rt_store_word(host, RT_HOST_MAX) ? 0 : RT_EINVAL;
    }
    rt_redis_function(&args->redis, "hosts", "2");
    rt_redis_texts(&args->redis, RT_STORE_REGISTRY, RT_STORE_NAMES, host, NULL);
    add_number(args, RT_HOSTS_PAGE);
    return host[0] == '\0' || rt_store_word(host, RT_HOST_MAX) ? 0 : RT_EINVAL;
}

int rt_store_encode(const struct rt_store_op *op, const char *host, struct rt_store_args *args)
{
    bool claim = op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE;
    const struct rt_key *key = claim ? &op->claim.key : &op->key;

    args->redis.n = 0;
    args->used = 0;
    if (op->kind == RT_STORE_HOSTS || op->kind == RT_STORE_HOST_ROW) {
        return add_registry(args, op);
    }
    if (!rt_cid_valid((struct rt_slice){(const uint8_t *)key->cid, strnlen(key->cid, RT_CID_MAX)})) {
        return RT_EINVAL;
    }
    if (key->tenant[0] != '\0' && !rt_store_word(key->tenant, RT_TENANT_MAX)) {
        return RT_EINVAL;
    }
    if (op->life >= RT_COUNTER_MAX || op->epoch >= RT_COUNTER_MAX) {
        return RT_EINVAL;
    }
    switch (op->kind) {
    case RT_STORE_CREATE:
        return add_create(args, op, host);
    case RT_STORE_REMOVE:
        add_function(args, "remove", key);
        return 0;
    case RT_STORE_REVOKE:
        return add_revoke(args, op);
    case RT_STORE_TEST:
    case RT_STORE_TAKE:
        return add_claim(args, op);
    case RT_STORE_STATE:
    case RT_STORE_REPORT:
        return add_fenced(args, op, host);
    case RT_STORE_END:
    case RT_STORE_MARK:
        return add_end(args, op, host);
    case RT_STORE_GET:
        add_get(args, key);
        return 0;
    case RT_STORE_TAILS:
        add_function(args, "tails", key);
        return 0;
    case RT_STORE_HOSTS:
    case RT_STORE_HOST_ROW:
    case RT_STORE_FIND:
        break;
    }
    return RT_EINVAL;
}
