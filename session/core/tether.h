/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_H
#define RETETHER_SESSION_CORE_TETHER_H

#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The tether's endpoint machine: pure. It owns the rings of every process's output, the attachments with their cursors
 * and hold budgets, the input offsets, and the link to the agent with its epochs and tickets. The shell runs processes,
 * reads and writes their pipes, dials, carries bytes, and keeps one timer.
 *
 * Time is `now`: milliseconds of one monotonic clock. After any call the shell runs rt_tether_next() until it returns
 * false, writes stdin of the processes that have some, reads output where there is space, asks rt_tether_output() if
 * the link can take bytes, and sets its timer to rt_tether_deadline(). */

#define RT_CONTROL_RING 65536
/* An output's ring becomes so many times as large, and stays so, when what it holds is on its way to a far reader; but
 * not larger than RT_RING_GROWN_MAX bytes: an agent lets no more be on its way. */
#define RT_RING_GROWTH 8
#define RT_RING_GROWN_MAX ((size_t)8 * 1024 * 1024)
/* How far back the start of the last n lines is looked for: one ATTACH takes a millisecond or two of the guest's loop
 * at most. With fewer lines in them the attachment starts at the first of these bytes. */
#define RT_LINES_LOOK_MAX 4194304
/* Received and not applied, per attachment: the limit told to clients. */
#define RT_STDIN_WINDOW 262144
#define RT_CONTROL_WINDOW 65536
/* An unbound attachment that holds nothing is forgotten after this, one that holds after its hold and this; both of
 * time with an agent. */
#define RT_ATT_FORGET_MS 600000
/* In a full table one that holds makes room for a new one when it has been unbound for this long, of time with an
 * agent. The output of a process that has ended is kept for as long for an attachment whose client is away. */
#define RT_ATT_DISPLACE_MS 30000
/* When the container ends, bound attachments may take at least this long to read the rest: each that may hold, and all
 * observers together. */
#define RT_END_GRACE_MS 1000
/* Refusals that wait for a reply; one more ends the link (the peer floods). */
#define RT_TETHER_REFUSALS_MAX 256

struct rt_exec_msg;
struct rt_tether;

struct rt_tether_config {
    char cid[RT_CID_MAX + 1];
    uint8_t token[RT_TOKEN_MAX]; /* join token */
    size_t token_size;
    uint64_t seed; /* jitter */
    void *ctx;
    void (*random)(void *ctx, void *out, size_t size); /* incarnations and nonces */
    size_t ring_bytes;                                 /* per stdout and stderr */
    uint64_t first_hold_ms; /* until the first attachment that is no observer, output holds like one with it; 0 not */
    uint64_t drain_timeout_ms; /* after a process's exit, until its pipes are given up */
    uint64_t outage_hold_ms;   /* per outage, time without an agent that costs no hold */
    uint64_t end_timeout_ms;   /* after the main process is final, until it is over without END_OK; 0 never */
    bool tty;                  /* main process */
    unsigned rows, cols;
};

/* Defaults for all but cid, token, seed, random. */
void rt_tether_defaults(struct rt_tether_config *config);

/* NULL without memory. The main process (id 0) exists at once, in state STARTING, with a START action pending. */
struct rt_tether *rt_tether_new(const struct rt_tether_config *config, uint64_t now);
void rt_tether_free(struct rt_tether *tether);

enum rt_tether_action_kind {
    RT_TETHER_DIAL,         /* answered with exactly one rt_tether_connected() or rt_tether_lost() */
    RT_TETHER_HANGUP,       /* close the connection or the dial; the machine counts it as lost already */
    RT_TETHER_START,        /* run the process: what exec says for proc > 0; then rt_tether_started() */
    RT_TETHER_SIGNAL,       /* sig to the process (its foreground group when it has a tty) */
    RT_TETHER_RESIZE,       /* rows, cols of its tty */
    RT_TETHER_STDIN_END,    /* close stdin; on a tty: VEOF. After all of rt_tether_stdin() has been taken */
    RT_TETHER_CLOSE_OUTPUT, /* drain timeout: close this process's pipes */
    RT_TETHER_OVER,         /* power off or exit; no further action follows */
};

struct rt_tether_action {
    enum rt_tether_action_kind kind;
    uint32_t proc;
    unsigned sig, rows, cols;
    bool tty, in;                   /* START */
    const struct rt_exec_msg *exec; /* START of proc > 0: until the next call into the machine; NULL for proc 0 */
    const char *reason;             /* HANGUP: static text */
};

/* Actions that wait to be carried out; what would bring about more waits for the next tick, which is due at once. */
#define RT_TETHER_ACTIONS_MAX 128

/* Takes the next action of what the last call brought about. False: there is none. */
bool rt_tether_next(struct rt_tether *tether, struct rt_tether_action *action);

/* ---- the link ---- */

void rt_tether_connected(struct rt_tether *tether, uint64_t now);
void rt_tether_lost(struct rt_tether *tether, uint64_t now);
/* Takes whole frames, returns the bytes used; the rest is given again with more behind it. After a bad frame it hangs
 * up (an action) and returns size. */
size_t rt_tether_input(struct rt_tether *tether, const uint8_t *data, size_t size, uint64_t now);
/* Fills buf with what there is to send, 0 when nothing. cap >= 2 * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX). */
size_t rt_tether_output(struct rt_tether *tether, uint8_t *buf, size_t cap, uint64_t now);
uint64_t rt_tether_deadline(const struct rt_tether *tether); /* RT_NEVER: none */
void rt_tether_tick(struct rt_tether *tether, uint64_t now);

/* ---- processes ---- */

/* The answer to START: code 0, or 126 / 127 when it could not be run / found (the process is then final). */
void rt_tether_started(struct rt_tether *tether, uint32_t proc, unsigned code, uint64_t now);
/* Where to read stdout or stderr into: contiguous space in the ring. Size 0: none; then the shell asks for some, looks
 * again, and when there still is none the process must wait (it blocks) until there is, after any later call. */
uint8_t *rt_tether_space(const struct rt_tether *tether, uint32_t proc, unsigned stream, size_t *size);
void rt_tether_want_space(struct rt_tether *tether, uint32_t proc, unsigned stream, uint64_t now);
void rt_tether_commit(struct rt_tether *tether, uint32_t proc, unsigned stream, size_t size);
void rt_tether_eof(struct rt_tether *tether, uint32_t proc, unsigned stream, uint64_t now);
void rt_tether_exited(struct rt_tether *tether, uint32_t proc, unsigned code, unsigned sig, uint64_t now);
/* Contiguous input to write to the process next (size 0: none), of one attachment, in the order of arrival. */
const uint8_t *rt_tether_stdin(struct rt_tether *tether, uint32_t proc, size_t *size);
/* write(2) took size bytes of it: they are consumed. */
void rt_tether_stdin_taken(struct rt_tether *tether, uint32_t proc, size_t size, uint64_t now);
/* The process closed its stdin (EPIPE): what is pending is dropped, clients are told. */
void rt_tether_stdin_closed(struct rt_tether *tether, uint32_t proc, uint64_t now);

/* ---- looking in ---- */

enum rt_tether_state {
    RT_TETHER_DOWN,
    RT_TETHER_DIALING,
    RT_TETHER_HELLO,
    RT_TETHER_LIVE,
    RT_TETHER_REFUSED,
    RT_TETHER_IS_OVER
};

struct rt_tether_view {
    enum rt_tether_state state;
    uint64_t life, epoch;
    uint64_t cls;               /* REFUSED: enum rt_class of the newest refusal */
    char text[RT_TEXT_MAX + 1]; /* its text */
    char host[RT_HOST_MAX + 1]; /* the agent's, when LIVE */
    uint64_t resent;            /* bytes of stdout and stderr sent again after breaks, in all */
    bool end_ok;
    enum rt_end_how end_how;
    unsigned code, sig; /* of the main process, when it exited */
};
void rt_tether_view(const struct rt_tether *tether, struct rt_tether_view *view);

#endif
