/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/codec.h"
#include "migrate/store/functions.h"
#include "session/core/frame.h"
#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The claim rules in C and in Lua are the same function: generated pairs of a record and a claim go through both. The
 * Lua is the real library, under another name and with a clock that the test sets. */

#define PAIRS 40000
#define BATCH 200
#define NOW_MS UINT64_C(1750000000123)

struct pair {
    struct rt_store_record record;
    struct rt_store_op op;
    uint64_t now_ms;
};

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % n;
}

/* Few values, so that any two are often equal; ids differ in one byte or in two, on both sides of what Lua compares at
 * once. */
static struct rt_id some_id(void)
{
    struct rt_id id = id_of(0x5a);

    id.b[random_below(2) ? 0 : 4] = (uint8_t)(random_below(3) * 0x7f);
    id.b[RT_ID_SIZE - 1] = (uint8_t)(random_below(2) * 0xff);
    return id;
}

static void some_host(char out[RT_HOST_MAX + 1], bool maybe_none)
{
    static const char *const hosts[] = {"h1", "h2", "host-3.example", ""};

    snprintf(out, RT_HOST_MAX + 1, "%s", hosts[random_below(maybe_none ? 4 : 3)]);
}

static size_t some_ids(struct rt_id *ids)
{
    size_t n = random_below(8) == 0 ? RT_ANCESTORS_MAX - random_below(2) : random_below(4);

    for (size_t i = 0; i < n; i++) {
        ids[i] = some_id();
    }
    return n;
}

static uint64_t some_life(void)
{
    if (random_below(8) == 0) {
        return RT_COUNTER_MAX - 7 + random_below(5); /* more digits than Lua prints by itself */
    }
    return random_below(4) == 0 ? NOW_MS - 2 + random_below(5) : random_below(4);
}

static void generate_record(struct rt_store_record *record)
{
    struct rt_record *rule = &record->rule;
    static const uint64_t ages[] = {0,     1, 500, RT_LEASE_MS - 400, RT_LEASE_MS - 1, RT_LEASE_MS, RT_LEASE_MS + 1,
                                    900000};

    memset(record, 0, sizeof(*record));
    rule->rev = random_below(4) == 0 ? some_life() : 0;
    rule->exists = random_below(8) != 0;
    if (!rule->exists) {
        return;
    }
    rule->state = (enum rt_session_state)(1 + random_below(5));
    rule->life = some_life();
    if (rule->state == RT_SESSION_CREATED) {
        return;
    }
    rule->epoch = random_below(4);
    rule->inc = some_id();
    rule->ticket = some_id();
    rule->n_ancestors = some_ids(rule->ancestors);
    rule->nonce = some_id();
    some_host(rule->host, false);
    some_host(rule->bound_to, true);
    if (rule->state == RT_SESSION_LOST) {
        rule->lost_ms = NOW_MS - ages[random_below(sizeof(ages) / sizeof(ages[0]))];
    }
}

static void generate_claim(struct rt_store_op *op, const struct rt_record *rule)
{
    struct rt_claim *claim = &op->claim;

    memset(op, 0, sizeof(*op));
    op->kind = RT_STORE_TAKE;
    claim->key = key_of("t", "twin");
    claim->join = random_below(3) == 0;
    claim->inc = random_below(2) ? rule->inc : some_id();
    claim->life = random_below(2) ? rule->life : some_life();
    claim->base = random_below(2) ? 0 : some_life();
    claim->epoch = random_below(2) ? rule->epoch : random_below(5);
    claim->nonce = random_below(2) ? rule->nonce : some_id();
    if (!claim->join) {
        claim->ticket = random_below(3) == 0 ? rule->ticket : some_id();
        claim->n_ancestors = some_ids(claim->ancestors);
        claim->taken = random_below(2);
    }
    claim->next = random_below(3) == 0 ? rule->ticket : some_id();
    some_host(claim->host, false);
    if (random_below(2) && rule->host[0] != '\0') {
        memcpy(claim->host, rule->host, sizeof(claim->host));
    }
    some_host(claim->proof, true);
    some_host(claim->dead_host, true);
    claim->store_whole = random_below(2);
    claim->granted_life = random_below(2) ? 0 : some_life();
}

static void send_args(redisContext *context, struct rt_redis_args *args)
{
    assert_int_equal(redisAppendCommandArgv(context, args->n, (const char **)(uintptr_t)args->argv, args->size),
                     REDIS_OK);
}

static void send_format(redisContext *context, const char *command)
{
    assert_int_equal(redisAppendCommand(context, command), REDIS_OK);
}

static void add_hex(struct rt_redis_args *args, const char *name, const struct rt_id *ids, size_t n, char *room)
{
    for (size_t i = 0; i < n; i++) {
        rt_store_format_id(&ids[i], room + RT_STORE_ID_HEX * i);
    }
    rt_redis_text(args, name);
    rt_redis_arg(args, room, RT_STORE_ID_HEX * n);
}

static void send_record(redisContext *context, const struct rt_record *rule)
{
    char command[256], inc[64], ticket[64], nonce[64], ancestors[RT_STORE_ID_HEX * RT_ANCESTORS_MAX + 1];
    struct rt_redis_args args = {.n = 0};

    snprintf(command, sizeof(command), "HSET rt:{t/twin}:r st %d life %" PRIu64 " ep %" PRIu64 " lost %" PRIu64,
             (int)rule->state, rule->life, rule->epoch, rule->lost_ms);
    send_format(context, command);
    rt_redis_text(&args, "HSET");
    rt_redis_text(&args, "rt:{t/twin}:r");
    rt_redis_text(&args, "host");
    rt_redis_text(&args, rule->host);
    if (rule->state != RT_SESSION_CREATED) {
        rt_redis_text(&args, "bound");
        rt_redis_text(&args, rule->bound_to);
        add_hex(&args, "inc", &rule->inc, 1, inc);
        add_hex(&args, "tkt", &rule->ticket, 1, ticket);
        add_hex(&args, "nonce", &rule->nonce, 1, nonce);
        add_hex(&args, "anc", rule->ancestors, rule->n_ancestors, ancestors);
    }
    send_args(context, &args);
}

/* Commands per pair: del, clock, revoked, [2 x record], claim, read. */
static void send_pair(redisContext *context, const struct pair *pair)
{
    struct rt_store_args args;
    char command[128];

    send_format(context, "DEL rt:{t/twin}:r rt:{t/twin}:t twin:now");
    snprintf(command, sizeof(command), "SET rt:{t/twin}:v %" PRIu64, pair->record.rule.rev);
    send_format(context, command);
    snprintf(command, sizeof(command), "RPUSH twin:now %" PRIu64 " %" PRIu64, pair->now_ms / 1000,
             pair->now_ms % 1000 * 1000 + 999);
    send_format(context, command);
    if (pair->record.rule.exists) {
        send_record(context, &pair->record.rule);
    }
    assert_int_equal(rt_store_encode(&pair->op, "h1", &args), 0);
    args.redis.argv[1] = "rt_twin_claim";
    args.redis.size[1] = strlen("rt_twin_claim");
    send_args(context, &args.redis);
    send_format(context, "HGETALL rt:{t/twin}:r");
}

static redisReply *receive(redisContext *context)
{
    void *reply = NULL;

    assert_int_equal(redisGetReply(context, &reply), REDIS_OK);
    assert_non_null(reply);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) {
        fail_msg("%s", ((redisReply *)reply)->str);
    }
    return reply;
}

static void skip_replies(redisContext *context, size_t n)
{
    while (n-- > 0) {
        freeReplyObject(receive(context));
    }
}

static bool same_rule(const struct rt_record *a, const struct rt_record *b)
{
    return a->exists == b->exists && a->state == b->state && a->life == b->life && a->epoch == b->epoch &&
           rt_id_equal(&a->inc, &b->inc) && rt_id_equal(&a->ticket, &b->ticket) && a->n_ancestors == b->n_ancestors &&
           memcmp(a->ancestors, b->ancestors, a->n_ancestors * sizeof(a->ancestors[0])) == 0 &&
           rt_id_equal(&a->nonce, &b->nonce) && strcmp(a->host, b->host) == 0 && a->lost_ms == b->lost_ms &&
           strcmp(a->bound_to, b->bound_to) == 0;
}

static bool same_outcome(const struct rt_claim_outcome *a, const struct rt_claim_outcome *b)
{
    return a->verdict == b->verdict && a->draining == b->draining && a->life == b->life && a->epoch == b->epoch &&
           a->delay_ms == b->delay_ms && strcmp(a->host, b->host) == 0 && a->moved == b->moved;
}

static unsigned verdicts[RT_CLASSES], drained, moved, delayed, untaken;

static void check_pair(redisContext *context, const struct pair *pair, unsigned long number)
{
    struct rt_record expected = pair->record.rule;
    struct rt_claim_outcome want, got;
    struct rt_store_record record;
    char set[RT_HOST_MAX + 1];
    redisReply *reply;

    rt_claim_judge(&expected, &pair->op.claim, pair->now_ms, &want);
    if (want.verdict == RT_CLASS_OK) {
        rt_claim_apply(&expected, &pair->op.claim, &want);
    }
    verdicts[want.verdict]++;
    untaken += !pair->op.claim.join && !pair->op.claim.taken && expected.exists &&
               expected.state != RT_SESSION_CREATED && !rt_id_equal(&pair->op.claim.inc, &pair->record.rule.inc);
    drained += want.draining;
    moved += want.moved;
    delayed += want.delay_ms != 0 && want.delay_ms != RT_CLAIM_RETRY_MS;
    skip_replies(context, pair->record.rule.exists ? 5 : 3);
    reply = receive(context);
    assert_int_equal(rt_store_parse_outcome(reply, &got, set), 0);
    freeReplyObject(reply);
    reply = receive(context);
    assert_int_equal(rt_store_parse_record(reply, &pair->op.claim.key, &record, set), expected.exists);
    freeReplyObject(reply);
    if (!same_outcome(&want, &got) || !same_rule(&expected, &record.rule)) {
        fail_msg("pair %lu: C says %s life %" PRIu64 " delay %" PRIu64 ", Lua %s life %" PRIu64 " delay %" PRIu64
                 "; records are %s",
                 number, rt_class_name(want.verdict), want.life, want.delay_ms, rt_class_name(got.verdict), got.life,
                 got.delay_ms, same_rule(&expected, &record.rule) ? "equal" : "different");
    }
}

static char *replace(const char *text, const char *from, const char *to)
{
    size_t count = 0;
    char *out, *at;

    for (const char *hit = strstr(text, from); hit != NULL; hit = strstr(hit + 1, from)) {
        count++;
    }
    assert_true(count > 0);
    out = malloc(strlen(text) + count * strlen(to) + 1);
    assert_non_null(out);
    at = out;
    for (;;) {
        const char *hit = strstr(text, from);
        size_t size = hit != NULL ? (size_t)(hit - text) : strlen(text);

        memcpy(at, text, size);
        at += size;
        if (hit == NULL) {
            *at = '\0';
            return out;
        }
        memcpy(at, to, strlen(to));
        at += strlen(to);
        text = hit + strlen(from);
    }
}

static void load_twin(redisContext *context)
{
    char *named = replace(rt_store_functions_lua, rt_store_functions_version, "twin");
    char *clock = replace(named, "redis.call('TIME')", "redis.call('LRANGE', 'twin:now', 0, 1)");
    redisReply *reply = redisCommand(context, "FUNCTION LOAD %s", clock);

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    freeReplyObject(reply);
    free(named);
    free(clock);
}

static void test_twins_agree(void **state)
{
    static struct pair pairs[BATCH];
    redisContext *context = redisConnectUnix(redis.socket);
    const char *seed = getenv("RT_TWIN_SEED");

    (void)state;
    random_state = seed != NULL ? strtoull(seed, NULL, 0) : UINT64_C(0x9e3779b97f4a7c15);
    assert_non_null(context);
    load_twin(context);
    for (unsigned long done = 0; done < PAIRS; done += BATCH) {
        for (size_t i = 0; i < BATCH; i++) {
            generate_record(&pairs[i].record);
            generate_claim(&pairs[i].op, &pairs[i].record.rule);
            pairs[i].now_ms = NOW_MS;
            send_pair(context, &pairs[i]);
        }
        for (size_t i = 0; i < BATCH; i++) {
            check_pair(context, &pairs[i], done + i);
        }
    }
    redisFree(context);
    /* A generator that no longer reaches a rule is a defect of this test. */
    assert_true(verdicts[RT_CLASS_OK] > 1000);
    assert_true(verdicts[RT_CLASS_RETRY_LATER] > 1000);
    assert_true(verdicts[RT_CLASS_STALE] > 500);
    assert_true(verdicts[RT_CLASS_REWOUND] > 500);
    assert_true(verdicts[RT_CLASS_FORKED] > 500);
    assert_true(verdicts[RT_CLASS_SUPERSEDED] > 500);
    assert_true(verdicts[RT_CLASS_BAD_AUTH] > 1000);
    assert_true(drained > 200 && moved > 500 && delayed > 50 && untaken > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_twins_agree)};

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
