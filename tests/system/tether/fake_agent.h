/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_TETHER_FAKE_AGENT_H
#define RETETHER_TESTS_SYSTEM_TETHER_FAKE_AGENT_H

#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An agent and its only client in one, small and strict: it listens on a unix socket, starts the real tether, welcomes
 * it, attaches to its main process, checks every offset and digest, and collects what comes. Whatever breaks the
 * protocol is kept in `error`, which fake_finish() asserts to be empty. */

#define FAKE_CHANNEL 7
#define FAKE_EXEC_CHANNEL 8
#define FAKE_WINDOW 262144
#define FAKE_TOKEN "rtj1.am9pbi10b2tlbg" /* "join-token" */

struct fake_out {
    uint8_t *data; /* owned; [0, size) is consumed */
    size_t size, cap;
    uint64_t fin; /* final offset, UINT64_MAX while unknown */
    struct rt_digest digest;
};

struct fake_in {
    uint8_t *data; /* owned; what there is to send */
    size_t size, cap;
    uint64_t acked, sent, high, limit;
    bool fin; /* to be ended after size */
    bool fin_sent, fin_acked;
    bool closed; /* by the process */
    struct rt_digest digest;
};

struct fake_agent {
    char dir[64]; /* temporary, with the socket "s", the tether's log "log", a file "exec" */
    int listener, conn, pidfd;
    pid_t tether; /* 0 once reaped */
    int status;   /* of waitpid(2) */
    char error[256];
    /* behaviour; set before fake_start() */
    const char *options[16]; /* of the tether, NULL-terminated */
    const char *env[4];      /* more of its environment */
    bool subreaper;
    bool pid_1; /* in a pid namespace of its own; needs root */
    bool deaf;  /* do not listen yet: fake_listen() does */
    bool no_attach;
    bool slow_end; /* END is not answered */
    unsigned rows, cols;
    uint64_t cut_after; /* bytes received on average, then the connection is cut; 0 never */
    unsigned cuts_left;
    /* link */
    uint8_t *rx; /* owned */
    size_t rx_size;
    uint64_t cut_at; /* of this connection */
    uint64_t rx_total;
    uint64_t life, epoch, rng;
    unsigned welcomes, confirms, cuts, interrupted_out, interrupted_in;
    /* attachment */
    bool attached; /* on this connection */
    bool ever_attached;
    uint64_t try_no;
    struct fake_out out[3]; /* stdout, stderr, control-up */
    struct fake_in in[2];   /* stdin, control-down */
    /* exec: the item that tells it what to run, until it is attached */
    uint8_t exec[RT_INITIAL_CREDIT];
    size_t exec_size;
    /* ends */
    size_t items_at; /* control-up read so far */
    bool exited, ended, resized;
    struct rt_up_item exit_item;
    struct rt_end_msg end;
    uint8_t *tail[2]; /* owned; stdout, stderr */
    size_t tail_size[2];
};

/* cmocka fixture: *state is a struct fake_agent. The teardown kills a tether that is left and removes the directory. */
int fake_setup(void **state);
int fake_teardown(void **state);

/* argv is NULL-terminated. */
void fake_start(struct fake_agent *agent, const char *const *argv);
void fake_sh(struct fake_agent *agent, const char *script);
void fake_listen(struct fake_agent *agent);
/* Handles what comes for at most timeout_ms, returns early when something came. */
void fake_step(struct fake_agent *agent, int timeout_ms);
void fake_cut(struct fake_agent *agent);
/* Sends what is no frame. */
void fake_garbage(struct fake_agent *agent);
/* Until the condition holds; fails the test after timeout_ms or when the tether is gone. */
typedef bool fake_condition(struct fake_agent *agent, const void *arg);
void fake_until(struct fake_agent *agent, fake_condition *condition, const void *arg, int timeout_ms);
void fake_until_text(struct fake_agent *agent, const char *text, int timeout_ms); /* in stdout */
/* Until the tether has exited; asserts its exit status and that nothing broke the protocol. */
void fake_finish(struct fake_agent *agent, int status, int timeout_ms);

void fake_input(struct fake_agent *agent, const void *data, size_t size);
void fake_input_end(struct fake_agent *agent);
void fake_item(struct fake_agent *agent, const struct rt_down_item *item);
/* Runs a command beside it, whose output nobody reads; over one connection. */
void fake_exec(struct fake_agent *agent, const char *const *argv, const char *const *env, const char *cwd);
bool fake_done(const struct fake_agent *agent);
/* stdout, NUL-terminated */
const char *fake_text(struct fake_agent *agent);
void fake_log(struct fake_agent *agent, char *out, size_t size);

uint64_t fake_now_ms(void);
uint64_t fake_random(struct fake_agent *agent, uint64_t below);

/* fake_link.c: what the frames mean */
void fake_frame(struct fake_agent *agent, const struct rt_frame *frame, const uint8_t *payload);
void fake_send_input(struct fake_agent *agent);
void fake_send_acks(struct fake_agent *agent);
void fake_send_exec(struct fake_agent *agent);
void fake_send(struct fake_agent *agent, const struct rt_frame *frame, const void *payload);
void fake_error(struct fake_agent *agent, const char *what, uint64_t got, uint64_t wanted);
void fake_append(uint8_t **data, size_t *size, size_t *cap, const void *more, size_t n);

#endif
