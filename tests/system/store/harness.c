/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is waited for comes sooner on a quiet machine, by so much; then it is a hang. */
#define PATIENCE 10

/* For an answer of a test server's. */
#define ASK_MS 5000

/* A Redis on a busy machine may need longer than an agent waits by default. */
uint64_t agent_call_ms = 10000;

uv_loop_t loop;
struct rt_test_redis redis;

int loop_setup(void **state)
{
    (void)state;
    return uv_loop_init(&loop);
}

int loop_teardown(void **state)
{
    (void)state;
    uv_run(&loop, UV_RUN_NOWAIT);
    return uv_loop_close(&loop);
}

int group_setup(void **state)
{
    return loop_setup(state) || rt_test_redis_start(&redis, NULL, NULL);
}

int group_teardown(void **state)
{
    rt_test_redis_stop(&redis);
    return loop_teardown(state);
}

int flush_setup(void **state)
{
    char answer[64];

    (void)state;
    return rt_test_redis_command(&redis, "FLUSHALL", answer, sizeof(answer));
}

long long redis_number(const char *format, const char *arg)
{
    redisContext *context = redisConnectUnix(redis.socket);
    redisReply *reply;
    long long value;

    assert_true(context != NULL && context->err == 0);
    reply = redisCommand(context, format, arg);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR) {
        fail_msg("%s: %s", format, reply->str);
    }
    value = reply->integer;
    freeReplyObject(reply);
    redisFree(context);
    return value;
}

static void on_reply(void *ctx, const struct rt_store_reply *reply)
{
    struct agent *agent = ctx;

    agent->reply = *reply;
    agent->n_replies++;
    agent->n_errors[-reply->error]++;
    if (reply->n_records) {
        memcpy(agent->records, reply->records, reply->n_records * sizeof(*reply->records));
    }
    if (reply->n_hosts) {
        memcpy(agent->hosts, reply->hosts, reply->n_hosts * sizeof(*reply->hosts));
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(reply->tail[i].size <= RT_TAIL_MAX);
        if (reply->tail[i].size) {
            memcpy(agent->tails[i], reply->tail[i].data, reply->tail[i].size);
        }
        agent->reply.tail[i].data = agent->tails[i];
    }
    assert_true(reply->end.ord.size <= sizeof(agent->order));
    if (reply->end.ord.size) {
        memcpy(agent->order, reply->end.ord.data, reply->end.ord.size);
    }
    agent->reply.end.ord.data = agent->order;
    assert_true(reply->past.size <= RT_PAST_MAX);
    if (reply->past.size) {
        memcpy(agent->past, reply->past.data, reply->past.size);
    }
    agent->reply.past.data = agent->past;
    agent->reply.records = agent->records;
    agent->reply.hosts = agent->hosts;
}

static void on_news(void *ctx, const struct rt_store_news *news)
{
    struct agent *agent = ctx;

    assert_true(agent->n_news < NEWS_MAX);
    agent->news[agent->n_news++] = *news;
}

static void on_log(void *ctx, enum rt_log_level level, const char *text)
{
    struct agent *agent = ctx;

    agent->n_warnings += level == RT_LOG_WARN;
    agent->n_errors_logged += level == RT_LOG_ERROR;
    if (agent->n_log < 64) {
        snprintf(agent->log[agent->n_log++], sizeof(agent->log[0]), "%s", text);
    }
}

bool logged(const struct agent *agent, const char *part)
{
    for (size_t i = 0; i < agent->n_log; i++) {
        if (strstr(agent->log[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

const char *login_file(const char *text)
{
    static int file = -1;
    static char path[64];

    if (file < 0) {
        file = memfd_create("login", MFD_CLOEXEC);
        assert_true(file >= 0 && fchmod(file, 0600) == 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    }
    assert_int_equal(ftruncate(file, 0), 0);
    assert_int_equal(pwrite(file, text, strlen(text), 0), strlen(text));
    return path;
}

void agent_config(struct rt_store_config *config, const char *endpoint, const char *host)
{
    *config = (struct rt_store_config){.endpoints = {endpoint},
                                       .n_endpoints = 1,
                                       .host = host,
                                       .addr = {"tcp:192.0.2.1:7401", "tcp:[2001:db8::1]:7401"},
                                       .n_addr = 2,
                                       .version = "0.1-test",
                                       .op_timeout_ms = agent_call_ms,
                                       .connect_timeout_ms = agent_call_ms,
                                       .on_reply = on_reply,
                                       .on_news = on_news,
                                       .on_log = on_log};
}

struct agent *agent_new(const struct rt_store_config *config)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    struct rt_store_config copy = *config;

    assert_non_null(agent);
    copy.ctx = agent;
    assert_int_equal(rt_store_init(&agent->store, &loop, &copy), 0);
    rt_store_start(&agent->store);
    return agent;
}

bool is_up(struct agent *agent)
{
    return agent->store.phase == RT_STORE_ONLINE;
}

bool is_down(struct agent *agent)
{
    return agent->store.phase != RT_STORE_ONLINE;
}

static void show_log(const struct agent *agent)
{
    for (size_t i = 0; i < agent->n_log; i++) {
        print_message("  %s: %s\n", agent->store.self.host, agent->log[i]);
    }
}

static bool is_ready(struct agent *agent)
{
    return is_up(agent) && agent->store.reg->ends.state == RT_REDIS_READY &&
           agent->store.pubsub.state == RT_REDIS_READY;
}

struct agent *agent_start(const char *endpoint, const char *host)
{
    struct rt_store_config config;
    struct agent *agent;

    agent_config(&config, endpoint, host);
    agent = agent_new(&config);
    if (!run_until(is_ready, agent, 5000)) {
        show_log(agent);
        fail();
    }
    run_for(20); /* the subscription */
    return agent;
}

static void closed(struct rt_store *store)
{
    struct agent *agent = (struct agent *)store;

    agent->stopped = true;
}

static bool is_stopped(struct agent *agent)
{
    return agent->stopped;
}

void agent_stop(struct agent *agent)
{
    rt_store_stop(&agent->store, closed);
    assert_true(run_until(is_stopped, agent, 1000));
    assert_int_equal(agent->store.n_ops, 0);
    free(agent);
}

static void late_cb(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void noop_cb(uv_handle_t *handle)
{
    *(bool *)handle->data = false;
}

bool run_until(bool (*done)(struct agent *), struct agent *agent, uint64_t ms)
{
    bool late = false, open = true, ok;
    uv_timer_t timer;

    uv_timer_init(&loop, &timer);
    timer.data = &late;
    uv_update_time(&loop);
    uv_timer_start(&timer, late_cb, done != NULL ? ms * PATIENCE : ms, 0);
    while (!late && !(done != NULL && done(agent))) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    ok = done != NULL && done(agent);
    timer.data = &open;
    uv_close((uv_handle_t *)&timer, noop_cb);
    while (open) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    return ok;
}

void run_for(uint64_t ms)
{
    run_until(NULL, NULL, ms);
}

/* Of INFO replication: how many replicas have said that they have all up to this offset. One that is connected and
 * still loads what it was sent has said nothing yet. */
static unsigned caught_up(const char *info, unsigned long long offset)
{
    unsigned n = 0;

    for (const char *at = info; (at = strstr(at, ",state=online,offset=")) != NULL; at++) {
        n += strtoull(at + strlen(",state=online,offset="), NULL, 10) >= offset;
    }
    return n;
}

/* What INFO replication says; to be freed. */
static redisReply *replication_of(const struct rt_test_redis *server)
{
    redisReply *info = rt_test_redis_ask(server, ASK_MS, "INFO replication");

    if (info == NULL || info->type != REDIS_REPLY_STRING) {
        fail_msg("no answer to INFO replication");
    }
    return info;
}

static unsigned long long offset_of(const char *info)
{
    const char *at = strstr(info, "master_repl_offset:");

    return at != NULL ? strtoull(at + strlen("master_repl_offset:"), NULL, 10) : 0;
}

void until_replicas(struct rt_test_redis *server, unsigned n)
{
    uint64_t end = uv_hrtime() + UINT64_C(30000000000);
    unsigned long long offset = 0; /* 0: nothing is replicated yet */
    unsigned found;

    do {
        redisReply *info = replication_of(server);

        offset = offset > 0 ? offset : offset_of(info->str);
        found = caught_up(info->str, offset);
        if (uv_hrtime() > end) {
            fail_msg("%u replicas have all, not %u: %s", found, n, info->str);
        }
        freeReplyObject(info);
        run_for(20);
    } while ((n > 0 && offset == 0) || found != n);
}

static bool has_reply(struct agent *agent)
{
    return agent->n_replies > 0 && agent->reply.id == agent->last_id;
}

int submit(struct agent *agent, struct rt_store_op *op)
{
    size_t before = agent->n_replies;
    int rc;

    op->id = ++agent->last_id;
    rc = rt_store_submit(&agent->store, op);
    assert_int_equal(agent->n_replies, before); /* never from within */
    if (rc) {
        return rc;
    }
    assert_true(run_until(has_reply, agent, 8000));
    assert_int_equal(agent->n_replies, before + 1);
    assert_int_equal(agent->reply.kind, op->kind);
    return agent->reply.error;
}

const struct rt_store_news *find_news(const struct agent *agent, enum rt_store_news_kind kind, size_t from)
{
    for (size_t i = from; i < agent->n_news; i++) {
        if (agent->news[i].kind == kind) {
            return &agent->news[i];
        }
    }
    return NULL;
}

struct rt_key key_of(const char *tenant, const char *cid)
{
    struct rt_key key;

    memset(&key, 0, sizeof(key));
    snprintf(key.tenant, sizeof(key.tenant), "%s", tenant);
    snprintf(key.cid, sizeof(key.cid), "%s", cid);
    return key;
}

struct rt_id id_of(uint8_t seed)
{
    struct rt_id id;

    memset(id.b, seed, sizeof(id.b));
    return id;
}

struct rt_store_op join_op(enum rt_store_op_kind kind, struct rt_key key, uint8_t inc, uint8_t next, const char *host)
{
    struct rt_store_op op;

    memset(&op, 0, sizeof(op));
    op.kind = kind;
    op.claim.key = key;
    op.claim.join = true;
    op.claim.inc = id_of(inc);
    op.claim.epoch = 1;
    op.claim.nonce = id_of((uint8_t)(next + 100));
    op.claim.next = id_of(next);
    op.claim.store_whole = true;
    snprintf(op.claim.host, sizeof(op.claim.host), "%s", host);
    return op;
}

struct rt_store_op ticket_op(struct rt_key key, uint8_t inc, uint64_t life, uint64_t epoch, uint8_t t, uint8_t next,
                             const char *host)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key, inc, next, host);

    op.claim.join = false;
    op.claim.life = life;
    op.claim.epoch = epoch;
    op.claim.ticket = id_of(t);
    op.claim.taken = true;
    return op;
}
