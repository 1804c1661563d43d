/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/bio.h"
#include "session/tls/sessions.h"
#include "session/tls/tls.h"
#include "session/tls/verify.h"
#include "session/tls/words.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* Plain bytes of a record (RFC 8446 section 5.1), and more than what it adds to them. */
#define RECORD ((size_t)16384)
#define RECORD_ADDS 64

/* SHAKING --handshake done--> READY --close_notify--> ENDED ----> CLOSING
 *    '------ it fails -----> FAILED <--- bad record ----'  '--------^
 * It waits in SHAKING and READY for the peer. In ENDED and FAILED it has told the link, which then closes it. */
enum phase { SHAKING, READY, ENDED, FAILED, CLOSING };

/* One connection:
 *
 *     link    writes: bufs ----------.            .-------> room of the link
 *     SSL              SSL_write(scratch or buf)  SSL_read
 *     pipe                  out                   in: of the context's input
 *     below         flight: a plain write         a plain read
 */
struct tls {
    struct rt_wire below;
    struct rt_wire *wire; /* above */
    struct rt_tls_peer peer;
    SSL *ssl; /* owned */
    struct rt_tls_pipe pipe;
    struct rt_tls_out flight; /* what the plain wire writes now */
    enum phase phase;
    bool paused;
    enum { WRITE_NONE, WRITE_HELD, WRITE_GOES } writing; /* the link's: held until the handshake is done */
    size_t write_size;                                   /* bytes of it */
    uv_buf_t *held;                                      /* owned: the pieces of a held one */
    unsigned n_held;
};

#define TLS_OF(ptr) ((struct tls *)(void *)((char *)(ptr)-offsetof(struct tls, below)))

static void end(struct tls *tls, enum phase phase, int reason, const char *why)
{
    char text[RT_TLS_WHY_MAX + 16];

    (void)snprintf(text, sizeof(text), "%s%s", tls->phase == SHAKING ? "handshake: " : "", why);
    tls->phase = phase;
    tls->wire->events->on_end(tls->wire, reason, text);
}

/* OpenSSL has failed. */
static void fail(struct tls *tls)
{
    char why[RT_TLS_WHY_MAX];
    int reason = rt_tls_failure(why, sizeof(why));

    if (tls->peer.why[0] != '\0') {
        end(tls, FAILED, RT_EAUTH, tls->peer.why);
    } else {
        end(tls, FAILED, reason, why);
    }
}

/* Lets the plain wire write what there is, unless it still does. Returns 0 or a libuv code. */
static int flush(struct tls *tls)
{
    uv_buf_t buf;
    int err;

    if (tls->flight.data != NULL || tls->pipe.out.size == 0) {
        return 0;
    }
    tls->flight = tls->pipe.out;
    tls->pipe.out = (struct rt_tls_out){NULL, 0, 0};
    buf = uv_buf_init((char *)tls->flight.data, (unsigned)tls->flight.size);
    err = rt_wire_plain.write(&tls->below, &buf, 1);
    if (err != 0) {
        rt_tls_out_free(&tls->flight);
    }
    return err;
}

/* One SSL_write of at most a record. */
static int put(struct tls *tls, const void *data, size_t size)
{
    size_t written;

    ERR_clear_error();
    if (SSL_write_ex(tls->ssl, data, size, &written) == 1) {
        assert(written == size);
        return 0;
    }
    ERR_clear_error(); /* behind a handshake nothing but memory can be short */
    return UV_ENOMEM;
}

/* Makes records of the pieces, full ones but for the last: small pieces are gathered for them. */
static int encrypt(struct tls *tls, const uv_buf_t *bufs, unsigned n)
{
    uint8_t scratch[RECORD];
    size_t have = 0;
    int err = 0;

    if (!rt_tls_reserve(&tls->pipe.out, tls->write_size + (tls->write_size / RECORD + 1) * RECORD_ADDS)) {
        return UV_ENOMEM;
    }
    for (unsigned i = 0; i < n && err == 0; i++) {
        for (size_t at = 0, size; at < bufs[i].len && err == 0; at += size) {
            size = bufs[i].len - at;
            if (have == 0 && size >= RECORD) {
                size = RECORD;
                err = put(tls, bufs[i].base + at, size);
                continue;
            }
            size = size < RECORD - have ? size : RECORD - have;
            memcpy(scratch + have, bufs[i].base + at, size);
            have += size;
            if (have == RECORD) {
                err = put(tls, scratch, have);
                have = 0;
            }
        }
    }
    return err == 0 && have > 0 ? put(tls, scratch, have) : err;
}

/* The link's write, on its way. */
static int send_out(struct tls *tls, const uv_buf_t *bufs, unsigned n)
{
    int err;

    tls->writing = WRITE_GOES;
    err = encrypt(tls, bufs, n);
    if (err == 0) {
        err = flush(tls);
    }
    if (err != 0) {
        tls->writing = WRITE_NONE;
    }
    return err;
}

static void send_held(struct tls *tls)
{
    uv_buf_t *held = tls->held;
    int err;

    if (tls->writing != WRITE_HELD) {
        return;
    }
    tls->held = NULL;
    err = send_out(tls, held, tls->n_held);
    free(held);
    if (err != 0) {
        tls->wire->events->on_written(tls->wire, err);
    }
}

static void on_written(struct rt_wire *below, int status)
{
    struct tls *tls = TLS_OF(below);

    rt_tls_out_free(&tls->flight);
    if (tls->phase == CLOSING) {
        return;
    }
    if (status == 0) {
        status = flush(tls);
    }
    if (tls->writing == WRITE_GOES && (status != 0 || tls->flight.data == NULL)) {
        tls->writing = WRITE_NONE;
        tls->wire->events->on_written(tls->wire, status);
    } /* a handshake that cannot be written ends by what can be read */
}

/* The handshake is done, and by it the peer's certificate was believed, or that of the session which it resumes. */
static void ready(struct tls *tls)
{
    const unsigned char *alpn;
    unsigned alpn_size;
    struct rt_identity identity;
    char uri[RT_IDENTITY_TEXT_MAX];

    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_size);
    if (alpn_size == 0 && !tls->peer.tls->by_name) { /* it was not asked for; another one would not have been chosen */
        end(tls, FAILED, RT_EPROTO, "the peer does not speak " RT_TLS_ALPN);
        return;
    }
    if (rt_tls_check_peer(&tls->peer, SSL_get0_peer_certificate(tls->ssl), &identity) != 0) {
        fail(tls);
        return;
    }
    if (rt_tls_is_revoked(tls->ssl, tls->peer.tls->ctx)) { /* the files were read anew since it began */
        end(tls, FAILED, RT_EAUTH, "the peer's certificate has been revoked");
        return;
    }
    tls->phase = READY;
    tls->pipe.budget = SIZE_MAX;
    if (tls->paused) {
        rt_wire_plain.pause(&tls->below);
    }
    if (SSL_session_reused(tls->ssl) == 1) {
        tls->peer.tls->resumed++;
    } else {
        tls->peer.tls->whole++;
    }
    if (!tls->peer.tls->by_name) {
        rt_identity_print(&identity, tls->peer.tls->domain, uri);
    }
    tls->wire->events->on_ready(tls->wire, tls->peer.tls->by_name ? tls->peer.name : uri);
    if (tls->phase == READY) {
        send_held(tls);
    }
}

static void shake_hands(struct tls *tls)
{
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        ready(tls);
    } else if (SSL_get_error(tls->ssl, rc) != SSL_ERROR_WANT_READ) {
        fail(tls);
    } else if (tls->pipe.budget == 0) {
        end(tls, FAILED, RT_ELIMIT, "the peer says too much");
    }
}

/* Fills the link's room from as many records as there are. Returns whether there may be more. */
static bool read_some(struct tls *tls)
{
    uv_buf_t room = tls->wire->events->on_room(tls->wire);
    size_t size = 0, got;
    int error = SSL_ERROR_NONE;

    if (room.len == 0) {
        end(tls, FAILED, RT_ENOMEM, "no memory to read");
        return false;
    }
    ERR_clear_error();
    for (; size < room.len && error == SSL_ERROR_NONE; size += got) {
        got = 0;
        error = SSL_get_error(tls->ssl, SSL_read_ex(tls->ssl, room.base + size, room.len - size, &got));
    }
    if (size > 0) {
        tls->wire->events->on_read(tls->wire, size);
    }
    if (tls->phase != READY || tls->paused || error == SSL_ERROR_WANT_READ) {
        return false;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        end(tls, ENDED, RT_ECONN, "closed by the peer");
    } else if (error != SSL_ERROR_NONE) {
        fail(tls);
    }
    return error == SSL_ERROR_NONE;
}

/* After whatever may have brought it further. */
static void go_on(struct tls *tls)
{
    if (tls->phase == SHAKING) {
        shake_hands(tls);
    }
    while (tls->phase == READY && !tls->paused && read_some(tls)) {
    }
    if (tls->phase == SHAKING || tls->phase == READY) {
        (void)flush(tls); /* of a handshake; its failure shows when nothing can be read */
    }
}

static uv_buf_t on_room(struct rt_wire *below)
{
    return uv_buf_init((char *)TLS_OF(below)->peer.tls->input, RT_TLS_INPUT_SIZE);
}

static void on_read(struct rt_wire *below, size_t size)
{
    struct tls *tls = TLS_OF(below);

    tls->pipe.in = tls->peer.tls->input;
    tls->pipe.in_size = size;
    go_on(tls);
    tls->pipe.in_size = 0;
}

static void on_end(struct rt_wire *below, int reason, const char *why)
{
    struct tls *tls = TLS_OF(below);
    char text[RT_TLS_WHY_MAX];

    (void)snprintf(text, sizeof(text), "cut off: %s", why);
    end(tls, FAILED, reason, text);
}

static void on_closed(struct rt_wire *below)
{
    struct tls *tls = TLS_OF(below);
    struct rt_wire *wire = tls->wire;

    /* To OpenSSL a connection that was cut spoils its session, as one in which something was wrong has done before. */
    if (tls->ssl != NULL) {
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(tls->ssl);
    rt_tls_out_free(&tls->pipe.out);
    rt_tls_out_free(&tls->flight);
    free(tls->held);
    free(tls);
    wire->events->on_closed(wire);
}

static const struct rt_wire_events events = {
    .on_room = on_room, .on_read = on_read, .on_written = on_written, .on_end = on_end, .on_closed = on_closed};

static int open_ssl(struct tls *tls, struct rt_tls *context, enum rt_wire_side side)
{
    BIO *bio = rt_tls_bio_new(context->method, &tls->pipe);

    tls->ssl = SSL_new(context->ctx);
    if (bio == NULL || tls->ssl == NULL) {
        ERR_clear_error();
        BIO_free(bio);
        return UV_ENOMEM;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, &tls->peer);
    if (side == RT_WIRE_DIALLED) {
        SSL_set_connect_state(tls->ssl);
        if (context->by_name && !rt_tls_is_address(tls->peer.name)) {
            (void)SSL_set_tlsext_host_name(tls->ssl, tls->peer.name); /* of several servers at one address */
        }
        rt_tls_sessions_offer(tls->ssl, &tls->peer);
    } else {
        SSL_set_accept_state(tls->ssl);
    }
    return 0;
}

static int set_expect(struct rt_tls_peer *peer, const struct rt_wire_setup *setup)
{
    struct rt_slice uri;
    char why[RT_TLS_WHY_MAX];

    if (peer->tls->by_name) {
        return setup->side != RT_WIRE_DIALLED || setup->expect == NULL || setup->expect[0] == '\0' ||
                       (size_t)snprintf(peer->name, sizeof(peer->name), "%s", setup->expect) >= sizeof(peer->name)
                   ? UV_EINVAL
                   : 0;
    }
    if (setup->expect == NULL) {
        return 0;
    }
    uri = rt_slice_text(setup->expect);
    if (rt_identity_parse(&peer->expect, &uri, 1, peer->tls->domain, why, sizeof(why)) != 0) {
        return setup->guess ? 0 : UV_EINVAL;
    }
    peer->expects = setup->guess ? RT_TLS_PERHAPS : RT_TLS_NOBODY_ELSE;
    return 0;
}

static int tls_open(struct rt_wire *wire, uv_loop_t *loop, int fd, const struct rt_wire_setup *setup)
{
    struct rt_tls *context = setup->context;
    struct tls *tls = calloc(1, sizeof(*tls));
    int err;

    if (tls == NULL || context->ctx == NULL) {
        free(tls);
        wire->ops = &rt_wire_plain; /* closes it */
        (void)rt_wire_plain.open(wire, loop, fd, setup);
        return context->ctx == NULL ? UV_EINVAL : UV_ENOMEM;
    }
    wire->state = tls;
    tls->wire = wire;
    tls->peer.tls = context;
    tls->pipe.budget = RT_TLS_HANDSHAKE_MAX;
    tls->below = (struct rt_wire){.ops = &rt_wire_plain, .events = &events};
    err = rt_wire_plain.open(&tls->below, loop, fd, &(struct rt_wire_setup){.side = setup->side});
    if (err == 0) {
        err = set_expect(&tls->peer, setup);
    }
    if (err == 0) {
        err = open_ssl(tls, context, setup->side);
    }
    if (err == 0 && setup->side == RT_WIRE_DIALLED) {
        ERR_clear_error();
        (void)SSL_do_handshake(tls->ssl); /* who dials speaks first; that wants an answer, or is told again */
        err = flush(tls);
    }
    return err;
}

static void tls_pause(struct rt_wire *wire)
{
    struct tls *tls = wire->state;

    tls->paused = true;
    if (tls->phase == READY) {
        rt_wire_plain.pause(&tls->below);
    }
}

static int tls_write(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n)
{
    struct tls *tls = wire->state;
    uv_buf_t *held;

    tls->write_size = 0;
    for (unsigned i = 0; i < n; i++) {
        tls->write_size += bufs[i].len;
    }
    assert(tls->write_size > 0 && tls->writing == WRITE_NONE);
    if (tls->phase != SHAKING) {
        return send_out(tls, bufs, n);
    }
    held = malloc(n * sizeof(*held));
    if (held == NULL) {
        return UV_ENOMEM;
    }
    memcpy(held, bufs, n * sizeof(*held));
    tls->held = held;
    tls->n_held = n;
    tls->writing = WRITE_HELD;
    return 0;
}

static size_t tls_unsent(const struct rt_wire *wire)
{
    const struct tls *tls = wire->state;
    size_t records;

    if (tls->writing != WRITE_GOES) {
        return tls->writing == WRITE_HELD ? tls->write_size : 0;
    }
    records = tls->pipe.out.size + rt_wire_plain.unsent(&tls->below);
    return records < tls->write_size ? records : tls->write_size;
}

/* Records, so a few bytes more. */
static size_t tls_unread(const struct rt_wire *wire)
{
    const struct tls *tls = wire->state;

    return rt_wire_plain.unread(&tls->below);
}

/* The last word, an alert or that it ends, goes out if it does so at once: the plain wire takes nothing behind what it
 * has not sent yet, and an end behind what was cut would be a lie. */
static void say_last(struct tls *tls)
{
    uv_buf_t buf;

    if (tls->phase == READY || tls->phase == ENDED) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
    if (tls->pipe.out.size > 0) {
        buf = uv_buf_init((char *)tls->pipe.out.data, (unsigned)tls->pipe.out.size);
        (void)rt_wire_plain.try_write(&tls->below, &buf, 1);
    }
}

static void tls_close(struct rt_wire *wire)
{
    struct tls *tls = wire->state;

    say_last(tls);
    tls->phase = CLOSING;
    rt_wire_plain.close(&tls->below);
}

bool rt_tls_peer_revoked(const struct rt_wire *wire)
{
    const struct tls *tls = wire->state;

    return wire->ops == &rt_wire_tls && tls != NULL && tls->phase == READY &&
           rt_tls_is_revoked(tls->ssl, tls->peer.tls->ctx);
}

const struct rt_wire_ops rt_wire_tls = {.handshake = true,
                                        .open = tls_open,
                                        .pause = tls_pause,
                                        .write = tls_write,
                                        .unsent = tls_unsent,
                                        .unread = tls_unread,
                                        .close = tls_close};
