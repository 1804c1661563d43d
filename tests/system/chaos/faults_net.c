/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/faults.h"

#include <stdio.h>

/* What is done to the agents' ways to the store: proxy.h. */

void chaos_ways(struct chaos *chaos, int host, int target, enum proxy_way way)
{
    for (unsigned h = 0; h < PROXY_HOSTS; h++) {
        for (unsigned t = 0; t < PROXY_TARGETS; t++) {
            if ((host == CHAOS_ALL || h == (unsigned)host) && (target == CHAOS_ALL || t == (unsigned)target)) {
                proxy_set(&chaos->proxy, h, t, way);
            }
        }
    }
}

void chaos_net_expired(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_EXPIRED);
}

void chaos_net_tear(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_TEAR);
}

void chaos_net_slow(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_SLOW);
}

void chaos_net_garbage(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_GARBLE);
}

/* The Sentinel that every agent names first. An agent that starts then knows nothing better yet. */
void chaos_net_liar(struct chaos *chaos, struct chaos_strike *on)
{
    on->host = (unsigned)chaos_random(chaos, CHAOS_HOSTS);
    chaos_ways(chaos, CHAOS_ALL, CHAOS_SERVERS, PROXY_LIE);
    rt_cluster_agent_kill(&chaos->cluster, on->host);
    if (rt_cluster_agent_start(&chaos->cluster, on->host) != 0) {
        chaos_fail(chaos, "an agent cannot be started again");
    }
}

void chaos_net_one(struct chaos *chaos, struct chaos_strike *on)
{
    on->host = (unsigned)chaos_random(chaos, CHAOS_HOSTS);
    chaos_ways(chaos, (int)on->host, CHAOS_ALL, PROXY_HANG);
}

void chaos_net_all(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_HANG);
}

void chaos_net_mend(struct chaos *chaos, struct chaos_strike *on)
{
    (void)on;
    chaos_ways(chaos, CHAOS_ALL, CHAOS_ALL, PROXY_PASS);
}

/* The servers and the Sentinels speak over TCP: without a port, and without the connections that it has had, the
 * primary is alone. The proxy goes to its unix socket, and is left. */
void chaos_net_halves(struct chaos *chaos, struct chaos_strike *on)
{
    unsigned number;
    char line[64];

    on->server = chaos_primary(chaos);
    on->host = (unsigned)chaos_random(chaos, CHAOS_HOSTS);
    number = chaos_number_of(chaos, on->server);
    chaos_ways(chaos, CHAOS_ALL, (int)number, PROXY_HANG);
    chaos_ways(chaos, (int)on->host, CHAOS_ALL, PROXY_HANG);
    proxy_set(&chaos->proxy, on->host, number, PROXY_PASS);
    (void)chaos_tell(on->server, "CONFIG SET port 0");
    (void)snprintf(line, sizeof(line), "CLIENT KILL LADDR 127.0.0.1:%u", on->server->port);
    (void)chaos_tell(on->server, line);
}

void chaos_net_join(struct chaos *chaos, struct chaos_strike *on)
{
    char line[64];

    (void)snprintf(line, sizeof(line), "CONFIG SET port %u", on->server->port);
    chaos_untell(chaos, on->server, line);
    chaos_net_mend(chaos, on);
}
