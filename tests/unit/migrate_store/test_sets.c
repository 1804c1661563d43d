/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <string.h>

/* Our set: the order of what is written into it, refusals, the audit, and the walk. */

#define HANG_MS 10000
#define TAKE(set) "*9\r\n:0\r\n:0\r\n:7\r\n:1\r\n:0\r\n$5\r\nhostb\r\n:1\r\n" set "$0\r\n\r\n"
#define RECORD(host, set) "*6\r\n$2\r\nst\r\n$1\r\n2\r\n$4\r\nhost\r\n$5\r\n" host "\r\n$3\r\nset\r\n$5\r\n" set "\r\n"
#define LIST "FCALL list 1 rt:{host/hosta}:set t/box"
#define LISTED "FCALL listed 1 rt:{t/box}:r hosta"

static struct fake fake;
static struct agent *agent;

static int setup(void **state)
{
    (void)state;
    fake_start(&fake);
    agent = agent_start(fake.endpoint, "hosta");
    fake_forget(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    fake_stop(&fake);
    return 0;
}

static int ask(enum rt_store_op_kind kind)
{
    struct rt_store_op op = join_op(kind, key_of("t", "box"), 1, 2, "hosta");

    op.key = key_of("t", "box");
    op.audit = true;
    return submit(agent, &op);
}

static const char *awaited;

static bool is_asked(struct agent *a)
{
    (void)a;
    return fake_asked(&fake, awaited) > 0;
}

static void until_asked(const char *part)
{
    awaited = part;
    assert_true(run_until(is_asked, agent, HANG_MS));
}

/* The record says so only once it is in the set, and nothing is taken out of another host's set. */
static void test_taken(void **state)
{
    (void)state;
    fake_rule(&fake, "FCALL claim", TAKE("$5\r\nhostb\r\n"), FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL list ", "-OOM command not allowed\r\n", FAKE_GO_ON, 1);
    assert_int_equal(ask(RT_STORE_TAKE), 0);
    until_asked(LIST);
    run_for(20);
    assert_int_equal(fake_asked(&fake, LISTED), 0);
    assert_true(logged(agent, "cannot list t/box"));
    assert_int_equal(ask(RT_STORE_TAKE), 0);
    until_asked(LISTED);
    assert_int_equal(fake_asked(&fake, "ZREM"), 0);
    /* One that is listed here is not listed again with each connection. */
    fake_forget(&fake);
    fake_rule(&fake, "FCALL claim", TAKE("$5\r\nhosta\r\n"), FAKE_GO_ON, 0);
    assert_int_equal(ask(RT_STORE_TAKE), 0);
    run_for(20);
    assert_int_equal(fake_asked(&fake, "FCALL list"), 0);
}

/* A session's name is listed first, then it is made: where it cannot be listed there is none, and whoever asks again is
 * not told that there is. Once it is made, that is the answer. */
static void test_created(void **state)
{
    (void)state;
    fake_rule(&fake, "FCALL create", "*2\r\n:0\r\n:1\r\n", FAKE_GO_ON, 0);
    assert_int_equal(ask(RT_STORE_CREATE), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    assert_int_equal(agent->reply.outcome.life, 1);
    assert_int_equal(fake_asked(&fake, LIST), 2);
    assert_true(strstr(fake.asked, LIST) < strstr(fake.asked, "FCALL create"));
    fake_forget(&fake);
    fake_rule(&fake, "FCALL list ", "-OOM command not allowed\r\n", FAKE_GO_ON, 1);
    assert_int_equal(ask(RT_STORE_CREATE), RT_ELIMIT);
    fake_rule(&fake, "FCALL list ", "+nonsense\r\n", FAKE_GO_ON, 1);
    assert_int_equal(ask(RT_STORE_CREATE), RT_EUNAVAIL);
    assert_int_equal(fake_asked(&fake, "FCALL create"), 0);
    fake_rule(&fake, "FCALL list ", "-OOM command not allowed\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "FCALL list ", ":1\r\n", FAKE_GO_ON, 1);
    assert_int_equal(ask(RT_STORE_CREATE), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    assert_true(logged(agent, "cannot list t/box again"));
    fake_rule(&fake, "FCALL list ", "", FAKE_CLOSE, 1);
    assert_int_equal(ask(RT_STORE_CREATE), RT_ETIMEDOUT);
    assert_int_equal(fake_asked(&fake, "FCALL create"), 1);
}

/* The functions are thrown away before each step: they are loaded once for each. */
static void test_functions_missing(void **state)
{
    (void)state;
    fake_rule(&fake, "FCALL create", "*2\r\n:0\r\n:1\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL create", "-ERR Function not found\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "FCALL list ", "-ERR Function not found\r\n", FAKE_GO_ON, 1);
    assert_int_equal(ask(RT_STORE_CREATE), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 2);
    assert_int_equal(fake_asked(&fake, LIST), 3);
    assert_int_equal(agent->n_errors_logged, 0);
    fake_rule(&fake, "FCALL list ", "-ERR Function not found\r\n", FAKE_GO_ON, 2);
    assert_int_equal(ask(RT_STORE_CREATE), RT_EUNAVAIL);
    assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 3);
}

/* The audit of a session lists it where the set or the record does not say so; another host's is left alone. */
static void test_audit(void **state)
{
    static const struct {
        const char *record, *score;
        size_t listed;
    } cases[] = {
        {RECORD("hosta", "hosta"), "$1\r\n0\r\n", 0},       {RECORD("hosta", "hosta"), "$-1\r\n", 1},
        {RECORD("hosta", "hosta"), "-LOADING wait\r\n", 0}, {RECORD("hosta", "hostb"), "$1\r\n0\r\n", 1},
        {RECORD("hostb", "hosta"), "$-1\r\n", 0},           {"*0\r\n", "$-1\r\n", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_no_rules(&fake);
        fake_forget(&fake);
        fake_rule(&fake, "HGETALL", cases[i].record, FAKE_GO_ON, 0);
        fake_rule(&fake, "ZSCORE rt:{host/hosta}:set t/box", cases[i].score, FAKE_GO_ON, 0);
        assert_int_equal(ask(RT_STORE_GET), 0);
        run_for(20);
        if (fake_asked(&fake, LISTED) != cases[i].listed) {
            fail_msg("case %zu", i);
        }
    }
}

static bool is_walked(struct agent *a)
{
    return !a->store.walking && a->store.walk_steps == 0;
}

/* Page by page; what has no record here is taken out, once it is looked at and by nobody's asking. */
static void test_walk(void **state)
{
    (void)state;
    assert_true(run_until(is_walked, agent, HANG_MS)); /* the first one, of an empty set */
    fake_rule(&fake, "FCALL touch 1 rt:{t/gone}:r hosta", ":0\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL touch 1 rt:{t/bad}:r hosta", "-WRONGTYPE no hash\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "ZRANGEBYLEX rt:{host/hosta}:set (t/gone + LIMIT 0", "*1\r\n$4\r\nt/on\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "ZRANGEBYLEX rt:{host/hosta}:set (t/gone + LIMIT 0", "-ERR not now\r\n", FAKE_GO_ON, 1);
    fake_rule(&fake, "ZRANGEBYLEX rt:{host/hosta}:set - + LIMIT 0",
              "*4\r\n$7\r\nnonsens\r\n:1\r\n$5\r\nt/bad\r\n$6\r\nt/gone\r\n", FAKE_GO_ON, 1);
    fake_forget(&fake);
    run_for(20);
    assert_int_equal(fake_asked(&fake, "ZRANGEBYLEX"), 0); /* one has just been */
    agent->store.walks = 0;
    rt_store_walk(&agent->store);
    assert_true(run_until(is_walked, agent, HANG_MS)); /* the other pages with the heartbeats */
    run_for(20);
    assert_int_equal(fake_asked(&fake, "ZRANGEBYLEX rt:{host/hosta}:set (t/on + "), 1);
    assert_int_equal(fake_asked(&fake, "PEXPIRE rt:{host/hosta}:set 691200000"), 1);
    assert_int_equal(fake_asked(&fake, "FCALL touch 1 rt:{t/on}:r hosta"), 1);
    assert_int_equal(fake_asked(&fake, "ZREM rt:{host/hosta}:set t/gone"), 1);
    assert_int_equal(fake_asked(&fake, "ZREM rt:{host/hosta}:set nonsens"), 1);
    assert_int_equal(fake_asked(&fake, "ZREM"), 2);
    assert_true(is_up(agent));
}

/* With many hosts the pages of a walk do not come with every heartbeat. */
static void test_walk_pace(void **state)
{
    (void)state;
    assert_true(run_until(is_walked, agent, HANG_MS));
    for (unsigned i = 0; i < 1000; i++) {
        char host[16];

        snprintf(host, sizeof(host), "host%u", i);
        rt_store_names_add(&agent->store, host);
    }
    fake_rule(&fake, "ZRANGEBYLEX rt:{host/hosta}:set - + LIMIT 0", "*1\r\n$4\r\nt/on\r\n", FAKE_GO_ON, 1);
    fake_forget(&fake);
    agent->store.walks = 0;
    rt_store_walk(&agent->store);
    while (agent->store.walk_steps > 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_true(agent->store.walking);
    assert_true(agent->store.walk_next > uv_now(&loop) + RT_HEARTBEAT_MS);
    rt_store_walk(&agent->store);
    assert_int_equal(agent->store.walk_steps, 0);
    agent->store.walk_next = 0;
    rt_store_walk(&agent->store);
    assert_true(run_until(is_walked, agent, HANG_MS));
    assert_int_equal(fake_asked(&fake, "ZRANGEBYLEX rt:{host/hosta}:set (t/on + LIMIT 0"), 1);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_taken), WITH_AGENT(test_created), WITH_AGENT(test_functions_missing),
        WITH_AGENT(test_audit), WITH_AGENT(test_walk),    WITH_AGENT(test_walk_pace),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
