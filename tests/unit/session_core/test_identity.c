/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DOMAIN "lab.example"
#define BASE "spiffe://" DOMAIN "/retether/"
#define N16 "n23456789_123456"
#define N64 N16 N16 N16 N16

/* A text as it stands in a certificate, NULs included. */
#define URI(text)                                                                                                      \
    {                                                                                                                  \
        (const uint8_t *)(text), sizeof(text) - 1                                                                      \
    }

static void test_good(void **state)
{
    static const struct {
        struct rt_slice uri;
        enum rt_identity_role role;
        const char *name;
    } good[] = {
        {URI(BASE "vch/acme"), RT_IDENTITY_VCH, "acme"},
        {URI(BASE "vch/a"), RT_IDENTITY_VCH, "a"},
        {URI(BASE "viewer/Acme_2.test-x"), RT_IDENTITY_VIEWER, "Acme_2.test-x"},
        {URI(BASE "viewer/a..b"), RT_IDENTITY_VIEWER, "a..b"},
        {URI(BASE "vch/" N64), RT_IDENTITY_VCH, N64},
        {URI(BASE "vch/operator"), RT_IDENTITY_VCH, "operator"},
        {URI(BASE "operator"), RT_IDENTITY_OPERATOR, ""},
        {URI(BASE "agent/esx17.lab.example"), RT_IDENTITY_AGENT, "esx17.lab.example"},
        {URI(BASE "agent/ESX17"), RT_IDENTITY_AGENT, "ESX17"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct rt_identity identity;
        char why[RT_TEXT_MAX], again[RT_IDENTITY_TEXT_MAX];

        memset(&identity, 0xff, sizeof(identity));
        assert_int_equal(rt_identity_parse(&identity, &good[i].uri, 1, DOMAIN, why, sizeof(why)), 0);
        assert_int_equal(identity.role, good[i].role);
        assert_string_equal(identity.name, good[i].name);
        rt_identity_print(&identity, DOMAIN, again); /* it has this one form */
        assert_true(rt_slice_equal(rt_slice_text(again), good[i].uri));
    }
}

static void test_bad(void **state)
{
    static const struct {
        struct rt_slice uri;
        const char *wrong;
    } bad[] = {
        {URI(""), "no identity: "},
        {URI("spiffe:/"), "no identity: "},
        {URI("https://" DOMAIN "/retether/vch/acme"), "no identity: "},
        {URI("SPIFFE://" DOMAIN "/retether/vch/acme"), "no identity: "},
        {URI(" " BASE "vch/acme"), "no identity: "},
        /* other domains */
        {URI("spiffe://"), "another domain: "},
        {URI("spiffe:///retether/vch/acme"), "another domain: "},
        {URI("spiffe://example/retether/vch/acme"), "another domain: "},
        {URI("spiffe://lab.exampl/retether/vch/acme"), "another domain: "},
        {URI("spiffe://lab.example.org/retether/vch/acme"), "another domain: "},
        {URI("spiffe://x.lab.example/retether/vch/acme"), "another domain: "},
        {URI("spiffe://LAB.example/retether/vch/acme"), "another domain: "},
        {URI("spiffe://lab.example./retether/vch/acme"), "another domain: "},
        {URI("spiffe://lab%2eexample/retether/vch/acme"), "another domain: "},
        {URI("spiffe://lab.example:443/retether/vch/acme"), "another domain: "},
        {URI("spiffe://root@lab.example/retether/vch/acme"), "another domain: "},
        {URI("spiffe://lab.example\0.org/retether/vch/acme"), "another domain: "},
        /* other software */
        {URI("spiffe://" DOMAIN), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "/"), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "/retether"), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "//retether/vch/acme"), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "/Retether/vch/acme"), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "/ns/x/sa/y"), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "/./retether/vch/acme"), "no identity of retether: "},
        {URI("spiffe://" DOMAIN "?/retether/vch/acme"), "another domain: "},
        /* roles */
        {URI(BASE), "no role of retether: "},
        {URI(BASE "/vch/acme"), "no role of retether: "},
        {URI(BASE "VCH/acme"), "no role of retether: "},
        {URI(BASE "vch2/acme"), "no role of retether: "},
        {URI(BASE "vc/acme"), "no role of retether: "},
        {URI(BASE "../retether/vch/acme"), "no role of retether: "},
        {URI(BASE "vch\0/acme"), "no role of retether: "},
        {URI(BASE "operator\0"), "no role of retether: "},
        {URI(BASE "operator/"), "something behind a role that has no name: "},
        {URI(BASE "operator/acme"), "something behind a role that has no name: "},
        /* names */
        {URI(BASE "vch"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch//acme"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme/"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme/box"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/."), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/.."), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/../operator"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/.acme"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/-acme"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/ac%6de"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme%00"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme\0"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme\0.evil"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme#x"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme?x"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acme "), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/a:b"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/acm\xc3\xa9"), "no name that a tenant or a host may have: "},
        {URI(BASE "vch/" N64 "5"), "no name that a tenant or a host may have: "},
        {URI(BASE "agent/" N64 "5"), "no name that a tenant or a host may have: "},
        {URI(BASE "agent"), "no name that a tenant or a host may have: "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        static const struct rt_identity none;
        struct rt_identity identity;
        char why[RT_TEXT_MAX];

        memset(&identity, 0xff, sizeof(identity));
        assert_int_equal(rt_identity_parse(&identity, &bad[i].uri, 1, DOMAIN, why, sizeof(why)), RT_EAUTH);
        assert_memory_equal(&identity, &none, sizeof(identity));
        if (strncmp(why, bad[i].wrong, strlen(bad[i].wrong)) != 0) {
            fail_msg("%s: expected: %s", why, bad[i].wrong);
        }
    }
}

/* One URI, or nobody. */
static void test_how_many(void **state)
{
    static const struct rt_slice uris[2] = {URI(BASE "vch/acme"), URI(BASE "vch/acme")};
    struct rt_identity identity;
    char why[RT_TEXT_MAX];

    (void)state;
    assert_int_equal(rt_identity_parse(&identity, NULL, 0, DOMAIN, why, sizeof(why)), RT_EAUTH);
    assert_string_equal(why, "no URI that says who it is");
    assert_int_equal(rt_identity_parse(&identity, uris, 2, DOMAIN, why, sizeof(why)), RT_EAUTH);
    assert_string_equal(why, "more than one URI");
    assert_string_equal(identity.name, "");
}

/* What is not plain does not reach people, and what is long is cut. */
static void test_why(void **state)
{
    static const struct rt_slice uri = URI("spiffe://x\033[2J\n\0/retether/vch/acme");
    static uint8_t bytes[4000];
    struct rt_slice long_uri = {bytes, sizeof(bytes)};
    struct rt_identity identity;
    char why[RT_TEXT_MAX], little[12];

    (void)state;
    assert_int_equal(rt_identity_parse(&identity, &uri, 1, DOMAIN, why, sizeof(why)), RT_EAUTH);
    assert_string_equal(why, "another domain: spiffe://x?[2J??"
                             "/retether/vch/acme");
    memset(bytes, 'a', sizeof(bytes));
    memcpy(bytes, BASE "vch/", sizeof(BASE "vch/") - 1);
    assert_int_equal(rt_identity_parse(&identity, &long_uri, 1, DOMAIN, why, sizeof(why)), RT_EAUTH);
    assert_int_equal(strlen(why), sizeof(why) - 1);
    assert_int_equal(rt_identity_parse(&identity, &long_uri, 1, DOMAIN, little, sizeof(little)), RT_EAUTH);
    assert_string_equal(little, "no name tha");
}

static void test_domains(void **state)
{
    static const struct rt_slice good[] = {URI("a"), URI("lab.example"), URI("prod-2_x.0")},
                                 bad[] = {URI(""),    URI("Lab"),  URI("a/b"), URI("a b"),
                                          URI("a:1"), URI("a\0b"), URI("%61")};
    uint8_t longest[RT_DOMAIN_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rt_domain_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_domain_valid(bad[i]));
    }
    memset(longest, 'd', sizeof(longest));
    assert_true(rt_domain_valid((struct rt_slice){longest, RT_DOMAIN_MAX}));
    assert_false(rt_domain_valid((struct rt_slice){longest, RT_DOMAIN_MAX + 1}));
}

/* The longest of all has room. */
static void test_longest(void **state)
{
    struct rt_identity identity = {.role = RT_IDENTITY_VIEWER, .name = N64}, back;
    char domain[RT_DOMAIN_MAX + 1], text[RT_IDENTITY_TEXT_MAX], why[RT_TEXT_MAX];
    struct rt_slice uri;

    (void)state;
    memset(domain, 'd', RT_DOMAIN_MAX);
    domain[RT_DOMAIN_MAX] = '\0';
    rt_identity_print(&identity, domain, text);
    uri = rt_slice_text(text);
    assert_int_equal(uri.size, 9 + RT_DOMAIN_MAX + 10 + 6 + 1 + 64);
    assert_int_equal(rt_identity_parse(&back, &uri, 1, domain, why, sizeof(why)), 0);
    assert_int_equal(back.role, RT_IDENTITY_VIEWER);
    assert_string_equal(back.name, N64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_bad),     cmocka_unit_test(test_how_many),
        cmocka_unit_test(test_why),  cmocka_unit_test(test_domains), cmocka_unit_test(test_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
