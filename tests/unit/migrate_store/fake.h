/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_MIGRATE_STORE_FAKE_H
#define RETETHER_TESTS_UNIT_MIGRATE_STORE_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

/* A Redis that answers from a script, on a unix socket in a directory of its own, or on a port of 127.0.0.1. Every
 * command is taken whole and answered in its turn: by the newest rule whose `ask` it contains, else as a sound and
 * empty server would. A function that is called with keys of two slots fails the test. */

#define FAKE_RULES_MAX 32
#define FAKE_ASKED_MAX 16384

#define FAKE_ROLE "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define FAKE_RUN_ID "0123456789abcdef0123456789abcdef01234567"
#define FAKE_INFO "$47\r\nrun_id:" FAKE_RUN_ID "\r\n"
#define FAKE_MARK "00112233445566778899aabbccddeeff"
#define FAKE_OTHER "ffeeddccbbaa99887766554433221100"

enum fake_then {
    FAKE_GO_ON,
    FAKE_CLOSE,   /* after the answer */
    FAKE_SILENCE, /* answers nothing from here on on this connection */
};

struct fake_rule {
    const char *ask;    /* within the command's words, joined by blanks; "" fits all */
    const char *answer; /* RESP text, whole or not; lives as long as the rule */
    enum fake_then then;
    size_t times; /* so often, then the rule is gone; 0: always */
};

/* What the answer to a heartbeat says, but for the sequence, which is the asker's plus one. */
struct fake_beat {
    unsigned long long now_ms, born_ms;
    char mark[33];
    bool taken;
    char instance[33]; /* "": no row before */
    unsigned long long seq_found;
    bool seq_kept; /* seq_found is what the asker says, whatever it is */
};

struct fake_peer;

struct fake {
    union {
        uv_pipe_t pipe;
        uv_tcp_t tcp;
        uv_stream_t stream;
        uv_handle_t handle;
    } listener;
    char dir[40], path[64], endpoint[96];
    unsigned port;                          /* 0: a unix socket */
    struct fake_rule rules[FAKE_RULES_MAX]; /* newest last */
    size_t n_rules;
    struct fake_beat beat;
    struct fake_peer *peers;
    size_t n_connections, n_open;
    char asked[FAKE_ASKED_MAX]; /* the newest commands, a line each, cut */
    size_t n_asked;             /* bytes of these */
    bool closed;
};

/* The loop of the harness, for groups of tests. */
int fake_group_setup(void **state);
int fake_group_teardown(void **state);

/* Asserts (cmocka). */
void fake_start(struct fake *fake);
void fake_start_tcp(struct fake *fake);
void fake_rule(struct fake *fake, const char *ask, const char *answer, enum fake_then then, size_t times);
void fake_no_rules(struct fake *fake);
/* How many of the newest commands contain it. */
size_t fake_asked(const struct fake *fake, const char *part);
void fake_forget(struct fake *fake);
/* Sends unasked: to every connection; to those that have subscribed. */
void fake_say(struct fake *fake, const char *text);
void fake_push(struct fake *fake, const char *text);
/* Closes every connection. */
void fake_cut(struct fake *fake);
/* Runs the loop until all is closed, and removes the directory. */
void fake_stop(struct fake *fake);

#endif
