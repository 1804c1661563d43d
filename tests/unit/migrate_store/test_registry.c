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

static void test_up(void **state)
{
    (void)state;
    start();
    /* UP fresh, then the subscription is there, or the other way round */
    assert_true(agent->news[0].kind == RT_STORE_UP && agent->news[0].fresh && agent->news[0].whole);
    size_t before = count(RT_STORE_UP);
    beat();
    beat();
    assert_int_equal(count(RT_STORE_UP), before); /* nothing new, nothing told */
    snprintf(fake.beat.mark, sizeof(fake.beat.mark), "%s", FAKE_OTHER);
    beat();
    assert_int_equal(count(RT_STORE_UP), before + 1);
    assert_true(newest(RT_STORE_UP)->fresh);
    fake.beat.seq_kept = false; /* rolled back: our row is an older one */
    fake.beat.seq_found = 1;
    beat();
    assert_int_equal(count(RT_STORE_UP), before + 2);
    assert_true(newest(RT_STORE_UP)->fresh);
    fake.beat.seq_kept = true;
    beat();
    assert_int_equal(count(RT_STORE_UP), before + 2);
    fake.beat.instance[0] = '\0'; /* our row was gone */
    beat();
    assert_int_equal(count(RT_STORE_UP), before + 3);
    assert_true(newest(RT_STORE_UP)->fresh);
}

static void test_whole(void **state)
{
    (void)state;
    fake.beat.born_ms = fake.beat.now_ms - RT_STORE_WHOLE_MS + 1;
    start();
    assert_true(agent->news[0].kind == RT_STORE_UP && agent->news[0].fresh);
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
#define BEAT(now, mark, instance) "*7\r\n" now "$32\r\n" mark "\r\n:1\r\n:0\r\n" instance ":1\r\n:2\r\n"
#define NO_ROW "$0\r\n\r\n"
    static const char *const wrong[] = {
        "+OK\r\n",
        "*0\r\n",
        "*1\r\n:1\r\n",
        BEAT(":-1\r\n", FAKE_MARK, NO_ROW),
        BEAT("+1\r\n", FAKE_MARK, NO_ROW),
        BEAT(":1\r\n", "0011223344556677 899aabbccddeeff", NO_ROW),
        BEAT(":1\r\n", FAKE_MARK, "$3\r\nabc\r\n"),
        BEAT(":1\r\n", FAKE_MARK, ":0\r\n"),
    };

    (void)state;
    start();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t downs = count(RT_STORE_DOWN), ups = count(RT_STORE_UP);

        fake_rule(&fake, "FCALL beat", wrong[i], FAKE_GO_ON, 1);
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
    fake_rule(&fake, "FCALL beat", "-OOM\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "FCALL beat", "-NOPERM no\r\n", FAKE_GO_ON, 1);
    rt_store_registry_beat(&agent->store);
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(has_refused, agent, HANG_MS));
    assert_true(logged(agent, "refuses: NOPERM") && logged(agent, "out of memory"));
    beat();
    assert_int_equal(agent->n_news, news + 1); /* the touch */
    fake_rule(&fake, "FCALL beat", "", FAKE_SILENCE, 1);
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(is_down, agent, HANG_MS));
    assert_true(logged(agent, "no answer"));
    assert_true(run_until(is_up, agent, HANG_MS));
    assert_false(newest(RT_STORE_UP)->fresh);
}

static size_t count_logged(const char *part)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_log; i++) {
        n += strstr(agent->log[i], part) != NULL;
    }
    return n;
}

static bool says_taken_again(struct agent *a)
{
    return logged(a, "writes are taken again");
}

/* So many heartbeats, each answered. */
static void beats_refused(const char *answer, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fake_forget(&fake);
        fake_rule(&fake, "FCALL beat", answer, FAKE_GO_ON, 1);
        rt_store_registry_beat(&agent->store);
        while (fake_asked(&fake, "FCALL beat") == 0) {
            run_for(1);
        }
        run_for(10);
    }
}

/* A server that takes no writes: why, and what to do, is said once, until it takes them again. */
static void test_writes_refused(void **state)
{
    (void)state;
    start();
    uv_timer_stop(&agent->store.heart);
    beats_refused("-NOREPLICAS Not enough good replicas to write.\r\n", 5);
    assert_int_equal(count_logged("writes refused: not enough replicas (min-replicas-to-write): bring one back"), 1);
    beats_refused("-MISCONF Errors writing to the AOF file: No space left on device\r\n", 3);
    assert_int_equal(count_logged("writes refused: it cannot write to its disk"), 1);
    assert_true(is_up(agent)); /* it can be read */
    assert_false(says_taken_again(agent));
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(says_taken_again, agent, HANG_MS));
    beats_refused("-NOREPLICAS Not enough good replicas to write.\r\n", 2);
    assert_int_equal(count_logged("writes refused: not enough replicas"), 2);
    assert_int_equal(agent->n_errors_logged, 3);
    beats_refused("-MOVED 7000 192.0.2.1:6379\r\n", 3);
    assert_int_equal(count_logged("writes refused: it is one of several primaries of a Redis cluster"), 1);
    beats_refused("-CLUSTERDOWN Hash slot not served\r\n", 3);
    assert_int_equal(count_logged("writes refused: its cluster is down"), 1);
    beats_refused("-NOPERM this user has no permissions to run the 'fcall' command\r\n", 5);
    assert_int_equal(count_logged("refuses: NOPERM this user"), 1);
}

static void test_functions(void **state)
{
    (void)state;
    fake_rule(&fake, "FCALL beat", "-ERR Function not found\r\n", FAKE_GO_ON, 1);
    start();
    assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 1);
    /* A server that never has them is left after a few tries, and asked again by the next connection. */
    size_t connections = fake.n_connections;
    fake_forget(&fake);
    fake_rule(&fake, "FCALL beat", "-ERR Function not found\r\n", FAKE_GO_ON, 0);
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

    (void)state;
    start();
    uv_timer_stop(&agent->store.heart); /* looks ask for INFO too */
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t connections = fake.n_connections;

        fake_rule(&fake, "INFO", wrong[i], FAKE_GO_ON, 1);
        rt_redis_drop(&agent->store.only.commands, "test");
        assert_true(run_until(is_down, agent, HANG_MS));
        assert_true(run_until(is_up, agent, HANG_MS));
        assert_int_equal(fake.n_connections, connections + 2); /* the one that made no sense, and the next */
    }
    assert_int_equal(agent->n_errors_logged, 0);
}

static void stand_still(void)
{
    agent->store.rival.since -= RT_HEARTBEAT_EXPIRY_MS;
    agent->store.touch.since -= RT_HEARTBEAT_EXPIRY_MS;
    beat();
}

/* Two agents of one name: the row of a dead one does not move, that of a living one does. The store's clock has no part
 * in it. */
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
    assert_true(newest(RT_STORE_UP)->fresh);
    /* Online, nobody but a living one can take it away: from then on the store is another's. */
    fake.beat.taken = true;
    beat();
    assert_int_equal(count(RT_STORE_TAKEN), 2);
    assert_false(is_up(agent));
}

/* One that stands still for the lease is named to the store as dead; so is none before, and none of another store's
 * past. */
static void test_dead_name(void **state)
{
    struct rt_store_config config;

    (void)state;
    fake.beat.taken = true;
    fake.beat.seq_kept = false;
    fake.beat.seq_found = 5;
    agent_config(&config, fake.endpoint, "hosta");
    agent = agent_new(&config);
    beat();
    beat();
    assert_int_equal(fake_asked(&fake, FAKE_OTHER " 5"), 0);
    stand_still();
    beat();
    assert_true(fake_asked(&fake, FAKE_OTHER " 5") > 0);
    assert_int_equal(count(RT_STORE_TAKEN), 0);
    fake.beat.taken = false;
    beat();
    assert_true(is_up(agent));
    /* A store that fell back to a time before: nobody lives there yet. */
    snprintf(fake.beat.mark, sizeof(fake.beat.mark), "%s", FAKE_OTHER);
    fake.beat.taken = true;
    beat();
    beat();
    assert_int_equal(count(RT_STORE_TAKEN), 0);
    assert_true(is_up(agent));
    fake.beat.seq_found = 6;
    beat();
    assert_int_equal(count(RT_STORE_TAKEN), 1);
    assert_false(is_up(agent));
}

/* A heartbeat asks for nothing but its own row, and is told on. */
static void test_touch(void **state)
{
    (void)state;
    start();
    assert_int_equal(newest(RT_STORE_TOUCH)->store_ms, fake.beat.now_ms);
    size_t told = count(RT_STORE_TOUCH);
    fake_forget(&fake);
    beat();
    assert_int_equal(count(RT_STORE_TOUCH), told + 1);
    assert_int_equal(fake_asked(&fake, "rt:{reg}:rows"), 1);
    assert_int_equal(fake_asked(&fake, "FCALL hosts"), 0);
    /* The first one of a connection is told to all. */
    assert_int_equal(fake_asked(&fake, "|0.1-test|"), 1);
    rt_redis_drop(&agent->store.only.commands, "test");
    assert_true(run_until(is_down, agent, HANG_MS));
    assert_true(run_until(is_up, agent, HANG_MS));
    assert_int_equal(count(RT_STORE_TOUCH), told + 2);
}

static void push_host(const char *text)
{
    char push[RT_STORE_ROW_MAX + 512];

    snprintf(push, sizeof(push), "*3\r\n$7\r\nmessage\r\n$8\r\nrt:hosts\r\n$%zu\r\n%s\r\n", strlen(text), text);
    fake_push(&fake, push);
}

#define ROW FAKE_OTHER "\n3\n999900\n12\n0.1\nm\ntcp:192.0.2.7:7401\n"

/* Notices of hosts that come; those that are none say nothing. */
static void test_notices(void **state)
{
    static char longest[RT_STORE_ROW_MAX + 256];
    static const char *const wrong[] = {"",
                                        "hostb",
                                        "hostb\n",
                                        "\n" ROW,
                                        "hostb\nnonsense",
                                        "hostb\n" FAKE_OTHER "\n3\n999900\n",
                                        "hostb\n" FAKE_OTHER "\n-3\n999900\n12\n0.1\nm\n",
                                        "hostb\n" FAKE_OTHER "\n3\n999900\n12\n"
                                        "0.1-0123456789012345678901234567890123456789\n",
                                        longest};

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    memcpy(longest, "hostb\n", 6); /* NOLINT(bugprone-not-null-terminated-result): its end is further on */
    start();
    size_t told = agent->n_news;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        push_host(wrong[i]);
    }
    fake_push(&fake, "*3\r\n$7\r\nmessage\r\n$8\r\nrt:hosts\r\n:1\r\n");
    push_host("hostc\n" ROW);
    until_news(told + 1);
    const struct rt_store_news *news = newest(RT_STORE_HOST);
    assert_string_equal(news->host, "hostc");
    assert_int_equal(news->row.seq, 3);
    assert_int_equal(news->row.sessions, 12);
    assert_int_equal(news->row.n_addr, 1);
    assert_string_equal(news->row.addr[0], "tcp:192.0.2.7:7401");
    assert_int_equal(count(RT_STORE_HOST), 1);
    assert_int_equal(agent->store.n_names, 1);
}

static void page(const char *after, const char *last, const char *first, const char *second)
{
    struct rt_store_host rows[2];

    memset(rows, 0, sizeof(rows));
    snprintf(rows[0].host, sizeof(rows[0].host), "%s", first);
    snprintf(rows[1].host, sizeof(rows[1].host), "%s", second);
    rt_store_names_page(&agent->store, after, last, rows, (size_t)(first[0] != '\0') + (second[0] != '\0'));
}

/* Who there is to list: a page takes out those of its stretch that it does not have. */
static void test_names(void **state)
{
    (void)state;
    start();
    page("", "c", "a", "c");
    rt_store_names_add(&agent->store, "b");
    rt_store_names_add(&agent->store, "e");
    rt_store_names_add(&agent->store, "b");
    assert_int_equal(agent->store.n_names, 4);
    page("", "c", "a", "c"); /* b has gone */
    assert_int_equal(agent->store.n_names, 3);
    assert_string_equal(agent->store.names[2], "e");
    page("c", "", "d", "f");
    assert_int_equal(agent->store.n_names, 4);
    assert_string_equal(agent->store.names[0], "a");
    assert_string_equal(agent->store.names[2], "d");
    page("", "", "", "");
    assert_int_equal(agent->store.n_names, 0);
}

#define CLAIM "7\n2\nhostb\nt\nbox\n"

static void test_claims_heard(void **state)
{
    static const char *const wrong[] = {"",           "7\n2\nhostb\nt\n",     "x\n2\nhostb\nt\nbox\n",
                                        "7\n2\n\n\n", "-7\n2\nhostb\nt\nc\n", "7\n9007199254740992\nh\nt\nc\n"};
    char text[256];

    (void)state;
    start();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n$%zu\r\n%s\r\n", strlen(wrong[i]),
                 wrong[i]);
        fake_push(&fake, text);
    }
    fake_push(&fake, "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n:1\r\n");
    run_for(20);
    assert_int_equal(count(RT_STORE_CLAIMED), 0);
    assert_int_equal(agent->store.pubsub.state, RT_REDIS_READY);
    size_t news = agent->n_news;
    snprintf(text, sizeof(text), "*3\r\n$7\r\nmessage\r\n$10\r\nrt:claimed\r\n$%zu\r\n%s\r\n", strlen(CLAIM), CLAIM);
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
    fake_rule(&fake, "SUBSCRIBE rt:claimed", ":1\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "SUBSCRIBE rt:claimed", "-NOPERM no\r\n", FAKE_GO_ON, 1);
    rt_redis_drop(&agent->store.pubsub, "test");
    while (count(RT_STORE_UP) < ups + 1) {
        until_news(agent->n_news + 1);
    }
    assert_int_equal(count(RT_STORE_UP), ups + 1);
    assert_false(newest(RT_STORE_UP)->fresh);
    assert_int_equal(fake_asked(&fake, "SUBSCRIBE rt:claimed"), 3);
    assert_int_equal(count(RT_STORE_DOWN), 0);
    assert_int_equal(count_logged("refuses SUBSCRIBE: NOPERM no; give its user +subscribe, &rt:claimed and &rt:hosts"),
                     1);
    /* So is the one to the hosts' notices. */
    fake_forget(&fake);
    fake_rule(&fake, "SUBSCRIBE rt:hosts", "-NOPERM no\r\n", FAKE_GO_ON, 1);
    rt_redis_drop(&agent->store.pubsub, "test");
    while (fake_asked(&fake, "SUBSCRIBE rt:hosts") < 2) {
        run_for(20);
    }
    assert_int_equal(count_logged("refuses SUBSCRIBE"), 1); /* once, for both */
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKE(test_up),           WITH_FAKE(test_whole),          WITH_FAKE(test_senseless_beats),
        WITH_FAKE(test_functions),    WITH_FAKE(test_writes_refused), WITH_FAKE(test_refused_beats),
        WITH_FAKE(test_info),         WITH_FAKE(test_name_taken),     WITH_FAKE(test_dead_name),
        WITH_FAKE(test_touch),        WITH_FAKE(test_notices),        WITH_FAKE(test_names),
        WITH_FAKE(test_claims_heard), WITH_FAKE(test_subscription),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
