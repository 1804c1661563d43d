/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_AGENT_DAEMON_H
#define RETETHER_TESTS_SYSTEM_AGENT_DAEMON_H

#include "tests/lib/cluster_process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A real retetherd in a private directory: sockets `g` and `c`, state in `state`, JSON log in `log`. It dies with the
 * test, and its private redis-server and the directory go, however the test ends. Calls assert (cmocka). */

#define DAEMON_ARGS_MAX 32
/* Limits of time are what a quiet machine needs; a test fails after so many times as much, as a hang. */
#define TEST_PATIENCE 10
#define DAEMON_LOG_MAX ((size_t)4 << 20)

struct daemon {
    char dir[64];
    char guest[96], client[96], state[96], log[96]; /* paths */
    pid_t pid;                                      /* 0: not running */
    char gate[96];                                  /* path; when not empty: its fsync lasts until that file is there */
    const char *doors;                              /* what stands behind the paths of its sockets; NULL: nothing */
    const char *user;  /* the one rule of who may come in; NULL: everybody, as a vch of the tenant "local" */
    const int *passed; /* two sockets that listen at `guest` and at `client`, passed as systemd does; NULL: none */
    rlim_t files;      /* open files that it may have; 0: as many as this process */
    struct rt_janitor janitor;
};

/* cmocka fixture: *state is a struct daemon with its directory, not running. The teardown ends the daemon and a private
 * redis-server that it left, and removes the directory. */
int daemon_setup(void **state);
int daemon_teardown(void **state);

/* Starts it with more flags (NULL-terminated, or NULL); does not wait. */
void daemon_start(struct daemon *daemon, const char *const *more);
/* Until the log has said `part`, `times` times; fails after limit_ms or when the daemon has ended. */
void daemon_until(struct daemon *daemon, const char *part, unsigned times, unsigned limit_ms);
/* Started, and in the store. */
void daemon_up(struct daemon *daemon, const char *const *more);
/* Its exit status (as of wait) within limit_ms. */
int daemon_wait(struct daemon *daemon, unsigned limit_ms);
void daemon_kill(struct daemon *daemon);
/* The log so far. Valid until the next call. */
const char *daemon_log(const struct daemon *daemon);
size_t daemon_said(const struct daemon *daemon, const char *part);
/* For what is started from now on. Freed memory that AddressSanitizer keeps aside, or does not give back yet, looks
 * like growth: with its defaults a hundred MiB of it. */
void daemon_keep_little_freed(void);
/* Resident memory in bytes. */
size_t daemon_rss(const struct daemon *daemon);
/* The pid in the private store's redis.pid, 0 without one. */
pid_t daemon_redis(const struct daemon *daemon);

/* Runs the program to its end with these flags; its stderr and stdout go to out. Returns its exit code. */
int daemon_run(const char *const *flags, char *out, size_t size);

uint64_t test_now_ms(void);
void test_pause(unsigned ms);

#endif
