/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/proxy.h"

#include "session/base/random.h"
#include "tests/lib/cluster_process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* One connection, here of a way that is slow. Milliseconds:
 *
 *          0   accept; the server's socket is connected; TLS goes on as the agent speaks
 *          1   a request is read, and written to the server before the next one is read
 *          2   its answer is read, and put into the queue, due at 5002
 *       1001   the agent has waited for long enough, and closes: both ends go, with what is queued */

#define CONNS_MAX ((size_t)256) /* one more is closed at once */
#define PIECE ((size_t)16384)
/* Of answers that wait in one connection; the server is read no further. */
#define QUEUE_MAX ((size_t)4 << 20)
#define BACKLOG 128
#define TEAR_MAX 4000
#define N_ROUTES ((size_t)PROXY_HOSTS * PROXY_TARGETS)
#define N_FDS (1 + N_ROUTES + 2 * CONNS_MAX)

struct route {
    enum proxy_way way;
    int listener;
    unsigned host, target;
};

struct answer {
    struct answer *next;
    uint64_t due; /* ms */
    size_t size, sent;
    char data[];
};

struct conn {
    struct route *route; /* NULL: unused */
    SSL *ssl;
    int down, up; /* to the agent, to the server */
    char asked[PIECE];
    size_t n_asked, n_passed; /* of `asked`: bytes, and how many of them the server has taken */
    struct answer *first, **last;
    size_t queued;
    size_t tear; /* bytes of answers that still pass; SIZE_MAX: all */
    bool ends;   /* when the queue is empty */
};

struct order {
    uint8_t host, target, way;
};

static struct {
    const struct proxy_setup *setup;
    const struct proxy *proxy;
    SSL_CTX *good, *old;
    uint64_t random;
    int orders;
    struct route routes[N_ROUTES];
    struct conn conns[CONNS_MAX];
    struct pollfd fds[N_FDS];
} here;

static uint64_t roll(uint64_t n)
{
    return rt_jitter(&here.random, n);
}

/* ---- connections ---- */

static void drop_answer(struct conn *conn)
{
    struct answer *answer = conn->first;

    conn->first = answer->next;
    if (conn->first == NULL) {
        conn->last = &conn->first;
    }
    conn->queued -= answer->size;
    free(answer);
}

static void end(struct conn *conn)
{
    while (conn->first != NULL) {
        drop_answer(conn);
    }
    SSL_free(conn->ssl);
    (void)close(conn->down);
    (void)close(conn->up);
    conn->route = NULL;
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static struct conn *unused(void)
{
    for (size_t i = 0; i < CONNS_MAX; i++) {
        if (here.conns[i].route == NULL) {
            return &here.conns[i];
        }
    }
    return NULL;
}

/* A server that does not run: the agent's connection is closed. */
static void take(struct route *route)
{
    int down = accept4(route->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int up = down >= 0 ? connect_to(here.setup->sockets[route->target]) : -1;
    struct conn *conn = up >= 0 ? unused() : NULL;
    SSL *ssl = conn != NULL ? SSL_new(route->way == PROXY_EXPIRED ? here.old : here.good) : NULL;

    if (ssl == NULL || SSL_set_fd(ssl, down) != 1) {
        SSL_free(ssl);
        (void)(down >= 0 && close(down));
        (void)(up >= 0 && close(up));
        return;
    }
    SSL_set_accept_state(ssl);
    memset(conn, 0, sizeof(*conn));
    conn->route = route;
    conn->ssl = ssl;
    conn->down = down;
    conn->up = up;
    conn->last = &conn->first;
    conn->tear = route->way == PROXY_TEAR ? roll(TEAR_MAX) + 1 : SIZE_MAX;
}

/* ---- answers ---- */

/* The port that this agent has for the server which a Sentinel knows by that one; 0: none. */
static unsigned port_of(const struct route *route, unsigned long named)
{
    for (size_t i = 0; i < PROXY_SERVERS; i++) {
        if (here.setup->named[i] == named) {
            return here.proxy->ports[route->host][route->way == PROXY_LIE ? (i + 1) % PROXY_SERVERS : i];
        }
    }
    return 0;
}

/* All ports have five digits, so nothing changes its place. */
static void rename_ports(const struct route *route, char *data, size_t size)
{
    static const char head[] = "$5\r\n";
    const size_t whole = sizeof(head) - 1 + 5;

    for (size_t at = 0; at + whole <= size; at++) {
        char digits[6] = "", other[8];
        unsigned port;

        if (memcmp(data + at, head, sizeof(head) - 1) != 0) {
            continue;
        }
        memcpy(digits, data + at + sizeof(head) - 1, 5);
        port = port_of(route, strtoul(digits, NULL, 10));
        if (port != 0) {
            (void)snprintf(other, sizeof(other), "%05u", port);
            memcpy(data + at + sizeof(head) - 1, other, 5);
        }
    }
}

/* Nothing that could be taken for an answer to what was asked: it is to be refused, not believed. */
static size_t garble(char *data, size_t size)
{
    static const char *const lines[] = {"*100000000\r\n", "$2000000000\r\n", "+garbage\r\n", "*-7\r\n", "*1\r\n*1\r\n"};
    size_t line = roll(2 * sizeof(lines) / sizeof(lines[0]));

    if (line < sizeof(lines) / sizeof(lines[0]) && strlen(lines[line]) <= size) {
        memcpy(data, lines[line], strlen(lines[line]));
        return strlen(lines[line]);
    }
    for (size_t i = 0; i < size; i++) {
        data[i] = (char)(0x80 | roll(0x80));
    }
    return size;
}

static bool queue(struct conn *conn, const char *data, size_t size)
{
    struct answer *answer = malloc(sizeof(*answer) + size);

    if (answer == NULL) {
        return false;
    }
    *answer = (struct answer){.due = rt_process_now_ms(), .size = size};
    if (conn->route->way == PROXY_SLOW) {
        answer->due += PROXY_SLOW_MS;
    }
    memcpy(answer->data, data, size);
    *conn->last = answer;
    conn->last = &answer->next;
    conn->queued += size;
    return true;
}

static void read_answers(struct conn *conn)
{
    static char data[PIECE];
    ssize_t n = read(conn->up, data, sizeof(data));
    size_t size = n > 0 ? (size_t)n : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size == 0) {
        conn->ends = true;
        return;
    }
    if (conn->route->target >= PROXY_SERVERS) {
        rename_ports(conn->route, data, size);
    }
    if (conn->route->way == PROXY_GARBLE && roll(3) == 0) {
        size = garble(data, size);
    }
    conn->ends = size >= conn->tear;
    size = conn->ends ? conn->tear : size;
    conn->tear -= conn->tear != SIZE_MAX ? size : 0;
    if (!queue(conn, data, size)) {
        conn->ends = true;
    }
}

static bool is_due(const struct conn *conn)
{
    return conn->first != NULL && conn->first->due <= rt_process_now_ms();
}

/* Whether what failed is only to be tried again, when the socket is ready. */
static bool again(const struct conn *conn, int rc)
{
    int error = SSL_get_error(conn->ssl, rc);

    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* False: the connection is over. */
static bool pass_answers(struct conn *conn)
{
    while (is_due(conn)) {
        struct answer *answer = conn->first;
        int n = SSL_write(conn->ssl, answer->data + answer->sent, (int)(answer->size - answer->sent));

        if (n <= 0) {
            return again(conn, n);
        }
        answer->sent += (size_t)n;
        if (answer->sent == answer->size) {
            drop_answer(conn);
        }
    }
    return !conn->ends || conn->first != NULL;
}

/* ---- requests ---- */

static bool pass_requests(struct conn *conn)
{
    ssize_t n = write(conn->up, conn->asked + conn->n_passed, conn->n_asked - conn->n_passed);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    conn->n_passed += (size_t)n;
    if (conn->n_passed == conn->n_asked) {
        conn->n_passed = conn->n_asked = 0;
    }
    return true;
}

static bool read_requests(struct conn *conn)
{
    int n = SSL_read(conn->ssl, conn->asked, sizeof(conn->asked));

    if (n <= 0) {
        return again(conn, n);
    }
    conn->n_asked = (size_t)n;
    return pass_requests(conn);
}

/* ---- the loop ---- */

static void obey(const struct order *order)
{
    struct route *route = &here.routes[order->host * PROXY_TARGETS + order->target];

    route->way = order->way == PROXY_CUT ? PROXY_PASS : (enum proxy_way)order->way;
    for (size_t i = 0; i < CONNS_MAX; i++) {
        struct conn *conn = &here.conns[i];

        if (conn->route != route) {
            continue;
        }
        if (order->way == PROXY_CUT || order->way == PROXY_EXPIRED) {
            end(conn);
            continue;
        }
        conn->tear = order->way == PROXY_TEAR ? roll(TEAR_MAX) + 1 : SIZE_MAX;
        for (struct answer *answer = conn->first; answer != NULL && order->way != PROXY_SLOW; answer = answer->next) {
            answer->due = 0;
        }
    }
}

/* Who started us is gone: so are we. */
static void read_orders(void)
{
    struct order order;
    ssize_t n;

    while ((n = read(here.orders, &order, sizeof(order))) == (ssize_t)sizeof(order)) {
        obey(&order);
    }
    if (n == 0) {
        _exit(0);
    }
}

static void watch_conn(const struct conn *conn, struct pollfd fds[2], int *limit_ms)
{
    fds[0].fd = fds[1].fd = -1;
    if (conn->route == NULL || conn->route->way == PROXY_HANG) {
        return;
    }
    fds[0] = (struct pollfd){.fd = conn->down, .events = conn->n_asked == 0 ? POLLIN : 0};
    fds[1] =
        (struct pollfd){.fd = conn->ends ? -1 : conn->up,
                        .events = (short)((conn->queued < QUEUE_MAX ? POLLIN : 0) | (conn->n_asked > 0 ? POLLOUT : 0))};
    if (is_due(conn)) {
        fds[0].events |= POLLOUT;
    } else if (conn->first != NULL) {
        int left = (int)(conn->first->due - rt_process_now_ms());

        *limit_ms = *limit_ms < 0 || left < *limit_ms ? left : *limit_ms;
    }
    if (conn->n_asked == 0 && SSL_pending(conn->ssl) > 0) {
        *limit_ms = 0;
    }
}

static void step_conn(struct conn *conn, const struct pollfd fds[2])
{
    bool goes = true;

    if (fds[0].fd < 0) {
        return;
    }
    if (fds[1].revents & (POLLIN | POLLHUP | POLLERR)) {
        read_answers(conn);
    }
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 || SSL_pending(conn->ssl) > 0) {
        goes = conn->n_asked > 0 ? (fds[0].revents & (POLLHUP | POLLERR)) == 0 : read_requests(conn);
    }
    if (goes && conn->n_asked > 0 && (fds[1].revents & POLLOUT) != 0) {
        goes = pass_requests(conn);
    }
    if (!goes || !pass_answers(conn)) {
        end(conn);
    }
}

static void turn(void)
{
    struct pollfd *listeners = &here.fds[1], *conns = &here.fds[1 + N_ROUTES];
    int limit_ms = -1;

    here.fds[0] = (struct pollfd){.fd = here.orders, .events = POLLIN};
    for (size_t i = 0; i < N_ROUTES; i++) {
        listeners[i] =
            (struct pollfd){.fd = here.routes[i].way == PROXY_HANG ? -1 : here.routes[i].listener, .events = POLLIN};
    }
    for (size_t i = 0; i < CONNS_MAX; i++) {
        watch_conn(&here.conns[i], &conns[2 * i], &limit_ms);
    }
    (void)poll(here.fds, N_FDS, limit_ms);
    for (size_t i = 0; i < CONNS_MAX; i++) {
        step_conn(&here.conns[i], &conns[2 * i]);
    }
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (listeners[i].revents != 0) {
            take(&here.routes[i]);
        }
    }
    if (here.fds[0].revents != 0) {
        read_orders();
    }
}

static SSL_CTX *context(const char *cert, const char *key)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        (void)fprintf(stderr, "chaos: %s cannot be used\n", cert);
        _exit(1);
    }
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

static _Noreturn void serve(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    (void)close(here.setup->close_fd);
    here.random = here.setup->seed;
    here.good = context(here.setup->cert, here.setup->key);
    here.old = context(here.setup->old_cert, here.setup->old_key);
    for (;;) {
        turn();
    }
}

/* ---- who starts it ---- */

/* A listener; its port has five digits. */
static int listen_on(uint16_t *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &size) != 0 || ntohs(addr.sin_port) < 10000) {
        (void)(fd >= 0 && close(fd));
        return -1;
    }
    *port = ntohs(addr.sin_port);
    return fd;
}

static void close_listeners(void)
{
    for (size_t i = 0; i < N_ROUTES; i++) {
        struct route *route = &here.routes[i];

        (void)(route->listener >= 0 && close(route->listener));
    }
}

int proxy_start(struct proxy *proxy, const struct proxy_setup *setup)
{
    pid_t parent = getpid();
    bool good = true;
    int orders[2];

    for (unsigned host = 0; host < PROXY_HOSTS; host++) {
        for (unsigned target = 0; target < PROXY_TARGETS; target++) {
            struct route *route = &here.routes[host * PROXY_TARGETS + target];

            *route = (struct route){.host = host, .target = target, .listener = listen_on(&proxy->ports[host][target])};
            good = good && route->listener >= 0;
        }
    }
    if (!good || pipe2(orders, O_CLOEXEC) != 0) {
        close_listeners();
        (void)fprintf(stderr, "chaos: no ports for the proxy: %s\n", strerror(errno));
        return -1;
    }
    here.setup = setup;
    here.proxy = proxy;
    here.orders = orders[0];
    (void)fflush(NULL);
    proxy->pid = fork();
    if (proxy->pid == 0) {
        (void)close(orders[1]);
        (void)fcntl(orders[0], F_SETFL, O_NONBLOCK);
        serve(parent);
    }
    close_listeners();
    (void)close(orders[0]);
    proxy->orders = orders[1];
    if (proxy->pid < 0) {
        proxy->pid = 0;
        (void)close(orders[1]);
        return -1;
    }
    return 0;
}

void proxy_set(const struct proxy *proxy, unsigned host, unsigned target, enum proxy_way way)
{
    struct order order = {.host = (uint8_t)host, .target = (uint8_t)target, .way = (uint8_t)way};

    if (write(proxy->orders, &order, sizeof(order)) != (ssize_t)sizeof(order)) {
        (void)fprintf(stderr, "chaos: the proxy is gone\n");
    }
}

void proxy_stop(struct proxy *proxy)
{
    if (proxy->pid > 0) {
        (void)close(proxy->orders);
        rt_process_kill(proxy->pid);
        proxy->pid = 0;
    }
}
