/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_MACHINE_H
#define RETETHER_BROKER_CORE_MACHINE_H

#include "broker/core/agent.h"
#include "migrate/core/watch.h"
#include "session/base/list.h"
#include "session/base/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The agent's own structure, shared by the files of this folder. */

/* Links and operations sit at id % slots: 16,384 of each, as their limits say. */
#define AG_SLOTS 16384
#define AG_RETRY_DELAY_MS 500
/* The same of a handshake that gave way to another one: it is as good as any, and may dial again almost at once. */
#define AG_SHAKE_AGAIN_MS 5
/* While the store is out or slow attaches are held for this part of the time that they may wait. */
#define AG_OUTAGE_HOLD_PART 8

enum ag_timer_kind {
    AG_TIMER_LINK,
    AG_TIMER_SESSION,
    AG_TIMER_HELD,
    AG_TIMER_ASK,
    AG_TIMER_KEPT,
    AG_TIMER_REVOKED,
    AG_TIMER_LOCAL
};

/* What has happened to an object, and is not carried out yet: settle.c does, before the public call returns. The node
 * is in the object, so that nothing that happens can find no room. */
struct ag_fact {
    struct rt_list node; /* agent.facts */
    uint8_t of;          /* enum ag_fact_of */
    uint8_t what;        /* bits that the object's header names */
};

enum ag_fact_of { AG_OF_LINK, AG_OF_SESSION, AG_OF_HOST, AG_OF_ASK };

struct ag_chan;
struct ag_held;
struct ag_host;
struct ag_link;
struct ag_made;
struct ag_op;
struct ag_revoked;
struct ag_session;
struct ag_tenant;
struct ag_who;

struct rt_agent {
    struct rt_agent_config config;
    uint64_t now;
    struct rt_timers timers;
    struct rt_list gone;                   /* ag_link.fact, of links that were closed: carried out before all others */
    struct rt_list facts;                  /* ag_fact.node, in the order in which they happened */
    struct rt_list shaking[RT_PEER_ROLES]; /* oldest first */
    struct rt_list claiming;               /* ag_link.shaking, oldest first */
    struct ag_who *whos;
    struct ag_tenant *tenants;
    struct ag_made *made;   /* oldest first */
    struct ag_link **links; /* [AG_SLOTS] */
    struct ag_op **ops;     /* [AG_SLOTS] */
    uint32_t last_link, last_op;
    uint32_t n_ops;
    struct ag_chan **places; /* owned, [2 * n_places]: channels by the hash of their keys; map.c */
    uint32_t n_places;
    struct ag_held *held;
    size_t held_bytes;
    struct ag_session *sessions;
    uint32_t n_sessions;
    struct ag_session **served; /* owned, [RT_AGENT_SESSIONS_MAX], stats.served of them: served.c */
    struct rt_list locals;      /* ag_ask.in_session: local lists that wait for their next page */
    struct rt_timer local_timer;
    unsigned local_pages; /* since it was due last */
    struct rt_list idle, retakes;
    uint32_t retake_flight;
    struct ag_revoked *revoked;
    struct rt_list revoked_again; /* to be told to the store: it may have lost them */
    uint32_t revoked_flight;
    struct rt_list revoked_unkept; /* to be given to the disk */
    uint32_t revoked_writing;      /* with the disk */
    bool revoked_fails;            /* the newest answer of the disk */
    struct rt_timer revoked_timer; /* the disk is asked again */
    struct rt_list ends;           /* ag_end.node */
    uint32_t n_ends, last_end;
    struct rt_timer kept_timer;
    bool store_slow; /* its newest answers came too late for a ticket to wait for, or not at all */
    bool store_up, census_done, stopping;
    uint64_t whole_at; /* the store is whole from here on; RT_NEVER: not known */
    uint64_t started;
    bool taken;          /* another agent goes by this host's name: nobody is served */
    bool drains;         /* this host is to be left: no new sessions are made here */
    bool drains_writing; /* with the disk, which has been given: */
    bool drains_given;
    struct rt_list drain_asks; /* ag_ask.in_session, that wait for the disk */
    /* hosts.c */
    struct ag_host **hosts; /* owned, in the order of the names */
    size_t n_hosts;
    uint64_t served_elsewhere; /* sessions, as their rows say */
    struct rt_list wanted;     /* ag_host.wanted */
    struct rt_touch touch;
    uint64_t store_ms; /* the store's clock at the newest touch; 0: not known */
    /* What the newest look at the store has found, and when; RT_NEVER: nothing yet. */
    struct rt_store_look look;
    uint64_t looked;
    bool walking, walk_first;
    char walked[RT_HOST_MAX + 1]; /* the walk through the registry goes on behind it */
    rt_link_id run_link;          /* frames of the input that wait to be sent with one call */
    uint8_t *run;
    size_t run_size;
    uint8_t *scratch;               /* [RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX] */
    uint8_t (*told)[RT_REPORT_MAX]; /* RT_LIST_MAX: reports as they are told, by the record of `reply` */
    struct rt_reply_msg *reply;
    struct rt_report_msg *report;
    struct rt_agent_stats stats;
};

/* Milliseconds since 1970, for the expiry of tokens: may jump, so it is read when it is needed. */
uint64_t rt_ag_wall(const struct rt_agent *agent);
/* The store's clock, which has gone on since the newest touch; 0: not known. */
uint64_t rt_ag_store_ms(const struct rt_agent *agent);
/* A key as two texts, tenant and cid, one behind the other. Returns their bytes. */
size_t rt_ag_key_name(const struct rt_key *key, char name[sizeof(struct rt_key)]);
struct rt_key rt_ag_key_of(const char *name);
/* Tells the shell; `event` has what it is about. */
void rt_ag_event(struct rt_agent *agent, struct rt_agent_event *event, const char *from, const char *to,
                 const char *reason);
/* Sends the frames of the input that wait to be sent with one call. */
void rt_ag_flush(struct rt_agent *agent);

/* Whether anything waits to be carried out. */
static inline bool ag_unsettled(const struct rt_agent *agent)
{
    return !rt_list_empty(&agent->gone) || !rt_list_empty(&agent->facts);
}

/* Records facts about an object: bits added to those that wait already. Nothing is called. */
static inline void ag_fact(struct rt_agent *agent, struct ag_fact *fact, unsigned what)
{
    fact->what = (uint8_t)(fact->what | what);
    rt_list_push(&agent->facts, &fact->node);
}

#endif
