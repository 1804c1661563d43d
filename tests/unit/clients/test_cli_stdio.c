/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* stdin, stdout and stderr are shared: whatever they are, their flags stay as they were. */

struct fixture {
    uv_loop_t loop;
    struct cli_writer writer;
    struct cli_reader reader;
    unsigned ready;
    uint8_t got[1 << 20];
    size_t n_got;
    unsigned reads;
    bool eof;
    unsigned gone;
};

static struct fixture fx;

static void ready_cb(struct cli_writer *writer)
{
    (void)writer;
    fx.ready++;
}

static void data_cb(struct cli_reader *reader, const uint8_t *data, size_t size)
{
    (void)reader;
    if (size == 0) {
        fx.eof = true;
        return;
    }
    assert_true(fx.n_got + size <= sizeof(fx.got));
    memcpy(fx.got + fx.n_got, data, size);
    fx.n_got += size;
    fx.reads++;
}

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    return uv_loop_init(&fx.loop);
}

static int teardown(void **state)
{
    (void)state;
    (void)uv_run(&fx.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&fx.loop);
}

static void open_writer(int fd)
{
    assert_int_equal(cli_writer_open(&fx.writer, &fx.loop, fd), 0);
    fx.writer.on_ready = ready_cb;
}

/* The memory is free once the loop has closed it. */
static void close_writer(void)
{
    cli_writer_close(&fx.writer);
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
}

static void close_reader(void)
{
    cli_reader_close(&fx.reader);
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
}

static void assert_blocking(int fd)
{
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

/* Fills what fd leads to, finds it full without blocking, and is told when there is room. */
static void fill(int fd, int other)
{
    static uint8_t data[1 << 20], back[1 << 20];
    size_t sent = 0;
    size_t came = 0;

    memset(data, 'x', sizeof(data));
    open_writer(fd);
    sent += (size_t)cli_writer_write(&fx.writer, data, sizeof(data));
    assert_true(sent > 0 && sent < sizeof(data));
    assert_true(fx.writer.waiting);
    assert_int_equal(cli_writer_write(&fx.writer, data, sizeof(data)), 0); /* not before it is ready */
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
    assert_int_equal(fx.ready, 0);
    while (came < sent) {
        ssize_t n = read(other, back, sizeof(back));

        assert_true(n > 0);
        came += (size_t)n;
    }
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    assert_int_equal(fx.ready, 1);
    assert_int_equal(cli_writer_write(&fx.writer, data, 10), 10);
    assert_blocking(fd);
    close_writer();
}

static void test_pipe(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    fill(fds[1], fds[0]);
    close(fds[0]);
    close(fds[1]);
}

/* Where no description of one's own can be had: small writes, each after a look. */
static void test_pipe_that_cannot_be_opened_again(void **state)
{
    int fds[2];
    static uint8_t data[1 << 20];
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    open_writer(fds[1]);
    assert_true(fx.writer.own_fd >= 0);
    close(fx.writer.own_fd);
    fx.writer.own_fd = -1;
    fx.writer.sink = CLI_SINK_SHARED;
    n = cli_writer_write(&fx.writer, data, sizeof(data));
    assert_true(n > 0 && (size_t)n < sizeof(data));
    assert_true(fx.writer.waiting);
    assert_blocking(fds[1]);
    close_writer();
    close(fds[0]);
    close(fds[1]);
}

static void test_socket(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fill(fds[0], fds[1]);
    close(fds[0]);
    close(fds[1]);
}

static void test_file(void **state)
{
    char path[] = "/tmp/retether-stdio-XXXXXX";
    static uint8_t data[1 << 20];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    open_writer(fd);
    assert_int_equal(cli_writer_write(&fx.writer, data, sizeof(data)), sizeof(data));
    assert_int_equal(cli_writer_write(&fx.writer, data, 5), 5); /* behind it: the shared offset */
    assert_int_equal(lseek(fd, 0, SEEK_CUR), sizeof(data) + 5);
    close_writer();
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(cli_reader_open(&fx.reader, &fx.loop, fd), 0);
    fx.reader.on_data = data_cb;
    cli_reader_start(&fx.reader);
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    assert_int_equal(fx.n_got, CLI_READ_MAX);
    cli_reader_stop(&fx.reader); /* full: no busy loop */
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
    assert_int_equal(fx.n_got, CLI_READ_MAX);
    close_reader();
    close(fd);
}

static void type(int fd, size_t size)
{
    assert_int_equal(write(fd, "0123456789", size), size);
}

/* Writes single bytes, each of which is read at once, until what follows is left to gather. */
static void burst(int fd)
{
    while (!uv_is_active((uv_handle_t *)&fx.reader.rest)) {
        size_t before = fx.n_got;

        type(fd, 1);
        (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
        assert_int_equal(fx.n_got, before + 1);
    }
}

/* Small writes that come fast are read together; a lone one is read at once, also behind a burst. */
static void test_small_writes(void **state)
{
    int fds[2];
    size_t before;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(cli_reader_open(&fx.reader, &fx.loop, fds[0]), 0);
    fx.reader.on_data = data_cb;
    cli_reader_start(&fx.reader);
    burst(fds[1]);
    before = fx.n_got;
    fx.reads = 0;
    cli_reader_start(&fx.reader); /* as its owner does after each read */
    for (unsigned i = 0; i < 5; i++) {
        type(fds[1], 2);
    }
    while (fx.n_got == before) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    assert_int_equal(fx.n_got, before + 10);
    assert_int_equal(fx.reads, 1);
    burst(fds[1]); /* fewer bytes than began the rest: they end it */
    type(fds[1], 3);
    cli_reader_stop(&fx.reader);
    before = fx.n_got;
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
    assert_int_equal(fx.n_got, before);
    cli_reader_start(&fx.reader);
    close(fds[1]);
    while (!fx.eof) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    assert_int_equal(fx.n_got, before + 3);
    close_reader();
    close(fds[0]);
}

static void test_errors(void **state)
{
    int fd = open("/dev/full", O_WRONLY);
    int fds[2];

    (void)state;
    assert_true(fd >= 0);
    open_writer(fd);
    assert_int_equal(cli_writer_write(&fx.writer, "x", 1), -ENOSPC);
    close_writer();
    close(fd);
    assert_int_equal(pipe(fds), 0);
    open_writer(fds[1]);
    close(fds[0]);
    assert_int_equal(cli_writer_write(&fx.writer, "x", 1), -EPIPE);
    close_writer();
    close(fds[1]);
    assert_int_not_equal(cli_writer_open(&fx.writer, &fx.loop, -1), 0);
    assert_int_not_equal(cli_reader_open(&fx.reader, &fx.loop, -1), 0);
}

/* A write that fails behind a part that went: who waits to go on is told so by the next one. */
static void test_error_behind_a_part(void **state)
{
    char path[] = "/tmp/rt-stdio-XXXXXX";
    struct rlimit before, limit;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 10;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    open_writer(fd);
    assert_int_equal(cli_writer_write(&fx.writer, "0123456789abcdef", 16), 10);
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    assert_int_equal(fx.ready, 1);
    assert_int_equal(cli_writer_write(&fx.writer, "abcdef", 6), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    close_writer();
    close(fd);
}

static void gone_cb(struct cli_writer *writer)
{
    (void)writer;
    fx.gone++;
}

/* That nobody reads any more is told while nothing is written. */
static void watch(int fd, int other)
{
    open_writer(fd);
    cli_writer_watch(&fx.writer, gone_cb);
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
    assert_int_equal(fx.gone, 0);
    close(other);
    (void)uv_run(&fx.loop, UV_RUN_ONCE);
    (void)uv_run(&fx.loop, UV_RUN_NOWAIT);
    assert_int_equal(fx.gone, 1);
    fx.gone = 0;
    close_writer();
    close(fd);
}

static void test_gone(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    watch(fds[1], fds[0]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    watch(fds[1], fds[0]);
}

static void read_all(int fd)
{
    assert_int_equal(cli_reader_open(&fx.reader, &fx.loop, fd), 0);
    fx.reader.on_data = data_cb;
    cli_reader_start(&fx.reader);
    while (!fx.eof) {
        (void)uv_run(&fx.loop, UV_RUN_ONCE);
    }
    assert_blocking(fd);
    close_reader();
}

static void test_pipe_is_widened(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(cli_reader_open(&fx.reader, &fx.loop, fds[0]), 0);
    assert_int_equal(fcntl(fds[1], F_GETPIPE_SZ), CLI_PIPE);
    close_reader();
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, 2 * CLI_PIPE), 2 * CLI_PIPE);
    assert_int_equal(cli_reader_open(&fx.reader, &fx.loop, fds[0]), 0);
    assert_int_equal(fcntl(fds[1], F_GETPIPE_SZ), 2 * CLI_PIPE);
    close_reader();
    close(fds[0]);
    close(fds[1]);
}

static void test_reading(void **state)
{
    int fds[2];
    int null = open("/dev/null", O_RDONLY);

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "hello", 5), 5);
    close(fds[1]);
    read_all(fds[0]);
    assert_int_equal(fx.n_got, 5);
    assert_memory_equal(fx.got, "hello", 5);
    close(fds[0]);
    fx.eof = false;
    read_all(null);
    assert_int_equal(fx.n_got, 5);
    close(null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipe_that_cannot_be_opened_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_error_behind_a_part, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pipe_is_widened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading, setup, teardown),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
