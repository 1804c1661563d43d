/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/checks.h"

#include "migrate/store/info.h"
#include "migrate/store/rights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What is right and what is weak, by what was found. */

/* A store as docs/operations.md has it: nothing is weak. */
static struct rt_store_facts sound(void)
{
    struct rt_store_facts facts;

    rt_store_facts_init(&facts);
    rt_store_facts_info(&facts, "# Server\r\nredis_version:7.0.15\r\nmaxmemory:1000000000\r\n"
                                "maxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:ok\r\n"
                                "connected_slaves:2\r\n");
    rt_store_facts_setting(&facts, "min-replicas-to-write", "1");
    rt_store_facts_setting(&facts, "hash-max-listpack-value", "1024");
    rt_store_facts_setting(&facts, "appendfsync", "everysec");
    rt_store_facts_setting(&facts, "requirepass", "secret");
    snprintf(facts.place, sizeof(facts.place), "redis://192.0.2.1:6379");
    facts.n_sentinels = facts.n_voices = 3;
    facts.is_voted = facts.is_online = true;
    facts.replicas = 2;
    facts.tails_max = 32 << 20;
    facts.own = facts.libraries = 1;
    facts.tried = rt_rights(false);
    return facts;
}

static void want(const struct rt_store_facts *facts, enum rt_check i, enum rt_check_state state, const char *part)
{
    struct rt_store_look look;

    memset(&look, 0, sizeof(look));
    rt_store_check(facts, &look);
    for (enum rt_check k = 0; k < RT_CHECKS; k++) {
        const struct rt_store_check *check = &look.checks[k];

        assert_non_null(check->name);
        assert_true((check->state == RT_CHECK_WEAK) == (check->risk[0] != '\0'));
        if (k != i && check->state != RT_CHECK_OK) {
            fail_msg("%s: %s", check->name, check->value);
        }
    }
    assert_int_equal(look.checks[i].state, state);
    if (strstr(look.checks[i].value, part) == NULL) {
        fail_msg("%s: %s", look.checks[i].name, look.checks[i].value);
    }
}

static void test_sound(void **state)
{
    struct rt_store_facts facts = sound();

    (void)state;
    want(&facts, RT_CHECK_SERVER, RT_CHECK_OK, "redis://192.0.2.1:6379, primary");
    want(&facts, RT_CHECK_SENTINELS, RT_CHECK_OK, "3 of 3");
    want(&facts, RT_CHECK_FUNCTIONS, RT_CHECK_OK, "of 1 version there");
    want(&facts, RT_CHECK_PERSISTENCE, RT_CHECK_OK, "fsync everysec");
    want(&facts, RT_CHECK_REPLICAS, RT_CHECK_OK, "2 connected, 2 known");
    facts.n_sentinels = 0;
    want(&facts, RT_CHECK_SENTINELS, RT_CHECK_OK, "none");
}

/* Of a private store neither replicas nor a bound are wanted. */
static void test_local(void **state)
{
    struct rt_store_facts facts = sound();

    (void)state;
    facts.connected = facts.replicas = facts.min_replicas = facts.memory_max = facts.n_sentinels = 0;
    facts.is_local = true;
    want(&facts, RT_CHECK_REPLICAS, RT_CHECK_OK, "0 connected");
}

#define WEAK(check, part, change)                                                                                      \
    do {                                                                                                               \
        struct rt_store_facts facts = sound();                                                                         \
                                                                                                                       \
        change;                                                                                                        \
        want(&facts, check, RT_CHECK_WEAK, part);                                                                      \
    } while (0)

#define UNKNOWN(check, change)                                                                                         \
    do {                                                                                                               \
        struct rt_store_facts facts = sound();                                                                         \
                                                                                                                       \
        change;                                                                                                        \
        want(&facts, check, RT_CHECK_UNKNOWN, "");                                                                     \
    } while (0)

static void test_weak(void **state)
{
    (void)state;
    WEAK(RT_CHECK_SENTINELS, "1 of 3", (facts.n_voices = 1, facts.is_voted = false));
    WEAK(RT_CHECK_SENTINELS, "3 of 3 name it; NOPERM no", snprintf(facts.denied, sizeof(facts.denied), "NOPERM no"));
    WEAK(RT_CHECK_SENTINELS, "2 of 2", facts.n_voices = facts.n_sentinels = 2);
    WEAK(RT_CHECK_VERSION, "6.2.7", snprintf(facts.version, sizeof(facts.version), "6.2.7"));
    WEAK(RT_CHECK_FUNCTIONS, "ours are missing, of 2 versions", (facts.own = 0, facts.libraries = 2));
    WEAK(RT_CHECK_RIGHTS, "missing: +wait", snprintf(facts.missing, sizeof(facts.missing), "+wait"));
    WEAK(RT_CHECK_RIGHTS, "NOPERM no", (facts.tried = RT_FACT_UNKNOWN, snprintf(facts.refused, 16, "NOPERM no")));
    WEAK(RT_CHECK_MEMORY, "67108862 bytes", facts.memory_max = 67108862);
    WEAK(RT_CHECK_MEMORY, "no limit", facts.memory_max = 0);
    WEAK(RT_CHECK_EVICTION, "allkeys-lru", snprintf(facts.policy, sizeof(facts.policy), "allkeys-lru"));
    WEAK(RT_CHECK_PERSISTENCE, "no append-only file", facts.aof[0] = '0');
    WEAK(RT_CHECK_PERSISTENCE, "not written (err)", snprintf(facts.aof_status, sizeof(facts.aof_status), "err"));
    WEAK(RT_CHECK_PERSISTENCE, "fsync no", snprintf(facts.fsync, sizeof(facts.fsync), "no"));
    WEAK(RT_CHECK_REPLICAS, "0 connected", facts.connected = facts.replicas = facts.min_replicas = 0);
    WEAK(RT_CHECK_REPLICAS, "1 connected, 2 known", facts.connected = 1);
    WEAK(RT_CHECK_REPLICAS, "1 connected, 1 known", facts.connected = facts.replicas = 1);
    WEAK(RT_CHECK_MIN_REPLICAS, "0", facts.min_replicas = 0);
    WEAK(RT_CHECK_MIN_REPLICAS, "3", facts.min_replicas = 3);
    WEAK(RT_CHECK_RECORDS, "64", facts.listpack = 64);
}

static void test_unknown(void **state)
{
    (void)state;
    UNKNOWN(RT_CHECK_VERSION, facts.version[0] = '\0');
    UNKNOWN(RT_CHECK_FUNCTIONS, facts.libraries = RT_FACT_UNKNOWN);
    UNKNOWN(RT_CHECK_FUNCTIONS, (facts.own = facts.libraries = 0, facts.is_online = false));
    UNKNOWN(RT_CHECK_RIGHTS, facts.tried = RT_FACT_UNKNOWN);
    UNKNOWN(RT_CHECK_MEMORY, facts.memory_max = RT_FACT_UNKNOWN);
    UNKNOWN(RT_CHECK_EVICTION, facts.policy[0] = '\0');
    UNKNOWN(RT_CHECK_PERSISTENCE, facts.aof[0] = '\0');
    UNKNOWN(RT_CHECK_REPLICAS, facts.connected = RT_FACT_UNKNOWN);
    UNKNOWN(RT_CHECK_MIN_REPLICAS, facts.min_replicas = RT_FACT_UNKNOWN);
    UNKNOWN(RT_CHECK_RECORDS, rt_store_facts_setting(&facts, "hash-max-listpack-value", "12x"));
}

/* Without a store what was found before stays, and why there is none is said. */
static void test_out(void **state)
{
    struct rt_store_facts facts = sound();
    struct rt_store_look look;

    (void)state;
    memset(&look, 0, sizeof(look));
    rt_store_check_out(&look, "redis://192.0.2.1:6379: connect: refused");
    assert_int_equal(look.checks[RT_CHECK_SERVER].state, RT_CHECK_WEAK);
    assert_string_equal(look.checks[RT_CHECK_SERVER].value, "out: redis://192.0.2.1:6379: connect: refused");
    assert_int_equal(look.checks[RT_CHECK_VERSION].state, RT_CHECK_UNKNOWN);
    rt_store_check(&facts, &look);
    rt_store_check_out(&look, "gone");
    assert_int_equal(look.checks[RT_CHECK_VERSION].state, RT_CHECK_OK);
}

static void test_info(void **state)
{
    char text[8];

    (void)state;
    assert_true(rt_info_text("a:1\r\nab:xyz\r\n", "ab", text, sizeof(text)));
    assert_string_equal(text, "xyz");
    assert_true(rt_info_text("a:0123456789\r\n", "a", text, sizeof(text)));
    assert_string_equal(text, "0123456");
    assert_false(rt_info_text("ab:1\r\n", "a", text, sizeof(text)));
    assert_false(rt_info_text("", "a", text, sizeof(text)));
    assert_int_equal(rt_info_number("a:12\r\n", "a", 7), 12);
    assert_int_equal(rt_info_number("a:12x\r\n", "a", 7), 7);
    assert_int_equal(rt_info_number("a:-1\r\n", "a", 7), 7);
    assert_int_equal(rt_info_number("b:1\r\n", "a", 7), 7);
}

/* What is missing is listed once each, as far as there is room. */
static void test_missing(void **state)
{
    char list[32] = "";

    (void)state;
    rt_right_missing(0, "User a has no permissions to run the 'client|setname' command", list, sizeof(list));
    assert_string_equal(list, "+client|setname");
    rt_right_missing(0, "User a has no permissions to access the 'rt:x' key", list, sizeof(list));
    rt_right_missing(1, "User a has no permissions to access the 'rt:x' key", list, sizeof(list));
    assert_string_equal(list, "+client|setname ~rt:*");
    rt_right_missing(4, "User a has no permissions to access the 'rt:claimed' channel", list, sizeof(list));
    rt_right_missing(3, "User a has no permissions to run the 'ping' command", list, sizeof(list));
    assert_string_equal(list, "+client|setname ~rt:* &rt:* ...");
    rt_right_missing(1, "User a has no permissions to run the 'role' command", list, sizeof(list));
    assert_string_equal(list, "+client|setname ~rt:* &rt:* ...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),   cmocka_unit_test(test_local), cmocka_unit_test(test_weak),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_out),   cmocka_unit_test(test_info),
        cmocka_unit_test(test_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
