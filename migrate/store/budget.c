/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "migrate/store/refusal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The budget of tails: what all hosts, and this one, may have of them in the store. Each host's are listed in keys of
 * its own (ends.lua), so nothing here costs more the more hosts and sessions there are.
 *
 *     an end with tails: counted --answered--> written --answered--> sweep
 *     sweep: count ours --over our budget: give up a page of the oldest, count again
 *              '-- within it --> told to all hosts' sum --within the store's budget--> done
 *                                   '-- over it: the host with the oldest is swept in its place, ours or not
 *
 * So a host that is gone keeps nothing for long. A sweep that fails is begun anew with the next end, or within a
 * minute; two agents that sweep one host do the same twice.
 *
 * The host's keys, the session's and the sums are of three slots, so nothing is done to two of them at once. Cut
 * between two steps, what is stored is counted:
 *
 *     counted, not written        counts for nothing, is given up in vain or drops out with its time
 *     given up, still counted     the next sweep gives it up once more, in vain, and takes it out
 *     taken out, sums not told    the next sweep tells them */

#define SWEEP_BEATS 60 /* what has expired is looked for once in so many heartbeats */
/* Steps of one sweep, each a page at most; what is left is for the next one. */
#define SWEEP_STEPS_MAX 64
#define SESSION_BYTES 512 /* what a session's tails cost besides */

struct victim {
    struct rt_store *store;
    char member[RT_STORE_MEMBER_MAX];
};

static void begin(struct rt_store *store, const char *host, uint64_t give_up);

static void host_keys(const char *host, char list[RT_STORE_HOST_KEY_MAX], char sizes[RT_STORE_HOST_KEY_MAX])
{
    rt_store_host_key(host, "tails", list);
    rt_store_host_key(host, "sizes", sizes);
}

/* FCALL name 2 key key */
static void function(struct rt_redis_args *args, const char *name, const char *key, const char *other)
{
    args->n = 0;
    rt_redis_function(args, name, "2");
    rt_redis_texts(args, key, other, NULL);
}

static void over(struct rt_store *store)
{
    bool again = store->tails.sweep == RT_TAILS_AGAIN && store->phase == RT_STORE_ONLINE;

    store->tails.sweep = RT_TAILS_IDLE;
    store->tails.steps = 0;
    if (again) {
        begin(store, store->self.host, 0);
    }
}

/* What the answer says; an error is told once for each sweep, and ends it. */
static bool is_answer(struct rt_store *store, int error, const redisReply *reply, int type)
{
    error = rt_store_error_of(store, error, reply);
    if (error == 0 && reply->type != type) {
        rt_store_log(store, RT_LOG_ERROR, "the store's answer makes no sense (tails)");
        error = RT_EUNAVAIL;
    }
    return error == 0 && store->phase == RT_STORE_ONLINE;
}

/* The sum of all. */

static void totalled_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;
    uint64_t all;
    const redisReply *oldest;

    if (!is_answer(store, error, reply, REDIS_REPLY_ARRAY) || rt_store_integer(reply, 0, &all) != 0 ||
        (oldest = rt_store_element(reply, 1, REDIS_REPLY_STRING)) == NULL) {
        over(store);
        return;
    }
    /* Who was asked to give up, and had nothing, is not asked again. */
    if (all > store->tails.store_max && store->tails.steps < SWEEP_STEPS_MAX && oldest->len > 0 &&
        oldest->len <= RT_HOST_MAX && (!store->tails.asked || strcmp(oldest->str, store->tails.host) != 0)) {
        char host[RT_HOST_MAX + 1];

        snprintf(host, sizeof(host), "%s", oldest->str);
        begin(store, host, all - store->tails.store_max);
    } else {
        over(store);
    }
}

static void total(struct rt_store *store, uint64_t bytes, uint64_t oldest)
{
    struct rt_redis_args args;
    char sum[24], at[24];

    snprintf(sum, sizeof(sum), "%" PRIu64, bytes);
    snprintf(at, sizeof(at), "%" PRIu64, oldest);
    function(&args, "tails_total", "rt:{tails}:sums", "rt:{tails}:oldest");
    rt_redis_texts(&args, store->tails.host, sum, at, NULL);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, totalled_cb, store) != 0) {
        over(store);
    }
}

/* Giving up. */

static void victim_done(struct victim *victim, bool gone)
{
    struct rt_store *store = victim->store;

    free(victim);
    store->tails.failed = store->tails.failed || !gone;
    if (--store->tails.cutting > 0) {
        return;
    }
    if (store->tails.failed || store->phase != RT_STORE_ONLINE || store->tails.steps >= SWEEP_STEPS_MAX) {
        over(store);
    } else {
        char host[RT_HOST_MAX + 1];

        memcpy(host, store->tails.host, sizeof(host));
        begin(store, host, 0);
    }
}

static void uncounted_cb(void *ctx, int error, const redisReply *reply)
{
    struct victim *victim = ctx;

    victim_done(victim, is_answer(victim->store, error, reply, REDIS_REPLY_INTEGER));
}

/* Only what is gone is not counted any more. */
static void cut_cb(void *ctx, int error, const redisReply *reply)
{
    struct victim *victim = ctx;
    struct rt_store *store = victim->store;
    char list[RT_STORE_HOST_KEY_MAX], sizes[RT_STORE_HOST_KEY_MAX];
    struct rt_redis_args args;

    if (!is_answer(store, error, reply, REDIS_REPLY_INTEGER)) {
        victim_done(victim, false);
        return;
    }
    store->tails.given_up += (uint64_t)reply->integer;
    host_keys(store->tails.host, list, sizes);
    function(&args, "tails_uncount", list, sizes);
    rt_redis_text(&args, victim->member);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, uncounted_cb, victim) != 0) {
        victim_done(victim, false);
    }
}

static void cut(struct rt_store *store, const redisReply *member, const redisReply *life)
{
    char record[RT_STORE_KEY_MAX], tails[RT_STORE_KEY_MAX];
    struct rt_redis_args args;
    struct victim *victim;
    struct rt_key key;

    if (member->type != REDIS_REPLY_STRING || life->type != REDIS_REPLY_STRING ||
        rt_store_parse_member(member->str, member->len, &key) != 0) {
        return;
    }
    victim = malloc(sizeof(*victim));
    if (victim == NULL) {
        return;
    }
    victim->store = store;
    snprintf(victim->member, sizeof(victim->member), "%s", member->str);
    rt_store_key(&key, 'r', record);
    rt_store_key(&key, 't', tails);
    function(&args, "tails_cut", record, tails);
    rt_redis_arg(&args, life->str, life->len);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, cut_cb, victim) != 0) {
        free(victim);
    } else {
        store->tails.cutting++;
    }
}

/* Counting. */

static void swept_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;

    uint64_t bytes, oldest;

    if (!is_answer(store, error, reply, REDIS_REPLY_ARRAY) || rt_store_integer(reply, 0, &bytes) != 0 ||
        rt_store_integer(reply, 1, &oldest) != 0) {
        over(store);
        return;
    }
    for (size_t i = 2; i + 1 < reply->elements; i += 2) {
        cut(store, reply->element[i], reply->element[i + 1]);
    }
    if (store->tails.cutting == 0) {
        total(store, bytes, oldest);
    }
}

static int count(struct rt_store *store, enum rt_store_lane lane, const char *host, uint64_t give_up,
                 const char *const member[3], rt_redis_cb cb, void *ctx)
{
    char list[RT_STORE_HOST_KEY_MAX], sizes[RT_STORE_HOST_KEY_MAX], most[24], extra[24];
    struct rt_redis_args args;

    snprintf(most, sizeof(most), "%" PRIu64, store->tails.host_max);
    snprintf(extra, sizeof(extra), "%" PRIu64, give_up);
    host_keys(host, list, sizes);
    function(&args, "tails_count", list, sizes);
    rt_redis_texts(&args, most, extra, NULL);
    for (size_t i = 0; i < 3; i++) {
        rt_redis_text(&args, member[i]);
    }
    return rt_store_call(store, lane, &args, cb, ctx);
}

static void begin(struct rt_store *store, const char *host, uint64_t give_up)
{
    static const char *const none[3] = {"", "0", "0"};

    snprintf(store->tails.host, sizeof(store->tails.host), "%s", host);
    if (store->tails.sweep == RT_TAILS_IDLE) {
        store->tails.sweep = RT_TAILS_SWEEPING;
    }
    store->tails.steps++;
    store->tails.asked = give_up > 0;
    store->tails.failed = false;
    if (count(store, RT_STORE_COMMANDS, host, give_up, none, swept_cb, store) != 0) {
        store->tails.sweep = RT_TAILS_IDLE;
        store->tails.steps = 0;
    }
}

void rt_store_tails_sweep(struct rt_store *store)
{
    if (store->phase != RT_STORE_ONLINE) {
        return;
    }
    if (store->tails.sweep == RT_TAILS_IDLE) {
        begin(store, store->self.host, 0);
    } else {
        store->tails.sweep = RT_TAILS_AGAIN;
    }
}

/* Whether another try may be answered otherwise. Of keys that are broken nothing is ever learned. */
static bool may_count_later(const redisReply *error)
{
    return rt_refusal_of(error) != NULL || rt_store_functions_missing(error) || strncmp(error->str, "NOPERM", 6) == 0;
}

int rt_store_tails_counted(struct rt_store *store, int error, const redisReply *reply)
{
    (void)is_answer(store, error, reply, REDIS_REPLY_ARRAY);
    if (error != 0) {
        return error;
    }
    return reply->type == REDIS_REPLY_ERROR && may_count_later(reply) ? RT_EUNAVAIL : 0;
}

int rt_store_tails_count(struct rt_store *store, const struct rt_store_op *end, rt_redis_cb cb, void *ctx)
{
    char member[RT_STORE_MEMBER_MAX], bytes[24], life[24];
    const char *const texts[3] = {member, bytes, life};

    rt_store_member(&end->key, member);
    snprintf(bytes, sizeof(bytes), "%zu", end->tail[0].size + end->tail[1].size + end->end.ord.size + SESSION_BYTES);
    snprintf(life, sizeof(life), "%" PRIu64, end->life);
    return count(store, RT_STORE_ENDS, store->self.host, 0, texts, cb, ctx);
}

void rt_store_tails_beat(struct rt_store *store)
{
    if (store->tails.given_up > 0) {
        rt_store_log(store, RT_LOG_INFO, "the tails of %" PRIu64 " ended containers were given up: over the budget",
                     store->tails.given_up);
        store->tails.given_up = 0;
    }
    if (++store->tails.beats % SWEEP_BEATS == 0) {
        rt_store_tails_sweep(store);
    }
}
