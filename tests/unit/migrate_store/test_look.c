/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "migrate/store/rights.h"
#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <string.h>

/* Looks at the store: what is asked, what is logged and when, what is told. test_checks.c has what is weak. */

#define HANG_MS 10000

static struct fake fake;
static struct agent *agent;
static size_t news_wanted;

static size_t n_looked(const struct agent *a)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n_news; i++) {
        n += a->news[i].kind == RT_STORE_LOOKED;
    }
    return n;
}

static bool has_looked(struct agent *a)
{
    return n_looked(a) >= news_wanted;
}

/* One look now. */
static void look(void)
{
    news_wanted = n_looked(agent) + 1;
    agent->store.look.at = 0;
    rt_store_look_beat(&agent->store);
    assert_true(run_until(has_looked, agent, HANG_MS));
}

/* No look but those of the test. */
static void start(void)
{
    agent = agent_start(fake.endpoint, "hosta");
    uv_timer_stop(&agent->store.heart);
    agent->n_news = 0;
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake);
    fake_rule(&fake, "ACL DRYRUN", "+OK\r\n", FAKE_GO_ON, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    fake_stop(&fake);
    return 0;
}

static size_t count_logged(const char *part)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_log; i++) {
        n += strstr(agent->log[i], part) != NULL;
    }
    return n;
}

static const struct rt_store_check *found(enum rt_check i)
{
    return &agent->store.look.found.checks[i];
}

#define INFO(fields) "run_id:" FAKE_RUN_ID "\r\n" fields

/* The newest one counts: those before are overwritten. */
static const char *bulk(const char *text)
{
    static char out[512];

    snprintf(out, sizeof(out), "$%zu\r\n%s\r\n", strlen(text), text);
    return out;
}

/* A weakness is said when it appears and when it is over, each once, however often it is looked at. */
static void test_once(void **state)
{
    (void)state;
    start();
    fake_rule(&fake, "INFO", bulk(INFO("maxmemory_policy:allkeys-lru\r\n")), FAKE_GO_ON, 0);
    look();
    look();
    assert_int_equal(count_logged("the store's maxmemory-policy: allkeys-lru: it may evict sessions; set noeviction"),
                     1);
    assert_int_equal(found(RT_CHECK_EVICTION)->state, RT_CHECK_WEAK);
    fake_no_rules(&fake);
    look(); /* not known: neither weak nor over */
    assert_int_equal(found(RT_CHECK_EVICTION)->state, RT_CHECK_UNKNOWN);
    fake_rule(&fake, "INFO", bulk(INFO("maxmemory_policy:volatile-lru\r\n")), FAKE_GO_ON, 0);
    look();
    assert_int_equal(count_logged("the store's maxmemory-policy: volatile-lru"), 1); /* another one */
    fake_rule(&fake, "INFO", bulk(INFO("maxmemory_policy:noeviction\r\n")), FAKE_GO_ON, 0);
    look();
    look();
    assert_int_equal(count_logged("the store's maxmemory-policy: noeviction: that is well now"), 1);
    assert_int_equal(agent->n_warnings, 2);
    fake_rule(&fake, "INFO", bulk(INFO("maxmemory_policy:allkeys-lru\r\n")), FAKE_GO_ON, 0);
    look();
    assert_int_equal(count_logged("allkeys-lru"), 2);
}

/* Each question with its answer. */
static void test_asked(void **state)
{
    (void)state;
    fake_rule(&fake, "CONFIG GET min-replicas-to-write", "*2\r\n$21\r\nmin-replicas-to-write\r\n$1\r\n0\r\n",
              FAKE_GO_ON, 0);
    fake_rule(&fake, "CONFIG GET hash-max-listpack-value", "*2\r\n$23\r\nhash-max-listpack-value\r\n$2\r\n64\r\n",
              FAKE_GO_ON, 0);
    fake_rule(&fake, "CONFIG GET appendfsync", "*2\r\n$11\r\nappendfsync\r\n$2\r\nno\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "FUNCTION LIST LIBRARYNAME retether_*",
              "*2\r\n*2\r\n$12\r\nlibrary_name\r\n$10\r\nretether_0\r\n*2\r\n$12\r\nlibrary_name\r\n$5\r\nother\r\n",
              FAKE_GO_ON, 0);
    fake_rule(&fake, "INFO",
              bulk(INFO("redis_version:7.2.4\r\naof_enabled:1\r\nconnected_slaves:2\r\nmaxmemory:67108862\r\n")),
              FAKE_GO_ON, 0);
    start();
    fake_forget(&fake);
    look();
    assert_int_equal(fake_asked(&fake, "ACL DRYRUN default "), rt_rights(false) + 1);
    assert_int_equal(fake_asked(&fake, "ACL DRYRUN default client setname x"), 1);
    assert_int_equal(found(RT_CHECK_RIGHTS)->state, RT_CHECK_OK);
    assert_string_equal(found(RT_CHECK_VERSION)->value, "7.2.4");
    assert_string_equal(found(RT_CHECK_FUNCTIONS)->value, "ours are missing, of 1 version there");
    assert_string_equal(found(RT_CHECK_REPLICAS)->value, "2 connected, 2 known");
    assert_string_equal(found(RT_CHECK_PERSISTENCE)->value, "append-only file, fsync no");
    assert_string_equal(found(RT_CHECK_MIN_REPLICAS)->value, "0");
    assert_string_equal(found(RT_CHECK_RECORDS)->value, "64");
    assert_string_equal(found(RT_CHECK_MEMORY)->value, "67108862 bytes");
    assert_int_equal(agent->n_warnings, 5);
    assert_int_equal(agent->store.look.found.replicas, 2);
    assert_true(strstr(found(RT_CHECK_SERVER)->value, fake.endpoint) == found(RT_CHECK_SERVER)->value);
}

static void test_rights(void **state)
{
    (void)state;
    fake_rule(&fake, "ACL DRYRUN default hset", "$9\r\nno right!\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "ACL DRYRUN default wait", "$9\r\nno right!\r\n", FAKE_GO_ON, 0);
    start();
    look();
    assert_string_equal(found(RT_CHECK_RIGHTS)->value, "missing: +wait +hset");
    assert_int_equal(count_logged("the store's rights: missing: +wait +hset: what needs them fails"), 1);
    /* What need not be allowed is not asked for where it is not. */
    fake_rule(&fake, "ACL DRYRUN default config get", "$9\r\nno right!\r\n", FAKE_GO_ON, 0);
    fake_forget(&fake);
    look();
    assert_int_equal(fake_asked(&fake, "\nCONFIG GET"), 0);
    assert_int_equal(fake_asked(&fake, "ACL DRYRUN default "), rt_rights(false) + 1);
    /* One that may not try: what it was denied otherwise tells. */
    fake_rule(&fake, "ACL DRYRUN", "-NOPERM no\r\n", FAKE_GO_ON, 0);
    look();
    assert_int_equal(found(RT_CHECK_RIGHTS)->state, RT_CHECK_UNKNOWN);
    fake_rule(&fake, "FCALL beat", "-NOPERM no fcall\r\n", FAKE_GO_ON, 1);
    rt_store_registry_beat(&agent->store);
    look();
    assert_string_equal(found(RT_CHECK_RIGHTS)->value, "NOPERM no fcall");
    look(); /* nothing was denied since */
    assert_int_equal(found(RT_CHECK_RIGHTS)->state, RT_CHECK_UNKNOWN);
}

/* By itself with the heartbeat: the first one of a connection, and not again within a minute. What is not answered is
 * not judged. */
static void test_when(void **state)
{
    size_t asked;

    (void)state;
    start();
    fake_forget(&fake);
    agent->store.look.at = uv_now(&loop) - RT_STORE_LOOK_MS + 2000;
    rt_store_look_beat(&agent->store);
    run_for(50);
    assert_int_equal(fake_asked(&fake, "FUNCTION LIST"), 0);
    agent->store.look.at = uv_now(&loop) - RT_STORE_LOOK_MS;
    rt_store_look_beat(&agent->store);
    rt_store_look_beat(&agent->store); /* one is under way */
    news_wanted = 1;
    assert_true(run_until(has_looked, agent, HANG_MS));
    assert_int_equal(fake_asked(&fake, "FUNCTION LIST"), 1);
    fake_rule(&fake, "FUNCTION LIST", "", FAKE_CLOSE, 1);
    agent->store.look.at = 0;
    rt_store_look_beat(&agent->store);
    assert_true(run_until(is_down, agent, HANG_MS));
    assert_int_equal(n_looked(agent), 2); /* the second one: that it is out */
    assert_int_equal(found(RT_CHECK_SERVER)->state, RT_CHECK_WEAK);
    assert_true(run_until(is_up, agent, HANG_MS));
    asked = fake_asked(&fake, "FUNCTION LIST");
    rt_store_look_beat(&agent->store);
    news_wanted = 3;
    assert_true(run_until(has_looked, agent, HANG_MS));
    assert_int_equal(fake_asked(&fake, "FUNCTION LIST"), asked + 1);
    assert_int_equal(found(RT_CHECK_SERVER)->state, RT_CHECK_OK);
}

static bool is_weak(struct agent *a)
{
    return a->store.look.found.checks[RT_CHECK_SERVER].state == RT_CHECK_WEAK;
}

static bool is_well(struct agent *a)
{
    rt_store_look_beat(&a->store);
    return !is_weak(a);
}

/* It is out, is found again, but takes no heartbeat, and is lost again: that is told, though it is too soon to log it.
 */
static void test_out_again(void **state)
{
    (void)state;
    start();
    fake_rule(&fake, "FCALL beat", "-ERR not now\r\n", FAKE_GO_ON, 0);
    fake_cut(&fake);
    assert_true(run_until(is_weak, agent, HANG_MS));
    assert_true(run_until(is_well, agent, HANG_MS));
    agent->store.log_down_at = UINT64_MAX;
    fake_rule(&fake, "ROLE", "", FAKE_CLOSE, 0);
    fake_cut(&fake);
    assert_true(run_until(is_weak, agent, HANG_MS));
    assert_false(logged(agent, "still no store"));
    fake_no_rules(&fake);
}

static bool says_again(struct agent *a)
{
    return logged(a, "still no store");
}

static void refused(size_t times)
{
    struct rt_store_op op = {.kind = RT_STORE_HOST_ROW, .host = "hostb"};

    assert_int_equal(submit(agent, &op), RT_EUNAVAIL);
    assert_int_equal(submit(agent, &op), RT_EUNAVAIL);
    assert_int_equal(count_logged("the store refuses: NOPERM no hmget"), times);
}

/* A store that stays out is said again, with what is wrong by then; and from its return all that was said once is news.
 */
static void test_out(void **state)
{
    (void)state;
    start();
    fake_rule(&fake, "HMGET", "-NOPERM no hmget\r\n", FAKE_GO_ON, 0);
    refused(1);
    fake_rule(&fake, "ROLE", "*1\r\n$5\r\nslave\r\n", FAKE_GO_ON, 0);
    rt_redis_drop(&agent->store.only.commands, "as the test wants");
    assert_true(run_until(is_down, agent, HANG_MS));
    run_for(100); /* it is dialled, and is no primary */
    assert_int_equal(count_logged("no store: "), 1);
    assert_int_equal(count_logged("not the primary"), 0);
    agent->store.log_down_at = uv_now(&loop);
    assert_true(run_until(says_again, agent, HANG_MS));
    run_for(100);
    assert_int_equal(count_logged("still no store: "), 1);
    assert_int_equal(count_logged("not the primary"), 1);
    assert_int_equal(agent->store.log_down_ms, 2 * RT_STORE_OUT_MS);
    assert_non_null(strstr(found(RT_CHECK_SERVER)->value, "not the primary"));
    fake_rule(&fake, "ROLE", FAKE_ROLE, FAKE_GO_ON, 0);
    assert_true(run_until(is_up, agent, HANG_MS));
    refused(2);
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKE(test_once), WITH_FAKE(test_asked), WITH_FAKE(test_rights),
        WITH_FAKE(test_when), WITH_FAKE(test_out),   WITH_FAKE(test_out_again),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
