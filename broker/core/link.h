/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_LINK_H
#define RETETHER_BROKER_CORE_LINK_H

#include "broker/core/agent.h"
#include "broker/core/machine.h"
#include "migrate/core/claim.h"
#include "session/base/list.h"
#include "session/base/timer.h"
#include "session/core/msg.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A link to a guest or a client: its state, and sending on it. */

/* How long a guest that another host's newer claim has overtaken may take to answer a last PING, before it is closed.
 */
#define AG_LEAVING_MS 1000

/*  UNPROVED --proved--> OPEN --HELLO of a client--> READY
 *                         '--HELLO of a guest--> TESTING --verdict--> WELCOMED --CONFIRM--> TAKING
 *  TAKING --taken, or no answer in time--> SERVING --another host has a newer claim--> LEAVING
 *  TESTING --"wait for another start", and its host is dead--> TESTING
 *
 * All to GONE. Waiting: all but GONE; those before SERVING and READY for RT_HANDSHAKE_TIMEOUT_MS in all. */
enum ag_link_state {
    AG_UNPROVED, /* its wire shakes hands: nothing is sent to it */
    AG_OPEN,     /* waits for HELLO */
    AG_TESTING,  /* guest: waits for the store's verdict */
    AG_WELCOMED, /* guest: waits for CONFIRM */
    AG_TAKING,   /* guest: waits for the store's take */
    AG_SERVING,  /* guest: serves its session */
    AG_READY,    /* client */
    AG_LEAVING,  /* guest: another host has a newer claim; a pong now is the proof of a fork */
    AG_GONE,     /* closed, and not in agent.links any more: nothing is sent to it */
};

struct ag_account;
struct ag_chan;
struct ag_end;
struct ag_session;
struct ag_who;

/* The last word on a channel that is gone already: REFUSE or DETACH, a whole frame. */
struct ag_bye {
    struct rt_list node; /* ag_link.byes */
    size_t size;
    uint8_t bytes[];
};

/* Facts about a link that lives; that it is gone is its place in agent.gone. */
enum ag_link_fact {
    AG_LINK_PROVED = 1, /* its handshake is done */
    AG_LINK_OPEN = 2,   /* guest: an attach was answered, so another may be asked of it */
    AG_LINK_ROOM = 4,   /* client: a request was answered, so another may be begun with */
    AG_LINK_OVER = 8,   /* client: its queue has grown, and its tenant has more queued than it may */
};

/* Of the tails that a guest tells:
 *
 *     IN_TIME --they did not go on for AG_TAILS_MS--> LATE --END: answered LATER--> TOLD
 *
 * From then on they may take up to AG_TAILS_ALL_MS, and an END is stored with what there is: a guest whose line is slow
 * gets to its end. */
enum ag_tails_late { AG_TAILS_IN_TIME, AG_TAILS_LATE, AG_TAILS_TOLD };

struct ag_claim { /* from the hello to the answer of the take */
    struct rt_claim claim;
    uint64_t life; /* granted by the welcome */
    bool draining;
    bool provisional; /* welcomed without the store */
    uint8_t unproven; /* of the ticket presented */
};

struct ag_link_client {
    struct rt_list held;     /* ag_held.in_link */
    struct rt_list parked;   /* ag_held.in_session, of those that wait until this link has drained */
    struct rt_list asks;     /* ag_ask.in_link */
    struct rt_list requests; /* ag_waiting */
    uint32_t n_asks;         /* both */
    uint32_t replies;        /* bytes kept free for those to come */
    size_t held_bytes;
    struct ag_account *account; /* owned; what it has of its limits, from READY on */
    uint8_t as;                 /* enum rt_client_role */
};

struct ag_link {
    rt_link_id id;
    uint8_t role;  /* enum rt_peer_role */
    uint8_t state; /* enum ag_link_state */
    bool congested;
    bool end_ready;       /* guest: END has come and waits for the take */
    bool tails_lost;      /* guest: it has told a part of a tail that is not in `end`; until its END is answered */
    uint8_t tails_late;   /* guest: enum ag_tails_late */
    uint16_t rest_stream; /* of the split DATA frame */
    uint32_t pings;       /* unanswered */
    struct rt_timer timer;
    struct ag_fact fact;
    struct rt_list shaking; /* agent.shaking, or agent.claiming, while its handshake is not done */
    struct ag_who *peer;    /* a guest's: while it is in agent.shaking */
    uint64_t heard;         /* when the last byte came */
    uint64_t opened;        /* or, when LEAVING, since then */
    uint64_t claim_at;      /* deadline of the store's answer; 0 none */
    struct rt_pings pinged;
    /* switch */
    struct rt_list chans;   /* ag_chan.in */
    struct rt_list waiters; /* ag_chan.wait: kept frames, more credit, when this link has drained */
    struct ag_chan *cache;  /* the last one looked up */
    uint32_t n_chans;       /* mapped, held attaches, byes */
    uint32_t last_channel;  /* the highest used */
    uint32_t rest;          /* bytes of a split DATA frame still to come */
    uint32_t rest_channel;
    uint64_t rest_offset;
    uint32_t queued;     /* bytes, as the shell told it, and what was sent since */
    uint32_t answers;    /* bytes of refusals since it is congested */
    uint32_t jam;        /* how often it has become congested */
    uint32_t generation; /* of what is counted in: */
    uint64_t grown_at;   /* when it began */
    uint32_t grown[2];   /* bytes of credit above the initial, by generation & 1 */
    uint32_t busy[2];    /* channels that have wanted more than that, likewise */
    struct rt_list byes; /* ag_bye */
    /* guest */
    uint64_t life, epoch;       /* of its claim, as granted */
    struct ag_session *session; /* while SERVING */
    const char *name;           /* of that session */
    struct ag_claim *claim;     /* owned; NULL once taken */
    uint64_t renew_at;          /* when its ticket is to be renewed at the latest; 0: stays as it is */
    uint64_t expires_ms;        /* of its ticket, on the wall clock; 0 never */
    struct ag_end *end;         /* owned */
    uint8_t *report;            /* owned; one that came before the take was answered */
    uint32_t report_size;
    uint32_t unanswered;            /* attaches that it has not answered */
    uint32_t op;                    /* its test, then its take, that is under way; 0 none */
    uint8_t end_due;                /* END_OK that waits until it has drained: 1 + its `how`; 0 none */
    char *who;                      /* owned; as in struct rt_proof, NULL for "" */
    struct ag_link_client client[]; /* one, where it is a client's */
};

static inline const char *ag_link_who(const struct ag_link *link)
{
    return link->who == NULL ? "" : link->who;
}

/* NULL: it has none, as a guest never has. */
static inline struct ag_account *ag_link_account(const struct ag_link *link)
{
    return link->role == RT_PEER_CLIENT ? link->client->account : NULL;
}

/* NULL when it is gone. */
struct ag_link *rt_ag_link(const struct rt_agent *agent, rt_link_id id);
/* Fills the key of its session, or of its claim. False: none yet. */
bool rt_ag_link_key(const struct ag_link *link, struct rt_key *key);
struct ag_link *rt_ag_link_new(const struct rt_peer *peer); /* NULL without memory */
/* Gives it its number, and begins with its handshake. */
void rt_ag_link_enter(struct rt_agent *agent, struct ag_link *link, const struct rt_peer *peer);
void rt_ag_link_free(struct ag_link *link);
/* Who is there: its peer may speak. Without memory for that it is closed. */
void rt_ag_link_proved(struct rt_agent *agent, struct ag_link *link, const struct rt_proof *proof);
/* The only way out of a link: here, or by its peer. Its memory stays until this is carried out. */
void rt_ag_link_close(struct rt_agent *agent, struct ag_link *link, const char *reason);
void rt_ag_link_lost(struct rt_agent *agent, struct ag_link *link, const char *reason);
void rt_ag_link_event(struct rt_agent *agent, enum rt_agent_event_kind kind, const struct ag_link *link, const char *to,
                      const char *reason);
uint64_t rt_ag_link_interval(const struct ag_link *link); /* of its pings */
void rt_ag_link_state(struct rt_agent *agent, struct ag_link *link, enum ag_link_state state);
/* Sets the link's timer anew from its state. */
void rt_ag_link_arm(struct rt_agent *agent, struct ag_link *link);
/* One channel more, or a held attach; one fewer. */
void rt_ag_link_gains(struct rt_agent *agent, struct ag_link *link);
void rt_ag_link_loses(struct ag_link *link);

#endif
