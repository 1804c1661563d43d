/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_CLUSTER_PROCESS_H
#define RETETHER_TESTS_LIB_CLUSTER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Child processes of tests. Each gets SIGKILL when the thread that started it ends, however it ends. All calls block
 * for a bounded time. */

#define RT_PROCESS_PATH 256
#define RT_PROCESS_ENV_MAX 8
/* The status of a process that had to be killed because its time was over. */
#define RT_PROCESS_LATE (-1)

/* The path of one of our programs, from the place of the running one: DIR/bin/NAME or DIR/tests/NAME beside it. */
void rt_process_program(const char *name, char path[RT_PROCESS_PATH]);

struct rt_process_spec {
    const char *const *argv;             /* NULL-terminated; without a slash it is one of ours, or of PATH */
    const char *env[RT_PROCESS_ENV_MAX]; /* "NAME=value" on top of the environment without its RETETHER_… */
    int in, out, err;                    /* descriptors, or -1: /dev/null, and the log for out and err */
    const char *log;                     /* appended to; NULL: /dev/null */
    bool terminal;                       /* `in` becomes its controlling terminal, in a session of its own */
};

/* Descriptors -1, the rest empty. */
void rt_process_spec_init(struct rt_process_spec *spec, const char *const *argv);
/* The pid, or -1 with a text on stderr. Descriptors stay the caller's. */
pid_t rt_process_start(const struct rt_process_spec *spec);
/* Its exit code, 128 + n for a signal, or RT_PROCESS_LATE: then it still runs. */
int rt_process_wait(pid_t pid, unsigned limit_ms);
/* SIGKILL and wait; 0 and -1 are ignored. */
void rt_process_kill(pid_t pid);

/* A program run to its end. */
struct rt_process_run {
    int status;
    char *out, *err; /* owned, NUL-terminated */
    size_t out_size, err_size;
};

/* Feeds `input` to its stdin, then ends that; collects both outputs up to 64 MiB each. Kills it after the limit. 0, or
 * -1 when it could not be started. To be released with rt_process_run_free(). */
int rt_process_run(const struct rt_process_spec *spec, const void *input, size_t input_size, unsigned limit_ms,
                   struct rt_process_run *run);
void rt_process_run_free(struct rt_process_run *run);

/* Milliseconds of the monotonic clock. */
uint64_t rt_process_now_ms(void);
void rt_process_sleep_ms(unsigned ms);

/* Removes directories when this process has ended, however it ended. */
struct rt_janitor {
    pid_t pid;
    int fd; /* its command pipe */
};

int rt_janitor_start(struct rt_janitor *janitor);
void rt_janitor_remove(struct rt_janitor *janitor, const char *directory);
/* SIGKILL first for the process whose number stands in this file then, if there is one. */
void rt_janitor_kill(struct rt_janitor *janitor, const char *pid_file);
/* Deletes this network namespace then. */
void rt_janitor_netns(struct rt_janitor *janitor, const char *name);
/* Nothing will be removed or killed; namespaces are deleted all the same. */
void rt_janitor_forget(struct rt_janitor *janitor);
/* Kills and removes what it was told, now, and waits for that. */
void rt_janitor_finish(struct rt_janitor *janitor);

#endif
