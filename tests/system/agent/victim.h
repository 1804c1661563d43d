/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_AGENT_VICTIM_H
#define RETETHER_TESTS_SYSTEM_AGENT_VICTIM_H

#include "tests/system/agent/pair.h"

/* For tests of hostile peers: an agent with listeners of both roles on unix sockets and on TCP, and a session that
 * streams through it all the while. Calls assert (cmocka). */

/* Guests, clients; then the same on TCP. */
#define VICTIM_DOORS 4
#define VICTIM_IS_CLIENTS(door) ((door) % 2 == 1)
/* Memory of the agent that no number of hostile peers may add, while they are there and after. */
#define VICTIM_GROWTH_MAX ((size_t)24 << 20)
/* Memory that the same peers may add when they come once more: 8 KiB of each of them would be more. A round may be the
 * first in which so many were there at once; what leaks adds up in each of them. */
#define VICTIM_LEAK_MAX ((size_t)1 << 20)
#define VICTIM_ROUNDS_MAX 5
/* In place of a class: closed without a word. */
#define VICTIM_CLOSED (-1)

struct victim {
    struct pair pair;
    char tcp_guest[32], other_client[96];
};

extern struct victim victim;

/* cmocka fixture: *state is the struct daemon. The teardown wants the session to stream on and the agent to stop
 * cleanly. */
int victim_setup(void **state);
int victim_teardown(void **state);

/* The address of a listener. */
const char *victim_door(const struct daemon *daemon, int door);

/* Sends bytes as the first of a connection, which the agent must refuse and close. Returns the class. */
int victim_refused(const char *address, const void *data, size_t size);

/* A load, and the same again until a round adds no more than VICTIM_LEAK_MAX, as buffers and pools are as large as they
 * need to be; one of VICTIM_ROUNDS_MAX has to. The session streams on. */
void victim_again(const struct daemon *daemon, void (*load)(const struct daemon *daemon));

/* How many lines of this event the log has so far, those that were suppressed included; until it has so many.
 */
uint64_t victim_told(const struct daemon *daemon, const char *event);
void victim_until(const struct daemon *daemon, const char *event, uint64_t count);
/* How many refusals the log has told of so far, those included whose lines were suppressed. */
uint64_t victim_refusals(const struct daemon *daemon);
/* Streams until the log has told of exactly so many. */
void victim_until_refusals(const struct daemon *daemon, uint64_t count);

#endif
