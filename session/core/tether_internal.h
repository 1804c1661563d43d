/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_INTERNAL_H
#define RETETHER_SESSION_CORE_TETHER_INTERNAL_H

#include "session/core/digest.h"
#include "session/core/ring.h"
#include "session/core/tether.h"

/* The tether machine's own structures. Shared by the tether*.c files and by the simulation, which copies whole guests.
 */

struct rt_attach_msg;
struct rt_up_item;

#define RT_NO_OFFSET UINT64_MAX
#define RT_NO_TIME UINT64_MAX
#define RT_OUTS 3 /* stdout, stderr, control-up: stream - 1 */
#define RT_INS 2  /* stdin, control-down: stream / 4 */
#define RT_STDIN_IN 0
#define RT_CONTROL_IN 1
#define RT_TETHER_INITIAL_CREDIT 32768
/* Runs of input of one attachment that wait for the process; from half of it on, runs of one attachment are joined. */
#define RT_SEGMENTS_MAX (2 * RT_ATTS_MAX)
#define RT_DIAL_BACKOFF_MIN_MS 5
#define RT_DIAL_BACKOFF_MAX_MS 500
#define RT_DIAL_FREE_MS 40     /* up to this back-off, a link that was lost is dialled again at once */
#define RT_LINK_STABLE_MS 1000 /* a link that lived this long starts the back-off anew */
#define RT_HELLO_TIMEOUT_MS 5000
#define RT_REFUSED_MIN_MS 5000
#define RT_REFUSED_MAX_MS 30000
#define RT_REPORT_INTERVAL_MS 1000
#define RT_KEEPALIVE_BUSY_MS 1000
#define RT_KEEPALIVE_IDLE_MS 5000
#define RT_KEEPALIVE_MISSED_MAX 3

enum rt_proc_state { RT_PROC_STARTING, RT_PROC_RUNNING, RT_PROC_EXITED, RT_PROC_FINAL };

struct rt_segment {
    uint16_t att; /* index in tether.atts */
    uint32_t size;
};

struct rt_proc {
    uint32_t id;
    enum rt_proc_state state;
    bool tty, in;
    bool start_told; /* START was handed out */
    unsigned rows, cols;
    bool resize_pending;
    bool kill_pending;  /* exec'd process of a container that has ended */
    bool close_pending; /* CLOSE_OUTPUT is to be handed out */
    unsigned code, sig;
    uint64_t drain_at;   /* when EXITED */
    uint64_t blocked_at; /* since when a stream is blocked; EXITED: since the exit at the earliest */
    /* output */
    struct rt_ring ring[RT_OUTS]; /* owned */
    bool eof[2];
    bool blocked[2]; /* the shell found no space, and would if nobody held */
    /* input */
    struct rt_segment segments[RT_SEGMENTS_MAX];
    size_t n_segments;
    bool stdin_end;      /* EOF is due once all input is taken */
    bool stdin_end_told; /* STDIN_END was handed out */
    bool stdin_closed;   /* by the process */
    /* exec */
    uint8_t *exec_item;           /* owned; the encoded item until START is answered */
    struct rt_down_item *decoded; /* owned; points into exec_item */
};

struct rt_out { /* one output stream as an attachment sees it */
    bool wanted;
    bool fin_sent, fin_acked;
    uint64_t sent;  /* next offset to send; below the ring's base: a gap is due */
    uint64_t high;  /* offset after the last byte ever sent: after a rebinding `sent` starts again at `acked` */
    uint64_t acked; /* consumed by the client */
    uint64_t limit;
    /* At `acked`, or at the ring's base when that has passed it; from = at = base while a gap is due. */
    struct rt_digest digest;
    /* Until the client is known to have this binding's ATTACHED it may go on with what an older one brought it, whose
     * digest does not start anew behind the gap: kept as `digest` is, but never started anew. */
    struct rt_digest before;
    bool confirmed; /* an ACK has come in this binding: `before` is of no use any more */
};

struct rt_in { /* one input stream of an attachment */
    bool wanted;
    bool need_ack, closed_told;
    uint64_t next;    /* offset after the last byte received */
    uint64_t applied; /* consumed: given to the process, or carried out */
    uint64_t limit;   /* told to the client */
    uint64_t fin;     /* final offset, or RT_NO_OFFSET */
    bool fin_applied;
    struct rt_ring ring;     /* owned; [applied, next); allocated with the first byte */
    struct rt_digest digest; /* over what was applied */
};

struct rt_att {
    bool used;
    uint8_t id[RT_ID_SIZE];
    uint32_t proc;
    uint64_t try_no;
    bool once;
    bool ever_bound;
    bool acked; /* its client is known to have an ATTACHED: from then on it resumes */
    /* binding */
    uint32_t channel; /* 0: unbound */
    bool need_attached;
    uint64_t unbound_at;
    /* hold budget */
    uint64_t hold_ms, hold_left;
    bool blocks; /* being charged */
    bool graced; /* had its end grace */
    struct rt_out out[RT_OUTS];
    struct rt_in in[RT_INS];
};

struct rt_refusal {
    uint32_t channel;
    uint64_t cls, s, at, got, max;
    const char *text; /* static */
};

struct rt_tether {
    struct rt_tether_config config;
    uint64_t rng;
    /* link */
    enum rt_tether_state state;
    bool hangup_pending;
    const char *hangup_reason;
    uint64_t retry_at; /* DOWN, REFUSED */
    uint64_t backoff_ms;
    uint64_t live_at;  /* LIVE: since when */
    bool was_useful;   /* a client acknowledged something on this link: a guest may move as often as it likes */
    uint64_t hello_by; /* HELLO: give up */
    uint64_t rx_at, ping_at;
    bool hello_due, confirm_due, report_due, ping_due, pong_due;
    uint64_t pong_token;
    uint64_t report_at; /* the next report may go */
    uint64_t outage_at; /* since when there is no agent, RT_NO_TIME while there is one */
    struct rt_refusal refusals[RT_TETHER_REFUSALS_MAX];
    size_t n_refusals;
    bool flooded; /* a refusal found no room: the link ends */
    /* identity */
    uint8_t inc[RT_ID_SIZE], new_inc[RT_ID_SIZE], nonce[RT_ID_SIZE];
    uint64_t life, epoch;
    uint8_t ticket[RT_TOKEN_MAX];
    size_t ticket_size;
    bool rejoin; /* this attempt presents the join token again, as a new incarnation */
    bool may_rejoin;
    bool superseded; /* since the last welcome: no new incarnation any more */
    uint64_t refused_cls;
    char refused_text[RT_TEXT_MAX + 1];
    char host[RT_HOST_MAX + 1];
    /* processes and attachments */
    struct rt_proc *procs[RT_PROCS_MAX]; /* owned; [0] is the main process */
    uint32_t next_proc;
    struct rt_att *atts; /* owned; RT_ATTS_MAX */
    size_t round;        /* where the next round of sending begins */
    uint64_t resent;     /* bytes of output that a rebinding has to send again, so far */
    bool unsettled;      /* an attachment went: stdin may have ended with it */
    /* hold */
    uint64_t charged_at;
    uint64_t first_hold_left;
    bool first_blocks, attached_once;
    /* end */
    unsigned end_stage; /* 0 nothing sent on this link, 1..2 tails, 3 all sent */
    uint64_t end_at;    /* after END_OK "later": when to send again */
    bool end_ok;
    enum rt_end_how end_how;
    uint64_t final_at;  /* when the main process became final, RT_NO_TIME before */
    uint64_t ticked_at; /* what was due at the last tick waits for something else than time */
};

/* tether.c */
uint64_t rt_tether_random(struct rt_tether *t, uint64_t below);
void rt_tether_hangup(struct rt_tether *t, const char *reason, uint64_t retry_at, uint64_t now);

/* tether_proc.c */
struct rt_proc *rt_tether_proc(const struct rt_tether *t, uint32_t id);
RT_MUST_CHECK int rt_tether_add_proc(struct rt_tether *t, bool tty, bool in, struct rt_proc **proc);
void rt_tether_free_proc(struct rt_proc *proc);
void rt_tether_item_up(struct rt_tether *t, struct rt_proc *proc, const struct rt_up_item *item);
void rt_tether_advance(struct rt_tether *t, struct rt_proc *proc, unsigned out, uint64_t base);
void rt_tether_drop_segments(struct rt_tether *t, const struct rt_att *att);
/* Notes whether this attachment's end of stdin has been reached. */
void rt_tether_reach_fin(struct rt_proc *proc, struct rt_in *in);
uint64_t rt_tether_drain_deadline(const struct rt_proc *proc); /* RT_NO_TIME: none, or not now */
void rt_tether_settle(struct rt_tether *t, uint64_t now);      /* finals, stdin ends: after anything changed */

/* tether_hold.c */
void rt_tether_charge(struct rt_tether *t, uint64_t now);
void rt_tether_find_blockers(struct rt_tether *t);
uint64_t rt_tether_floor(const struct rt_tether *t, const struct rt_proc *proc, unsigned out);
bool rt_tether_att_done(const struct rt_tether *t, const struct rt_att *att);
uint64_t rt_tether_hold_deadline(const struct rt_tether *t);
bool rt_tether_is_over(const struct rt_tether *t, uint64_t now);

/* tether_att.c */
struct rt_att *rt_tether_att_by_channel(const struct rt_tether *t, uint32_t channel);
struct rt_att *rt_tether_att_by_id(const struct rt_tether *t, const uint8_t id[RT_ID_SIZE]);
struct rt_att *rt_tether_new_att(struct rt_tether *t, const uint8_t id[RT_ID_SIZE], const struct rt_proc *proc,
                                 uint64_t now);
void rt_tether_remove_att(struct rt_tether *t, struct rt_att *att);
void rt_tether_unbind(struct rt_att *att, uint64_t now);
void rt_tether_attach(struct rt_tether *t, uint32_t channel, const struct rt_attach_msg *msg, uint64_t now);
void rt_tether_refuse(struct rt_tether *t, const struct rt_refusal *refusal);
void rt_tether_end_att(struct rt_tether *t, struct rt_att *att, const struct rt_refusal *refusal);

/* tether_in.c */
/* Carries out items of control-down in order; stops at a signal, which it returns with its process. 0: none left. */
unsigned rt_tether_take_items(struct rt_tether *t, uint32_t *proc, uint64_t now);

#endif
