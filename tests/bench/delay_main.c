/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A long line in user space: bench-delay LISTEN CONNECT US relays between unix sockets and delivers each byte US
 * microseconds after it came, in both directions. What is under way is bounded by LINE bytes a direction, more than any
 * window that is measured; then its sender waits. A process for each connection; all end with their parent. */

#define LINE ((size_t)64 << 20)
#define BLOCK ((size_t)256 << 10)
#define CHUNKS 65536 /* a power of two */

struct chunk {
    uint64_t due;
    size_t size;
};

struct line {
    int from, to;
    uint8_t *ring;               /* LINE bytes */
    size_t head, size;           /* where bytes go, how many are there */
    struct chunk chunks[CHUNKS]; /* oldest first */
    unsigned first, n;
    bool ended; /* nothing comes any more; what is under way is still delivered */
    bool full;  /* the receiver takes no more just now */
};

static struct line lines[2];
static uint64_t delay_ns;

static void die(const char *what)
{
    (void)fprintf(stderr, "bench-delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static bool has_room(const struct line *line)
{
    return LINE - line->size >= BLOCK && line->n < CHUNKS;
}

static void take(struct line *line)
{
    size_t room = LINE - line->head < BLOCK ? LINE - line->head : BLOCK;
    ssize_t n = recv(line->from, line->ring + line->head, room, MSG_DONTWAIT);

    line->ended = n == 0 || (n < 0 && errno != EAGAIN);
    if (n > 0) {
        line->chunks[(line->first + line->n++) % CHUNKS] = (struct chunk){now_ns() + delay_ns, (size_t)n};
        line->head = (line->head + (size_t)n) % LINE;
        line->size += (size_t)n;
    }
}

static void give(struct line *line, uint64_t now)
{
    while (line->n > 0 && line->chunks[line->first].due <= now) {
        struct chunk *chunk = &line->chunks[line->first];
        size_t tail = (line->head + LINE - line->size) % LINE;
        size_t size = chunk->size < LINE - tail ? chunk->size : LINE - tail;
        ssize_t n = send(line->to, line->ring + tail, size, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) {
            exit(0);
        }
        if (n < 0) {
            line->full = true;
            return;
        }
        line->size -= (size_t)n;
        chunk->size -= (size_t)n;
        if (chunk->size == 0) {
            line->first = (line->first + 1) % CHUNKS;
            line->n--;
        }
    }
}

static _Noreturn void relay(void)
{
    for (;;) {
        struct pollfd fds[4];
        uint64_t now = now_ns(), next = now + 1000000000U;
        struct timespec wait;

        for (size_t i = 0; i < 2; i++) {
            struct line *line = &lines[i];

            if (line->n > 0 && !line->full && line->chunks[line->first].due < next) {
                next = line->chunks[line->first].due;
            }
            if (line->ended && line->n == 0) {
                exit(0); /* the end of one side is the end of both */
            }
            fds[2 * i] = (struct pollfd){.fd = !line->ended && has_room(line) ? line->from : -1, .events = POLLIN};
            fds[2 * i + 1] = (struct pollfd){.fd = line->full ? line->to : -1, .events = POLLOUT};
        }
        next = next > now ? next - now : 0;
        wait = (struct timespec){.tv_sec = (time_t)(next / 1000000000U), .tv_nsec = (long)(next % 1000000000U)};
        if (ppoll(fds, 4, &wait, NULL) < 0 && errno != EINTR) {
            die("ppoll");
        }
        now = now_ns();
        for (size_t i = 0; i < 2; i++) {
            if (fds[2 * i].revents != 0) {
                take(&lines[i]);
            }
            if (fds[2 * i + 1].revents != 0) {
                lines[i].full = false;
            }
            if (!lines[i].full) {
                give(&lines[i], now);
            }
        }
    }
}

static int unix_socket(const char *path, bool listening)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 1 << 20;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (listening ? bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 16) != 0
                  : connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        die(path);
    }
    return fd;
}

static void serve(int fd, const char *path)
{
    int far, size = 1 << 20;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    far = unix_socket(path, false);
    lines[0].from = lines[1].to = fd;
    lines[0].to = lines[1].from = far;
    for (int i = 0; i < 2; i++) {
        lines[i].ring = mmap(NULL, LINE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (lines[i].ring == MAP_FAILED) {
            die("memory");
        }
    }
    relay();
}

int main(int argc, char **argv)
{
    int listener;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: bench-delay LISTEN CONNECT US\n");
        return 2;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGCHLD, SIG_IGN);
    delay_ns = strtoull(argv[3], NULL, 10) * 1000;
    listener = unix_socket(argv[1], true);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0 && fork() == 0) {
            serve(fd, argv[2]);
        }
        (void)close(fd);
    }
}
