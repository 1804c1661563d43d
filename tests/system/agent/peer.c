/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/peer.h"

#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"
#include "tests/system/agent/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

static const uint8_t incarnation[RT_ID_SIZE] = {1, 2, 3};

static int open_unix(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static int open_tcp(const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

void peer_open(struct peer *peer, const char *address)
{
    size_t size = strlen(PEER_TCP);

    memset(peer, 0, sizeof(*peer));
    peer->fd = strncmp(address, PEER_TCP, size) == 0 ? open_tcp(address + size) : open_unix(address);
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0) {
        (void)close(peer->fd);
    }
    SSL_free(peer->tls);
    free(peer->rx);
    memset(peer, 0, sizeof(*peer));
    peer->fd = -1;
}

bool peer_write(struct peer *peer, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = peer->tls == NULL ? send(peer->fd, at, size, MSG_NOSIGNAL) : SSL_write(peer->tls, at, (int)size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

void peer_send(struct peer *peer, const struct rt_frame *frame, const void *payload)
{
    static uint8_t out[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];

    rt_frame_put(out, frame);
    if (frame->length > 0) {
        memcpy(out + RT_FRAME_HEADER, payload, frame->length);
    }
    if (!peer_write(peer, out, RT_FRAME_HEADER + (size_t)frame->length)) {
        peer->eof = true;
    }
}

void peer_send_msg(struct peer *peer, struct rt_frame frame, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t out[RT_FRAME_PAYLOAD_MAX];
    int size = rt_msg_encode(kind, msg, out, sizeof(out));

    assert_true(size > 0);
    frame.length = (uint32_t)size;
    peer_send(peer, &frame, out);
}

/* What has come over TLS. A record that is none of the application's (a ticket) is nothing. */
static ssize_t read_tls(struct peer *peer)
{
    int n = SSL_read(peer->tls, peer->rx + peer->size, (int)(PEER_RX - peer->size));

    errno = n <= 0 && SSL_get_error(peer->tls, n) == SSL_ERROR_WANT_READ ? EAGAIN : 0;
    return n > 0 ? n : n == 0 || errno == 0 ? 0 : -1;
}

void peer_read(struct peer *peer, int limit_ms)
{
    struct pollfd poll_fd = {.fd = peer->fd, .events = POLLIN};
    ssize_t n;

    if (peer->rx == NULL) {
        peer->rx = malloc(PEER_RX);
        assert_non_null(peer->rx);
    }
    memmove(peer->rx, peer->rx + peer->used, peer->size - peer->used);
    peer->size -= peer->used;
    peer->used = 0;
    if (peer->eof || peer->size == PEER_RX ||
        ((peer->tls == NULL || SSL_pending(peer->tls) == 0) && poll(&poll_fd, 1, limit_ms) != 1)) {
        return;
    }
    n = peer->tls != NULL ? read_tls(peer) : recv(peer->fd, peer->rx + peer->size, PEER_RX - peer->size, MSG_DONTWAIT);
    if (n > 0) {
        peer->size += (size_t)n;
    } else if (n == 0 || errno != EAGAIN) {
        peer->eof = true;
    }
}

const uint8_t *peer_frame(struct peer *peer, struct rt_frame *frame)
{
    while (peer->size - peer->used >= RT_FRAME_HEADER) {
        const uint8_t *at = peer->rx + peer->used;
        const char *why = "";

        rt_frame_get(at, frame);
        if (rt_frame_check(frame, RT_WAY_AGENT_GUEST | RT_WAY_AGENT_CLIENT, &why) != 0) {
            fail_msg("the agent sent a bad frame: %s", why);
        }
        if (peer->size - peer->used - RT_FRAME_HEADER < frame->length) {
            return NULL;
        }
        peer->used += RT_FRAME_HEADER + (size_t)frame->length;
        if (frame->type == RT_PING) {
            struct rt_frame pong = {.type = RT_PONG, .offset = frame->offset};
            peer_send(peer, &pong, NULL);
            continue;
        }
        return at + RT_FRAME_HEADER;
    }
    return NULL;
}

void peer_tend(struct peer *peer)
{
    struct rt_frame frame;

    peer_read(peer, 0);
    for (size_t at = peer->used; peer->size - at >= RT_FRAME_HEADER; at += RT_FRAME_HEADER + (size_t)frame.length) {
        rt_frame_get(peer->rx + at, &frame);
        if (frame.length > peer->size - at - RT_FRAME_HEADER) {
            return;
        }
        if (frame.type == RT_PING) {
            struct rt_frame pong = {.type = RT_PONG, .offset = frame.offset};

            peer_send(peer, &pong, NULL);
            rt_frame_put(peer->rx + at, &pong); /* one that answers nothing */
        }
    }
}

const uint8_t *peer_wait(struct peer *peer, enum rt_frame_type type, struct rt_frame *frame, int limit_ms)
{
    uint64_t limit = test_now_ms() + (uint64_t)limit_ms * TEST_PATIENCE;

    for (;;) {
        const uint8_t *payload = peer_frame(peer, frame);

        if (payload != NULL && frame->type == type) {
            return payload;
        }
        if (payload != NULL && frame->type == RT_REFUSE) {
            struct rt_refuse_msg refuse;
            char why[RT_TEXT_MAX], text[RT_TEXT_MAX + 1];

            assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, payload, frame->length, &refuse, why, sizeof(why)), 0);
            rt_slice_copy(refuse.m, text, sizeof(text));
            fail_msg("refused (%s: %s) while waiting for %s", rt_class_name(refuse.c), text,
                     rt_frame_name((uint8_t)type));
        }
        if (payload != NULL) {
            continue;
        }
        if (peer->eof || test_now_ms() > limit) {
            fail_msg("%s while waiting for %s", peer->eof ? "closed" : "silence", rt_frame_name((uint8_t)type));
        }
        peer_read(peer, 50);
    }
}

int peer_refused(struct peer *peer, int limit_ms)
{
    uint64_t limit = test_now_ms() + (uint64_t)limit_ms * TEST_PATIENCE;
    int cls = -1;

    for (;;) {
        struct rt_frame frame;
        const uint8_t *payload = peer->rx == NULL ? NULL : peer_frame(peer, &frame);

        if (payload != NULL && frame.type == RT_REFUSE && frame.channel == 0) {
            struct rt_refuse_msg refuse;
            char why[RT_TEXT_MAX];

            assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, payload, frame.length, &refuse, why, sizeof(why)), 0);
            cls = (int)refuse.c;
            rt_slice_copy(refuse.m, peer->why, sizeof(peer->why));
            peer->epoch = refuse.epoch;
        }
        if (payload != NULL) {
            continue;
        }
        if (peer->eof) {
            return cls;
        }
        if (test_now_ms() > limit) {
            fail_msg("the agent did not close the link within %d times %d ms", TEST_PATIENCE, limit_ms);
        }
        peer_read(peer, 50);
    }
}

void peer_client(struct peer *peer, const char *address)
{
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client"), .name = rt_slice_text("test")};
    struct rt_frame frame = {.type = RT_HELLO};

    peer_open(peer, address);
    peer_send_msg(peer, frame, RT_MSG_HELLO, &hello);
    (void)peer_wait(peer, RT_WELCOME, &frame, 5000);
}

unsigned peer_try_create(struct peer *client, const char *cid, uint8_t *token, size_t *size)
{
    static struct rt_reply_msg reply;
    struct rt_request_msg request = {.op = rt_slice_text("create"), .cid = rt_slice_text(cid)};
    struct rt_frame frame = {.type = RT_REQUEST, .offset = 1};
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    peer_send_msg(client, frame, RT_MSG_REQUEST, &request);
    payload = peer_wait(client, RT_REPLY, &frame, 5000);
    assert_int_equal(rt_msg_decode(RT_MSG_REPLY, payload, frame.length, &reply, why, sizeof(why)), 0);
    if (reply.c == RT_CLASS_OK && token != NULL) {
        assert_true(reply.tok.size > 0 && reply.tok.size <= RT_TOKEN_MAX);
        memcpy(token, reply.tok.data, reply.tok.size);
        *size = reply.tok.size;
    }
    return (unsigned)reply.c;
}

size_t peer_create(struct peer *client, const char *cid, uint8_t token[RT_TOKEN_MAX])
{
    uint64_t limit = test_now_ms() + 10000;
    size_t size = 0;
    unsigned cls;

    while ((cls = peer_try_create(client, cid, token, &size)) == RT_CLASS_RETRY_LATER && test_now_ms() < limit) {
        test_pause(50); /* the store is on its way up */
    }
    assert_int_equal(cls, RT_CLASS_OK);
    return size;
}

void peer_guest_hello(struct peer *guest, const char *cid, const uint8_t *token, size_t size, uint64_t epoch)
{
    uint8_t nonce[RT_ID_SIZE] = {(uint8_t)epoch, (uint8_t)test_now_ms()};
    struct rt_hello_msg hello = {.vmin = 1,
                                 .vmax = 1,
                                 .role = rt_slice_text("guest"),
                                 .cid = rt_slice_text(cid),
                                 .inc = {incarnation, RT_ID_SIZE},
                                 .epoch = epoch,
                                 .tok = {token, size},
                                 .nonce = {nonce, RT_ID_SIZE}};
    struct rt_frame frame = {.type = RT_HELLO};

    peer_send_msg(guest, frame, RT_MSG_HELLO, &hello);
}

void peer_guest_confirm(struct peer *guest)
{
    static const struct rt_report_msg report = {.n_procs = 1, .procs = {{.st = 1, .n_base = 3, .n_head = 3}}};
    struct rt_frame frame = {.type = RT_CONFIRM};

    peer_send(guest, &frame, NULL);
    frame = (struct rt_frame){.type = RT_REPORT};
    peer_send_msg(guest, frame, RT_MSG_REPORT, &report);
}

void peer_guest(struct peer *guest, const char *address, const char *cid, const uint8_t *token, size_t size)
{
    static struct rt_welcome_msg welcome;
    struct rt_frame frame;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    peer_open(guest, address);
    peer_guest_hello(guest, cid, token, size, 1);
    payload = peer_wait(guest, RT_WELCOME, &frame, 5000);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, &welcome, why, sizeof(why)), 0);
    guest->life = welcome.life;
    peer_guest_confirm(guest);
}
