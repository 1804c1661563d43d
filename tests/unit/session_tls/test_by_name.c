/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/tls_end.h"

/* Servers of another make, without our application protocol: the certificate has to be of the name by which they were
 * dialled. */

static void load_by_name(const struct fixture *fixture, struct rt_tls *tls, bool bare)
{
    struct rt_tls_settings settings = settings_of(fixture, "client");
    char why[512] = "";

    settings.by_name = true;
    settings.cert_file = bare ? NULL : settings.cert_file;
    if (rt_tls_load(tls, &settings, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    assert_string_equal(tls->domain, "");
}

static void run(struct world *world, struct raw *raw, const bool *one, const bool *other)
{
    for (int i = 0; i < 10000 && !*one && !*other; i++) {
        char byte;
        (void)SSL_read(raw->ssl, &byte, 1); /* which shakes hands first */
        turn(world->fixture);
    }
    assert_true(*one || *other);
}

/* text: as what the handshake fails; NULL: it does not. */
static void dial(struct fixture *fixture, struct certs_spec spec, const char *expect, const char *text)
{
    struct secure client = {0};
    struct world world;
    struct raw raw;
    int fds[2];

    world_open(&world, fixture);
    issue_as(&world, spec, "server");
    load_by_name(fixture, &world.client, spec.n_uris > 0);
    pair_of(fds);
    open_secure(&world, &client, fds[0], &world.client, RT_WIRE_DIALLED, expect);
    raw_open(&raw, fds[1], false);
    raw_use(&raw, fixture, "server");
    run(&world, &raw, &client.ready, &client.end.closed);
    assert_int_equal(client.ready, text == NULL);
    if (text == NULL) {
        assert_string_equal(client.peer, expect);
        close_end(fixture, &client.end);
    } else {
        assert_int_equal(client.end.reason, RT_EAUTH);
        assert_string_equal(client.end.text, text);
    }
    raw_close(&raw);
    (void)remove(in_dir(fixture, "ca.pem"));
    world_close(&world);
}

static void test_names(void **state)
{
    static const struct {
        const char *expect, *text;
    } cases[] = {
        {"host.example", NULL},
        {"HOST.example", NULL},
        {"other.example", "handshake: the peer's certificate is not of other.example"},
        {"host", "handshake: the peer's certificate is not of host"},
        {"a.host.example", "handshake: the peer's certificate is not of a.host.example"},
        {"192.0.2.1", "handshake: the peer's certificate is not of 192.0.2.1"},
        {"fe80::1%lo", "handshake: the peer's certificate is not of fe80::1%lo"},
        /* Its subject. */
        {"a peer", "handshake: the peer's certificate is not of a peer"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        dial(*state, (struct certs_spec){.dns = true}, cases[i].expect, cases[i].text);
    }
}

/* Whom retether knows it by counts for nothing here, and what it is else as ever. */
static void test_other_certificates(void **state)
{
    dial(*state, (struct certs_spec){.uris = {rt_slice_text(AGENT_URI)}, .n_uris = 1}, "esx17",
         "handshake: the peer's certificate is not of esx17");
    dial(*state, (struct certs_spec){.uris = {rt_slice_text(AGENT_URI)}, .n_uris = 1, .dns = true}, "host.example",
         NULL);
    dial(*state, (struct certs_spec){.dns = true, .from_s = -10, .until_s = -5}, "host.example",
         "handshake: the peer's certificate has expired");
    dial(*state, (struct certs_spec){.dns = true, .usage = "clientAuth"}, "host.example",
         "handshake: the peer's certificate is not for this use");
}

static void touch(const struct fixture *fixture, const char *name)
{
    if (name != NULL) {
        assert_int_equal(fclose(fopen(in_dir(fixture, name), "w")), 0);
    }
}

/* A directory without a certificate of one's own; of a pair that is half there nothing is guessed. */
static void test_directory(void **state)
{
    static const struct {
        const char *cert, *key;
        bool by_name, bare;
    } cases[] = {
        {NULL, NULL, true, true},        {"cert.pem", "key.pem", true, false}, {NULL, "key.pem", true, false},
        {"cert.pem", NULL, true, false}, {NULL, NULL, false, false},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rt_tls_settings settings = {.by_name = cases[i].by_name};
        struct rt_tls_directory directory;
        char why[128];

        touch(fixture, cases[i].cert);
        touch(fixture, cases[i].key);
        assert_int_equal(rt_tls_directory(&directory, fixture->dir, &settings, why, sizeof(why)), 0);
        assert_int_equal(settings.cert_file == NULL, cases[i].bare);
        assert_non_null(settings.key_file);
        (void)remove(in_dir(fixture, "cert.pem"));
        (void)remove(in_dir(fixture, "key.pem"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_names), TEST(test_other_certificates), TEST(test_directory)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
