/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "session/core/identity.h"
#include "tests/lib/certs/certs.h"
#include "tests/unit/broker/shell_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The agent's own certificate: clients hold it against the name that they were told, so it must be this host's. */

static struct certs_ca ca;

static const char two_keys[] = "key 1 0101010101010101010101010101010101010101010101010101010101010101 active\n"
                               "key 2 0202020202020202020202020202020202020202020202020202020202020202\n";

static int setup(void **state)
{
    int rc = fx_setup(state);

    (void)snprintf(fx_settings.tls, sizeof(fx_settings.tls), "%s/tls", fx_dir);
    if (rc != 0 || mkdir(fx_settings.tls, 0700) != 0) {
        return -1;
    }
    certs_ca_init(&ca, "CA", NULL);
    certs_ca_append(&ca, fx_path("tls/ca.pem"));
    return 0;
}

static int teardown(void **state)
{
    certs_ca_close(&ca);
    return fx_teardown(state);
}

static void issue(const char *uri)
{
    char cert[128], key[128];

    (void)snprintf(cert, sizeof(cert), "%.60s/cert.pem", fx_settings.tls);
    (void)snprintf(key, sizeof(key), "%.60s/key.pem", fx_settings.tls);
    (void)unlink(cert);
    (void)unlink(key);
    certs_issue_uri(&ca, uri, cert, key);
}

static bool has_read(void *ctx)
{
    (void)ctx;
    return shell.trust.phase == RT_TRUST_IDLE;
}

static void reload(void)
{
    rt_shell_reload_trust(&shell);
    fx_until(has_read, NULL);
}

static void test_whose_certificate(void **state)
{
    static const struct {
        const char *uri, *is; /* NULL: good */
    } cases[] = {
        {"spiffe://lab/retether/agent/hosta", NULL},
        {"spiffe://lab/retether/agent/hostb", "the certificate is of agent/hostb, and this agent is agent/hosta"},
        {"spiffe://lab/retether/agent/host", "of agent/host, "},
        {"spiffe://lab/retether/agent/hosta2", "of agent/hosta2, "},
        {"spiffe://lab/retether/vch/hosta", "of vch/hosta, "},
        {"spiffe://lab/retether/viewer/hosta", "of viewer/hosta, "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        issue(cases[i].uri);
        if (cases[i].is == NULL) {
            fx_start();
            assert_string_equal(shell.tls.own.name, "hosta");
            fx_stop(0);
        } else {
            fx_refused();
            if (strstr(shell.trust.next.why, cases[i].is) == NULL) {
                fail_msg("%s: %s", cases[i].uri, shell.trust.next.why);
            }
        }
    }
}

/* A certificate of another host, read while the agent runs, changes nothing. */
static void test_read_anew(void **state)
{
    (void)state;
    issue("spiffe://lab/retether/agent/hosta");
    fx_start();
    issue("spiffe://lab/retether/agent/hostb");
    reload();
    assert_int_equal(shell.trust.error, RT_ECONFIG);
    assert_string_equal(shell.tls.own.name, "hosta");
    issue("spiffe://lab/retether/agent/hosta");
    reload();
    assert_int_equal(shell.trust.error, 0);
    assert_string_equal(shell.tls.own.name, "hosta");
    fx_stop(0);
}

static void put_crl(void)
{
    certs_crl_append(&ca, NULL, 0, -60, 3600, fx_path("tls/crl.pem"));
}

/* A list of what is revoked that was there, and is not: nothing of what was read counts, the key ring neither. Without
 * one from the start none is missed. */
static void test_crl_gone(void **state)
{
    size_t n_keys;

    (void)state;
    issue("spiffe://lab/retether/agent/hosta");
    fx_start();
    assert_false(shell.tls.has_crl);
    n_keys = shell.ring.n_keys;
    reload();
    assert_int_equal(shell.trust.error, 0);
    put_crl();
    reload();
    assert_int_equal(shell.trust.error, 0);
    assert_true(shell.tls.has_crl);
    assert_int_equal(unlink(fx_path("tls/crl.pem")), 0);
    fx_write("keys", two_keys, sizeof(two_keys) - 1, 0600);
    for (int i = 0; i < 2; i++) {
        reload();
        assert_int_equal(shell.trust.error, RT_ECONFIG);
        assert_true(shell.tls.has_crl);
        assert_int_equal(shell.ring.n_keys, n_keys);
    }
    put_crl();
    reload();
    assert_int_equal(shell.trust.error, 0);
    assert_int_equal(shell.ring.n_keys, 2);
    fx_stop(0);
    assert_int_equal(unlink(fx_path("tls/crl.pem")), 0);
    fx_start();
    assert_false(shell.tls.has_crl);
    fx_stop(0);
}

/* The store's certificates are read with the rest, and what is wrong with one changes none. */
static void test_of_the_store(void **state)
{
    struct ssl_ctx_st *clients, *store;

    (void)state;
    issue("spiffe://lab/retether/agent/hosta");
    (void)snprintf(fx_settings.store_tls, sizeof(fx_settings.store_tls), "%s/store-tls", fx_dir);
    fx_refused();
    assert_non_null(strstr(shell.trust.next.why, "/store-tls/ca.pem: No such file"));
    assert_int_equal(mkdir(fx_settings.store_tls, 0700), 0);
    certs_ca_append(&ca, fx_path("store-tls/ca.pem"));
    fx_start();
    clients = shell.tls.ctx;
    store = shell.store_tls.ctx;
    assert_non_null(store);
    issue("spiffe://lab/retether/agent/hosta");
    fx_write("store-tls/cert.pem", "nonsense", 8, 0600);
    reload();
    assert_int_equal(shell.trust.error, RT_ECONFIG);
    assert_ptr_equal(shell.tls.ctx, clients);
    assert_ptr_equal(shell.store_tls.ctx, store);
    assert_int_equal(unlink(fx_path("store-tls/cert.pem")), 0);
    issue("spiffe://lab/retether/agent/hostb");
    reload();
    assert_ptr_equal(shell.store_tls.ctx, store);
    issue("spiffe://lab/retether/agent/hosta");
    reload();
    assert_int_equal(shell.trust.error, 0);
    assert_ptr_not_equal(shell.store_tls.ctx, store);
    fx_stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whose_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crl_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_of_the_store, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
