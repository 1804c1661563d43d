/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "session/core/say.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The tables of protocol.md section 6 against those of the code: every class, every key, every sender and receiver. */

#define CELLS_MAX 9

static char line[1024];

/* Cuts a row of a markdown table into its cells. Returns how many, 0 when the line is none. */
static size_t cells(char *row, char *cell[CELLS_MAX])
{
    size_t n = 0;
    if (row[0] != '|') {
        return 0;
    }
    for (char *at = row + 1, *end; n < CELLS_MAX && (end = strchr(at, '|')) != NULL; at = end + 1) {
        *end = '\0';
        cell[n++] = at + strspn(at, " ");
        for (char *last = end; last > at && last[-1] == ' '; last--) {
            last[-1] = '\0';
        }
    }
    return n;
}

/* The next row of the table whose head begins with these two cells; the head when `first`. */
static FILE *open_at(const char *first, const char *second)
{
    char *cell[CELLS_MAX];
    FILE *file = fopen("docs/protocol.md", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (cells(line, cell) > 2 && strcmp(cell[0], first) == 0 && strcmp(cell[1], second) == 0) {
            return file;
        }
    }
    fail_msg("no table of %s and %s", first, second);
    return file;
}

static void test_who_says_what(void **state)
{
    (void)state;
    char *cell[CELLS_MAX], first[] = "class", second[] = "agent to guest, channel 0";
    FILE *file = open_at(first, second);
    assert_non_null(fgets(line, sizeof(line), file)); /* |---| */
    for (uint64_t cls = 0; cls < RT_CLASSES; cls++) {
        assert_non_null(fgets(line, sizeof(line), file));
        assert_int_equal(cells(line, cell), 1 + RT_SAYS);
        assert_string_equal(cell[0], rt_class_name(cls));
        for (int say = 0; say < RT_SAYS; say++) {
            bool yes = strcmp(cell[1 + say], "yes") == 0;
            assert_true(yes || strcmp(cell[1 + say], "-") == 0);
            if (rt_may_say((enum rt_say)say, cls) != yes) {
                fail_msg("%s, column %d: the text says %s", cell[0], say, cell[1 + say]);
            }
        }
    }
    assert_non_null(fgets(line, sizeof(line), file));
    assert_int_equal(cells(line, cell), 0); /* no class more */
    (void)fclose(file);
    for (int say = 0; say < RT_SAYS; say++) {
        static const uint64_t none[] = {RT_CLASSES, 255, 256, UINT32_MAX, UINT64_MAX};
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
            assert_false(rt_may_say((enum rt_say)say, none[i]));
        }
    }
}

/* Which of the keys' bits a cell names. */
static unsigned keys_of(const char *text)
{
    static const struct {
        const char *name;
        unsigned key;
    } names[] = {
        {"`delay`", RT_KEY_DELAY},       {"`host`, `addr`", RT_KEY_WHERE},
        {"`life`", RT_KEY_LIFE},         {"`epoch`", RT_KEY_EPOCH},
        {"`code`, `sig`", RT_KEY_END},   {"`which`, `max`", RT_KEY_LIMIT},
        {"`s`, `at`, `got`", RT_KEY_AT}, {"`try`", RT_KEY_TRY},
    };
    unsigned keys = 0;
    size_t length = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strstr(text, names[i].name) != NULL) {
            keys |= names[i].key;
            length += strlen(names[i].name) + (length > 0 ? strlen(", ") : 0);
        }
    }
    assert_int_equal(length, strlen(text));
    return keys;
}

static struct rt_refuse_msg full(uint64_t cls)
{
    return (struct rt_refuse_msg){.c = cls,
                                  .m = rt_slice_text("m"),
                                  .delay = 1,
                                  .host = rt_slice_text("h"),
                                  .addr = {rt_slice_text("a")},
                                  .n_addr = 1,
                                  .life = 2,
                                  .epoch = 3,
                                  .code = 4,
                                  .sig = 5,
                                  .which = rt_slice_text("w"),
                                  .max = 6,
                                  .drop = true,
                                  .s = 1,
                                  .at = 7,
                                  .got = 8,
                                  .try_no = 9};
}

static void trims_to(uint64_t cls, unsigned keys)
{
    struct rt_refuse_msg msg = full(cls);
    assert_int_equal(rt_refuse_keys(cls), keys);
    rt_refuse_trim(&msg);
    assert_true(msg.c == cls);
    assert_int_equal(msg.m.size, 1);
    assert_false(msg.drop); /* of a link alone */
    assert_int_equal(msg.delay != 0, (keys & RT_KEY_DELAY) != 0);
    assert_int_equal(msg.host.size != 0, (keys & RT_KEY_WHERE) != 0);
    assert_int_equal(msg.n_addr != 0, (keys & RT_KEY_WHERE) != 0);
    assert_int_equal(msg.life != 0, (keys & RT_KEY_LIFE) != 0);
    assert_int_equal(msg.epoch != 0, (keys & RT_KEY_EPOCH) != 0);
    assert_int_equal(msg.code + msg.sig, (keys & RT_KEY_END) != 0 ? 9 : 0);
    assert_int_equal(msg.which.size != 0, (keys & RT_KEY_LIMIT) != 0);
    assert_int_equal(msg.max != 0, (keys & RT_KEY_LIMIT) != 0);
    assert_int_equal(msg.s + msg.at + msg.got, (keys & RT_KEY_AT) != 0 ? 16 : 0);
    assert_int_equal(msg.try_no, (keys & RT_KEY_TRY) != 0 ? 9 : 0);
}

static void test_what_a_class_carries(void **state)
{
    (void)state;
    char *cell[CELLS_MAX], first[] = "no.", second[] = "class";
    FILE *file = open_at(first, second);
    assert_non_null(fgets(line, sizeof(line), file)); /* |---| */
    for (uint64_t cls = 0; cls < RT_CLASSES; cls++) {
        assert_non_null(fgets(line, sizeof(line), file));
        assert_int_equal(cells(line, cell), 4);
        assert_int_equal(strtoul(cell[0], NULL, 10), cls);
        assert_string_equal(cell[1], rt_class_name(cls));
        trims_to(cls, keys_of(cell[2]));
    }
    (void)fclose(file);
    trims_to(RT_CLASSES, 0);
    trims_to(UINT64_MAX, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_says_what),
        cmocka_unit_test(test_what_a_class_carries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
