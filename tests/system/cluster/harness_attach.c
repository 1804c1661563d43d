/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define READ_SIZE ((size_t)65536)

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* The slave of a new terminal; its master becomes attach->out. */
static int open_terminal(struct harness_attach *attach)
{
    char name[64];
    int slave;

    attach->out = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(attach->out >= 0);
    assert_int_equal(grantpt(attach->out), 0);
    assert_int_equal(unlockpt(attach->out), 0);
    assert_int_equal(ptsname_r(attach->out, name, sizeof(name)), 0);
    slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    return slave;
}

void harness_start(struct harness_attach *attach, bool terminal, const char *const *args)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
    struct rt_process_spec spec;

    memset(attach, 0, sizeof(*attach));
    attach->in = attach->out = attach->err = -1;
    attach->terminal = terminal;
    attach->text = calloc(1, 1);
    attach->err_text = calloc(1, 1);
    assert_non_null(attach->text);
    assert_non_null(attach->err_text);
    rt_process_spec_init(&spec, args);
    rt_cluster_cli_env(&harness, &spec);
    spec.terminal = terminal;
    if (terminal) {
        in[0] = open_terminal(attach);
        harness_window(attach, 24, 80);
        spec.in = spec.out = spec.err = in[0];
    } else {
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_int_equal(pipe2(err, O_CLOEXEC), 0);
        spec.in = in[0];
        spec.out = out[1];
        spec.err = err[1];
        attach->in = in[1];
        attach->out = out[0];
        attach->err = err[0];
        (void)fcntl(attach->in, F_SETFL, O_NONBLOCK);
    }
    attach->pid = rt_process_start(&spec);
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    assert_true(attach->pid > 0);
}

void harness_window(struct harness_attach *attach, unsigned short rows, unsigned short cols)
{
    struct winsize size = {.ws_row = rows, .ws_col = cols};

    assert_int_equal(ioctl(attach->out, TIOCSWINSZ, &size), 0);
}

static bool read_one(int *fd, char **text, size_t *size, size_t *room)
{
    ssize_t n;

    if (*size + READ_SIZE >= *room) {
        *room = (*room + READ_SIZE) * 2;
        *text = realloc(*text, *room);
        assert_non_null(*text);
    }
    n = read(*fd, *text + *size, READ_SIZE);
    if (n > 0) {
        *size += (size_t)n;
        (*text)[*size] = '\0';
        return true;
    }
    if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        close_fd(fd); /* a terminal's end is EIO */
    }
    return false;
}

bool harness_read(struct harness_attach *attach, unsigned limit_ms)
{
    struct pollfd fds[2] = {{.fd = attach->out, .events = POLLIN}, {.fd = attach->err, .events = POLLIN}};
    bool got = false;

    if (poll(fds, 2, (int)limit_ms) <= 0) {
        return false;
    }
    if (fds[0].revents != 0) {
        got = read_one(&attach->out, &attach->text, &attach->size, &attach->room);
    }
    if (fds[1].revents != 0) {
        got = read_one(&attach->err, &attach->err_text, &attach->err_size, &attach->err_room) || got;
    }
    return got;
}

void harness_type(struct harness_attach *attach, const void *data, size_t size)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    const char *at = data;

    while (size > 0) {
        ssize_t n = write(attach->terminal ? attach->out : attach->in, at, size);

        if (n > 0) {
            at += n;
            size -= (size_t)n;
            continue;
        }
        assert_true(errno == EAGAIN || errno == EINTR);
        assert_true(rt_process_now_ms() < until);
        (void)harness_read(attach, 5); /* it may wait for its output to be taken */
    }
}

void harness_type_end(struct harness_attach *attach)
{
    close_fd(&attach->in);
}

static void until(struct harness_attach *attach, const char *text, bool err)
{
    uint64_t limit = rt_process_now_ms() + HARNESS_LIMIT_MS;

    while (strstr(err ? attach->err_text : attach->text, text) == NULL) {
        if (rt_process_now_ms() >= limit || (attach->out < 0 && attach->err < 0)) {
            print_error("waited for \"%s\"\nout: %.1000s\nerr: %.1000s\n", text, attach->text, attach->err_text);
            fail();
        }
        (void)harness_read(attach, 100);
    }
}

void harness_until(struct harness_attach *attach, const char *text)
{
    until(attach, text, false);
}

void harness_until_err(struct harness_attach *attach, const char *text)
{
    until(attach, text, true);
}

int harness_finish(struct harness_attach *attach, unsigned limit_ms)
{
    uint64_t limit = rt_process_now_ms() + limit_ms, now;
    int status;

    while ((attach->out >= 0 || attach->err >= 0) && (now = rt_process_now_ms()) < limit) {
        (void)harness_read(attach, (unsigned)(limit - now));
    }
    now = rt_process_now_ms();
    status = rt_process_wait(attach->pid, now < limit ? (unsigned)(limit - now) : 0);
    if (status == RT_PROCESS_LATE) {
        print_error("it does not end\nout: %.1000s\nerr: %.1000s\n", attach->text, attach->err_text);
        fail();
    }
    attach->pid = 0;
    return status;
}

void harness_close(struct harness_attach *attach)
{
    rt_process_kill(attach->pid);
    attach->pid = 0;
    close_fd(&attach->in);
    close_fd(&attach->out);
    close_fd(&attach->err);
    free(attach->text);
    free(attach->err_text);
    attach->text = attach->err_text = NULL;
}
