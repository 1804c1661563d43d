/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/port.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER 65536
#define BACKLOG 2

/* Moves what there is. False: one side has ended. */
static bool pass(int from, int to)
{
    char data[BUFFER];
    ssize_t n = recv(from, data, sizeof(data), 0), done = 0, sent = 0;

    while (done < n && (sent = send(to, data + done, (size_t)(n - done), MSG_NOSIGNAL)) > 0) {
        done += sent;
    }
    return n > 0 && done == n;
}

/* Between one QEMU and the agent, until either ends. False: this was the last one. */
static bool serve(struct vm_port *port, int qemu)
{
    struct pollfd fds[3] = {
        {.fd = port->stop[0], .events = POLLIN},
        {.fd = port->agent, .events = POLLIN},
        {.fd = qemu, .events = POLLIN},
    };

    for (;;) {
        if (poll(fds, 3, -1) < 0 || fds[0].revents != 0) {
            return false;
        }
        if (fds[2].revents != 0 && !pass(qemu, port->agent)) {
            return true;
        }
        if (fds[1].revents != 0 && !pass(port->agent, qemu)) {
            ssize_t n = recv(port->agent, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT);

            port->lost = n == 0 || (n < 0 && errno != EAGAIN);
            return !port->lost;
        }
    }
}

static void *run(void *arg)
{
    struct vm_port *port = arg;
    bool more = true;

    while (more) {
        struct pollfd fds[2] = {{.fd = port->stop[0], .events = POLLIN}, {.fd = port->listener, .events = POLLIN}};
        int qemu;

        more = poll(fds, 2, -1) > 0 && fds[0].revents == 0;
        if (more && (qemu = accept(port->listener, NULL, NULL)) >= 0) {
            more = serve(port, qemu);
            (void)close(qemu);
        }
    }
    return NULL;
}

static int open_socket(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((size_t)snprintf(address->sun_path, sizeof(address->sun_path), "%s", path) >= sizeof(address->sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int vm_port_open(struct vm_port *port, const char *agent)
{
    struct sockaddr_un address;

    port->agent = open_socket(agent, &address);
    if (port->agent < 0 || connect(port->agent, (struct sockaddr *)&address, sizeof(address)) != 0) {
        perror(agent);
        return -1;
    }
    port->listener = open_socket(port->path, &address);
    if (port->listener < 0 || bind(port->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(port->listener, BACKLOG) != 0 || pipe(port->stop) != 0) {
        perror(port->path);
        return -1;
    }
    port->started = pthread_create(&port->thread, NULL, run, port) == 0;
    return port->started ? 0 : -1;
}

void vm_port_close(struct vm_port *port)
{
    if (!port->started) {
        return;
    }
    (void)close(port->stop[1]);
    (void)pthread_join(port->thread, NULL);
    (void)close(port->stop[0]);
    (void)close(port->listener);
    (void)close(port->agent);
    port->started = false;
}
