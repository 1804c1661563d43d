/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/tls_end.h"

/* Who gets in, and what is said of who does not. */

static void expect_end(const struct secure *secure, int reason, const char *text)
{
    if (secure->end.reason != reason || strcmp(secure->end.text, text) != 0) {
        fail_msg("%d, %s; expected %d, %s", secure->end.reason, secure->end.text, reason, text);
    }
    assert_int_equal(secure->end.closes, 1);
}

/* The client dials the agent; both ends end. */
static void end_both(struct world *world, struct secure *client, struct secure *agent)
{
    fixture_run(world->fixture, &client->end.closed);
    fixture_run(world->fixture, &agent->end.closed);
    assert_int_equal(client->end.seen + agent->end.seen, 0);
}

static void test_good(void **state)
{
    struct fixture *fixture = *state;
    static const char *const expects[] = {NULL, AGENT_URI};

    for (size_t i = 0; i < 2; i++) {
        struct world world;
        struct secure client = {0}, agent = {0};

        world_open(&world, fixture);
        (void)remove(in_dir(fixture, "ca.pem"));
        open_both(&world, &client, &agent, expects[i]);
        shake_hands(&world, &client, &agent);
        assert_string_equal(client.peer, AGENT_URI);
        assert_string_equal(agent.peer, CLIENT_URI);
        close_both(&world, &client, &agent);
        expect_end(&agent, RT_ECONN, "closed by the peer");
        world_close(&world);
    }
}

/* An agent may expect somebody too. */
static void test_accepted_expects(void **state)
{
    struct world world;
    struct secure client = {0}, agent = {0};
    int fds[2];

    world_open(&world, *state);
    pair_of(fds);
    open_secure(&world, &client, fds[0], &world.client, RT_WIRE_DIALLED, NULL);
    open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, URI_OF("viewer/acme"));
    end_both(&world, &client, &agent);
    expect_end(&agent, RT_EAUTH, "handshake: not who was expected: vch/acme instead of viewer/acme");
    expect_end(&client, RT_EAUTH, "the peer does not accept our certificate");
    world_close(&world);
}

/* What is wrong with a certificate that a client, or an agent, shows. The own side refuses to load some of them, so a
 * context is loaded first with a good one. */
static const struct {
    struct certs_spec spec;
    const char *finds; /* behind "handshake: " */
    const char *hears;
} bad[] = {
    {{.uris = {{(const uint8_t *)CLIENT_URI, sizeof(CLIENT_URI) - 1}}, .n_uris = 1, .from_s = -10, .until_s = -5},
     "the peer's certificate has expired",
     "the peer says that our certificate has expired"},
    {{.uris = {{(const uint8_t *)CLIENT_URI, sizeof(CLIENT_URI) - 1}}, .n_uris = 1, .from_s = 3000},
     "the peer's certificate is not valid yet",
     "the peer does not accept our certificate"},
    {{.uris = {{(const uint8_t *)CLIENT_URI, sizeof(CLIENT_URI) - 1}}, .n_uris = 1, .serial = 13},
     "the peer's certificate is revoked",
     "the peer says that our certificate is revoked"},
    {{.uris = {{(const uint8_t *)CLIENT_URI, sizeof(CLIENT_URI) - 1}}, .n_uris = 1, .usage = "codeSigning"},
     "the peer's certificate is not for this use",
     "the peer does not accept our certificate"},
    {{.dns = true},
     "the peer's certificate has no URI that says who it is",
     "the peer does not accept our certificate"},
    {{.uris = {{(const uint8_t *)CLIENT_URI, sizeof(CLIENT_URI) - 1},
               {(const uint8_t *)AGENT_URI, sizeof(AGENT_URI) - 1}},
      .n_uris = 2},
     "the peer's certificate has more than one URI",
     "the peer does not accept our certificate"},
    {{.uris = {{(const uint8_t *)"spiffe://evil/retether/vch/a", 28}}, .n_uris = 1},
     "the peer's certificate has another domain: spiffe://evil/retether/vch/a",
     "the peer does not accept our certificate"},
    {{.uris = {{(const uint8_t *)CLIENT_URI "\0.evil", sizeof(CLIENT_URI) + 5}}, .n_uris = 1},
     "the peer's certificate has no name that a tenant or a host may have: spiffe://lab.ex",
     "the peer does not accept our certificate"},
};

static void use_cert(struct world *world, struct rt_tls *tls, const char *name)
{
    struct rt_tls_settings settings = settings_of(world->fixture, name);

    assert_int_equal(SSL_CTX_use_certificate_file(tls->ctx, settings.cert_file, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls->ctx, settings.key_file, SSL_FILETYPE_PEM), 1);
}

static void load_with_crl(struct world *world, struct rt_tls *tls, const char *name)
{
    static const long revoked[] = {12, 13, 14};
    struct rt_tls_settings settings = settings_of(world->fixture, name);

    settings.crl_file = in_dir(world->fixture, "crl.pem");
    (void)remove(settings.crl_file);
    certs_crl_append(&world->ca, revoked, 3, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(tls, &settings, NULL, 0), 0);
}

static void bad_certificate(struct fixture *fixture, size_t i, bool agent_is)
{
    struct world world;
    struct secure client = {0}, agent = {0}, *who = agent_is ? &agent : &client, *judge = agent_is ? &client : &agent;
    char text[256];

    world_open(&world, fixture);
    load_with_crl(&world, &world.agent, "agent");
    load_with_crl(&world, &world.client, "client");
    issue_as(&world, bad[i].spec, "bad");
    use_cert(&world, agent_is ? &world.agent : &world.client, "bad");
    open_both(&world, &client, &agent, NULL);
    end_both(&world, &client, &agent);
    (void)snprintf(text, RT_LINK_TEXT_MAX, "handshake: %s", bad[i].finds);
    expect_end(judge, RT_EAUTH, text);
    assert_int_equal(judge->readies, 0);
    (void)snprintf(text, RT_LINK_TEXT_MAX, "%s%s", who->ready ? "" : "handshake: ", bad[i].hears);
    expect_end(who, RT_EAUTH, text);
    assert_true(agent_is != who->ready); /* who dials is done before it is judged */
    (void)remove(in_dir(fixture, "ca.pem"));
    world_close(&world);
}

static void test_bad_certificates(void **state)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bad_certificate(*state, i, false);
        bad_certificate(*state, i, true);
    }
}

static void test_unknown_ca(void **state)
{
    struct world world, other;
    struct secure client = {0}, agent = {0};

    world_open(&world, *state);
    (void)remove(in_dir(*state, "ca.pem"));
    world_open(&other, *state); /* of the same names */
    rt_tls_close(&world.client);
    world.client = other.client;
    rt_tls_init(&other.client);
    open_both(&world, &client, &agent, NULL);
    end_both(&world, &client, &agent);
    expect_end(&client, RT_EAUTH, "handshake: the peer's certificate is of an unknown CA");
    expect_end(&agent, RT_EAUTH, "handshake: the peer does not know the CA of our certificate");
    world_close(&world);
    world_close(&other);
}

/* CAs between the one that is known and the certificate come with it, up to a bound. */
static void test_chain(void **state)
{
    struct fixture *fixture = *state;

    for (int n = 1; n < RT_TLS_CHAIN_MAX; n++) {
        struct certs_ca between[RT_TLS_CHAIN_MAX], root;
        struct world world;
        struct secure client = {0}, agent = {0};

        world_open(&world, fixture);
        root = world.ca;
        for (int i = 0; i < n; i++) {
            certs_ca_init(&between[i], "between", i == 0 ? &root : &between[i - 1]);
        }
        world.ca = between[n - 1];
        issue(&world, CLIENT_URI, "client");
        world.ca = root;
        for (int i = n; i-- > 0;) {
            certs_ca_append(&between[i], in_dir(fixture, "client.pem"));
        }
        load(fixture, &world.client, "client");
        open_both(&world, &client, &agent, NULL);
        if (n + 2 <= RT_TLS_CHAIN_MAX) {
            shake_hands(&world, &client, &agent);
            close_both(&world, &client, &agent);
        } else {
            end_both(&world, &client, &agent);
            assert_int_equal(agent.end.reason, RT_EAUTH);
            assert_int_equal(agent.readies, 0);
        }
        for (int i = 0; i < n; i++) {
            certs_ca_close(&between[i]);
        }
        (void)remove(in_dir(fixture, "ca.pem"));
        world_close(&world);
    }
}

static void test_other_peer(void **state)
{
    struct world world;
    struct secure client = {0}, agent = {0};

    world_open(&world, *state);
    open_both(&world, &client, &agent, URI_OF("agent/esx18"));
    write_out(&client, "secret", 6);
    end_both(&world, &client, &agent);
    expect_end(&client, RT_EAUTH, "handshake: not who was expected: agent/esx17 instead of agent/esx18");
    expect_end(&agent, RT_EAUTH, "handshake: the peer does not accept our certificate");
    world_close(&world);
}

/* A client that shows an agent's certificate is an agent, and one that takes a client for an agent is told. */
static void test_role_is_part_of_it(void **state)
{
    struct world world;
    struct secure client = {0}, agent = {0};

    world_open(&world, *state);
    issue(&world, URI_OF("vch/esx17"), "agent");
    load(*state, &world.agent, "agent");
    open_both(&world, &client, &agent, AGENT_URI);
    end_both(&world, &client, &agent);
    expect_end(&client, RT_EAUTH, "handshake: not who was expected: vch/esx17 instead of agent/esx17");
    world_close(&world);
}

/* Whoever expects what is no identity reaches nobody; nor does who has loaded nothing. */
static void test_cannot_open(void **state)
{
    struct world world;
    struct secure client = {0}, nobody = {0}, agent = {0};
    struct rt_tls empty;
    int fds[2];

    world_open(&world, *state);
    open_both(&world, &client, &agent, "esx17");
    end_both(&world, &client, &agent);
    expect_end(&client, RT_EINVAL, "open: invalid argument");
    rt_tls_init(&empty);
    pair_of(fds);
    open_secure(&world, &nobody, fds[0], &empty, RT_WIRE_DIALLED, NULL);
    fixture_run(*state, &nobody.end.closed);
    expect_end(&nobody, RT_EINVAL, "open: invalid argument");
    (void)close(fds[1]);
    world_close(&world);
}

enum raw_kind { OLD_TLS, NO_CERTIFICATE, NO_ALPN, OTHER_ALPN, RAW_KINDS };

static void raw_as(struct raw *raw, const struct fixture *fixture, enum raw_kind kind, const char *name)
{
    if (kind != NO_CERTIFICATE) {
        raw_use(raw, fixture, name);
    }
    if (kind == OLD_TLS) {
        assert_int_equal(SSL_set_max_proto_version(raw->ssl, TLS1_2_VERSION), 1);
    } else if (kind == NO_ALPN) {
        assert_int_equal(SSL_set_alpn_protos(raw->ssl, NULL, 0), 0);
    } else if (kind == OTHER_ALPN) {
        assert_int_equal(SSL_set_alpn_protos(raw->ssl, (const unsigned char *)"\x02h2", 3), 0);
    }
}

static void raw_run(struct world *world, struct raw *raw, const bool *until)
{
    for (int i = 0; i < 10000 && !*until; i++) {
        char byte;
        (void)SSL_read(raw->ssl, &byte, 1); /* which shakes hands first */
        turn(world->fixture);
    }
    assert_true(*until);
}

static void test_other_clients(void **state)
{
    static const struct {
        int reason;
        const char *text;
    } ends[RAW_KINDS] = {
        [OLD_TLS] = {RT_EPROTO, "handshake: the peer speaks no TLS 1.3"},
        [NO_CERTIFICATE] = {RT_EAUTH, "handshake: the peer has shown no certificate"},
        [NO_ALPN] = {RT_EPROTO, "handshake: the peer does not speak retether/1"},
        [OTHER_ALPN] = {RT_EPROTO, "handshake: the peer does not speak retether/1"},
    };

    for (int kind = 0; kind < RAW_KINDS; kind++) {
        struct world world;
        struct secure agent = {0};
        struct raw raw;
        int fds[2];

        world_open(&world, *state);
        pair_of(fds);
        open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
        raw_open(&raw, fds[0], true);
        raw_as(&raw, *state, (enum raw_kind)kind, "client");
        raw_run(&world, &raw, &agent.end.closed);
        expect_end(&agent, ends[kind].reason, ends[kind].text);
        assert_int_equal(agent.readies, 0);
        raw_close(&raw);
        (void)remove(in_dir(*state, "ca.pem"));
        world_close(&world);
    }
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in, unsigned n,
                     void *data)
{
    (void)ssl;
    (void)in;
    (void)n;
    (void)data;
    *out = (const unsigned char *)"h2";
    *size = 2;
    return SSL_TLSEXT_ERR_OK;
}

static void test_other_servers(void **state)
{
    static const struct {
        enum raw_kind kind;
        int reason;
        const char *text;
    } ends[] = {
        {OLD_TLS, RT_EPROTO, "handshake: the peer speaks no TLS 1.3"},
        {NO_ALPN, RT_EPROTO, "handshake: the peer does not speak retether/1"},
        {OTHER_ALPN, RT_EPROTO, "handshake: bad extension"}, /* it was not offered */
    };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct world world;
        struct secure client = {0};
        struct raw raw;
        int fds[2];

        world_open(&world, *state);
        pair_of(fds);
        open_secure(&world, &client, fds[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
        raw_open(&raw, fds[1], false);
        raw_as(&raw, *state, ends[i].kind, "agent");
        if (ends[i].kind == OTHER_ALPN) {
            SSL_CTX_set_alpn_select_cb(raw.ctx, choose_h2, NULL);
        }
        raw_run(&world, &raw, &client.end.closed);
        expect_end(&client, ends[i].reason, ends[i].text);
        assert_int_equal(client.readies, 0);
        raw_close(&raw);
        (void)remove(in_dir(*state, "ca.pem"));
        world_close(&world);
    }
}

/* What is no ClientHello: one read of it, or a flood. */
static void test_garbage(void **state)
{
    static const uint8_t hello[9] = {0x16, 3, 1, 0x40, 0, 1, 1, 0xff, 0xff};
    static uint8_t record[5 + 16384];
    static const struct {
        const char *bytes;
        size_t size;
        int reason;
        const char *text;
    } garbage[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18, RT_EPROTO, "handshake: the peer speaks no TLS"},
        {"\0\0\0\x20retether frames", 20, RT_EPROTO, "handshake: the peer speaks no TLS"},
        {"\x16\x03\x01\xff\xff\x01\xff\xff\xff", 9, RT_EPROTO, NULL},
        {"\x17\x03\x03\x00\x05hello", 10, RT_EPROTO, NULL},
        {"\x15\x03\x03\x00\x02\x02\x28", 7, RT_EPROTO, NULL},
        {(const char *)record, sizeof(record), RT_EPROTO, NULL},
    };

    memcpy(record, hello, sizeof(hello)); /* one that is longer than any may be */
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        struct world world;
        struct secure agent = {0};
        int fds[2];

        world_open(&world, *state);
        pair_of(fds);
        open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
        assert_int_equal(write(fds[0], garbage[i].bytes, garbage[i].size), garbage[i].size);
        for (int k = 0; k < 100 && !agent.end.closed; k++) {
            turn(*state);
        }
        if (!agent.end.closed) { /* the rest of a record may still come */
            (void)shutdown(fds[0], SHUT_WR);
            fixture_run(*state, &agent.end.closed);
            assert_int_equal(agent.end.reason, RT_ECONN);
            assert_string_equal(agent.end.text, "handshake: cut off: closed by the peer");
        } else {
            assert_int_equal(agent.end.reason, garbage[i].reason);
            assert_true(garbage[i].text == NULL || strcmp(agent.end.text, garbage[i].text) == 0);
        }
        assert_int_equal(agent.readies, 0);
        (void)close(fds[0]);
        (void)remove(in_dir(*state, "ca.pem"));
        world_close(&world);
    }
}

/* A hello that is as long as it says, in many records, but longer than a handshake may be. */
static void test_too_long(void **state)
{
    static const uint8_t hello[9] = {0x16, 3, 1, 4, 0, 1, 1, 0xff, 0xff};
    struct world world;
    struct secure agent = {0};
    uint8_t record[5 + 1024];
    int fds[2];

    world_open(&world, *state);
    pair_of(fds);
    open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
    memset(record, 0, sizeof(record));
    memcpy(record, hello, sizeof(hello));
    for (size_t sent = 0; sent <= RT_TLS_HANDSHAKE_MAX; sent += sizeof(record)) {
        assert_false(agent.end.closed);
        assert_int_equal(write(fds[0], record, sizeof(record)), sizeof(record));
        memset(record + 5, 0, 4);
        turn(*state);
    }
    fixture_run(*state, &agent.end.closed);
    expect_end(&agent, RT_ELIMIT, "handshake: the peer says too much");
    (void)close(fds[0]);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_accepted_expects),
        TEST(test_bad_certificates),
        TEST(test_unknown_ca),
        TEST(test_chain),
        TEST(test_other_peer),
        TEST(test_role_is_part_of_it),
        TEST(test_cannot_open),
        TEST(test_other_clients),
        TEST(test_other_servers),
        TEST(test_garbage),
        TEST(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
