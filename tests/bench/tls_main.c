/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/tls.h"
#include "session/transport/link.h"
#include "tests/lib/certs/certs.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What TLS costs: handshakes, whole and resumed, and bytes beside a plain link. This process dials and sends, a child
 * accepts and reads, over TCP; each line has the time that each of them was on a processor.
 *
 *     bench-tls [HANDSHAKES [MIB]] */

#define PIECE ((size_t)64 * 1024)
#define AGENT_URI "spiffe://bench/retether/agent/a"

enum kind { PLAIN, FULL, RESUMED };

static struct rt_tls client_tls, agent_tls;
static struct rt_buf_pool pool;
static uv_loop_t loop;

struct end {
    struct rt_link link;
    bool closed, done;
    uint64_t seen, want;
    bool agent;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void must(bool true_, const char *what)
{
    if (!true_) {
        (void)fprintf(stderr, "bench-tls: %s\n", what);
        exit(1);
    }
}

static void say(struct end *end)
{
    static char byte = 'x';
    uv_buf_t buf = uv_buf_init(&byte, 1);

    must(rt_link_writev(&end->link, NULL, &buf, 1) == 0, "write");
}

static size_t on_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct end *end = link->data;

    (void)buf;
    (void)data;
    end->seen += size;
    if (end->seen >= end->want && !end->done) {
        end->done = true;
        if (end->agent) {
            say(end);
        }
    }
    return size;
}

static void on_close(struct rt_link *link, int reason, const char *text)
{
    struct end *end = link->data;

    end->closed = true;
    if (!end->done) {
        (void)fprintf(stderr, "bench-tls: %s: %s\n", rt_strerror(reason), text);
        exit(1);
    }
}

static void open_end(struct end *end, int fd, enum kind kind)
{
    static const struct rt_link_ops ops = {.on_data = on_data, .on_close = on_close};
    struct rt_link_setup setup = {.loop = &loop, .pool = &pool, .ops = &ops};

    if (kind != PLAIN) {
        setup.wire = (struct rt_wire_setup){.ops = &rt_wire_tls,
                                            .context = end->agent ? &agent_tls : &client_tls,
                                            .side = end->agent ? RT_WIRE_ACCEPTED : RT_WIRE_DIALLED,
                                            .expect = kind == RESUMED && !end->agent ? AGENT_URI : NULL};
    }
    end->link.data = end;
    must(rt_link_open(&end->link, fd, &setup) == 0, "open");
}

/* One connection after another: each reads `want` bytes, says one, and waits for the end. */
static void serve(int listener, enum kind kind, unsigned n, uint64_t want)
{
    for (unsigned i = 0; i < n; i++) {
        struct end end = {.agent = true, .want = want};
        open_end(&end, accept(listener, NULL, NULL), kind);
        while (!end.closed) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
    }
}

static void send_all(struct end *end, uint64_t size)
{
    static char piece[PIECE];

    for (uint64_t at = 0; at < size;) {
        uv_buf_t buf = uv_buf_init(piece, (unsigned)(size - at < PIECE ? size - at : PIECE));
        must(rt_link_writev(&end->link, NULL, &buf, 1) == 0, "write");
        at += buf.len;
        while (rt_link_queued(&end->link) > RT_LINK_QUEUE_HIGH) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
    }
}

static void dial(const struct sockaddr_in *to, enum kind kind, unsigned n, uint64_t size)
{
    for (unsigned i = 0; i < n; i++) {
        struct end end = {.want = 1};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) != 0) {
            die("connect");
        }
        open_end(&end, fd, kind);
        send_all(&end, size);
        while (!end.done) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        rt_link_close(&end.link, RT_LINK_NOW, 0, "done");
        while (!end.closed) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
    }
}

static double seconds_of(int who)
{
    struct rusage usage;

    (void)getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run(const char *what, enum kind kind, unsigned n, uint64_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    double own, child, began;
    double units = size > 1 ? (double)size / (1024.0 * 1024 * 1024) : (double)n;
    pid_t pid;

    if (bind(listener, (struct sockaddr *)&at, at_size) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &at_size) != 0) {
        die("listen");
    }
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        (void)uv_loop_fork(&loop);
        serve(listener, kind, n, size);
        _exit(0);
    }
    own = seconds_of(RUSAGE_SELF);
    child = seconds_of(RUSAGE_CHILDREN);
    began = now_s();
    dial(&at, kind, n, size);
    began = now_s() - began;
    (void)waitpid(pid, NULL, 0);
    (void)close(listener);
    own = seconds_of(RUSAGE_SELF) - own;
    child = seconds_of(RUSAGE_CHILDREN) - child;
    if (size > 1) {
        printf("%-20s dials %.3f s, accepts %.3f s of CPU a GiB; %.2f GiB/s\n", what, own / units, child / units,
               units / began);
    } else {
        printf("%-20s dials %.3f ms, accepts %.3f ms of CPU each; %.0f a second, one behind the other\n", what,
               own / units * 1e3, child / units * 1e3, units / began);
    }
}

static void set_up(void)
{
    static const struct rt_tls_ticket_key key = {.name = "bench"};
    char dir[] = "/tmp/retether-bench-XXXXXX", path[5][64], why[256] = "";
    static const char *const names[5] = {"ca.pem", "a.pem", "a.key", "c.pem", "c.key"};
    struct certs_ca ca;

    must(mkdtemp(dir) != NULL, "no folder");
    for (int i = 0; i < 5; i++) {
        (void)snprintf(path[i], sizeof(path[i]), "%s/%s", dir, names[i]);
    }
    certs_ca_init(&ca, "bench", NULL);
    certs_ca_append(&ca, path[0]);
    certs_issue_uri(&ca, AGENT_URI, path[1], path[2]);
    certs_issue_uri(&ca, "spiffe://bench/retether/vch/t", path[3], path[4]);
    certs_ca_close(&ca);
    struct rt_tls_settings settings = {.cert_file = path[1],
                                       .key_file = path[2],
                                       .ca_file = path[0],
                                       .domain = "bench",
                                       .ticket_keys = &key,
                                       .n_ticket_keys = 1};
    rt_tls_init(&agent_tls);
    rt_tls_init(&client_tls);
    must(rt_tls_load(&agent_tls, &settings, why, sizeof(why)) == 0, why);
    settings.cert_file = path[3];
    settings.key_file = path[4];
    must(rt_tls_load(&client_tls, &settings, why, sizeof(why)) == 0, why);
    for (int i = 0; i < 5; i++) {
        (void)unlink(path[i]);
    }
    (void)rmdir(dir);
}

int main(int argc, char **argv)
{
    unsigned handshakes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) * 1024 * 1024;

    (void)signal(SIGPIPE, SIG_IGN);
    must(uv_loop_init(&loop) == 0, "no loop");
    rt_buf_pool_init(&pool);
    set_up();
    run("plain connection", PLAIN, handshakes, 1);
    run("handshake", FULL, handshakes, 1);
    run("handshake, resumed", RESUMED, handshakes, 1);
    run("plain bytes", PLAIN, 1, bytes);
    run("TLS bytes", FULL, 1, bytes);
    return 0;
}
