/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Listings: pages, prefixes, sets and records that are not as they should be, failures in each of the two steps. */

#define SET_A "ZRANGEBYLEX rt:{host/hosta}:set"
#define SET_B "ZRANGEBYLEX rt:{host/hostb}:set"
#define RECORD(host) "*4\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nset\r\n$5\r\n" host "\r\n"

static struct fake fake;
static struct agent *agent;
static bool every;

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

/* Makes hostb known to the agent. */
static void add_host(void)
{
    rt_store_names_add(&agent->store, "hostb");
}

/* cursor: where to go on, or NULL */
static int list(const char *tenant, const char *prefix, const char *host, const struct rt_store_cursor *cursor)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of(tenant, prefix), .every = every};

    if (cursor != NULL) {
        op.cursor = *cursor;
    }
    snprintf(op.host, sizeof(op.host), "%s", host);
    return submit(agent, &op);
}

static void test_ranges_asked(void **state)
{
    (void)state;
    add_host();
    assert_int_equal(list("t", "web", "", NULL), 0);
    assert_int_equal(agent->reply.n_records, 0);
    assert_string_equal(agent->reply.cursor.host, "");
    assert_int_equal(fake_asked(&fake, SET_A " [t/web (t/web\x7f LIMIT 0 "), 1);
    assert_int_equal(fake_asked(&fake, SET_B " [t/web (t/web\x7f LIMIT 0 "), 1);
    assert_int_equal(list("", "", "hostb", NULL), 0);
    assert_int_equal(fake_asked(&fake, SET_B " - + LIMIT 0 "), 1);
    assert_int_equal(fake_asked(&fake, SET_A " - + LIMIT 0 "), 0);
    /* From the cursor's host on, and there behind its member. */
    fake_forget(&fake);
    assert_int_equal(list("t", "web", "", &(struct rt_store_cursor){"hosta", "t/web7", 1}), 0);
    assert_int_equal(fake_asked(&fake, SET_A " (t/web7 (t/web\x7f LIMIT 0 "), 1);
    assert_int_equal(fake_asked(&fake, SET_B " [t/web (t/web\x7f LIMIT 0 "), 1);
    fake_forget(&fake);
    assert_int_equal(list("", "", "", &(struct rt_store_cursor){"hostab", "t/web7", 1}), 0); /* it has gone since */
    assert_int_equal(fake_asked(&fake, SET_A), 0);
    assert_int_equal(fake_asked(&fake, SET_B " - + LIMIT 0 "), 1);
}

/* What does not fit or is no member is passed over. */
static void test_members(void **state)
{
    (void)state;
    fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
    fake_rule(&fake, SET_A, "*6\r\n$4\r\nt/w1\r\n:7\r\n$7\r\nnoslash\r\n$4\r\nu/w2\r\n$4\r\nt/x3\r\n$4\r\nt/w4\r\n",
              FAKE_GO_ON, 0);
    assert_int_equal(list("t", "w", "", NULL), 0);
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
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t errors = agent->n_errors_logged;

        fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
        fake_rule(&fake, "HGETALL rt:{t/b}:r", bad[i], FAKE_GO_ON, 1);
        assert_int_equal(list("t", "", "", NULL), 0);
        assert_int_equal(agent->reply.n_records, 2);
        assert_string_equal(agent->records[1].key.cid, "c");
        assert_int_equal(agent->n_errors_logged, errors + 1);
    }
    assert_true(logged(agent, "the record of t/b makes no sense"));
    /* Gone, or listed by another host: not told; the owner of the set takes it out. */
    fake_rule(&fake, "HGETALL rt:{t/a}:r", RECORD("hostb"), FAKE_GO_ON, 1);
    fake_rule(&fake, "HGETALL rt:{t/b}:r", "*0\r\n", FAKE_GO_ON, 1);
    assert_int_equal(list("t", "", "", NULL), 0);
    assert_int_equal(agent->reply.n_records, 1);
    /* A search for one does not care where it is listed. */
    every = true;
    fake_rule(&fake, "HGETALL rt:{t/a}:r", RECORD("hostb"), FAKE_GO_ON, 1);
    assert_int_equal(list("t", "", "", NULL), 0);
    assert_int_equal(agent->reply.n_records, 3);
    every = false;
}

#define HISTORY_OF(digits, claimed, size, hist)                                                                        \
    "*8\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nset\r\n$5\r\nhosta\r\n$7\r\nclaimed\r\n$" digits "\r\n" claimed                \
    "\r\n$4\r\nhist\r\n$" size "\r\n" hist "\r\n"
#define HISTORY(claimed, size, hist) HISTORY_OF("4", claimed, size, hist)

/* What has moved since the listing began is not told again where it has come from a host that comes before. */
static void test_told_once(void **state)
{
    static const struct {
        const char *record;
        size_t told;
    } cases[] = {
        {HISTORY("5000", "14", "1 1 100 hosta\n"), 1},                              /* reconnected */
        {HISTORY("5000", "29", "1 1 100 hostb\n1 2 5000 hosta\n"), 1},              /* from a later one */
        {HISTORY("5000", "26", "1 1 100 h0\n1 2 5000 hosta\n"), 0},                 /* from an earlier one */
        {HISTORY("5000", "41", "1 1 100 hostb\n1 2 4000 h0\n1 3 5000 hosta\n"), 0}, /* by way of one */
        {HISTORY("5000", "40", "1 1 100 h0\n1 2 900 hostb\n1 3 5000 hosta\n"), 1},  /* before it began */
        {HISTORY("1000", "26", "1 1 100 h0\n1 2 1000 hosta\n"), 1},
        /* The store's clock is at 1,000,000: while this page was read; and before it was put back. */
        {HISTORY_OF("7", "1009999", "29", "1 1 100 h0\n1 2 1009999 hosta\n"), 0},
        {HISTORY_OF("7", "1010001", "29", "1 1 100 h0\n1 2 1010001 hosta\n"), 1},
    };
    struct rt_store_cursor from = {"hosta", "", 1000};

    (void)state;
    fake_rule(&fake, SET_A, "*1\r\n$3\r\nt/a\r\n", FAKE_GO_ON, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_rule(&fake, "HGETALL rt:{t/a}:r", cases[i].record, FAKE_GO_ON, 1);
        assert_int_equal(list("t", "", "", &from), 0);
        if (agent->reply.n_records != cases[i].told) {
            fail_msg("case %zu: %zu", i, agent->reply.n_records);
        }
    }
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
        {"TIME", "+OK\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"TIME", "-NOPERM no\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"HGETALL rt:{t/b}:r", "-LOADING wait\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"HGETALL rt:{t/a}:r", "-NOPERM no\r\n", FAKE_GO_ON, RT_EUNAVAIL},
        {"HGETALL rt:{t/a}:r", "*2\r\n$2\r\nst", FAKE_CLOSE, RT_ETIMEDOUT},
        {"HGETALL rt:{t/b}:r", "", FAKE_SILENCE, RT_ETIMEDOUT},
    };

    (void)state;
    add_host();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_no_rules(&fake);
        fake_rule(&fake, SET_A, "*2\r\n$3\r\nt/a\r\n$3\r\nt/b\r\n", FAKE_GO_ON, 0);
        fake_rule(&fake, SET_B, "*0\r\n", FAKE_GO_ON, 0);
        fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
        fake_rule(&fake, cases[i].ask, cases[i].answer, cases[i].then, 1);
        if (list("t", "", "", NULL) != cases[i].error || agent->reply.n_records > 0 ||
            agent->reply.cursor.host[0] != '\0') {
            fail_msg("case %zu: %d", i, agent->reply.error);
        }
        if (cases[i].then != FAKE_GO_ON) {
            fake_cut(&fake);
            assert_true(run_until(is_down, agent, 10000));
        }
        assert_true(run_until(is_up, agent, 10000));
        assert_int_equal(list("t", "", "", NULL), 0); /* none of it stays */
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

static void assert_next(const char *host, const char *member)
{
    assert_string_equal(agent->reply.cursor.host, host);
    assert_string_equal(agent->reply.cursor.member, member);
    assert_int_equal(agent->reply.cursor.since_ms, 1000000);
}

/* A full page says where to go on, whatever has become of its records meanwhile. */
static void test_pages(void **state)
{
    char *full = members(0, RT_LIST_MAX), *rest = members(RT_LIST_MAX, 2), last[32], next[96];
    struct rt_store_cursor cursor;

    (void)state;
    snprintf(last, sizeof(last), "t/c%04d", RT_LIST_MAX - 1);
    snprintf(next, sizeof(next), SET_A " (%s (t/\x7f LIMIT 0 ", last);
    fake_rule(&fake, "HGETALL", RECORD("hosta"), FAKE_GO_ON, 0);
    fake_rule(&fake, SET_A, full, FAKE_GO_ON, 0);
    fake_rule(&fake, next, rest, FAKE_GO_ON, 0);
    assert_int_equal(list("t", "", "", NULL), 0);
    assert_int_equal(agent->reply.n_records, RT_LIST_MAX);
    assert_next("hosta", last);
    cursor = agent->reply.cursor;
    assert_int_equal(list("t", "", "", &cursor), 0);
    assert_int_equal(agent->reply.n_records, 2);
    assert_string_equal(agent->reply.cursor.host, "");
    fake_rule(&fake, "HGETALL rt:{t/c0003}:r", "*0\r\n", FAKE_GO_ON, 1);
    assert_int_equal(list("t", "", "", NULL), 0);
    assert_int_equal(agent->reply.n_records, RT_LIST_MAX - 1);
    assert_next("hosta", last);
    /* More hosts than the page has room for. */
    add_host();
    fake_rule(&fake, SET_A, rest, FAKE_GO_ON, 0);
    fake_rule(&fake, SET_B, full, FAKE_GO_ON, 0);
    fake_rule(&fake, "HGETALL rt:{t/c00", RECORD("hostb"), FAKE_GO_ON, 0);
    snprintf(next, sizeof(next), "HGETALL rt:{t/c%04d}", RT_LIST_MAX);
    fake_rule(&fake, next, RECORD("hosta"), FAKE_GO_ON, 0);
    assert_int_equal(list("t", "", "", NULL), 0);
    snprintf(last, sizeof(last), "t/c%04d", RT_LIST_MAX - 3);
    assert_next("hostb", last);
    assert_int_equal(agent->reply.n_records, RT_LIST_MAX - 1); /* the other of hosta's has gone to hostb */
    /* A page of other tenants' has nothing, and yet there is more. */
    fake_rule(&fake, SET_A, full, FAKE_GO_ON, 0);
    assert_int_equal(list("", "d", "hosta", NULL), 0);
    assert_int_equal(agent->reply.n_records, 0);
    snprintf(last, sizeof(last), "t/c%04d", RT_LIST_MAX - 1);
    assert_next("hosta", last);
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
        WITH_AGENT(test_told_once),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
