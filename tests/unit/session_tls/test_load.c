/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/tls_end.h"

#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* The files of a context: read all, or nothing. */

static void put(const struct fixture *fixture, const char *name, const char *text)
{
    FILE *file = fopen(in_dir(fixture, name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(in_dir(fixture, name), 0600), 0);
}

/* Refused for `what`, with the file's name before it; the context has what it had. */
static void refuse(struct world *world, const struct rt_tls_settings *settings, int code, const char *file,
                   const char *what)
{
    struct ssl_ctx_st *before = world->agent.ctx;
    char why[512] = "", expected[512];
    int rc = rt_tls_load(&world->agent, settings, why, sizeof(why));

    (void)snprintf(expected, sizeof(expected), "%s: %s", file, what);
    if (rc != code || strncmp(why, expected, strlen(expected)) != 0) {
        fail_msg("%d: %s; expected %d: %s", rc, why, code, expected);
    }
    assert_ptr_equal(world->agent.ctx, before);
    assert_string_equal(world->agent.domain, DOMAIN);
    assert_int_equal(ERR_peek_error(), 0); /* or a wire that does well would seem to have failed */
}

/* The certificate of the file gets names that are no DER. */
static void break_names(const char *path)
{
    FILE *file = fopen(path, "r");
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    ASN1_OCTET_STRING *names = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    assert_int_equal(fclose(file), 0);
    assert_int_equal(ASN1_OCTET_STRING_set(names, (const unsigned char *)"\x30\x09\x86", 3), 1);
    extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, names);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    assert_true(i2d_re_X509_tbs(cert, NULL) > 0); /* else it is written as it was read */
    file = fopen(path, "w");
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(names);
    X509_free(cert);
}

static void test_files_that_are_none(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct rt_tls_settings settings;
    const char *none, *folder = fixture->dir, *empty, *junk, *huge;

    world_open(&world, fixture);
    none = in_dir(fixture, "none");
    empty = in_dir(fixture, "empty");
    junk = in_dir(fixture, "junk");
    huge = in_dir(fixture, "huge");
    put(fixture, "empty", "");
    put(fixture, "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    put(fixture, "huge", "");
    assert_int_equal(truncate(huge, (off_t)RT_TLS_FILE_MAX + 1), 0);
    const struct {
        const char *file;
        int code;
        const char *what, *what_key;
    } bad[] = {
        {none, RT_ENOTFOUND, "No such file or directory", NULL},
        {folder, RT_ECONFIG, "this is not a regular file", NULL},
        {huge, RT_ECONFIG, "it is longer than 8388608 bytes", NULL},
        {empty, RT_ECONFIG, "no ", "no private key, or one behind a password"},
        {junk, RT_ECONFIG, "", "line 1: no private key, or one behind a password"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        settings = settings_of(fixture, "agent");
        settings.cert_file = bad[i].file;
        refuse(&world, &settings, bad[i].code, bad[i].file, bad[i].what);
        settings = settings_of(fixture, "agent");
        settings.key_file = bad[i].file;
        refuse(&world, &settings, bad[i].code, bad[i].file, bad[i].what_key == NULL ? bad[i].what : bad[i].what_key);
        settings = settings_of(fixture, "agent");
        settings.ca_file = bad[i].file;
        refuse(&world, &settings, bad[i].code, bad[i].file, bad[i].what);
        settings = settings_of(fixture, "agent");
        settings.crl_file = bad[i].file;
        refuse(&world, &settings, bad[i].code, bad[i].file, bad[i].what);
    }
    world_close(&world);
}

static void test_own(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct rt_tls_settings settings;
    EVP_PKEY *key;
    FILE *file;
    const struct {
        struct certs_spec spec;
        const char *what;
    } bad[] = {
        {{.uris = {rt_slice_text(AGENT_URI)}, .n_uris = 1, .from_s = -10, .until_s = -5},
         "line 1: the certificate has expired"},
        {{.uris = {rt_slice_text(AGENT_URI)}, .n_uris = 1, .from_s = 3000}, "line 1: the certificate is not valid yet"},
        {{.dns = true}, "line 1: the certificate has no URI that says who it is"},
        {{.uris = {rt_slice_text(AGENT_URI), rt_slice_text(CLIENT_URI)}, .n_uris = 2},
         "line 1: the certificate has more than one URI"},
        {{.uris = {rt_slice_text("spiffe://other/retether/agent/a")}, .n_uris = 1},
         "line 1: the certificate has another domain: spiffe://other/retether/agent/a"},
    };

    world_open(&world, fixture);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        issue_as(&world, bad[i].spec, "bad");
        settings = settings_of(fixture, "bad");
        refuse(&world, &settings, RT_ECONFIG, settings.cert_file, bad[i].what);
    }

    issue_as(&world, (struct certs_spec){.n_uris = 0}, "bad");
    settings = settings_of(fixture, "bad");
    break_names(settings.cert_file);
    refuse(&world, &settings, RT_ECONFIG, settings.cert_file, "line 1: the certificate has no URI that says who it is");

    settings = settings_of(fixture, "agent");
    settings.key_file = in_dir(fixture, "client.key");
    refuse(&world, &settings, RT_ECONFIG, settings.key_file, "not the key of ");
    settings.key_file = in_dir(fixture, "agent.key");
    assert_int_equal(chmod(settings.key_file, 0604), 0);
    refuse(&world, &settings, RT_EAUTH, settings.key_file, "its mode 0604 lets others read or write it");
    assert_int_equal(chmod(settings.key_file, 0640), 0); /* as a service's credentials may be */
    load(fixture, &world.agent, "agent");

    key = EVP_EC_gen("P-256"); /* behind a password: nobody is asked for it */
    put(fixture, "locked.key", "");
    file = fopen(in_dir(fixture, "locked.key"), "w");
    assert_int_equal(PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL, NULL), 1);
    (void)fclose(file);
    EVP_PKEY_free(key);
    settings = settings_of(fixture, "agent");
    settings.key_file = in_dir(fixture, "locked.key");
    refuse(&world, &settings, RT_ECONFIG, settings.key_file, "line 1: no private key, or one behind a password");

    settings = settings_of(fixture, "agent");
    settings.domain = "Lab.example";
    refuse(&world, &settings, RT_EINVAL, "\"Lab.example\" is no domain of identities", "1 to 255");
    world_close(&world);
}

static void test_trust(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct certs_ca other;
    struct rt_tls_settings settings;

    world_open(&world, fixture);
    certs_ca_init(&other, "other CA", NULL);
    settings = settings_of(fixture, "agent");
    settings.ca_file = settings.cert_file;
    refuse(&world, &settings, RT_ECONFIG, settings.ca_file, "line 1: the certificate is none of a CA");

    settings = settings_of(fixture, "agent");
    settings.crl_file = in_dir(fixture, "crl.pem");
    certs_crl_append(&other, NULL, 0, -60, 3600, settings.crl_file);
    refuse(&world, &settings, RT_ECONFIG, settings.crl_file, "no CRL of /CN=lab CA");
    certs_crl_append(&world.ca, NULL, 0, -60, 3600, settings.crl_file); /* another's beside it does no harm */
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);

    settings.crl_file = in_dir(fixture, "old.pem");
    certs_crl_append(&world.ca, NULL, 0, -60, -5, settings.crl_file);
    refuse(&world, &settings, RT_ECONFIG, settings.crl_file, "line 1: the CRL has expired");
    settings.crl_file = in_dir(fixture, "new.pem");
    certs_crl_append(&world.ca, NULL, 0, 600, 3600, settings.crl_file);
    refuse(&world, &settings, RT_ECONFIG, settings.crl_file, "line 1: the CRL is not valid yet");
    certs_ca_close(&other);
    world_close(&world);
}

/* The number of lines of a file that say that a block begins, and of the last such line. */
static unsigned last_begin(const char *path, unsigned *n)
{
    char text[256];
    unsigned line = 0, last = 0;
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    for (*n = 0; fgets(text, sizeof(text), file) != NULL;) {
        line++;
        if (strncmp(text, "-----BEGIN ", 11) == 0) {
            last = line;
            ++*n;
        }
    }
    assert_int_equal(fclose(file), 0);
    return last;
}

/* Refused for the last block of the file, by the line where that begins. */
static void refuse_last(struct world *world, const struct rt_tls_settings *settings, const char *file, const char *what)
{
    unsigned n, line = last_begin(file, &n);
    char expected[128];

    assert_true(n > 1 && line > 1);
    (void)snprintf(expected, sizeof(expected), "line %u: %s", line, what);
    refuse(world, settings, RT_ECONFIG, file, expected);
}

static void add(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Of several certificates or CRLs in one file the one is named that is wrong, however it is. Text between them, and
 * blocks of another kind, change nothing. */
static void test_which_block(void **state)
{
    static const char junk[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    struct fixture *fixture = *state;
    struct world world;
    struct rt_tls_settings settings;
    char text[16384] = "";
    FILE *file;

    world_open(&world, fixture);
    settings = settings_of(fixture, "agent");
    add(settings.cert_file, "# what follows is broken\n\n");
    add(settings.cert_file, junk);
    refuse_last(&world, &settings, settings.cert_file, "no certificate");
    issue(&world, AGENT_URI, "agent");
    file = fopen(settings.cert_file, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    (void)fclose(file);

    settings.ca_file = in_dir(fixture, "cas.pem");
    certs_ca_append(&world.ca, settings.ca_file);
    add(settings.ca_file, "-----BEGIN X-----\nAAAA\n-----END X-----\nwhat a person has noted\n");
    add(settings.ca_file, text);
    refuse_last(&world, &settings, settings.ca_file, "the certificate is none of a CA");

    settings = settings_of(fixture, "agent");
    settings.crl_file = in_dir(fixture, "crls.pem");
    certs_crl_append(&world.ca, NULL, 0, -60, 3600, settings.crl_file);
    certs_crl_append(&world.ca, NULL, 0, -60, -5, settings.crl_file);
    refuse_last(&world, &settings, settings.crl_file, "the CRL has expired");
    assert_int_equal(remove(settings.crl_file), 0);
    certs_crl_append(&world.ca, NULL, 0, -60, 3600, settings.crl_file);
    add(settings.crl_file, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    refuse_last(&world, &settings, settings.crl_file, "no CRL");
    world_close(&world);
}

static void test_too_many(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct rt_tls_settings settings;

    world_open(&world, fixture);
    settings = settings_of(fixture, "agent");
    settings.ca_file = in_dir(fixture, "many.pem");
    settings.crl_file = in_dir(fixture, "crls.pem");
    for (int i = 0; i < RT_TLS_FILE_ITEMS_MAX; i++) {
        certs_ca_append(&world.ca, settings.ca_file);
        certs_crl_append(&world.ca, NULL, 0, -60, 3600, settings.crl_file);
    }
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    certs_crl_append(&world.ca, NULL, 0, -60, 3600, settings.crl_file);
    refuse_last(&world, &settings, settings.crl_file, "too many CRLs");
    certs_ca_append(&world.ca, settings.ca_file);
    refuse_last(&world, &settings, settings.ca_file, "too many certificates");
    world_close(&world);
}

/* What is open goes on, what is opened then is by the new files, and what fails changes nothing. */
static void test_reload(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct secure client = {.end.want = 4}, agent = {.end.echo = true}, client2 = {0}, agent2 = {0};
    struct rt_tls_settings settings;
    uint8_t bytes[4];
    char why[512];

    world_open(&world, fixture);
    open_both(&world, &client, &agent, AGENT_URI);
    shake_hands(&world, &client, &agent);

    certs_ca_close(&world.ca);
    certs_ca_init(&world.ca, "next CA", NULL);
    assert_int_equal(remove(in_dir(fixture, "ca.pem")), 0);
    certs_ca_append(&world.ca, in_dir(fixture, "ca.pem"));
    issue(&world, URI_OF("agent/esx18"), "agent");
    issue(&world, URI_OF("viewer/acme"), "client");
    load(fixture, &world.agent, "agent");
    load(fixture, &world.client, "client");
    settings = settings_of(fixture, "none");
    assert_int_equal(rt_tls_load(&world.agent, &settings, why, sizeof(why)), RT_ENOTFOUND);

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = byte_at(i);
    }
    write_out(&client, bytes, sizeof(bytes));
    fixture_run(fixture, &client.end.got_all);
    open_both(&world, &client2, &agent2, URI_OF("agent/esx18"));
    shake_hands(&world, &client2, &agent2);
    assert_string_equal(agent2.peer, URI_OF("viewer/acme"));
    close_both(&world, &client, &agent);
    close_both(&world, &client2, &agent2);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_that_are_none), TEST(test_own),      TEST(test_trust),
        TEST(test_which_block),         TEST(test_too_many), TEST(test_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
