/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/agent_world.h"

#include "migrate/store/codec.h"

#include <string.h>

#define HOSTS 3

static const char *const host_names[HOSTS] = {"h0", "h1", "h2"};
static struct rt_store_record records[WORLD_KEYS + 1]; /* by world_key(); the last one stands for all others */
static struct rt_store_record found[RT_LIST_MAX];
static struct rt_store_host rows[RT_HOSTS_PAGE];
static uint8_t nothing[RT_PAST_MAX + 1];

void world_store_reset(void)
{
    memset(records, 0, sizeof(records));
}

static struct rt_store_record *record_of(const struct rt_key *key)
{
    struct rt_key mine;
    unsigned i = 0;
    for (; i < WORLD_KEYS; i++) {
        world_key(i, &mine);
        if (rt_key_equal(&mine, key)) {
            break;
        }
    }
    return &records[i];
}

int world_store(void *ctx, const struct rt_store_op *op)
{
    static struct rt_store_args args;
    (void)ctx;
    FUZZ_CHECK(op->id != 0);
    for (size_t i = 0; i < world.n_ops; i++) {
        FUZZ_CHECK(world.ops[i].id != op->id);
    }
    FUZZ_CHECK(op->kind == RT_STORE_FIND || rt_store_encode(op, "h0", &args) != RT_EINVAL);
    if (world.refusing) {
        return RT_EUNAVAIL;
    }
    if (world.n_ops == WORLD_OPS) {
        return RT_ELIMIT;
    }
    world.ops[world.n_ops++] = *op;
    return 0;
}

/* A host whose row has been seen to move with what the fuzzer chose. */
static void row_of(unsigned host, bool moves, struct rt_store_host *row)
{
    static uint64_t seqs[HOSTS];
    memset(row, 0, sizeof(*row));
    rt_slice_copy(rt_slice_text(host_names[host]), row->host, sizeof(row->host));
    memcpy(row->addr[0], "unix:/a", 8);
    row->n_addr = 1;
    seqs[host] += moves;
    row->seq = seqs[host];
}

/* Whether the record is at the claim that a write is made under; else says whose it is. */
static void written(const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_store_record *record = record_of(&op->key);
    const struct rt_record *rule = &record->rule;
    bool end = op->kind == RT_STORE_END || op->kind == RT_STORE_MARK;
    if (rule->exists && rule->life == op->life && (rule->epoch == op->epoch || end)) {
        if (op->kind == RT_STORE_STATE && op->host[0] != '\0') {
            record->rule.lost_ms = WORLD_WALL_MS + world.now;
        } else if (op->kind != RT_STORE_REPORT) {
            record->rule.state = end ? RT_SESSION_ENDED : op->state;
        }
        reply->how = end ? RT_END_STORED : RT_END_LATER;
        return;
    }
    reply->error = RT_ENOTFOUND;
    reply->outcome.verdict = rule->exists ? RT_CLASS_STALE : RT_CLASS_NOT_FOUND;
    reply->outcome.life = rule->life;
    reply->outcome.epoch = rule->epoch;
    memcpy(reply->outcome.host, rule->host, sizeof(rule->host));
}

static void find(const struct rt_store_op *op, struct rt_store_reply *reply)
{
    for (unsigned i = 0; i < WORLD_KEYS; i++) {
        if (records[i].rule.exists && (op->host[0] == '\0' || strcmp(op->host, records[i].rule.host) == 0)) {
            found[reply->n_records] = records[i];
            world_key(i, &found[reply->n_records++].key);
        }
    }
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Over a record that has ended or is revoked; its life is kept. */
static void create(struct rt_record *rule, struct rt_store_reply *reply)
{
    uint64_t rev = rule->rev, life = rev > 0 ? larger(rule->life, rev + 1) : rule->life;
    if (rule->exists && rule->state != RT_SESSION_ENDED && (rev == 0 || rule->life > rev)) {
        reply->outcome.verdict = RT_CLASS_LIMIT;
        return;
    }
    *rule = (struct rt_record){.exists = true, .state = RT_SESSION_CREATED, .life = life, .rev = rev};
    reply->outcome.life = life + 1;
}

static void revoke(const struct rt_store_op *op, struct rt_record *rule, struct rt_store_reply *reply)
{
    uint64_t rev = op->life;
    if (rev == 0 && !rule->exists && op->known == 0 && op->whole) {
        reply->error = RT_ENOTFOUND;
        return;
    }
    if (rev == 0)
        rev = larger(larger(rule->life, rule->rev) + 1, larger(op->known, WORLD_WALL_MS + world.now));
    reply->outcome.life = rule->rev = larger(rev, rule->rev);
}

/* As a record has it, or zeros, of which the most are one byte too many. */
static struct rt_slice past_of(const struct rt_claim *claim)
{
    static char text[128];
    if (claim->epoch % 4 == 3) {
        return (struct rt_slice){nothing, (size_t)(claim->epoch % (sizeof(nothing) + 1))};
    }
    (void)snprintf(text, sizeof(text), "5 1 65536 5\nlabel%llu %llu 7 h1\n%llu %llu 9 h0\n",
                   (unsigned long long)claim->life % 1000, (unsigned long long)claim->epoch % 1000,
                   (unsigned long long)claim->life % 1000, (unsigned long long)claim->epoch % 1000 + 1);
    return rt_slice_text(text);
}

static void answer_by_the_rules(const struct rt_store_op *op, struct rt_store_reply *reply)
{
    bool claim = op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE;
    struct rt_store_record *record = record_of(claim ? &op->claim.key : &op->key);
    switch (op->kind) {
    case RT_STORE_CREATE:
        create(&record->rule, reply);
        break;
    case RT_STORE_REMOVE:
        reply->outcome.verdict = record->rule.exists ? RT_CLASS_LIMIT : RT_CLASS_OK;
        break;
    case RT_STORE_REVOKE:
        revoke(op, &record->rule, reply);
        break;
    case RT_STORE_TEST:
    case RT_STORE_TAKE:
        rt_claim_judge(&record->rule, &op->claim, WORLD_WALL_MS + world.now, &reply->outcome);
        if (op->kind == RT_STORE_TAKE && reply->outcome.verdict == RT_CLASS_OK) {
            rt_claim_apply(&record->rule, &op->claim, &reply->outcome);
            reply->past = past_of(&op->claim);
        }
        break;
    case RT_STORE_STATE:
    case RT_STORE_REPORT:
    case RT_STORE_END:
    case RT_STORE_MARK:
        written(op, reply);
        break;
    case RT_STORE_GET:
    case RT_STORE_TAILS:
        reply->error = record->rule.exists ? 0 : RT_ENOTFOUND;
        reply->n_records = record->rule.exists && op->kind == RT_STORE_GET;
        found[0] = *record;
        found[0].key = op->key;
        break;
    case RT_STORE_FIND:
        find(op, reply);
        break;
    case RT_STORE_HOSTS:
    case RT_STORE_HOST_ROW:
        for (unsigned i = 0; i < HOSTS; i++) {
            int order = strcmp(host_names[i], op->host);
            if (op->kind == RT_STORE_HOSTS ? order > 0 : order == 0) {
                row_of(i, i < 2, &rows[reply->n_hosts++]);
            }
        }
        break;
    }
}

/* Any reply of the kind that its decoder lets pass. */
static void answer_anything(const struct rt_store_op *op, struct rt_store_reply *reply, struct fuzz_in *in)
{
    static uint8_t tail[RT_TAIL_MAX];
    struct rt_claim_outcome *outcome = &reply->outcome;
    uint8_t how;
    outcome->verdict = fuzz_byte(in) % RT_CLASSES;
    outcome->draining = fuzz_byte(in) & 1;
    outcome->moved = fuzz_byte(in) & 1;
    outcome->life = fuzz_number(in);
    outcome->epoch = fuzz_number(in);
    outcome->delay_ms = fuzz_number(in);
    rt_slice_copy(rt_slice_text(host_names[fuzz_byte(in) % HOSTS]), outcome->host, sizeof(outcome->host));
    how = fuzz_byte(in);
    reply->how = how % (RT_END_OTHER + 1);
    reply->unsure = how >= 128;
    reply->spread = how & 64;
    if (op->kind == RT_STORE_GET || op->kind == RT_STORE_FIND) {
        reply->n_records = fuzz_byte(in) % (op->kind == RT_STORE_GET ? 2 : RT_LIST_MAX + 1);
        reply->cursor.host[0] = op->kind == RT_STORE_FIND && fuzz_byte(in) % 2 ? 'h' : '\0';
    }
    for (size_t i = 0; i < reply->n_records; i++) {
        struct rt_record *rule = &found[i].rule;
        found[i] = records[fuzz_byte(in) % WORLD_KEYS];
        world_key(fuzz_byte(in), &found[i].key);
        rule->exists = true;
        rule->state = 1 + fuzz_byte(in) % RT_SESSION_ENDED;
        rule->life = fuzz_number(in);
        rule->epoch = fuzz_number(in);
        rt_slice_copy(rt_slice_text(host_names[fuzz_byte(in) % HOSTS]), rule->host, sizeof(rule->host));
    }
    if (op->kind == RT_STORE_TAILS) {
        reply->end.out = fuzz_number(in) + RT_TAIL_MAX;
        reply->end.err = fuzz_number(in) + RT_TAIL_MAX;
        reply->tail[0] = (struct rt_slice){tail, (size_t)fuzz_number(in) % RT_TAIL_MAX};
        reply->tail[1] = (struct rt_slice){tail, fuzz_byte(in)};
        if (reply->tail[0].size >= 3 && reply->tail[1].size >= 1)
            reply->end.ord = rt_slice_text("\1\1\1\2");
    }
}

void world_store_answer(struct fuzz_in *in)
{
    static const int errors[] = {RT_EUNAVAIL, RT_ETIMEDOUT, RT_ELIMIT, RT_ENOTFOUND, RT_ECANCELED, RT_EPROTO};
    struct rt_store_reply reply;
    struct rt_store_op op;
    uint8_t which = fuzz_byte(in), how = fuzz_byte(in) % 8;
    memset(&reply, 0, sizeof(reply));
    reply.records = found;
    reply.hosts = rows;
    if (world.n_ops == 0 || which == 255) { /* a second answer, or none was asked for */
        reply.id = world.answered;
        rt_agent_store_reply(world.agent, &reply, world.now);
        return;
    }
    which %= world.n_ops;
    op = world.ops[which];
    memmove(world.ops + which, world.ops + which + 1, (world.n_ops - which - 1) * sizeof(op));
    world.n_ops--;
    reply.id = world.answered = op.id;
    reply.kind = op.kind;
    if (how < 5) {
        answer_by_the_rules(&op, &reply);
    } else if (how == 5) {
        answer_anything(&op, &reply, in);
    } else {
        if (how == 6) { /* it had its effect, and the answer is lost */
            answer_by_the_rules(&op, &reply);
            reply.n_records = reply.n_hosts = 0;
        }
        reply.error = errors[fuzz_byte(in) % (sizeof(errors) / sizeof(errors[0]))];
    }
    rt_agent_store_reply(world.agent, &reply, world.now);
}

void world_store_up(bool fresh, bool whole)
{
    struct rt_store_news news = {.kind = RT_STORE_UP, .fresh = fresh, .whole = whole};
    rt_agent_store_news(world.agent, &news, world.now);
}

void world_store_beat(void)
{
    struct rt_store_news news = {.kind = RT_STORE_TOUCH, .store_ms = WORLD_WALL_MS + world.now};
    rt_agent_store_news(world.agent, &news, world.now);
}

void world_store_news(struct fuzz_in *in)
{
    struct rt_store_news news;
    uint8_t what = fuzz_byte(in);
    unsigned n = fuzz_byte(in);
    memset(&news, 0, sizeof(news));
    switch (what % 8) {
    case 0:
        world_store_up(what & 16, what & 32);
        return;
    case 1:
        news.kind = RT_STORE_DOWN;
        break;
    case 2:
    case 3:
        news.kind = RT_STORE_HOST;
        row_of(n % HOSTS, what & 16, &news.row);
        break;
    case 4:
        news.kind = what & 16 ? RT_STORE_TAKEN : RT_STORE_TOUCH;
        break;
    case 5:
        world.refusing = what & 16;
        world.disk_full = what & 32;
        return;
    case 6: /* through another agent, or once more */
        news.kind = RT_STORE_REVOKED;
        world_key(n, &news.key);
        if (what & 16)
            records[n % WORLD_KEYS].rule.rev = larger(records[n % WORLD_KEYS].rule.rev + 1, WORLD_WALL_MS + world.now);
        news.life = records[n % WORLD_KEYS].rule.rev;
        break;
    default:
        news.kind = RT_STORE_CLAIMED;
        world_key(n, &news.key);
        news.life = records[n % WORLD_KEYS].rule.life + fuzz_byte(in) % 2;
        news.epoch = records[n % WORLD_KEYS].rule.epoch + fuzz_byte(in) % 4;
        rt_slice_copy(rt_slice_text(host_names[n / WORLD_KEYS % HOSTS]), news.host, sizeof(news.host));
        break;
    }
    rt_agent_store_news(world.agent, &news, world.now);
}
