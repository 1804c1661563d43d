/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The model of the store. */

int fx_store_submit(void *ctx, const struct rt_store_op *op)
{
    struct fx *fx = ctx;

    if (fx->store == FX_STORE_DOWN) {
        return RT_EUNAVAIL;
    }
    assert_true(fx->n_ops < FX_OPS);
    fx->ops[fx->n_ops++] = *op;
    fx->n_submitted[op->kind]++;
    fx->last[op->kind] = *op;
    if (op->kind == RT_STORE_REPORT) {
        assert_true(op->report.size <= RT_REPORT_MAX);
        memcpy(fx->report, op->report.data, op->report.size);
        fx->report_size = op->report.size;
    }
    if (op->kind == RT_STORE_TAKE) { /* what it points at lives until here */
        struct fx_past *past = &fx->pasts[fx->n_pasts++ % FX_OPS];
        assert_true(op->past.size <= RT_PAST_MAX);
        past->size = op->past.size;
        if (past->size > 0) {
            memcpy(past->data, op->past.data, past->size);
        }
        fx->ops[fx->n_ops - 1].past.data = fx->last[RT_STORE_TAKE].past.data = past->data;
    }
    for (unsigned i = 0; op->kind == RT_STORE_END && i < 2; i++) {
        assert_true(op->tail[i].size <= RT_TAIL_MAX);
        if (op->tail[i].size > 0) {
            memcpy(fx->tail[i], op->tail[i].data, op->tail[i].size);
        }
        fx->tail_size[i] = op->tail[i].size;
    }
    if (op->kind == RT_STORE_END) {
        assert_true(op->end.ord.size <= sizeof(fx->order));
        if (op->end.ord.size > 0) {
            memcpy(fx->order, op->end.ord.data, op->end.ord.size);
        }
        fx->order_size = op->end.ord.size;
    }
    return 0;
}

static struct rt_store_record *find(struct fx *fx, const struct rt_key *key)
{
    for (size_t i = 0; i < fx->n_records; i++) {
        if (rt_key_equal(&fx->records[i].key, key)) {
            return &fx->records[i];
        }
    }
    return NULL;
}

struct rt_store_record *fx_record(struct fx *fx, const char *tenant, const char *cid)
{
    struct rt_key key;
    struct rt_store_record *record;

    memset(&key, 0, sizeof(key));
    (void)snprintf(key.tenant, sizeof(key.tenant), "%s", tenant);
    (void)snprintf(key.cid, sizeof(key.cid), "%s", cid);
    record = find(fx, &key);
    if (record == NULL) {
        assert_true(fx->n_records < FX_RECORDS);
        record = &fx->records[fx->n_records++];
        memset(record, 0, sizeof(*record));
        record->key = key;
        fx_record_past(fx, tenant, cid)->size = 0;
    }
    return record;
}

void fx_record_lose(struct fx *fx, const char *cid)
{
    size_t i = (size_t)(fx_record(fx, "local", cid) - fx->records), after = --fx->n_records - i;

    memmove(&fx->records[i], &fx->records[i + 1], after * sizeof(fx->records[0]));
    memmove(&fx->record_pasts[i], &fx->record_pasts[i + 1], after * sizeof(fx->record_pasts[0]));
}

struct fx_past *fx_record_past(struct fx *fx, const char *tenant, const char *cid)
{
    return &fx->record_pasts[fx_record(fx, tenant, cid) - fx->records];
}

static void run_claim(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_store_record none, *record = find(fx, &op->key);

    if (record == NULL) {
        memset(&none, 0, sizeof(none));
    }
    rt_claim_judge(record == NULL ? &none.rule : &record->rule, &op->claim, fx->store_ms, &reply->outcome);
    if (op->kind == RT_STORE_TAKE && reply->outcome.verdict == RT_CLASS_OK) {
        struct fx_past *past = fx_record_past(fx, op->key.tenant, op->key.cid);
        if (record == NULL && op->past.size > 0) {
            memcpy(past->data, op->past.data, op->past.size);
            past->size = op->past.size;
        }
        reply->past = (struct rt_slice){past->data, past->size};
        record = fx_record(fx, op->key.tenant, op->key.cid);
        rt_claim_apply(&record->rule, &op->claim, &reply->outcome);
    }
}

static void run_find(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply,
                     struct rt_store_record *out)
{
    size_t i = op->cursor.host[0] == '\0' ? 0 : (size_t)op->cursor.since_ms;

    for (; i < fx->n_records && reply->n_records < fx->page; i++) {
        const struct rt_store_record *record = &fx->records[i];
        if ((op->key.tenant[0] == '\0' || strcmp(op->key.tenant, record->key.tenant) == 0) &&
            strncmp(op->key.cid, record->key.cid, strlen(op->key.cid)) == 0 &&
            (op->host[0] == '\0' || strcmp(op->host, record->rule.host) == 0)) {
            out[reply->n_records++] = *record;
        }
    }
    reply->records = out;
    if (i < fx->n_records) {
        memcpy(reply->cursor.host, "any", sizeof("any"));
        reply->cursor.since_ms = i;
    }
}

static void run_write(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_store_record *record = find(fx, &op->key);

    if (record == NULL) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_NOT_FOUND;
    } else if (record->rule.life != op->life ||
               (op->kind != RT_STORE_END && op->kind != RT_STORE_MARK && record->rule.epoch != op->epoch) ||
               (op->kind == RT_STORE_STATE && record->rule.state == RT_SESSION_ENDED)) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_STALE;
        reply->outcome.life = record->rule.life;
        reply->outcome.epoch = record->rule.epoch;
        memcpy(reply->outcome.host, record->rule.host, sizeof(reply->outcome.host));
    } else if (op->kind == RT_STORE_STATE && op->host[0] != '\0') {
        assert_string_equal(op->host, record->rule.host);
        record->rule.lost_ms = fx->store_ms;
    } else if (op->kind == RT_STORE_STATE && (op->state != RT_SESSION_MOVING || record->rule.lost_ms == 0)) {
        record->rule.state = op->state;
        record->rule.lost_ms = op->state == RT_SESSION_LOST ? fx->store_ms : 0;
    } else if (op->kind != RT_STORE_REPORT && record->rule.state == RT_SESSION_ENDED &&
               (record->code != op->end.code || record->out != op->end.out || record->err != op->end.err)) {
        reply->how = RT_END_OTHER;
    } else if (op->again && record->rule.state != RT_SESSION_ENDED) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_NOT_FOUND;
    } else if (op->kind == RT_STORE_END || op->kind == RT_STORE_MARK) {
        record->rule.state = RT_SESSION_ENDED;
        record->code = op->end.code;
        record->out = op->end.out;
        record->err = op->end.err;
        reply->how = fx->unsure ? RT_END_STORED : RT_END_REPLICATED;
        reply->unsure = fx->unsure;
        reply->spread = !fx->lone;
    }
}

static void run_registry(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    for (size_t i = 0; i < fx->n_hosts; i++) {
        const struct rt_store_host *row = &fx->hosts[i].row;
        int order = strcmp(row->host, op->host);

        if (op->kind == RT_STORE_HOST_ROW ? order != 0 : order <= 0) {
            continue;
        }
        if (reply->n_hosts == RT_HOSTS_PAGE) {
            memcpy(reply->next, reply->hosts[RT_HOSTS_PAGE - 1].host, sizeof(reply->next));
            return;
        }
        reply->hosts[reply->n_hosts++] = *row;
    }
}

static void run_revoke(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_store_record *record = find(fx, &op->key);
    uint64_t rev = op->life;

    if (rev == 0 && op->known == 0 && op->whole && (record == NULL || !record->rule.exists)) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_NOT_FOUND;
        return;
    }
    record = fx_record(fx, op->key.tenant, op->key.cid);
    if (rev == 0) {
        rev = record->rule.life + 1 > fx->store_ms ? record->rule.life + 1 : fx->store_ms;
        rev = rev > op->known ? rev : op->known;
    }
    if (rev > record->rule.rev) {
        record->rule.rev = rev;
    }
    reply->outcome.life = record->rule.rev;
}

static void run(struct fx *fx, const struct rt_store_op *op, int error)
{
    static struct rt_store_record out[FX_RECORDS];
    static struct rt_store_host hosts[RT_HOSTS_PAGE];
    struct rt_store_reply reply;
    struct rt_store_record *record = find(fx, &op->key);

    memset(&reply, 0, sizeof(reply));
    reply.id = op->id;
    reply.kind = op->kind;
    reply.error = error;
    reply.doubtful = fx->doubtful;
    if (error == 0 && (op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE)) {
        run_claim(fx, op, &reply);
    } else if (error == 0 && op->kind == RT_STORE_FIND) {
        run_find(fx, op, &reply, out);
    } else if (error == 0 && op->kind == RT_STORE_GET) {
        reply.records = record;
        reply.n_records = record != NULL;
        reply.unsure = fx->doubtful;
    } else if (error == 0 && (op->kind == RT_STORE_STATE || op->kind == RT_STORE_END || op->kind == RT_STORE_MARK ||
                              op->kind == RT_STORE_REPORT)) {
        run_write(fx, op, &reply);
    } else if (error == 0 && op->kind == RT_STORE_CREATE) {
        bool exists = record != NULL && record->rule.exists && record->rule.state != RT_SESSION_ENDED &&
                      (record->rule.rev == 0 || record->rule.life > record->rule.rev);
        reply.outcome.verdict = exists ? RT_CLASS_LIMIT : RT_CLASS_OK;
        record = fx_record(fx, op->key.tenant, op->key.cid);
        if (!exists) {
            record->rule.exists = true;
            record->rule.state = RT_SESSION_CREATED;
            if (record->rule.rev != 0 && record->rule.life <= record->rule.rev) {
                record->rule.life = record->rule.rev + 1;
            }
            reply.outcome.life = record->rule.life + 1;
        }
    } else if (error == 0 && op->kind == RT_STORE_REVOKE) {
        run_revoke(fx, op, &reply);
    } else if (error == 0 && op->kind == RT_STORE_REMOVE) {
        if (record == NULL || !record->rule.exists) {
            reply.error = RT_ENOTFOUND;
        } else if (record->rule.state != RT_SESSION_CREATED) {
            reply.outcome.verdict = RT_CLASS_LIMIT;
        } else {
            record->rule.exists = false;
        }
    } else if (error == 0 && op->kind == RT_STORE_TAILS) {
        reply.outcome.life = record == NULL ? 0 : record->rule.life;
        reply.lost = record != NULL && record->rule.state == RT_SESSION_LOST;
        memcpy(reply.outcome.host, fx->keeper, sizeof(reply.outcome.host));
        if (record == NULL || (record->rule.state != RT_SESSION_ENDED && !reply.lost)) {
            reply.error = RT_ENOTFOUND;
        } else {
            reply.end.code = record->code;
            reply.end.out = record->out;
            reply.end.err = record->err;
            reply.end.ord = (struct rt_slice){fx->order, fx->order_size};
            for (unsigned i = 0; i < 2; i++) {
                reply.tail[i].data = fx->tail[i];
                reply.tail[i].size = fx->tail_size[i];
            }
        }
    } else if (error == 0 && (op->kind == RT_STORE_HOSTS || op->kind == RT_STORE_HOST_ROW)) {
        reply.hosts = hosts;
        run_registry(fx, op, &reply);
    }
    rt_agent_store_reply(fx->agent, &reply, fx->now);
    fx_settle(fx);
}

void fx_answer_one(struct fx *fx, int error)
{
    struct rt_store_op op = fx->ops[0];

    assert_true(fx->n_ops > 0);
    fx->n_ops--;
    memmove(fx->ops, fx->ops + 1, fx->n_ops * sizeof(fx->ops[0]));
    run(fx, &op, error);
}

void fx_answer(struct fx *fx)
{
    fx_fail(fx, 0);
}

void fx_fail(struct fx *fx, int error)
{
    while (fx->n_ops > 0) {
        fx_answer_one(fx, error);
    }
}

static void news(struct fx *fx, const struct rt_store_news *item)
{
    rt_agent_store_news(fx->agent, item, fx->now);
}

void fx_limit(struct fx *fx, enum rt_limit limit, uint64_t most)
{
    fx->agent->config.limits[limit] = most;
}

void fx_up(struct fx *fx, bool fresh, bool whole)
{
    fx->store = FX_STORE_UP;
    news(fx, &(struct rt_store_news){.kind = RT_STORE_UP, .fresh = fresh, .whole = whole});
}

void fx_down(struct fx *fx)
{
    fx->store = FX_STORE_DOWN;
    news(fx, &(struct rt_store_news){.kind = RT_STORE_DOWN});
}

static struct fx_host *host_at(struct fx *fx, const char *host)
{
    size_t at = 0;

    while (at < fx->n_hosts && strcmp(fx->hosts[at].row.host, host) < 0) {
        at++;
    }
    if (at == fx->n_hosts || strcmp(fx->hosts[at].row.host, host) != 0) {
        assert_true(fx->n_hosts < FX_HOSTS);
        memmove(&fx->hosts[at + 1], &fx->hosts[at], (fx->n_hosts - at) * sizeof(fx->hosts[0]));
        fx->n_hosts++;
        memset(&fx->hosts[at], 0, sizeof(fx->hosts[at]));
        (void)snprintf(fx->hosts[at].row.host, sizeof(fx->hosts[at].row.host), "%s", host);
        (void)snprintf(fx->hosts[at].row.addr[0], sizeof(fx->hosts[at].row.addr[0]), "unix:/%.60s", host);
        fx->hosts[at].row.n_addr = 1;
    }
    return &fx->hosts[at];
}

void fx_host(struct fx *fx, const char *host, bool alive)
{
    struct fx_host *at = host_at(fx, host);
    struct rt_store_news item = {.kind = RT_STORE_HOST};

    at->alive = alive;
    if (alive) {
        at->row.seq++;
        item.row = at->row;
        news(fx, &item);
    }
}

void fx_beats(struct fx *fx, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fx_tick(fx, RT_HEARTBEAT_MS);
        for (size_t k = 0; k < fx->n_hosts; k++) {
            fx->hosts[k].row.seq += fx->hosts[k].alive;
        }
        news(fx, &(struct rt_store_news){.kind = RT_STORE_TOUCH, .store_ms = fx->store_ms});
        fx_answer(fx);
    }
}

void fx_claimed(struct fx *fx, const char *cid, const char *host, uint64_t life, uint64_t epoch)
{
    struct rt_store_news item;

    memset(&item, 0, sizeof(item));
    item.kind = RT_STORE_CLAIMED;
    (void)snprintf(item.key.tenant, sizeof(item.key.tenant), "local");
    (void)snprintf(item.key.cid, sizeof(item.key.cid), "%s", cid);
    (void)snprintf(item.host, sizeof(item.host), "%s", host);
    item.life = life;
    item.epoch = epoch;
    news(fx, &item);
}
