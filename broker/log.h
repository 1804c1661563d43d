/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_LOG_H
#define RETETHER_BROKER_LOG_H

#include "broker/core/agent.h"
#include "session/base/line_out.h"

#include <stdbool.h>
#include <stdint.h>

/* One line per transition on a descriptor: text for people on a terminal, JSON lines otherwise. Each kind of line has
 * its own bucket of RT_LOG_BURST lines that fills with RT_LOG_RATE lines a second, so that a flood of one kind hides no
 * other; a line that finds it empty is counted, and the next of its kind says how many were suppressed. A descriptor
 * that takes nothing (a pipe whose reader has stopped) loses lines rather than stop the agent; they are counted. */

#define RT_LOG_BURST UINT64_C(200)
#define RT_LOG_RATE UINT64_C(20)
/* Bytes of a line, the newline included; what does not fit is cut. A pipe takes as much whole. */
#define RT_LOG_LINE_MAX 2048

enum rt_log_level { RT_LOG_ERROR, RT_LOG_WARN, RT_LOG_INFO, RT_LOG_DEBUG };
enum rt_log_format { RT_LOG_AUTO, RT_LOG_TEXT, RT_LOG_JSON };

/* Kinds beyond those of the agent's events. */
enum rt_log_kind {
    RT_LOG_AGENT = RT_AGENT_STORE + 1, /* start, stop, configuration */
    RT_LOG_LISTENER,
    RT_LOG_DIRECTORY, /* the store's own words */
    RT_LOG_DISK,
    RT_LOG_KINDS,
};

struct rt_log {
    struct rt_line_out out;
    enum rt_log_level level;
    bool json;
    struct {
        uint64_t tokens;    /* thousandths of a line */
        uint64_t filled_ms; /* 0: never used */
        uint64_t suppressed;
    } buckets[RT_LOG_KINDS];
};

extern const char *const rt_log_levels[];  /* NULL-terminated */
extern const char *const rt_log_formats[]; /* NULL-terminated */

void rt_log_init(struct rt_log *log, int fd, enum rt_log_level level, enum rt_log_format format);

/* A transition of the agent's machine. now: milliseconds of a monotonic clock. */
void rt_log_event(struct rt_log *log, const struct rt_agent_event *event, uint64_t now);

/* A transition of the shell: event=NAME reason=..., for what belongs to no session. */
void rt_log_note(struct rt_log *log, enum rt_log_level level, enum rt_log_kind kind, const char *name, uint64_t now,
                 const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Says what is suppressed and not said yet. Called now and then. */
void rt_log_flush(struct rt_log *log, uint64_t now);

#endif
