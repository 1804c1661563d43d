/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg_scan.h"

#include "session/base/error.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "tests/lib/alloc/allocfail.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
static size_t used;

static void put(const void *data, size_t size)
{
    assert_true(size <= sizeof(bytes) - used);
    memcpy(bytes + used, data, size);
    used += size;
}

static void put_byte(unsigned byte)
{
    put(&(uint8_t){(uint8_t)byte}, 1);
}

static void put_hex(const char *hex)
{
    for (; *hex != '\0'; hex += 2) {
        char pair[3] = {hex[0], hex[1], '\0'};
        put_byte((unsigned)strtoul(pair, NULL, 16));
    }
}

/* An array's or map's head with a count of 16 bits. */
static void put_head(unsigned type, unsigned count)
{
    put_byte(type);
    put_byte(count >> 8);
    put_byte(count & 0xff);
}

/* Scans a copy of exactly that size, without a byte of memory from anybody. Returns what is wrong, or NULL. */
static const char *scan(size_t *at)
{
    struct rt_scan_fault fault = {0};
    uint8_t *exact = malloc(used == 0 ? 1 : used);
    assert_non_null(exact);
    memcpy(exact, bytes, used);
    rt_alloc_fail_from(1);
    int rc = rt_msg_scan(exact, used, &fault);
    (void)rt_alloc_stop();
    assert_int_equal(rt_alloc_count(), 0);
    free(exact);
    assert_int_equal(rc, fault.what == NULL ? 0 : RT_EPROTO);
    if (at != NULL) {
        *at = fault.at;
    }
    return fault.what;
}

/* What passes is msgpack in the eyes of msgpack-c as well. */
static void assert_passes(void)
{
    const char *fault = scan(NULL);
    if (fault != NULL) {
        fail_msg("%s", fault);
    }
    msgpack_unpacked unpacked;
    size_t end = 0;
    msgpack_unpacked_init(&unpacked);
    assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)bytes, used, &end), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(end, used);
    assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_MAP);
    msgpack_unpacked_destroy(&unpacked);
}

static void assert_fault(const char *hex, const char *what, size_t at)
{
    size_t where = 0;
    used = 0;
    put_hex(hex);
    const char *fault = scan(&where);
    assert_non_null(fault);
    assert_string_equal(fault, what);
    assert_int_equal(where, at);
}

/* Every form of a value, whole and cut anywhere. */
static void test_forms(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "00",
        "7f",
        "e0",
        "ff",
        "c0",
        "c2",
        "c3",
        "a0",
        "a161",
        "90",
        "9101",
        "80",
        "81a16101",
        "c400",
        "c40161",
        "c5000161",
        "c60000000161",
        "c70001",
        "c7010061",
        "c800010061",
        "c9000000010061",
        "ca00000000",
        "cb0000000000000000",
        "ccff",
        "cdffff",
        "ceffffffff",
        "cfffffffffffffffff",
        "d0ff",
        "d1ffff",
        "d2ffffffff",
        "d3ffffffffffffffff",
        "d40061",
        "d5006161",
        "d60061616161",
        "d7006161616161616161",
        "d80061616161616161616161616161616161",
        "d90161",
        "da000161",
        "db0000000161",
        "dc000101",
        "dd0000000101",
        "de0001a16101",
        "df00000001a16101",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        used = 0;
        put_hex("81a178");
        put_hex(forms[i]);
        assert_passes();
        while (used > 0) {
            used--;
            assert_non_null(scan(NULL));
        }
    }
    assert_fault("81a178c1", "0xc1, which msgpack never uses", 3);
}

static void test_counts(void **state)
{
    (void)state;
    static const char *const count = "a count beyond the bytes that follow";
    static const char *const size = "a size beyond the bytes that follow";
    assert_fault("dd05f5e100", count, 0);
    assert_fault("ddffffffff", count, 0);
    assert_fault("dfffffffff", count, 0);
    assert_fault("df80000000", count, 0); /* twice that many nodes is 0 in 32 bits */
    assert_fault("81a178dd00000002c0", count, 3);
    assert_fault("81a178de0003a16100a1", count, 3);
    assert_fault("81a178dbffffffff61", size, 3);
    assert_fault("81a178c6ffffffff61", size, 3);
    assert_fault("81a178c9ffffffff00", size, 3); /* its size and type are 2^32 bytes */
    assert_fault("dbffffffff", size, 0);
}

/* 155 bytes of nested heads that promise 100 million elements each. */
static void test_nested_bombs(void **state)
{
    (void)state;
    used = 0;
    put_hex("81a178");
    for (size_t i = 0; i < 31; i++) {
        put_hex("dd05f5e100");
    }
    size_t at;
    assert_string_equal(scan(&at), "a count beyond the bytes that follow");
    assert_int_equal(at, 3);
    /* Promises that the bytes could keep: a full payload of heads, each for half of what follows. */
    used = 0;
    put_hex("81a178");
    while (used + 3 <= sizeof(bytes)) {
        put_head(0xdc, (unsigned)(sizeof(bytes) - used) / 2);
    }
    assert_string_equal(scan(&at), "nested deeper than 8");
    assert_int_equal(at, 3 + 3 * (RT_MSG_DEPTH_MAX - 1));
}

static void test_shape(void **state)
{
    (void)state;
    assert_fault("", "the payload ends too early", 0);
    assert_fault("c0", "not a map", 0);
    assert_fault("90", "not a map", 0);
    assert_fault("a161", "not a map", 0);
    assert_fault("80c0", "trailing bytes", 1);
    assert_fault("8080", "trailing bytes", 1);
    assert_fault("8101c0", "a key that is not text", 1);
    assert_fault("81c0c0", "a key that is not text", 1);
    assert_fault("81c40161c0", "a key that is not text", 1);
    assert_fault("819000", "a key that is not text", 1);
    assert_fault("81a16181c0c0", "a key that is not text", 4);
    used = 0;
    put_hex("80");
    assert_passes();
}

static void test_depth(void **state)
{
    (void)state;
    for (unsigned maps = 0; maps < 2; maps++) {
        /* The payload's map is the first of the eight. */
        for (size_t depth = 1; depth <= RT_MSG_DEPTH_MAX + 1; depth++) {
            used = 0;
            for (size_t i = 1; i < depth; i++) {
                put_hex(i == 1 || maps ? "81a178" : "91");
            }
            put_hex(depth == 1 || maps ? "80" : "90"); /* an empty one counts as well */
            if (depth <= RT_MSG_DEPTH_MAX) {
                assert_passes();
            } else {
                assert_string_equal(scan(NULL), "nested deeper than 8");
            }
        }
    }
}

static void test_nodes(void **state)
{
    (void)state;
    for (unsigned over = 0; over <= 1; over++) {
        used = 0;
        put_hex("81a178"); /* map and key, then the array */
        unsigned elements = RT_MSG_NODES_MAX - 3 + over;
        put_head(0xdc, elements);
        for (unsigned i = 0; i < elements; i++) {
            put_byte(0xc0);
        }
        if (over == 0) {
            assert_passes();
        } else {
            assert_string_equal(scan(NULL), "over 4096 nodes");
        }
    }
}

/* As many keys as there can be, in any order, then one of them twice. */
static void test_many_keys(void **state)
{
    (void)state;
    unsigned pairs = (RT_MSG_NODES_MAX - 1) / 2;
    for (unsigned twice = 0; twice <= 2; twice++) {
        used = 0;
        put_head(0xde, pairs);
        for (unsigned i = 0; i < pairs; i++) {
            /* 1009 is prime to the number of pairs: each number once, in no order. */
            unsigned number = i * 1009 % pairs;
            char key[8];
            if (twice != 0 && i == pairs - 1) {
                number = twice == 1 ? 0 : (i - 1) * 1009 % pairs;
            }
            (void)snprintf(key, sizeof(key), "k%05u", number);
            put_byte(0xa6);
            put(key, 6);
            put_byte(0xc0);
        }
        if (twice == 0) {
            assert_passes();
        } else {
            assert_string_equal(scan(NULL), "a duplicate key");
        }
    }
}

static void test_duplicates(void **state)
{
    (void)state;
    assert_fault("82a16100a16101", "a duplicate key", 5);
    assert_fault("82a16100d9016101", "a duplicate key", 6); /* another form of the same text */
    assert_fault("82a000a000", "a duplicate key", 4);
    assert_fault("81a17882a16100a16101", "a duplicate key", 8);
    assert_fault("83a16181a16200a16301a16181a16202", "a duplicate key", 11);
    assert_fault("81a1789182a16100a16101", "a duplicate key", 9);
    static const char *const fine[] = {
        "82a16181a16100a16200",       /* the same in a map and in one below it */
        "82a16181a17800a16281a17800", /* and in two maps beside each other */
        "82a161a162a162a161",         /* a value is no key */
        "82a16100a2616100",           /* one begins with the other */
    };
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        used = 0;
        put_hex(fine[i]);
        assert_passes();
    }
}

static void test_utf8(void **state)
{
    (void)state;
    /* RFC 3629: first and last of each length; then what it excludes. */
    static const char *const good[] = {"",       "00",     "7f",     "c280",     "dfbf",     "e0a080",
                                       "ed9fbf", "ee8080", "efbfbf", "f0908080", "f48fbfbf", "61c3a962"};
    static const char *const bad[] = {"80",       "bf",     "c0",   "c080",     "c1bf",      "c2",       "c27f",
                                      "c2c0",     "e0",     "e0a0", "e09fbf",   "e0807f",    "eda080",   "edbfbf",
                                      "efbf",     "efbfc0", "f0",   "f08fbfbf", "f0908f",    "f0908fc0", "f4908080",
                                      "f5808080", "ff",     "fe",   "61c3",     "f888808080"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        used = 0;
        put_hex(good[i]);
        assert_true(rt_utf8_valid(bytes, used));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        used = 0;
        put_hex(bad[i]);
        assert_false(rt_utf8_valid(bytes, used));
    }
    static const char *const what = "text that is not valid UTF-8";
    assert_fault("81a1ffc0", what, 1);
    assert_fault("81a178a1ff", what, 3);
    assert_fault("81a17891a2c0af", what, 4);
    used = 0;
    put_hex("81a178c401ff"); /* bin may hold anything */
    assert_passes();
}

static void test_skip(void **state)
{
    (void)state;
    used = 0;
    put_hex("9381a1789201ca0000000080d40161c3");
    struct rt_cursor cursor = {.at = bytes, .end = bytes + used};
    rt_node_skip(&cursor);
    assert_ptr_equal(cursor.at, bytes + used - 1);
    rt_node_skip(&cursor);
    assert_ptr_equal(cursor.at, cursor.end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),     cmocka_unit_test(test_counts),     cmocka_unit_test(test_nested_bombs),
        cmocka_unit_test(test_shape),     cmocka_unit_test(test_depth),      cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_many_keys), cmocka_unit_test(test_duplicates), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_skip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
