/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "tests/unit/broker_core/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A report that is too long for a record: what is left out, in which order, and that it is counted. */

static struct rt_report_msg sent, kept;
static uint8_t ids[RT_ATTS_MAX][RT_ID_SIZE];

static void add_proc(uint64_t p, uint64_t st)
{
    struct rt_report_proc *proc = &sent.procs[sent.n_procs++];

    *proc = (struct rt_report_proc){.p = p, .st = st, .n_base = 3, .n_head = 3};
    for (unsigned o = 0; o < 3; o++) {
        proc->base[o] = proc->head[o] = UINT64_C(1) << 33;
    }
}

static void add_att(uint64_t p, bool bound)
{
    size_t i = sent.n_atts++;

    memset(ids[i], (int)i + 1, RT_ID_SIZE);
    sent.atts[i] = (struct rt_report_att){
        .id = {.data = ids[i], .size = RT_ID_SIZE}, .p = p, .bound = bound, .n_cons = 3, .n_app = 2, .hold = 30000};
}

/* Sends it, and reads what the store was given. */
static void report(struct fx *fx, int link)
{
    char why[RT_TEXT_MAX];

    fx_msg(fx, link, &(struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, &sent);
    fx_tick(fx, 1000);
    fx_answer(fx);
    assert_int_equal(rt_msg_decode(RT_MSG_REPORT, fx->report, fx->report_size, &kept, why, sizeof(why)), 0);
}

static bool has_proc(uint64_t p)
{
    for (size_t i = 0; i < kept.n_procs; i++) {
        if (kept.procs[i].p == p) {
            return true;
        }
    }
    return false;
}

static size_t count_kept(uint64_t st)
{
    size_t n = 0;

    for (size_t i = 0; i < kept.n_procs; i++) {
        n += kept.procs[i].st == st;
    }
    return n;
}

static void serve(struct fx *fx, struct fx_guest *guest)
{
    fx_guest(guest, "web", 1);
    fx_serve(fx, guest);
    memset(&sent, 0, sizeof(sent));
}

/* After many commands: those that run and the client that is there come before all that is over. */
static void test_what_runs_stays(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    add_proc(0, 1);
    for (uint64_t p = 1; p <= 40; p++) {
        add_proc(p, 2);
    }
    add_proc(41, 1);
    for (uint64_t p = 1; p <= 10; p++) {
        add_att(p, false);
    }
    add_att(41, true);
    sent.done = 7;
    report(fx, guest.link);
    assert_true(has_proc(0) && has_proc(41));
    assert_int_equal(kept.atts[kept.n_atts - 1].p, 41);
    assert_true(kept.atts[kept.n_atts - 1].bound);
    assert_int_equal(kept.done + count_kept(2), 47);
    assert_int_equal(kept.pmore, 0);
    assert_int_equal(kept.amore + kept.n_atts, 11);
    assert_true(fx->report_size > RT_REPORT_MAX / 2);
}

/* More that is going on than fits: the rest is a number, the main process is there. */
static void test_more_than_fits(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    for (uint64_t p = 0; p < RT_PROCS_MAX; p++) {
        add_proc(p, 1);
    }
    for (uint64_t p = 0; p < RT_ATTS_MAX; p++) {
        add_att(p % RT_PROCS_MAX, true);
    }
    sent.pmore = 5;
    sent.amore = RT_COUNTER_MAX - 2; /* a guest that lies */
    report(fx, guest.link);
    assert_true(has_proc(0));
    assert_true(kept.n_procs > 1 && kept.n_atts > 1);
    assert_int_equal(kept.pmore + kept.n_procs, RT_PROCS_MAX + 5);
    assert_int_equal(kept.amore, RT_COUNTER_MAX - 1);
    assert_int_equal(kept.done, 0);
}

/* The main process has ended, clients still read: it is no command that is over. */
static void test_main_has_ended(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    add_proc(0, 2);
    for (uint64_t p = 1; p < 20; p++) {
        add_proc(p, 2);
        add_att(p, true);
    }
    report(fx, guest.link);
    assert_true(has_proc(0));
    assert_int_equal(kept.done + count_kept(2), 20);
    assert_int_equal(kept.amore + kept.n_atts, 19);
}

/* One that fits is stored as it came. */
static void test_short(void **state)
{
    struct fx *fx = *state;
    struct fx_guest guest;

    serve(fx, &guest);
    add_proc(0, 1);
    add_proc(3, 2);
    sent.done = 2;
    report(fx, guest.link);
    assert_int_equal(kept.n_procs, 2);
    assert_int_equal(kept.done, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FX_TEST(test_what_runs_stays),
        FX_TEST(test_more_than_fits),
        FX_TEST(test_main_has_ended),
        FX_TEST(test_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
