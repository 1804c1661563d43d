/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_FAULTS_H
#define RETETHER_TESTS_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* What may go wrong. */

enum sim_fault {
    FAULT_CUT,
    FAULT_CUT_HALF_OPEN,
    FAULT_HANG,
    FAULT_LINK_SLOW,
    FAULT_MOVE,
    FAULT_MOVE_BACK_TO_BACK,
    FAULT_MOVE_ABORTED,
    FAULT_MOVE_TO_AND_FRO,
    FAULT_MANY_AGENTS, /* no fault: runs with some hundred */
    FAULT_AGENT_CRASH,
    FAULT_AGENT_PAUSE,
    FAULT_AGENT_STOP,
    FAULT_HOST_GONE,
    FAULT_KEY_CHANGE,
    FAULT_TICKET_TTL, /* tickets expire within the run, unless they are renewed */
    FAULT_STORE_SLOW,
    FAULT_STORE_OUT,
    FAULT_STORE_FAILOVER,
    FAULT_STORE_FLUSH,
    FAULT_STORE_REPLY_LOST,
    FAULT_STORE_SLOWER,
    FAULT_STORE_FULL,
    FAULT_STORE_CLOCK,
    FAULT_RECORD_LOST,
    FAULT_DISK_SLOW,
    FAULT_DISK_FAILS,
    FAULT_DISK_KILLED, /* the agent, while it writes */
    FAULT_NEWS_LOST,
    FAULT_NEWS_LATE,
    FAULT_NEWS_TWICE,
    FAULT_WELCOME_LOST,
    FAULT_CONFIRM_LOST,
    FAULT_CLIENT_CRASH,
    FAULT_CLIENT_STALL,
    FAULT_CLIENT_LATE,
    FAULT_CLIENT_TWICE,
    FAULT_SNAPSHOT_REVERT,
    FAULT_CLONE,
    FAULT_RESTART_ELSEWHERE,   /* while the old copy runs on */
    FAULT_RESTART_AFTER_DEATH, /* of its host */
    FAULT_FLOOD,               /* each frame type from either side is counted apart */
    FAULT_JOIN_RACE,
    FAULT_END_AGAIN, /* of a guest that was set back behind its end, with another status */
    FAULT_GUEST_PAUSE,
    FAULT_EXIT,      /* no fault, but it may come in the middle of others */
    SIM_FAULTS_ONCE, /* drawn one at a time; those below come where an operator is about */
    FAULT_KICK = SIM_FAULTS_ONCE,
    FAULT_REVOKE,
    FAULT_STORE_SPLIT, /* two primaries; and a primary alone: in runs of their own */
    FAULT_STORE_ALONE,
    SIM_FAULTS,
};

struct sim_fault_kind {
    const char *name;
    bool on; /* drawn unless --without says otherwise; else only with --fault */
};

extern const struct sim_fault_kind sim_fault_kinds[SIM_FAULTS];

/* The kind of this name, or -1. */
int sim_fault_named(const char *name);
/* A bit for each kind that is drawn by default. */
uint64_t sim_faults_on(void);
bool sim_draws(enum sim_fault fault);
void sim_fault_once(void);
#define SIM_SPLITS_EVERY 4 /* one run of so many has some */
void sim_start_splits(void);
int sim_other_host(int host); /* that is not gone */
int sim_any_guest(void);      /* that runs, or -1 */
bool sim_start_fault(enum sim_fault fault);
void sim_heal(void);

#endif
