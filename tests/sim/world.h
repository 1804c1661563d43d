/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_WORLD_H
#define RETETHER_TESTS_SIM_WORLD_H

#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/guests.h"
#include "tests/sim/net.h"
#include "tests/sim/run.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A whole cluster in virtual time: guests, clients and agents are the product's own machines; the network, the store
 * and the processes in the guests are models with faults. One seed, one run, always the same. */

#define SIM_CONTAINERS 2
#define SIM_HOSTILE SIM_CONTAINERS /* one more container, whose guest floods; no check is for it */
#define SIM_KEYS (SIM_CONTAINERS + 1)
_Static_assert(SIM_KEYS == SIM_KEYS_MAX, "of each container");
#define SIM_SERVERS_MAX 32
#define SIM_WALL_MS UINT64_C(1700000000000)

struct sim_event;

struct sim_served { /* a container's agents, as of the last check */
    struct {
        int agent;
        uint64_t life, epoch;
    } by[SIM_SERVERS_MAX];
    int n;
};

struct sim_world {
    struct sim_options options;
    uint64_t rng, now_us, seq;
    struct sim_event *heap; /* owned */
    size_t n_heap, cap_heap;
    struct sim_conn conns[SIM_CONNS];
    struct sim_guest guests[SIM_GUESTS + 1];    /* the last is hostile */
    struct sim_client clients[SIM_CLIENTS + 2]; /* the last are hostile, and an operator */
    struct sim_agent agents[SIM_AGENTS_MAX];
    struct sim_log lines[SIM_LINES];
    int n_agents, n_containers, n_lines;
    int top_conn; /* above the highest connection ever used */
    int touched[SIM_AGENTS_MAX], n_touched;
    int untold[SIM_CONNS], n_untold; /* connections */
    int grown[SIM_CONNS], n_grown;   /* connections to which an agent has sent since the last check */
    struct sim_served served[SIM_KEYS];
    uint64_t ticket_ttl_ms; /* 0: they never expire */
    uint32_t newest_key;
    struct sim_lineage sealed[SIM_TICKETS]; /* the newest */
    size_t n_sealed;
    bool forked[SIM_KEYS];      /* cloned, reverted, restarted, or dead with its host: refusals are no violation */
    bool dead_told[SIM_KEYS];   /* a client that asked for it since was told that it is lost, ended, or not there */
    bool newest_died[SIM_KEYS]; /* a copy died with its host while others ran: they may be superseded by it for ever */
    uint64_t dead_us[SIM_KEYS]; /* its host has died for good, and nobody starts it again; 0 not */
    bool hostile;               /* a guest and a client that flood are about */
    const char *flood;          /* the one that is under way while nothing else goes wrong, or NULL */
    bool allow_forks;           /* this seed may revert, clone, restart */
    uint64_t base[SIM_KEYS];    /* the lowest life that the container's token may start */
    bool proves_vms;            /* the transport proves which VM a guest is: each container has one, which moves */
    bool quiet;                 /* faults have ended, clients type no more */
    bool silent;                /* processes write no more */
    bool ending;                /* processes that exit do */
    int lose_next;              /* frame type whose connection is cut when it is next sent, 0 none */
    uint64_t double_since_us[SIM_CONTAINERS]; /* two agents serve it, 0 not */
    struct sim_stats stats;
};

extern struct sim_world sim;

uint64_t sim_random(uint64_t below);
void sim_random_bytes(void *ctx, void *out, size_t size);
bool sim_chance(unsigned percent);
uint64_t sim_ms(void);
void sim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A violated invariant: says what, the time and the seed, and ends the process. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
