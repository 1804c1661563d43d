/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_GUEST_INTERNAL_H
#define RETETHER_CLIENTS_LIB_GUEST_INTERNAL_H

#include "clients/lib/conn.h"
#include "clients/lib/guest_spawn.h"
#include "retether/guest.h"
#include "session/base/gather.h"
#include "session/base/slice.h"
#include "session/core/tether.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* The runner's own structures. The machine of session/core/tether.h decides everything; these files carry it out:
 * guest_process.c and guest_pipes.c its processes, guest_conn.c its link, guest_tell.c what is told of them,
 * guest_end.c how they end, guest.c the rest. Whoever called into the machine, or learnt
 * that a descriptor or the link is ready again, calls rt_guest_wake(); the step then runs once per loop iteration, just
 * before the loop blocks, so that whatever came in one iteration leaves in one write. */

/* Bytes read from, or written to, one descriptor before the others get their turn. */
#define RT_GUEST_BUDGET 262144
/* Rounds of actions and input in one step; what is left goes in the next iteration. */
#define RT_GUEST_ROUNDS_MAX 8
/* A pty whose last slave was closed while its process lives (a login does that) is tried again after this. */
#define RT_GUEST_PTY_RETRY_MS 50

struct rt_guest_process;

struct rt_guest_fd {
    struct rt_guest_process *process;
    uv_poll_t poll;
    int fd;       /* owned; -1 when there is none or it was closed */
    int events;   /* what poll watches for */
    bool pause;   /* output: no space in the ring */
    bool resting; /* output: left alone while the process's timer `rest` runs: small writes, or a pty without a slave */
    bool full;    /* input: the kernel takes no more for now */
    struct rt_gather gather;
};

struct rt_guest_process {
    struct rt_guest_process *next;
    struct retether_guest *guest;
    uint32_t id;
    bool tty;
    pid_t pid;                       /* 0 once reaped: the number may be somebody else's */
    struct rt_guest_fd in, out, err; /* with a tty, out is read and written, the others are unused */
    bool stdin_end;                  /* to be ended once all input is written */
    char last;                       /* last byte written to a tty */
    char end[2];                     /* tty: what is left to write of its end */
    size_t end_size;
    uv_timer_t rest;
    unsigned open_handles;
};

enum rt_guest_phase { RT_GUEST_NEW, RT_GUEST_RUNNING, RT_GUEST_OVER, RT_GUEST_STOPPING };

struct retether_guest {
    struct retether_guest_callbacks callbacks;
    enum rt_guest_phase phase;
    uv_loop_t *loop;
    /* what to run; owned */
    char **argv, **env;
    char *cwd;
    bool reap_all;
    /* machine */
    struct rt_tether *tether; /* owned */
    struct rt_tether_config config;
    enum rt_tether_state state; /* as last told */
    int status;                 /* exit status of the main process */
    /* handles */
    uv_prepare_t prepare;
    uv_timer_t timer;
    uv_signal_t child;
    unsigned open_handles;
    bool awake; /* a step is due */
    /* processes */
    struct rt_guest_process *processes; /* owned list */
    /* link */
    struct rt_endpoint endpoint;
    struct rt_conn_set links;
    struct rt_conn *conn;                   /* the current one, or NULL */
    char reason[RETETHER_GUEST_REASON_MAX]; /* of the newest loss */
    /* stop */
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

static inline void rt_guest_wake(struct retether_guest *guest)
{
    guest->awake = true;
}

static inline uint64_t rt_guest_now(const struct retether_guest *guest)
{
    return uv_now(guest->loop);
}

/* guest_tell.c */
void rt_guest_tell_process(struct retether_guest *guest, uint32_t id, const char *from, const char *to,
                           const char *reason);
/* Tells the link's state if it is another than last told. */
void rt_guest_tell_link(struct retether_guest *guest);

/* guest_end.c */
void rt_guest_free(struct retether_guest *guest);
/* Frees the runner if it is stopping and nothing of it is left open. */
void rt_guest_release(struct retether_guest *guest);
void rt_guest_fd_close(struct rt_guest_fd *fd);
void rt_guest_pipes_close(struct rt_guest_process *process);
/* Closes and frees the process once it has exited and its output has ended. */
void rt_guest_process_settle(struct rt_guest_process *process);
/* Closes everything and forgets the process, which runs on if it does. */
void rt_guest_process_drop(struct rt_guest_process *process);

/* guest_text.c */
/* Makes a NULL-terminated list of text, in one allocation: those of base (may be NULL) and more. With a base these are
 * NAME=VALUE texts, and one of more takes the place of that with the same name. RT_EINVAL: one of more has a NUL in it.
 */
RT_MUST_CHECK int rt_guest_list(const char *const *base, const struct rt_slice *more, size_t n_more, char ***list);

/* guest_process.c */
void rt_guest_process_start(struct retether_guest *guest, const struct rt_tether_action *action);
struct rt_guest_process *rt_guest_process_find(const struct retether_guest *guest, uint32_t id);
void rt_guest_process_signal(struct rt_guest_process *process, int sig);
void rt_guest_process_resize(struct rt_guest_process *process, unsigned rows, unsigned cols);
/* The process was waited for: status as of waitpid(2). */
void rt_guest_process_exited(struct rt_guest_process *process, int status);
/* guest_pipes.c */
RT_MUST_CHECK int rt_guest_pipes_open(struct rt_guest_process *process, const struct rt_spawned *spawned);
/* Writes what input there is, and watches the descriptors that can be read or written. Returns the bytes written. */
size_t rt_guest_pipes_step(struct rt_guest_process *process);

/* guest_conn.c */
extern const struct rt_conn_ops rt_guest_conn_ops;
void rt_guest_conn_dial(struct retether_guest *guest);
void rt_guest_conn_hangup(struct retether_guest *guest, const char *reason);
/* Sends what was given to it, then closes. */
void rt_guest_conn_finish(struct retether_guest *guest);

#endif
