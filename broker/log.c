/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum rt_log_level level;
} kinds[RT_LOG_KINDS] = {
    [RT_AGENT_LINK_OPENED] = {"link-opened", RT_LOG_INFO},
    [RT_AGENT_LINK_CLOSED] = {"link-closed", RT_LOG_INFO},
    [RT_AGENT_REFUSED] = {"refused", RT_LOG_WARN},
    [RT_AGENT_CLAIMED] = {"claimed", RT_LOG_INFO},
    [RT_AGENT_PROVISIONAL] = {"provisional", RT_LOG_WARN},
    [RT_AGENT_FORKED] = {"forked", RT_LOG_ERROR},
    [RT_AGENT_FORBIDDEN] = {"forbidden", RT_LOG_WARN},
    [RT_AGENT_KICKED] = {"kicked", RT_LOG_WARN},
    [RT_AGENT_REVOKED] = {"revoked", RT_LOG_WARN},
    [RT_AGENT_DRAINS] = {"drains", RT_LOG_WARN},
    [RT_AGENT_LIMIT] = {"limit", RT_LOG_WARN},
    [RT_AGENT_SESSION_STATE] = {"session", RT_LOG_INFO},
    [RT_AGENT_ATTACHED] = {"attached", RT_LOG_INFO},
    [RT_AGENT_DETACHED] = {"detached", RT_LOG_INFO},
    [RT_AGENT_ENDED] = {"ended", RT_LOG_INFO},
    [RT_AGENT_STORE] = {"store", RT_LOG_WARN},
    [RT_LOG_AGENT] = {"agent", RT_LOG_INFO},
    [RT_LOG_LISTENER] = {"listener", RT_LOG_INFO},
    [RT_LOG_STORE] = {"store-says", RT_LOG_INFO},
    [RT_LOG_DISK] = {"disk", RT_LOG_INFO},
    [RT_LOG_VM] = {"vm", RT_LOG_INFO},
};

void rt_log_init(struct rt_log *log, int fd, enum rt_log_level level, enum rt_log_format format)
{
    memset(log, 0, sizeof(*log));
    rt_log_open(&log->sink, fd, level, format, NULL);
}

static bool admit(struct rt_log *log, unsigned kind, uint64_t now)
{
    return rt_log_admit(&log->budgets[kind], RT_LOG_BURST, RT_LOG_RATE, now);
}

/* A worse level than its kind's where the state says so. */
static enum rt_log_level level_of(const struct rt_agent_event *event)
{
    if (event->kind == RT_AGENT_SESSION_STATE && strcmp(event->to, "lost") == 0) {
        return RT_LOG_WARN;
    }
    if (event->kind == RT_AGENT_STORE && strcmp(event->to, "up") == 0) {
        return RT_LOG_INFO;
    }
    return kinds[event->kind].level;
}

void rt_log_event(struct rt_log *log, const struct rt_agent_event *event, uint64_t now)
{
    enum rt_log_level level = level_of(event);
    struct rt_log_line line;

    if (level > log->sink.level || !admit(log, event->kind, now)) {
        return;
    }
    rt_log_begin(&line, &log->sink, level, kinds[event->kind].name);
    if (event->key.cid[0] != '\0') {
        rt_log_field(&line, "tenant", event->key.tenant);
        rt_log_field(&line, "container", event->key.cid);
        rt_log_number(&line, "life", event->life);
        rt_log_number(&line, "epoch", event->epoch);
    }
    rt_log_count(&line, "link", event->link);
    rt_log_field(&line, "from", event->from);
    rt_log_field(&line, "to", event->to);
    rt_log_field(&line, "reason", event->reason);
    rt_log_suppressed(&line, &log->budgets[event->kind]);
    rt_log_end(&line);
}

static void note(struct rt_log *log, enum rt_log_level level, unsigned kind, const char *name, const char *reason)
{
    struct rt_log_line line;

    rt_log_begin(&line, &log->sink, level, name);
    rt_log_field(&line, "reason", reason);
    rt_log_suppressed(&line, &log->budgets[kind]);
    rt_log_end(&line);
}

void rt_log_note(struct rt_log *log, enum rt_log_level level, enum rt_log_kind kind, const char *name, uint64_t now,
                 const char *format, ...)
{
    char reason[1024];
    va_list args;

    if (level > log->sink.level || !admit(log, kind, now)) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    note(log, level, kind, name, reason);
}

void rt_log_flush(struct rt_log *log, uint64_t now)
{
    for (unsigned kind = 0; kind < RT_LOG_KINDS; kind++) {
        if (log->budgets[kind].suppressed > 0 && admit(log, kind, now)) {
            note(log, kinds[kind].level, kind, kinds[kind].name, "lines were suppressed");
        }
    }
}
