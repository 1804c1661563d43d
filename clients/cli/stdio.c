/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- readiness ---- */

static void poll_cb(uv_poll_t *poll, int status, int events)
{
    struct cli_waiter *waiter = poll->data;

    (void)status; /* whatever happened, the next read or write returns it */
    (void)events;
    waiter->cb(waiter);
}

static int waiter_open(struct cli_waiter *waiter, uv_loop_t *loop, int fd, uint32_t events,
                       void (*cb)(struct cli_waiter *waiter))
{
    struct epoll_event event = {.events = events};

    memset(waiter, 0, sizeof(*waiter));
    waiter->cb = cb;
    waiter->ready_fd = epoll_create1(EPOLL_CLOEXEC);
    if (waiter->ready_fd >= 0 && epoll_ctl(waiter->ready_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        waiter->always = errno == EPERM;
        close(waiter->ready_fd);
        waiter->ready_fd = waiter->always ? eventfd(1, EFD_CLOEXEC) : -1;
    }
    if (waiter->ready_fd < 0) {
        return RT_EIO;
    }
    if (uv_poll_init(loop, &waiter->poll, waiter->ready_fd) != 0) {
        close(waiter->ready_fd);
        return RT_EIO;
    }
    waiter->poll.data = waiter;
    return RT_OK;
}

static void waiter_start(struct cli_waiter *waiter)
{
    if (!uv_is_active((uv_handle_t *)&waiter->poll)) {
        (void)uv_poll_start(&waiter->poll, UV_READABLE, poll_cb);
    }
}

static void waiter_stop(struct cli_waiter *waiter)
{
    (void)uv_poll_stop(&waiter->poll);
}

static void waiter_close(struct cli_waiter *waiter)
{
    uv_close((uv_handle_t *)&waiter->poll, NULL);
    close(waiter->ready_fd);
}

/* ---- writing ---- */

static void writable_cb(struct cli_waiter *waiter)
{
    struct cli_writer *writer = waiter->data;

    waiter_stop(waiter);
    writer->waiting = false;
    writer->on_ready(writer);
}

static void gone_cb(struct cli_waiter *waiter)
{
    struct cli_writer *writer = waiter->data;

    waiter_stop(waiter);
    writer->on_gone(writer);
}

static int reopen(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int cli_writer_open(struct cli_writer *writer, uv_loop_t *loop, int fd)
{
    struct stat st;

    memset(writer, 0, sizeof(*writer));
    writer->fd = fd;
    writer->own_fd = -1;
    if (fstat(fd, &st) != 0 || waiter_open(&writer->waiter, loop, fd, EPOLLOUT, writable_cb) != RT_OK) {
        return RT_EIO;
    }
    writer->waiter.data = writer;
    if (S_ISSOCK(st.st_mode)) {
        writer->sink = CLI_SINK_SOCKET;
    } else if ((S_ISFIFO(st.st_mode) || isatty(fd)) && (writer->own_fd = reopen(fd)) >= 0) {
        writer->sink = CLI_SINK_OWN;
    } else if (writer->waiter.always) {
        writer->sink = CLI_SINK_FILE;
    }
    /* epoll reports EPOLLERR and EPOLLHUP even when no event is asked for: of a pipe without readers, of a socket whose
     * peer has closed it. */
    if ((S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) && waiter_open(&writer->gone, loop, fd, 0, gone_cb) == RT_OK) {
        writer->gone.data = writer;
        writer->watched = true;
    }
    return RT_OK;
}

/* One write that does not block; where that cannot be guaranteed, it is short enough that it hardly ever does. */
static ssize_t write_some(const struct cli_writer *writer, const void *data, size_t size)
{
    struct pollfd ready = {.fd = writer->fd, .events = POLLOUT};

    switch (writer->sink) {
    case CLI_SINK_SOCKET:
        return send(writer->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case CLI_SINK_OWN:
        return write(writer->own_fd, data, size);
    case CLI_SINK_SHARED:
        if (poll(&ready, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        size = size < PIPE_BUF ? size : PIPE_BUF;
        break;
    case CLI_SINK_FILE:
        break;
    }
    return write(writer->fd, data, size);
}

void cli_writer_watch(struct cli_writer *writer, void (*on_gone)(struct cli_writer *writer))
{
    writer->on_gone = on_gone;
    if (writer->watched) {
        waiter_start(&writer->gone);
    }
}

ssize_t cli_writer_write(struct cli_writer *writer, const void *data, size_t size)
{
    size_t done = 0;

    while (done < size && !writer->waiting) {
        ssize_t n = write_some(writer, (const uint8_t *)data + done, size - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && done == 0) {
            return -errno;
        } else { /* it is full, or it has failed after a part: the next write, for which a broken end counts as ready,
                    tells */
            writer->waiting = true;
            waiter_start(&writer->waiter);
        }
    }
    return (ssize_t)done;
}

void cli_writer_close(struct cli_writer *writer)
{
    waiter_close(&writer->waiter);
    if (writer->watched) {
        waiter_close(&writer->gone);
    }
    if (writer->own_fd >= 0) {
        close(writer->own_fd);
        writer->own_fd = -1;
    }
}

bool cli_stdin_is_empty(void)
{
    struct stat in, null;

    return fstat(STDIN_FILENO, &in) == 0 && stat("/dev/null", &null) == 0 && S_ISCHR(in.st_mode) &&
           in.st_rdev == null.st_rdev;
}

/* ---- reading ---- */

static void rest_cb(uv_timer_t *rest)
{
    struct cli_reader *reader = rest->data;

    waiter_start(&reader->waiter);
}

/* After a read of size bytes: leaves the descriptor alone for a while when small writes come fast. */
static void gather(struct cli_reader *reader, size_t size)
{
    reader->came += size;
    if (size == sizeof(reader->buf)) {
        return; /* there is more */
    }
    if (rt_gather_read(&reader->gather, reader->came, uv_now(reader->rest.loop))) {
        waiter_stop(&reader->waiter);
        (void)uv_timer_start(&reader->rest, rest_cb, RT_GATHER_MS, 0);
    }
    reader->came = 0;
}

static void readable_cb(struct cli_waiter *waiter)
{
    struct cli_reader *reader = waiter->data;
    ssize_t n = read(reader->fd, reader->buf, sizeof(reader->buf));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        reader->error = n < 0 ? errno : 0;
        cli_reader_stop(reader);
    } else {
        gather(reader, (size_t)n);
    }
    reader->on_data(reader, reader->buf, n > 0 ? (size_t)n : 0);
}

/* What is written while a pipe is left alone has room in it. Without permission for that, it gets full sooner. */
static void widen(int fd)
{
    int size = fcntl(fd, F_GETPIPE_SZ);

    if (size > 0 && size < CLI_PIPE) {
        (void)fcntl(fd, F_SETPIPE_SZ, CLI_PIPE);
    }
}

int cli_reader_open(struct cli_reader *reader, uv_loop_t *loop, int fd)
{
    int rc = waiter_open(&reader->waiter, loop, fd, EPOLLIN, readable_cb);

    if (rc != RT_OK) {
        return rc;
    }
    reader->fd = fd;
    widen(fd);
    reader->error = 0;
    reader->waiter.data = reader;
    (void)uv_timer_init(loop, &reader->rest);
    reader->rest.data = reader;
    reader->gather = (struct rt_gather){0};
    reader->came = 0;
    return RT_OK;
}

void cli_reader_start(struct cli_reader *reader)
{
    if (!uv_is_active((uv_handle_t *)&reader->rest)) {
        waiter_start(&reader->waiter);
    }
}

void cli_reader_stop(struct cli_reader *reader)
{
    (void)uv_timer_stop(&reader->rest);
    waiter_stop(&reader->waiter);
}

void cli_reader_turn(struct cli_reader *reader)
{
    rt_gather_turn(&reader->gather);
}

void cli_reader_close(struct cli_reader *reader)
{
    uv_close((uv_handle_t *)&reader->rest, NULL);
    waiter_close(&reader->waiter);
}
