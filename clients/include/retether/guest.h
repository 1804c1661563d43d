/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_GUEST_H
#define RETETHER_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The guest half of libretether: runs a command, owns its streams, and keeps them attachable through whatever agent the
 * machine below it has at the moment. Everything happens on the caller's libuv loop, in its thread; there is no global
 * state. Sizes are bytes, times are milliseconds. Functions return 0 or a negative code of retether/error.h unless said
 * otherwise. Callbacks come from the loop, never from within another call of this file. Structs that the caller fills
 * begin with their size, as those of retether/client.h.
 *
 * The runner forks. It watches SIGCHLD, and waits for its own children only, unless `reap_all` says that every child of
 * the process is its to reap. SIGPIPE must be ignored by the process. */

/* The exit status of a runner that failed by itself, as opposed to its command. */
#define RETETHER_EXIT_FAILED 125
#define RETETHER_GUEST_REASON_MAX 320

struct retether_guest;
struct uv_loop_s; /* uv_loop_t of <uv.h> */

struct retether_guest_options {
    size_t size; /* of this struct; retether_guest_defaults() sets it */
    /* Text is copied by retether_guest_new(). */
    const char *agent;       /* vsock:CID:PORT, unix:PATH or tcp:ADDRESS:PORT */
    const char *cid;         /* container ID */
    const char *token;       /* join token, text form: "rtj1." and what only agents can open */
    const char *const *argv; /* the command, NULL-terminated */
    const char *const *env;  /* its environment, NULL-terminated; NULL: this process's */
    const char *cwd;         /* NULL: this process's */
    bool tty;                /* a pseudo-terminal, else three pipes */
    unsigned rows, cols;     /* of the terminal; 0: 24, 80 */
    /* Bounds; retether_guest_defaults() fills them. */
    /* Kept of stdout and of stderr: 4 KiB to 64 MiB; 0: what the token's maker asked for, else 1 MiB. */
    uint64_t ring_bytes;
    uint64_t first_hold_ms;    /* output may block this long for the first attachment; 0: not */
    uint64_t drain_timeout_ms; /* after a process's exit, until its pipes are given up */
    uint64_t outage_hold_ms;   /* time without an agent, per outage, that costs attachments no hold */
    uint64_t end_timeout_ms;   /* after the end, until it is over without an agent's word; 0: never */
    bool reap_all;             /* as init or child subreaper: wait for every child */
};

/* Zeroes the options, sets their size, sizeof(*options), and the bounds. */
void retether_guest_defaults(struct retether_guest_options *options, size_t size);

enum retether_guest_event_kind {
    RETETHER_GUEST_LINK,    /* from, to: "down", "dialing", "hello", "live", "refused", "over" */
    RETETHER_GUEST_PROCESS, /* from, to: "starting", "running", "exited", "failed", "closed" */
};

/* One transition. Good during the callback only. */
struct retether_guest_event {
    enum retether_guest_event_kind kind;
    const char *container;
    uint64_t life, epoch;
    uint32_t process; /* PROCESS: 0 is the main one */
    uint64_t resent;  /* bytes of stdout and stderr sent again because of breaks, in all */
    const char *from;
    const char *to;
    const char *host;   /* the agent's; "" when unknown */
    const char *reason; /* for people */
};

struct retether_guest_callbacks {
    size_t size; /* of this struct */
    /* May be NULL. Must not call back into the runner. */
    void (*event)(struct retether_guest *guest, const struct retether_guest_event *event, void *ctx);
    /* The container is over: status is the main process's exit code, 128 + n for a signal n. Called exactly once after
     * retether_guest_start() succeeded, unless the runner is stopped before. The runner may be stopped in it. */
    void (*over)(struct retether_guest *guest, int status, void *ctx);
    void *ctx;
};

/* Makes a runner that does nothing yet, on a loop that has to outlive it. Options and callbacks are copied. To be
 * released with retether_guest_stop(). RETETHER_EINVAL: an option or a size. RETETHER_ENOMEM. On an error `why` has a
 * sentence, cut to why_size bytes. */
int retether_guest_new(struct uv_loop_s *loop, const struct retether_guest_options *options,
                       const struct retether_guest_callbacks *callbacks, struct retether_guest **guest, char *why,
                       size_t why_size);

/* Starts the command at once, agent or not, and begins to dial. RETETHER_ENOMEM; RETETHER_EIO: no descriptor for
 * SIGCHLD. `over` does not fire after an error. A command that cannot be run is no error here: the container ends with
 * 126 or 127. */
int retether_guest_start(struct retether_guest *guest);

/* Sends a signal to the main process; with a terminal, what the keyboard would send (SIGINT, SIGQUIT, SIGTSTP) goes to
 * the foreground process group. No effect before the start and after the exit. */
void retether_guest_signal(struct retether_guest *guest, int signum);

/* Closes the link and every pipe, leaves running processes alone, and frees the runner once its handles are closed;
 * then calls stopped(ctx) (may be NULL). The runner must not be used after this call. */
void retether_guest_stop(struct retether_guest *guest, void (*stopped)(void *ctx), void *ctx);

#ifdef __cplusplus
}
#endif

#endif
