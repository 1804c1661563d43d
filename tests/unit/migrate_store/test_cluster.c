/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/cluster.h"

#include "tests/unit/migrate_store/nodes.h"

#include <stdio.h>
#include <string.h>

/* A store of several nodes: which of them is asked, and what is done about what they say. */

#define HANG_MS 5000

static void test_each_to_its_node(void **state)
{
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", "box")};

    (void)state;
    nodes_rule(B, "FCALL claim", RIGHT, 0);
    assert_int_equal(nodes_claim(), 0);
    assert_int_equal(agent->reply.outcome.life, 7);
    assert_int_equal(submit(agent, &get), 0);
    assert_int_equal(nodes_claims(A) + nodes_claims(C), 0);
    assert_int_equal(nodes_claims(B), 1);
    assert_int_equal(fake_asked(&fakes[B], "HGETALL rt:{t/box}:r"), 1);
    assert_true(fake_asked(&fakes[A], "FCALL beat") > 0);
    assert_int_equal(fake_asked(&fakes[B], "FCALL beat") + fake_asked(&fakes[C], "FCALL beat"), 0);
    assert_true(fake_asked(&fakes[A], "SUBSCRIBE") > 0);
    assert_int_equal(fake_asked(&fakes[B], "SUBSCRIBE"), 0);
    assert_true(agent->store.whole);
    assert_int_equal(agent->n_errors_logged, 0);
}

/* Loaded where they are missing. */
static void test_functions(void **state)
{
    (void)state;
    nodes_rule(B, "FCALL claim", RIGHT, 0);
    nodes_rule(B, "FCALL claim", "-ERR Function not found\r\n", 1);
    nodes_forget();
    assert_int_equal(nodes_claim(), 0);
    assert_int_equal(fake_asked(&fakes[B], "FUNCTION LOAD"), 1);
    assert_int_equal(fake_asked(&fakes[A], "FUNCTION LOAD"), 0);
    assert_int_equal(nodes_claims(B), 2);
    nodes_rule(B, "FCALL claim", "-ERR Function not found\r\n", 2);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_int_equal(fake_asked(&fakes[B], "FUNCTION LOAD"), 2);
}

static void test_moved(void **state)
{
    size_t maps = fake_asked(&fakes[A], "CLUSTER SLOTS") + fake_asked(&fakes[B], "CLUSTER SLOTS") +
                  fake_asked(&fakes[C], "CLUSTER SLOTS");

    (void)state;
    nodes_rule(B, "FCALL claim", moved[A], 0);
    nodes_rule(A, "FCALL claim", RIGHT, 0);
    nodes_say_map(A, 0);
    assert_int_equal(nodes_claim(), 0);
    assert_int_equal(nodes_claims(B), 1);
    assert_int_equal(nodes_claims(A), 1);
    assert_int_equal(nodes_claim(), 0);
    assert_int_equal(nodes_claims(B), 1); /* it is in the map */
    run_for((uint64_t)2 * RT_SLOT_ASK_MS);
    assert_true(fake_asked(&fakes[A], "CLUSTER SLOTS") + fake_asked(&fakes[B], "CLUSTER SLOTS") +
                    fake_asked(&fakes[C], "CLUSTER SLOTS") >
                maps);
    assert_int_equal(agent->n_errors_logged, 0);
}

/* To one that nobody has named before: it is dialled, and takes what comes then. */
static void test_moved_to_a_new_one(void **state)
{
    (void)state;
    nodes_rule(B, "FCALL claim", moved[C], 0);
    nodes_rule(C, "FCALL claim", RIGHT, 0);
    nodes_say_map(C, 0);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
    assert_int_equal(nodes_claim(), 0);
    assert_int_equal(nodes_claims(B), 1);
    assert_int_equal(nodes_claims(C), 1);
}

static void test_ask(void **state)
{
    const char *asking, *claim;

    (void)state;
    nodes_rule(A, "ASKING", "+OK\r\n", 0);
    nodes_rule(A, "FCALL claim", RIGHT, 0);
    nodes_rule(B, "FCALL claim", asks[A], 0);
    for (size_t i = 1; i <= 2; i++) {
        assert_int_equal(nodes_claim(), 0);
        assert_int_equal(nodes_claims(B), i); /* the map stays */
        assert_int_equal(nodes_claims(A), i);
        assert_int_equal(fake_asked(&fakes[A], "ASKING"), i);
    }
    asking = strstr(fakes[A].asked, "ASKING\n");
    claim = strstr(fakes[A].asked, "FCALL claim");
    assert_ptr_equal(asking + strlen("ASKING\n"), claim);
    assert_int_equal(fake_asked(&fakes[B], "ASKING"), 0);
}

static void test_not_now(void **state)
{
    (void)state;
    nodes_rule(B, "FCALL claim", "-TRYAGAIN Multiple keys request during rehashing of slot\r\n", 1);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_int_equal(agent->n_errors_logged, 0);
    nodes_forget();
    nodes_rule(B, "FCALL claim", "-CLUSTERDOWN The cluster is down\r\n", 1);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_true(logged(agent, "its cluster is down"));
    run_for((uint64_t)2 * RT_SLOT_ASK_MS);
    assert_true(fake_asked(&fakes[A], "CLUSTER SLOTS") + fake_asked(&fakes[B], "CLUSTER SLOTS") +
                    fake_asked(&fakes[C], "CLUSTER SLOTS") >
                0);
    nodes_rule(B, "FCALL claim", RIGHT, 0);
    assert_int_equal(nodes_claim(), 0);
}

/* Two nodes that each name the other are no road. */
static void test_round(void **state)
{
    (void)state;
    nodes_rule(B, "FCALL claim", moved[A], 0);
    nodes_rule(A, "FCALL claim", moved[B], 0);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_int_equal(nodes_claims(A) + nodes_claims(B), RT_SLOT_HOPS_MAX + 1);
    assert_true(logged(agent, "name each other"));
}

/* What names no node that could be dialled. */
static void test_senseless(void **state)
{
    static const char *const wrong[] = {"-MOVED\r\n",         "-MOVED 1\r\n",           "-MOVED 99999 127.0.0.1:1\r\n",
                                        "-MOVED 1 h h:1\r\n", "-ASK 1 127.0.0.1:0\r\n", "-ASK\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        nodes_rule(B, "FCALL claim", wrong[i], 1);
        assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    }
    nodes_rule(B, "FCALL claim", RIGHT, 0);
    assert_int_equal(nodes_claim(), 0);
}

static bool has_no_node(struct agent *a)
{
    return rt_store_cluster_node(&a->store, (uint16_t)slot) == NULL;
}

/* A slot that nobody has: what is in it cannot be asked; all else can. */
static void test_hole(void **state)
{
    struct rt_store_op other = {.kind = RT_STORE_GET, .key = key_of("t", "other")};

    (void)state;
    nodes_say_map(-1, 0);
    nodes_rule(B, "FCALL claim", "-CLUSTERDOWN Hash slot not served\r\n", 1);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_true(run_until(has_no_node, agent, HANG_MS));
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_int_equal(submit(agent, &other), 0);
    assert_true(is_up(agent));
    nodes_say_map(B, 0);
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
    nodes_rule(B, "FCALL claim", RIGHT, 0);
    assert_int_equal(nodes_claim(), 0);
}

static bool is_fresh(struct agent *a)
{
    for (size_t i = 0; i < a->n_news; i++) {
        if (a->news[i].kind == RT_STORE_UP && a->news[i].fresh && !a->news[i].whole) {
            return true;
        }
    }
    return false;
}

/* B is gone, and C has its slot: it may lack what B took last. */
static void test_failed_over(void **state)
{
    (void)state;
    agent->n_news = 0;
    fake_stop(&fakes[B]);
    run_for(100);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_true(is_up(agent)); /* for what the others have */
    nodes_rule(C, "FCALL claim", RIGHT, 0);
    nodes_say_info(C, "$47\r\nrun_id:1123456789abcdef0123456789abcdef01234567\r\n");
    nodes_say_map(C, 0);
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
    assert_true(run_until(is_fresh, agent, HANG_MS));
    assert_false(agent->store.whole);
    assert_false(rt_store_cluster_settled(&agent->store));
    assert_int_equal(nodes_claim(), 0);
    assert_true(logged(agent, "no answer from a part of the store"));
    assert_true(logged(agent, "a part of the store is new or rolled back"));
}

/* A, which has been here all the time, gets the slot of one that is not there: the slot is empty. */
static void test_given_away(void **state)
{
    (void)state;
    agent->n_news = 0;
    fake_stop(&fakes[B]);
    nodes_say_map(A, 0);
    assert_true(run_until(is_fresh, agent, HANG_MS));
    assert_false(rt_store_cluster_settled(&agent->store));
}

static bool is_at_b(struct agent *a)
{
    return is_up(a) && a->store.reg->place.port == fakes[B].port && a->store.pubsub.state == RT_REDIS_READY &&
           fake_asked(&fakes[B], "SUBSCRIBE rt:claimed") > 0;
}

/* Heartbeats and claims are at the node that has the registry now. */
static void test_registry_moves(void **state)
{
    static char text[64];
    unsigned registry = rt_slot_of("{reg}", 5);
    size_t n;

    (void)state;
    nodes_forget();
    n = (size_t)snprintf(map_text, sizeof(map_text), "*3\r\n");
    n += nodes_range(map_text + n, sizeof(map_text) - n, 0, registry - 1, fakes[A].port, 0);
    n += nodes_range(map_text + n, sizeof(map_text) - n, registry, registry, fakes[B].port, 0);
    nodes_range(map_text + n, sizeof(map_text) - n, registry + 1, RT_SLOTS - 1, fakes[A].port, 0);
    snprintf(text, sizeof(text), "-MOVED %u 127.0.0.1:%u\r\n", registry, fakes[B].port);
    nodes_rule(A, "FCALL beat", text, 0);
    assert_true(run_until(is_at_b, agent, HANG_MS));
    assert_true(fake_asked(&fakes[B], "FCALL beat") > 0);
}

static int store_end(void)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

    return submit(agent, &op);
}

static bool has_replica(struct agent *a)
{
    const struct rt_store_node *node = rt_store_cluster_node(&a->store, (uint16_t)slot);

    return node != NULL && node->replicas == 1;
}

/* An end is waited for where it was written, and is safe once the replicas that the map names have it. */
static void test_ends(void **state)
{
    (void)state;
    nodes_rule(B, "FCALL end", "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", 0);
    assert_int_equal(store_end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED); /* on the one disk that there is */
    assert_false(agent->reply.unsure);
    nodes_say_map(B, 1);
    nodes_rule(B, "HGETALL", "-CLUSTERDOWN\r\n", 1); /* a reason to ask for the map */
    (void)!submit(agent, &(struct rt_store_op){.kind = RT_STORE_GET, .key = key_of("t", "box")});
    assert_true(run_until(has_replica, agent, HANG_MS));
    assert_int_equal(store_end(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED);
    assert_true(agent->reply.unsure); /* the replica is not connected */
    nodes_rule(B, "ROLE", "*3\r\n$6\r\nmaster\r\n:9\r\n*1\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n9\r\n", 0);
    nodes_rule(B, "WAIT", ":1\r\n", 0);
    nodes_forget();
    assert_int_equal(store_end(), 0);
    assert_int_equal(agent->reply.how, RT_END_REPLICATED);
    assert_int_equal(fake_asked(&fakes[B], "WAIT"), 1);
    assert_int_equal(fake_asked(&fakes[A], "WAIT"), 0);
    assert_int_equal(fake_asked(&fakes[A], "FCALL end"), 0);
}

/* The end was moved on: it is waited for where it is. */
static void test_end_that_moves(void **state)
{
    (void)state;
    nodes_say_map(A, 0);
    nodes_rule(B, "FCALL end", moved[A], 0);
    nodes_rule(A, "FCALL end", "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", 0);
    nodes_rule(A, "ROLE", "*3\r\n$6\r\nmaster\r\n:9\r\n*1\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n9\r\n", 0);
    nodes_rule(A, "WAIT", ":1\r\n", 0);
    nodes_forget();
    assert_int_equal(store_end(), 0);
    assert_int_equal(agent->reply.how, RT_END_REPLICATED);
    assert_int_equal(fake_asked(&fakes[A], "WAIT"), 1);
    assert_int_equal(fake_asked(&fakes[B], "WAIT"), 0);
}

/* Of two hosts' sets, one answers late. The page is in the order of the hosts all the same. */
static void test_find_in_order(void **state)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .every = true, .key = key_of("t", "")};
    static char set_of_b[40];

    (void)state;
    /* "hosta" is listed first; `t/box`, whose record B has, is in its set. */
    snprintf(set_of_b, sizeof(set_of_b), "*2\r\n$5\r\nt/box\r\n$6\r\nt/zoom\r\n");
    nodes_rule(A, "ZRANGEBYLEX", set_of_b, 0);
    nodes_rule(A, "HGETALL", "*4\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nset\r\n$5\r\nhosta\r\n", 0);
    nodes_rule(B, "HGETALL", "*4\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nset\r\n$5\r\nhosta\r\n", 0);
    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.n_records, 2);
    assert_string_equal(agent->records[0].key.cid, "box");
    assert_string_equal(agent->records[1].key.cid, "zoom");
}

/* Until a node has a map that makes sense there is no store. */
static void test_garbage(void **state)
{
    static const char *const wrong[] = {"*0\r\n", ":1\r\n", "*1\r\n*0\r\n", "-ERR This instance has no cluster\r\n"};
    struct rt_store_config config;
    char endpoint[64];

    (void)state;
    for (int i = 0; i < NODES; i++) {
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            nodes_rule(i, "CLUSTER SLOTS", wrong[j], 1);
        }
    }
    snprintf(endpoint, sizeof(endpoint), "redis-cluster://127.0.0.1:%u", fakes[C].port);
    agent_config(&config, endpoint, "hosta");
    agent = agent_new(&config);
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
    assert_true(logged(agent, "no store: "));
    assert_true(logged(agent, "CLUSTER SLOTS"));
}

int main(void)
{
#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, nodes_setup, nodes_teardown)
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_each_to_its_node),
        WITH_AGENT(test_functions),
        WITH_AGENT(test_moved),
        WITH_AGENT(test_moved_to_a_new_one),
        WITH_AGENT(test_ask),
        WITH_AGENT(test_not_now),
        WITH_AGENT(test_round),
        WITH_AGENT(test_senseless),
        WITH_AGENT(test_hole),
        WITH_AGENT(test_failed_over),
        WITH_AGENT(test_given_away),
        WITH_AGENT(test_registry_moves),
        WITH_AGENT(test_ends),
        WITH_AGENT(test_end_that_moves),
        WITH_AGENT(test_find_in_order),
        cmocka_unit_test_setup_teardown(test_garbage, nodes_setup_servers, nodes_teardown),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
