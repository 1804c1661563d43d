/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/tls_end.h"

const char *in_dir(const struct fixture *fixture, const char *name)
{
    static char paths[128][128];
    static unsigned next;
    char *path = paths[next++ % 128];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", fixture->dir, name);
    return path;
}

static const char *with_suffix(const struct fixture *fixture, const char *name, const char *suffix)
{
    char file[64];

    (void)snprintf(file, sizeof(file), "%s%s", name, suffix);
    return in_dir(fixture, file);
}

struct rt_tls_settings settings_of(const struct fixture *fixture, const char *name)
{
    return (struct rt_tls_settings){.cert_file = with_suffix(fixture, name, ".pem"),
                                    .key_file = with_suffix(fixture, name, ".key"),
                                    .ca_file = in_dir(fixture, "ca.pem"),
                                    .domain = DOMAIN};
}

void load(const struct fixture *fixture, struct rt_tls *tls, const char *name)
{
    struct rt_tls_settings settings = settings_of(fixture, name);
    char why[256] = "";

    if (rt_tls_load(tls, &settings, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
}

void issue_as(const struct world *world, struct certs_spec spec, const char *name)
{
    spec.cert_file = with_suffix(world->fixture, name, ".pem");
    spec.key_file = with_suffix(world->fixture, name, ".key");
    certs_issue(&world->ca, &spec);
}

void issue(const struct world *world, const char *uri, const char *name)
{
    issue_as(world, (struct certs_spec){.uris = {rt_slice_text(uri)}, .n_uris = 1, .serial = 2}, name);
}

void world_open(struct world *world, struct fixture *fixture)
{
    world->fixture = fixture;
    certs_ca_init(&world->ca, "lab CA", NULL);
    certs_ca_append(&world->ca, in_dir(fixture, "ca.pem"));
    issue(world, AGENT_URI, "agent");
    issue(world, CLIENT_URI, "client");
    rt_tls_init(&world->agent);
    rt_tls_init(&world->client);
    load(fixture, &world->agent, "agent");
    load(fixture, &world->client, "client");
    setup_pool();
}

void world_close(struct world *world)
{
    rt_tls_close(&world->agent);
    rt_tls_close(&world->client);
    certs_ca_close(&world->ca);
    close_pool();
}

void open_secure(struct world *world, struct secure *secure, int fd, struct rt_tls *tls, enum rt_wire_side side,
                 const char *expect)
{
    open_secure_guessing(world, secure, fd, tls, side, expect, false);
}

void open_secure_guessing(struct world *world, struct secure *secure, int fd, struct rt_tls *tls,
                          enum rt_wire_side side, const char *expect, bool guess)
{
    struct rt_wire_setup wire = {.ops = &rt_wire_tls, .context = tls, .side = side, .expect = expect, .guess = guess};

    open_on(world->fixture, secure, fd, &wire);
}

void open_both(struct world *world, struct secure *client, struct secure *agent, const char *expect)
{
    int fds[2];

    pair_of(fds);
    open_secure(world, client, fds[0], &world->client, RT_WIRE_DIALLED, expect);
    open_secure(world, agent, fds[1], &world->agent, RT_WIRE_ACCEPTED, NULL);
}

void shake_hands(struct world *world, struct secure *a, struct secure *b)
{
    fixture_run(world->fixture, &a->ready);
    fixture_run(world->fixture, &b->ready);
    assert_int_equal(a->readies + b->readies, 2);
    assert_int_equal(a->seen_then + b->seen_then, 0);
}

void close_both(struct world *world, struct secure *a, struct secure *b)
{
    close_end(world->fixture, &a->end);
    fixture_run(world->fixture, &b->end.closed);
}

void raw_open(struct raw *raw, int fd, bool dials)
{
    nonblocking(fd);
    raw->fd = fd;
    raw->ctx = SSL_CTX_new(TLS_method());
    assert_non_null(raw->ctx);
    raw->ssl = SSL_new(raw->ctx);
    assert_int_equal(SSL_set_fd(raw->ssl, fd), 1);
    (void)(dials ? SSL_set_connect_state : SSL_set_accept_state)(raw->ssl);
    assert_int_equal(SSL_set_alpn_protos(raw->ssl, (const unsigned char *)"\x0a" RT_TLS_ALPN, 11), 0);
}

void raw_use(struct raw *raw, const struct fixture *fixture, const char *name)
{
    struct rt_tls_settings settings = settings_of(fixture, name);

    assert_int_equal(SSL_use_certificate_file(raw->ssl, settings.cert_file, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_use_PrivateKey_file(raw->ssl, settings.key_file, SSL_FILETYPE_PEM), 1);
}

void raw_close(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->ctx);
    (void)close(raw->fd);
}
