/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/log.h"

#include "session/base/clock.h"
#include "session/base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that stay free for what ends a line: `unwritten`, a bracket and the newline. */
#define TAIL_ROOM 48

const char *const rt_log_levels[] = {"error", "warn", "info", "debug", NULL};
const char *const rt_log_formats[] = {"auto", "text", "json", NULL};

/* ---- the descriptor ---- */

/* Opens the given pipe or terminal anew, without waiting. Tried again with each line until it succeeds: a process 1 has
 * a log before it has /proc. */
static void open_anew(struct rt_line_out *out)
{
    char path[32];
    struct stat what;
    int flags = fcntl(out->given, F_GETFL), fd;

    if (out->fd != out->given || (flags >= 0 && (flags & O_NONBLOCK) != 0) || fstat(out->given, &what) != 0 ||
        (!S_ISFIFO(what.st_mode) && !S_ISCHR(what.st_mode))) {
        return;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", out->given);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        out->fd = fd;
    }
}

void rt_line_out_init(struct rt_line_out *out, int fd)
{
    out->fd = out->given = fd;
    out->unwritten = 0;
    out->rest_size = 0;
    open_anew(out);
}

/* Returns how many bytes were taken; 0: none now. */
static size_t write_some(const struct rt_line_out *out, const char *data, size_t size)
{
    struct pollfd room = {.fd = out->fd, .events = POLLOUT};
    ssize_t n = send(out->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno == ENOTSOCK) {
        if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) {
            return 0;
        }
        n = write(out->fd, data, size);
    }
    return n > 0 ? (size_t)n : 0;
}

void rt_line_out_put(struct rt_line_out *out, const char *line, size_t size)
{
    size_t n;

    assert(size <= RT_LINE_OUT_MAX);
    open_anew(out);
    if (out->rest_size > 0) {
        n = write_some(out, out->rest, out->rest_size);
        out->rest_size -= n;
        memmove(out->rest, out->rest + n, out->rest_size);
    }
    n = out->rest_size == 0 ? write_some(out, line, size) : 0;
    if (n == 0) {
        out->unwritten++;
        return;
    }
    out->unwritten = 0;
    out->rest_size = size - n;
    memcpy(out->rest, line + n, out->rest_size);
}

/* ---- lines ---- */

void rt_log_open(struct rt_log_sink *sink, int fd, enum rt_log_level level, enum rt_log_format format,
                 const char *program)
{
    rt_line_out_init(&sink->out, fd);
    sink->level = level;
    sink->json = format == RT_LOG_JSON || (format == RT_LOG_AUTO && isatty(fd) == 0);
    sink->program = program;
}

static size_t room(const struct rt_log_line *line)
{
    return sizeof(line->text) - TAIL_ROOM - line->used;
}

/* The caller has looked whether it fits. */
static void put(struct rt_log_line *line, const char *text, size_t size)
{
    memcpy(line->text + line->used, text, size);
    line->used += size;
}

/* Words of plain ASCII need no quotes. */
static bool is_word(const char *value)
{
    bool word = true;

    for (const char *c = value; *c != '\0'; c++) {
        word = word && *c > ' ' && *c < 0x7f && *c != '"' && *c != '\\';
    }
    return word;
}

void rt_log_field(struct rt_log_line *line, const char *name, const char *value)
{
    char head[64];
    size_t size = strlen(value);
    int n = snprintf(head, sizeof(head), line->sink->json ? ",\"%s\":" : " %s=", name);

    if (size == 0 || n < 0 || (size_t)n >= sizeof(head) || (size_t)n + 2 + RT_TEXT_JSON_MAX > room(line)) {
        return;
    }
    put(line, head, (size_t)n);
    if (line->sink->json || !is_word(value)) {
        line->used += rt_text_quote(value, line->text + line->used, room(line));
    } else {
        put(line, value, size < room(line) ? size : room(line));
    }
}

/* free: bytes of the line that it may use. */
static void put_number(struct rt_log_line *line, size_t free, const char *name, uint64_t value)
{
    char text[80];
    int n = snprintf(text, sizeof(text), line->sink->json ? ",\"%s\":%" PRIu64 : " %s=%" PRIu64, name, value);

    if (n > 0 && (size_t)n < sizeof(text) && (size_t)n <= free) {
        put(line, text, (size_t)n);
    }
}

void rt_log_number(struct rt_log_line *line, const char *name, uint64_t value)
{
    put_number(line, room(line), name, value);
}

void rt_log_count(struct rt_log_line *line, const char *name, uint64_t value)
{
    if (value > 0) {
        rt_log_number(line, name, value);
    }
}

void rt_log_begin(struct rt_log_line *line, struct rt_log_sink *sink, enum rt_log_level level, const char *event)
{
    char time[40];
    int n;

    line->sink = sink;
    rt_time_text(rt_wall_ms(), time, sizeof(time));
    if (sink->json) {
        n = snprintf(line->text, sizeof(line->text), "{\"time\":\"%s\"", time);
    } else {
        n = snprintf(line->text, sizeof(line->text), "%.12s%s%.40s%s", time + strcspn(time, "T") + 1,
                     sink->program != NULL ? " " : "", sink->program != NULL ? sink->program : "",
                     sink->program != NULL ? ":" : "");
    }
    line->used = (size_t)n;
    rt_log_field(line, "level", rt_log_levels[level]);
    rt_log_field(line, "event", event);
}

void rt_log_end(struct rt_log_line *line)
{
    struct rt_log_sink *sink = line->sink;

    if (sink->out.unwritten > 0) {
        put_number(line, sizeof(line->text) - line->used - 2, "unwritten", sink->out.unwritten);
    }
    put(line, sink->json ? "}\n" : "\n", sink->json ? 2 : 1);
    rt_line_out_put(&sink->out, line->text, line->used);
}

bool rt_log_admit(struct rt_log_budget *budget, uint64_t burst, uint64_t rate, uint64_t now)
{
    uint64_t full = burst * 1000;
    uint64_t past = now > budget->filled_ms ? now - budget->filled_ms : 0;

    if (budget->filled_ms == 0 || past > full / rate) {
        budget->tokens = full;
    } else {
        budget->tokens += past * rate;
        budget->tokens = budget->tokens < full ? budget->tokens : full;
    }
    budget->filled_ms = now == 0 ? 1 : now;
    if (budget->tokens < 1000) {
        budget->suppressed++;
        return false;
    }
    budget->tokens -= 1000;
    return true;
}

void rt_log_suppressed(struct rt_log_line *line, struct rt_log_budget *budget)
{
    rt_log_count(line, "suppressed", budget->suppressed);
    budget->suppressed = 0;
}
