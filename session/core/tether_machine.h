/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_MACHINE_H
#define RETETHER_SESSION_CORE_TETHER_MACHINE_H

#include "session/base/timer.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_att.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The tether machine's own structure. Shared by the tether*.c files and by the simulation, which copies whole guests.
 */

/* For so long a terminal has another size, so that its program draws its screen anew. */
#define RT_REDRAW_MS 100
#define RT_DIAL_FREE_MS 40     /* up to this back-off, a link that was lost is dialled again at once */
#define RT_LINK_STABLE_MS 1000 /* a link that lived this long starts the back-off anew */
/* An epoch that an agent names is believed while it leaves room for this many attempts: at one each 500 ms they take 68
 * years. A higher one is not taken: the tether says so and tries again as after any refusal. */
#define RT_EPOCH_ROOM (UINT64_C(1) << 32)
#define RT_REPORT_INTERVAL_MS 1000

struct rt_frame;
struct rt_proc;

/* What the link is still to be told. */
enum rt_tether_due {
    RT_DUE_HELLO = 1,
    RT_DUE_CONFIRM = 2,
    RT_DUE_REPORT = 4, /* not before report_at */
    RT_DUE_PING = 8,
    RT_DUE_PONG = 16,
};

/* With what right the next hello is said: the ticket, or as a new incarnation with the join token.
 *
 *     OWN --REWOUND, FORKED--> DOUBTED <--each connection--> JOINING     from all: WELCOME --> OWN
 *      ^     other refusals       |                             |        SUPERSEDED --> SUPERSEDED, until a WELCOME
 *      +--------------------------+-----------------------------+        RETRY_LATER, a lost link: stays
 *
 * JOINING: this connection's hello is that of the new incarnation. */
enum rt_right { RT_RIGHT_OWN, RT_RIGHT_DOUBTED, RT_RIGHT_JOINING, RT_RIGHT_SUPERSEDED };

/* How much of the container's end an agent has.
 *
 *     NONE --main process FINAL--> TAIL_OUT --sent--> TAIL_ERR --sent--> LAST --END sent--> ASKED --END_OK--> SAFE
 *                                     ^                  |                |                   |
 *                                     +-----link lost, or END_OK "later": not before end_at---+
 *
 * SAFE to TAIL_OUT: a WELCOME that does not say that the record has ended: another life begins, or the store has lost
 * the end. Waiting: TAIL_OUT (end_at, a link), ASKED (END_OK, end_timeout). */
enum rt_ending {
    RT_ENDING_NONE,
    RT_ENDING_TAIL_OUT,
    RT_ENDING_TAIL_ERR,
    RT_ENDING_LAST,
    RT_ENDING_ASKED,
    RT_ENDING_SAFE,
};

struct rt_tether {
    struct rt_tether_config config;
    uint64_t jitter;
    /* link */
    enum rt_tether_state state;
    const char *hangup; /* static; HANGUP is to be told */
    uint64_t retry_at;  /* DOWN, REFUSED */
    uint64_t backoff_ms;
    uint64_t live_at;  /* LIVE: since when */
    bool was_useful;   /* a client acknowledged something on this link: a guest may move as often as it likes */
    uint64_t hello_by; /* HELLO: give up */
    uint64_t rx_at, ping_at;
    unsigned due; /* bits of enum rt_tether_due */
    uint64_t pong_token;
    struct rt_pings pinged;
    uint64_t report_at; /* the next report may go */
    uint64_t outage_at; /* since when there is no agent, RT_NEVER while there is one */
    struct rt_refusal refusals[RT_TETHER_REFUSALS_MAX];
    size_t n_refusals;
    bool flooded; /* a refusal found no room: the link ends */
    /* identity */
    uint8_t inc[RT_ID_SIZE], new_inc[RT_ID_SIZE], nonce[RT_ID_SIZE];
    uint64_t life, epoch;
    uint8_t ticket[RT_TOKEN_MAX];
    size_t ticket_size;
    enum rt_right right;
    uint64_t refused_cls;
    char refused_text[RT_TEXT_MAX + 1];
    char host[RT_HOST_MAX + 1];
    /* processes and attachments */
    struct rt_proc *procs[RT_PROCS_MAX];       /* owned; [0] is the main process, the others have not ended */
    struct rt_proc *finished[RT_FINISHED_MAX]; /* owned; exec'd and final, the oldest first */
    size_t n_finished;
    uint32_t next_proc;
    struct rt_att *atts; /* owned; RT_ATTS_MAX */
    size_t n_atts;       /* all places from here on are free, the one before it is not */
    struct rt_past past[RT_ATTS_MAX];
    size_t n_past;
    size_t round;    /* where the next round of sending begins */
    uint64_t resent; /* bytes of stdout and stderr sent more than once to an attachment, so far */
    /* hold */
    uint64_t charged_at;
    uint64_t first_hold_left;
    bool first_blocks, met_once; /* an attachment that is no observer was made */
    uint64_t grace_left;         /* for all observers together, to read the rest when the container ends */
    /* end */
    enum rt_ending ending;
    uint64_t end_at; /* after END_OK "later": when to send again */
    enum rt_end_how end_how;
    uint64_t final_at;                                      /* when the main process became final */
    struct rt_tether_action actions[RT_TETHER_ACTIONS_MAX]; /* decided, and not taken yet */
    size_t n_actions;
    bool undecided;     /* they left no room for what else there may be to do */
    uint64_t ticked_at; /* what was due at the last tick waits for something else than time */
};

/* Decides what follows from what has happened: the last thing that each public call does. */
void rt_tether_step(struct rt_tether *t, uint64_t now);
uint64_t rt_tether_back_off(struct rt_tether *t); /* ms until the next attempt; the one after that waits longer */
struct rt_proc *rt_tether_proc(const struct rt_tether *t, uint32_t id);
/* The attachments of a process, one after the other: the first behind `last`, which is NULL at first. NULL: no more. */
struct rt_att *rt_tether_next_att(const struct rt_tether *t, const struct rt_proc *proc, const struct rt_att *last);
void rt_tether_move(struct rt_tether *t, enum rt_tether_state to);
void rt_tether_move_end(struct rt_tether *t, enum rt_ending to);
void rt_tether_hangup(struct rt_tether *t, const char *reason, uint64_t retry_at, uint64_t now);

/* ---- what an agent says of the link, the claim and the end (tether_link.c) ---- */

void rt_tether_on_refused(struct rt_tether *t, const struct rt_refuse_msg *msg, uint64_t now);
void rt_tether_on_welcome(struct rt_tether *t, const struct rt_welcome_msg *msg, uint64_t now);
void rt_tether_on_ticket(struct rt_tether *t, const struct rt_frame *frame, const uint8_t *ticket);
void rt_tether_on_end_ok(struct rt_tether *t, const struct rt_end_ok_msg *msg, uint64_t now);

/* ---- who may block a process, and for how long; and when all is over (tether_hold.c) ---- */

void rt_tether_charge(struct rt_tether *t, uint64_t now);
void rt_tether_find_blockers(struct rt_tether *t);
/* The container has ended: time to read the rest, once. */
void rt_tether_grace(const struct rt_tether *t, struct rt_att *att);
uint64_t rt_tether_floor(const struct rt_tether *t, const struct rt_proc *proc, unsigned out);
bool rt_tether_att_done(const struct rt_tether *t, const struct rt_att *att);
uint64_t rt_tether_hold_deadline(const struct rt_tether *t);
bool rt_tether_is_over(const struct rt_tether *t, uint64_t now);

/* ---- exec'd processes that have ended: out of the way of those that run, and small (tether_done.c) ---- */

/* Moves those that have ended out of the table of those that run, and frees what nobody will read. */
void rt_tether_retire(struct rt_tether *t);

/* ---- control-down (tether_items.c) ---- */

/* Carries out items in order; stops at a signal, which it returns with its process. 0: none left. */
unsigned rt_tether_take_items(struct rt_tether *t, uint32_t *proc);

#endif
