/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FIND: first the ranges of all hosts' sets, in the order of the hosts' names, until the page is full; then the
 * records. Both are pipelined; answers come in the order of the calls. The cursor is 1 + (host's index << 32 | index in
 * its set). */

#define HOSTS_MAX (RT_AGENTS_MAX + 1)

struct rt_store_find {
    char tenant[RT_TENANT_MAX + 1]; /* "" any */
    char prefix[RT_CID_MAX + 1];
    char hosts[HOSTS_MAX][RT_HOST_MAX + 1];
    size_t n_hosts;
    size_t first_host; /* where this page starts */
    uint64_t first_at;
    size_t pending;  /* calls under way in this step */
    size_t answered; /* of this step */
    int error;       /* the first */
    bool full;
    uint64_t cursor;
    struct {
        struct rt_key key;
        size_t host;
    } hits[RT_LIST_MAX];
    size_t n_hits;
    struct rt_store_record *records; /* owned, n_hits */
    size_t n_records;
};

void rt_store_find_free(struct rt_store_find *find)
{
    if (find) {
        free(find->records);
        free(find);
    }
}

static uint64_t cursor_of(size_t host, uint64_t at)
{
    return 1 + ((uint64_t)host << 32 | at);
}

static void finish(struct rt_store_run *run)
{
    struct rt_store_find *find = run->find;
    struct rt_store_record *records = find->records;
    struct rt_store_reply reply = {.error = find->error};

    if (!find->error) {
        reply.records = records;
        reply.n_records = find->n_records;
        reply.cursor = find->cursor;
    }
    find->records = NULL;
    rt_store_run_done(run, &reply);
    free(records);
}

/* The set lists what is gone, or what another host lists. */
static void prune(struct rt_store *store, const struct rt_key *key, const char *host)
{
    struct rt_redis_args args = {.n = 0};
    char set[RT_HOST_MAX + 16], record[RT_STORE_KEY_MAX], member[RT_STORE_MEMBER_MAX];

    rt_store_host_key(host, set);
    rt_store_key(key, 'r', record);
    rt_store_member(key, member);
    rt_redis_text(&args, "FCALL");
    rt_redis_text(&args, "rt3_prune");
    rt_redis_text(&args, "2");
    rt_redis_text(&args, set);
    rt_redis_text(&args, record);
    rt_redis_text(&args, member);
    rt_redis_text(&args, host);
    if (rt_redis_call(&store->commands, &args, 0, NULL, NULL)) {
        return; /* the next listing tries again */
    }
}

static int error_of(struct rt_store_run *run, int error, const redisReply *reply)
{
    if (!error && reply->type == REDIS_REPLY_ERROR) {
        return rt_store_error_of(run->store, reply);
    }
    return error;
}

/* A key of that name that is no hash: nobody's record, and no reason to refuse all the others. */
static bool is_no_record(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0;
}

static void record_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_run *run = ctx;
    struct rt_store_find *find = run->find;
    size_t hit = find->answered++;
    struct rt_store_record *record = &find->records[find->n_records];
    const struct rt_key *key = &find->hits[hit].key;
    const char *host = find->hosts[find->hits[hit].host];
    char set[RT_HOST_MAX + 1];
    int rc = !error && is_no_record(reply) ? 0 : error_of(run, error, reply);

    find->pending--;
    if (rc) {
        find->error = find->error ? find->error : rc;
    } else {
        /* An answer that is no array is none of a record's either. */
        rc = rt_store_parse_record(reply, key, record, set);
        if (rc < 0) {
            rt_store_log(run->store, RT_STORE_ERROR, "the record of %s/%s makes no sense", key->tenant, key->cid);
        } else if (rc == 0 || strcmp(set, host) != 0) {
            prune(run->store, key, host);
            /* What comes after it in the set moves down by one before the next page is asked for. */
            if (find->cursor && (find->cursor - 1) >> 32 == find->hits[hit].host) {
                find->cursor--;
            }
        } else {
            find->n_records++;
        }
    }
    if (find->pending == 0) {
        finish(run);
    }
}

static int send_get(struct rt_store_run *run, const struct rt_key *key)
{
    struct rt_redis_args args = {.n = 0};
    char name[RT_STORE_KEY_MAX];

    rt_store_key(key, 'r', name);
    rt_redis_text(&args, "HGETALL");
    rt_redis_text(&args, name);
    return rt_redis_call(run->redis, &args, 0, record_cb, run);
}

static void get_records(struct rt_store_run *run)
{
    struct rt_store_find *find = run->find;

    find->answered = 0;
    if (!find->error && find->n_hits > 0) {
        find->records = calloc(find->n_hits, sizeof *find->records);
        find->error = find->records ? 0 : RT_ENOMEM;
    }
    for (size_t i = 0; i < find->n_hits && !find->error; i++) {
        find->error = send_get(run, &find->hits[i].key);
        find->pending += !find->error;
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

static void gather(struct rt_store_find *find, size_t host, uint64_t at, const redisReply *reply)
{
    for (size_t i = 0; i < reply->elements && !find->full; i++) {
        const redisReply *member = reply->element[i];
        struct rt_key key;

        if (member->type != REDIS_REPLY_STRING || rt_store_parse_member(member->str, member->len, &key) ||
            !fits(find, &key)) {
            continue;
        }
        if (find->n_hits == RT_LIST_MAX) {
            find->full = true;
            find->cursor = cursor_of(host, at + i);
            return;
        }
        find->hits[find->n_hits].key = key;
        find->hits[find->n_hits++].host = host;
    }
    if (!find->full && reply->elements == RT_LIST_MAX) {
        find->full = true;
        find->cursor = cursor_of(host, at + reply->elements);
    }
}

static void range_cb(void *ctx, int error, const redisReply *reply)
{
    struct rt_store_run *run = ctx;
    struct rt_store_find *find = run->find;
    size_t host = find->first_host + find->answered++;
    int rc = error_of(run, error, reply);

    find->pending--;
    if (!rc && reply->type != REDIS_REPLY_ARRAY) {
        rc = RT_EUNAVAIL;
    }
    if (rc) {
        find->error = find->error ? find->error : rc;
    } else {
        gather(find, host, host == find->first_host ? find->first_at : 0, reply);
    }
    if (find->pending == 0) {
        get_records(run);
    }
}

static int send_range(struct rt_store_run *run, size_t host, uint64_t at)
{
    struct rt_store_find *find = run->find;
    struct rt_redis_args args = {.n = 0};
    char set[RT_HOST_MAX + 16], low[RT_STORE_MEMBER_MAX + 8], high[RT_STORE_MEMBER_MAX + 8], offset[24], count[24];

    rt_store_host_key(find->hosts[host], set);
    if (find->tenant[0] == '\0') {
        snprintf(low, sizeof low, "-");
        snprintf(high, sizeof high, "+");
    } else {
        snprintf(low, sizeof low, "[%s/%s", find->tenant, find->prefix);
        snprintf(high, sizeof high, "(%s/%s\x7f", find->tenant, find->prefix);
    }
    snprintf(offset, sizeof offset, "%llu", (unsigned long long)at);
    snprintf(count, sizeof count, "%d", RT_LIST_MAX);
    rt_redis_text(&args, "ZRANGEBYLEX");
    rt_redis_text(&args, set);
    rt_redis_text(&args, low);
    rt_redis_text(&args, high);
    rt_redis_text(&args, "LIMIT");
    rt_redis_text(&args, offset);
    rt_redis_text(&args, count);
    return rt_redis_call(run->redis, &args, 0, range_cb, run);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void choose_hosts(struct rt_store_run *run, const struct rt_store_op *op)
{
    const struct rt_store *store = run->store;
    struct rt_store_find *find = run->find;

    if (op->host[0] != '\0') {
        memcpy(find->hosts[find->n_hosts++], op->host, sizeof op->host);
        return;
    }
    memcpy(find->hosts[find->n_hosts++], store->self.host, sizeof store->self.host);
    for (size_t i = 0; i < store->n_rows; i++) {
        memcpy(find->hosts[find->n_hosts++], store->rows[i].host.host, sizeof store->rows[i].host.host);
    }
    qsort(find->hosts, find->n_hosts, sizeof find->hosts[0], by_name);
}

int rt_store_find_start(struct rt_store_run *run, const struct rt_store_op *op)
{
    struct rt_store_find *find = calloc(1, sizeof *find);

    if (!find) {
        return RT_ENOMEM;
    }
    run->find = find;
    snprintf(find->tenant, sizeof find->tenant, "%s", op->key.tenant);
    snprintf(find->prefix, sizeof find->prefix, "%s", op->key.cid);
    choose_hosts(run, op);
    if (op->cursor > 0) {
        find->first_host = (size_t)((op->cursor - 1) >> 32);
        find->first_at = (op->cursor - 1) & UINT32_MAX;
    }
    if (find->first_host >= find->n_hosts) {
        return RT_EINVAL;
    }
    for (size_t host = find->first_host; host < find->n_hosts && !find->error; host++) {
        find->error = send_range(run, host, host == find->first_host ? find->first_at : 0);
        find->pending += !find->error;
    }
    /* Once a call is under way, the error comes in the reply. */
    return find->pending ? 0 : find->error;
}
