/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_CLUSTER_HARNESS_H
#define RETETHER_TESTS_SYSTEM_CLUSTER_HARNESS_H

#include "tests/lib/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

/* Tests on one cluster of real programs. They fail through cmocka; what a failed test leaves running dies with its
 * program, and the logs stay. */

/* Longest wait for anything that is not a measure of time itself. */
#define HARNESS_LIMIT_MS 120000

extern struct rt_cluster harness;

/* Starts the cluster, waits until the store is whole and containers run, then runs the tests. Returns main's status. */
int harness_main(unsigned hosts, bool replica, const char *name, const struct CMUnitTest *tests, size_t n);

/* The same, with rt_cluster_start_in(). */
int harness_main_in(unsigned hosts, bool replica, rt_cluster_prepare prepare, const char *name,
                    const struct CMUnitTest *tests, size_t n);

/* `retether ARGS…`, args[0] included, to its end. */
void harness_cli(struct rt_process_run *run, const char *input, size_t input_size, const char *const *args);
/* `retether VERB --agent`, at this host's agent, for this container: with boss as one of the group of operators, that
 * no process here is in, so that the agents' rules by group are looked at too. It needs root. Returns the exit status.
 */
int harness_cli_at(struct rt_process_run *run, unsigned host, bool boss, const char *verb, const char *cid);
/* Runs it, and wants this status; with out, exactly this output. */
void harness_expect(int status, const char *out, const char *const *args);
#define ARGS(...) ((const char *const[]){"retether", __VA_ARGS__, NULL})

/* The text of a field in a line of JSON, without quotes; false: there is none. */
bool harness_json(const char *json, const char *field, char *out, size_t size);

/* The names of the fields of the outermost object of a line, in order, separated by spaces. */
void harness_json_fields(const char *json, char *out, size_t size);

/* A container of this name that runs a shell script; its output waits 10 s for somebody to attach. */
struct rt_cluster_vm *harness_vm(const char *cid, const char *script);
/* Until its tether has ended with this status; forgets it. The VM started last goes first. */
void harness_vm_end(struct rt_cluster_vm *vm, int status);
/* Until the agents say that this host serves it. */
void harness_served(const char *cid, unsigned host);

/* How often the log of this host's agent has the text, which is of one line. */
unsigned harness_said(unsigned host, const char *text);
/* Until it has it so often, or more often. */
void harness_until_said(unsigned host, const char *text, unsigned times);

/* A `retether` that runs: with pipes, or on a terminal of its own, where both outputs are one. */
struct harness_attach {
    pid_t pid;
    int in, out, err; /* -1: closed; a terminal has only `out` for all */
    bool terminal;
    char *text; /* owned, NUL-terminated: what came on out so far */
    size_t size, room;
    char *err_text; /* owned: on err */
    size_t err_size, err_room;
};

void harness_start(struct harness_attach *attach, bool terminal, const char *const *args);
void harness_type(struct harness_attach *attach, const void *data, size_t size);
/* No more input; not with a terminal. */
void harness_type_end(struct harness_attach *attach);
/* Sets the size of its terminal. */
void harness_window(struct harness_attach *attach, unsigned short rows, unsigned short cols);
/* Reads what comes for so long; true when something did. */
bool harness_read(struct harness_attach *attach, unsigned limit_ms);
/* Until the text has come on out, or on err. Fails after HARNESS_LIMIT_MS, showing what came. */
void harness_until(struct harness_attach *attach, const char *text);
void harness_until_err(struct harness_attach *attach, const char *text);
/* Collects the rest and wants it to end within the limit; its exit status. Frees nothing. */
int harness_finish(struct harness_attach *attach, unsigned limit_ms);
/* Kills it if it runs, and frees all. */
void harness_close(struct harness_attach *attach);

#endif
