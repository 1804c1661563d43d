/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/tls.h"
#include "session/tls/verify.h"
#include "session/transport/link.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/certs/certs.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* A link over TLS that has been accepted. The first byte chooses: bytes of the fuzzer's own; an honest client whose
 * bytes come in pieces of any size, one of them perhaps changed, left out, doubled, or the last; a name, or names, of a
 * certificate. */

#define DOMAIN "lab.example"
#define SENT_MAX 60000

static struct {
    uv_loop_t loop;
    struct rt_buf_pool pool;
    struct rt_tls tls;
    SSL_CTX *client;
    uint8_t bytes[SENT_MAX]; /* what a client sends is a part of these */
} world;

struct end {
    struct rt_link link;
    bool ready, closed;
    size_t seen;
    char text[RT_LINK_TEXT_MAX];
};

static void on_ready(struct rt_link *link, const char *peer)
{
    struct end *end = link->data;

    FUZZ_CHECK(!end->ready && end->seen == 0);
    FUZZ_CHECK(strcmp(peer, "spiffe://" DOMAIN "/retether/vch/acme") == 0);
    end->ready = true;
}

static size_t on_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct end *end = link->data;

    (void)buf;
    FUZZ_CHECK(end->ready && size <= SENT_MAX - end->seen);
    FUZZ_CHECK(memcmp(data, world.bytes + end->seen, size) == 0);
    end->seen += size;
    return size;
}

static void on_close(struct rt_link *link, int reason, const char *text)
{
    struct end *end = link->data;

    FUZZ_CHECK(!end->closed && reason < 0 && text[0] != '\0');
    end->closed = true;
    (void)snprintf(end->text, sizeof(end->text), "%s", text);
}

static const struct rt_link_ops ops = {.on_ready = on_ready, .on_data = on_data, .on_close = on_close};

static void set_up(void)
{
    char dir[] = "/tmp/retether-fuzz-XXXXXX", path[5][64], why[256];
    static const char *const names[5] = {"ca.pem", "agent.pem", "agent.key", "client.pem", "client.key"};
    struct certs_ca ca;

    (void)signal(SIGPIPE, SIG_IGN);
    FUZZ_CHECK(uv_loop_init(&world.loop) == 0 && mkdtemp(dir) != NULL);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(path[i], sizeof(path[i]), "%s/%s", dir, names[i]);
    }
    certs_ca_init(&ca, "lab", NULL);
    certs_ca_append(&ca, path[0]);
    certs_issue_uri(&ca, "spiffe://" DOMAIN "/retether/agent/esx17", path[1], path[2]);
    certs_issue_uri(&ca, "spiffe://" DOMAIN "/retether/vch/acme", path[3], path[4]);
    certs_ca_close(&ca);
    struct rt_tls_settings settings = {.cert_file = path[1], .key_file = path[2], .ca_file = path[0], .domain = DOMAIN};
    rt_tls_init(&world.tls);
    FUZZ_CHECK(rt_tls_load(&world.tls, &settings, why, sizeof(why)) == 0);
    world.client = SSL_CTX_new(TLS_client_method());
    FUZZ_CHECK(world.client != NULL && SSL_CTX_use_certificate_file(world.client, path[3], SSL_FILETYPE_PEM) == 1);
    FUZZ_CHECK(SSL_CTX_use_PrivateKey_file(world.client, path[4], SSL_FILETYPE_PEM) == 1);
    FUZZ_CHECK(SSL_CTX_set_alpn_protos(world.client, (const unsigned char *)"\x0a" RT_TLS_ALPN, 11) == 0);
    for (int i = 0; i < 5; i++) {
        FUZZ_CHECK(unlink(path[i]) == 0);
    }
    FUZZ_CHECK(rmdir(dir) == 0);
    for (size_t i = 0; i < SENT_MAX; i++) {
        world.bytes[i] = (uint8_t)(i * 131 + (i >> 8) * 7);
    }
}

static int open_end(struct end *end)
{
    struct rt_link_setup setup = {.loop = &world.loop,
                                  .pool = &world.pool,
                                  .ops = &ops,
                                  .wire = {.ops = &rt_wire_tls, .context = &world.tls, .side = RT_WIRE_ACCEPTED}};
    int fds[2];

    rt_buf_pool_init(&world.pool);
    memset(end, 0, sizeof(*end));
    end->link.data = end;
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    FUZZ_CHECK(rt_link_open(&end->link, fds[0], &setup) == 0);
    return fds[1];
}

static void close_end(struct end *end, int fd)
{
    (void)close(fd);
    for (int i = 0; i < 1000 && !end->closed; i++) {
        (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    FUZZ_CHECK(end->closed);
    rt_buf_pool_close(&world.pool);
}

/* Pieces of these bytes, of the sizes that the input says. Returns how many the socket took. */
static size_t deliver(struct fuzz_in *in, int fd, const uint8_t *data, size_t size)
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
        (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    return at;
}

static void garbage(struct fuzz_in *in)
{
    struct end end;
    int fd = open_end(&end);

    while (in->size > 0 && !end.closed) {
        struct rt_slice bytes = fuzz_bytes(in);
        (void)deliver(in, fd, bytes.data, bytes.size);
    }
    FUZZ_CHECK(!end.ready && end.seen == 0);
    close_end(&end, fd);
}

/* What is done to the client's bytes, once: nothing happens before them, and what comes behind is as it was. */
struct fault {
    enum { HONEST, CHANGE, LEAVE_OUT, DOUBLE, CUT } kind;
    size_t at; /* bytes from now */
    bool done;
};

/* The client's records, on their way. Returns whether the line still stands. */
static bool pass_on(struct fuzz_in *in, struct fault *fault, int fd, BIO *out)
{
    static uint8_t bytes[SENT_MAX + 8192];
    int got = BIO_read(out, bytes, sizeof(bytes) - 1);
    size_t size = got > 0 ? (size_t)got : 0;

    if (fault->kind == HONEST || fault->done || fault->at >= size) {
        fault->at -= fault->done || fault->kind == HONEST ? 0 : size;
        (void)deliver(in, fd, bytes, size);
        return true;
    }
    fault->done = true;
    switch (fault->kind) {
    case CHANGE:
        bytes[fault->at] ^= (uint8_t)(1U << fuzz_byte(in) % 8);
        break;
    case LEAVE_OUT:
        memmove(bytes + fault->at, bytes + fault->at + 1, --size - fault->at);
        break;
    case DOUBLE:
        memmove(bytes + fault->at + 1, bytes + fault->at, size++ - fault->at);
        break;
    default:
        size = fault->at;
        break;
    }
    (void)deliver(in, fd, bytes, size);
    return fault->kind != CUT;
}

static void honest(struct fuzz_in *in)
{
    struct fault fault = {.kind = fuzz_byte(in) % 5, .at = fuzz_number(in)};
    BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(world.client);
    size_t sent = 0;
    bool stands = true, over = false;
    struct end end;
    int fd = open_end(&end);

    FUZZ_CHECK(to != NULL && from != NULL && ssl != NULL);
    BIO_set_nbio(to, 1);
    SSL_set_bio(ssl, to, from);
    SSL_set_connect_state(ssl);
    for (int i = 0; i < 40 && stands && !end.closed && !over; i++) {
        uint8_t bytes[4096];
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got > 0) {
            FUZZ_CHECK(BIO_write(to, bytes, (int)got) == (int)got);
        }
        ERR_clear_error();
        if (SSL_do_handshake(ssl) == 1) {
            uint64_t size = fuzz_number(in);
            size = size > SENT_MAX - sent ? SENT_MAX - sent : size;
            if (in->size == 0) {
                (void)SSL_shutdown(ssl);
                over = true;
            } else if (size == 0) {
                FUZZ_CHECK(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
            } else if (SSL_write(ssl, world.bytes + sent, (int)size) == (int)size) {
                sent += size;
            }
        }
        stands = pass_on(in, &fault, fd, from);
        (void)uv_run(&world.loop, UV_RUN_NOWAIT);
    }
    close_end(&end, fd);
    FUZZ_CHECK(end.seen <= sent);
    if (strcmp(end.text, "closed by the peer") == 0) {
        FUZZ_CHECK(over && end.seen == sent); /* nobody else can say so, or earlier */
    }
    if (fault.kind == HONEST) {
        FUZZ_CHECK(!over || (end.ready && strcmp(end.text, "closed by the peer") == 0));
    }
    SSL_free(ssl);
    ERR_clear_error();
}

static void check_identity(int rc, const struct rt_identity *identity, const char *why, struct rt_slice uri)
{
    char text[RT_IDENTITY_TEXT_MAX];

    FUZZ_CHECK(rc == 0 || (rc == RT_EAUTH && why[0] != '\0'));
    if (rc != 0) {
        FUZZ_CHECK(identity->role == RT_IDENTITY_VCH && identity->name[0] == '\0');
        return;
    }
    FUZZ_CHECK(strchr(identity->name, '/') == NULL && identity->name[0] != '.');
    rt_identity_print(identity, DOMAIN, text);
    FUZZ_CHECK(uri.data == NULL || rt_slice_equal(rt_slice_text(text), uri));
}

/* One URI; or all names of a certificate, as they are encoded in it. */
static void name(struct rt_slice bytes, bool encoded)
{
    struct rt_identity identity;
    char why[RT_TLS_WHY_MAX] = "";

    if (!encoded) {
        check_identity(rt_identity_parse(&identity, &bytes, 1, DOMAIN, why, sizeof(why)), &identity, why, bytes);
        return;
    }
    X509 *cert = X509_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    FUZZ_CHECK(cert != NULL && value != NULL && ASN1_OCTET_STRING_set(value, bytes.data, (int)bytes.size) == 1);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
    FUZZ_CHECK(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    check_identity(rt_tls_identity(cert, DOMAIN, &identity, why, sizeof(why)), &identity, why,
                   (struct rt_slice){NULL, 0});
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    X509_free(cert);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t choice = fuzz_byte(&in) % 4;

    if (world.client == NULL) {
        set_up();
    }
    switch (choice) {
    case 0:
        honest(&in);
        break;
    case 1:
        garbage(&in);
        break;
    default:
        name((struct rt_slice){in.data, in.size}, choice == 2);
        break;
    }
    return 0;
}
