/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(char **list, const char *const *wanted)
{
    assert_non_null(list);
    for (; *wanted != NULL; list++, wanted++) {
        assert_non_null(*list);
        assert_string_equal(*list, *wanted);
    }
    assert_null(*list);
}

static void test_copy(void **state)
{
    const char *const list[] = {"a", "", "ccc", NULL};
    const char *const none[] = {NULL};
    char **copy;

    (void)state;
    assert_int_equal(rt_guest_list(list, NULL, 0, &copy), RT_OK);
    check(copy, list);
    free((void *)copy);
    assert_int_equal(rt_guest_list(none, NULL, 0, &copy), RT_OK);
    check(copy, none);
    free((void *)copy);
}

static void test_slices(void **state)
{
    static const uint8_t hole[] = {'a', 0, 'b'};
    struct rt_slice slices[] = {rt_slice_text("one"), {.data = NULL, .size = 0}, {.data = hole, .size = 1}};
    char **list;

    (void)state;
    assert_int_equal(rt_guest_list(NULL, slices, 3, &list), RT_OK);
    check(list, (const char *const[]){"one", "", "a", NULL});
    free((void *)list);
    slices[2].size = 3;
    assert_int_equal(rt_guest_list(NULL, slices, 3, &list), RT_EINVAL);
    assert_null(list);
    assert_int_equal(rt_guest_list(NULL, slices, 0, &list), RT_OK);
    check(list, (const char *const[]){NULL});
    free((void *)list);
}

static void test_merge(void **state)
{
    const char *const base[] = {"A=1", "AB=2", "C=3", NULL};
    const struct rt_slice more[] = {rt_slice_text("AB=new"), rt_slice_text("D="), rt_slice_text("A"),
                                    rt_slice_text("D=twice")};
    char **merged;

    (void)state;
    assert_int_equal(rt_guest_list(base, more, 4, &merged), RT_OK);
    check(merged, (const char *const[]){"A", "AB=new", "C=3", "D=twice", NULL});
    free((void *)merged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
