/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "migrate/core/pace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The sets that list sessions, one for each host, changed by that host's agent alone. A set and a record are apart (in
 * a cluster on two servers), so there is an order:
 *
 *     a claim is taken --> list: into our set --answered--> listed: the record says so
 *
 * Until the last step the session is listed where it was. It is taken out there later still, by the walk: an agent goes
 * over its own set, a page with each heartbeat, and takes out the sessions whose record is gone or listed elsewhere.
 * Nothing else shrinks a set. When a connection is lost between two steps, the audit of the served session does the
 * rest.
 *
 *     a session is made -> list: into our set --answered--> its record is written, which says so --> list, once more
 *
 * Here the set comes first: a record that nobody serves is listed by no audit. A name without a record the walk takes
 * out; were it to do so between the first two steps, the third mends that. */

#define WALK_MS 60000 /* a walk begins no sooner after the one before it */

struct listing { /* a session that is listed, or looked at */
    struct rt_store *store;
    struct rt_key key;
};

static int call(struct rt_store *store, const char *function, const char *key, const char *arg, rt_redis_cb cb,
                void *ctx)
{
    struct rt_redis_args args = {.n = 0};

    rt_redis_function(&args, function, "1");
    rt_redis_texts(&args, key, arg, NULL);
    return rt_store_call(store, RT_STORE_COMMANDS, &args, cb, ctx);
}

/* Reads an answer that should be a number; any other is an error. */
static int number(struct rt_store *store, int error, const redisReply *reply, long long *out)
{
    error = rt_store_error_of(store, error, reply);
    if (error == 0 && reply->type != REDIS_REPLY_INTEGER) {
        error = RT_EUNAVAIL;
    }
    if (error == 0) {
        *out = reply->integer;
    }
    return error;
}

/* Into the set. */

static void listing_done(struct listing *listing, int error)
{
    struct rt_store *store = listing->store;

    if (error != 0 && store->phase == RT_STORE_ONLINE) {
        rt_store_log(store, RT_LOG_WARN, "cannot list %s/%s: %s", listing->key.tenant, listing->key.cid,
                     rt_strerror(error));
    }
    free(listing);
}

static void listed_cb(void *ctx, int error, const redisReply *reply)
{
    struct listing *listing = ctx;
    long long ours;

    listing_done(listing, number(listing->store, error, reply, &ours));
}

static int tell_listed(struct listing *listing)
{
    char record[RT_STORE_KEY_MAX];

    rt_store_key(&listing->key, 'r', record);
    return call(listing->store, "listed", record, listing->store->self.host, listed_cb, listing);
}

static void added_cb(void *ctx, int error, const redisReply *reply)
{
    struct listing *listing = ctx;
    long long added;

    error = number(listing->store, error, reply, &added);
    if (error == 0) {
        error = tell_listed(listing);
    }
    if (error != 0) {
        listing_done(listing, error);
    }
}

int rt_store_name(struct rt_store *store, const struct rt_key *key, rt_redis_cb cb, void *ctx)
{
    char set[RT_STORE_HOST_KEY_MAX], member[RT_STORE_MEMBER_MAX];

    rt_store_host_key(store->self.host, "set", set);
    rt_store_member(key, member);
    return call(store, "list", set, member, cb, ctx);
}

void rt_store_list(struct rt_store *store, const struct rt_key *key)
{
    struct listing *listing = malloc(sizeof(*listing));
    int rc = RT_ENOMEM;

    if (listing != NULL) {
        *listing = (struct listing){.store = store, .key = *key};
        rc = rt_store_name(store, key, added_cb, listing);
    }
    if (rc != 0) {
        free(listing);
        rt_store_log(store, RT_LOG_WARN, "cannot list %s/%s: %s", key->tenant, key->cid, rt_strerror(rc));
    }
}

/* The audit. */

static void score_cb(void *ctx, int error, const redisReply *reply)
{
    struct listing *listing = ctx;

    if (error == 0 && reply->type == REDIS_REPLY_NIL && listing->store->phase == RT_STORE_ONLINE) {
        rt_store_list(listing->store, &listing->key); /* the next audit looks again */
    }
    free(listing);
}

void rt_store_audit(struct rt_store *store, const struct rt_store_record *record, const char *set)
{
    struct rt_redis_args args = {.n = 0};
    char key[RT_STORE_HOST_KEY_MAX], member[RT_STORE_MEMBER_MAX];
    struct listing *listing;

    if (strcmp(record->rule.host, store->self.host) != 0) {
        return;
    }
    if (strcmp(set, store->self.host) != 0) {
        rt_store_list(store, &record->key); /* the next audit looks again */
        return;
    }
    listing = malloc(sizeof(*listing));
    if (listing == NULL) {
        return;
    }
    *listing = (struct listing){.store = store, .key = record->key};
    rt_store_host_key(store->self.host, "set", key);
    rt_store_member(&record->key, member);
    rt_redis_texts(&args, "ZSCORE", key, member, NULL);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, score_cb, listing) != 0) {
        free(listing);
    }
}

/* The walk. */

static void take_out(struct rt_store *store, const char *member, size_t size)
{
    struct rt_redis_args args = {.n = 0};
    char set[RT_STORE_HOST_KEY_MAX];

    rt_store_host_key(store->self.host, "set", set);
    rt_redis_texts(&args, "ZREM", set, NULL);
    rt_redis_arg(&args, member, size);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, NULL, NULL) != 0) {
        return; /* the next walk finds it again */
    }
}

/* Answers come in the order of the calls: whoever is taken out here was not taken into the set by this agent between
 * the look at the record and now, or the look would have seen it. */
static void step_cb(void *ctx, int error, const redisReply *reply)
{
    struct listing *step = ctx;
    char member[RT_STORE_MEMBER_MAX];

    step->store->walk_steps--;
    if (error == 0 && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        rt_store_member(&step->key, member);
        take_out(step->store, member, strlen(member));
    }
    free(step);
}

static void touch(struct rt_store *store, const struct rt_key *key)
{
    struct listing *step = malloc(sizeof(*step));
    char record[RT_STORE_KEY_MAX];

    if (step == NULL) {
        return; /* the next walk comes by again */
    }
    *step = (struct listing){.store = store, .key = *key};
    rt_store_key(key, 'r', record);
    if (call(store, "touch", record, store->self.host, step_cb, step) != 0) {
        free(step);
    } else {
        store->walk_steps++;
    }
}

static void page_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store *store = ctx;
    size_t n = error != 0 || reply->type != REDIS_REPLY_ARRAY ? 0 : reply->elements;

    store->walk_steps--;
    if (error != 0 || reply->type != REDIS_REPLY_ARRAY) {
        return; /* the same page with the next heartbeat */
    }
    for (size_t i = 0; i < n; i++) {
        const redisReply *member = reply->element[i];
        struct rt_key key;

        if (member->type != REDIS_REPLY_STRING) {
            continue;
        }
        if (rt_store_parse_member(member->str, member->len, &key) == 0) {
            snprintf(store->walk_at, sizeof(store->walk_at), "%s", member->str);
            touch(store, &key);
        } else {
            take_out(store, member->str, member->len); /* nobody's */
        }
    }
    store->walking = n > 0;
}

void rt_store_walk(struct rt_store *store)
{
    struct rt_redis_args args = {.n = 0}, expire = {.n = 0};
    char set[RT_STORE_HOST_KEY_MAX], low[RT_STORE_MEMBER_MAX + 1], ttl[24], page[24];

    if (store->walk_steps > 0 || (store->walking && uv_now(store->loop) < store->walk_next)) {
        return; /* a slow store, or one of many hosts */
    }
    rt_store_host_key(store->self.host, "set", set);
    if (!store->walking) {
        if (store->walks > 0 && uv_now(store->loop) - store->walk_ms < WALK_MS) {
            return;
        }
        store->walks++;
        store->walking = true;
        store->walk_ms = uv_now(store->loop);
        store->walk_at[0] = '\0';
        snprintf(ttl, sizeof(ttl), "%" PRIu64, RT_SET_TTL_MS);
        rt_redis_texts(&expire, "PEXPIRE", set, ttl, NULL);
        if (rt_store_call(store, RT_STORE_COMMANDS, &expire, NULL, NULL) != 0) {
            return; /* not connected: goes on with the next heartbeat */
        }
    }
    snprintf(low, sizeof(low), "(%s", store->walk_at);
    snprintf(page, sizeof(page), "%d", RT_WALK_PAGE);
    rt_redis_texts(&args, "ZRANGEBYLEX", set, store->walk_at[0] != '\0' ? low : "-", "+", "LIMIT", "0", page, NULL);
    if (rt_store_call(store, RT_STORE_COMMANDS, &args, page_cb, store) == 0) {
        store->walk_steps++;
        store->walk_next = uv_now(store->loop) + rt_walk_pause_ms(store->n_names);
    }
}
