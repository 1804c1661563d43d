/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "session/core/msg.h"
#include "session/core/msg_request.h"
#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/broker/shell_fixture.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Every allocation of the agent's life fails in turn, its store being out: it does not start and says so by its exit
 * code, or a peer is closed; it ends as it should, and nothing is left. What shared libraries allocate within
 * themselves is not among them. */

#define ROUNDS_MAX 5000

static struct fx_peer one, two;
static size_t not_started, closed;

static bool has_ended(void *ctx)
{
    (void)ctx;
    return uv_loop_alive(&shell.loop) == 0;
}

static void ask(const uint8_t *request, size_t size)
{
    fx_send(&one, request, size);
    closed += !fx_frame_or_end(&one, RT_REPLY);
}

static void life(const uint8_t *hello, size_t hello_size, const uint8_t *request, size_t request_size)
{
    rt_shell_start(&shell, &fx_settings, fx_services);
    if (shell.phase != RT_SHELL_RUNNING) {
        assert_int_equal(rt_shell_run(&shell), 1);
        not_started++;
        return;
    }
    fx_connect(&one, fx_client);
    fx_send(&one, hello, hello_size / 2); /* the rest is carried */
    fx_turn();
    fx_send(&one, hello + hello_size / 2, hello_size - hello_size / 2);
    if (fx_frame_or_end(&one, RT_WELCOME)) {
        ask(request, request_size);
    } else {
        closed++;
    }
    fx_connect(&two, fx_guest);
    fx_send(&two, "a guest that speaks another language", 36);
    fx_until_closed(&two);
    rt_shell_stop(&shell, 0);
    fx_until(has_ended, NULL);
    assert_int_equal(rt_shell_run(&shell), 0);
    fx_close(&one);
    fx_close(&two);
}

static void test_every_allocation_fails(void **state)
{
    struct rt_request_msg msg = {.op = rt_slice_text("hosts")};
    struct rt_frame frame = {.type = RT_REQUEST, .offset = 1};
    uint8_t hello[RT_SHORT_MAX], request[RT_FRAME_HEADER + 256];
    size_t hello_size = fx_hello(hello, sizeof(hello)), n;
    int size = rt_msg_encode(RT_MSG_REQUEST, &msg, request + RT_FRAME_HEADER, sizeof(request) - RT_FRAME_HEADER);
    int said = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(size > 0 && said >= 0 && null >= 0);
    frame.length = (uint32_t)size;
    rt_frame_put(request, &frame);
    assert_true(dup2(null, STDERR_FILENO) >= 0); /* thousands of lines */
    for (n = 1; n < ROUNDS_MAX; n++) {
        rt_alloc_fail_at(n);
        life(hello, hello_size, request, RT_FRAME_HEADER + (size_t)size);
        if (!rt_alloc_stop()) {
            break;
        }
    }
    (void)dup2(said, STDERR_FILENO);
    (void)close(said);
    (void)close(null);
    print_message("%zu allocations; not started %zu times, a peer closed %zu times\n", n - 1, not_started, closed);
    assert_true(n > 10 && n < ROUNDS_MAX);
    assert_true(not_started > 0 && closed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_allocation_fails, fx_setup, fx_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
