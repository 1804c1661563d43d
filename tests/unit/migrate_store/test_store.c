/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <string.h>

/* Operations on a store that answers rightly, wrongly, late, half or not at all: what the asker is told. */

static struct fake fake;
static struct agent *agent;

#define STR(size, text) "$" size "\r\n" text "\r\n"
#define NO_TEXT STR("0", "")

/* Every operation of one command, a right answer to it, and what it is known by on the wire. */
static const struct {
    enum rt_store_op_kind kind;
    const char *ask, *right;
} kinds[] = {
    {RT_STORE_CREATE, "FCALL create", "*2\r\n:0\r\n:1\r\n"},
    {RT_STORE_TEST, "FCALL claim", "*8\r\n:0\r\n:0\r\n:7\r\n:1\r\n:0\r\n" STR("5", "hosta") ":1\r\n" NO_TEXT},
    {RT_STORE_TAKE, "FCALL claim",
     "*9\r\n:0\r\n:0\r\n:7\r\n:1\r\n:0\r\n" STR("5", "hosta") ":1\r\n" NO_TEXT STR("4", "past")},
    {RT_STORE_STATE, "FCALL state", "*4\r\n:0\r\n:7\r\n:1\r\n" STR("5", "hosta")},
    {RT_STORE_REPORT, "FCALL report", "*4\r\n:0\r\n:7\r\n:1\r\n" STR("5", "hosta")},
    {RT_STORE_END, "FCALL end", "*4\r\n:0\r\n:7\r\n:1\r\n" STR("5", "hosta")},
    {RT_STORE_GET, "HGETALL", "*2\r\n" STR("2", "st") STR("1", "2")},
    {RT_STORE_TAILS, "FCALL tails",
     "*12\r\n:5\r\n:0\r\n:3\r\n:0\r\n:10\r\n:0\r\n" STR("2", "hi") NO_TEXT
     ":7\r\n" STR("5", "hostb") ":1\r\n" STR("2", "\1\2")},
    {RT_STORE_MARK, "FCALL mark", "*4\r\n:0\r\n:7\r\n:1\r\n" STR("5", "hosta")},
    {RT_STORE_HOSTS, "FCALL hosts", "*3\r\n:1000\r\n" NO_TEXT "*0\r\n"},
    {RT_STORE_HOST_ROW, "HMGET rt:{reg}:rows", "*2\r\n$-1\r\n$-1\r\n"},
    {RT_STORE_REMOVE, "FCALL remove", "*2\r\n:0\r\n:0\r\n"},
    {RT_STORE_REVOKE, "FCALL revoke", "*2\r\n:0\r\n:9\r\n"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct rt_store_op op_of(enum rt_store_op_kind kind)
{
    struct rt_store_op op = join_op(kind, key_of("t", "box"), 1, 2, "hosta");

    op.key = key_of("t", "box");
    op.life = 7;
    op.epoch = 1;
    op.state = RT_SESSION_MOVING;
    snprintf(op.host, sizeof(op.host), "%s", kind == RT_STORE_HOST_ROW ? "hostb" : "");
    return op;
}

static int ask(enum rt_store_op_kind kind)
{
    struct rt_store_op op = op_of(kind);

    return submit(agent, &op);
}

static int ask_with(enum rt_store_op_kind kind, const char *part, const char *answer)
{
    fake_no_rules(&fake);
    fake_rule(&fake, part, answer, FAKE_GO_ON, 0);
    return ask(kind);
}

static int setup(void **state)
{
    (void)state;
    fake_start(&fake);
    agent = agent_start(fake.endpoint, "hosta");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    fake_stop(&fake);
    return 0;
}

static void test_right_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        assert_int_equal(ask_with(kinds[i].kind, kinds[i].ask, kinds[i].right), 0);
    }
    assert_int_equal(ask_with(RT_STORE_TAKE, "FCALL claim", kinds[2].right), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_OK);
    assert_int_equal(agent->reply.outcome.life, 7);
    assert_true(agent->reply.outcome.moved);
    assert_int_equal(agent->reply.past.size, 4);
    assert_memory_equal(agent->reply.past.data, "past", 4);
    assert_true(fake_asked(&fake, "FCALL list 1 rt:{host/hosta}:set t/box") > 0);
    assert_int_equal(ask_with(RT_STORE_GET, "HGETALL", "*0\r\n"), 0);
    assert_int_equal(agent->reply.n_records, 0);
    assert_int_equal(ask_with(RT_STORE_TAILS, "FCALL tails", kinds[7].right), 0);
    assert_int_equal(agent->reply.end.code, 3);
    assert_int_equal(agent->reply.tail[0].size, 2);
    assert_string_equal(agent->reply.outcome.host, "hostb");
    assert_true(agent->reply.cut);
    assert_int_equal(agent->n_errors_logged, 0);
}

/* What is no answer of our functions: "not available", and a line in the log. */
static void test_senseless_answers(void **state)
{
    static const char *const wrong[] = {
        ":1\r\n",       "+OK\r\n",       "$-1\r\n",       "*-1\r\n",
        "*1\r\n*0\r\n", "*1\r\n:99\r\n", "$3\r\nabc\r\n", "*3\r\n:0\r\n:0\r\n:0\r\n",
    };

    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            size_t before = agent->n_errors_logged;

            if (kinds[i].kind == RT_STORE_HOST_ROW && strstr(wrong[j], "-1") != NULL) {
                continue; /* there is no such row */
            }
            assert_int_equal(ask_with(kinds[i].kind, kinds[i].ask, wrong[j]), RT_EUNAVAIL);
            assert_int_equal(agent->n_errors_logged, before + 1);
            assert_int_equal(agent->reply.n_records, 0);
        }
    }
    assert_true(logged(agent, "makes no sense"));
    assert_true(is_up(agent)); /* one bad record is no reason to leave the store */
}

/* Answers of the right shape with one value that cannot be. */
static void test_values_out_of_range(void **state)
{
#define CLAIM(verdict, life, epoch, host) "*9\r\n" verdict ":0\r\n" life epoch ":0\r\n" host ":0\r\n" NO_TEXT NO_TEXT
#define FIELD(name_size, name, size, value) "*4\r\n" STR("2", "st") STR("1", "2") STR(name_size, name) STR(size, value)
#define TAILS(state, code, tail)                                                                                       \
    "*12\r\n" state ":0\r\n" code ":0\r\n:10\r\n:0\r\n" tail NO_TEXT ":7\r\n" NO_TEXT ":0\r\n" NO_TEXT
    static const struct {
        enum rt_store_op_kind kind;
        const char *ask, *answer;
    } cases[] = {
        {RT_STORE_CREATE, "FCALL create", "*2\r\n:99\r\n:1\r\n"},
        {RT_STORE_CREATE, "FCALL create", "*2\r\n:-1\r\n:1\r\n"},
        {RT_STORE_TAKE, "FCALL claim", CLAIM(":99\r\n", ":1\r\n", ":1\r\n", NO_TEXT)},
        {RT_STORE_TAKE, "FCALL claim", CLAIM(":0\r\n", ":-1\r\n", ":1\r\n", NO_TEXT)},
        {RT_STORE_TAKE, "FCALL claim", CLAIM(":0\r\n", ":9007199254740992\r\n", ":1\r\n", NO_TEXT)},
        {RT_STORE_TAKE, "FCALL claim", CLAIM(":0\r\n", ":1\r\n", ":9007199254740992\r\n", NO_TEXT)},
        {RT_STORE_TAKE, "FCALL claim", CLAIM(":0\r\n", ":1\r\n", ":1\r\n", ":1\r\n")},
        {RT_STORE_STATE, "FCALL state", "*4\r\n:3\r\n:7\r\n:1\r\n" NO_TEXT},
        {RT_STORE_REPORT, "FCALL report", "*4\r\n:0\r\n:-7\r\n:1\r\n" NO_TEXT},
        {RT_STORE_END, "FCALL end", "*4\r\n:0\r\n:7\r\n:1\r\n:1\r\n"},
        {RT_STORE_END, "FCALL end", "*4\r\n:4\r\n:7\r\n:1\r\n" NO_TEXT},
        {RT_STORE_GET, "HGETALL", "*3\r\n" STR("2", "st") STR("1", "2") STR("4", "life")},
        {RT_STORE_GET, "HGETALL", "*2\r\n" STR("2", "st") ":2\r\n"},
        {RT_STORE_GET, "HGETALL", "*2\r\n" STR("2", "st") STR("1", "9")},
        {RT_STORE_GET, "HGETALL", "*2\r\n" STR("4", "life") STR("1", "1")}, /* no state */
        {RT_STORE_GET, "HGETALL", FIELD("4", "life", "2", "-1")},
        {RT_STORE_GET, "HGETALL", FIELD("4", "life", "16", "9007199254740992")},
        {RT_STORE_GET, "HGETALL", FIELD("4", "life", "0", "")},
        {RT_STORE_GET, "HGETALL", FIELD("3", "inc", "4", "0123")},
        {RT_STORE_GET, "HGETALL", FIELD("3", "inc", "32", "0123456789abcdef0123456789abcdeX")},
        {RT_STORE_GET, "HGETALL", FIELD("3", "anc", "3", "abc")},
        {RT_STORE_GET, "HGETALL", FIELD("4", "hist", "5", "1 2 3")},
        {RT_STORE_GET, "HGETALL", FIELD("4", "hist", "7", "1 2 x h")},
        {RT_STORE_TAILS, "FCALL tails", TAILS(":5\r\n", ":-1\r\n", NO_TEXT)},
        {RT_STORE_TAILS, "FCALL tails", TAILS(":5\r\n", ":0\r\n", ":1\r\n")},
        {RT_STORE_TAILS, "FCALL tails", TAILS("+5\r\n", ":0\r\n", NO_TEXT)},
        {RT_STORE_TAILS, "FCALL tails",
         "*12\r\n:5\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n" NO_TEXT NO_TEXT ":-7\r\n" NO_TEXT ":0\r\n" NO_TEXT},
        {RT_STORE_TAILS, "FCALL tails",
         "*12\r\n:5\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n" NO_TEXT NO_TEXT ":7\r\n" NO_TEXT ":0\r\n:1\r\n"},
        {RT_STORE_TAILS, "FCALL tails",
         "*12\r\n:5\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n" NO_TEXT NO_TEXT ":7\r\n:1\r\n:0\r\n" NO_TEXT},
        {RT_STORE_HOSTS, "FCALL hosts", "*2\r\n:1\r\n*0\r\n"},
        {RT_STORE_HOSTS, "FCALL hosts", "*3\r\n:-1\r\n" NO_TEXT "*0\r\n"},
        {RT_STORE_HOSTS, "FCALL hosts", "*3\r\n:1\r\n:0\r\n*0\r\n"},
        {RT_STORE_HOSTS, "FCALL hosts", "*3\r\n:1\r\n" NO_TEXT ":0\r\n"},
        {RT_STORE_HOST_ROW, "HMGET rt:{reg}:rows", ":1\r\n"},
        {RT_STORE_HOST_ROW, "HMGET rt:{reg}:rows", "*0\r\n"},
        {RT_STORE_HOST_ROW, "HMGET rt:{reg}:rows", "*1\r\n" STR("3", "row")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (ask_with(cases[i].kind, cases[i].ask, cases[i].answer) != RT_EUNAVAIL) {
            fail_msg("case %zu: %d", i, agent->reply.error);
        }
    }
    assert_true(is_up(agent));
}

/* A row that cannot be read is one of a host that is there. */
static void test_unread_rows(void **state)
{
    (void)state;
    assert_int_equal(ask_with(RT_STORE_HOST_ROW, "HMGET rt:{reg}:rows", "*2\r\n" STR("3", "row") "$-1\r\n"), 0);
    assert_int_equal(agent->reply.n_hosts, 1);
    assert_string_equal(agent->hosts[0].host, "hostb");
    assert_int_equal(agent->hosts[0].n_addr, 0);
    assert_false(agent->hosts[0].drains);
    assert_int_equal(ask_with(RT_STORE_HOSTS, "FCALL hosts",
                              "*3\r\n:1\r\n" NO_TEXT "*3\r\n" STR("5", "hostc") STR("3", "row") NO_TEXT),
                     0);
    assert_int_equal(agent->reply.n_hosts, 1);
    assert_string_equal(agent->hosts[0].host, "hostc");
    assert_int_equal(agent->store.n_names, 1);
}

/* What the store said no to, and why. */
static void test_told_why(void **state)
{
    (void)state;
    assert_int_equal(ask_with(RT_STORE_STATE, "FCALL state", "*4\r\n:1\r\n:0\r\n:0\r\n" NO_TEXT), RT_ENOTFOUND);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_NOT_FOUND);
    assert_int_equal(ask_with(RT_STORE_END, "FCALL end", "*4\r\n:2\r\n:9\r\n:4\r\n" STR("5", "hostb")), RT_ENOTFOUND);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_STALE);
    assert_int_equal(agent->reply.outcome.life, 9);
    assert_string_equal(agent->reply.outcome.host, "hostb");
    assert_int_equal(ask_with(RT_STORE_TAILS, "FCALL tails",
                              "*12\r\n:2\r\n:0\r\n:0\r\n:0\r\n:0\r\n:0\r\n" NO_TEXT NO_TEXT ":7\r\n" NO_TEXT
                              ":0\r\n" NO_TEXT),
                     RT_ENOTFOUND);
    assert_int_equal(ask_with(RT_STORE_CREATE, "FCALL create", "*2\r\n:13\r\n:0\r\n"), 0);
    assert_int_equal(agent->reply.outcome.verdict, RT_CLASS_LIMIT);
    assert_int_equal(agent->n_errors_logged, 0);
}

static void test_error_replies(void **state)
{
    static const struct {
        const char *answer;
        int error;
        const char *logged; /* NULL: nothing */
        size_t times;
    } cases[] = {
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", RT_ELIMIT, "out of memory", KINDS},
        {"-LOADING Redis is loading the dataset in memory\r\n", RT_EUNAVAIL, "it reads its data", 1},
        {"-NOREPLICAS Not enough good replicas to write.\r\n", RT_EUNAVAIL, "not enough replicas", 1},
        {"-MASTERDOWN Link with MASTER is down\r\n", RT_EUNAVAIL, NULL, 0},
        {"-BUSY Redis is busy running a script.\r\n", RT_EUNAVAIL, NULL, 0},
        {"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", RT_EUNAVAIL, "refuses: WRONGTYPE",
         1},
        {"-NOPERM this user has no permissions\r\n", RT_EUNAVAIL, "refuses: NOPERM", 1},
        {"-\r\n", RT_EUNAVAIL, "refuses", 1},
    };

    (void)state;
    uv_timer_stop(&agent->store.heart); /* a write that is taken ends a refusal */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t before = agent->n_errors_logged;

        for (size_t j = 0; j < KINDS; j++) {
            assert_int_equal(ask_with(kinds[j].kind, kinds[j].ask, cases[i].answer), cases[i].error);
        }
        assert_int_equal(agent->n_errors_logged - before, cases[i].times);
        assert_true(cases[i].logged == NULL || logged(agent, cases[i].logged));
    }
    assert_true(is_up(agent));
    /* Read-only: whoever is the primary now has to be found. */
    fake_no_rules(&fake);
    fake_rule(&fake, "FCALL state", "-READONLY You can't write against a read only replica.\r\n", FAKE_GO_ON, 1);
    assert_int_equal(ask(RT_STORE_STATE), RT_EUNAVAIL);
    assert_true(run_until(is_down, agent, 5000));
    assert_true(run_until(is_up, agent, 5000));
    assert_true(fake.n_connections > 3);
}

/* Functions that are missing are loaded once for an operation, which is then sent again. */
static void test_functions_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].kind == RT_STORE_GET) {
            continue;
        }
        fake_no_rules(&fake);
        fake_forget(&fake);
        fake_rule(&fake, kinds[i].ask, kinds[i].right, FAKE_GO_ON, 0);
        fake_rule(&fake, kinds[i].ask, "-ERR Function not found\r\n", FAKE_GO_ON, 1);
        fake_rule(&fake, "FUNCTION LOAD", "-ERR Library 'retether_0' already exists\r\n", FAKE_GO_ON, 0);
        assert_int_equal(ask(kinds[i].kind), 0); /* somebody else was faster */
        assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 1);
        assert_int_equal(agent->n_errors_logged, 0);
    }
    fake_forget(&fake);
    fake_rule(&fake, "FUNCTION LOAD", "-NOPERM no\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL state", "-ERR Function not found\r\n", FAKE_GO_ON, 0);
    assert_int_equal(ask(RT_STORE_STATE), RT_EUNAVAIL);
    assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 1);
    assert_true(logged(agent, "cannot load the functions: NOPERM"));
}

/* Neither a half answer nor none leaves the asker waiting: it may have happened. */
static void test_no_answer(void **state)
{
    static const enum fake_then thens[] = {FAKE_CLOSE, FAKE_SILENCE};

    (void)state;
    for (size_t then = 0; then < 2; then++) {
        for (size_t i = 0; i < KINDS; i++) {
            bool closes = thens[then] == FAKE_CLOSE;

            if (!closes && i != 4) {
                continue; /* a second each */
            }
            fake_no_rules(&fake);
            fake_rule(&fake, kinds[i].ask, "*9\r\n:1\r\n$100\r\nhal", thens[then], 1);
            assert_int_equal(ask(kinds[i].kind), RT_ETIMEDOUT);
            assert_true(run_until(is_up, agent, 5000));
            assert_true(agent->store.only.ends.state == RT_REDIS_READY || closes);
            while (agent->store.only.ends.state != RT_REDIS_READY) {
                run_for(1);
            }
        }
    }
}

/* Refused at once, without an answer later. */
static void test_refused_at_once(void **state)
{
    struct rt_store_op op = op_of(RT_STORE_GET);
    size_t before = agent->n_replies;

    (void)state;
    snprintf(op.key.cid, sizeof(op.key.cid), "../x");
    assert_int_equal(rt_store_submit(&agent->store, &op), RT_EINVAL);
    op = op_of(RT_STORE_STATE);
    op.state = RT_SESSION_ENDED;
    assert_int_equal(rt_store_submit(&agent->store, &op), RT_EINVAL);
    op = op_of(RT_STORE_REPORT);
    op.report = (struct rt_slice){(const uint8_t *)"", RT_REPORT_MAX + 1};
    assert_int_equal(rt_store_submit(&agent->store, &op), RT_EINVAL);
    op = op_of(RT_STORE_GET);
    fake_rule(&fake, "HGETALL", "", FAKE_SILENCE, 0);
    for (size_t i = 0; i < RT_STORE_OPS_MAX; i++) {
        assert_int_equal(rt_store_submit(&agent->store, &op), 0);
    }
    assert_int_equal(rt_store_submit(&agent->store, &op), RT_ELIMIT);
    assert_int_equal(agent->n_replies, before);
    fake_cut(&fake);
    assert_true(run_until(is_down, agent, 5000));
    assert_int_equal(agent->n_replies, before + RT_STORE_OPS_MAX);
    assert_int_equal(agent->n_errors[-RT_ETIMEDOUT], RT_STORE_OPS_MAX);
    assert_int_equal(rt_store_submit(&agent->store, &op), RT_EUNAVAIL);
    fake_no_rules(&fake);
    assert_true(run_until(is_up, agent, 5000));
}

/* What is owed when it stops comes with RT_ECANCELED, from within, each once. */
static void test_stop_with_work(void **state)
{
    struct agent *other = agent_start(fake.endpoint, "hostb");
    size_t owed = 0;

    (void)state;
    fake_rule(&fake, "box", "", FAKE_SILENCE, 0);
    for (size_t i = 0; i < KINDS; i++) {
        struct rt_store_op op = op_of(kinds[i].kind);

        if (op.kind != RT_STORE_HOSTS && op.kind != RT_STORE_HOST_ROW) {
            assert_int_equal(rt_store_submit(&other->store, &op), 0);
            owed++;
        }
    }
    run_for(20);
    assert_int_equal(other->n_replies, 0);
    assert_int_equal(other->store.n_ops, owed);
    /* agent_stop() asserts that nothing is owed any more. */
    agent_stop(other);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_right_answers),     WITH_AGENT(test_senseless_answers), WITH_AGENT(test_values_out_of_range),
        WITH_AGENT(test_unread_rows),       WITH_AGENT(test_told_why),          WITH_AGENT(test_error_replies),
        WITH_AGENT(test_functions_missing), WITH_AGENT(test_no_answer),         WITH_AGENT(test_refused_at_once),
        WITH_AGENT(test_stop_with_work),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
