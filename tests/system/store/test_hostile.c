/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A server that is no Redis, or a Redis gone mad. The connection is dropped, dials are few, and
 * nothing grows. */

#define RULES_MAX 8

/* The first rule whose `ask` the bytes received contain answers them. The connection's name, which is told with the
 * first of them, is taken. */
struct rule {
    const char *ask; /* "" fits all */
    const char *answer;
    size_t size;   /* 0: strlen(answer) */
    size_t repeat; /* further times */
};

struct fake {
    uv_pipe_t listener;
    char dir[32], path[48], endpoint[64];
    struct rule rules[RULES_MAX];
    size_t n_connections, n_open;
    bool greets_first; /* speaks before it is asked */
    bool closed;
};

struct peer {
    uv_pipe_t pipe;
    struct fake *fake;
    char in[65536];
};

#define ROLE_OK "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define RUN_ID "0123456789abcdef0123456789abcdef01234567"
#define INFO_OK "$47\r\nrun_id:" RUN_ID "\r\n"

static void peer_closed_cb(uv_handle_t *handle)
{
    struct peer *peer = handle->data;

    peer->fake->n_open--;
    free(peer);
}

static void written_cb(uv_write_t *req, int status)
{
    (void)status;
    free(req);
}

static void say(struct peer *peer, const struct rule *rule)
{
    uv_buf_t buf =
        uv_buf_init((char *)(uintptr_t)rule->answer, (unsigned)(rule->size ? rule->size : strlen(rule->answer)));

    for (size_t i = 0; i <= rule->repeat && buf.len > 0; i++) {
        uv_write_t *req = malloc(sizeof(*req));

        assert_non_null(req);
        uv_write(req, (uv_stream_t *)&peer->pipe, &buf, 1, written_cb);
    }
}

static void peer_alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct peer *peer = handle->data;

    (void)suggested;
    *buf = uv_buf_init(peer->in, sizeof(peer->in) - 1);
}

static void peer_read_cb(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;

    (void)buf;
    if (size < 0) {
        uv_close((uv_handle_t *)stream, peer_closed_cb);
        return;
    }
    peer->in[size] = '\0';
    if (memmem(peer->in, (size_t)size, "SETNAME", 7) != NULL) {
        say(peer, &(struct rule){.answer = "+OK\r\n"});
    }
    for (const struct rule *rule = peer->fake->rules; rule->ask != NULL; rule++) {
        if (memmem(peer->in, (size_t)size, rule->ask, strlen(rule->ask)) != NULL) {
            say(peer, rule);
            return;
        }
    }
}

static void accept_cb(uv_stream_t *listener, int status)
{
    struct fake *fake = listener->data;
    struct peer *peer = calloc(1, sizeof(*peer));

    assert_int_equal(status, 0);
    assert_non_null(peer);
    fake->n_connections++;
    fake->n_open++;
    peer->fake = fake;
    uv_pipe_init(&loop, &peer->pipe, 0);
    peer->pipe.data = peer;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->pipe), 0);
    uv_read_start((uv_stream_t *)&peer->pipe, peer_alloc_cb, peer_read_cb);
    if (fake->greets_first) {
        say(peer, &fake->rules[0]);
    }
}

static void fake_start(struct fake *fake, const struct rule *rules)
{
    memset(fake, 0, sizeof(*fake));
    snprintf(fake->dir, sizeof(fake->dir), "/tmp/rt-fake-XXXXXX");
    assert_non_null(mkdtemp(fake->dir));
    snprintf(fake->path, sizeof(fake->path), "%s/socket", fake->dir);
    snprintf(fake->endpoint, sizeof(fake->endpoint), "redis+unix://%s", fake->path);
    for (size_t i = 0; rules[i].ask != NULL; i++) {
        fake->rules[i] = rules[i];
    }
    uv_pipe_init(&loop, &fake->listener, 0);
    fake->listener.data = fake;
    assert_int_equal(uv_pipe_bind(&fake->listener, fake->path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&fake->listener, 16, accept_cb), 0);
}

static void fake_closed_cb(uv_handle_t *handle)
{
    struct fake *fake = handle->data;

    fake->closed = true;
}

static void fake_stop(struct fake *fake)
{
    uv_close((uv_handle_t *)&fake->listener, fake_closed_cb);
    for (int i = 0; i < 200 && (!fake->closed || fake->n_open > 0); i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_true(fake->closed);
    assert_int_equal(fake->n_open, 0);
    rt_test_remove_tree(fake->dir);
}

static size_t in_use(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* Two seconds with that server: never up, each of the three connections dialled a bounded number of times, no memory
 * held. Returns the agent's log through `said`. */
static void suffer(const struct rule *rules, bool greets_first, const char *said)
{
    struct rt_store_config config;
    struct rt_store_op op = {.kind = RT_STORE_HOSTS};
    struct fake fake;
    struct agent *a;
    size_t before;

    fake_start(&fake, rules);
    fake.greets_first = greets_first;
    agent_config(&config, fake.endpoint, "hosta");
    config.op_timeout_ms = 300;
    config.connect_timeout_ms = 300;
    before = in_use();
    a = agent_new(&config);
    run_for(2000);
    assert_false(is_up(a));
    assert_int_equal(rt_store_submit(&a->store, &op), RT_EUNAVAIL);
    for (size_t i = 0; i < a->n_news; i++) {
        assert_int_equal(a->news[i].kind, RT_STORE_LOOKED); /* that there is none */
    }
    if (!logged(a, said)) {
        fail_msg("wants \"%s\", log starts with \"%s\"", said, a->log[0]);
    }
    assert_true(fake.n_connections < 60);
    assert_true(in_use() < before + ((size_t)16 << 20));
    agent_stop(a);
    fake_stop(&fake);
}

static void test_no_redis(void **state)
{
    static const struct rule garbage[] = {{"", "HTTP/1.1 400 Bad Request\r\n\r\n", 0, 0}, {0}};
    static const struct rule zeros[] = {{"", "\0\0\0\0\0\0\0\0", 8, 1000}, {0}};
    static const struct rule silent[] = {{"", "", 0, 0}, {0}};
    static const struct rule half[] = {{"", "*3\r\n$6\r\nmas", 0, 0}, {0}};
    static const struct rule loading[] = {{"", "-LOADING Redis is loading the dataset in memory\r\n", 0, 0}, {0}};
    static const struct rule huge[] = {{"", "*100000000\r\n", 0, 0}, {0}};
    static const struct rule nested[] = {{"", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", 0, 0}, {0}};
    static const struct rule bulk[] = {{"", "$2000000000\r\n", 0, 0}, {0}};
    static const struct rule too_many[] = {{"", "+OK\r\n+OK\r\n+OK\r\n+OK\r\n", 0, 100}, {0}};
    static const struct rule replica[] = {
        {"", "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:0\r\n", 0, 0}, {0}};

    (void)state;
    suffer(garbage, false, "is not RESP");
    suffer(garbage, true, "is not RESP");
    suffer(zeros, false, "is not RESP");
    suffer(silent, false, "timed out");
    suffer(half, false, "timed out");
    suffer(loading, false, "LOADING");
    suffer(huge, false, "too large");
    suffer(huge, true, "too large");
    suffer(nested, false, "too large");
    suffer(bulk, false, "too large");
    suffer(too_many, true, "unexpected answer");
    suffer(replica, false, "not the primary");
}

static void test_mad_after_the_greeting(void **state)
{
    static char block[1024 * 1024];
    static const struct rule infos[] = {{"ROLE", ROLE_OK, 0, 0}, {"INFO\r\n", "$4\r\nnone\r\n", 0, 0}, {0}};
    static const struct rule info_array[] = {{"ROLE", ROLE_OK, 0, 0}, {"INFO\r\n", "*100000000\r\n", 0, 0}, {0}};
    static const struct rule beats[] = {
        {"ROLE", ROLE_OK, 0, 0}, {"INFO\r\n", INFO_OK, 0, 0}, {"_beat", "*1\r\n:1\r\n", 0, 0}, {0}};
    static const struct rule missing[] = {{"ROLE", ROLE_OK, 0, 0},
                                          {"INFO\r\n", INFO_OK, 0, 0},
                                          {"FUNCTION", "-ERR no such thing\r\n-ERR Function not found\r\n", 0, 0},
                                          {"_beat", "-ERR Function not found\r\n", 0, 0},
                                          {0}};
    static struct rule endless[] = {{"ROLE", ROLE_OK, 0, 0}, {"INFO\r\n", block, sizeof(block), 63}, {0}};

    (void)state;
    suffer(infos, false, "INFO makes no sense");
    suffer(info_array, false, "too large");
    suffer(beats, false, "registry makes no sense");
    suffer(missing, false, "functions cannot be loaded");
    /* Strings and arrays without end: 64 MiB are on offer, 4 MiB are taken. */
    snprintf(block, sizeof(block), "*3000\r\n");
    for (size_t at = 7; at + 1033 < sizeof(block); at += 1033) {
        snprintf(block + at, sizeof(block) - at, "$1024\r\n%01024d\r\n", 7);
        endless[1].size = at + 1033;
    }
    suffer(endless, false, "too large");
}

/* A record's key that somebody made into something else: the listing leaves it out, says so, and lists the rest. */
static void test_key_of_another_type(void **state)
{
    static const char *const instead[] = {"SET rt:{t/b}:r x", "RPUSH rt:{t/b}:r st 2", "SADD rt:{t/b}:r st"};
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct rt_store_op find = {.kind = RT_STORE_FIND, .key = key_of("t", "")};
    char answer[64];

    (void)state;
    for (uint8_t i = 0; i < 3; i++) {
        struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", (const char *[]){"a", "b", "c"}[i]), i, 1, "hosta");

        assert_int_equal(submit(a, &op), 0);
        assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    }
    assert_int_equal(submit(a, &find), 0);
    assert_int_equal(a->reply.n_records, 3);
    for (size_t i = 0; i < sizeof(instead) / sizeof(instead[0]); i++) {
        size_t errors = a->n_errors_logged;

        assert_int_equal(rt_test_redis_command(&redis, "DEL rt:{t/b}:r", answer, sizeof(answer)), 0);
        assert_int_equal(rt_test_redis_command(&redis, instead[i], answer, sizeof(answer)), 0);
        assert_int_equal(submit(a, &find), 0);
        assert_int_equal(a->reply.n_records, 2);
        assert_string_equal(a->records[0].key.cid, "a");
        assert_string_equal(a->records[1].key.cid, "c");
        assert_int_equal(a->n_errors_logged, errors + 1);
        assert_true(logged(a, "the record of t/b makes no sense"));
    }
    assert_true(is_up(a));
    agent_stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_redis),
        cmocka_unit_test(test_mad_after_the_greeting),
        cmocka_unit_test_setup(test_key_of_another_type, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
