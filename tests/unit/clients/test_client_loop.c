/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

#include "session/core/msg_stream.h"

#include <poll.h>
#include <string.h>
#include <time.h>

/* A client with a loop of its own, on a loop that knows a descriptor and a time: nothing is dispatched before either is
 * due, so what would need one more call hangs, and fails the test. */

static uint8_t bytes[600 * 1000];

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits as poll(2) would, while the agents' loop turns; then dispatches once. */
static int wait_and_dispatch(struct sdk *sdk, struct retether_client *client)
{
    int timeout = retether_client_timeout(client);
    uint64_t began = clock_ms();
    struct pollfd ready = {.fd = retether_client_fd(client), .events = POLLIN};

    fixture_begin(sdk->f);
    while (poll(&ready, 1, 0) == 0 && (timeout < 0 || clock_ms() - began < (uint64_t)timeout)) {
        fixture_step(sdk->f);
    }
    return retether_client_dispatch(client);
}

#define UNTIL(sdk, condition)                                                                                          \
    do {                                                                                                               \
        while (!(condition)) {                                                                                         \
            assert_int_equal(wait_and_dispatch(sdk, (sdk)->client), 1);                                                \
        }                                                                                                              \
    } while (0)

/* As sdk_setup, but that the client has its own loop. */
static int setup(void **state)
{
    struct sdk *sdk;
    char why[256] = "";

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    if (sdk_setup(state) != 0) {
        return -1;
    }
    sdk = *state;
    sdk_close(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
    sdk->closed = false;
    assert_int_equal(retether_client_new(NULL, "test", NULL, &sdk->client), RT_OK);
    assert_int_equal(retether_client_add_agent(sdk->client, sdk->f->peer[0].address, why, sizeof(why)), RT_OK);
    return 0;
}

static void close_and_drain(struct sdk *sdk)
{
    struct retether_client *client = sdk->client;

    sdk_close(sdk);
    assert_false(sdk->closed); /* no callback from within a call */
    while (wait_and_dispatch(sdk, client) != 0) {
        assert_false(sdk->closed);
    }
    assert_true(sdk->closed);
}

static int teardown(void **state)
{
    struct sdk *sdk = *state;

    if (sdk->client != NULL) {
        close_and_drain(sdk);
    }
    return sdk_teardown(state);
}

static void attach(struct sdk *sdk)
{
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    UNTIL(sdk, sdk->n[SDK_ATTACHED] == 1);
}

static void test_both_ways(void **state)
{
    struct sdk *sdk = *state;
    size_t written = 0;
    int fd = retether_client_fd(sdk->client);

    assert_true(fd >= 0);
    attach(sdk);
    box_write(sdk->box, 0, RT_STDOUT, bytes, sizeof(bytes));
    UNTIL(sdk, sdk->out[0].size == sizeof(bytes));
    assert_memory_equal(sdk->out[0].data, bytes, sizeof(bytes));
    while (written < sizeof(bytes)) {
        written += retether_write(sdk->att, bytes + written, sizeof(bytes) - written);
        if (written < sizeof(bytes)) {
            unsigned seen = sdk->n[SDK_WRITABLE];

            UNTIL(sdk, sdk->n[SDK_WRITABLE] > seen);
        }
    }
    UNTIL(sdk, box_att(sdk->box, 0)->in[0].applied == sizeof(bytes));
    assert_int_equal(retether_client_fd(sdk->client), fd);
}

static void test_interrupted(void **state)
{
    struct sdk *sdk = *state;

    attach(sdk);
    peer_cut(&sdk->f->peer[0]);
    UNTIL(sdk, sdk->n[SDK_RESUMED] == 1);
    box_write(sdk->box, 0, RT_STDOUT, bytes, 10);
    UNTIL(sdk, sdk->out[0].size == 10);
}

static void dispatch_below(struct sdk *sdk, enum sdk_event event)
{
    (void)event;
    assert_int_equal(retether_client_dispatch(sdk->client), RT_ESTATE);
    sdk->on_event = NULL;
}

static void test_not_within_itself(void **state)
{
    struct sdk *sdk = *state;

    sdk->on_event = dispatch_below;
    attach(sdk);
    assert_null(sdk->on_event);
}

static void test_closed_at_once(void **state)
{
    struct sdk *sdk = *state;

    close_and_drain(sdk);
}

/* The client's clock goes on while nobody dispatches. */
static void test_idle_before(void **state)
{
    const uint64_t idle_ms = 60, give_up_ms = 40;
    struct sdk *sdk = *state;
    struct retether_attach_options options;
    uint64_t began;

    peer_deafen(&sdk->f->peer[0]);
    began = clock_ms();
    while (clock_ms() - began < idle_ms) {
        fixture_step(sdk->f);
    }
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.give_up_ms = give_up_ms;
    began = clock_ms();
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    assert_int_equal(retether_client_timeout(sdk->client), 0);
    UNTIL(sdk, sdk->n[SDK_FAILED] == 1);
    assert_true(clock_ms() - began + 1 >= give_up_ms);
}

static void test_on_the_callers_loop(void **state)
{
    struct sdk *sdk = *state;

    assert_int_equal(retether_client_fd(sdk->client), RT_ESTATE);
    assert_true(retether_client_timeout(sdk->client) < 0);
    assert_int_equal(retether_client_dispatch(sdk->client), RT_ESTATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_within_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_on_the_callers_loop, sdk_setup, sdk_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
