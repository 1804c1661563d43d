/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_STDIO_H
#define RETETHER_CLIENTS_CLI_STDIO_H

#include "session/base/error.h"
#include "session/base/gather.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

/* The program's own stdin, stdout and stderr on a loop, whatever they are: terminals, pipes, sockets, files, /dev/null.
 *
 * They are shared: the shell that started this program, and others in its pipeline, have the same open file
 * descriptions, and O_NONBLOCK belongs to the description. So it is never set on them. Readiness comes from an epoll
 * descriptor of our own that watches the shared one (uv_poll would set O_NONBLOCK on what it watches: here that is the
 * epoll descriptor). After it a read does not block. A write might, if it is larger than the room: so pipes and
 * terminals are opened once more through /proc/self/fd, which makes a description of our own that may be non-blocking;
 * sockets are sent to with MSG_DONTWAIT; where neither works, writes are PIPE_BUF bytes at most and each is preceded
 * by a poll(2), which for pipes is enough. Files, and what epoll refuses, are always ready: an event descriptor stands
 * for them. */

/* Bytes of one read. */
#define CLI_READ_MAX 65536
/* A pipe that is read gets at least this capacity, in bytes. */
#define CLI_PIPE 262144

struct cli_waiter { /* tells that a descriptor is ready */
    void *data;     /* the owner's */
    void (*cb)(struct cli_waiter *waiter);
    int ready_fd; /* owned: readable when it is */
    uv_poll_t poll;
    bool always; /* it is one that epoll refuses, such as a file */
};

/* How a descriptor is written to without waiting: one that is SHARED with others, and could not be opened anew, is
 * polled first. */
enum cli_sink { CLI_SINK_SHARED, CLI_SINK_OWN, CLI_SINK_SOCKET, CLI_SINK_FILE };

struct cli_writer {
    struct cli_waiter waiter;
    struct cli_waiter gone; /* of a pipe or socket */
    int fd;                 /* the shared one */
    enum cli_sink sink;
    int own_fd;   /* owned: non-blocking, of CLI_SINK_OWN; else -1 */
    bool watched; /* `gone` is open */
    bool waiting; /* for on_ready */
    void *data;
    void (*on_ready)(struct cli_writer *writer); /* after a short write */
    void (*on_gone)(struct cli_writer *writer);  /* once, when nobody reads it any more */
};

/* Returns 0 or RT_EIO. */
RT_MUST_CHECK int cli_writer_open(struct cli_writer *writer, uv_loop_t *loop, int fd);
/* Writes what can be written now. Returns the bytes written; when these are fewer than size, on_ready comes later. Or
 * -errno, when nothing was written. */
ssize_t cli_writer_write(struct cli_writer *writer, const void *data, size_t size);
/* From now on tells when nobody reads a pipe or socket any more, also while nothing is written. */
void cli_writer_watch(struct cli_writer *writer, void (*on_gone)(struct cli_writer *writer));
void cli_writer_close(struct cli_writer *writer);

struct cli_reader {
    struct cli_waiter waiter;
    int fd;
    int error; /* errno of a read that failed */
    struct rt_gather gather;
    uv_timer_t rest; /* while it runs, what comes is left to gather */
    size_t came;     /* bytes since `gather` was told of them */
    void *data;
    /* size 0: the end of the input, or when `error` is set, a failure. Nothing more comes then. */
    void (*on_data)(struct cli_reader *reader, const uint8_t *data, size_t size);
    uint8_t buf[CLI_READ_MAX];
};

RT_MUST_CHECK int cli_reader_open(struct cli_reader *reader, uv_loop_t *loop, int fd);
void cli_reader_start(struct cli_reader *reader);
void cli_reader_stop(struct cli_reader *reader);
/* Something was written the other way: what comes may be an answer (rt_gather_turn()). */
void cli_reader_turn(struct cli_reader *reader);
void cli_reader_close(struct cli_reader *reader);

/* Whether stdin is /dev/null. A stdin that was closed when the program began is /dev/null since then. */
bool cli_stdin_is_empty(void);

#endif
