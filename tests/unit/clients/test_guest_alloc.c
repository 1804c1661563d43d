/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "retether/guest.h"
#include "session/core/protocol.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/lib/command.h"
#include "tests/unit/clients/caller.h"

#include <signal.h>

/* Every allocation of a whole session of the guest half fails in turn, libuv's own too: a call says so, a process ends
 * with 126, an attachment is refused, or a connection is made anew; the container ends all the same. */

static struct retether_guest *guest;
static bool over, stopped;
static int status;
static bool failed; /* a process was not to be run */

static void stopped_cb(void *ctx)
{
    (void)ctx;
    stopped = true;
}

static void over_cb(struct retether_guest *who, int how, void *ctx)
{
    (void)ctx;
    over = true;
    status = how;
    retether_guest_stop(who, stopped_cb, NULL);
}

static void event_cb(struct retether_guest *who, const struct retether_guest_event *event, void *ctx)
{
    (void)who;
    (void)ctx;
    failed = failed || strcmp(event->to, "failed") == 0;
}

/* Until the condition holds, or it has become clear that it will not. */
#define REACH(c, condition) FIXTURE_UNTIL((c)->f, (condition) || over || failed || (c)->refused_cls != RT_CLASS_OK)

static void talk(struct caller *c, bool tty)
{
    static const char *const argv[] = {"echo", "word", NULL}, *const env[] = {"A=1", NULL};
    struct rt_down_item item = rt_test_command(argv, env, NULL);

    REACH(c, c->att[0].bound && caller_has(c, 0, "ready"));
    if (!c->att[0].bound) {
        return;
    }
    caller_input(c, 0, "abc\n", 4);
    REACH(c, c->att[0].in[0].acked == 4 || !c->att[0].bound);
    c->exec_tty = tty;
    caller_attach(c, 1);
    REACH(c, c->att[1].bound);
    if (c->att[1].bound) {
        caller_item(c, 1, &item);
        REACH(c, caller_exited(c, 1));
    }
    peer_cut(&c->f->peer[0]);
    REACH(c, c->confirms >= 2);
}

/* Returns whether an allocation has failed. */
static bool session(size_t n, bool tty)
{
    static const char *const argv[] = {"sh", "-c", "echo ready; exec cat", NULL};
    const struct retether_guest_callbacks callbacks = {.size = sizeof(callbacks), .event = event_cb, .over = over_cb};
    struct retether_guest_options options;
    void *fixture;
    struct caller *c;
    char why[256] = "";
    bool any;
    int rc;

    over = stopped = failed = false;
    assert_int_equal(fixture_setup(&fixture), 0);
    c = caller_open(fixture);
    fixture_grow(c->f);
    peer_listen(&c->f->peer[0]);
    retether_guest_defaults(&options, sizeof(options));
    options.agent = c->f->peer[0].address;
    options.cid = "c1";
    options.token = "rtj1.Zm9v";
    options.argv = argv;
    options.cwd = "/";
    options.tty = tty;
    rt_alloc_fail_at(n);
    rc = retether_guest_new(&c->f->loop, &options, &callbacks, &guest, why, sizeof(why));
    if (rc == RT_OK) {
        rc = retether_guest_start(guest);
        if (rc == RT_OK) {
            talk(c, tty);
            if (!over) {
                retether_guest_signal(guest, SIGKILL);
            }
            FIXTURE_UNTIL(c->f, stopped);
            assert_true(status == 128 + SIGKILL || status == 126);
        } else {
            retether_guest_stop(guest, stopped_cb, NULL);
            FIXTURE_UNTIL(c->f, stopped);
        }
    } else {
        assert_null(guest);
        assert_string_equal(why, rt_strerror(RT_ENOMEM));
    }
    any = rt_alloc_stop();
    assert_true(rc == RT_OK || (any && rc == RT_ENOMEM));
    if (!any) {
        assert_true(caller_has(c, 1, "word") && c->refused_cls == RT_CLASS_OK);
    }
    assert_int_equal(fixture_teardown(&fixture), 0);
    return any;
}

static void test_pipes(void **state)
{
    size_t n = 1;

    (void)state;
    while (session(n, false)) {
        n++;
    }
    assert_true(n > 15);
}

static void test_tty(void **state)
{
    size_t n = 1;

    (void)state;
    while (session(n, true)) {
        n++;
    }
    assert_true(n > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pipes), cmocka_unit_test(test_tty)};

    /* Through the linker's wrapped names, like all others. */
    if (uv_replace_allocator(malloc, realloc, calloc, free) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
