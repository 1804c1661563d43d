/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_SESSION_H
#define RETETHER_BROKER_CORE_SESSION_H

#include "broker/core/agent.h"
#include "broker/core/hash.h"
#include "broker/core/machine.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A session remembered: who serves it, as far as this agent knows, and what the store has not got of it. */

/* Places among the sessions remembered that clients who wait cannot take, so that guests find one. */
#define AG_SESSIONS_RESERVED 4096
#define AG_REPORT_INTERVAL_MS 1000

struct ag_end;
struct ag_link;
struct ag_op;
struct rt_agent;
struct rt_claim;
struct rt_claim_outcome;
struct rt_record;

/* Facts about a session. Whatever they are, its timer is set anew behind them, and it is forgotten if nothing holds it.
 */
enum ag_session_fact {
    AG_SESSION_CHANGED = 1, /* what holds it, or a deadline */
    AG_SESSION_HEARD = 2,   /* another host has claimed it */
    AG_SESSION_MOVED = 4,   /* where else it is served is known, or can be reached now */
    AG_SESSION_SERVED = 8,  /* by a guest here */
    AG_SESSION_KNOWN = 16,  /* more of its record than before, or anything at all */
    AG_SESSION_REVOKED = 32,
};

/* A claim made here, as its record will have it once the take arrives: copies are judged by it while the store is out.
 * Its life and epoch are the session's, its host is this one. */
struct ag_rule {
    struct rt_id inc, ticket, nonce;
    uint8_t n_ancestors;
    bool ended;
    struct rt_id ancestors[]; /* then bound_to, a text */
};

struct ag_session {
    UT_hash_handle hh;
    struct rt_timer timer;
    struct ag_fact fact;   /* its node without facts: agent.idle, nothing holds it, may be forgotten */
    struct rt_list retake; /* agent.retakes */
    struct rt_list held;   /* ag_held.in_session */
    struct rt_list asks;   /* ag_ask.in_session */
    uint32_t n_ops;
    uint16_t past_size, take_delay;
    struct ag_link *guest; /* serves it here */
    uint8_t state;         /* enum rt_session_state, as last written or told */
    bool claimed;          /* the store has confirmed what is served */
    bool taken;            /* the store has confirmed a claim of the incarnation in rule */
    bool orphan;           /* while lost_at: its record names this host, and was never served here under that claim */
    bool report_dirty;     /* the store has not got the newest */
    uint8_t unwritten;     /* a state that the store has not confirmed, 0 none; of the claim below */
    uint16_t report_size;
    uint64_t unwritten_life, unwritten_epoch;
    /* the newest claim known of */
    uint64_t life, epoch;
    uint64_t known_at;                                        /* 0: nothing known */
    uint64_t gone_at;                                         /* its guest's link was lost here; 0 never */
    const char *host;                                         /* "": none; of another one it is: */
    char *abroad;                                             /* owned */
    struct ag_rule *rule;                                     /* owned; NULL when that claim was not made here */
    uint64_t lost_at, take_at, report_at, write_at, audit_at; /* deadlines, 0 none */
    uint8_t *report;                                          /* owned; the newest, shortened */
    uint64_t report_next;                                     /* not written before */
    uint8_t *past; /* owned; its record's, as the store told it with the newest take here */
    char name[];   /* its key: tenant and cid, two texts */
};

/* Whether one claim is newer than another one of the same session. */
static inline bool ag_newer(uint64_t life, uint64_t epoch, uint64_t than_life, uint64_t than_epoch)
{
    return life > than_life || (life == than_life && epoch > than_epoch);
}

struct rt_key rt_ag_session_key(const struct ag_session *session);
struct ag_session *rt_ag_session_find(struct rt_agent *agent, const struct rt_key *key);
struct ag_session *rt_ag_session_get(struct rt_agent *agent, const struct rt_key *key); /* makes it; NULL: no room */
/* The same for a client that waits: NULL also when only the room for guests is left. */
struct ag_session *rt_ag_session_await(struct rt_agent *agent, const struct rt_key *key);
void rt_ag_session_fact(struct rt_agent *agent, struct ag_session *session, unsigned what);
/* Starts an operation that holds the session until it is answered. Returns as rt_ag_store(). */
uint32_t rt_ag_session_store(struct rt_agent *agent, struct ag_session *session, struct rt_store_op *op,
                             struct ag_op *about);
void rt_ag_session_event(struct rt_agent *agent, enum rt_agent_event_kind kind, const struct ag_session *session,
                         const struct ag_link *link, const char *from, const char *to, const char *reason);
/* For settle.c: sets its timer, may free it. */
void rt_ag_session_settle(struct rt_agent *agent, struct ag_session *session);
void rt_ag_session_free(struct rt_agent *agent, struct ag_session *session);
bool rt_ag_session_known(const struct rt_agent *agent, const struct ag_session *session);
/* A claim somebody made, as heard or read. True when it is news. */
bool rt_ag_session_note(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                        const char *host);
/* rt_ag_kept() of this session. */
const struct ag_end *rt_ag_session_kept(const struct rt_agent *agent, const struct ag_session *session, uint64_t life);
/* The past of the session's record, which every take brings along. The store uses it only when it has lost the record.
 * Empty when none is known; session may be NULL. */
struct rt_slice rt_ag_session_past(const struct ag_session *session);
/* Keeps the past that the store has told with a take: the next take gives it back, should the record be lost. An empty
 * past, or one that is too long, changes nothing. */
void rt_ag_session_past_note(struct rt_agent *agent, const struct rt_key *key, struct rt_slice past);
/* The rule of a claim whose outcome is known, or NULL without memory. The caller's. */
struct ag_rule *rt_ag_rule_new(const struct rt_claim *claim, const struct rt_claim_outcome *outcome);
/* Fills the record that the session's rule stands for. */
void rt_ag_session_rule(const struct ag_session *session, struct rt_record *record);
/* Fills claim for what is served already. */
void rt_ag_claim_again(const struct rt_agent *agent, const struct ag_session *session, struct rt_claim *claim);
/* Another host claimed it. */
void rt_ag_session_heard(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                         const char *host);
/* Its guest serves it no more: session and link forget each other. */
void rt_ag_session_part(struct rt_agent *agent, struct ag_session *session);
/* Its guest's link is lost: they part, and the session is moving. */
void rt_ag_session_guest_gone(struct rt_agent *agent, struct ag_session *session);
/* The record names this host under this claim, and nobody serves it here: it becomes lost. */
void rt_ag_session_orphan(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch);
void rt_ag_session_report(struct rt_agent *agent, struct ag_session *session, const uint8_t *data, size_t size);
/* What was reported last is written again, after a while: the store may not have it. */
void rt_ag_session_report_again(struct rt_agent *agent, struct ag_session *session);
void rt_ag_session_write_report(struct rt_agent *agent, struct ag_session *session);
/* Writes the state into the record, under this claim alone; moving and lost again after a while when the store does not
 * answer, until somebody serves the session. */
void rt_ag_session_write_state(struct rt_agent *agent, struct ag_session *session, enum rt_session_state state,
                               uint64_t life, uint64_t epoch);
void rt_ag_session_state(struct rt_agent *agent, struct ag_session *session, enum rt_session_state state,
                         const char *reason);

/* report.c: shortens a report to what a record takes. Rows that are missed least go first, and those left out are
 * counted. Returns the size, or 0 for a report that is malformed. */
size_t rt_ag_report_shorten(struct rt_agent *agent, const uint8_t *data, size_t size, uint8_t out[RT_REPORT_MAX]);

#endif
