/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/log.h"

#include "session/base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FULL (RT_LOG_BURST * 1000)

const char *const rt_log_levels[] = {"error", "warn", "info", "debug", NULL};
const char *const rt_log_formats[] = {"auto", "text", "json", NULL};

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
    [RT_AGENT_SESSION_STATE] = {"session", RT_LOG_INFO},
    [RT_AGENT_ATTACHED] = {"attached", RT_LOG_INFO},
    [RT_AGENT_DETACHED] = {"detached", RT_LOG_INFO},
    [RT_AGENT_ENDED] = {"ended", RT_LOG_INFO},
    [RT_AGENT_STORE] = {"store", RT_LOG_WARN},
    [RT_LOG_AGENT] = {"agent", RT_LOG_INFO},
    [RT_LOG_LISTENER] = {"listener", RT_LOG_INFO},
    [RT_LOG_DIRECTORY] = {"store-says", RT_LOG_INFO},
    [RT_LOG_DISK] = {"disk", RT_LOG_INFO},
};

struct line {
    bool json;
    char text[RT_LOG_LINE_MAX];
    size_t used;
};

void rt_log_init(struct rt_log *log, int fd, enum rt_log_level level, enum rt_log_format format)
{
    memset(log, 0, sizeof *log);
    rt_line_out_init(&log->out, fd);
    log->level = level;
    log->json = format == RT_LOG_JSON || (format == RT_LOG_AUTO && isatty(fd) == 0);
}

static void put(struct line *line, const char *text, size_t size)
{
    /* Room stays for what ends a line, so that one that was cut still ends as one. */
    size_t room = sizeof line->text - 4 - line->used;

    size = size < room ? size : room;
    memcpy(line->text + line->used, text, size);
    line->used += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_quoted(struct line *line, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text);

    put_text(line, "\"");
    while (left > 0 && line->used + RT_TEXT_JSON_MAX < sizeof line->text - 4) {
        char json[RT_TEXT_JSON_MAX + 1];
        size_t n, used = rt_text_json(at, left, json, &n);

        put(line, json, n);
        at += used;
        left -= used;
    }
    put_text(line, "\"");
}

static void put_field(struct line *line, const char *name, const char *value)
{
    bool plain = value[0] != '\0';

    for (const char *c = value; *c != '\0'; c++) {
        plain = plain && *c > ' ' && *c < 0x7f && *c != '"' && *c != '\\';
    }
    put_text(line, line->json ? ",\"" : " ");
    put_text(line, name);
    put_text(line, line->json ? "\":" : "=");
    if (line->json || !plain) {
        put_quoted(line, value);
    } else {
        put_text(line, value);
    }
}

static void put_number(struct line *line, const char *name, uint64_t value)
{
    char text[64];

    (void)snprintf(text, sizeof text, line->json ? ",\"%s\":%" PRIu64 : " %s=%" PRIu64, name, value);
    put_text(line, text);
}

static void begin(struct line *line, bool json, enum rt_log_level level, const char *event)
{
    struct timeval now;
    struct tm utc;
    char stamp[40], millis[8];

    line->used = 0;
    line->json = json;
    (void)gettimeofday(&now, NULL);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(stamp, sizeof stamp, json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &utc);
    (void)snprintf(millis, sizeof millis, ".%03u", (unsigned)(now.tv_usec / 1000) % 1000);
    put_text(line, json ? "{\"time\":\"" : "");
    put_text(line, stamp);
    put_text(line, millis);
    put_text(line, json ? "Z\"" : "");
    put_field(line, "level", rt_log_levels[level]);
    put_field(line, "event", event);
}

static void finish(struct rt_log *log, struct line *line)
{
    if (log->out.unwritten > 0) {
        put_number(line, "unwritten", log->out.unwritten);
    }
    memcpy(line->text + line->used, line->json ? "}\n" : "\n", line->json ? 2 : 1);
    line->used += line->json ? 2 : 1;
    rt_line_out_put(&log->out, line->text, line->used);
}

static bool admit(struct rt_log *log, unsigned kind, uint64_t now)
{
    uint64_t past = now > log->buckets[kind].filled_ms ? now - log->buckets[kind].filled_ms : 0;
    uint64_t *tokens = &log->buckets[kind].tokens;

    if (log->buckets[kind].filled_ms == 0 || past > FULL / RT_LOG_RATE) {
        *tokens = FULL;
    } else {
        *tokens += past * RT_LOG_RATE;
        *tokens = *tokens < FULL ? *tokens : FULL;
    }
    log->buckets[kind].filled_ms = now == 0 ? 1 : now;
    if (*tokens < 1000) {
        log->buckets[kind].suppressed++;
        return false;
    }
    *tokens -= 1000;
    return true;
}

static void put_suppressed(struct rt_log *log, struct line *line, unsigned kind)
{
    if (log->buckets[kind].suppressed > 0) {
        put_number(line, "suppressed", log->buckets[kind].suppressed);
        log->buckets[kind].suppressed = 0;
    }
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
    struct line line;

    if (level > log->level || !admit(log, event->kind, now)) {
        return;
    }
    begin(&line, log->json, level, kinds[event->kind].name);
    if (event->key.cid[0] != '\0') {
        put_field(&line, "tenant", event->key.tenant);
        put_field(&line, "container", event->key.cid);
        put_number(&line, "life", event->life);
        put_number(&line, "epoch", event->epoch);
    }
    if (event->link != 0) {
        put_number(&line, "link", event->link);
    }
    if (event->from[0] != '\0') {
        put_field(&line, "from", event->from);
    }
    if (event->to[0] != '\0') {
        put_field(&line, "to", event->to);
    }
    if (event->reason[0] != '\0') {
        put_field(&line, "reason", event->reason);
    }
    put_suppressed(log, &line, event->kind);
    finish(log, &line);
}

void rt_log_note(struct rt_log *log, enum rt_log_level level, enum rt_log_kind kind, const char *name, uint64_t now,
                 const char *format, ...)
{
    char reason[1024];
    struct line line;
    va_list args;

    if (level > log->level || !admit(log, kind, now)) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    begin(&line, log->json, level, name);
    put_field(&line, "reason", reason);
    put_suppressed(log, &line, kind);
    finish(log, &line);
}

void rt_log_flush(struct rt_log *log, uint64_t now)
{
    for (unsigned kind = 0; kind < RT_LOG_KINDS; kind++) {
        struct line line;

        if (log->buckets[kind].suppressed == 0 || !admit(log, kind, now)) {
            continue;
        }
        begin(&line, log->json, kinds[kind].level, kinds[kind].name);
        put_field(&line, "reason", "lines were suppressed");
        put_suppressed(log, &line, kind);
        finish(log, &line);
    }
}
