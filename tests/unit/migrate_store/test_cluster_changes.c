/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/cluster.h"
#include "migrate/store/store_priv.h"

#include "tests/unit/migrate_store/nodes.h"

#include <stdio.h>
#include <string.h>

/* A store of several nodes that changes: a node is cut off, or replaced, or away, or has to be told of by ASK. */

#define HANG_MS 20000
#define OTHER_INFO "$47\r\nrun_id:1123456789abcdef0123456789abcdef01234567\r\n"
#define ENDED "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n"

static unsigned port_of_slot(void)
{
    const struct rt_store_node *node = rt_store_cluster_node(&agent->store, (uint16_t)slot);

    return node != NULL ? node->place.port : 0;
}

static unsigned awaited_port;

static bool is_there(struct agent *a)
{
    return nodes_are_known(a) && port_of_slot() == awaited_port;
}

static void until_at(int node)
{
    awaited_port = fakes[node].port;
    assert_true(run_until(is_there, agent, HANG_MS));
}

static size_t maps_asked(void)
{
    return fake_asked(&fakes[A], "CLUSTER SLOTS") + fake_asked(&fakes[B], "CLUSTER SLOTS") +
           fake_asked(&fakes[C], "CLUSTER SLOTS");
}

static size_t maps_wanted;

static bool is_asked(struct agent *a)
{
    (void)a;
    return maps_asked() >= maps_wanted;
}

static void until_maps(size_t n)
{
    nodes_forget();
    maps_wanted = n;
    assert_true(run_until(is_asked, agent, HANG_MS));
    run_for(50);
}

static int end_of_box(void)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

    return submit(agent, &op);
}

/* B had a replica, C, and dies. C has none. B may come back without the end, and be the primary again. */
static void test_end_at_the_last_one(void **state)
{
    (void)state;
    nodes_say_map(B, fakes[C].port);
    until_maps(3);
    fake_stop(&fakes[B]);
    nodes_say_map(C, 0);
    nodes_rule(C, "FCALL end", ENDED, 0);
    until_at(C);
    assert_int_equal(end_of_box(), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED);
    assert_true(agent->reply.unsure);
}

/* B is cut off, and says what it knew. By all others C has its slot. */
static void cut_off(const char *state, unsigned epoch)
{
    static char old[1024];

    memcpy(old, map_text, sizeof(old));
    nodes_rule(B, "CLUSTER SLOTS", old, 0);
    nodes_say_state(B, state, epoch);
    nodes_say_state(A, "ok", 7);
    nodes_say_state(C, "ok", 7);
    nodes_say_map(C, 0);
    until_at(C);
    for (size_t i = 0; i < 6; i++) {
        nodes_forget();
        rt_store_cluster_doubt(&agent->store);
        run_for(RT_SLOT_ASK_MS + 50);
        assert_int_equal(port_of_slot(), fakes[C].port);
    }
}

/* The seeds are C and A; so B is asked while it has slots. */
static void test_cut_off_and_down(void **state)
{
    (void)state;
    cut_off("fail", 6);
}

/* A seed may be the one: it is asked for good. */
static void test_a_seed_is_cut_off(void **state)
{
    static char old[1024];

    (void)state;
    memcpy(old, map_text, sizeof(old));
    nodes_say_state(A, "ok", 7);
    nodes_say_state(B, "ok", 7);
    nodes_rule(C, "CLUSTER SLOTS", old, 0);
    nodes_say_map(A, 0);
    until_at(A);
    until_maps(4);
    assert_int_equal(port_of_slot(), fakes[A].port);
    nodes_say_state(C, "fail", 9);
    until_maps(4);
    assert_int_equal(port_of_slot(), fakes[A].port);
    nodes_say_state(C, "ok", 7);
    until_at(B); /* it is as good as any */
}

/* Nobody has said MOVED, and no connection was lost: Y only asks for the map now and then. */
static void test_asked_in_time(void **state)
{
    (void)state;
    assert_true((uint64_t)2 * RT_SLOT_OLD_MS < RT_STORE_WHOLE_MS);
    nodes_say_state(A, "ok", 7);
    nodes_say_state(B, "ok", 7);
    nodes_say_state(C, "ok", 7);
    nodes_say_map(C, 0);
    until_at(C);
}

/* It is a replica by now, and answers what it is asked. */
static void test_role(void **state)
{
    struct rt_store_node *node = rt_store_cluster_node(&agent->store, (uint16_t)slot);

    (void)state;
    nodes_say_map(A, 0);
    nodes_rule(B, "ROLE", "*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$9\r\nconnected\r\n:1\r\n", 0);
    rt_store_node_ping(node);
    run_for(100);
    assert_true(logged(agent, "no longer a primary"));
    until_at(A);
}

/* What was logged as what it is not: a first map is no change of it, and a first look at a node no change of that. */
static void test_quiet_start(void **state)
{
    (void)state;
    nodes_say_map(C, 0);
    nodes_say_info(C, OTHER_INFO);
    nodes_start();
    run_for(50);
    assert_false(logged(agent, "no store"));
    assert_false(logged(agent, "a part of the store is new"));
    assert_int_equal(agent->n_warnings, 0);
}

/* While C, which seeds name, is away it is told once; and once that it is back. */
static void test_told_once(void **state)
{
    size_t down = 0, up = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        nodes_rule(B, "", "-ERR no\r\n", 0); /* to ROLE, too: it is dialled again and again */
        fakes[B].rules[fakes[B].n_rules - 1].then = FAKE_CLOSE;
        fake_cut(&fakes[B]);
        run_for(500);
        memset(agent->store.once, 0, sizeof(agent->store.once)); /* others have been logged meanwhile */
    }
    fakes[B].n_rules -= 3;
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
    for (size_t i = 0; i < agent->n_log; i++) {
        down += strstr(agent->log[i], "no answer from a part of the store") != NULL;
        up += strstr(agent->log[i], "answers again") != NULL;
    }
    assert_int_equal(down, 1);
    assert_int_equal(up, 1);
}

/* The registry moves to a node that is connected, and has not said yet who it is. */
static void test_registry_at_one_that_is_asked(void **state)
{
    unsigned registry = rt_slot_of("{reg}", 5);
    struct rt_store_node *node;
    size_t n;

    (void)state;
    node = rt_store_cluster_node(&agent->store, (uint16_t)slot);
    node->known = false; /* as between its connection and its answer to INFO */
    n = (size_t)snprintf(map_text, sizeof(map_text), "*3\r\n");
    n += nodes_range(map_text + n, sizeof(map_text) - n, 0, registry - 1, fakes[A].port, 0);
    n += nodes_range(map_text + n, sizeof(map_text) - n, registry, registry, fakes[B].port, 0);
    nodes_range(map_text + n, sizeof(map_text) - n, registry + 1, RT_SLOTS - 1, fakes[A].port, 0);
    rt_store_cluster_doubt(&agent->store);
    until_maps(2);
    assert_ptr_equal(agent->store.reg, node);
    assert_int_equal(node->commands.state, RT_REDIS_READY);
    nodes_forget();
    rt_store_registry_ready(node);
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
    assert_true(run_until(is_up, agent, HANG_MS));
    for (int i = 0; i < 100 && fake_asked(&fakes[B], "SUBSCRIBE rt:claimed") == 0; i++) {
        run_for(50);
    }
    assert_true(fake_asked(&fakes[B], "SUBSCRIBE rt:claimed") > 0);
}

/* A right that is missing is named, though the call only went in circles. */
static void test_asking_denied(void **state)
{
    (void)state;
    nodes_rule(B, "FCALL claim", asks[A], 0);
    nodes_rule(A, "FCALL claim", moved[B], 0);
    nodes_rule(A, "ASKING", "-NOPERM User x has no permissions to run the 'asking' command\r\n", 0);
    assert_int_equal(nodes_claim(), RT_EUNAVAIL);
    assert_true(logged(agent, "'asking'"));
    assert_non_null(strstr(agent->store.look.refused, "'asking'"));
}

static void test_rights_tried(void **state)
{
    (void)state;
    nodes_rule(A, "ACL DRYRUN", "+OK\r\n", 0);
    nodes_rule(A, "ACL DRYRUN default asking", "$54\r\nUser x has no permissions to run the 'asking' command.\r\n", 0);
    agent->store.look.at = 0;
    rt_store_look_beat(&agent->store);
    run_for(200);
    assert_int_equal(fake_asked(&fakes[A], "ACL DRYRUN default cluster slots"), 1);
    assert_int_equal(fake_asked(&fakes[A], "ACL DRYRUN default cluster info"), 1);
    assert_true(logged(agent, "missing: +asking"));
}

/* A call goes from one node that lacks the functions to another. */
static void test_functions_at_both(void **state)
{
    (void)state;
    nodes_say_map(A, 0);
    nodes_rule(B, "FCALL claim", moved[A], 0);
    nodes_rule(B, "FCALL claim", "-ERR Function not found\r\n", 1);
    nodes_rule(A, "FCALL claim", RIGHT, 0);
    nodes_rule(A, "FCALL claim", "-ERR Function not found\r\n", 1);
    nodes_forget();
    assert_int_equal(nodes_claim(), 0);
    assert_int_equal(fake_asked(&fakes[A], "FUNCTION LOAD"), 1);
    assert_int_equal(fake_asked(&fakes[B], "FUNCTION LOAD"), 1);
}

/* C is in no map: ASK has named it. A map that comes meanwhile takes nothing from it; many do. */
static void test_asked_is_kept(void **state)
{
    size_t open;

    (void)state;
    nodes_rule(C, "ASKING", "+OK\r\n", 0);
    nodes_rule(B, "FCALL claim", asks[C], 0);
    nodes_rule(C, "FCALL claim", RIGHT, 0);
    for (int i = 0; i < 100 && nodes_claims(C) == 0; i++) {
        (void)nodes_claim();
        run_for(20);
    }
    assert_true(nodes_claims(C) > 0);
    open = fakes[C].n_open;
    rt_store_cluster_doubt(&agent->store);
    until_maps(1);
    assert_int_equal(fakes[C].n_open, open);
    for (int i = 0; i < 100 && fakes[C].n_open == open; i++) {
        rt_store_cluster_doubt(&agent->store);
        run_for(RT_SLOT_ASK_MS);
    }
    assert_true(fakes[C].n_open < open);
}

static bool is_touched(struct agent *a)
{
    return find_news(a, RT_STORE_TOUCH, 0) != NULL;
}

/* The registry's slot is being moved, and its keys are there already: heartbeats follow, and the map stays. */
static void test_beat_asked(void **state)
{
    static char text[64];

    (void)state;
    snprintf(text, sizeof(text), "-ASK %u 127.0.0.1:%u\r\n", rt_slot_of("{reg}", 5), fakes[B].port);
    nodes_rule(A, "FCALL beat", text, 0);
    nodes_rule(B, "ASKING", "+OK\r\n", 0);
    nodes_rule(B, "FCALL beat", "-ERR Function not found\r\n", 1);
    run_for(50); /* for one that is under way */
    agent->n_news = 0;
    rt_store_registry_beat(&agent->store);
    assert_true(run_until(is_touched, agent, HANG_MS));
    assert_true(is_up(agent));
    assert_true(fake_asked(&fakes[B], "FCALL beat") >= 2);
    assert_int_equal(fake_asked(&fakes[B], "FUNCTION LOAD"), 1);
    assert_int_equal(agent->store.reg->place.port, fakes[A].port);
}

int main(void)
{
#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, nodes_setup, nodes_teardown)
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_end_at_the_last_one),
        WITH_AGENT(test_cut_off_and_down),
        WITH_AGENT(test_a_seed_is_cut_off),
        WITH_AGENT(test_asked_in_time),
        WITH_AGENT(test_role),
        cmocka_unit_test_setup_teardown(test_quiet_start, nodes_setup_servers, nodes_teardown),
        WITH_AGENT(test_told_once),
        WITH_AGENT(test_registry_at_one_that_is_asked),
        WITH_AGENT(test_asking_denied),
        WITH_AGENT(test_rights_tried),
        WITH_AGENT(test_functions_at_both),
        WITH_AGENT(test_asked_is_kept),
        WITH_AGENT(test_beat_asked),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
