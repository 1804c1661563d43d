/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_LINE_OUT_H
#define RETETHER_SESSION_BASE_LINE_OUT_H

#include <stddef.h>
#include <stdint.h>

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
void rt_line_out_close(struct rt_line_out *out);
/* size <= RT_LINE_OUT_MAX. Sets `unwritten` to 0 when the line was taken; who makes a line tells it before. */
void rt_line_out_put(struct rt_line_out *out, const char *line, size_t size);

#endif
