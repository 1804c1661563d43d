/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_LOG_H
#define RETETHER_SESSION_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lines of a log: text for people on a terminal, JSON lines otherwise.
 *
 *     12:34:56.789 tether: level=warn event=link from=live to=down reason="connection reset"
 *     {"time":"2024-02-29T12:34:56.789Z","level":"warn","event":"link","from":"live","to":"down",...}
 *
 * A descriptor that takes nothing (a pipe whose reader has stopped, a serial console that is held up) loses lines
 * rather than stop the program; the next line that is taken has their number as `unwritten`. */

/* Lines of a log to a descriptor that may take nothing: a pipe whose reader has stopped, a serial console that is held
 * up. It never waits: a line that finds no room is lost, and counted.
 *
 * O_NONBLOCK belongs to the open file, which other programs may share. So a pipe or a terminal is opened anew through
 * /proc; where that fails, poll() is asked before each write, which holds for pipes. A socket needs neither. A regular
 * file keeps its own place, and its disk is waited for. */

/* Bytes of a line, the newline included; a pipe takes as much whole (PIPE_BUF). A longer one is cut by who makes it. */
#define RT_LINE_OUT_MAX 4096

struct rt_line_out {
    int fd;
    int given;          /* the caller's; fd is another one where it could be opened anew */
    uint64_t unwritten; /* lines that were lost since the last that was not */
    size_t rest_size;   /* of a line that a terminal took in part: goes before the next */
    char rest[RT_LINE_OUT_MAX];
};

/* fd stays the caller's. */
void rt_line_out_init(struct rt_line_out *out, int fd);
/* size <= RT_LINE_OUT_MAX. Sets `unwritten` to 0 when the line was taken; who makes a line tells it before. */
void rt_line_out_put(struct rt_line_out *out, const char *line, size_t size);

enum rt_log_level { RT_LOG_ERROR, RT_LOG_WARN, RT_LOG_INFO, RT_LOG_DEBUG };
enum rt_log_format { RT_LOG_AUTO, RT_LOG_TEXT, RT_LOG_JSON };

extern const char *const rt_log_levels[];  /* NULL-terminated, by the enum's numbers */
extern const char *const rt_log_formats[]; /* the same */

struct rt_log_sink {
    struct rt_line_out out;
    enum rt_log_level level; /* for who writes: lines above it are not begun */
    bool json;
    const char *program; /* not owned: named in text, where others write to the same terminal; NULL: not named */
};

/* A line being made. What does not fit in RT_LINE_OUT_MAX bytes is cut, or left out; the line still ends as one. */
struct rt_log_line {
    struct rt_log_sink *sink;
    size_t used;
    char text[RT_LINE_OUT_MAX];
};

/* RT_LOG_AUTO: text on a terminal, else JSON. fd stays the caller's. */
void rt_log_open(struct rt_log_sink *sink, int fd, enum rt_log_level level, enum rt_log_format format,
                 const char *program);
void rt_log_begin(struct rt_log_line *line, struct rt_log_sink *sink, enum rt_log_level level, const char *event);
/* An empty value is left out, and so is a number that is 0 with rt_log_count(). */
void rt_log_field(struct rt_log_line *line, const char *name, const char *value);
void rt_log_number(struct rt_log_line *line, const char *name, uint64_t value);
void rt_log_count(struct rt_log_line *line, const char *name, uint64_t value);
/* Writes the line. */
void rt_log_end(struct rt_log_line *line);

/* How many lines may be written: a bucket that fills with `rate` lines a second up to `burst`. */
struct rt_log_budget {
    uint64_t tokens;     /* thousandths of a line */
    uint64_t filled_ms;  /* 0: never used, so full */
    uint64_t suppressed; /* lines that found it empty; who tells of them sets it to 0 */
};

/* Takes a line from the bucket. Returns false when it is empty. now: milliseconds of a monotonic clock. */
bool rt_log_admit(struct rt_log_budget *budget, uint64_t burst, uint64_t rate, uint64_t now);
/* Adds how many lines were suppressed before this one. */
void rt_log_suppressed(struct rt_log_line *line, struct rt_log_budget *budget);

#endif
