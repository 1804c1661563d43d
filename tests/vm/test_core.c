/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/load.h"

#include <stdlib.h>
#include <string.h>

/* One VM, migrated live again and again; each case has a workload of its own in it, with a stream each way. */

#define ABSENT_MS 1500
#define STOPPED_MS 5000
#define IDLE_MS 1000
/* So that it is still under way when it is aborted. */
#define SLOW_BYTES ((uint64_t)16 << 20)
#define POWER_OFF_LIMIT_MS 60000

static struct vm_guest *guest;
static struct vm_stream stream;

static void test_under_load(void **state)
{
    struct vm_case c = {.name = "there and back three times under load"};

    (void)state;
    vm_load_start(&stream, guest, VM_LOAD_RATE, 11);
    for (int i = 0; i < 6; i++) {
        vm_load_move(&stream, guest, &c);
    }
    vm_load_end(&stream, guest, &c);
    vm_case_draw(&c, &stream, getenv("RETETHER_VM_SVG"));
}

/* Nothing is said around the move; then both sides are there. The blackout is the time of the first word and its echo.
 */
static void test_idle(void **state)
{
    struct vm_case c = {.name = "idle session"};
    struct vm_migration migration;
    struct harness_attach attach;
    double typed_ms;

    (void)state;
    harness_start(&attach, false, ARGS("exec", "-i", guest->cid, "--", "/bin/cat"));
    harness_type(&attach, "before\n", 7);
    harness_until(&attach, "before\n");
    rt_process_sleep_ms(IDLE_MS);
    vm_move(guest, 1 - guest->on, &migration);
    typed_ms = vm_now_ms();
    harness_type(&attach, "after\n", 6);
    harness_until(&attach, "after\n");
    vm_case_add(&c, &migration, vm_now_ms() - typed_ms);
    rt_process_sleep_ms(IDLE_MS);
    harness_type_end(&attach);
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    assert_string_equal(attach.text, "before\nafter\n");
    assert_string_equal(attach.err_text, "");
    harness_close(&attach);
    c.in = c.out = strlen("before\nafter\n");
    vm_case_say(&c);
}

/* The guest's connection to its agent, by its port. */
static uint16_t connection(void)
{
    vm_note_conns(guest);
    assert_int_equal(guest->n_conns, 1);
    return guest->conns[0].port;
}

static void test_aborted(void **state)
{
    struct vm_case c = {.name = "migration aborted, destination killed"};
    uint16_t port;

    (void)state;
    vm_load_start(&stream, guest, VM_LOAD_RATE, 12);
    port = connection();
    vm_guest_qemu(guest, 1 - guest->on, true, &guest->next);
    assert_int_equal(vm_qemu_migrate(&guest->qemu, &guest->next, false, SLOW_BYTES), 0);
    vm_stream_more(&stream, VM_LOAD_SOME);
    assert_int_equal(vm_qemu_migrate_cancel(&guest->qemu), 0);
    assert_int_equal(vm_qemu_migrate_wait(&guest->qemu, "cancelled"), 0);
    vm_qemu_end(&guest->next);
    vm_stream_more(&stream, VM_LOAD_SOME);
    assert_int_equal(connection(), port);

    vm_guest_qemu(guest, 1 - guest->on, true, &guest->next);
    assert_int_equal(vm_qemu_migrate(&guest->qemu, &guest->next, false, SLOW_BYTES), 0);
    vm_stream_more(&stream, VM_LOAD_SOME);
    rt_process_kill(guest->next.pid);
    guest->next.pid = 0;
    vm_qmp_close(&guest->next.qmp);
    assert_int_equal(vm_qemu_migrate_wait(&guest->qemu, "failed"), 0);
    vm_stream_more(&stream, VM_LOAD_SOME);
    assert_int_equal(connection(), port);
    vm_load_end(&stream, guest, &c);
}

static void test_agent_absent(void **state)
{
    struct vm_case c = {.name = "destination's agent absent for 1.5 s"};
    struct vm_migration migration;
    unsigned to = 1 - guest->on;

    (void)state;
    vm_load_start(&stream, guest, VM_LOAD_RATE, 13);
    rt_cluster_agent_kill(&harness, to);
    vm_stream_mark(&stream);
    vm_move(guest, to, &migration);
    while (vm_now_ms() < migration.resumed_ms + ABSENT_MS) {
        rt_process_sleep_ms(1);
    }
    vm_load_agent(to);
    vm_case_add(&c, &migration, vm_stream_blackout(&stream, migration.resumed_ms));
    vm_load_end(&stream, guest, &c);
}

/* Kills an agent while the guest stands still between both hosts. */
static void kill_at_switch_over(struct vm_case *c, uint64_t seed, bool source)
{
    struct vm_migration migration;
    unsigned to = 1 - guest->on, victim = source ? guest->on : to;

    vm_load_start(&stream, guest, VM_LOAD_RATE, seed);
    vm_stream_mark(&stream);
    vm_move_begin(guest, to, true);
    rt_cluster_agent_kill(&harness, victim);
    vm_move_continue(guest);
    vm_move_finish(guest, &migration);
    vm_load_agent(victim);
    vm_case_add(c, &migration, vm_stream_blackout(&stream, migration.resumed_ms));
    vm_load_end(&stream, guest, c);
}

static void test_source_killed(void **state)
{
    struct vm_case c = {.name = "source's agent killed at switch-over"};

    (void)state;
    kill_at_switch_over(&c, 14, true);
}

static void test_destination_killed(void **state)
{
    struct vm_case c = {.name = "destination's agent killed at switch-over"};

    (void)state;
    kill_at_switch_over(&c, 15, false);
}

static void test_stopped(void **state)
{
    struct vm_case c = {.name = "guest stopped for 5 s"};
    struct vm_migration times = {0};

    (void)state;
    vm_load_start(&stream, guest, VM_LOAD_RATE, 16);
    vm_stream_mark(&stream);
    vm_qmp_forget(&guest->qemu.qmp);
    assert_int_equal(vm_qemu_stop(&guest->qemu), 0);
    rt_process_sleep_ms(STOPPED_MS);
    assert_int_equal(vm_qemu_cont(&guest->qemu), 0);
    assert_int_equal(vm_qmp_wait(&guest->qemu.qmp, "STOP", &times.stopped_ms, HARNESS_LIMIT_MS), 0);
    assert_int_equal(vm_qmp_wait(&guest->qemu.qmp, "RESUME", &times.resumed_ms, HARNESS_LIMIT_MS), 0);
    times.downtime_ms = times.resumed_ms - times.stopped_ms;
    vm_case_add(&c, &times, vm_stream_blackout(&stream, times.resumed_ms));
    vm_load_end(&stream, guest, &c);
}

/* The main process ends, is reported, and the machine is off. */
static void test_power_off(void **state)
{
    double at_ms;

    (void)state;
    harness_expect(0, "", ARGS("signal", guest->cid, "TERM"));
    harness_expect(0, "143\n", ARGS("wait", guest->cid));
    assert_int_equal(vm_qmp_wait(&guest->qemu.qmp, "SHUTDOWN", &at_ms, POWER_OFF_LIMIT_MS), 0);
    vm_guests_end();
}

static void test_boot(void **state)
{
    (void)state;
    guest = vm_load_guest("core", VM_TCP);
}

static void test_vsock(void **state)
{
    struct vm_case c = {.name = "AF_VSOCK, there and back under load"};

    (void)state;
    guest = vm_load_guest("vsock", VM_VSOCK);
    vm_load_start(&stream, guest, VM_LOAD_RATE, 17);
    vm_load_move(&stream, guest, &c);
    vm_load_move(&stream, guest, &c);
    vm_load_end(&stream, guest, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_under_load),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_aborted),
        cmocka_unit_test(test_agent_absent),
        cmocka_unit_test(test_source_killed),
        cmocka_unit_test(test_destination_killed),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_power_off),
        cmocka_unit_test(test_vsock),
    };

    return vm_main("vm_core", tests, sizeof(tests) / sizeof(tests[0]));
}
