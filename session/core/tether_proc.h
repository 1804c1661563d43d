/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_PROC_H
#define RETETHER_SESSION_CORE_TETHER_PROC_H

#include "session/base/error.h"
#include "session/base/timer.h"
#include "session/core/order.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A process of the container: its output rings, and the runs of input that wait for it. */

#define RT_OUTS 3 /* stdout, stderr, control-up: stream - 1 */
/* Runs of input of one attachment that wait for the process; from half of it on, runs of one attachment are joined. */
#define RT_SEGMENTS_MAX ((size_t)2 * RT_ATTS_MAX)

/* An output as it is read into its ring, and what its reader waits for.
 *
 *           no space--> WAITS --all of the ring is held--> BLOCKED      EOF: at its end, or given up
 *     OPEN <--made room--+  <------------made room------------+         (from all others)
 */
enum rt_pipe { RT_PIPE_OPEN, RT_PIPE_WAITS, RT_PIPE_BLOCKED, RT_PIPE_EOF };

/* Its stdin, as long as it runs.
 *
 *     OPEN --all who opened it have ended it--> ENDS --all input is taken--> AT_EOF (a terminal), CLOSED (a pipe)
 *          --one who ended it said `once`-----> CUT --at once--------------> the same
 *     AT_EOF --another end of somebody's input--> OPEN     from all others: closed by the process, or ended --> CLOSED
 */
enum rt_stdin_phase { RT_STDIN_OPEN, RT_STDIN_ENDS, RT_STDIN_CUT, RT_STDIN_AT_EOF, RT_STDIN_CLOSED };

/* What its shell is still to be told of a process. */
enum rt_proc_due {
    RT_PROC_DUE_START = 1,
    RT_PROC_DUE_KILL = 2, /* an exec'd one of a container that has ended */
    RT_PROC_DUE_RESIZE = 4,
    RT_PROC_DUE_CLOSE = 8, /* CLOSE_OUTPUT */
};

/*  AWAITED --the last piece of what to run--> STARTING --START answered--> RUNNING --exit--> EXITED --EOF--> FINAL
 *
 * The main process begins as STARTING. An AWAITED one has one attachment, and goes with it. Waiting: AWAITED (pieces),
 * RUNNING (its exit), EXITED (its pipes, drain_at). */
enum rt_proc_state { RT_PROC_AWAITED, RT_PROC_STARTING, RT_PROC_RUNNING, RT_PROC_EXITED, RT_PROC_FINAL };

struct rt_att;
struct rt_exec_msg;
struct rt_tether;
struct rt_up_item;

struct rt_segment {
    uint16_t att; /* index in tether.atts */
    uint32_t size;
};

struct rt_proc {
    uint32_t id;
    enum rt_proc_state state;
    bool tty, in;
    unsigned due; /* bits of enum rt_proc_due */
    unsigned rows, cols;
    bool seen;          /* it had an attachment that was bound */
    uint64_t redraw_at; /* RT_NEVER, or the terminal has another size until then */
    unsigned code, sig;
    uint64_t drain_at;   /* when EXITED */
    uint64_t blocked_at; /* since when a stream is blocked; EXITED: since the exit at the earliest */
    /* output */
    struct rt_ring ring[RT_OUTS]; /* owned */
    struct rt_order order;        /* of stdout's and stderr's bytes */
    enum rt_pipe pipe[2];
    uint64_t exit_at; /* FINAL: where the item `exited` begins in control-up */
    bool shrunk;      /* finished: no output is kept any more, but that item */
    /* input */
    struct rt_segment *segments; /* owned; RT_SEGMENTS_MAX, until it is finished */
    size_t n_segments;
    enum rt_stdin_phase stdin_phase;
    bool stdin_kept; /* an attachment went that had not ended it, and none has come since */
    /* exec */
    uint8_t *run;             /* owned; what to run, as far as it has come; until START is answered */
    size_t run_size;          /* bytes */
    struct rt_exec_msg *exec; /* owned; the same, read: STARTING */
};

/* AWAITED. RT_ELIMIT: RT_PROCS_MAX have not ended. */
RT_MUST_CHECK int rt_tether_add_proc(struct rt_tether *t, bool tty, bool in, struct rt_proc **proc);
/* What to run is known. */
void rt_tether_start(struct rt_tether *t, struct rt_proc *proc);
/* One that was never started. */
void rt_tether_remove_proc(struct rt_tether *t, struct rt_proc *proc);
void rt_tether_free_proc(struct rt_proc *proc);
/* Makes a program on a terminal of this size draw its screen for who has just come: it gets another size for a moment,
 * as a program that finds its size unchanged may leave the screen as it is. */
void rt_tether_redraw(struct rt_tether *t, struct rt_proc *proc, uint64_t now);
/* To the next state: none is left out, none comes again. */
void rt_tether_move_proc(struct rt_proc *proc, enum rt_proc_state to);
void rt_tether_move_pipe(struct rt_proc *proc, unsigned o, enum rt_pipe to, uint64_t now);
/* Sets the terminal's size, also again: the process may have changed it. One that is another than the last is told to
 * all who are attached. Sizes that do not exist, and a process without a terminal, are ignored. proc: may be NULL. */
void rt_tether_resize(struct rt_tether *t, struct rt_proc *proc, uint64_t rows, uint64_t cols);
void rt_tether_advance(struct rt_tether *t, struct rt_proc *proc, unsigned out, uint64_t base);
void rt_tether_drop_segments(struct rt_tether *t, const struct rt_att *att);
void rt_tether_move_stdin(struct rt_proc *proc, enum rt_stdin_phase to);
/* An attachment's end of stdin has been reached. */
void rt_tether_reach_fin(struct rt_proc *proc);
uint64_t rt_tether_drain_deadline(const struct rt_proc *proc); /* RT_NEVER: none, or not now */
void rt_tether_settle(struct rt_tether *t, uint64_t now);      /* finals, stdin ends: after anything changed */

#endif
