/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/certs/certs.h"
#include "tests/lib/pki.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Clients that reach agents over TLS, with certificates as an operator makes them. Clients are told TLS addresses
 * alone. h2 tells one that is h0's: whoever goes there finds another agent than the one that it was sent to. */

#define HOSTS 3
#define LIAR 2

static char endpoints[HOSTS][64];

/* DIR/NAME of the cluster's directory; good until the eighth call from now. */
static const char *in_dir(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%.64s/%.48s", harness.dir, name);
    return path;
}

static int make_clients(void)
{
    return rt_test_pki_ca(in_dir("other-ca")) != 0 ||
                   rt_test_pki((const char *[]){"init", in_dir("far-ca"), "--domain", "far.example", NULL}) != 0 ||
                   rt_test_pki_issue(in_dir("ca"), "vch", "local", in_dir("gone")) != 0 ||
                   rt_test_pki_issue(in_dir("ca"), "viewer", "acme", in_dir("viewer")) != 0 ||
                   rt_test_pki_issue(in_dir("ca"), "agent", "h9", in_dir("agent")) != 0 ||
                   rt_test_pki_issue(in_dir("other-ca"), "vch", "local", in_dir("other")) != 0 ||
                   rt_test_pki_issue(in_dir("far-ca"), "vch", "local", in_dir("far")) != 0
               ? -1
               : 0;
}

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    struct rt_cluster_host *h = &cluster->hosts[host];

    if (rt_cluster_tls(cluster, host) != 0 || (host == 0 && make_clients() != 0)) {
        return -1;
    }
    memcpy(endpoints[host], h->more_clients, sizeof(endpoints[host]));
    memcpy(h->advertise, endpoints[host == LIAR ? 0 : host], sizeof(h->advertise));
    return 0;
}

/* A certificate of the last but one hour, of the CA that all believe. */
static void make_expired(const char *uri, const char *name)
{
    char cert[160], key[160], ca_cert[160], ca_key[160];
    struct certs_spec spec = {.cert_file = cert,
                              .key_file = key,
                              .uris = {rt_slice_text(uri)},
                              .n_uris = 1,
                              .from_s = -7200,
                              .until_s = -3600,
                              .serial = 77,
                              .usage = "serverAuth,clientAuth"};
    struct certs_ca ca;

    assert_int_equal(mkdir(in_dir(name), 0700), 0);
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", in_dir(name));
    (void)snprintf(key, sizeof(key), "%s/key.pem", in_dir(name));
    (void)snprintf(ca_cert, sizeof(ca_cert), "%s/ca.pem", in_dir("ca"));
    (void)snprintf(ca_key, sizeof(ca_key), "%s/ca-key.pem", in_dir("ca"));
    certs_ca_read(&ca, ca_cert, ca_key);
    certs_issue(&ca, &spec);
    (void)snprintf(ca_cert, sizeof(ca_cert), "%s/ca.pem", in_dir(name));
    certs_ca_append(&ca, ca_cert);
    certs_ca_close(&ca);
}

/* An attachment goes on with every byte, wherever the container is taken, and takes no other agent for the one that it
 * is sent to. */
static void test_moves(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("tls-moves", "while read -r line; do echo \"got $line\"; done");
    struct harness_attach attach;

    (void)state;
    harness_start(
        &attach, false,
        ARGS("attach", "-v", "--since-offset", "oldest", "--agent", endpoints[0], "--tls", in_dir("vch"), "tls-moves"));
    harness_type(&attach, "one\n", 4);
    harness_until(&attach, "got one\n");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    harness_type(&attach, "two\n", 4);
    harness_until(&attach, "got two\n");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, LIAR, "reset"), 0);
    harness_type(&attach, "three\n", 6);
    harness_until_err(&attach, "not who was expected: agent/h0 instead of agent/h2");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    harness_until(&attach, "got three\n");
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_string_equal(attach.text, "got one\ngot two\ngot three\n");
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

/* `retether ls` at h0 as who has these certificates; NULL: none. */
static void list_as(const char *certificates, int status, const char *says)
{
    char given[sizeof(harness.tls_env)];
    struct rt_process_run run;

    if (certificates == NULL) {
        memcpy(given, harness.tls_env, sizeof(given));
        harness.tls_env[0] = '\0';
        harness_cli(&run, NULL, 0, ARGS("ls", "--agent", endpoints[0], "--timeout", "3s"));
        memcpy(harness.tls_env, given, sizeof(given));
    } else {
        harness_cli(&run, NULL, 0,
                    ARGS("ls", "--agent", endpoints[0], "--timeout", "3s", "--tls", in_dir(certificates)));
    }
    if (run.status != status || strstr(run.err, says) == NULL) {
        fail_msg("as %s: %d: %s; wanted %d: %s", certificates, run.status, run.err, status, says);
    }
    rt_process_run_free(&run);
}

/* The agent of another host than the name that was dialled: localhost is none of them. */
static void dial_by_name(void)
{
    struct rt_process_run run;
    char endpoint[64];

    (void)snprintf(endpoint, sizeof(endpoint), "tls:localhost:%s", strrchr(endpoints[0], ':') + 1);
    harness_cli(&run, NULL, 0, ARGS("ls", "--agent", endpoint, "--timeout", "3s", "--tls", in_dir("vch")));
    assert_int_equal(run.status, 125);
    assert_non_null(strstr(run.err, "handshake: agent/h0 answers at localhost"));
    rt_process_run_free(&run);
}

static void test_strangers(void **state)
{
    (void)state;
    dial_by_name();
    list_as("vch", 0, "");
    list_as("viewer", 0, "");
    list_as(NULL, 125,
            "TLS takes certificates, and none were given\nretether: --tls (or RETETHER_TLS) names a directory of "
            "certificates");
    list_as("nowhere", 125, "nowhere/cert.pem: No such file or directory");
    list_as("other", 125, "handshake: ");
    list_as("far", 125, "handshake: ");
    list_as("agent", 125, "agent/h9 may not use this agent");
}

/* What openssl s_client says with these arguments, until the agent hangs up. */
static void openssl(const char *const *argv, const char *says)
{
    struct rt_process_spec spec;
    struct rt_process_run run;

    rt_process_spec_init(&spec, argv);
    assert_int_equal(rt_process_run(&spec, NULL, 0, HARNESS_LIMIT_MS, &run), 0);
    if (strstr(run.err, says) == NULL && strstr(run.out, says) == NULL) {
        fail_msg("%s\n%s\nwanted: %s", run.out, run.err, says);
    }
    rt_process_run_free(&run);
}

static void test_other_tls(void **state)
{
    char cert[160], key[160];
    const char *at = endpoints[0] + strlen("tls:");

    (void)state;
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", in_dir("vch"));
    (void)snprintf(key, sizeof(key), "%s/key.pem", in_dir("vch"));
    openssl((const char *[]){"openssl", "s_client", "-connect", at, "-ign_eof", "-tls1_2", "-cert", cert, "-key", key,
                             "-alpn", "retether/1", NULL},
            "alert protocol version");
    openssl((const char *[]){"openssl", "s_client", "-connect", at, "-ign_eof", "-tls1_3", "-alpn", "retether/1", NULL},
            "alert certificate required");
}

/* Who has these certificates answers where an agent should, and is no agent. */
static void answers_as(const char *name, const char *says)
{
    unsigned port = rt_test_free_port();
    char cert[160], key[160], ca[160], at[32], endpoint[64];
    const char *argv[] = {"openssl", "s_server", "-accept", at,  "-cert", cert,         "-key",   key,
                          "-CAfile", ca,         "-Verify", "2", "-alpn", "retether/1", "-quiet", NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    bool told = false;
    pid_t pid;

    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", in_dir(name));
    (void)snprintf(key, sizeof(key), "%s/key.pem", in_dir(name));
    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", in_dir(name));
    (void)snprintf(at, sizeof(at), "127.0.0.1:%u", port);
    (void)snprintf(endpoint, sizeof(endpoint), "tls:127.0.0.1:%u", port);
    rt_process_spec_init(&spec, argv);
    pid = rt_process_start(&spec);
    assert_true(pid > 0);
    while (!told && rt_process_now_ms() < until) { /* it may not listen yet */
        harness_cli(&run, NULL, 0, ARGS("ls", "--agent", endpoint, "--timeout", "2s", "--tls", in_dir("vch")));
        assert_int_equal(run.status, 125);
        told = strstr(run.err, says) != NULL;
        rt_process_run_free(&run);
    }
    rt_process_kill(pid);
    assert_true(told);
}

static void test_no_agent(void **state)
{
    (void)state;
    answers_as("viewer", "the peer's certificate is not for this use");
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Has h0 read its files anew, until its log says so. */
static void reload(const char *says)
{
    assert_int_equal(kill(harness.hosts[0].pid, SIGHUP), 0);
    harness_until_said(0, says, 1);
}

/* A certificate whose time is over lets nobody in, makes nobody an agent, and is read by nobody. */
static void test_expired(void **state)
{
    char cert[160], key[160];

    (void)state;
    make_expired("spiffe://test.example/retether/vch/local", "late");
    make_expired("spiffe://test.example/retether/agent/h0", "late-agent");
    list_as("late", 125, "late/cert.pem: line 1: the certificate has expired");
    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", in_dir("late"));
    (void)snprintf(key, sizeof(key), "%s/key.pem", in_dir("late"));
    openssl((const char *[]){"openssl", "s_client", "-connect", endpoints[0] + strlen("tls:"), "-ign_eof", "-tls1_3",
                             "-cert", cert, "-key", key, "-alpn", "retether/1", NULL},
            "alert certificate expired");
    answers_as("late-agent", "the peer's certificate has expired");
    assert_int_equal(rename(harness.hosts[0].tls, in_dir("good")), 0);
    assert_int_equal(symlink(in_dir("late-agent"), harness.hosts[0].tls), 0);
    reload("cert.pem: line 1: the certificate has expired; what was read before stays in use");
    list_as("vch", 0, "");
    assert_int_equal(unlink(harness.hosts[0].tls), 0);
    assert_int_equal(rename(in_dir("good"), harness.hosts[0].tls), 0);
}

/* A list of the cluster's CA that revokes nobody. */
static void put_empty_crl(const char *path)
{
    char ca_cert[160], ca_key[160];
    struct certs_ca ca;

    (void)snprintf(ca_cert, sizeof(ca_cert), "%s/ca.pem", in_dir("ca"));
    (void)snprintf(ca_key, sizeof(ca_key), "%s/ca-key.pem", in_dir("ca"));
    certs_ca_read(&ca, ca_cert, ca_key);
    certs_crl_append(&ca, NULL, 0, -60, 3600, path);
    certs_ca_close(&ca);
}

/* What is not right changes nothing. A certificate that is revoked lets nobody in, and ends the link that is open by
 * it, also when the list is gone; what was attached goes on at its offset when it counts again. */
static void test_reload(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("tls-reload", "while read -r line; do echo \"got $line\"; done");
    struct harness_attach attach;
    char crl[160], list[160];

    (void)state;
    harness_start(&attach, false,
                  ARGS("attach", "-v", "--since-offset", "oldest", "--agent", endpoints[0], "--tls", in_dir("gone"),
                       "tls-reload"));
    harness_type(&attach, "one\n", 4);
    harness_until(&attach, "got one\n");
    (void)snprintf(crl, sizeof(crl), "%s/crl.pem", harness.hosts[0].tls);
    put(crl, "nothing\n");
    reload("crl.pem: no CRL");
    list_as("gone", 0, "");
    assert_int_equal(rt_test_pki((const char *[]){"revoke", in_dir("ca"), in_dir("gone"), NULL}), 0);
    (void)snprintf(list, sizeof(list), "%s/crl.pem", in_dir("ca"));
    assert_int_equal(unlink(crl), 0);
    assert_int_equal(symlink(list, crl), 0);
    reload("connections whose certificate has been revoked are ended: 1");
    harness_until_err(&attach, "the peer says that our certificate is revoked");
    list_as("gone", 125, "");
    list_as("vch", 0, "");
    assert_int_equal(unlink(crl), 0);
    reload("crl.pem is gone");
    list_as("gone", 125, "");
    put_empty_crl(crl);
    assert_int_equal(kill(harness.hosts[0].pid, SIGHUP), 0);
    harness_until_said(0, "; certificates of ", 2);
    harness_type(&attach, "two\n", 4);
    harness_until(&attach, "got two\n");
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_moves),     cmocka_unit_test(test_strangers),
                                       cmocka_unit_test(test_other_tls), cmocka_unit_test(test_no_agent),
                                       cmocka_unit_test(test_expired),   cmocka_unit_test(test_reload)};

    return harness_main_in(HOSTS, false, prepare, "clients over TLS", tests, sizeof(tests) / sizeof(tests[0]));
}
