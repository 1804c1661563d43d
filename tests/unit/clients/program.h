/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_PROGRAM_H
#define RETETHER_TESTS_UNIT_CLIENTS_PROGRAM_H

#include "tests/unit/clients/box.h"

#include <sys/types.h>

/* The command line's own code in a child process, in front of a box whose agents run in the test. */

#define PROGRAM_BYTES (512 * 1024)

struct program {
    struct fixture *f;
    struct box *box;
    pid_t pid;  /* 0: none, or reaped */
    int status; /* exit status; 128 + n for a signal */
    bool ended;
    int in;     /* its stdin; -1: closed */
    int out[2]; /* stdout, stderr */
    struct {
        char data[PROGRAM_BYTES]; /* NUL-terminated */
        size_t size;
    } text[2];
    bool tty;               /* set before it is started: its stdin and stdout are a terminal, whose other end is `in` */
    bool stdout_closed;     /* nobody reads it */
    const char *stdin_path; /* set before it is started: its stdin; NULL: a pipe or the terminal */
};

/* cmocka: *state is a program, with the first agent listening. The teardown kills it if it is still there. */
int program_setup(void **state);
int program_teardown(void **state);

/* Runs `retether ARGS --agent ADDRESS` (without an agent, a command that asks none), the words of args separated by
 * blanks; what follows " -- " is kept last. */
void program_start(struct program *p, const char *args);
/* Until it has ended. Asserts its status. */
void program_wait(struct program *p, int status);
/* Both. */
void program_run(struct program *p, const char *args, int status);
void program_type(struct program *p, const char *text);
void program_type_end(struct program *p);
/* Until stdout (0) or stderr (1) contains it. */
void program_until(struct program *p, unsigned s, const char *text);
/* Until the box has an attachment of it to that process. */
void program_attached(struct program *p, unsigned proc);
/* What it has said on stderr, and that it contains this. */
const char *program_err(const struct program *p);
void program_has(const struct program *p, const char *text);
/* Its stdout is JSON objects, a line each, that begin with `key`, and with these values in this order; NULL ends them.
 */
void program_ordered(const struct program *p, const char *key, const char *const *values);
/* Takes what has come; part of every step of a wait. */
bool program_look(struct program *p);

#endif
