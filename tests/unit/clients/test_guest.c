/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "retether/guest.h"

#include "session/base/error.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define LIMIT_MS 10000

/* The runner on a caller's loop, without an agent: making, ending, and stopping it at any time. */

struct fixture {
    uv_loop_t loop;
    uv_timer_t limit; /* does not keep the loop alive */
    struct retether_guest *guest;
    struct retether_guest_options options;
    struct retether_guest_callbacks callbacks;
    char why[320];
    int status; /* -1 until over */
    unsigned overs, stops, events;
    bool running; /* the process was seen to run */
};

static void stopped_cb(void *ctx)
{
    struct fixture *f = ctx;

    f->stops++;
}

static void over_cb(struct retether_guest *guest, int status, void *ctx)
{
    struct fixture *f = ctx;

    f->overs++;
    f->status = status;
    retether_guest_stop(guest, stopped_cb, f);
}

static void event_cb(struct retether_guest *guest, const struct retether_guest_event *event, void *ctx)
{
    struct fixture *f = ctx;

    assert_ptr_equal(guest, f->guest);
    assert_string_equal(event->container, "c1");
    assert_string_not_equal(event->from, event->to);
    f->events++;
    f->running = f->running || (event->kind == RETETHER_GUEST_PROCESS && strcmp(event->to, "running") == 0);
}

static void limit_cb(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("it took too long");
}

static int setup(void **state)
{
    static const char *const command[] = {"sh", "-c", "exit 3", NULL};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    (void)uv_timer_init(&f->loop, &f->limit);
    (void)uv_timer_start(&f->limit, limit_cb, LIMIT_MS, 0);
    uv_unref((uv_handle_t *)&f->limit);
    retether_guest_defaults(&f->options, sizeof(f->options));
    f->options.agent = "unix:/nonexistent/retether.sock";
    f->options.cid = "c1";
    f->options.token = "rtj1.Zm9v";
    f->options.argv = command;
    f->options.end_timeout_ms = 50;
    f->callbacks = (struct retether_guest_callbacks){
        .size = sizeof(struct retether_guest_callbacks), .event = event_cb, .over = over_cb, .ctx = f};
    f->status = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    uv_close((uv_handle_t *)&f->limit, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0); /* nothing is left on the loop */
    free(f);
    return 0;
}

static int make(struct fixture *f)
{
    return retether_guest_new(&f->loop, &f->options, &f->callbacks, &f->guest, f->why, sizeof(f->why));
}

static void test_runs(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(make(f), RT_OK);
    assert_int_equal(retether_guest_start(f->guest), RT_OK);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->status, 3);
    assert_int_equal(f->overs, 1);
    assert_int_equal(f->stops, 1);
    assert_true(f->events >= 4);
}

static void refuse(struct fixture *f, const char *text)
{
    assert_int_equal(make(f), RT_EINVAL);
    assert_null(f->guest);
    assert_non_null(strstr(f->why, text));
}

static void test_refuses(void **state)
{
    struct fixture *f = *state;
    const struct retether_guest_options good = f->options;
    static const char *const nothing[] = {NULL};

    f->options.cid = "no good";
    refuse(f, "no good");
    f->options = good;
    f->options.cid = NULL;
    refuse(f, "container ID");
    f->options = good;
    f->options.token = "secret";
    refuse(f, "join token");
    assert_null(strstr(f->why, "secret"));
    f->options = good;
    f->options.agent = "http://x";
    refuse(f, "http");
    f->options = good;
    f->options.argv = nothing;
    refuse(f, "command");
    f->options = good;
    f->options.ring_bytes = 1;
    refuse(f, "ring");
}

static void test_stopped_before_start(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(make(f), RT_OK);
    retether_guest_stop(f->guest, stopped_cb, f);
    assert_int_equal(f->stops, 1);
}

static void test_stopped_at_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(make(f), RT_OK);
    assert_int_equal(retether_guest_start(f->guest), RT_OK);
    retether_guest_stop(f->guest, stopped_cb, f);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->stops, 1);
    assert_int_equal(f->overs, 0);
}

/* The command outlives the runner, and meets closed pipes. */
static void test_stopped_while_running(void **state)
{
    struct fixture *f = *state;
    static const char *const command[] = {"cat", NULL};
    int status;

    f->options.argv = command;
    assert_int_equal(make(f), RT_OK);
    assert_int_equal(retether_guest_start(f->guest), RT_OK);
    while (!f->running) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    retether_guest_stop(f->guest, stopped_cb, f);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->stops, 1);
    assert_true(waitpid(-1, &status, 0) > 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_signal(void **state)
{
    struct fixture *f = *state;
    static const char *const command[] = {"sleep", "50", NULL};

    f->options.argv = command;
    assert_int_equal(make(f), RT_OK);
    retether_guest_signal(f->guest, SIGTERM); /* nothing to send it to */
    assert_int_equal(retether_guest_start(f->guest), RT_OK);
    while (!f->running) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    retether_guest_signal(f->guest, SIGTERM);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->status, 128 + SIGTERM);
}

/* Other children of the caller's process stay the caller's. */
static void test_leaves_other_children(void **state)
{
    struct fixture *f = *state;
    pid_t other = fork();
    int status;

    assert_true(other >= 0);
    if (other == 0) {
        _exit(11);
    }
    assert_int_equal(make(f), RT_OK);
    assert_int_equal(retether_guest_start(f->guest), RT_OK);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->status, 3);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 11);
}

static void test_two_on_one_loop(void **state)
{
    struct fixture *f = *state;
    static const char *const command[] = {"sh", "-c", "exit 4", NULL};
    struct fixture second = {.status = -1};

    second.callbacks = (struct retether_guest_callbacks){
        .size = sizeof(struct retether_guest_callbacks), .over = over_cb, .ctx = &second};
    second.options = f->options;
    second.options.argv = command;
    assert_int_equal(make(f), RT_OK);
    assert_int_equal(
        retether_guest_new(&f->loop, &second.options, &second.callbacks, &second.guest, second.why, sizeof(second.why)),
        RT_OK);
    assert_int_equal(retether_guest_start(f->guest), RT_OK);
    assert_int_equal(retether_guest_start(second.guest), RT_OK);
    while (f->overs == 0 || second.overs == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    while (f->stops == 0 || second.stops == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->status, 3);
    assert_int_equal(second.status, 4);
}

#define GUEST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST_TEST(test_runs),
        GUEST_TEST(test_refuses),
        GUEST_TEST(test_stopped_before_start),
        GUEST_TEST(test_stopped_at_once),
        GUEST_TEST(test_stopped_while_running),
        GUEST_TEST(test_signal),
        GUEST_TEST(test_leaves_other_children),
        GUEST_TEST(test_two_on_one_loop),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
