/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every allocation of a whole session with the store fails in turn: ours, and those of hiredis when it is linked
 * statically. The caller gets an error, or the connection is made anew; nothing crashes, leaks, or is left unanswered.
 *
 * The fake server is a child process, as its own allocations must not fail. libuv makes none on this way. */

#define HANG_MS 20000
#define SESSIONS_MAX 20000

#define CLAIMED "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n$16\r\n7\n2\nhostb\nt\nbox\n\r\n"
#define RECORD "*4\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nset\r\n$5\r\nhosta\r\n"

static struct {
    pid_t pid;
    int pipe;              /* its end lasts as long as this */
    char endpoints[2][96]; /* a server, and one that is all of a cluster */
} server;

static struct {
    struct rt_store store;
    bool stopped;
    size_t owed, n_errors, n_refused;
    size_t n_news[RT_STORE_LOOKED + 1];
} s;

static void orphaned_cb(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
    uv_stop(&loop);
}

static void add_rules(struct fake *fake)
{
#define ROW FAKE_OTHER "\n3\n999900\n12\n0.1\nm\na\n" /* 53 bytes */
    fake_rule(fake, "FCALL hosts", "*3\r\n:1\r\n$0\r\n\r\n*3\r\n$5\r\nhostb\r\n$53\r\n" ROW "\r\n$0\r\n\r\n",
              FAKE_GO_ON, 0);
    fake_rule(fake, "HMGET rt:{reg}:rows", "*2\r\n$53\r\n" ROW "\r\n$-1\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "SUBSCRIBE", "*3\r\n$9\r\nsubscribe\r\n$10\r\nrt:claimed\r\n:1\r\n" CLAIMED, FAKE_GO_ON, 0);
    fake_rule(fake, "SUBSCRIBE rt:hosts",
              "*3\r\n$9\r\nsubscribe\r\n$8\r\nrt:hosts\r\n:1\r\n"
              "*3\r\n$7\r\nmessage\r\n$8\r\nrt:hosts\r\n$59\r\nhostc\n" ROW "\r\n",
              FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL revoke", "*2\r\n:0\r\n:9\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL create", "*2\r\n:0\r\n:1\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL claim",
              "*9\r\n:0\r\n:0\r\n:7\r\n:1\r\n:0\r\n$5\r\nhosta\r\n:1\r\n$5\r\nhostb\r\n$1\r\np\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL state", "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL report", "-ERR Function not found\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL end", "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL mark", "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "FCALL tails",
              "*12\r\n:5\r\n:0\r\n:3\r\n:0\r\n:10\r\n:0\r\n$2\r\nhi\r\n$0\r\n\r\n:7\r\n$0\r\n\r\n:0\r\n$0\r\n\r\n",
              FAKE_GO_ON, 0);
    fake_rule(fake, "HGETALL", RECORD, FAKE_GO_ON, 0);
    fake_rule(fake, "HGETALL rt:{t/gone}:r", "*0\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "ZRANGE", "*2\r\n$5\r\nt/box\r\n$6\r\nt/gone\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "ROLE", "*3\r\n$6\r\nmaster\r\n:9\r\n*1\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n9\r\n", FAKE_GO_ON, 0);
    fake_rule(fake, "WAIT", ":1\r\n", FAKE_GO_ON, 0);
}

/* Until the test has ended, in whatever way. */
static _Noreturn void serve(int out, int in)
{
    static struct fake fake, node;
    char endpoints[2][96] = {""}, map[128];
    uv_poll_t parent;

    if (fake_group_setup(NULL)) {
        _exit(1);
    }
    fake_start(&fake);
    add_rules(&fake);
    fake_start_tcp(&node);
    add_rules(&node);
    snprintf(map, sizeof(map), "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%u\r\n", node.port);
    fake_rule(&node, "CLUSTER SLOTS", map, FAKE_GO_ON, 0);
    snprintf(endpoints[0], sizeof(endpoints[0]), "%s", fake.endpoint);
    snprintf(endpoints[1], sizeof(endpoints[1]), "redis-cluster://127.0.0.1:%u", node.port);
    uv_poll_init(&loop, &parent, in);
    uv_poll_start(&parent, UV_READABLE | UV_DISCONNECT, orphaned_cb);
    if (write(out, endpoints, sizeof(endpoints)) == (ssize_t)sizeof(endpoints)) {
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_close((uv_handle_t *)&parent, NULL);
    fake_stop(&fake);
    fake_stop(&node);
    _exit(0);
}

static int group_begin(void **state)
{
    int up[2], down[2];

    (void)state;
    if (pipe(up) || pipe(down)) {
        return -1;
    }
    server.pid = fork();
    if (server.pid == 0) {
        close(up[0]);
        close(down[1]);
        serve(up[1], down[0]);
    }
    close(up[1]);
    close(down[0]);
    server.pipe = down[1];
    if (server.pid < 0 ||
        read(up[0], server.endpoints, sizeof(server.endpoints)) != (ssize_t)sizeof(server.endpoints)) {
        return -1;
    }
    close(up[0]);
    return fake_group_setup(NULL);
}

static int group_end(void **state)
{
    (void)state;
    close(server.pipe);
    waitpid(server.pid, NULL, 0);
    return fake_group_teardown(NULL);
}

static void on_reply(void *ctx, const struct rt_store_reply *reply)
{
    assert_ptr_equal(ctx, &s);
    assert_true(s.owed > 0);
    s.owed--;
    s.n_errors += reply->error != 0;
    switch (reply->error) {
    case 0:
        return;
    case RT_EUNAVAIL: /* the report, whose function is never there */
    case RT_ENOMEM:
    case RT_ETIMEDOUT:
    case RT_ECANCELED:
        assert_int_equal(reply->n_records + reply->n_hosts, 0);
        return;
    default:
        fail_msg("an operation is answered %d", reply->error);
    }
}

static void on_news(void *ctx, const struct rt_store_news *news)
{
    assert_ptr_equal(ctx, &s);
    s.n_news[news->kind]++;
}

static void on_log(void *ctx, enum rt_log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    /* An answer that goes to another call than its own is one. */
    assert_null(strstr(text, "makes no sense"));
}

static bool all_up(void)
{
    const struct rt_store *store = &s.store;

    return store->phase == RT_STORE_ONLINE && store->reg->ends.state == RT_REDIS_READY &&
           store->pubsub.state == RT_REDIS_READY;
}

/* Runs until all three connections stand, or until nothing is owed. A heartbeat that failed is not waited for. */
static void run(bool until_up)
{
    uint64_t end = uv_hrtime() + (uint64_t)HANG_MS * 1000000;

    while ((until_up ? !all_up() : s.owed > 0) && uv_hrtime() < end) {
        struct pollfd wait = {.fd = uv_backend_fd(&loop), .events = POLLIN};
        int limit = uv_backend_timeout(&loop) == 0 ? 0 : 2;
        int busy = poll(&wait, 1, limit);

        uv_run(&loop, UV_RUN_NOWAIT);
        if (limit > 0 && busy == 0 && s.store.phase == RT_STORE_CHECKING) {
            rt_store_registry_beat(&s.store);
        }
    }
    assert_true(until_up ? all_up() : s.owed == 0);
}

static void submit_one(enum rt_store_op_kind kind)
{
    struct rt_store_op op = join_op(kind, key_of("t", kind == RT_STORE_FIND ? "" : "box"), 1, 2, "hosta");
    int rc;

    op.key = op.claim.key;
    op.life = 7;
    op.state = RT_SESSION_MOVING;
    snprintf(op.host, sizeof(op.host), "%s", kind == RT_STORE_HOST_ROW ? "hostb" : "");
    rc = rt_store_submit(&s.store, &op);
    if (rc) {
        assert_true(rc == RT_ENOMEM || rc == RT_EUNAVAIL);
        s.n_refused++;
    } else {
        s.owed++;
    }
}

static void closed_cb(struct rt_store *store)
{
    assert_ptr_equal(store, &s.store);
    s.stopped = true;
}

static void session(const char *endpoint)
{
    struct rt_store_config config;

    memset(&s, 0, sizeof(s));
    agent_config(&config, endpoint, "hosta");
    config.ctx = &s;
    config.on_reply = on_reply;
    config.on_news = on_news;
    config.on_log = on_log;
    if (rt_store_init(&s.store, &loop, &config)) {
        s.n_refused++;
        return;
    }
    rt_store_start(&s.store);
    run(true);
    for (enum rt_store_op_kind kind = RT_STORE_CREATE; kind <= RT_STORE_HOST_ROW; kind++) {
        submit_one(kind);
        run(false); /* one by one */
        run(true);
    }
    for (enum rt_store_op_kind kind = RT_STORE_CREATE; kind <= RT_STORE_HOST_ROW; kind++) {
        submit_one(kind); /* all together */
    }
    run(false);
    run(true);
    rt_store_walk(&s.store);
    rt_store_registry_beat(&s.store);
    rt_store_look_beat(&s.store);
    submit_one(RT_STORE_FIND);
    submit_one(RT_STORE_END);
    run(false);
    submit_one(RT_STORE_GET); /* still owed when it stops */
    submit_one(RT_STORE_END);
    rt_store_stop(&s.store, closed_cb);
    assert_int_equal(s.owed, 0);
    while (!s.stopped) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void every_allocation_fails(const char *endpoint)
{
    size_t n, least = 2 + 2 * 2; /* the reports, what is owed at the end */

    rt_alloc_fail_at(0);
    session(endpoint);
    (void)rt_alloc_stop();
    assert_int_equal(s.n_refused, 0);
    assert_true(s.n_errors <= least);
    assert_true(s.n_news[RT_STORE_CLAIMED] > 0 && s.n_news[RT_STORE_HOST] > 0 && s.n_news[RT_STORE_LOOKED] > 0);
    assert_true(rt_alloc_count() > 60);
    for (n = 1; n < SESSIONS_MAX; n++) {
        rt_alloc_fail_at(n);
        session(endpoint);
        if (!rt_alloc_stop()) {
            break;
        }
    }
    assert_true(n > 60 && n < SESSIONS_MAX);
    print_message("%zu allocations failed\n", n - 1);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    every_allocation_fails(server.endpoints[0]);
}

static void test_every_allocation_fails_in_a_cluster(void **state)
{
    (void)state;
    every_allocation_fails(server.endpoints[1]);
}

/* No memory at all from the n-th on, then there is some again: it comes up by itself. */
static void test_memory_comes_back(void **state)
{
    struct rt_store_config config;

    (void)state;
    for (size_t n = 2; n < 60; n += 3) { /* the first is rt_store_init()'s */
        memset(&s, 0, sizeof(s));
        agent_config(&config, server.endpoints[0], "hosta");
        config.ctx = &s;
        config.on_reply = on_reply;
        config.on_news = on_news;
        config.on_log = on_log;
        rt_alloc_fail_from(n);
        assert_int_equal(rt_store_init(&s.store, &loop, &config), 0);
        rt_store_start(&s.store);
        for (int i = 0; i < 20; i++) {
            run_for(1);
            submit_one(RT_STORE_GET);
        }
        (void)rt_alloc_stop();
        run(false);
        run(true);
        submit_one(RT_STORE_GET);
        assert_int_equal(s.owed, 1);
        run(false);
        rt_store_stop(&s.store, closed_cb);
        while (!s.stopped) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_every_allocation_fails_in_a_cluster),
        cmocka_unit_test(test_memory_comes_back),
    };

    /* What libuv allocates would be counted, too. */
    if (uv_replace_allocator(malloc, realloc, calloc, free)) {
        return 1;
    }
    return cmocka_run_group_tests(tests, group_begin, group_end);
}
