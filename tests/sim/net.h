/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_NET_H
#define RETETHER_TESTS_SIM_NET_H

#include "broker/core/agent.h"
#include "tests/sim/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections: bytes under way, latency, and the cuts. */

#define SIM_CONNS 512
#define SIM_WINDOW 65536 /* bytes in flight after which a sender is not asked for more */

struct sim_half {     /* what travels towards one side */
    uint64_t last_us; /* arrival of the newest */
    size_t in_flight;
    size_t plain;    /* of these in frames without credit, to one side 0 */
    int64_t deliver; /* bytes still to be delivered after a cut, -1 all */
    uint8_t *rx;     /* arrived and not taken; owned */
    size_t rx_size, rx_cap;
};

struct sim_conn {
    bool used;
    uint32_t gen;
    enum sim_node_kind kind; /* of the dialler */
    int peer, agent;         /* indexes */
    uint32_t peer_gen, agent_gen;
    unsigned slot;   /* client: agent slot */
    rt_link_id link; /* the agent's id */
    bool cut;
    bool open[2]; /* side 0 the dialler, side 1 the agent: believes it is open */
    uint64_t latency_us;
    uint64_t slow_us, rate; /* until slow_us only so many bytes a second */
    bool grown;             /* an agent has sent since the last check */
    bool untold;            /* its agent is to be told what is queued */
    struct sim_half to[2];
};

int sim_connect(enum sim_node_kind kind, int peer, unsigned slot, int agent);
void sim_send(int conn, int to, const uint8_t *bytes, size_t size);
size_t sim_in_flight(int conn, int to);
void sim_close(int conn, int side);
/* Cuts a connection at a random byte in either direction. tell: bit per side that notices. */
void sim_cut(int conn, unsigned tell);
/* Lets only so many bytes a second pass, for a while. */
void sim_slow(int conn, uint64_t rate, uint64_t us);
/* Tells the agent what its links have queued since it was last told. */
void sim_tell_queued(int agent);
void sim_on_bytes(const struct sim_event *event);
void sim_on_closed(const struct sim_event *event);
void sim_free_conn(int conn);

#endif
