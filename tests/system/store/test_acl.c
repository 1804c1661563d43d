/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "migrate/store/rights.h"
#include "tests/lib/acl.h"
#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Real servers and Sentinels that give an agent what docs/operations.md says, and no more: all works, each right is
 * used, and one that is missing is named. */

#define HANG_MS 30000
#define SENTINELS ((size_t)3)
#define LOGIN "retether\nsecret\n"

static struct rt_test_redis server, replica, sentinels[SENTINELS];
static struct rt_test_acl acl, sentinel_acl;
static struct agent *agent;
static size_t looks_wanted;

static int setup(void **state)
{
    (void)state;
    return rt_test_acl_read(&acl, false) != 0 || rt_test_acl_read(&sentinel_acl, true) != 0 ||
                   rt_test_redis_start(&server, NULL, NULL) != 0 || rt_test_acl_set(&server, &acl, "secret") != 0
               ? -1
               : 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < SENTINELS; i++) {
        rt_test_redis_stop(&sentinels[i]);
    }
    rt_test_redis_stop(&replica);
    rt_test_redis_stop(&server);
    return 0;
}

static struct agent *start(const char *endpoint, const char *host)
{
    struct rt_store_config config;
    struct agent *a;

    agent_config(&config, endpoint, host);
    config.login_file = config.sentinel_login_file = login_file(LOGIN);
    config.tails_host = 65536;
    a = agent_new(&config);
    assert_true(run_until(is_up, a, HANG_MS));
    return a;
}

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
    return n_looked(a) >= looks_wanted;
}

static const struct rt_store_check *look(enum rt_check i)
{
    agent->n_news = agent->n_log = 0;
    looks_wanted = 1;
    agent->store.look.at = 0;
    rt_store_look_beat(&agent->store);
    assert_true(run_until(has_looked, agent, HANG_MS));
    return &agent->store.look.found.checks[i];
}

/* What the server denied to anybody so far; it keeps count. */
static void want_nothing_denied(struct rt_test_redis *of)
{
    char answer[64];

    assert_int_equal(rt_test_redis_command(of, "ACL LOG", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "*0");
}

/* The ACL is what the agent tries, and what it tries with; no right is in one alone. */
static void test_same(void **state)
{
    size_t n = 0;

    (void)state;
    for (size_t k = 0; k < acl.n; k++) {
        bool known = strcmp(acl.words[k], "+acl|dryrun") == 0;

        for (size_t i = 0; i < rt_rights(false) && !known && acl.words[k][0] == '+'; i++) {
            known = strcmp(acl.words[k] + 1, rt_right_name(i)) == 0;
        }
        n += acl.words[k][0] == '+';
        if (!known && acl.words[k][0] == '+') {
            fail_msg("%s", acl.words[k]);
        }
    }
    assert_int_equal(n, rt_rights(false) + 1);
}

static void must(struct agent *a, struct rt_store_op op, int error)
{
    int rc = submit(a, &op);

    if (rc != error) {
        fail_msg("operation %d: %d", (int)op.kind, rc);
    }
}

static bool has_swept(struct agent *a)
{
    return a->store.tails.sweep == RT_TAILS_IDLE && !a->store.walking;
}

/* Ends it with tails; two of them are more than the budget. */
static void end(struct agent *a, const char *cid)
{
    static uint8_t tail[40000];
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", cid), 7, 1, a->store.self.host);

    must(a, op, 0);
    op = (struct rt_store_op){.kind = RT_STORE_END,
                              .key = op.claim.key,
                              .life = a->reply.outcome.life,
                              .epoch = 1,
                              .end = {.out = sizeof(tail)},
                              .tail = {{tail, sizeof(tail)}}};
    must(a, op, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_TAILS, .key = op.key}, 0);
    op.kind = RT_STORE_MARK;
    op.tail[0].size = 0;
    must(a, op, 0);
    run_for(2);
}

/* All that an agent asks of a store. */
static void repertoire(struct agent *a, struct agent *b)
{
    struct rt_store_op op = join_op(RT_STORE_TEST, key_of("t", "x"), 7, 1, "hosta");
    uint64_t life;

    must(a, (struct rt_store_op){.kind = RT_STORE_CREATE, .key = key_of("t", "x")}, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_CREATE, .key = key_of("t", "brief")}, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_REMOVE, .key = key_of("t", "brief")}, 0);
    must(a, op, 0);
    op.kind = RT_STORE_TAKE;
    must(a, op, 0);
    life = a->reply.outcome.life;
    op = ticket_op(key_of("t", "x"), 7, life, 2, 1, 2, "hostb");
    op.kind = RT_STORE_TAKE;
    must(b, op, 0);
    op = (struct rt_store_op){.kind = RT_STORE_REPORT, .key = key_of("t", "x"), .life = life, .epoch = 2};
    must(b, op, 0);
    must(b, (struct rt_store_op){.kind = RT_STORE_GET, .key = key_of("t", "x"), .audit = true}, 0);
    op.kind = RT_STORE_STATE;
    op.state = RT_SESSION_LOST;
    must(b, op, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_FIND, .key = key_of("t", "x"), .every = true}, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_FIND, .key = key_of("", "")}, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_HOSTS}, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_HOST_ROW, .host = "hostb"}, 0);
    must(a, (struct rt_store_op){.kind = RT_STORE_REVOKE, .key = key_of("t", "x"), .whole = true}, 0);
    end(a, "e1");
    end(a, "e2");
    end(a, "e3");
    must(a, join_op(RT_STORE_TAKE, key_of("t", "stays"), 7, 1, "hosta"), 0);
    a->store.walks = 0; /* no minute has to pass */
    rt_store_walk(&a->store);
    assert_true(run_until(has_swept, a, HANG_MS));
}

/* A command of the agents' is counted when it is run, by itself or in a function; ACL DRYRUN counts none. */
static void want_all_used(void)
{
    redisContext *context = redisConnect("127.0.0.1", server.port);
    redisReply *reply = redisCommand(context, "INFO commandstats");

    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    for (size_t i = 0; i < rt_rights(false); i++) {
        char field[64];

        snprintf(field, sizeof(field), "cmdstat_%s:calls=", rt_right_name(i));
        if (strstr(reply->str, field) == NULL) {
            fail_msg("%s is not used", rt_right_name(i));
        }
    }
    freeReplyObject(reply);
    redisFree(context);
}

static void test_repertoire(void **state)
{
    struct agent *b;

    (void)state;
    assert_int_equal(rt_test_redis_start(&replica, &server, NULL), 0);
    agent = start(server.tcp_endpoint, "hosta");
    b = start(server.tcp_endpoint, "hostb");
    run_for(1500); /* the replica is in step; all connections have been pinged */
    repertoire(agent, b);
    assert_int_equal(look(RT_CHECK_RIGHTS)->state, RT_CHECK_OK);
    assert_int_equal(look(RT_CHECK_FUNCTIONS)->state, RT_CHECK_OK);
    assert_int_equal(look(RT_CHECK_RECORDS)->state, RT_CHECK_UNKNOWN); /* CONFIG GET is not among them */
    assert_int_equal(agent->n_errors_logged + b->n_errors_logged, 0);
    want_nothing_denied(&server);
    want_all_used();
    assert_int_equal(rt_test_acl_change(&server, "+config|get"), 0);
    assert_int_equal(look(RT_CHECK_RECORDS)->state, RT_CHECK_WEAK);
    assert_string_equal(look(RT_CHECK_RECORDS)->value, "64");
    agent_stop(b);
    agent_stop(agent);
}

/* Each right is taken away, and given back. */
static void test_each_is_missed(void **state)
{
    char rule[64], want[64];

    (void)state;
    agent = start(server.tcp_endpoint, "hosta");
    uv_timer_stop(&agent->store.heart);
    for (size_t i = 0; i < rt_rights(false); i++) {
        snprintf(rule, sizeof(rule), "-%s", rt_right_name(i));
        assert_int_equal(rt_test_acl_change(&server, rule), 0);
        snprintf(want, sizeof(want), "missing: +%s", rt_right_name(i));
        assert_string_equal(look(RT_CHECK_RIGHTS)->value, want);
        assert_true(logged(agent, want));
        rule[0] = '+';
        assert_int_equal(rt_test_acl_change(&server, rule), 0);
        assert_int_equal(look(RT_CHECK_RIGHTS)->state, RT_CHECK_OK);
        assert_true(logged(agent, "that is well now"));
    }
    assert_int_equal(rt_test_acl_change(&server, "resetkeys ~other:*"), 0);
    assert_string_equal(look(RT_CHECK_RIGHTS)->value, "missing: ~rt:*");
    assert_int_equal(rt_test_acl_change(&server, "~rt:* -acl"), 0);
    assert_int_equal(look(RT_CHECK_RIGHTS)->state, RT_CHECK_UNKNOWN);
    assert_non_null(strstr(look(RT_CHECK_RIGHTS)->mend, "+acl|dryrun"));
    assert_int_equal(rt_test_acl_change(&server, "+acl|dryrun resetchannels"), 0);
    assert_string_equal(look(RT_CHECK_RIGHTS)->value, "missing: &rt:*");
    agent_stop(agent);
}

static bool has_moved(struct agent *a)
{
    return is_up(a) && strcmp(rt_redis_where(&a->store.only.commands), replica.tcp_endpoint) == 0;
}

/* By Sentinels that have an ACL too: a failover, and each right of theirs. */
static void test_sentinels(void **state)
{
    static const char *const needed[] = {"+sentinel|master", "+sentinel|get-master-addr-by-name", "+ping", "+subscribe",
                                         "+role"};
    char endpoint[160], answer[128], rule[64];

    (void)state;
    assert_int_equal(rt_test_redis_start(&replica, &server, NULL), 0);
    assert_int_equal(rt_test_acl_set(&replica, &acl, "secret"), 0);
    for (size_t i = 0; i < SENTINELS; i++) {
        assert_int_equal(rt_test_sentinel_start(&sentinels[i], &server), 0);
        assert_int_equal(rt_test_acl_set(&sentinels[i], &sentinel_acl, "secret"), 0);
    }
    for (size_t i = 0; i < SENTINELS; i++) {
        assert_int_equal(rt_test_sentinel_wait(&sentinels[i], SENTINELS - 1, 1), 0);
    }
    snprintf(endpoint, sizeof(endpoint), "sentinel://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", sentinels[0].port,
             sentinels[1].port, sentinels[2].port);
    agent = start(endpoint, "hosta");
    run_for(1500);
    assert_string_equal(look(RT_CHECK_SENTINELS)->value, "3 of 3 name it");
    for (size_t i = 0; i < SENTINELS; i++) {
        want_nothing_denied(&sentinels[i]);
    }
    assert_int_equal(rt_test_redis_command(&sentinels[0], "SENTINEL FAILOVER main", answer, sizeof(answer)), 0);
    assert_string_equal(answer, "+OK");
    assert_true(run_until(has_moved, agent, HANG_MS));
    assert_int_equal(look(RT_CHECK_RIGHTS)->state, RT_CHECK_OK);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        const char *command = strchr(needed[i], '|') != NULL ? strchr(needed[i], '|') + 1 : needed[i] + 1;

        snprintf(rule, sizeof(rule), "-%s", needed[i] + 1);
        assert_int_equal(rt_test_acl_change(&sentinels[1], rule), 0);
        assert_int_equal(rt_test_redis_command(&sentinels[1], "CLIENT KILL USER retether", answer, sizeof(answer)), 0);
        while (look(RT_CHECK_SENTINELS)->state != RT_CHECK_WEAK ||
               strstr(look(RT_CHECK_SENTINELS)->value, command) == NULL) {
            run_for(200);
        }
        assert_int_equal(rt_test_acl_change(&sentinels[1], needed[i]), 0);
        while (look(RT_CHECK_SENTINELS)->state != RT_CHECK_OK) {
            run_for(200);
        }
    }
    agent_stop(agent);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_same),
        WITH_SERVER(test_repertoire),
        WITH_SERVER(test_each_is_missed),
        WITH_SERVER(test_sentinels),
    };

    return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
