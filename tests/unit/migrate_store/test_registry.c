/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <string.h>

/* The heartbeat and what it finds: new, rolled back and senseless stores, other hosts, our name in other hands. */

#define HANG_MS 10000

static struct fake fake;
static struct agent *agent;

static void start(void)
{
    agent = agent_start(fake.endpoint, "hosta");
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    fake_stop(&fake);
    return 0;
}

static size_t beats_wanted, news_wanted;

static bool has_beaten(struct agent *a)
{
    return a->store.beats >= beats_wanted;
}

static bool has_news(struct agent *a)
{
    return a->n_news >= news_wanted;
}

/* One heartbeat now, answered. */
static void beat(void)
{
    beats_wanted = agent->store.beats + 1;
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(has_beaten, agent, HANG_MS));
}

static void until_news(size_t n)
{
    news_wanted = n;
    assert_true(run_until(has_news, agent, HANG_MS));
}

static size_t count(enum rt_store_news_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_news; i++) {
        n += agent->news[i].kind == kind;
    }
    return n;
}

static const struct rt_store_news *newest(enum rt_store_news_kind kind)
{
    for (size_t i = agent->n_news; i > 0; i--) {
        if (agent->news[i - 1].kind == kind) {
            return &agent->news[i - 1];
        }
    }
    fail_msg("no such news");
    return NULL;
}

/* Rows for the next beats: n of them, RESP text of an array. */
static void set_rows(size_t n, const char *const hosts[], const char *const texts[])
{
    size_t at = (size_t)snprintf(fake.beat.rows, FAKE_ROWS_MAX, "*%zu\r\n", 2 * n);

    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(fake.beat.rows + at, FAKE_ROWS_MAX - at, "$%zu\r\n%s\r\n$%zu\r\n%s\r\n",
                               strlen(hosts[i]), hosts[i], strlen(texts[i]), texts[i]);
        assert_true(at < FAKE_ROWS_MAX);
    }
}

static void set_row(const char *host, const char *text)
{
    set_rows(1, &host, &text);
}

#define ROW(at, addr) FAKE_OTHER "\n3\n" at "\n12\n0.1\n" addr "\n"

static void test_up(void **state)
{
    (void)state;
    start();
    /* UP fresh, then the subscription is there, or the other way round */
    assert_true(agent->news[0].kind == RT_STORE_UP && agent->news[0].fresh && agent->news[0].whole);
    size_t before = agent->n_news;
    beat();
    beat();
    assert_int_equal(agent->n_news, before); /* nothing new, nothing told */
    snprintf(fake.beat.mark, sizeof fake.beat.mark, "%s", FAKE_OTHER);
    beat();
    assert_int_equal(agent->n_news, before + 1);
    assert_true(newest(RT_STORE_UP)->fresh);
    fake.beat.seq_kept = false; /* rolled back: our row is an older one */
    fake.beat.seq_found = 1;
    beat();
    assert_int_equal(agent->n_news, before + 2);
    assert_true(newest(RT_STORE_UP)->fresh);
    fake.beat.seq_kept = true;
    beat();
    assert_int_equal(agent->n_news, before + 2);
    fake.beat.instance[0] = '\0'; /* our row was gone */
    beat();
    assert_int_equal(agent->n_news, before + 3);
    assert_true(newest(RT_STORE_UP)->fresh);
}

static void test_whole(void **state)
{
    (void)state;
    fake.beat.born_ms = fake.beat.now_ms - RT_STORE_WHOLE_MS + 1;
    start();
    assert_true(newest(RT_STORE_UP)->fresh);
    assert_false(newest(RT_STORE_UP)->whole);
    size_t ups = count(RT_STORE_UP);
    fake.beat.now_ms++;
    beat();
    assert_int_equal(count(RT_STORE_UP), ups + 1);
    assert_true(newest(RT_STORE_UP)->whole);
    assert_false(newest(RT_STORE_UP)->fresh);
    fake.beat.now_ms = fake.beat.born_ms - 1; /* its clock went back */
    beat();
    assert_int_equal(count(RT_STORE_UP), ups + 2);
    assert_false(newest(RT_STORE_UP)->whole);
}

/* Answers to a heartbeat that no function of ours gives: the connection is given up, and is back when they are right.
 */
static void test_senseless_beats(void **state)
{
#define BEAT(now, mark, instance, rows) "*8\r\n" now "$32\r\n" mark "\r\n:1\r\n:0\r\n" instance ":1\r\n:2\r\n" rows
#define NO_ROW "$0\r\n\r\n"
    static const char *const wrong[] = {
        "+OK\r\n",
        "*0\r\n",
        "*1\r\n:1\r\n",
        BEAT(":-1\r\n", FAKE_MARK, NO_ROW, "*0\r\n"),
        BEAT("+1\r\n", FAKE_MARK, NO_ROW, "*0\r\n"),
        BEAT(":1\r\n", "0011223344556677 899aabbccddeeff", NO_ROW, "*0\r\n"),
        BEAT(":1\r\n", FAKE_MARK, "$3\r\nabc\r\n", "*0\r\n"),
        BEAT(":1\r\n", FAKE_MARK, NO_ROW, ":0\r\n"),
        BEAT(":1\r\n", FAKE_MARK, ":0\r\n", "*0\r\n"),
    };

    (void)state;
    start();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t downs = count(RT_STORE_DOWN), ups = count(RT_STORE_UP);

        fake_rule(&fake, "rt3_beat", wrong[i], FAKE_GO_ON, 1);
        rt_store_registry_beat(&agent->store);
        assert_true(run_until(is_down, agent, HANG_MS));
        assert_true(run_until(is_up, agent, HANG_MS));
        assert_int_equal(count(RT_STORE_DOWN), downs + 1);
        assert_true(count(RT_STORE_UP) > ups);
        assert_false(newest(RT_STORE_UP)->fresh);
    }
    assert_true(logged(agent, "registry makes no sense"));
}

static bool has_refused(struct agent *a)
{
    return a->n_errors_logged >= 2;
}

/* A refusal is not the end of the connection: the next beat tries again. Silence is. */
static void test_refused_beats(void **state)
{
    (void)state;
    start();
    size_t news = agent->n_news;
    fake_rule(&fake, "rt3_beat", "-OOM\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "rt3_beat", "-NOPERM no\r\n", FAKE_GO_ON, 1);
    rt_store_registry_beat(&agent->store);
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(has_refused, agent, HANG_MS));
    assert_true(logged(agent, "refuses: NOPERM") && logged(agent, "out of memory"));
    beat();
    assert_int_equal(agent->n_news, news);
    fake_rule(&fake, "rt3_beat", "", FAKE_SILENCE, 1);
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(is_down, agent, HANG_MS));
    assert_true(logged(agent, "no answer"));
    assert_true(run_until(is_up, agent, HANG_MS));
    assert_false(newest(RT_STORE_UP)->fresh);
}

static void test_functions(void **state)
{
    (void)state;
    fake_rule(&fake, "rt3_beat", "-ERR Function not found\r\n", FAKE_GO_ON, 1);
    start();
    assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 1);
    /* A server that never has them is left after a few tries, and asked again by the next connection. */
    size_t connections = fake.n_connections;
    fake_forget(&fake);
    fake_rule(&fake, "rt3_beat", "-ERR Function not found\r\n", FAKE_GO_ON, 0);
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(is_down, agent, HANG_MS));
    assert_true(fake_asked(&fake, "FUNCTION LOAD") >= 3);
    assert_true(logged(agent, "functions cannot be loaded"));
    fake_no_rules(&fake);
    assert_true(run_until(is_up, agent, HANG_MS));
    assert_true(fake.n_connections > connections);
}

static void test_info(void **state)
{
    static const char *const wrong[] = {"$0\r\n\r\n", ":1\r\n", "-NOPERM no\r\n", "$9\r\nrun_id:xy\r\n",
                                        "$7\r\nrun_id:\r\n"};
    static char warned[512];
    const char *text =
        "maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nconnected_slaves:2\r\nrun_id:" FAKE_RUN_ID "\r\n";

    (void)state;
    start();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        size_t connections = fake.n_connections;

        fake_rule(&fake, "INFO", wrong[i], FAKE_GO_ON, 1);
        rt_redis_drop(&agent->store.commands, "test");
        assert_true(run_until(is_down, agent, HANG_MS));
        assert_true(run_until(is_up, agent, HANG_MS));
        assert_int_equal(fake.n_connections, connections + 2); /* the one that made no sense, and the next */
    }
    assert_int_equal(agent->n_errors_logged, 0);
    agent_stop(agent);
    snprintf(warned, sizeof warned, "$%zu\r\n%s\r\n", strlen(text), text);
    fake_rule(&fake, "INFO", warned, FAKE_GO_ON, 0);
    fake_rule(&fake, "CONFIG GET min-replicas-to-write", "*2\r\n$21\r\nmin-replicas-to-write\r\n$1\r\n0\r\n",
              FAKE_GO_ON, 0);
    start();
    assert_true(logged(agent, "allkeys-lru"));
    assert_true(logged(agent, "no append-only file"));
    assert_true(logged(agent, "min-replicas-to-write is 0"));
    assert_int_equal(agent->n_warnings, 3);
}

/* Two agents of one name: the row of a dead one does not move, that of a living one does. */
static void test_name_taken(void **state)
{
    struct rt_store_config config;

    (void)state;
    fake.beat.taken = true;
    fake.beat.seq_kept = false;
    fake.beat.seq_found = 5;
    agent_config(&config, fake.endpoint, "hosta");
    agent = agent_new(&config);
    beat();
    beat(); /* the same row as before: its owner may be dead */
    assert_int_equal(agent->n_news, 0);
    assert_false(is_up(agent));
    fake.beat.seq_found = 6;
    beat();
    assert_int_equal(count(RT_STORE_TAKEN), 1);
    assert_string_equal(newest(RT_STORE_TAKEN)->host, "hosta");
    fake.beat.seq_found = 7;
    beat();
    assert_int_equal(count(RT_STORE_TAKEN), 1); /* once */
    assert_false(is_up(agent));
    fake.beat.taken = false;
    beat();
    assert_true(is_up(agent));
    /* Online, nobody but a living one can take it away. */
    fake.beat.taken = true;
    beat();
    assert_int_equal(count(RT_STORE_TAKEN), 2);
}

static void test_hosts(void **state)
{
    (void)state;
    fake.beat.now_ms = 1000000;
    set_row("hostb", ROW("999900", "tcp:192.0.2.7:7401"));
    start();
    const struct rt_store_news *news = newest(RT_STORE_HOST);
    assert_string_equal(news->host, "hostb");
    assert_true(news->row.alive);
    assert_int_equal(news->row.age_ms, 100);
    assert_int_equal(news->row.sessions, 12);
    assert_int_equal(news->row.n_addr, 1);
    size_t told = count(RT_STORE_HOST);
    beat();
    assert_int_equal(count(RT_STORE_HOST), told);
    set_row("hostb", ROW("999900", "tcp:192.0.2.8:7401"));
    beat();
    assert_int_equal(count(RT_STORE_HOST), told + 1);
    assert_string_equal(newest(RT_STORE_HOST)->row.addr[0], "tcp:192.0.2.8:7401");
    set_row("hostb", ROW("999900", "tcp:192.0.2.8:7401\ntcp:192.0.2.9:7401"));
    beat();
    assert_int_equal(count(RT_STORE_HOST), told + 2);
    /* Old rows mean nothing until we ourselves have been in touch for as long. */
    set_row("hostb", ROW("1", "tcp:192.0.2.8:7401\ntcp:192.0.2.9:7401"));
    beat();
    assert_int_equal(count(RT_STORE_HOST), told + 2);
    for (int i = 0; i < 5 && count(RT_STORE_HOST) < told + 3; i++) { /* a beat that comes late starts the time anew */
        agent->store.online_ms = uv_now(&loop) - RT_HEARTBEAT_EXPIRY_MS;
        beat();
    }
    assert_int_equal(count(RT_STORE_HOST), told + 3);
    assert_false(newest(RT_STORE_HOST)->row.alive);
    set_row("hostb", ROW("999900", "tcp:192.0.2.8:7401"));
    beat();
    assert_true(newest(RT_STORE_HOST)->row.alive);
    set_rows(0, NULL, NULL); /* gone */
    beat();
    assert_int_equal(count(RT_STORE_HOST), told + 5);
    assert_false(newest(RT_STORE_HOST)->row.alive);
    beat();
    assert_int_equal(count(RT_STORE_HOST), told + 5);
}

/* Rows that are none are not looked at; the others are. */
static void test_bad_rows(void **state)
{
    static char longest[RT_STORE_ROW_MAX + 256];
    static const char *const hosts[] = {"hosta", "hostb", "hostc", "hostd", "hoste", "hostf", "hostg", "hosth", ""};
    const char *texts[] = {ROW("999900", "a"),
                           "",
                           "nonsense",
                           FAKE_OTHER "\n3\n999900\n",
                           FAKE_OTHER "\n-3\n999900\n12\n0.1\n",
                           FAKE_OTHER "\n3\n999900\n12\n0.1-0123456789012345678901234567890123456789\n",
                           longest,
                           ROW("999900", "a"),
                           ROW("999900", "a")};

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    set_rows(sizeof hosts / sizeof hosts[0], hosts, texts);
    start();
    assert_int_equal(count(RT_STORE_HOST), 1);
    assert_string_equal(newest(RT_STORE_HOST)->host, "hosth");
    /* An odd one out, and a row that is no text. */
    snprintf(fake.beat.rows, FAKE_ROWS_MAX, "*3\r\n$5\r\nhosth\r\n:1\r\n$5\r\nhosti\r\n");
    beat();
    assert_int_equal(count(RT_STORE_HOST), 2);
    assert_false(newest(RT_STORE_HOST)->row.alive);
}

#define CLAIM "7\n2\nhostb\nt\nbox\n"

static void test_claims_heard(void **state)
{
    static const char *const wrong[] = {"",           "7\n2\nhostb\nt\n",     "x\n2\nhostb\nt\nbox\n",
                                        "7\n2\n\n\n", "-7\n2\nhostb\nt\nc\n", "7\n9007199254740992\nh\nt\nc\n"};
    char text[256];

    (void)state;
    start();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(text, sizeof text, "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n$%zu\r\n%s\r\n", strlen(wrong[i]),
                 wrong[i]);
        fake_push(&fake, text);
    }
    fake_push(&fake, "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n:1\r\n");
    run_for(20);
    assert_int_equal(count(RT_STORE_CLAIMED), 0);
    assert_int_equal(agent->store.pubsub.state, RT_REDIS_READY);
    size_t news = agent->n_news;
    snprintf(text, sizeof text, "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n$%zu\r\n%s\r\n", strlen(CLAIM), CLAIM);
    fake_push(&fake, text);
    until_news(news + 1);
    assert_int_equal(newest(RT_STORE_CLAIMED)->life, 7);
    assert_int_equal(newest(RT_STORE_CLAIMED)->epoch, 2);
    assert_string_equal(newest(RT_STORE_CLAIMED)->host, "hostb");
    assert_string_equal(newest(RT_STORE_CLAIMED)->key.cid, "box");
}

/* A subscription that is refused is asked for again; one that is back is told, as claims may have gone unheard. */
static void test_subscription(void **state)
{
    (void)state;
    start();
    size_t ups = count(RT_STORE_UP);
    fake_forget(&fake);
    fake_rule(&fake, "SUBSCRIBE", ":1\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "SUBSCRIBE", "-NOPERM no\r\n", FAKE_GO_ON, 1);
    rt_redis_drop(&agent->store.pubsub, "test");
    until_news(agent->n_news + 1);
    assert_int_equal(count(RT_STORE_UP), ups + 1);
    assert_false(newest(RT_STORE_UP)->fresh);
    assert_int_equal(fake_asked(&fake, "SUBSCRIBE"), 3);
    assert_int_equal(count(RT_STORE_DOWN), 0);
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKE(test_up),           WITH_FAKE(test_whole),         WITH_FAKE(test_senseless_beats),
        WITH_FAKE(test_functions),    WITH_FAKE(test_refused_beats), WITH_FAKE(test_info),
        WITH_FAKE(test_name_taken),   WITH_FAKE(test_hosts),         WITH_FAKE(test_bad_rows),
        WITH_FAKE(test_claims_heard), WITH_FAKE(test_subscription),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
