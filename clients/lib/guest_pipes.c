/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include "clients/lib/guest_pty.h"

#include <errno.h>
#include <unistd.h>

/* The descriptors of a process. Output is read straight into the machine's rings; where a ring has no space the
 * descriptor is not watched, and the process blocks. Input is written straight from the machine's rings. */

static struct rt_guest_fd *input_of(struct rt_guest_process *process)
{
    return process->tty ? &process->out : &process->in;
}

static unsigned stream_of(const struct rt_guest_fd *fd)
{
    return fd == &fd->process->err ? RT_STDERR : RT_STDOUT;
}

static void end_output(struct rt_guest_fd *fd)
{
    struct rt_guest_process *process = fd->process;
    unsigned stream = stream_of(fd);

    rt_guest_fd_close(fd);
    rt_tether_eof(process->guest->tether, process->id, stream, rt_guest_now(process->guest));
    rt_guest_process_settle(process);
}

static void end_input(struct rt_guest_process *process)
{
    rt_guest_fd_close(&process->in);
    process->stdin_end = false;
    rt_tether_stdin_closed(process->guest->tether, process->id, rt_guest_now(process->guest));
}

static void rest_cb(uv_timer_t *timer);

/* Leaves the descriptor alone for ms: of all that rest, until the first of these times is over. */
static void rest(struct rt_guest_fd *fd, uint64_t ms)
{
    uv_timer_t *timer = &fd->process->rest;

    fd->resting = true;
    if (!uv_is_active((uv_handle_t *)timer)) {
        (void)uv_timer_start(timer, rest_cb, ms, 0);
    }
}

/* A read that brought nothing. */
static void read_failed(struct rt_guest_fd *fd, ssize_t n, int error)
{
    struct rt_guest_process *process = fd->process;

    if (n < 0 && (error == EAGAIN || error == EINTR)) {
        return;
    }
    /* EIO of a pty says that nobody has the slave open now. Only the process's exit makes that final: until then it may
     * hang up its terminal and open it again. */
    if (process->tty && n < 0 && error == EIO && process->pid > 0) {
        rest(fd, RT_GUEST_PTY_RETRY_MS);
        return;
    }
    end_output(fd);
}

/* Reads what there is, up to a budget, into the ring. Returns how many bytes. */
static size_t take_output(struct rt_guest_fd *fd)
{
    struct rt_guest_process *process = fd->process;
    struct rt_tether *tether = process->guest->tether;
    uint64_t now = rt_guest_now(process->guest);
    unsigned stream = stream_of(fd);
    size_t budget = RT_GUEST_BUDGET;

    while (budget > 0) {
        size_t size;
        uint8_t *space = rt_tether_space(tether, process->id, stream, &size);
        ssize_t n;

        if (size == 0) {
            rt_tether_want_space(tether, process->id, stream, now);
            space = rt_tether_space(tether, process->id, stream, &size);
        }
        fd->pause = size == 0; /* an ACK that came while it rested has ended the last one */
        if (fd->pause) {
            break;
        }
        size = size < budget ? size : budget;
        n = read(fd->fd, space, size);
        if (n <= 0) {
            read_failed(fd, n, errno);
            break;
        }
        rt_tether_commit(tether, process->id, stream, (size_t)n);
        budget -= (size_t)n;
        /* A pipe is empty after a short read; a pty hands out a line at a time. */
        if ((size_t)n < size && !process->tty) {
            break;
        }
    }
    return RT_GUEST_BUDGET - budget;
}

static void read_output(struct rt_guest_fd *fd)
{
    size_t size;

    fd->resting = false;
    size = take_output(fd);
    if (fd->fd >= 0 && !fd->process->tty && rt_gather_read(&fd->gather, size, rt_guest_now(fd->process->guest))) {
        rest(fd, RT_GATHER_MS);
    }
}

static void read_rested(struct rt_guest_process *process)
{
    struct rt_guest_fd *fds[] = {&process->out, &process->err};

    for (size_t i = 0; i < 2; i++) {
        if (fds[i]->fd >= 0 && fds[i]->resting) {
            read_output(fds[i]);
        }
    }
}

static void rest_cb(uv_timer_t *timer)
{
    struct rt_guest_process *process = timer->data;

    read_rested(process);
    rt_guest_wake(process->guest);
}

/* Writes up to size bytes; returns how many. A reader that is gone ends the input. */
static size_t write_input(struct rt_guest_process *process, const void *data, size_t size)
{
    struct rt_guest_fd *fd = input_of(process);
    ssize_t n;

    do {
        n = write(fd->fd, data, size);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        rt_gather_turn(&process->out.gather);
        rt_gather_turn(&process->err.gather);
        return (size_t)n;
    }
    if (n == 0 || errno == EAGAIN) {
        fd->full = true;
    } else {
        end_input(process);
    }
    return 0;
}

/* All input is written: a pipe is closed, a terminal gets its VEOF. */
static void write_end(struct rt_guest_process *process)
{
    size_t n;

    if (!process->tty) {
        rt_guest_fd_close(&process->in);
        process->stdin_end = false;
        return;
    }
    if (process->end_size == 0) {
        process->end_size = rt_pty_end(process->out.fd, process->last, process->end);
    }
    n = write_input(process, process->end, process->end_size);
    process->end[0] = process->end[1];
    process->end_size -= n;
    process->stdin_end = process->stdin_end && process->end_size > 0;
}

static size_t feed(struct rt_guest_process *process)
{
    struct rt_tether *tether = process->guest->tether;
    struct rt_guest_fd *fd = input_of(process);
    size_t fed = 0;

    while (fd->fd >= 0 && !fd->full && fed < RT_GUEST_BUDGET) {
        size_t size;
        const uint8_t *data = rt_tether_stdin(tether, process->id, &size);

        if (size == 0) {
            if (process->stdin_end) {
                write_end(process);
            }
            break;
        }
        size = size < RT_GUEST_BUDGET - fed ? size : RT_GUEST_BUDGET - fed;
        size = write_input(process, data, size);
        if (size == 0) {
            break;
        }
        process->last = (char)data[size - 1];
        rt_tether_stdin_taken(tether, process->id, size, rt_guest_now(process->guest));
        fed += size;
    }
    return fed;
}

static void poll_cb(uv_poll_t *poll, int status, int events)
{
    struct rt_guest_fd *fd = poll->data;
    struct rt_guest_process *process = fd->process;

    if (status < 0) {
        fd->events = 0; /* libuv has stopped it: an error condition on the descriptor */
    }
    if (fd == &process->in && (status < 0 || (events & UV_DISCONNECT) != 0)) {
        end_input(process); /* the process closed its stdin */
    } else {
        fd->full = fd->full && status == 0 && (events & UV_WRITABLE) == 0;
        if (fd != &process->in && !fd->pause && (status < 0 || (events & UV_READABLE) != 0)) {
            read_rested(process); /* the other output's bytes were written before these, for what is known */
            read_output(fd);
        }
    }
    rt_guest_wake(process->guest);
}

static void watch(struct rt_guest_fd *fd, int events)
{
    if (fd->fd < 0 || fd->events == events) {
        return;
    }
    fd->events = events;
    if (events == 0) {
        (void)uv_poll_stop(&fd->poll);
    } else {
        (void)uv_poll_start(&fd->poll, events, poll_cb);
    }
}

static void watch_output(struct rt_guest_fd *fd)
{
    struct rt_guest_process *process = fd->process;
    size_t size = 0;

    if (fd->fd < 0) {
        return;
    }
    if (fd->resting && uv_is_active((uv_handle_t *)&process->rest)) {
        watch(fd, 0); /* also because a pty without a slave is always ready, for nothing */
        return;
    }
    if (fd->pause) {
        (void)rt_tether_space(process->guest->tether, process->id, stream_of(fd), &size);
        fd->pause = size == 0;
    }
    watch(fd, (fd->pause ? 0 : UV_READABLE) | (fd->full ? UV_WRITABLE : 0));
}

size_t rt_guest_pipes_step(struct rt_guest_process *process)
{
    size_t fed = feed(process);

    watch_output(&process->out);
    watch_output(&process->err);
    /* A pipe whose reader is gone says so unasked. */
    watch(&process->in, UV_DISCONNECT | (process->in.full ? UV_WRITABLE : 0));
    return fed;
}

int rt_guest_pipes_open(struct rt_guest_process *process, const struct rt_spawned *spawned)
{
    struct rt_guest_fd *fds[] = {&process->in, &process->out, &process->err};
    int from[] = {spawned->in, spawned->out, spawned->err};
    int rc = RT_OK;

    for (size_t i = 0; i < 3; i++) {
        fds[i]->process = process;
        fds[i]->fd = -1;
        if (from[i] < 0) {
            continue;
        }
        fds[i]->poll.data = fds[i];
        if (rc == RT_OK && uv_poll_init(process->guest->loop, &fds[i]->poll, from[i]) == 0) {
            fds[i]->fd = from[i];
            process->open_handles++;
        } else {
            close(from[i]);
            rc = RT_EIO;
        }
    }
    return rc;
}
