/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/tls_world.h"

#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

/* A link over TLS that has been accepted, or dialled. The first byte chooses: bytes of the fuzzer's own; or an honest
 * far end whose bytes come in pieces of any size, one of them perhaps changed, left out, doubled, or the last. */

/* Of the first byte. */
enum { GARBAGE = 1, DIALLED = 2, EXPECTS = 4 };

static int open_end(struct tls_end *end, uint8_t how)
{
    return tls_end_open(end, how & DIALLED ? RT_WIRE_DIALLED : RT_WIRE_ACCEPTED,
                        (how & (DIALLED | EXPECTS)) == (DIALLED | EXPECTS) ? TLS_AGENT : NULL);
}

static void garbage(struct fuzz_in *in, uint8_t how)
{
    struct tls_end end;
    int fd = open_end(&end, how);

    while (in->size > 0 && !end.closed) {
        struct rt_slice bytes = fuzz_bytes(in);
        tls_deliver(in, fd, bytes.data, bytes.size);
    }
    FUZZ_CHECK(!end.ready && end.seen == 0);
    tls_end_close(&end, fd);
}

/* What is done to the far end's bytes, once: nothing happens before them, and what comes behind is as it was. */
struct fault {
    enum { HONEST, CHANGE, LEAVE_OUT, DOUBLE, CUT } kind;
    size_t at; /* bytes from now */
    bool done;
};

/* The far end's records, on their way. Returns whether the line still stands. */
static bool pass_on(struct fuzz_in *in, struct fault *fault, int fd, BIO *out)
{
    static uint8_t bytes[TLS_SENT_MAX + 8192];
    int got = BIO_read(out, bytes, sizeof(bytes) - 1);
    size_t size = got > 0 ? (size_t)got : 0;

    if (fault->kind == HONEST || fault->done || fault->at >= size) {
        fault->at -= fault->done || fault->kind == HONEST ? 0 : size;
        tls_deliver(in, fd, bytes, size);
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
    tls_deliver(in, fd, bytes, size);
    return fault->kind != CUT;
}

static void honest(struct fuzz_in *in, uint8_t how)
{
    struct fault fault = {.kind = fuzz_byte(in) % 5, .at = fuzz_number(in)};
    BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(how & DIALLED ? tls_world.server : tls_world.client);
    size_t sent = 0;
    bool stands = true, over = false;
    struct tls_end end;
    int fd = open_end(&end, how);

    FUZZ_CHECK(to != NULL && from != NULL && ssl != NULL);
    BIO_set_nbio(to, 1);
    SSL_set_bio(ssl, to, from);
    if (how & DIALLED) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    for (int i = 0; i < 40 && stands && !end.closed && !over; i++) {
        uint8_t bytes[4096];
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got > 0) {
            FUZZ_CHECK(BIO_write(to, bytes, (int)got) == (int)got);
        }
        ERR_clear_error();
        if (SSL_do_handshake(ssl) == 1) {
            uint64_t size = fuzz_number(in);
            size = size > TLS_SENT_MAX - sent ? TLS_SENT_MAX - sent : size;
            if (in->size == 0) {
                (void)SSL_shutdown(ssl);
                over = true;
            } else if (size == 0) {
                FUZZ_CHECK(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
            } else if (SSL_write(ssl, tls_world.bytes + sent, (int)size) == (int)size) {
                sent += size;
            }
        }
        stands = pass_on(in, &fault, fd, from);
        (void)uv_run(&tls_world.loop, UV_RUN_NOWAIT);
    }
    tls_end_close(&end, fd);
    FUZZ_CHECK(!end.ready || strcmp(end.peer, how & DIALLED ? TLS_AGENT : TLS_CLIENT) == 0);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint8_t how = fuzz_byte(&in);

    if (tls_world.client == NULL) {
        tls_world_init();
    }
    if (how & GARBAGE) {
        garbage(&in, how);
    } else {
        honest(&in, how);
    }
    return 0;
}
