/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Listings: pages, prefixes, sets and records that are not as they should be, failures in each of the two steps. */

#define SET_A "ZRANGEBYLEX rt:host:{hosta}"
#define SET_B "ZRANGEBYLEX rt:host:{hostb}"
#define RECORD(host) "*4\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nset\r\n$5\r\n" host "\r\n"

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

static bool has_row(struct agent *a)
{
    return a->store.n_rows == 1;
}

/* Makes hostb known to the agent. */
static void add_host(void)
{
    static const char row[] = FAKE_OTHER "\n3\n999900\n12\n0.1\ntcp:192.0.2.7:7401\n";

    snprintf(fake.beat.rows, FAKE_ROWS_MAX, "*2\r\n$5\r\nhostb\r\n$%zu\r\n%s\r\n", strlen(row), row);
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(has_row, agent, 10000));
}

static int list(const char *tenant, const char *prefix, const char *host, uint64_t cursor)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of(tenant, prefix), .cursor = cursor};

    snprintf(op.host, sizeof op.host, "%s", host);
    return submit(agent, &op);
}

static void test_ranges_asked(void **state)
{
    (void)state;
    add_host();
    assert_int_equal(list("t", "web", "", 0), 0);
    assert_int_equal(agent->reply.n_records, 0);
    assert_int_equal(agent->reply.cursor, 0);
    assert_int_equal(fake_asked(&fake, SET_A " [t/web (t/web\x7f LIMIT 0 "), 1);
    assert_int_equal(fake_asked(&fake, SET_B " [t/web (t/web\x7f LIMIT 0 "), 1);
    assert_int_equal(list("", "", "hostb", 0), 0);
    assert_int_equal(fake_asked(&fake, SET_B " - + LIMIT 0 "), 1);
    assert_int_equal(fake_asked(&fake, SET_A " - + LIMIT 0 "), 0);
    assert_int_equal(list("", "", "hostb", 1 + ((uint64_t)1 << 32)), RT_EINVAL); /* no second host */
}

/* What does not fit or is no member is passed over. */
static void test_members(void **state)
{
    (void)state;
    fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
    fake_rule(&fake, SET_A, "*6\r\n$4\r\nt/w1\r\n:7\r\n$7\r\nnoslash\r\n$4\r\nu/w2\r\n$4\r\nt/x3\r\n$4\r\nt/w4\r\n",
              FAKE_GO_ON, 0);
    assert_int_equal(list("t", "w", "", 0), 0);
    assert_int_equal(agent->reply.n_records, 2);
    assert_string_equal(agent->records[0].key.cid, "w1");
    assert_string_equal(agent->records[1].key.cid, "w4");
    assert_int_equal(fake_asked(&fake, "HGETALL"), 2);
}

/* A bad record is left out, said once, and no reason to refuse the good ones. */
static void test_bad_records(void **state)
{
    static const char *const bad[] = {
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "+OK\r\n",
        ":1\r\n",
        "*-1\r\n",
        "*1\r\n$2\r\nst\r\n",
        "*2\r\n$2\r\nst\r\n$1\r\n9\r\n",
    };

    (void)state;
    fake_rule(&fake, SET_A, "*3\r\n$3\r\nt/a\r\n$3\r\nt/b\r\n$3\r\nt/c\r\n", FAKE_GO_ON, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t errors = agent->n_errors_logged;

        fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
        fake_rule(&fake, "HGETALL rt:{t/b}:r", bad[i], FAKE_GO_ON, 1);
        assert_int_equal(list("t", "", "", 0), 0);
        assert_int_equal(agent->reply.n_records, 2);
        assert_string_equal(agent->records[1].key.cid, "c");
        assert_int_equal(agent->n_errors_logged, errors + 1);
    }
    assert_true(logged(agent, "the record of t/b makes no sense"));
    assert_int_equal(fake_asked(&fake, "rt3_prune"), 0); /* left for people to look at */
    /* Gone, or listed by another host: taken out of the set. */
    fake_rule(&fake, "HGETALL rt:{t/a}:r", RECORD("hostb"), FAKE_GO_ON, 1);
    fake_rule(&fake, "HGETALL rt:{t/b}:r", "*0\r\n", FAKE_GO_ON, 1);
    assert_int_equal(list("t", "", "", 0), 0);
    assert_int_equal(agent->reply.n_records, 1);
    run_for(10);
    assert_int_equal(fake_asked(&fake, "rt3_prune 2 rt:host:{hosta} rt:{t/a}:r t/a hosta"), 1);
    assert_int_equal(fake_asked(&fake, "rt3_prune 2 rt:host:{hosta} rt:{t/b}:r t/b hosta"), 1);
}

/* Errors of either step, whole or of one call among several. */
static void test_failures(void **state)
{
    static const struct {
        const char *ask, *answer;
        enum fake_then then;
        int error;
    } cases[] = {
        {SET_A, "-LOADING wait\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {SET_A, "-WRONGTYPE set\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {SET_A, ":1\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {SET_B, "$-1\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {SET_B, "-OOM\r\n", FAKE_GO_ON, RT_ELIMIT},
        {SET_B, "*2\r\n$3\r\nt/", FAKE_CLOSE, RT_ETIMEDOUT},
        {SET_A, "", FAKE_SILENCE, RT_ETIMEDOUT},
        {"HGETALL rt:{t/b}:r", "-LOADING wait\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"HGETALL rt:{t/a}:r", "-NOPERM no\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"HGETALL rt:{t/a}:r", "*2\r\n$2\r\nst", FAKE_CLOSE, RT_ETIMEDOUT},
        {"HGETALL rt:{t/b}:r", "", FAKE_SILENCE, RT_ETIMEDOUT},
    };

    (void)state;
    add_host();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_no_rules(&fake);
        fake_rule(&fake, SET_A, "*2\r\n$3\r\nt/a\r\n$3\r\nt/b\r\n", FAKE_GO_ON, 0);
        fake_rule(&fake, SET_B, "*0\r\n", FAKE_GO_ON, 0);
        fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
        fake_rule(&fake, cases[i].ask, cases[i].answer, cases[i].then, 1);
        if (list("t", "", "", 0) != cases[i].error || agent->reply.n_records > 0 || agent->reply.cursor != 0) {
            fail_msg("case %zu: %d", i, agent->reply.error);
        }
        if (cases[i].then != FAKE_GO_ON) {
            fake_cut(&fake);
            assert_true(run_until(is_down, agent, 10000));
        }
        assert_true(run_until(is_up, agent, 10000));
        assert_int_equal(list("t", "", "", 0), 0); /* none of it stays */
        assert_int_equal(agent->reply.n_records, 2);
    }
}

/* The reply to ZRANGEBYLEX of n members from c<first> on. */
static char *members(size_t first, size_t n)
{
    size_t cap = 32 + n * 16, at;
    char *text = malloc(cap);

    assert_non_null(text);
    at = (size_t)snprintf(text, cap, "*%zu\r\n", n);
    for (size_t i = first; i < first + n; i++) {
        at += (size_t)snprintf(text + at, cap - at, "$7\r\nt/c%04zu\r\n", i);
    }
    return text;
}

/* A full page says where to go on, and less of it when entries were taken out of the set meanwhile. */
static void test_pages(void **state)
{
    char *full = members(0, RT_LIST_MAX), *rest = members(RT_LIST_MAX, 2), next[64];

    (void)state;
    snprintf(next, sizeof next, SET_A " [t/ (t/\x7f LIMIT %d ", RT_LIST_MAX);
    fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
    fake_rule(&fake, SET_A, full, FAKE_GO_ON, 0);
    fake_rule(&fake, next, rest, FAKE_GO_ON, 0);
    assert_int_equal(list("t", "", "", 0), 0);
    assert_int_equal(agent->reply.n_records, RT_LIST_MAX);
    assert_int_equal(agent->reply.cursor, 1 + RT_LIST_MAX);
    assert_int_equal(list("t", "", "", agent->reply.cursor), 0);
    assert_int_equal(agent->reply.n_records, 2);
    assert_int_equal(agent->reply.cursor, 0);
    fake_rule(&fake, "HGETALL rt:{t/c0003}:r", "*0\r\n", FAKE_GO_ON, 1);
    assert_int_equal(list("t", "", "", 0), 0);
    assert_int_equal(agent->reply.n_records, RT_LIST_MAX - 1);
    assert_int_equal(agent->reply.cursor, RT_LIST_MAX);
    /* More hosts than the page has room for. */
    add_host();
    fake_rule(&fake, SET_A, rest, FAKE_GO_ON, 0);
    fake_rule(&fake, SET_B, full, FAKE_GO_ON, 0);
    fake_rule(&fake, "HGETALL rt:{t/c00", RECORD("hostb"), FAKE_GO_ON, 0);
    snprintf(next, sizeof next, "HGETALL rt:{t/c%04d}", RT_LIST_MAX);
    fake_rule(&fake, next, RECORD("hosta"), FAKE_GO_ON, 0);
    assert_int_equal(list("t", "", "", 0), 0);
    assert_int_equal(agent->reply.cursor, 1 + ((uint64_t)1 << 32) + RT_LIST_MAX - 2);
    assert_int_equal(agent->reply.n_records, RT_LIST_MAX - 1); /* the other of hosta's has gone to hostb */
    free(full);
    free(rest);
}

/* Stopped in the middle of either step. */
static void test_stopped(void **state)
{
    (void)state;
    for (int step = 0; step < 2; step++) {
        struct agent *other = agent_start(fake.endpoint, "hostc");
        struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of("t", "")};

        fake_rule(&fake, "ZRANGEBYLEX", "*1\r\n$3\r\nt/a\r\n", FAKE_GO_ON, 0);
        fake_rule(&fake, step == 0 ? "ZRANGEBYLEX" : "HGETALL", "", FAKE_SILENCE, 0);
        assert_int_equal(rt_store_submit(&other->store, &op), 0);
        run_for(20);
        assert_int_equal(other->n_replies, 0);
        agent_stop(other); /* asserts that its reply has come */
        fake_no_rules(&fake);
    }
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_ranges_asked), WITH_AGENT(test_members), WITH_AGENT(test_bad_records),
        WITH_AGENT(test_failures),     WITH_AGENT(test_pages),   WITH_AGENT(test_stopped),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
