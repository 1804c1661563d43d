/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/sized.h"

#include "tests/unit/clients/sdk.h"

#include "retether/guest.h"
#include "retether/version.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Structs with a size: programs and libraries of different ages; and what else the headers promise of themselves. */

struct old {
    size_t size;
    uint32_t a, b;
};

struct new
{
    size_t size;
    uint32_t a, b, c;
    uint32_t rest;
};

static void test_take(void **state)
{
    struct old from_old = {sizeof(from_old), 1, 2};
    struct new from_new = {sizeof(from_new), 1, 2, 3, 4};
    struct old old;
    struct new new;

    (void)state;
    /* the same age */
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_old, sizeof(old)), RT_OK);
    assert_memory_equal(&old, &from_old, sizeof(old));
    /* an older program */
    memset(&new, 0xff, sizeof(new));
    assert_int_equal(rt_sized_take(&new, sizeof(new), &from_old, sizeof(old)), RT_OK);
    assert_int_equal(new.b, 2);
    assert_int_equal(new.c, 0);
    assert_int_equal(new.rest, 0);
    /* a newer program, which uses what is new, or does not */
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_new, sizeof(old)), RT_EINVAL);
    from_new.c = 0;
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_new, sizeof(old)), RT_EINVAL);
    from_new.rest = 0;
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_new, sizeof(old)), RT_OK);
    assert_int_equal(old.b, 2);
    /* no size at all */
    from_old.size = 0;
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_old, sizeof(old)), RT_EINVAL);
    from_old.size = sizeof(from_old) - 1;
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_old, sizeof(old)), RT_EINVAL);
    from_old.size = RT_SIZED_MAX + 1;
    assert_int_equal(rt_sized_take(&old, sizeof(old), &from_old, sizeof(old)), RT_EINVAL);
}

static void test_give(void **state)
{
    const struct new full = {sizeof(full), 1, 2, 3, 4};
    struct {
        struct old old;
        uint8_t guard[8];
    } older;
    struct {
        struct new new;
        uint8_t more[8];
    } newer;

    (void)state;
    memset(&older, 0xee, sizeof(older));
    rt_sized_give(&older.old, sizeof(older.old), &full, sizeof(full));
    assert_int_equal(older.old.b, 2);
    for (size_t i = 0; i < sizeof(older.guard); i++) {
        assert_int_equal(older.guard[i], 0xee);
    }
    memset(&newer, 0xee, sizeof(newer));
    rt_sized_give(&newer, sizeof(newer), &full, sizeof(full));
    assert_int_equal(newer.new.rest, 4);
    for (size_t i = 0; i < sizeof(newer.more); i++) {
        assert_int_equal(newer.more[i], 0);
    }
}

static void test_every_struct(void **state)
{
    static const char *const argv[] = {"true", NULL};
    struct sdk *sdk = *state;
    struct retether_client_callbacks client_callbacks = {.size = 1};
    struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks)};
    struct retether_exec_options exec = {.size = sizeof(exec), .argv = argv};
    struct retether_guest_callbacks guest_callbacks = {.size = sizeof(guest_callbacks)};
    struct retether_attach_options options;
    struct retether_guest_options guest_options;
    struct retether_client *client;
    struct retether_attachment *att;
    struct retether_guest *guest;
    char why[256] = "";

    assert_int_equal(retether_client_new(&sdk->f->loop, "x", &client_callbacks, &client), RT_EINVAL);
    assert_null(client);
    retether_attach_defaults(&options, sizeof(options));
    assert_int_equal(options.size, sizeof(options));
    options.container = BOX_CID;
    options.size--;
    assert_int_equal(retether_attach(sdk->client, &options, &callbacks, &att), RT_EINVAL);
    assert_int_equal(retether_exec(sdk->client, &options, &exec, &callbacks, &att), RT_EINVAL);
    options.size++;
    exec.size = 0;
    assert_int_equal(retether_exec(sdk->client, &options, &exec, &callbacks, &att), RT_EINVAL);
    callbacks.size--;
    exec.size = sizeof(exec);
    assert_int_equal(retether_exec(sdk->client, &options, &exec, &callbacks, &att), RT_EINVAL);
    assert_int_equal(retether_attach(sdk->client, &options, &callbacks, &att), RT_EINVAL);
    assert_null(att);
    retether_guest_defaults(&guest_options, sizeof(guest_options));
    assert_int_equal(guest_options.size, sizeof(guest_options));
    guest_options.size = 0;
    assert_int_equal(retether_guest_new(&sdk->f->loop, &guest_options, &guest_callbacks, &guest, why, sizeof(why)),
                     RT_EINVAL);
    assert_non_null(strstr(why, "size"));
    guest_options.size = sizeof(guest_options);
    guest_callbacks.size = 0;
    assert_int_equal(retether_guest_new(&sdk->f->loop, &guest_options, &guest_callbacks, &guest, why, sizeof(why)),
                     RT_EINVAL);
    assert_null(guest);
}

static void test_names(void **state)
{
    char text[64];

    (void)state;
    snprintf(text, sizeof(text), "%d.%d.%d", RETETHER_VERSION_MAJOR, RETETHER_VERSION_MINOR, RETETHER_VERSION_PATCH);
    assert_string_equal(retether_version(), text);
    assert_string_equal(retether_strerror(RETETHER_ELIMIT), rt_strerror(RT_ELIMIT));
    assert_string_equal(retether_strerror(12345), "unknown error");
    assert_string_equal(retether_class_name(RETETHER_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(retether_class_name(12345), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_give),
        cmocka_unit_test_setup_teardown(test_every_struct, sdk_setup, sdk_teardown),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
