/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_LOG_H
#define RETETHER_BROKER_LOG_H

#include "broker/core/agent.h"
#include "session/base/log.h"

#include <stdbool.h>
#include <stdint.h>

/* One line per transition. Each kind of line has its own bucket of RT_LOG_BURST lines that fills with RT_LOG_RATE lines
 * a second, so that a flood of one kind hides no other; the next line of that kind says how many were suppressed. */

#define RT_LOG_BURST UINT64_C(200)
#define RT_LOG_RATE UINT64_C(20)

/* Kinds beyond those of the agent's events. */
enum rt_log_kind {
    RT_LOG_AGENT = RT_AGENT_STORE + 1, /* start, stop, configuration */
    RT_LOG_LISTENER,
    RT_LOG_STORE, /* the store's own words */
    RT_LOG_DISK,
    RT_LOG_VM,
    RT_LOG_KINDS,
};

struct rt_log {
    struct rt_log_sink sink;
    struct rt_log_budget budgets[RT_LOG_KINDS];
};

void rt_log_init(struct rt_log *log, int fd, enum rt_log_level level, enum rt_log_format format);

/* A transition of the agent's machine. now: milliseconds of a monotonic clock. */
void rt_log_event(struct rt_log *log, const struct rt_agent_event *event, uint64_t now);

/* A transition of the shell: event=NAME reason=..., for what belongs to no session. */
void rt_log_note(struct rt_log *log, enum rt_log_level level, enum rt_log_kind kind, const char *name, uint64_t now,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Says what is suppressed and not said yet. Called now and then. */
void rt_log_flush(struct rt_log *log, uint64_t now);

#endif
