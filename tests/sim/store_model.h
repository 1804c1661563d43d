/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_STORE_MODEL_H
#define RETETHER_TESTS_SIM_STORE_MODEL_H

#include "migrate/core/store_op.h"
#include "session/core/msg_hop.h"
#include "tests/sim/agents.h"
#include "tests/sim/world.h"

#include <stdbool.h>
#include <stdint.h>

/* Inside the model of the store. */

/* An operation that takes longer is answered as timed out, and has its effect all the same. */
#define SIM_STORE_TIMEOUT_US 1000000
/* For so long the Sentinels see a primary alive that is cut off from them. */
#define SIM_UNSURE_US 3000000
/* The replica that a failover promotes has an end that another one acknowledged: before a look is sure of it, also of
 * one that comes just after a cut. */
#define SIM_REPLICATED_US 6000000

struct sim_record {
    struct rt_store_record r;
    struct rt_end_msg end;
    uint64_t ended_life; /* whose end this is */
    uint64_t expires_ms; /* by the store's clock */
};

/* Two primaries: after a cut the Sentinels have promoted another one, and some agents are on the old one's side of the
 * cut. They use that until the cut ends; what it took meanwhile is lost. */
struct sim_split {
    bool on;
    bool replica; /* one is on the old one's side, and acknowledges */
    uint64_t since_us;
    bool at_old[SIM_AGENTS_MAX];
    struct sim_record old[SIM_KEYS]; /* the old primary's records */
};

struct sim_db {
    struct sim_record records[SIM_KEYS];
    struct sim_record older[SIM_KEYS]; /* what a failover falls back to */
    struct sim_split split;
    bool alone;              /* no replica is connected: a failover loses all since */
    bool unbacked[SIM_KEYS]; /* its end was on a disk that is gone: only the store may have it */
    uint64_t born_ms;        /* by its clock */
    uint64_t whole_us; /* from then on by everybody's: agents have seen the birth, and count by clocks of their own */
    uint64_t latency_us;
    uint64_t back_ms; /* by all steps back together */
    int64_t clock_ms; /* how far its clock has been stepped */
    bool out;
    bool full; /* what grows is refused */
    bool lose_reply;
    int lose_news, late_news, twice_news;
    struct {
        bool there;
        uint8_t instance;
        uint64_t seq;
    } rows[SIM_AGENTS_MAX];         /* of the registry */
    int order[SIM_AGENTS_MAX];      /* agents in the order of their names */
    uint64_t newest_life[SIM_KEYS]; /* ever taken */
    bool life_back[SIM_KEYS];       /* a start after that one was given no newer life */
    uint64_t revoked_us[SIM_KEYS];  /* when the highest life that is revoked became another, 0 never */
    bool end_lost[SIM_KEYS];        /* an end that was stored is gone: nobody has it any more */
};

extern struct sim_db sim_db;

uint64_t sim_db_ms(void);                     /* its clock */
struct sim_record *sim_db_records(int agent); /* of the server that this agent uses */
int sim_db_container(const struct rt_key *key);
/* The operation has its effect, at the server that this agent uses. */
void sim_db_run(int agent, const struct rt_store_op *op, struct rt_store_reply *reply);
void sim_db_expire(void);
void sim_db_forget(int container, bool replica_too);
bool sim_db_has_end(const struct sim_record *rec, uint64_t life);
void sim_db_news(int agent, struct rt_store_news *n, uint64_t delay_us);
/* By what this agent did: to all that listen at the same server. It may get lost, or come late or twice. */
void sim_db_publish(struct rt_store_news *n, int agent);

#endif
