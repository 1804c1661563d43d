/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/log.h"

#include "session/base/units.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tether_log_init(struct tether_log *log, enum rt_log_level level, bool json)
{
    memset(log, 0, sizeof(*log));
    rt_log_open(&log->sink, STDERR_FILENO, level, json ? RT_LOG_JSON : RT_LOG_AUTO, "tether");
}

void tether_log_error(struct tether_log *log, const char *reason)
{
    struct rt_log_line line;

    rt_log_begin(&line, &log->sink, RT_LOG_ERROR, "failed");
    rt_log_field(&line, "reason", reason);
    rt_log_end(&line);
}

void tether_log_step(struct tether_log *log, enum rt_log_level level, const char *step, const char *what,
                     const char *reason)
{
    struct rt_log_line line;

    if (level > log->sink.level) {
        return;
    }
    rt_log_begin(&line, &log->sink, level, "init");
    rt_log_field(&line, "step", step);
    rt_log_field(&line, "what", what);
    rt_log_field(&line, "reason", reason);
    rt_log_end(&line);
}

void tether_log_stay(struct tether_log *log, const char *container, uint64_t end_timeout_ms)
{
    struct rt_log_line line;
    char time[32];
    char reason[160];

    if (log->sink.level < RT_LOG_WARN) {
        return;
    }
    rt_duration_text(end_timeout_ms, time, sizeof(time));
    snprintf(reason, sizeof(reason),
             "the command has ended, and there is no agent to take its exit status: stays %s%s for one",
             end_timeout_ms > 0 ? "up to " : "as long as it takes", end_timeout_ms > 0 ? time : "");
    rt_log_begin(&line, &log->sink, RT_LOG_WARN, "end");
    rt_log_field(&line, "container", container);
    rt_log_field(&line, "reason", reason);
    rt_log_field(&line, "option", end_timeout_ms > 0 ? "--end-timeout" : "");
    rt_log_end(&line);
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static enum rt_log_level level_of(struct tether_log *log, const struct retether_guest_event *event, uint64_t now)
{
    if (event->kind == RETETHER_GUEST_PROCESS) {
        return is(event->to, "failed") || is(event->to, "closed") ? RT_LOG_WARN : RT_LOG_INFO;
    }
    if (is(event->to, "live")) {
        log->down_told = false;
        log->refusal[0] = '\0';
        return RT_LOG_INFO;
    }
    if (is(event->to, "over")) {
        return RT_LOG_INFO;
    }
    if (is(event->to, "refused")) {
        if (is(log->refusal, event->reason) && now - log->refusal_at < TETHER_LOG_REPEAT_MS) {
            return RT_LOG_DEBUG;
        }
        snprintf(log->refusal, sizeof(log->refusal), "%s", event->reason);
        log->refusal_at = now;
        return RT_LOG_WARN;
    }
    if (is(event->to, "down") && !is(event->from, "refused") && !log->down_told) {
        log->down_told = true;
        return RT_LOG_WARN;
    }
    return RT_LOG_DEBUG;
}

void tether_log_event(struct tether_log *log, const struct retether_guest_event *event, uint64_t now)
{
    enum rt_log_level level = level_of(log, event, now);
    struct rt_log_line line;

    if (level > log->sink.level ||
        (log->sink.level < RT_LOG_DEBUG && !rt_log_admit(&log->budget, TETHER_LOG_BURST, TETHER_LOG_RATE, now))) {
        return;
    }
    rt_log_begin(&line, &log->sink, level, event->kind == RETETHER_GUEST_LINK ? "link" : "process");
    rt_log_field(&line, "container", event->container);
    rt_log_number(&line, "life", event->life);
    rt_log_number(&line, "epoch", event->epoch);
    if (event->kind == RETETHER_GUEST_PROCESS) {
        rt_log_number(&line, "process", event->process);
    }
    rt_log_field(&line, "from", event->from);
    rt_log_field(&line, "to", event->to);
    rt_log_field(&line, "host", event->host);
    rt_log_field(&line, "reason", event->reason);
    rt_log_count(&line, "resent", event->resent);
    rt_log_suppressed(&line, &log->budget);
    rt_log_end(&line);
}
