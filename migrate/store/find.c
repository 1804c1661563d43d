/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FIND: ranges of the hosts' sets, in the order of the hosts' names, until the page is full or there is no more; then
 * the records. A few hosts' ranges are asked for together, then twice as many, so that neither a page out of one large
 * set nor a search over a thousand small ones asks for much that it has no use for. The set in which the page before
 * this one ended is asked alone: it may well fill this one too. */

#define FIRST_BATCH 4
#define BATCH_MAX 256
/* A page takes no longer. A claim that is dated later than that behind its beginning was made before the store's clock
 * was put back. */
#define PAGE_MS UINT64_C(10000)

struct rt_store_find {
    char tenant[RT_TENANT_MAX + 1]; /* "" any */
    char prefix[RT_CID_MAX + 1];
    bool every;
    struct rt_store_cursor from, next; /* this page's, the next one's */
    uint64_t now_ms;                   /* store's clock when this page began */
    char (*hosts)[RT_HOST_MAX + 1];    /* owned; from the cursor's on */
    size_t n_hosts;
    size_t at, batch; /* hosts asked so far, and at once with the next step */
    size_t pending;   /* calls under way in this step */
    int error;        /* the first */
    bool full;
    struct range *ranges; /* owned, BATCH_MAX: of this step */
    struct hit {
        struct rt_store_run *run;
        struct rt_key key;
        size_t host;
        bool has_record;
    } hits[RT_LIST_MAX];
    size_t n_hits;
    struct rt_store_record *records; /* owned, n_hits */
};

/* What a host's set was asked for. */
struct range {
    struct rt_store_run *run;
    struct rt_key *keys; /* owned, n: those that fit */
    size_t n;
    bool more;          /* the set may have more, behind `last` */
    struct rt_key last; /* tenant "": there was none */
};

static void free_ranges(struct rt_store_find *find)
{
    for (size_t i = 0; i < BATCH_MAX; i++) {
        free(find->ranges[i].keys);
        find->ranges[i] = (struct range){.run = NULL};
    }
}

static void free_find(struct rt_store_find *find)
{
    if (find->ranges != NULL) {
        free_ranges(find);
    }
    free(find->ranges);
    free(find->records);
    free(find->hosts);
    free(find);
}

static void finish(struct rt_store_run *run)
{
    struct rt_store_find *find = run->find;
    struct rt_store_reply reply = {.error = find->error};

    if (find->error == 0) {
        for (size_t i = 0; i < find->n_hits; i++) {
            if (find->hits[i].has_record && reply.n_records++ != i) {
                find->records[reply.n_records - 1] = find->records[i];
            }
        }
        reply.records = find->records;
        reply.cursor = find->next;
    }
    rt_store_run_done(run, &reply);
    free_find(find);
}

/* Whether the record's key holds something that is no hash: then there is no record, and the page goes on without. */
static bool is_no_record(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0;
}

/* Whether the search may have told this record before: it has moved since the search began, and was then on a host that
 * comes before this one. */
static bool told_before(const struct rt_store_find *find, const struct rt_store_record *record, const char *host)
{
    if (record->claimed_ms <= find->from.since_ms || record->claimed_ms > find->now_ms + PAGE_MS) {
        return false;
    }
    for (size_t i = record->n_hist; i-- > 0;) {
        if (strcmp(record->hist[i].host, host) < 0) {
            return true;
        }
        if (record->hist[i].at_ms <= find->from.since_ms) {
            return false; /* where it was when the search began */
        }
    }
    return record->n_hist == RT_HISTORY_MAX; /* nobody knows where it was */
}

/* Whether the record belongs here. A set may still list a session that has gone to another host, or list already one
 * that comes: a listing tells each on the host that the record names. */
static bool wanted(const struct rt_store_find *find, const struct rt_store_record *record, const char *set,
                   const char *host)
{
    if (find->every) {
        return true;
    }
    return strcmp(set[0] == '\0' ? record->rule.host : set, host) == 0 && !told_before(find, record, host);
}

/* Answers of one step come in any order: the servers of a cluster do not wait for each other. */
static void record_cb(void *ctx, int error, const redisReply *reply)
{
    struct hit *hit = ctx;
    struct rt_store_run *run = hit->run;
    struct rt_store_find *find = run->find;
    struct rt_store_record *record = &find->records[hit - find->hits];
    const struct rt_key *key = &hit->key;
    char set[RT_HOST_MAX + 1];
    int rc = error == 0 && is_no_record(reply) ? 0 : rt_store_error_of(run->store, error, reply);

    find->pending--;
    if (rc != 0) {
        find->error = find->error != 0 ? find->error : rc;
    } else {
        /* An answer that is no array is none of a record's either. */
        rc = rt_store_parse_record(reply, key, record, set);
        if (rc < 0) {
            rt_store_log(run->store, RT_LOG_ERROR, "the record of %s/%s makes no sense", key->tenant, key->cid);
        }
        hit->has_record = rc > 0 && wanted(find, record, set, find->hosts[hit->host]);
    }
    if (find->pending == 0) {
        finish(run);
    }
}

static int send_get(struct hit *hit)
{
    struct rt_redis_args args = {.n = 0};
    char name[RT_STORE_KEY_MAX];

    rt_store_key(&hit->key, 'r', name);
    rt_redis_texts(&args, "HGETALL", name, NULL);
    return rt_store_call(hit->run->store, RT_STORE_COMMANDS, &args, record_cb, hit);
}

static void get_records(struct rt_store_run *run)
{
    struct rt_store_find *find = run->find;

    if (find->error == 0 && find->n_hits > 0) {
        find->records = calloc(find->n_hits, sizeof(*find->records));
        find->error = find->records != NULL ? 0 : RT_ENOMEM;
    }
    for (size_t i = 0; i < find->n_hits && find->error == 0; i++) {
        find->error = send_get(&find->hits[i]);
        find->pending += find->error == 0;
    }
    if (find->pending == 0) {
        finish(run);
    }
}

static bool fits(const struct rt_store_find *find, const struct rt_key *key)
{
    return (find->tenant[0] == '\0' || strcmp(find->tenant, key->tenant) == 0) &&
           strncmp(find->prefix, key->cid, strlen(find->prefix)) == 0;
}

static void set_next(struct rt_store_find *find, size_t host, const struct rt_key *last)
{
    memcpy(find->next.host, find->hosts[host], sizeof(find->next.host));
    rt_store_member(last, find->next.member);
    find->next.since_ms = find->from.since_ms;
    find->full = true;
}

/* Returns 0 or RT_ENOMEM. */
static int keep(struct range *range, const redisReply *reply)
{
    range->more = reply->elements == RT_LIST_MAX;
    if (reply->elements > 0) {
        range->keys = calloc(reply->elements, sizeof(*range->keys));
        if (range->keys == NULL) {
            return RT_ENOMEM;
        }
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *member = reply->element[i];
        struct rt_key key;

        if (member->type != REDIS_REPLY_STRING || rt_store_parse_member(member->str, member->len, &key) != 0) {
            continue; /* nobody's, and no place to go on from */
        }
        range->last = key;
        if (fits(range->run->find, &key)) {
            range->keys[range->n++] = key;
        }
    }
    return 0;
}

static void gather(struct rt_store_run *run, size_t host, const struct range *range)
{
    struct rt_store_find *find = run->find;

    for (size_t i = 0; i < range->n && !find->full; i++) {
        find->hits[find->n_hits++] = (struct hit){.run = run, .key = range->keys[i], .host = host};
        if (find->n_hits == RT_LIST_MAX) {
            set_next(find, host, &range->keys[i]);
        }
    }
    /* Of what is nobody's the owner's walk makes an end; a whole page of it hides the rest of this set until then. */
    if (!find->full && range->more && range->last.tenant[0] != '\0') {
        set_next(find, host, &range->last);
    }
}

static void next_batch(struct rt_store_run *run);

static void range_cb(void *ctx, int error, const redisReply *reply)
{
    struct range *range = ctx;
    struct rt_store_run *run = range->run;
    struct rt_store_find *find = run->find;
    int rc = rt_store_error_of(run->store, error, reply);

    find->pending--;
    if (rc == 0) {
        rc = reply->type == REDIS_REPLY_ARRAY ? keep(range, reply) : RT_EUNAVAIL;
    }
    find->error = find->error != 0 ? find->error : rc;
    if (find->pending > 0) {
        return;
    }
    for (size_t i = 0; i < find->batch && !find->full; i++) {
        gather(run, find->at - find->batch + i, &find->ranges[i]);
    }
    next_batch(run);
}

static int send_range(struct rt_store_run *run, size_t host, struct range *range)
{
    struct rt_store_find *find = run->find;
    struct rt_redis_args args = {.n = 0};
    char set[RT_STORE_HOST_KEY_MAX], low[RT_STORE_MEMBER_MAX + 8], high[RT_STORE_MEMBER_MAX + 8], count[24];

    rt_store_host_key(find->hosts[host], "set", set);
    if (find->tenant[0] == '\0') {
        snprintf(low, sizeof(low), "-");
        snprintf(high, sizeof(high), "+");
    } else {
        snprintf(low, sizeof(low), "[%s/%s", find->tenant, find->prefix);
        snprintf(high, sizeof(high), "(%s/%s\x7f", find->tenant, find->prefix);
    }
    if (find->from.member[0] != '\0' && strcmp(find->hosts[host], find->from.host) == 0) {
        snprintf(low, sizeof(low), "(%s", find->from.member);
    }
    snprintf(count, sizeof(count), "%d", RT_LIST_MAX);
    rt_redis_texts(&args, "ZRANGEBYLEX", set, low, high, "LIMIT", "0", count, NULL);
    range->run = run;
    return rt_store_call(run->store, RT_STORE_COMMANDS, &args, range_cb, range);
}

static void send_batch(struct rt_store_run *run)
{
    struct rt_store_find *find = run->find;
    size_t left = find->n_hosts - find->at, twice = find->batch * 2;

    twice = twice > BATCH_MAX ? BATCH_MAX : twice;
    find->batch = find->at > 0 ? twice : find->from.member[0] != '\0' ? 1 : FIRST_BATCH;
    find->batch = find->batch > left ? left : find->batch;
    free_ranges(find);
    for (size_t i = 0; i < find->batch && find->error == 0; i++) {
        find->error = send_range(run, find->at + i, &find->ranges[i]);
        find->pending += find->error == 0;
    }
    find->at += find->batch;
}

static void next_batch(struct rt_store_run *run)
{
    struct rt_store_find *find = run->find;

    if (find->error == 0 && !find->full && find->at < find->n_hosts) {
        send_batch(run);
    }
    /* Once a call is under way, an error comes with the last answer. */
    if (find->pending == 0) {
        get_records(run);
    }
}

/* [seconds, microseconds] */
static void time_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_run *run = ctx;
    struct rt_store_find *find = run->find;

    const redisReply *s, *us;

    find->error = rt_store_error_of(run->store, error, reply);
    if (find->error == 0) {
        s = rt_store_element(reply, 0, REDIS_REPLY_STRING);
        us = rt_store_element(reply, 1, REDIS_REPLY_STRING);
        find->error = s != NULL && us != NULL ? 0 : RT_EUNAVAIL;
    }
    if (find->error == 0) {
        find->now_ms = strtoull(s->str, NULL, 10) * 1000 + strtoull(us->str, NULL, 10) / 1000;
        find->from.since_ms = find->from.since_ms != 0 ? find->from.since_ms : find->now_ms;
    }
    next_batch(run);
}

/* Those from the cursor's on; a host that has gone meanwhile is passed over. */
static int choose_hosts(struct rt_store_run *run, const struct rt_store_op *op)
{
    struct rt_store *store = run->store;
    struct rt_store_find *find = run->find;
    bool one = op->host[0] != '\0';

    rt_store_names_add(store, store->self.host);
    find->hosts = calloc(store->n_names + 1, sizeof(*find->hosts));
    find->ranges = calloc(BATCH_MAX, sizeof(*find->ranges));
    if (find->hosts == NULL || find->ranges == NULL) {
        return RT_ENOMEM;
    }
    if (one) {
        memcpy(find->hosts[find->n_hosts++], op->host, sizeof(op->host));
        return 0;
    }
    for (size_t i = 0; i < store->n_names; i++) {
        if (strcmp(store->names[i], op->cursor.host) >= 0) {
            memcpy(find->hosts[find->n_hosts++], store->names[i], sizeof(store->names[i]));
        }
    }
    return 0;
}

int rt_store_find_start(struct rt_store_run *run, const struct rt_store_op *op)
{
    struct rt_store_find *find = calloc(1, sizeof(*find));
    struct rt_redis_args args = {.n = 0};
    int rc;

    if (find == NULL) {
        return RT_ENOMEM;
    }
    run->find = find;
    snprintf(find->tenant, sizeof(find->tenant), "%s", op->key.tenant);
    snprintf(find->prefix, sizeof(find->prefix), "%s", op->key.cid);
    find->every = op->every;
    find->from = op->cursor;
    rc = choose_hosts(run, op);
    if (rc == 0) {
        rt_redis_text(&args, "TIME");
        rc = rt_store_call(run->store, RT_STORE_COMMANDS, &args, time_cb, run);
    }
    if (rc != 0) {
        free_find(find);
    }
    return rc;
}
