/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/migrate_store/nodes.h"

#include "migrate/store/cluster.h"

#include <stdio.h>
#include <string.h>

#define HANG_MS 5000

struct fake fakes[NODES];
struct agent *agent;
char map_text[1024], moved[NODES][64], asks[NODES][64];
unsigned slot;
static char info_text[256], state_text[NODES][96];

size_t nodes_range(char *at, size_t size, unsigned first, unsigned last, unsigned port, unsigned replica)
{
    size_t n = (size_t)snprintf(at, size, "*%d\r\n:%u\r\n:%u\r\n*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$1\r\nx\r\n",
                                replica != 0 ? 4 : 3, first, last, port);

    if (replica != 0) {
        n += (size_t)snprintf(at + n, size - n, "*3\r\n$9\r\n127.0.0.1\r\n:%u\r\n$1\r\ny\r\n", replica);
    }
    return n;
}

/* From now on each node says that `owner` has the slot, and A all others; -1: nobody has it. */
void nodes_say_map(int owner, unsigned replica)
{
    size_t n = (size_t)snprintf(map_text, sizeof(map_text), "*%d\r\n", owner < 0 ? 2 : 3);

    n += nodes_range(map_text + n, sizeof(map_text) - n, 0, slot - 1, fakes[A].port, 0);
    n += nodes_range(map_text + n, sizeof(map_text) - n, slot + 1, RT_SLOTS - 1, fakes[A].port, 0);
    if (owner >= 0) {
        nodes_range(map_text + n, sizeof(map_text) - n, slot, slot, fakes[owner].port, replica);
    }
}

/* What a server that has been a primary for long says of itself. */
static const char *say_info(void)
{
    char text[200];
    int size = snprintf(text, sizeof(text),
                        "run_id:%s\r\nuptime_in_seconds:100\r\nmaster_replid:%s\r\nsecond_repl_offset:-1\r\n",
                        FAKE_RUN_ID, FAKE_RUN_ID);

    snprintf(info_text, sizeof(info_text), "$%d\r\n%s\r\n", size, text);
    return info_text;
}

bool nodes_are_known(struct agent *a)
{
    const struct rt_store_node *node = is_up(a) ? rt_store_cluster_node(&a->store, (uint16_t)slot) : NULL;

    return node != NULL && node->known && node->ends.state == RT_REDIS_READY && a->store.pubsub.state == RT_REDIS_READY;
}

void nodes_say_info(int node, const char *info)
{
    nodes_rule(node, "INFO", info, 0);
    nodes_rule(node, "CLUSTER INFO", state_text[node], 0);
}

void nodes_say_state(int node, const char *state, unsigned epoch)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "cluster_state:%s\r\ncluster_current_epoch:%u\r\n", state, epoch);

    snprintf(state_text[node], sizeof(state_text[node]), "$%d\r\n%s\r\n", size, text);
}

int nodes_setup_servers(void **state)
{
    (void)state;
    slot = rt_slot_of("{t/box}", 7);
    for (int i = 0; i < NODES; i++) {
        fake_start_tcp(&fakes[i]);
        fake_rule(&fakes[i], "CLUSTER SLOTS", map_text, FAKE_GO_ON, 0);
        nodes_say_info(i, say_info());
        nodes_say_state(i, "ok", 6);
        snprintf(moved[i], sizeof(moved[i]), "-MOVED %u 127.0.0.1:%u\r\n", slot, fakes[i].port);
        snprintf(asks[i], sizeof(asks[i]), "-ASK %u 127.0.0.1:%u\r\n", slot, fakes[i].port);
    }
    nodes_say_map(B, 0);
    return 0;
}

void nodes_start(void)
{
    char endpoint[96];

    snprintf(endpoint, sizeof(endpoint), "redis-cluster://127.0.0.1:%u,127.0.0.1:%u", fakes[C].port, fakes[A].port);
    agent = agent_start(endpoint, "hosta");
    assert_true(run_until(nodes_are_known, agent, HANG_MS));
}

int nodes_setup(void **state)
{
    (void)nodes_setup_servers(state);
    nodes_start();
    return 0;
}

int nodes_teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    for (int i = 0; i < NODES; i++) {
        if (!fakes[i].closed) {
            fake_stop(&fakes[i]);
        }
    }
    return 0;
}

void nodes_rule(int node, const char *ask, const char *answer, size_t times)
{
    fake_rule(&fakes[node], ask, answer, FAKE_GO_ON, times);
}

void nodes_forget(void)
{
    for (int i = 0; i < NODES; i++) {
        fake_forget(&fakes[i]);
    }
}

int nodes_claim(void)
{
    struct rt_store_op op = join_op(RT_STORE_TEST, key_of("t", "box"), 1, 2, "hosta");

    return submit(agent, &op);
}

size_t nodes_claims(int node)
{
    return fake_asked(&fakes[node], "FCALL claim");
}
