/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

/* What takes nothing stops nobody: each test would hang where a write waits. */

#define LINES 100000

static struct rt_line_out out;
static char got[1 << 20];

static void close_out(void)
{
    if (out.fd != out.given) {
        close(out.fd);
    }
    out.fd = out.given;
}

static void put(unsigned number)
{
    char line[256];

    (void)snprintf(line, sizeof(line), "%0200u\n", number);
    rt_line_out_put(&out, line, strlen(line));
}

/* All that can be read now, as text; returns its size. */
static size_t take(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    size_t size = 0;
    ssize_t n;

    while (poll(&ready, 1, 0) == 1 && (n = read(fd, got + size, sizeof(got) - 1 - size)) > 0) {
        size += (size_t)n;
    }
    got[size] = '\0';
    return size;
}

/* Fills it, looks that whole lines of a rising number came, makes room, and looks that it goes on. */
static void fill_and_go_on(int reader)
{
    unsigned taken = 0, last = 0;
    size_t size;
    char *line, *place;

    for (unsigned i = 1; i <= LINES; i++) {
        put(i);
        taken += out.unwritten == 0;
    }
    assert_true(taken > 0 && taken < LINES);
    assert_true(out.unwritten > 0);
    size = take(reader);
    for (unsigned round = 0; round < 2; round++) { /* what a terminal took in part comes with the next lines */
        put(LINES + 1 + round);
        assert_int_equal(out.unwritten, 0);
        put(LINES + 11 + round);
        got[size] = '\0';
        for (line = strtok_r(got, "\n", &place); line != NULL; line = strtok_r(NULL, "\n", &place)) {
            if (strlen(line) == 200) {
                assert_true(strtoul(line, NULL, 10) > last);
                last = (unsigned)strtoul(line, NULL, 10);
            }
        }
        size = take(reader);
    }
    assert_true(last > LINES);
}

static void test_pipe(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    rt_line_out_init(&out, ends[1]);
    fill_and_go_on(ends[0]);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* it may be somebody else's too */
    close_out();
    close(ends[0]);
    close(ends[1]);
}

/* As without /proc: the descriptor itself. */
static void test_pipe_that_cannot_be_opened_anew(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    rt_line_out_init(&out, ends[1]);
    close_out();
    out.given = -1; /* cannot be opened anew */
    fill_and_go_on(ends[0]);
    close(ends[0]);
    close(ends[1]);
}

static void test_terminal(void **state)
{
    struct termios raw;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

    (void)state;
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0 && tcgetattr(slave, &raw) == 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
    rt_line_out_init(&out, slave);
    fill_and_go_on(master);
    assert_int_equal(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
    close_out();
    close(slave);
    close(master);
}

static void test_socket(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    rt_line_out_init(&out, ends[1]);
    fill_and_go_on(ends[0]);
    close_out();
    close(ends[0]);
    close(ends[1]);
}

/* A file is written where the descriptor stands, behind what is there. */
static void test_file(void **state)
{
    char path[] = "/tmp/retether-line-out.XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "before\n", 7), 7);
    rt_line_out_init(&out, fd);
    rt_line_out_put(&out, "line\n", 5);
    assert_int_equal(write(fd, "behind\n", 7), 7);
    assert_int_equal(pread(fd, got, sizeof(got), 0), 19);
    assert_memory_equal(got, "before\nline\nbehind\n", 19);
    close_out();
    close(fd);
    unlink(path);
}

static void test_nobody_reads_any_more(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    rt_line_out_init(&out, ends[1]);
    close(ends[0]);
    put(1);
    put(2);
    assert_int_equal(out.unwritten, 2);
    close_out();
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),     cmocka_unit_test(test_pipe_that_cannot_be_opened_anew),
        cmocka_unit_test(test_terminal), cmocka_unit_test(test_socket),
        cmocka_unit_test(test_file),     cmocka_unit_test(test_nobody_reads_any_more),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm(120); /* where a write waits */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
