/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The registry on a real server. */

static void test_hosts(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    struct rt_store_op op = {.kind = RT_STORE_HOSTS};
    struct rt_store_config config;
    const struct rt_store_news *news;
    uint64_t seq;

    (void)state;
    rt_store_set_self(&b->store, 42, false);
    run_for(1200);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.n_hosts, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct rt_store_host *host = &a->hosts[i];

        assert_int_equal(host->n_addr, 2);
        assert_string_equal(host->addr[1], "tcp:[2001:db8::1]:7401");
        assert_string_equal(host->version, "0.1-test");
        assert_true(host->age_ms < 2500);
        assert_true(host->seq > 0);
        assert_int_equal(host->sessions, strcmp(host->host, "hostb") == 0 ? 42 : 0);
    }
    news = find_news(a, RT_STORE_HOST, 0);
    while (news != NULL && strcmp(news->row.host, "hosta") == 0) { /* its own, if it had subscribed by then */
        news = find_news(a, RT_STORE_HOST, (size_t)(news - a->news) + 1);
    }
    if (news == NULL) {
        fail_msg("the other host is not told of");
        return;
    }
    assert_string_equal(news->row.host, "hostb");
    assert_int_equal(news->row.n_addr, 2);
    assert_null(find_news(a, RT_STORE_HOST, (size_t)(news - a->news) + 1));

    /* A row by its name moves while its agent lives. */
    op = (struct rt_store_op){.kind = RT_STORE_HOST_ROW, .host = "hostb"};
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.n_hosts, 1);
    seq = a->hosts[0].seq;
    run_for(1200);
    assert_int_equal(submit(a, &op), 0);
    assert_true(a->hosts[0].seq > seq);
    seq = a->hosts[0].seq;
    agent_stop(b);
    run_for(1200);
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->hosts[0].seq, seq);
    snprintf(op.host, sizeof(op.host), "hostc");
    assert_int_equal(submit(a, &op), 0);
    assert_int_equal(a->reply.n_hosts, 0);
    /* It is told when it comes back. */
    agent_config(&config, redis.unix_endpoint, "hostb");
    b = agent_new(&config);
    assert_true(run_until(is_up, b, RT_HEARTBEAT_EXPIRY_MS + 2500));
    run_for(50);
    assert_non_null(find_news(a, RT_STORE_HOST, (size_t)(news - a->news) + 1));
    agent_stop(b);
    agent_stop(a);
}

static void set_row(redisContext *context, unsigned i, const char *at)
{
    freeReplyObject(redisCommand(context, "HSET rt:{reg}:rows h%04u %s%s%s", i, "00112233445566778899aabbccddeeff\n3\n",
                                 at, "\n12\n0.1\nm\ntcp:192.0.2.7:7401\n"));
    freeReplyObject(
        redisCommand(context, "HSET rt:{reg}:rows h%04u%b 00112233445566778899aabbccddeeff", i, " drains", (size_t)7));
    freeReplyObject(redisCommand(context, "ZADD rt:{reg}:names 0 h%04u", i));
}

/* A thousand hosts: each is on one page, in the order of the names; what a heartbeat costs does not grow with them. */
static void test_a_thousand_hosts(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "a");
    redisContext *context = redisConnectUnix(redis.socket);
    struct rt_store_op op = {.kind = RT_STORE_HOSTS};
    unsigned n = 0, pages = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        set_row(context, i, i % 2 == 0 ? "99999999999999" : "9"); /* a clock that was ahead, rows of years ago */
    }
    run_for(20); /* the loop's time stood still */
    do {
        assert_int_equal(submit(a, &op), 0);
        assert_true(a->reply.n_hosts <= RT_HOSTS_PAGE);
        for (size_t i = 0; i < a->reply.n_hosts; i++) {
            if (strcmp(a->hosts[i].host, "a") != 0) {
                assert_int_equal(strtoul(a->hosts[i].host + 1, NULL, 10), n);
                n += 2;
            }
        }
        memcpy(op.host, a->reply.next, sizeof(op.host));
        pages++;
    } while (op.host[0] != '\0');
    assert_int_equal(n, 1000);
    assert_int_equal(pages, 1001 / RT_HOSTS_PAGE + 1);
    assert_int_equal(redis_number("ZCARD %s", "rt:{reg}:names"), 501); /* what nobody has written for a week is gone */
    assert_int_equal(redis_number("HLEN %s", "rt:{reg}:rows"), 1001);
    assert_true(is_up(a));
    redisFree(context);
    agent_stop(a);
}

/* What both ways of asking for the row of "hostb" say of it, which is there. Returns its sequence. */
static uint64_t look(struct agent *agent, bool drains, size_t n_addr)
{
    struct rt_store_op page = {.kind = RT_STORE_HOSTS}, row = {.kind = RT_STORE_HOST_ROW, .host = "hostb"};

    assert_int_equal(submit(agent, &page), 0);
    assert_int_equal(agent->reply.n_hosts, 2);
    assert_string_equal(agent->hosts[1].host, "hostb");
    assert_int_equal(agent->hosts[0].drains, false);
    assert_int_equal(agent->hosts[1].drains, drains);
    assert_int_equal(agent->hosts[1].n_addr, n_addr);
    assert_int_equal(submit(agent, &row), 0);
    assert_int_equal(agent->reply.n_hosts, 1);
    assert_int_equal(agent->hosts[0].drains, drains);
    assert_int_equal(agent->hosts[0].n_addr, n_addr);
    return agent->hosts[0].seq;
}

/* Writes the row of "hostb" as that version's agent does, of another instance than ours. */
static void write_row(const char *row)
{
    redisContext *context = redisConnectUnix(redis.socket);

    freeReplyObject(redisCommand(context, "HSET rt:{reg}:rows hostb %s", row));
    redisFree(context);
}

/* That a host drains stands beside its row, which is as all versions know it, and counts for who has said it. */
static void test_drains(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");
    struct agent *b = agent_start(redis.unix_endpoint, "hostb");
    redisContext *context = redisConnectUnix(redis.socket);
    redisReply *row;
    unsigned lines = 0;

    (void)state;
    (void)look(a, false, 2);
    rt_store_set_self(&b->store, 3, true);
    run_for(1200);
    (void)look(a, true, 2);
    row = redisCommand(context, "HGET rt:{reg}:rows hostb");
    for (size_t i = 0; i < row->len; i++) {
        lines += row->str[i] == '\n';
    }
    assert_int_equal(lines, 6 + 2); /* and addresses */
    freeReplyObject(row);
    redisFree(context);
    rt_store_set_self(&b->store, 3, false);
    run_for(1200);
    (void)look(a, false, 2);
    assert_int_equal(redis_number("HLEN %s", "rt:{reg}:rows"), 2);
    rt_store_set_self(&b->store, 3, true);
    run_for(1200);
    agent_stop(b);
    (void)look(a, true, 2);
    assert_int_equal(redis_number("HLEN %s", "rt:{reg}:rows"), 3);
    write_row("00112233445566778899aabbccddeeff\n9\n99999999999999\n1\n0.1\nm\ntcp:192.0.2.7:7401\n");
    assert_int_equal(look(a, false, 1), 9);
    agent_stop(a);
}

/* Rows of a version that we do not know are of hosts that are there, and stay. */
static void test_unread_rows(void **state)
{
    struct agent *a = agent_start(redis.unix_endpoint, "hosta");

    (void)state;
    assert_int_equal(redis_number("ZADD rt:{reg}:names 0 %s", "hostb"), 1);
    write_row("00112233445566778899aabbccddeeff\n9\n99999999999999\nanother\nm\ntcp:192.0.2.7:7401\n");
    assert_int_equal(look(a, false, 0), 9);
    write_row("sequence: 9\n");
    assert_int_equal(look(a, false, 0), 0);
    assert_int_equal(redis_number("HLEN %s", "rt:{reg}:rows"), 2);
    agent_stop(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_hosts, flush_setup),
        cmocka_unit_test_setup(test_a_thousand_hosts, flush_setup),
        cmocka_unit_test_setup(test_drains, flush_setup),
        cmocka_unit_test_setup(test_unread_rows, flush_setup),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
