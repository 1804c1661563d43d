/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* What runs at the ends of a chain that is measured. All of them end with their parent.
 *
 *   write STATUS GATE BYTES SIZE   one byte at once, so that the chain is known to stand; then, told "g" through the
 *                                  fifo GATE, BYTES in writes of SIZE; ends when told "e"
 *   read STATUS BYTES              throws its stdin away, until that ends
 *   echo                           gives back what it reads
 *   flood SIZE                     writes as much as it can, in writes of SIZE
 *   tick US                        every US microseconds the time, 8 bytes; when it cannot, it leaves them out
 *   hand SOCKET NUMBER             sends its stdout, with this number, through the datagram socket; then only waits
 *
 * To the fifo STATUS go lines: "w PID" of a writer at its start, "r PID" of a reader with its first byte, "d NS" when
 * it has got 1 + BYTES. Times are nanoseconds of the monotonic clock. */

#define BLOCK ((size_t)256 << 10)

static uint8_t block[BLOCK];

static void die(const char *what)
{
    (void)fprintf(stderr, "bench-pump: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static int fifo(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0) {
        die(path);
    }
    return fd;
}

static void write_all(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, data, size);

        if (n <= 0) {
            die("write");
        }
        data += n;
        size -= (size_t)n;
    }
}

static void wait_gate(int gate, char wanted)
{
    char got = '\0';

    while (got != wanted) {
        if (read(gate, &got, 1) != 1) {
            exit(1); /* whoever measures is gone */
        }
    }
}

static void check_size(size_t size)
{
    if (size == 0 || size > BLOCK) {
        errno = EINVAL;
        die("size");
    }
}

static int run_write(char **args)
{
    int status = fifo(args[0], O_WRONLY), gate = fifo(args[1], O_RDONLY);
    uint64_t left = strtoull(args[2], NULL, 10);
    size_t size = strtoul(args[3], NULL, 10);

    check_size(size);
    (void)dprintf(status, "w %d\n", (int)getpid());
    write_all(block, 1);
    wait_gate(gate, 'g');
    while (left > 0) {
        size_t n = left < size ? (size_t)left : size;

        write_all(block, n);
        left -= n;
    }
    wait_gate(gate, 'e');
    return 0;
}

static int run_read(char **args)
{
    int status = fifo(args[0], O_WRONLY);
    uint64_t wanted = strtoull(args[1], NULL, 10) + 1, got = 0;

    for (;;) {
        ssize_t n = read(STDIN_FILENO, block, BLOCK);

        if (n < 0) {
            die("read");
        }
        if (n == 0) {
            return 0;
        }
        if (got == 0) {
            (void)dprintf(status, "r %d\n", (int)getpid());
        }
        if (got < wanted && got + (uint64_t)n >= wanted) {
            (void)dprintf(status, "d %" PRIu64 "\n", now_ns());
        }
        got += (uint64_t)n;
    }
}

static int run_echo(void)
{
    ssize_t n;

    while ((n = read(STDIN_FILENO, block, BLOCK)) > 0) {
        write_all(block, (size_t)n);
    }
    return n == 0 ? 0 : 1;
}

static _Noreturn void run_flood(char **args)
{
    size_t size = strtoul(args[0], NULL, 10);

    check_size(size);
    for (;;) {
        write_all(block, size);
    }
}

static int run_tick(char **args)
{
    uint64_t step = strtoull(args[0], NULL, 10) * 1000, next = now_ns();

    (void)fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    for (;;) {
        struct timespec until;
        uint64_t now;

        next += step;
        until = (struct timespec){.tv_sec = (time_t)(next / 1000000000U), .tv_nsec = (long)(next % 1000000000U)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        now = now_ns();
        next = now > next + step ? now : next;
        if (write(STDOUT_FILENO, &now, sizeof(now)) < 0 && errno != EAGAIN) {
            return 1;
        }
    }
}

static _Noreturn void run_hand(char **args)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    uint32_t number = (uint32_t)strtoul(args[1], NULL, 10);
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {.iov_base = &number, .iov_len = sizeof(number)};
    struct msghdr msg = {.msg_name = &addr,
                         .msg_namelen = sizeof(addr),
                         .msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof(control.room)};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), out = STDOUT_FILENO;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", args[0]);
    memcpy(CMSG_DATA(&control.head), &out, sizeof(out));
    if (fd < 0 || sendmsg(fd, &msg, 0) < 0) {
        die(args[0]);
    }
    for (;;) {
        (void)pause();
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(what, "write") == 0 && argc == 6) {
        return run_write(argv + 2);
    }
    if (strcmp(what, "read") == 0 && argc == 4) {
        return run_read(argv + 2);
    }
    if (strcmp(what, "echo") == 0 && argc == 2) {
        return run_echo();
    }
    if (strcmp(what, "flood") == 0 && argc == 3) {
        run_flood(argv + 2);
    }
    if (strcmp(what, "tick") == 0 && argc == 3) {
        return run_tick(argv + 2);
    }
    if (strcmp(what, "hand") == 0 && argc == 4) {
        run_hand(argv + 2);
    }
    (void)fprintf(stderr, "usage: bench-pump write|read|echo|flood|tick|hand ...\n");
    return 2;
}
