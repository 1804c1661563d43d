/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/qmp.h"

#include "tests/lib/cluster_process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_LIMIT_MS 60000
#define STEP_MS 5

double vm_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec * 1000.0 + (double)now.tv_nsec / 1e6;
}

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "qmp: %s: %s\n", what, why);
    return -1;
}

/* What follows the field's name and colon, or NULL. */
static const char *find(const char *json, const char *field)
{
    char key[64];
    const char *at;

    (void)snprintf(key, sizeof(key), "\"%s\":", field);
    at = strstr(json, key);
    if (at == NULL) {
        return NULL;
    }
    at += strlen(key);
    return at + strspn(at, " ");
}

bool vm_json_text(const char *json, const char *field, char *out, size_t size)
{
    const char *at = find(json, field);

    if (at == NULL || at[0] != '"') {
        return false;
    }
    at++;
    (void)snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
    return true;
}

bool vm_json_number(const char *json, const char *field, double *value)
{
    const char *at = find(json, field);
    char *end;

    if (at == NULL) {
        return false;
    }
    *value = strtod(at, &end);
    return end != at;
}

static void note_event(struct vm_qmp *qmp, const char *line)
{
    struct vm_qmp_event *event;
    double seconds = 0, micro = 0;

    if (qmp->n_events == VM_QMP_EVENTS_MAX) { /* the oldest ones are of no interest any more */
        memmove(qmp->events, qmp->events + 1, sizeof(qmp->events) - sizeof(qmp->events[0]));
        qmp->n_events--;
    }
    event = &qmp->events[qmp->n_events];
    if (vm_json_text(line, "event", event->name, sizeof(event->name))) {
        (void)vm_json_number(line, "seconds", &seconds);
        (void)vm_json_number(line, "microseconds", &micro);
        event->at_ms = seconds * 1000.0 + micro / 1000.0;
        qmp->n_events++;
    }
}

/* The next line within the time: 1, 0 when none came, -1 when QEMU is gone. */
static int read_line(struct vm_qmp *qmp, char *line, uint64_t until)
{
    for (;;) {
        char *end = memchr(qmp->line, '\n', qmp->have);
        uint64_t now = rt_process_now_ms();
        struct pollfd fd = {.fd = qmp->fd, .events = POLLIN};
        ssize_t n;

        if (end != NULL) {
            size_t size = (size_t)(end - qmp->line) + 1;

            memcpy(line, qmp->line, size);
            line[size - 1] = '\0';
            qmp->have -= size;
            memmove(qmp->line, end + 1, qmp->have);
            return 1;
        }
        if (qmp->have == sizeof(qmp->line)) {
            return fail("read", "the line is too long");
        }
        if (poll(&fd, 1, now < until ? (int)(until - now) : 0) <= 0) {
            if (now >= until) {
                return 0;
            }
            continue;
        }
        n = read(qmp->fd, qmp->line + qmp->have, sizeof(qmp->line) - qmp->have);
        if (n <= 0) {
            return fail("read", n == 0 ? "QEMU has hung up" : strerror(errno));
        }
        qmp->have += (size_t)n;
    }
}

int vm_qmp(struct vm_qmp *qmp, const char *command, char *reply, size_t size)
{
    uint64_t until = rt_process_now_ms() + ANSWER_LIMIT_MS;
    char line[VM_QMP_LINE_MAX];
    int rc;

    if (dprintf(qmp->fd, "%s\n", command) < 0) {
        return fail(command, strerror(errno));
    }
    while ((rc = read_line(qmp, line, until)) == 1) {
        if (strstr(line, "\"event\":") != NULL) {
            note_event(qmp, line);
        } else if (strstr(line, "\"error\":") != NULL) {
            return fail(command, line);
        } else if (strstr(line, "\"return\":") != NULL) {
            if (reply != NULL) {
                (void)snprintf(reply, size, "%s", line);
            }
            return 0;
        }
    }
    return rc == 0 ? fail(command, "no answer") : -1;
}

static bool take_event(struct vm_qmp *qmp, const char *name, double *at_ms)
{
    for (size_t i = 0; i < qmp->n_events; i++) {
        if (strcmp(qmp->events[i].name, name) == 0) {
            *at_ms = qmp->events[i].at_ms;
            qmp->n_events--;
            memmove(&qmp->events[i], &qmp->events[i + 1], (qmp->n_events - i) * sizeof(qmp->events[0]));
            return true;
        }
    }
    return false;
}

int vm_qmp_wait(struct vm_qmp *qmp, const char *event, double *at_ms, unsigned limit_ms)
{
    uint64_t until = rt_process_now_ms() + limit_ms;
    char line[VM_QMP_LINE_MAX];
    int rc;

    while (!take_event(qmp, event, at_ms)) {
        rc = read_line(qmp, line, until);
        if (rc != 1) {
            return rc == 0 ? fail(event, "it did not come") : -1;
        }
        note_event(qmp, line);
    }
    return 0;
}

void vm_qmp_forget(struct vm_qmp *qmp)
{
    qmp->n_events = 0;
}

static int dial(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int vm_qmp_open(struct vm_qmp *qmp, const char *path, pid_t pid, unsigned limit_ms)
{
    uint64_t until = rt_process_now_ms() + limit_ms;

    qmp->have = qmp->n_events = 0;
    while ((qmp->fd = dial(path)) < 0) {
        if (rt_process_now_ms() >= until || rt_process_wait(pid, 0) != RT_PROCESS_LATE) {
            return fail(path, "QEMU does not answer");
        }
        rt_process_sleep_ms(STEP_MS);
    }
    return vm_qmp(qmp, "{\"execute\":\"qmp_capabilities\"}", NULL, 0);
}

void vm_qmp_close(struct vm_qmp *qmp)
{
    if (qmp->fd >= 0) {
        (void)close(qmp->fd);
        qmp->fd = -1;
    }
}
