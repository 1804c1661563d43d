/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_MIGRATE_STORE_NODES_H
#define RETETHER_TESTS_UNIT_MIGRATE_STORE_NODES_H

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

/* A store of several nodes that are played, and an agent at it. The container `t/box` is in a slot of its own, which B
 * has; A has all else, the registry too; C has nothing. */

#define RIGHT "*8\r\n:0\r\n:0\r\n:7\r\n:1\r\n:0\r\n$5\r\nhosta\r\n:1\r\n$0\r\n\r\n"

enum { A, B, C, NODES };
extern struct fake fakes[NODES];
extern struct agent *agent;
/* What all say to CLUSTER SLOTS, and MOVED and ASK of that slot, to each of them. */
extern char map_text[1024], moved[NODES][64], asks[NODES][64];
extern unsigned slot;

/* Puts a range of the map there; replica 0: none. Returns its size. */
size_t nodes_range(char *at, size_t size, unsigned first, unsigned last, unsigned port, unsigned replica);
/* From now on each node says that `owner` has the slot, and A all others; -1: nobody has it. */
void nodes_say_map(int owner, unsigned replica);
/* What a node says to INFO from now on; to CLUSTER INFO. */
void nodes_say_info(int node, const char *info);
void nodes_say_state(int node, const char *state, unsigned epoch);
void nodes_rule(int node, const char *ask, const char *answer, size_t times);
void nodes_forget(void);

/* The agent is up, and has who has the slot. */
bool nodes_are_known(struct agent *a);
int nodes_setup_servers(void **state);
void nodes_start(void);
int nodes_setup(void **state); /* both */
int nodes_teardown(void **state);

/* Claims `t/box`; how many claims a node was asked for. */
int nodes_claim(void);
size_t nodes_claims(int node);

#endif
