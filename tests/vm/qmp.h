/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_QMP_H
#define RETETHER_TESTS_VM_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* QEMU's monitor protocol: a JSON object a line over a unix socket. Commands are written as text and answers are
 * searched as text: QEMU is ours, its lines are well-formed. Calls block for a bounded time. */

#define VM_QMP_LINE_MAX 16384
#define VM_QMP_EVENTS_MAX 64

struct vm_qmp_event {
    char name[32];
    double at_ms; /* QEMU's own stamp, as vm_now_ms() */
};

struct vm_qmp {
    int fd; /* -1: none */
    char line[VM_QMP_LINE_MAX];
    size_t have;
    struct vm_qmp_event events[VM_QMP_EVENTS_MAX]; /* not yet asked for */
    size_t n_events;
};

/* Milliseconds of the real-time clock, with which QEMU stamps its events. */
double vm_now_ms(void);

/* Connects while the process lives, and says hello. 0, or -1 with a text on stderr. */
int vm_qmp_open(struct vm_qmp *qmp, const char *path, pid_t pid, unsigned limit_ms);
void vm_qmp_close(struct vm_qmp *qmp);

/* Runs one command, e.g. {"execute":"stop"}; its answer goes to reply, which may be NULL. -1 with a text on stderr also
 * when the answer is an error. */
int vm_qmp(struct vm_qmp *qmp, const char *command, char *reply, size_t size);
/* Until an event of this name has come; takes it out. */
int vm_qmp_wait(struct vm_qmp *qmp, const char *event, double *at_ms, unsigned limit_ms);
/* Forgets the events that have come. */
void vm_qmp_forget(struct vm_qmp *qmp);

/* The value of the first field of this name anywhere in the text. False: there is none. */
bool vm_json_text(const char *json, const char *field, char *out, size_t size);
bool vm_json_number(const char *json, const char *field, double *value);

#endif
