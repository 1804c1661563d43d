/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/tls_world.h"

#include "session/base/file.h"
#include "session/tls/sessions.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16384)
/* The certificates outlive any campaign. */
#define VALID_S (30L * 365 * 86400)

struct tls_world tls_world;

static void on_ready(struct rt_link *link, const char *peer)
{
    struct tls_end *end = link->data;

    FUZZ_CHECK(!end->ready && end->seen == 0);
    (void)snprintf(end->peer, sizeof(end->peer), "%s", peer);
    end->ready = true;
}

static size_t on_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct tls_end *end = link->data;

    (void)buf;
    FUZZ_CHECK(end->ready && size <= TLS_SENT_MAX - end->seen);
    FUZZ_CHECK(memcmp(data, tls_world.bytes + end->seen, size) == 0);
    end->seen += size;
    return size;
}

static void on_close(struct rt_link *link, int reason, const char *text)
{
    struct tls_end *end = link->data;

    FUZZ_CHECK(!end->closed && reason < 0 && text[0] != '\0');
    end->closed = true;
    (void)snprintf(end->text, sizeof(end->text), "%s", text);
}

static void issue(const char *uri, const char *cert_file, const char *key_file)
{
    struct certs_spec spec = {.cert_file = cert_file,
                              .key_file = key_file,
                              .uris = {rt_slice_text(uri)},
                              .n_uris = 1,
                              .serial = 2,
                              .until_s = VALID_S};

    certs_issue(&tls_world.ca, &spec);
}

static void keep_file(enum tls_file which, const char *path)
{
    tls_world.file[which] = malloc(FILE_MAX);
    FUZZ_CHECK(tls_world.file[which] != NULL);
    FUZZ_CHECK(rt_read_file(path, tls_world.file[which], FILE_MAX, &tls_world.file_size[which]) == 0);
    FUZZ_CHECK(unlink(path) == 0);
}

static const unsigned char alpn[] = "\x0a" RT_TLS_ALPN;

static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in, unsigned in_size,
                   void *data)
{
    (void)ssl;
    (void)in;
    (void)in_size;
    (void)data;
    *out = alpn + 1;
    *size = sizeof(alpn) - 2;
    return SSL_TLSEXT_ERR_OK;
}

/* It takes any certificate: whom it lets in is not what is tested. */
static int verify_cb(int ok, X509_STORE_CTX *chain)
{
    (void)ok;
    (void)chain;
    return 1;
}

static SSL_CTX *far_end(const SSL_METHOD *method, const char *cert_file, const char *key_file)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    FUZZ_CHECK(ctx != NULL && SSL_CTX_use_certificate_file(ctx, cert_file, SSL_FILETYPE_PEM) == 1);
    FUZZ_CHECK(SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) == 1);
    return ctx;
}

void tls_world_init(void)
{
    static const char *const names[TLS_FILES] = {"cert", "key", "ca", "crl", "client", "client-key"};
    static const long revoked[] = {TLS_REVOKED};
    char dir[] = "/tmp/retether-fuzz-XXXXXX", path[TLS_FILES][64], why[256];

    (void)signal(SIGPIPE, SIG_IGN);
    FUZZ_CHECK(uv_loop_init(&tls_world.loop) == 0 && mkdtemp(dir) != NULL);
    for (int i = 0; i < TLS_FILES; i++) {
        (void)snprintf(path[i], sizeof(path[i]), "%s/%s", dir, names[i]);
    }
    certs_ca_init(&tls_world.ca, "lab", NULL);
    certs_ca_init(&tls_world.other, "lab", NULL);
    certs_ca_append(&tls_world.ca, path[TLS_CA]);
    certs_crl_append(&tls_world.ca, revoked, 1, -3600, VALID_S, path[TLS_CRL]);
    issue(TLS_AGENT, path[TLS_CERT], path[TLS_KEY]);
    issue(TLS_CLIENT, path[TLS_CLIENT_CERT], path[TLS_CLIENT_KEY]);
    struct rt_tls_settings settings = {.cert_file = path[TLS_CERT],
                                       .key_file = path[TLS_KEY],
                                       .ca_file = path[TLS_CA],
                                       .crl_file = path[TLS_CRL],
                                       .domain = TLS_DOMAIN};
    rt_tls_init(&tls_world.tls);
    FUZZ_CHECK(rt_tls_load(&tls_world.tls, &settings, why, sizeof(why)) == 0);
    tls_world.client = far_end(TLS_client_method(), path[TLS_CLIENT_CERT], path[TLS_CLIENT_KEY]);
    FUZZ_CHECK(SSL_CTX_set_alpn_protos(tls_world.client, alpn, sizeof(alpn) - 1) == 0);
    tls_world.server = far_end(TLS_server_method(), path[TLS_CERT], path[TLS_KEY]);
    SSL_CTX_set_alpn_select_cb(tls_world.server, alpn_cb, NULL);
    SSL_CTX_set_verify(tls_world.server, SSL_VERIFY_PEER, verify_cb);
    FUZZ_CHECK(SSL_CTX_set_session_id_context(tls_world.server, alpn, sizeof(alpn) - 1) == 1);
    for (unsigned i = 0; i < TLS_FILES; i++) {
        keep_file((enum tls_file)i, path[i]);
    }
    FUZZ_CHECK(rmdir(dir) == 0);
    for (size_t i = 0; i < TLS_SENT_MAX; i++) {
        tls_world.bytes[i] = (uint8_t)(i * 131 + (i >> 8) * 7);
    }
}

int tls_end_open(struct tls_end *end, enum rt_wire_side side, const char *expect)
{
    static const struct rt_link_ops ops = {.on_ready = on_ready, .on_data = on_data, .on_close = on_close};
    struct rt_link_setup setup = {
        .loop = &tls_world.loop,
        .pool = &tls_world.pool,
        .ops = &ops,
        .wire = {.ops = &rt_wire_tls, .context = &tls_world.tls, .side = side, .expect = expect}};
    int fds[2];

    rt_buf_pool_init(&tls_world.pool);
    memset(end, 0, sizeof(*end));
    end->link.data = end;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    FUZZ_CHECK(rt_link_open(&end->link, fds[0], &setup) == 0);
    return fds[1];
}

void tls_end_close(struct tls_end *end, int fd)
{
    (void)close(fd);
    for (int i = 0; i < 1000 && !end->closed; i++) {
        (void)uv_run(&tls_world.loop, UV_RUN_NOWAIT);
    }
    FUZZ_CHECK(end->closed);
    rt_buf_pool_close(&tls_world.pool);
    rt_tls_sessions_close(&tls_world.tls); /* so that no input depends on the one before it */
}

void tls_deliver(struct fuzz_in *in, int fd, const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at < size) {
        uint64_t piece = fuzz_number(in);
        ssize_t sent;
        piece = piece == 0 || piece > size - at ? size - at : piece;
        sent = write(fd, data + at, piece);
        if (sent < 0) {
            break;
        }
        at += (size_t)sent;
        (void)uv_run(&tls_world.loop, UV_RUN_NOWAIT);
    }
}
