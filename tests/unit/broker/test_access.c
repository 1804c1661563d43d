/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TENANT "t23456789012345678901234567890123456789012345678901234567890123" /* and one more is 64 */

static bool user(const char *text, uid_t *uid)
{
    *uid = strcmp(text, "alice") == 0 ? 1001 : (uid_t)strtoul(text, NULL, 10);
    return *uid != 0 || strcmp(text, "0") == 0;
}

static bool group(const char *text, gid_t *gid)
{
    *gid = strcmp(text, "wheel") == 0 ? 10 : (gid_t)strtoul(text, NULL, 10);
    return *gid != 0;
}

static const struct rt_access_names names = {user, group};
static char why[RT_TEXT_MAX];

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int whom;
        unsigned id;
        enum rt_client_role as;
        const char *tenant;
    } good[] = {
        {"alice = vch/acme", RT_ACCESS_USER, 1001, RT_CLIENT_VCH, "acme"},
        {"alice=viewer/a", RT_ACCESS_USER, 1001, RT_CLIENT_VIEWER, "a"},
        {" 0\t= operator ", RT_ACCESS_USER, 0, RT_CLIENT_OPERATOR, ""},
        {"@wheel = operator", RT_ACCESS_GROUP, 10, RT_CLIENT_OPERATOR, ""},
        {"@27 = vch/x.y-z_1", RT_ACCESS_GROUP, 27, RT_CLIENT_VCH, "x.y-z_1"},
        {"* = vch/" TENANT "4", RT_ACCESS_ANY, 0, RT_CLIENT_VCH, TENANT "4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct rt_access_rule rule;

        assert_int_equal(rt_access_parse(&rule, good[i].text, &names, why, sizeof(why)), 0);
        assert_int_equal(rule.whom, good[i].whom);
        assert_int_equal(rule.id.uid, good[i].id);
        assert_int_equal(rule.as, good[i].as);
        assert_string_equal(rule.tenant, good[i].tenant);
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", "is no rule"},
        {"alice", "is no rule"},
        {"= operator", "no user before the ="},
        {"@ = operator", "no group before the ="},
        {"bob = operator", "there is no user \"bob\" on this machine"},
        {"@bob = operator", "there is no group \"bob\" on this machine"},
        {"@* = operator", "there is no group \"*\""},
        {"alice bob = operator", "there is no user"},
        {"alice =", "no role behind the ="},
        {"alice = root", "no role"},
        {"alice = nobody", "no role"},
        {"alice = agent/h1", "no role"},
        {"alice = operator/acme", "no role"},
        {"alice = operator/", "no role"},
        {"alice = vch", "no role"},
        {"alice = vch/", "no role"},
        {"alice = vch /acme", "no role"},
        {"alice = vch/ acme", "no role"},
        {"alice = vch/a/b", "no role"},
        {"alice = vch/..", "no role"},
        {"alice = vch/" TENANT "45", "no role"},
        {"alice = VCH/acme", "no role"},
        {"alice == operator", "no role"},
        {TENANT "45 = operator", "no user before the ="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rt_access_rule rule;

        why[0] = '\0';
        assert_int_equal(rt_access_parse(&rule, bad[i].text, &names, why, sizeof(why)), RT_ECONFIG);
        if (strstr(why, bad[i].part) == NULL) {
            fail_msg("\"%s\": it says \"%s\"", bad[i].text, why);
        }
    }
}

/* Who comes as which rule of these, counted from 1; 0: is turned away. */
static void test_find(void **state)
{
    static const char *const rules[] = {"1001 = vch/a", "@10 = operator", "1002 = vch/b", "@11 = viewer/c"};
    static const struct {
        uid_t uid;
        gid_t gids[3];
        size_t n_gids;
        unsigned rule;
    } cases[] = {
        {1001, {1}, 1, 1},         {1001, {10, 11}, 2, 1}, {1002, {1}, 1, 3}, {1002, {1, 2, 10}, 3, 2},
        {1003, {11, 10, 2}, 3, 2}, {1003, {2, 11}, 2, 4},  {1003, {2}, 1, 0}, {0, {0}, 1, 0},
        {1003, {0}, 0, 0},         {10, {1}, 1, 0},        {1, {1001}, 1, 0},
    };
    struct rt_access access = {.n = 0};

    (void)state;
    assert_null(rt_access_find(&access, 0, NULL, 0));
    assert_false(rt_access_by_group(&access));
    for (; access.n < sizeof(rules) / sizeof(rules[0]); access.n++) {
        assert_int_equal(rt_access_parse(&access.rules[access.n], rules[access.n], &names, why, sizeof(why)), 0);
        assert_int_equal(rt_access_by_group(&access), access.n > 1);
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rt_access_rule *rule = rt_access_find(&access, cases[i].uid, cases[i].gids, cases[i].n_gids);

        assert_ptr_equal(rule, cases[i].rule == 0 ? NULL : &access.rules[cases[i].rule - 1]);
    }
    assert_int_equal(rt_access_parse(&access.rules[access.n++], "* = viewer/z", &names, why, sizeof(why)), 0);
    assert_ptr_equal(rt_access_find(&access, 77, NULL, 0), &access.rules[4]);
    assert_ptr_equal(rt_access_find(&access, 1001, NULL, 0), &access.rules[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
