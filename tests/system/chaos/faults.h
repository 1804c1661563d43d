/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_CHAOS_FAULTS_H
#define RETETHER_TESTS_SYSTEM_CHAOS_FAULTS_H

#include "tests/system/chaos/chaos.h"

/* What faults need of the servers (servers.c), and those of the network (faults_net.c). */

/* Who agents are to the servers of the store. */
#define CHAOS_USER "agent"
#define CHAOS_PASSWORD "right"

/* The answer, or NULL. To be freed. */
redisReply *chaos_ask(const struct rt_test_redis *server, const char *line);
/* Sends one command; a server that does not answer, or refuses, was not to be had then: the fault does nothing. */
bool chaos_tell(const struct rt_test_redis *server, const char *line);
/* Takes back what was told; also by one that is slow, but not by one that was killed: that has forgotten it. */
void chaos_untell(struct chaos *chaos, const struct rt_test_redis *server, const char *line);
/* No server has ended but those that a fault has ended. */
void chaos_servers_check(struct chaos *chaos);
/* Whom the first Sentinel that answers calls the primary; or one that runs. */
struct rt_test_redis *chaos_primary(struct chaos *chaos);
unsigned chaos_number_of(const struct chaos *chaos, const struct rt_test_redis *server);
/* From now on that server's clock is wrong by so much. */
int chaos_clock(const struct chaos *chaos, unsigned server, int64_t shift_s);

#define CHAOS_ALL (-1)
/* How this host, or every one, is connected with this server or Sentinel, or all, from now on. */
void chaos_ways(struct chaos *chaos, int host, int target, enum proxy_way way);

void chaos_net_expired(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_tear(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_slow(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_garbage(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_liar(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_one(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_all(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_mend(struct chaos *chaos, struct chaos_strike *on);
/* The primary with one agent on one side, the rest on the other. */
void chaos_net_halves(struct chaos *chaos, struct chaos_strike *on);
void chaos_net_join(struct chaos *chaos, struct chaos_strike *on);

#endif
