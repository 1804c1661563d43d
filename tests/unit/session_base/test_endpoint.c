/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/endpoint.h"

#include "tests/unit/session_transport/fixture.h"

#include <errno.h>

static void test_round_trip(void **state)
{
    static const char *const texts[] = {
        "unix:/run/retether/guest.sock",
        "unix:relative",
        "tcp:127.0.0.1:7401",
        "tcp:0.0.0.0:0",
        "tcp:[::1]:7401",
        "tls:127.0.0.1:7401",
        "tls:[::1]:7401",
        "tls:esx17.example:7401",
        "tls:a_b-1:1",
        "tcp:[fe80::1%lo]:7400",
        "vsock:2:7400",
        "vsock::7400",
        "vsock:4294967294:4294967294",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct rt_endpoint endpoint = fixture_endpoint(texts[i]);
        char text[RT_ENDPOINT_TEXT_MAX];

        rt_endpoint_print(&endpoint, text, sizeof(text));
        assert_string_equal(text, texts[i]);
    }
}

static void test_rejects(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "wants unix:PATH"},
        {"/run/x.sock", "wants unix:PATH"},
        {"http:127.0.0.1:80", "wants unix:PATH"},
        {"unix:", "path is missing"},
        {"tcp:", "wants tcp:ADDRESS:PORT"},
        {"tcp::80", "wants tcp:ADDRESS:PORT"},
        {"tcp:127.0.0.1", "wants tcp:ADDRESS:PORT"},
        {"tcp:127.0.0.1:", "is not a port"},
        {"tcp:127.0.0.1:65536", "is not a port"},
        {"tcp:127.0.0.1:-1", "is not a port"},
        {"tcp:127.0.0.1:99999999999999999999", "is not a port"},
        {"tcp:127.0.0.1:80x", "is not a port"},
        {"tcp:localhost:80", "\"localhost\" is not a numeric address"},
        {"tcp:127.1:80", "is not a numeric address"},
        {"tcp:::1:80", "brackets"},
        {"tcp:[::1:80", "wants tcp:[ADDRESS]:PORT"},
        {"tcp:[]:80", "wants tcp:[ADDRESS]:PORT"},
        {"tcp:[127.0.0.1]:80", "is not an IPv6 address"},
        {"tcp:[fe80::1%no-such-if]:80", "no network interface"},
        {"tcp:[fe80::1%0]:80", "no network interface"},
        {"tls:127.1:80", "neither a numeric address nor a host's name"},
        {"tls:a.1:80", "neither"},
        {"tls:a..b:80", "neither"},
        {"tls:.a:80", "neither"},
        {"tls:-a:80", "neither"},
        {"tls:a b:80", "neither"},
        {"tls:a:0", "neither"},
        {"tls::80", "wants tls:ADDRESS:PORT"},
        {"vsock:7400", "wants vsock:CID:PORT"},
        {"vsock:x:7400", "\"x\" is not a CID"},
        {"vsock:4294967295:7400", "is not a CID"},
        {"vsock:2:", "is not a vSocket port"},
        {"vsock:2:4294967295", "is not a vSocket port"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct rt_endpoint endpoint;
        char why[256] = "";

        assert_int_equal(rt_endpoint_parse(&endpoint, cases[i].text, why, sizeof(why)), RT_EINVAL);
        if (strstr(why, cases[i].says) == NULL || strncmp(why, cases[i].text, strlen(cases[i].text)) != 0) {
            fail_msg("%s: says \"%s\"", cases[i].text, why);
        }
    }
}

static void test_path_length(void **state)
{
    char text[5 + 109] = "unix:", why[256];
    struct rt_endpoint endpoint;

    (void)state;
    memset(text + 5, 'a', 107);
    assert_int_equal(rt_endpoint_parse(&endpoint, text, why, sizeof(why)), 0);
    assert_int_equal(strlen(rt_endpoint_path(&endpoint)), 107);
    text[5 + 107] = 'a';
    assert_int_equal(rt_endpoint_parse(&endpoint, text, why, sizeof(why)), RT_EINVAL);
    assert_non_null(strstr(why, "107"));
    /* The message is cut, never overrun. */
    assert_int_equal(rt_endpoint_parse(&endpoint, text, why, 8), RT_EINVAL);
    assert_int_equal(strlen(why), 7);
}

static void test_scopes(void **state)
{
    static const struct {
        const char *text;
        bool loopback, link_local;
    } cases[] = {
        {"tcp:127.0.0.1:1", true, false},
        {"tcp:127.255.0.9:1", true, false},
        {"tcp:[::1]:1", true, false},
        {"tcp:[::ffff:127.0.0.1]:1", true, false},
        {"tcp:169.254.1.1:1", false, true},
        {"tcp:[fe80::1]:1", false, true},
        {"tcp:[::ffff:169.254.9.9]:1", false, true},
        {"tcp:0.0.0.0:1", false, false},
        {"tcp:[::]:1", false, false},
        {"tcp:169.253.1.1:1", false, false},
        {"tcp:10.0.0.1:1", false, false},
        {"tcp:[fec0::1]:1", false, false},
        {"unix:/x", false, false},
        {"vsock:1:1", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct rt_endpoint endpoint = fixture_endpoint(cases[i].text);

        assert_int_equal(rt_endpoint_is_loopback(&endpoint), cases[i].loopback);
        assert_int_equal(rt_endpoint_is_link_local(&endpoint), cases[i].link_local);
    }
}

static void test_codes(void **state)
{
    (void)state;
    assert_int_equal(rt_transport_code(0), 0);
    assert_int_equal(rt_transport_code(ECONNREFUSED), RT_ECONN);
    assert_int_equal(rt_transport_code(UV_ECONNRESET), RT_ECONN);
    assert_int_equal(rt_transport_code(EMFILE), RT_ELIMIT);
    assert_int_equal(rt_transport_code(UV_ENOMEM), RT_ENOMEM);
    assert_int_equal(rt_transport_code(EACCES), RT_EAUTH);
    assert_int_equal(rt_transport_code(EADDRINUSE), RT_EEXIST);
    assert_int_equal(rt_transport_code(EAFNOSUPPORT), RT_EINVAL);
    assert_int_equal(rt_transport_code(ETIMEDOUT), RT_ETIMEDOUT);
    assert_int_equal(rt_transport_code(ECANCELED), RT_ECANCELED);
    assert_int_equal(rt_transport_code(EIO), RT_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_rejects), cmocka_unit_test(test_path_length),
        cmocka_unit_test(test_scopes),     cmocka_unit_test(test_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
