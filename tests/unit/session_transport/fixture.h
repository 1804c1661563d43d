/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_TRANSPORT_FIXTURE_H
#define RETETHER_TESTS_UNIT_SESSION_TRANSPORT_FIXTURE_H

#include "session/base/endpoint.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* A loop with a temporary folder, and a way to run until something has happened. */

#define FIXTURE_LIMIT_MS 60000
#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

struct fixture {
    uv_loop_t loop;
    char dir[64];
};

static inline int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    (void)signal(SIGPIPE, SIG_IGN);
    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    (void)snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/retether-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    *state = fixture;
    return 0;
}

/* Fails when a handle was left open. */
static inline int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];
    int err;

    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    err = uv_loop_close(&fixture->loop);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", fixture->dir);
    if (system(command) != 0) {
        err = -1;
    }
    free(fixture);
    return err;
}

static inline void fixture_tick_cb(uv_timer_t *timer)
{
    (void)timer;
}

static inline void fixture_closed_cb(uv_handle_t *handle)
{
    *(bool *)handle->data = true;
}

/* Runs the loop until *flag, or for limit_ms. Returns *flag. */
static inline bool fixture_run_for(struct fixture *fixture, const bool *flag, uint64_t limit_ms)
{
    uv_timer_t tick;
    bool closed = false;
    uint64_t end;

    (void)uv_timer_init(&fixture->loop, &tick);
    (void)uv_timer_start(&tick, fixture_tick_cb, 5, 5);
    tick.data = &closed;
    uv_update_time(&fixture->loop);
    end = uv_now(&fixture->loop) + limit_ms;
    while (!*flag && uv_now(&fixture->loop) < end) {
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&tick, fixture_closed_cb);
    while (!closed) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    return *flag;
}

static inline void fixture_run(struct fixture *fixture, const bool *flag)
{
    assert_true(fixture_run_for(fixture, flag, FIXTURE_LIMIT_MS));
}

static inline void fixture_sleep(struct fixture *fixture, uint64_t ms)
{
    bool never = false;

    (void)fixture_run_for(fixture, &never, ms);
}

static inline struct rt_endpoint fixture_endpoint(const char *text)
{
    struct rt_endpoint endpoint;
    char why[256] = "";

    if (rt_endpoint_parse(&endpoint, text, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
    return endpoint;
}

/* "unix:DIR/name" */
static inline struct rt_endpoint fixture_unix(const struct fixture *fixture, const char *name)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "unix:%s/%s", fixture->dir, name);
    return fixture_endpoint(text);
}

#endif
