/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

#include "clients/lib/client_internal.h"

/* Many attachments that have something to tell at the same time, more than have a turn in one step; and callbacks that
 * free those whose turn has not come. */

#define MANY (2 * RT_SDK_TURNS_MAX + 100)

static struct one {
    struct retether_attachment *att; /* NULL: detached */
    unsigned told;
} ones[MANY];

static unsigned n_told, close_at;
static struct sdk *sdk_now;

static size_t index_of(const struct retether_attachment *att)
{
    size_t i = 0;

    while (ones[i].att != att) {
        i++;
        assert_true(i < MANY); /* a detached one is told nothing */
    }
    return i;
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    size_t i = index_of(att);
    size_t next = (i + 1) % MANY;

    (void)text;
    (void)code;
    (void)signum;
    (void)ctx;
    assert_non_null(sdk_now->client);
    assert_int_equal(cls, RETETHER_LOST);
    assert_int_equal(++ones[i].told, 1);
    n_told++;
    if (i % 3 == 0 && ones[next].att != NULL) {
        retether_detach(ones[next].att);
        ones[next].att = NULL;
    }
    if (i % 5 == 0) {
        retether_detach(att);
        ones[i].att = NULL;
    }
    if (n_told == close_at) {
        sdk_close(sdk_now);
    }
}

static void attach_many(struct sdk *sdk)
{
    const struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks), .failed = failed_cb};
    struct retether_attach_options options;

    sdk_now = sdk;
    n_told = 0;
    peer_deafen(&sdk->f->peer[0]);
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.give_up_ms = 20;
    for (size_t i = 0; i < MANY; i++) {
        ones[i].told = 0;
        assert_int_equal(retether_attach(sdk->client, &options, &callbacks, &ones[i].att), RT_OK);
    }
}

static bool all_told(void)
{
    for (size_t i = 0; i < MANY; i++) {
        if (ones[i].told == 0 && ones[i].att != NULL) {
            return false;
        }
    }
    return true;
}

static void test_all_have_their_turn(void **state)
{
    struct sdk *sdk = *state;

    close_at = 0;
    attach_many(sdk);
    FIXTURE_UNTIL(sdk->f, all_told());
    fixture_settle(sdk->f);
    assert_true(n_told >= MANY / 2);
}

static void test_closed_in_between(void **state)
{
    struct sdk *sdk = *state;

    close_at = RT_SDK_TURNS_MAX + 10;
    attach_many(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
    assert_int_equal(n_told, close_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_have_their_turn, sdk_setup, sdk_teardown),
        cmocka_unit_test_setup_teardown(test_closed_in_between, sdk_setup, sdk_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
