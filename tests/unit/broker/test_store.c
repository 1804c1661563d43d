/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "migrate/store/login.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"
#include "tests/lib/redis.h"
#include "tests/unit/broker/shell_fixture.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The store as the shell sees it: none, one that answers from a script, one where our name is taken, a private one
 * that does not start; and the other agents, as clients hear of them. */

static struct fake fake;
static struct fx_peer one;

static void turn_fake(void)
{
    (void)uv_run(fake.listener.handle.loop, UV_RUN_NOWAIT);
}

static int setup_store(void **state)
{
    if (fx_setup(state) != 0) {
        return -1;
    }
    fake_start(&fake);
    fx_other = turn_fake;
    fx_settings.store.n = 0;
    fx_add(&fx_settings.store, "%s", fake.endpoint);
    return 0;
}

static int teardown_store(void **state)
{
    fake_stop(&fake);
    return fx_teardown(state);
}

static bool is_up(void *ctx)
{
    (void)ctx;
    return shell.store.phase == RT_STORE_ONLINE;
}

static bool is_idle(void *ctx)
{
    (void)ctx;
    return shell.n_ops == 0;
}

static struct rt_store_op find_op(const char *tenant)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .id = UINT64_C(1) << 60};

    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "%s", tenant);
    return op;
}

/* Asks for a session; returns the class of the answer. */
static enum rt_class create(struct fx_peer *client, uint64_t id)
{
    static struct rt_reply_msg reply;
    struct rt_request_msg request = {.op = rt_slice_text("create"), .cid = rt_slice_text("box")};
    struct rt_frame frame = {.type = RT_REQUEST, .offset = id};
    uint8_t out[RT_FRAME_HEADER + 1024];
    char why[RT_TEXT_MAX];
    int size = rt_msg_encode(RT_MSG_REQUEST, &request, out + RT_FRAME_HEADER, sizeof(out) - RT_FRAME_HEADER);
    size_t at;

    assert_true(size > 0);
    frame.length = (uint32_t)size;
    rt_frame_put(out, &frame);
    client->size = 0;
    fx_send(client, out, RT_FRAME_HEADER + (size_t)size);
    at = fx_until_frame(client, RT_REPLY, &frame);
    assert_int_equal(frame.offset, id);
    assert_int_equal(rt_msg_decode(RT_MSG_REPLY, client->in + at, frame.length, &reply, why, sizeof(why)), 0);
    return (enum rt_class)reply.c;
}

/* Without a store clients are served as far as it goes, and told to come again for the rest. */
static void test_no_store(void **state)
{
    struct rt_store_op op = find_op("t");

    (void)state;
    fx_start();
    fx_client_up(&one);
    assert_int_equal(rt_shell_submit(&shell, &op), RT_EUNAVAIL);
    assert_int_equal(create(&one, 1), RT_CLASS_RETRY_LATER);
    assert_int_equal(shell.phase, RT_SHELL_RUNNING);
    fx_close(&one);
    fx_stop(0);
    assert_int_equal(rt_shell_submit(&shell, &op), RT_EUNAVAIL); /* also when it is closed */
}

static void test_store_comes_and_goes(void **state)
{
    (void)state;
    fake_rule(&fake, "FCALL create", "*2\r\n:0\r\n:1\r\n", FAKE_GO_ON, 0);
    fx_start();
    fx_client_up(&one);
    fx_until(is_up, NULL);
    assert_true(shell.store_was_up);
    assert_int_equal(create(&one, 1), RT_CLASS_OK);
    fake_rule(&fake, "FCALL create", "*1\r\n:13\r\n", FAKE_GO_ON, 1);
    assert_int_not_equal(create(&one, 2), RT_CLASS_OK); /* there is one of that name */
    fake_rule(&fake, "FCALL create", "*9\r\n", FAKE_CLOSE, 1);
    assert_int_equal(create(&one, 3), RT_CLASS_RETRY_LATER);
    fake_rule(&fake, "FCALL create", "+nonsense\r\n", FAKE_GO_ON, 1);
    fx_until(is_up, NULL);
    assert_int_equal(create(&one, 4), RT_CLASS_RETRY_LATER);
    assert_int_equal(create(&one, 5), RT_CLASS_OK);
    fx_close(&one);
    fx_stop(0);
}

/* Listings under way are bounded for clients; the agent's own is not kept out by them. */
static void test_listings_bounded(void **state)
{
    struct rt_store_op op = find_op("t");

    (void)state;
    fx_start();
    fx_until(is_up, NULL);
    fx_until(is_idle, NULL); /* its own first look */
    fake_rule(&fake, "ZRANGEBYLEX", "", FAKE_SILENCE, 0);
    for (size_t i = 0; i < RT_AGENT_LISTS_MAX; i++) {
        assert_int_equal(rt_shell_submit(&shell, &op), 0);
    }
    assert_int_equal(rt_shell_submit(&shell, &op), RT_ELIMIT);
    op = find_op("");
    assert_int_equal(rt_shell_submit(&shell, &op), 0);
    assert_int_equal(shell.n_finds, RT_AGENT_LISTS_MAX + 1);
    fake_no_rules(&fake);
    fake_cut(&fake);
    fx_until(is_idle, NULL); /* all of them are answered: with errors */
    assert_int_equal(shell.n_finds, 0);
    fx_until(is_up, NULL);
    op = find_op("t");
    assert_int_equal(rt_shell_submit(&shell, &op), 0);
    fx_stop(0);
}

static bool has_ended(void *ctx)
{
    (void)ctx;
    return uv_loop_alive(&shell.loop) == 0;
}

/* A living agent has our name: this one ends, and says by its exit code that it did not want to. */
static void test_name_taken(void **state)
{
    (void)state;
    fake.beat.taken = true;
    fake.beat.seq_kept = false;
    fx_start();
    for (unsigned i = 0; i < 1000 && shell.phase == RT_SHELL_RUNNING; i++) {
        fake.beat.seq_found++; /* it lives */
        fx_turn_for(20);
    }
    assert_int_not_equal(shell.phase, RT_SHELL_RUNNING);
    fx_until(has_ended, NULL);
    assert_int_equal(rt_shell_run(&shell), 1);
    assert_int_equal(access(fx_client, F_OK), -1);
}

/* Once it has been up, another of its name is no reason to end: it serves. */
static void test_name_taken_later(void **state)
{
    (void)state;
    fx_start();
    fx_until(is_up, NULL);
    fake.beat.taken = true;
    fx_turn_for(1500);
    assert_int_equal(shell.phase, RT_SHELL_RUNNING);
    fx_client_up(&one);
    fx_close(&one);
    fx_stop(0);
}

static struct rt_welcome_msg welcome;

/* The agents that a new client is told of. */
static void greet(void)
{
    uint8_t hello[RT_SHORT_MAX];
    size_t size = fx_hello(hello, sizeof(hello)), at;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];

    fx_connect(&one, fx_client);
    fx_send(&one, hello, size);
    at = fx_until_frame(&one, RT_WELCOME, &frame);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, one.in + at, frame.length, &welcome, why, sizeof(why)), 0);
    fx_close(&one);
}

static const struct rt_host_msg *agent_named(const char *name)
{
    for (size_t i = 0; i < welcome.n_agents; i++) {
        const struct rt_host_msg *agent = &welcome.agents[i];

        if (agent->host.size == strlen(name) && memcmp(agent->host.data, name, agent->host.size) == 0) {
            return agent;
        }
    }
    return NULL;
}

static bool knows_hostb(void *ctx)
{
    greet();
    return (agent_named("hostb") != NULL) == *(bool *)ctx;
}

/* Other agents appear in what clients are told with the registry's rows; rows that are none do not. */
static void test_peers(void **state)
{
    static const char row[] = FAKE_OTHER "\n3\n999900\n12\n0.1\nm\ntcp:192.0.2.7:7401\n";
    static char page[512];
    bool known = true;

    (void)state;
    (void)snprintf(page, sizeof(page),
                   "*3\r\n:1000000\r\n$0\r\n\r\n*6\r\n$5\r\nhostb\r\n$%zu\r\n%s\r\n$0\r\n\r\n$5\r\nhostc\r\n$"
                   "3\r\nbad\r\n$0\r\n\r\n",
                   strlen(row), row);
    fake_rule(&fake, "FCALL hosts", page, FAKE_GO_ON, 0);
    fx_start();
    fx_until(is_up, NULL);
    fx_until(knows_hostb, &known);
    assert_int_equal(agent_named("hostb")->n_addr, 1);
    assert_null(agent_named("hostc"));
    fx_stop(0);
}

static void test_bad_settings(void **state)
{
    static const char *const passwords[] = {
        "", "\n", "\nsecret\n", "agent\n\n", "agent\nsecret\nmore\n", "an agent\nsecret\n"};
    char longest[400];

    (void)state;
    fx_settings.store.n = 1;
    fx_add(&fx_settings.store, "redis.example:6379");
    fx_refused();
    fx_settings.store.n = 1;
    (void)snprintf(fx_settings.host_name, sizeof(fx_settings.host_name), "a b");
    fx_refused();
    (void)snprintf(fx_settings.host_name, sizeof(fx_settings.host_name), "hosta");
    (void)snprintf(fx_settings.store_password_file, sizeof(fx_settings.store_password_file), "%s/password", fx_dir);
    fx_refused();
    for (size_t i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++) {
        fx_write("password", passwords[i], strlen(passwords[i]), 0600);
        fx_refused();
    }
    memset(longest, 'x', sizeof(longest));
    fx_write("password", longest, sizeof(longest), 0600);
    fx_refused();
    fx_write("password", "secret\n", 7, 0600);
    assert_int_equal(chmod(fx_path("password"), 0604), 0); /* others may read it */
    fx_refused();
    assert_int_equal(chmod(fx_path("password"), 0600), 0);
    (void)snprintf(fx_settings.store_sentinel_password_file, sizeof(fx_settings.store_sentinel_password_file),
                   "%s/no-password", fx_dir);
    fx_write("password", longest, RT_LOGIN_PASSWORD_MAX, 0600);
    fx_refused();
    fx_settings.store_sentinel_password_file[0] = '\0';
    fx_start();
    fx_stop(0);
}

static bool has_asked_with_password(void *ctx)
{
    (void)ctx;
    return fake_asked(&fake, "AUTH agent secret") >= 3;
}

static void test_password(void **state)
{
    (void)state;
    fx_write("password", "agent\r\nsecret\r\n", 15, 0600);
    (void)snprintf(fx_settings.store_password_file, sizeof(fx_settings.store_password_file), "%s/password", fx_dir);
    fx_start();
    fx_until(is_up, NULL);
    fx_until(has_asked_with_password, NULL);
    fx_stop(0);
}

/* The private store: no such program, no place for it, another agent's. Not started, exit code 1. */
static void test_private_store_refused(void **state)
{
    (void)state;
    fx_settings.store.n = 0;
    (void)snprintf(fx_settings.redis_server, sizeof(fx_settings.redis_server), "/nonexistent/redis-server");
    fx_refused();
    (void)snprintf(fx_settings.redis_server, sizeof(fx_settings.redis_server), "/bin/false");
    fx_refused();
    rt_test_remove_tree(fx_path("state/redis"));
    fx_write("state/redis", "x", 1, 0600); /* a file */
    fx_refused();
    assert_int_equal(unlink(fx_path("state/redis")), 0);
    assert_int_equal(mkdir(fx_path("state/redis"), 0700), 0);
    assert_int_equal(mkdir(fx_path("state/redis/lock"), 0700), 0);
    fx_refused();
    assert_int_equal(rmdir(fx_path("state/redis/lock")), 0);
    fx_write("state/redis/redis.sock", "x", 1, 0600); /* no socket: the server that is started ends at once */
    fx_refused();
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup_store, teardown_store)
#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fx_setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_no_store),
        WITH_STORE(test_store_comes_and_goes),
        WITH_STORE(test_listings_bounded),
        WITH_STORE(test_name_taken),
        WITH_STORE(test_name_taken_later),
        WITH_STORE(test_peers),
        WITH_DIR(test_bad_settings),
        WITH_STORE(test_password),
        WITH_DIR(test_private_store_refused),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
