/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* relay ADDRESS|DEVICE PORT: in the background, listens on AF_VSOCK PORT within a guest, and relays each connection to
 * ADDRESS:PORT over TCP, or to a device (a pattern that begins with a slash); a process for each. So a tether that
 * dials CID 1 has a real vSocket, with its resets and ends, though the emulator has none.
 *
 * An end of either side is the end of both: a reset of the TCP side closes the vSocket with what may be unread in it.
 */

#define BUFFER 65536
#define BACKLOG 16
#define RETRY_MS 20
/* Until a guest's init has loaded the modules. */
#define MODULES_LIMIT_MS 60000
/* A TCP connection to a host that the VM has left is found by keep-alive. */
#define KEEPALIVE_S 1
#define KEEPALIVE_PROBES 3

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

static int open_device(const char *pattern)
{
    glob_t found = {0};
    int fd = glob(pattern, 0, NULL, &found) == 0 ? open(found.gl_pathv[0], O_RDWR | O_CLOEXEC) : -1;

    globfree(&found);
    return fd;
}

static int dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, seconds = KEEPALIVE_S, probes = KEEPALIVE_PROBES;

    if (fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0) {
        (void)close(fd);
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

struct half {
    int from, to;
    char data[BUFFER];
    size_t begin, end;
};

/* False: one of its sides has ended. */
static bool step(struct half *half, short from_ready, short to_ready)
{
    ssize_t n;

    if (half->begin == half->end && from_ready != 0) {
        n = read(half->from, half->data, sizeof(half->data));
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return false;
        }
        half->begin = 0;
        half->end = n > 0 ? (size_t)n : 0;
    }
    if (half->begin < half->end) {
        n = write(half->to, half->data + half->begin, half->end - half->begin);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        half->begin += n > 0 ? (size_t)n : 0;
    }
    return (to_ready & (POLLERR | POLLHUP)) == 0;
}

static void relay(int guest, int agent)
{
    static struct half up, down;
    bool good = fcntl(guest, F_SETFL, O_NONBLOCK) == 0 && fcntl(agent, F_SETFL, O_NONBLOCK) == 0;

    up = (struct half){.from = guest, .to = agent};
    down = (struct half){.from = agent, .to = guest};
    while (good) {
        bool up_waits = up.begin < up.end, down_waits = down.begin < down.end;
        struct pollfd fds[2] = {
            {.fd = guest, .events = (short)((up_waits ? 0 : POLLIN) | (down_waits ? POLLOUT : 0))},
            {.fd = agent, .events = (short)((down_waits ? 0 : POLLIN) | (up_waits ? POLLOUT : 0))},
        };

        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        good = step(&up, fds[0].revents, fds[1].revents) && step(&down, fds[1].revents, fds[0].revents);
    }
}

static int listen_vsock(unsigned port)
{
    struct sockaddr_vm addr = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};

    for (int ms = 0; ms < MODULES_LIMIT_MS; ms += RETRY_MS) {
        int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd >= 0) {
            if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, BACKLOG) == 0) {
                return fd;
            }
            (void)close(fd);
        }
        pause_ms(RETRY_MS);
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int listener, guest, agent;

    if (argc != 3 || (argv[1][0] != '/' && inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)) {
        (void)fputs("usage: relay ADDRESS|DEVICE PORT\n", stderr);
        return 2;
    }
    to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    /* A shell cannot do it without a /dev/null. */
    if (fork() != 0) {
        return 0;
    }
    (void)signal(SIGCHLD, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    listener = listen_vsock(ntohs(to.sin_port));
    if (listener < 0) {
        (void)fputs("relay: no vSockets here\n", stderr);
        return 1;
    }
    while ((guest = accept(listener, NULL, NULL)) >= 0 || errno == EINTR || errno == ECONNABORTED) {
        if (guest >= 0 && fork() == 0) {
            agent = argv[1][0] == '/' ? open_device(argv[1]) : dial(&to);
            if (agent >= 0) {
                relay(guest, agent);
            }
            _exit(0);
        }
        if (guest >= 0) {
            (void)close(guest);
        }
    }
    return 1;
}
