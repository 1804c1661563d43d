/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_transport/cipher_wire.h"

#include "session/base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* small, so that one read of the socket is many of the link's, and a handshake is cut */
#define INPUT_MAX 1500

struct cipher {
    struct rt_wire below;
    struct rt_wire *wire; /* above */
    const struct cipher_context *context;
    enum rt_wire_side side;
    char expect[64];
    uint8_t hello[2]; /* the peer's */
    size_t n_hello;
    enum { SHAKING, READY, CLOSING } phase;
    bool paused;
    char *out; /* owned: the write under way */
    size_t out_size;
    bool held; /* until the handshake is done */
    uint8_t input[INPUT_MAX];
};

#define CIPHER_OF(ptr) ((struct cipher *)(void *)((char *)(ptr)-offsetof(struct cipher, below)))

static void say_hello(struct cipher *cipher)
{
    char hello[2] = {CIPHER_MARK, (char)cipher->context->number};
    uv_buf_t buf = uv_buf_init(hello, sizeof(hello));

    if (rt_wire_plain.try_write(&cipher->below, &buf, 1) != sizeof(hello)) {
        abort(); /* nothing was written to that socket before */
    }
}

static int send_out(struct cipher *cipher)
{
    uv_buf_t buf = uv_buf_init(cipher->out, (unsigned)cipher->out_size);

    cipher->held = false;
    return rt_wire_plain.write(&cipher->below, &buf, 1);
}

static void on_written(struct rt_wire *below, int status)
{
    struct cipher *cipher = CIPHER_OF(below);

    free(cipher->out);
    cipher->out = NULL;
    if (cipher->phase != CLOSING) {
        cipher->wire->events->on_written(cipher->wire, status);
    }
}

static void shake_hands(struct cipher *cipher)
{
    const struct rt_wire_events *events = cipher->wire->events;
    char peer[64], why[160];

    (void)snprintf(peer, sizeof(peer), CIPHER_PEER "%u", cipher->hello[1]);
    if (cipher->hello[0] != CIPHER_MARK) {
        events->on_end(cipher->wire, RT_EPROTO, "handshake: not a cipher");
        return;
    }
    if (cipher->expect[0] != '\0' && strcmp(cipher->expect, peer) != 0) {
        (void)snprintf(why, sizeof(why), "handshake: expected %s, %s is there", cipher->expect, peer);
        events->on_end(cipher->wire, RT_EAUTH, why);
        return;
    }
    if (cipher->side == RT_WIRE_ACCEPTED) {
        say_hello(cipher);
    }
    cipher->phase = READY;
    if (cipher->paused) {
        rt_wire_plain.pause(&cipher->below);
    }
    events->on_ready(cipher->wire, peer);
    if (cipher->phase == READY && cipher->held) {
        int err = send_out(cipher);
        if (err != 0) {
            events->on_written(cipher->wire, err);
        }
    }
}

static uv_buf_t on_room(struct rt_wire *below)
{
    struct cipher *cipher = CIPHER_OF(below);

    return uv_buf_init((char *)cipher->input,
                       (unsigned)(cipher->phase == SHAKING ? 2 - cipher->n_hello : sizeof(cipher->input)));
}

static void on_read(struct rt_wire *below, size_t size)
{
    struct cipher *cipher = CIPHER_OF(below);
    uv_buf_t room;

    if (cipher->phase == SHAKING) {
        memcpy(cipher->hello + cipher->n_hello, cipher->input, size);
        cipher->n_hello += size;
        if (cipher->n_hello == 2) {
            shake_hands(cipher);
        }
        return;
    }
    for (size_t at = 0, n; at < size && cipher->phase == READY && !cipher->paused; at += n) {
        room = cipher->wire->events->on_room(cipher->wire);
        n = room.len < size - at ? room.len : size - at;
        n = n < 700 ? n : 700;
        if (n == 0) {
            cipher->wire->events->on_end(cipher->wire, RT_ENOMEM, "no memory to read");
            return;
        }
        for (size_t i = 0; i < n; i++) {
            room.base[i] = (char)(cipher->input[at + i] ^ CIPHER_KEY);
        }
        cipher->wire->events->on_read(cipher->wire, n);
    }
}

static void on_end(struct rt_wire *below, int reason, const char *why)
{
    struct cipher *cipher = CIPHER_OF(below);
    char text[96];

    (void)snprintf(text, sizeof(text), "%s%s", cipher->phase == SHAKING ? "handshake: " : "", why);
    cipher->wire->events->on_end(cipher->wire, reason, text);
}

static void on_closed(struct rt_wire *below)
{
    struct cipher *cipher = CIPHER_OF(below);
    struct rt_wire *wire = cipher->wire;

    free(cipher->out);
    free(cipher);
    wire->events->on_closed(wire);
}

static const struct rt_wire_events events = {
    .on_room = on_room, .on_read = on_read, .on_written = on_written, .on_end = on_end, .on_closed = on_closed};

static int cipher_open(struct rt_wire *wire, uv_loop_t *loop, int fd, const struct rt_wire_setup *setup)
{
    const struct cipher_context *context = setup->context;
    struct cipher *cipher = context->no_memory ? NULL : calloc(1, sizeof(*cipher));
    int err;

    if (cipher == NULL) {
        wire->ops = &rt_wire_plain; /* closes it */
        (void)rt_wire_plain.open(wire, loop, fd, setup);
        return UV_ENOMEM;
    }
    wire->state = cipher;
    cipher->wire = wire;
    cipher->context = context;
    cipher->side = setup->side;
    (void)snprintf(cipher->expect, sizeof(cipher->expect), "%s", setup->expect == NULL ? "" : setup->expect);
    cipher->below = (struct rt_wire){.ops = &rt_wire_plain, .events = &events};
    err = rt_wire_plain.open(&cipher->below, loop, fd, &(struct rt_wire_setup){.side = setup->side});
    if (err == 0 && setup->side == RT_WIRE_DIALLED) {
        say_hello(cipher);
    }
    return err;
}

static void cipher_pause(struct rt_wire *wire)
{
    struct cipher *cipher = wire->state;

    cipher->paused = true;
    if (cipher->phase == READY) {
        rt_wire_plain.pause(&cipher->below);
    }
}

static int cipher_write(struct rt_wire *wire, const uv_buf_t *bufs, unsigned n)
{
    struct cipher *cipher = wire->state;
    size_t size = 0, at = 0;

    for (unsigned i = 0; i < n; i++) {
        size += bufs[i].len;
    }
    cipher->out = malloc(size + 1); /* size may be 0 */
    if (cipher->out == NULL) {
        return UV_ENOMEM;
    }
    for (unsigned i = 0; i < n; i++) {
        for (size_t k = 0; k < bufs[i].len; k++) {
            cipher->out[at++] = (char)(bufs[i].base[k] ^ CIPHER_KEY);
        }
    }
    cipher->out_size = size;
    cipher->held = cipher->phase == SHAKING;
    return cipher->held ? 0 : send_out(cipher);
}

static size_t cipher_unsent(const struct rt_wire *wire)
{
    const struct cipher *cipher = wire->state;

    return cipher->held ? cipher->out_size : rt_wire_plain.unsent(&cipher->below);
}

static size_t cipher_unread(const struct rt_wire *wire)
{
    const struct cipher *cipher = wire->state;

    return rt_wire_plain.unread(&cipher->below);
}

static void cipher_close(struct rt_wire *wire)
{
    struct cipher *cipher = wire->state;

    cipher->phase = CLOSING;
    rt_wire_plain.close(&cipher->below);
}

const struct rt_wire_ops cipher_wire = {.handshake = true,
                                        .open = cipher_open,
                                        .pause = cipher_pause,
                                        .write = cipher_write,
                                        .unsent = cipher_unsent,
                                        .unread = cipher_unread,
                                        .close = cipher_close};
