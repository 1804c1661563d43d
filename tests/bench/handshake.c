/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* TLS handshakes with the agent and with HAProxy, by a client of OpenSSL's own, one behind the other. Each ends once
 * the server's ticket has come; both servers then close, or are closed on. */

#define EACH 500
#define EACH_QUICK 20
/* What the server does behind the last one. */
#define SETTLE_MS 50

static const char *const kinds[] = {"whole", "resumed"};

/* Takes the newest ticket's session into the place that the connection has for it. */
static int session_cb(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION **at = SSL_get_app_data(ssl);

    SSL_SESSION_free(*at);
    *at = session;
    return 1;
}

static SSL_CTX *make_client(const struct bench *bench)
{
    static const unsigned char alpn[] = "\x0aretether/1";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    char cert[BENCH_PATH + 16], key[BENCH_PATH + 16], ca[BENCH_PATH + 16];

    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", bench->client_certs);
    (void)snprintf(key, sizeof(key), "%s/key.pem", bench->client_certs);
    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", bench->client_certs);
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, BENCH_TLS_CIPHER) != 1 || SSL_CTX_set1_groups_list(ctx, BENCH_TLS_GROUP) != 1 ||
        SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_load_verify_file(ctx, ca) != 1 ||
        SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0) {
        bench_die("no TLS client");
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, session_cb);
    return ctx;
}

static int dial(unsigned port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        bench_die("port %u: %s", port, strerror(errno));
    }
    return fd;
}

/* One handshake, by the session if there is one, which the next one's takes the place of. Returns its microseconds,
 * from the SYN on. */
static double shake(SSL_CTX *ctx, unsigned port, SSL_SESSION **session)
{
    SSL_SESSION *old = *session;
    uint64_t began = bench_now_ns(), done;
    int fd = dial(port);
    SSL *ssl = SSL_new(ctx);
    char byte;

    *session = NULL;
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set_app_data(ssl, session) != 1 ||
        (old != NULL && SSL_set_session(ssl, old) != 1) || SSL_connect(ssl) != 1) {
        ERR_print_errors_fp(stderr);
        bench_die("port %u: no handshake", port);
    }
    done = bench_now_ns();
    if (SSL_session_reused(ssl) != (old != NULL)) {
        bench_die("port %u: a session is resumed, or not, against what was asked for", port);
    }
    while (*session == NULL) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int rc = poll(&ready, 1, BENCH_LIMIT_MS) == 1 ? SSL_read(ssl, &byte, 1) : -1;

        if (*session == NULL && SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ) {
            bench_die("port %u: no ticket comes", port);
        }
    }
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
    SSL_SESSION_free(old);
    ERR_clear_error();
    return (double)(done - began) / 1e3;
}

static void measure(struct bench *bench, enum bench_who who, SSL_CTX *ctx, bool resumed)
{
    bool is_ours = who == BENCH_RETETHER;
    pid_t server = is_ours ? bench->cluster.hosts[0].pid : bench->haproxy[0];
    unsigned port = is_ours ? (unsigned)strtoul(strrchr(bench->client_tls, ':') + 1, NULL, 10) : bench->haproxy_shakes;
    unsigned n = bench->options.quick ? EACH_QUICK : EACH;
    double *took = calloc(n, sizeof(*took));
    SSL_SESSION *session = NULL;
    uint64_t cpu;
    char name[64];

    if (took == NULL) {
        bench_die("no memory");
    }
    (void)shake(ctx, port, &session); /* warm, and a session for the others */
    rt_process_sleep_ms(SETTLE_MS);
    cpu = bench_cpu_ns(server);
    for (unsigned i = 0; i < n; i++) {
        if (!resumed) {
            SSL_SESSION_free(session);
            session = NULL;
        }
        took[i] = shake(ctx, port, &session);
    }
    rt_process_sleep_ms(SETTLE_MS);
    cpu = bench_cpu_ns(server) - cpu;
    SSL_SESSION_free(session);
    report_sort(took, n);
    (void)snprintf(name, sizeof(name), "CPU of the server, a handshake, %s", kinds[resumed]);
    report_sample(report_figure(&bench->report, "handshake", name, "ms", false), bench_who_name(who),
                  (double)cpu / n / 1e6);
    (void)snprintf(name, sizeof(name), "time of a handshake, %s, p50", kinds[resumed]);
    report_sample(report_figure(&bench->report, "handshake", name, "us", false), bench_who_name(who),
                  report_rank(took, n, 0.5));
    free(took);
}

void bench_handshake(struct bench *bench)
{
    SSL_CTX *ctx;

    bench_world_start(bench, 1);
    ctx = make_client(bench);
    for (unsigned round = 0; round < bench_rounds(bench); round++) {
        for (int resumed = 0; resumed < 2; resumed++) {
            for (enum bench_who who = BENCH_RETETHER; who <= BENCH_HAPROXY; who++) {
                if (bench_who_there(bench, who)) {
                    measure(bench, who, ctx, resumed == 1);
                }
            }
        }
    }
    SSL_CTX_free(ctx);
    bench_world_stop(bench);
}
