/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/log.h"

#include "session/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct line {
    char text[RT_LINE_OUT_MAX]; /* a reason and a host of nothing but escapes fit */
    size_t used;                /* at most the size less one; what does not fit is cut */
};

int tether_log_level(const char *text, enum tether_log_level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum tether_log_level)i;
            return RT_OK;
        }
    }
    return RT_EINVAL;
}

void tether_log_init(struct tether_log *log, enum tether_log_level level, bool json)
{
    memset(log, 0, sizeof(*log));
    log->level = level;
    log->json = json || isatty(STDERR_FILENO) == 0;
    log->tokens = TETHER_LOG_BURST * 1000;
    rt_line_out_init(&log->out, STDERR_FILENO);
}

static void put(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof(line->text) - 1 - line->used;

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
    while (left > 0) {
        char json[RT_TEXT_JSON_MAX + 1];
        size_t n, used = rt_text_json(at, left, json, &n);

        put(line, json, n);
        at += used;
        left -= used;
    }
    put_text(line, "\"");
}

/* Words of plain ASCII need no quotes. */
static bool is_word(const char *value)
{
    bool word = value[0] != '\0';

    for (const char *c = value; *c != '\0'; c++) {
        word = word && *c > ' ' && *c < 0x7f && *c != '"' && *c != '\\';
    }
    return word;
}

static void put_field(struct line *line, bool json, const char *name, const char *value)
{
    put_text(line, json ? ",\"" : " ");
    put_text(line, name);
    put_text(line, json ? "\":" : "=");
    if (json || !is_word(value)) {
        put_quoted(line, value);
    } else {
        put_text(line, value);
    }
}

static void put_number(struct line *line, bool json, const char *name, uint64_t value)
{
    char text[64];

    snprintf(text, sizeof(text), json ? ",\"%s\":%" PRIu64 : " %s=%" PRIu64, name, value);
    put_text(line, text);
}

static void begin(struct line *line, bool json, enum tether_log_level level)
{
    struct timeval now;
    struct tm utc;
    char stamp[64];

    line->used = 0;
    (void)gettimeofday(&now, NULL);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(stamp, sizeof(stamp), json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &utc);
    if (json) {
        char millis[8];

        snprintf(millis, sizeof(millis), ".%03dZ", (int)(now.tv_usec / 1000));
        put_text(line, "{\"time\":\"");
        put_text(line, stamp);
        put_text(line, millis);
        put_text(line, "\"");
        put_field(line, true, "level", level_names[level]);
    } else {
        put_text(line, stamp);
        put_text(line, " tether");
        put_text(line, level <= TETHER_LOG_WARN ? ": " : "");
        put_text(line, level <= TETHER_LOG_WARN ? level_names[level] : "");
        put_text(line, ":");
    }
}

static void finish(struct tether_log *log, struct line *line)
{
    char unwritten[64];
    int n = log->out.unwritten > 0
                ? snprintf(unwritten, sizeof(unwritten), log->json ? ",\"unwritten\":%" PRIu64 : " unwritten=%" PRIu64,
                           log->out.unwritten)
                : 0;
    /* A line that was cut still ends as one. */
    size_t limit = sizeof(line->text) - 4 - (size_t)n;

    line->used = line->used < limit ? line->used : limit;
    put(line, unwritten, (size_t)n);
    put_text(line, log->json ? "}\n" : "\n");
    rt_line_out_put(&log->out, line->text, line->used);
}

void tether_log_error(struct tether_log *log, const char *reason)
{
    struct line line;

    begin(&line, log->json, TETHER_LOG_ERROR);
    put_field(&line, log->json, "event", "failed");
    put_field(&line, log->json, "reason", reason);
    finish(log, &line);
}

void tether_log_step(struct tether_log *log, enum tether_log_level level, const char *step, const char *what,
                     const char *reason)
{
    struct line line;

    if (level > log->level) {
        return;
    }
    begin(&line, log->json, level);
    put_field(&line, log->json, "event", "init");
    put_field(&line, log->json, "step", step);
    if (what[0] != '\0') {
        put_field(&line, log->json, "what", what);
    }
    if (reason[0] != '\0') {
        put_field(&line, log->json, "reason", reason);
    }
    finish(log, &line);
}

/* As options take it. */
static void duration(uint64_t ms, char *out, size_t size)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;

    while (ms % units[i].ms != 0) {
        i++;
    }
    snprintf(out, size, "%" PRIu64 "%s", ms / units[i].ms, units[i].unit);
}

void tether_log_stay(struct tether_log *log, const char *container, uint64_t end_timeout_ms)
{
    struct line line;
    char time[32];
    char reason[160];

    if (log->level < TETHER_LOG_WARN) {
        return;
    }
    duration(end_timeout_ms, time, sizeof(time));
    snprintf(reason, sizeof(reason),
             "the command has ended, and there is no agent to take its exit status: stays %s%s for one",
             end_timeout_ms > 0 ? "up to " : "as long as it takes", end_timeout_ms > 0 ? time : "");
    begin(&line, log->json, TETHER_LOG_WARN);
    put_field(&line, log->json, "event", "end");
    put_field(&line, log->json, "container", container);
    put_field(&line, log->json, "reason", reason);
    if (end_timeout_ms > 0) {
        put_field(&line, log->json, "option", "--end-timeout");
    }
    finish(log, &line);
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static enum tether_log_level level_of(struct tether_log *log, const struct retether_guest_event *event, uint64_t now)
{
    if (event->kind == RETETHER_GUEST_PROCESS) {
        return is(event->to, "failed") || is(event->to, "closed") ? TETHER_LOG_WARN : TETHER_LOG_INFO;
    }
    if (is(event->to, "live")) {
        log->down_told = false;
        log->refusal[0] = '\0';
        return TETHER_LOG_INFO;
    }
    if (is(event->to, "over")) {
        return TETHER_LOG_INFO;
    }
    if (is(event->to, "refused")) {
        if (is(log->refusal, event->reason) && now - log->refusal_at < TETHER_LOG_REPEAT_MS) {
            return TETHER_LOG_DEBUG;
        }
        snprintf(log->refusal, sizeof(log->refusal), "%s", event->reason);
        log->refusal_at = now;
        return TETHER_LOG_WARN;
    }
    if (is(event->to, "down") && !is(event->from, "refused") && !log->down_told) {
        log->down_told = true;
        return TETHER_LOG_WARN;
    }
    return TETHER_LOG_DEBUG;
}

static bool admit(struct tether_log *log, uint64_t now)
{
    uint64_t gained = log->filled_at == 0 ? 0 : (now - log->filled_at) * TETHER_LOG_RATE;

    log->filled_at = now;
    log->tokens += gained < TETHER_LOG_BURST * 1000 ? gained : TETHER_LOG_BURST * 1000;
    log->tokens = log->tokens < TETHER_LOG_BURST * 1000 ? log->tokens : TETHER_LOG_BURST * 1000;
    if (log->tokens < 1000) {
        log->left_out++;
        return false;
    }
    log->tokens -= 1000;
    return true;
}

void tether_log_event(struct tether_log *log, const struct retether_guest_event *event, uint64_t now)
{
    enum tether_log_level level = level_of(log, event, now);
    struct line line;

    if (level > log->level || (log->level < TETHER_LOG_DEBUG && !admit(log, now))) {
        return;
    }
    begin(&line, log->json, level);
    put_field(&line, log->json, "event", event->kind == RETETHER_GUEST_LINK ? "link" : "process");
    put_field(&line, log->json, "container", event->container);
    put_number(&line, log->json, "life", event->life);
    put_number(&line, log->json, "epoch", event->epoch);
    if (event->kind == RETETHER_GUEST_PROCESS) {
        put_number(&line, log->json, "process", event->process);
    }
    put_field(&line, log->json, "from", event->from);
    put_field(&line, log->json, "to", event->to);
    if (event->host[0] != '\0') {
        put_field(&line, log->json, "host", event->host);
    }
    if (event->reason[0] != '\0') {
        put_field(&line, log->json, "reason", event->reason);
    }
    if (event->resent > 0) {
        put_number(&line, log->json, "resent", event->resent);
    }
    if (log->left_out > 0) {
        put_number(&line, log->json, "left_out", log->left_out);
        log->left_out = 0;
    }
    finish(log, &line);
}
