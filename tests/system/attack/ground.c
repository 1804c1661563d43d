/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/attack/ground.h"

#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "tests/lib/redis.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TENDED_MAX 64
#define TEND_MS 200

char attack_tls[64], attack_tls_tcp[64], attack_tcp[64];
static struct certs_ca ca, stranger;

const char *attack_in(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%.60s/%.60s", harness.dir, name);
    return path;
}

static const char *file_in(const char *directory, const char *name)
{
    static char paths[4][192];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

void attack_issue(const struct attack_certificate *c)
{
    struct certs_spec spec = {.n_uris = c->n_uris,
                              .from_s = c->from_s,
                              .until_s = c->until_s,
                              .serial = c->serial != 0 ? c->serial : 2,
                              .dns = c->dns};

    memcpy(spec.uris, c->uris, sizeof(spec.uris));
    (void)mkdir(c->directory, 0700);
    spec.cert_file = file_in(c->directory, "cert.pem");
    spec.key_file = file_in(c->directory, "key.pem");
    certs_issue(c->stranger ? &stranger : &ca, &spec);
    certs_ca_append(&ca, file_in(c->directory, "ca.pem"));
}

void attack_revoke(long serial)
{
    certs_crl_append(&ca, &serial, 1, -60, 3600, file_in(harness.hosts[0].tls, "crl.pem"));
    assert_int_equal(kill(harness.hosts[0].pid, SIGHUP), 0);
    harness_until_said(0, "connections whose certificate has been revoked are ended: 1", 1);
}

static void issue(const char *name, const char *uri)
{
    struct attack_certificate c = {.directory = attack_in(name), .uris = {rt_slice_text(uri)}, .n_uris = 1};

    attack_issue(&c);
}

int attack_prepare(struct rt_cluster *cluster, unsigned host)
{
    struct rt_cluster_host *h = &cluster->hosts[host];
    unsigned tls = rt_test_free_port(), tcp = rt_test_free_port();
    char name[32], uri[96];

    if (host == 0) {
        certs_ca_init(&ca, "ca", NULL);
        certs_ca_init(&stranger, "ca", NULL);
        issue("vch", ATTACK_DOMAIN "vch/local");
        issue("viewer", ATTACK_DOMAIN "viewer/local");
        issue("operator", ATTACK_DOMAIN "operator");
        issue("other", ATTACK_DOMAIN "vch/other");
        (void)snprintf(attack_tls, sizeof(attack_tls), "tls:127.0.0.1:%u", tls);
        (void)snprintf(attack_tls_tcp, sizeof(attack_tls_tcp), PEER_TCP "%u", tls);
        (void)snprintf(attack_tcp, sizeof(attack_tcp), PEER_TCP "%u", tcp);
        (void)snprintf(h->more_guests, sizeof(h->more_guests), "%s", attack_tcp);
    }
    (void)snprintf(name, sizeof(name), "%.15s.tls", h->name);
    (void)snprintf(uri, sizeof(uri), ATTACK_DOMAIN "agent/%s", h->name);
    issue(name, uri);
    (void)snprintf(h->tls, sizeof(h->tls), "%.111s", attack_in(name));
    (void)snprintf(h->more_clients, sizeof(h->more_clients), "tls:127.0.0.1:%u", tls);
    return tls == 0 || tcp == 0 ? -1 : 0;
}

void attack_ground_close(void)
{
    certs_ca_close(&ca);
    certs_ca_close(&stranger);
}

const char *attack_guests(unsigned host)
{
    return harness.hosts[host].guests;
}

const char *attack_clients(unsigned host)
{
    return harness.hosts[host].clients;
}

/* ---- links ---- */

static struct peer *tended[TENDED_MAX];
static size_t n_tended;

void attack_tend(struct peer *peer)
{
    attack_neglect(peer);
    assert_true(n_tended < TENDED_MAX);
    tended[n_tended++] = peer;
}

void attack_neglect(struct peer *peer)
{
    for (size_t i = 0; i < n_tended; i++) {
        if (tended[i] == peer) {
            tended[i] = tended[--n_tended];
            return;
        }
    }
}

void attack_neglect_all(void)
{
    n_tended = 0;
}

void attack_close(struct peer *peer)
{
    attack_neglect(peer);
    peer_close(peer);
}

/* All but this one, now and then. */
static void tend_others(const struct peer *peer)
{
    static uint64_t next;
    uint64_t now = rt_process_now_ms();

    for (size_t i = 0; i < n_tended && now >= next; i++) {
        if (tended[i] != peer && tended[i]->fd >= 0 && !tended[i]->eof) {
            peer_tend(tended[i]);
        }
    }
    next = now >= next ? now + TEND_MS : next;
}

void attack_pass(unsigned ms)
{
    tend_others(NULL);
    rt_process_sleep_ms(ms);
}

uint64_t attack_number(void)
{
    static uint64_t next;

    return ++next;
}

const char *attack_class(int cls)
{
    return cls == ATTACK_CLOSED ? "closed" : rt_class_name((uint64_t)cls);
}

static SSL *dial_tls(int fd, const char *certificates, bool old_version)
{
    static const unsigned char alpn[] = "\x0aretether/1";
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    assert_non_null(ctx);
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_max_proto_version(ctx, old_version ? TLS1_2_VERSION : TLS1_3_VERSION);
    if (certificates != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, file_in(certificates, "cert.pem")), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, file_in(certificates, "key.pem"), SSL_FILETYPE_PEM), 1);
    }
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1), 0);
    ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_non_null(ssl);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    return ssl;
}

/* The hello, and what answers it: RT_CLASS_OK, it was welcomed. */
static int hello(struct peer *peer)
{
    struct rt_hello_msg msg = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client"), .name = rt_slice_text("foe")};
    struct rt_frame frame = {.type = RT_HELLO};

    peer_send_msg(peer, frame, RT_MSG_HELLO, &msg);
    peer->eof = false; /* what came before the end is still to be read */
    if (attack_next(peer, ATTACK_TYPE(RT_WELCOME) | ATTACK_TYPE(RT_REFUSE), &frame) == NULL) {
        return ATTACK_CLOSED;
    }
    if (frame.type == RT_WELCOME) {
        return RT_CLASS_OK;
    }
    peer->used -= RT_FRAME_HEADER + (size_t)frame.length;
    return attack_refused(peer, 0);
}

int attack_tls_hello(struct peer *peer, const char *certificates, bool old_version)
{
    int cls = ATTACK_CLOSED;

    peer_open(peer, attack_tls_tcp);
    peer->tls = dial_tls(peer->fd, certificates, old_version);
    ERR_clear_error();
    if (SSL_connect(peer->tls) == 1) {
        cls = hello(peer);
    }
    if (cls == ATTACK_CLOSED) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        (void)snprintf(peer->why, sizeof(peer->why), "%s", why == NULL ? "closed" : why);
    }
    return cls;
}

bool attack_again(int cls)
{
    if (cls == RT_CLASS_RETRY_LATER || cls == ATTACK_CLOSED) {
        attack_pass(50);
        return true;
    }
    assert_int_equal(cls, RT_CLASS_OK);
    return false;
}

void attack_client_at(struct peer *peer, unsigned host, const char *certificates)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    int cls;

    memset(peer, 0, sizeof(*peer));
    peer->fd = -1;
    do {
        assert_true(rt_process_now_ms() < until);
        peer_close(peer);
        if (certificates == NULL) {
            peer_open(peer, attack_clients(host));
            cls = hello(peer);
        } else {
            cls = attack_tls_hello(peer, attack_in(certificates), false);
        }
    } while (attack_again(cls));
    attack_tend(peer);
}

void attack_client(struct peer *peer, const char *certificates)
{
    attack_client_at(peer, 0, certificates);
}

const uint8_t *attack_next(struct peer *peer, uint32_t types, struct rt_frame *frame)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    for (;;) {
        const uint8_t *payload = peer->rx == NULL ? NULL : peer_frame(peer, frame);

        tend_others(peer);
        if (payload != NULL && (types >> frame->type & 1) != 0) {
            return payload;
        }
        if (payload != NULL) {
            continue;
        }
        if (peer->eof) {
            return NULL;
        }
        assert_true(rt_process_now_ms() < until);
        peer_read(peer, 50);
    }
}

int attack_refused(struct peer *peer, uint32_t channel)
{
    struct rt_refuse_msg refuse;
    struct rt_frame frame;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    peer->why[0] = '\0';
    do {
        payload = attack_next(peer, ATTACK_TYPE(RT_REFUSE), &frame);
    } while (payload != NULL && frame.channel != 0 && frame.channel != channel);
    if (payload == NULL) {
        return ATTACK_CLOSED;
    }
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, payload, frame.length, &refuse, why, sizeof(why)), 0);
    rt_slice_copy(refuse.m, peer->why, sizeof(peer->why));
    peer->epoch = refuse.epoch;
    return (int)refuse.c;
}

bool attack_alive(struct peer *peer)
{
    struct rt_frame ping = {.type = RT_PING, .offset = attack_number()}, frame;
    const uint8_t *payload;

    peer_send(peer, &ping, NULL);
    do {
        payload = attack_next(peer, ATTACK_TYPE(RT_PONG), &frame);
    } while (payload != NULL && frame.offset != ping.offset);
    return payload != NULL;
}

/* ---- what clients say ---- */

int attack_ask(struct peer *client, const struct rt_request_msg *request, const struct rt_reply_msg **reply,
               struct rt_slice *payload)
{
    static struct rt_reply_msg msg;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_frame frame = {.type = RT_REQUEST, .offset = attack_number()}, answer = {0};
    char why[RT_TEXT_MAX];
    const uint8_t *data;

    peer_send_msg(client, frame, RT_MSG_REQUEST, request);
    do {
        data = attack_next(client, ATTACK_TYPE(RT_REPLY), &answer);
        assert_non_null(data);
    } while (answer.offset != frame.offset);
    memcpy(bytes, data, answer.length);
    assert_int_equal(rt_msg_decode(RT_MSG_REPLY, bytes, answer.length, &msg, why, sizeof(why)), 0);
    if (reply != NULL) {
        *reply = &msg;
    }
    if (payload != NULL) {
        *payload = (struct rt_slice){bytes, answer.length};
    }
    return (int)msg.c;
}

void attack_attach(struct peer *client, uint32_t channel, struct rt_attach_msg *msg)
{
    struct rt_frame frame = {.type = RT_ATTACH, .channel = channel};
    static uint8_t id[RT_ID_SIZE] = {0xa7};

    if (msg->id.size == 0) {
        rt_put_u64(id + 8, attack_number());
        msg->id = (struct rt_slice){id, sizeof(id)};
    }
    msg->try_no = msg->try_no == 0 ? 1 : msg->try_no;
    peer_send_msg(client, frame, RT_MSG_ATTACH, msg);
}

void attack_credit(struct peer *client, uint32_t channel, uint16_t stream, uint64_t consumed, uint64_t limit)
{
    struct rt_frame frame = {
        .type = RT_ACK, .channel = channel, .stream = stream, .offset = consumed, .length = RT_ACK_PAYLOAD};
    uint8_t ack[RT_ACK_PAYLOAD];
    struct rt_digest nothing;

    rt_digest_start(&nothing, consumed);
    rt_put_u64(ack, limit);
    rt_put_u64(ack + 8, rt_digest_value(&nothing));
    peer_send(client, &frame, ack);
}
