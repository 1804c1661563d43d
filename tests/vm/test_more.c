/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/load.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Cases that take too long for every run: a busy machine, two machines, one in a file, and a host that says nothing. */

#define CROSSINGS 3
#define SAVED_MS 3000
/* TCP alone would look for minutes. */
#define FOUND_LIMIT_MS 20000
#define STEP_MS 10

static struct vm_guest *guest, *other;
static struct vm_stream stream, other_stream;

static void test_boot(void **state)
{
    (void)state;
    guest = vm_load_guest("more", VM_TCP);
}

static const char make_dirt[] = "while [ ! -e /tmp/stop ]; do dd if=/dev/zero of=/tmp/dirt bs=1M count=24 conv=notrunc "
                                "2>/dev/null; sleep 0.1; done; echo stopped";

/* As much output as it can make, and memory written all the time, so that much is copied again and again. */
static void test_bulk(void **state)
{
    struct vm_case c = {.name = "bulk, memory being dirtied"};
    struct harness_attach dirt;

    (void)state;
    harness_start(&dirt, false, ARGS("exec", guest->cid, "--", "/bin/sh", "-c", make_dirt));
    vm_load_start(&stream, guest, NULL, 21);
    for (int i = 0; i < 2; i++) {
        vm_load_move(&stream, guest, &c);
    }
    harness_expect(0, "", ARGS("exec", guest->cid, "--", "/bin/sh", "-c", "echo >/tmp/stop"));
    assert_int_equal(harness_finish(&dirt, HARNESS_LIMIT_MS), 0);
    assert_string_equal(dirt.text, "stopped\n");
    harness_close(&dirt);
    vm_load_end(&stream, guest, &c);
}

static void test_saved(void **state)
{
    struct vm_case c = {.name = "saved to a file, restored on the other host"};
    struct vm_migration times = {0};
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/saved", harness.dir);
    vm_load_start(&stream, guest, VM_LOAD_RATE, 22);
    vm_stream_mark(&stream);
    vm_guest_save(guest, path);
    assert_int_equal(vm_qmp_wait(&guest->qemu.qmp, "STOP", &times.stopped_ms, HARNESS_LIMIT_MS), 0);
    rt_process_sleep_ms(SAVED_MS);
    vm_guest_restore(guest, path, &times.resumed_ms);
    (void)unlink(path);
    times.downtime_ms = times.resumed_ms - times.stopped_ms;
    vm_case_add(&c, &times, vm_stream_blackout(&stream, times.resumed_ms));
    vm_load_end(&stream, guest, &c);
}

static bool is_running(const char *cid)
{
    struct rt_process_run run;
    char text[32] = "";

    harness_cli(&run, NULL, 0, ARGS("resolve", "--json", cid));
    (void)harness_json(run.out, "state", text, sizeof(text));
    rt_process_run_free(&run);
    return strcmp(text, "running") == 0;
}

/* Every packet is dropped, nobody is told. */
static void silent(const char *name, uint64_t seed)
{
    struct vm_case c = {.name = name};
    struct vm_migration times = {0};
    uint64_t until;

    vm_load_start(&stream, guest, VM_LOAD_RATE, seed);
    vm_stream_mark(&stream);
    assert_int_equal(vm_host_link(&vm_hosts[guest->on], guest->tap, false), 0);
    times.stopped_ms = vm_now_ms();
    until = rt_process_now_ms() + FOUND_LIMIT_MS;
    while (is_running(guest->cid) && rt_process_now_ms() < until) {
        rt_process_sleep_ms(STEP_MS);
    }
    times.downtime_ms = vm_now_ms() - times.stopped_ms;
    assert_true(rt_process_now_ms() < until);
    assert_int_equal(vm_host_link(&vm_hosts[guest->on], guest->tap, true), 0);
    times.resumed_ms = vm_now_ms();
    vm_case_add(&c, &times, vm_stream_blackout(&stream, times.resumed_ms));
    vm_load_end(&stream, guest, &c);
}

static void test_silent(void **state)
{
    (void)state;
    silent("silent hang; downtime: until the agent had found it", 23);
}

/* The tether's vSocket stays open all the while. */
static void test_silent_vsock(void **state)
{
    (void)state;
    vm_guests_end();
    guest = vm_load_guest("silent", VM_VSOCK);
    silent("silent hang, AF_VSOCK; downtime: until the agent had found it", 26);
}

/* Two guests change places. */
static void test_crossing(void **state)
{
    struct vm_case c = {.name = "two VMs crossing"}, d = {.name = "two VMs crossing, the other one"};
    struct vm_migration one, two;

    (void)state;
    other = vm_load_guest("cross", VM_TCP);
    if (guest->on == other->on) {
        vm_move(other, 1 - other->on, &two);
    }
    vm_load_start(&stream, guest, VM_LOAD_RATE, 24);
    vm_load_start(&other_stream, other, VM_LOAD_RATE, 25);
    for (int i = 0; i < CROSSINGS; i++) {
        vm_stream_mark(&stream);
        vm_stream_mark(&other_stream);
        vm_move_begin(guest, 1 - guest->on, true);
        vm_move_begin(other, 1 - other->on, true);
        vm_move_continue(guest);
        vm_move_continue(other);
        vm_move_finish(guest, &one);
        vm_move_finish(other, &two);
        vm_case_add(&c, &one, vm_stream_blackout(&stream, one.resumed_ms));
        vm_case_add(&d, &two, vm_stream_blackout(&other_stream, two.resumed_ms));
    }
    vm_load_end(&stream, guest, &c);
    vm_load_end(&other_stream, other, &d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),   cmocka_unit_test(test_bulk),     cmocka_unit_test(test_saved),
        cmocka_unit_test(test_silent), cmocka_unit_test(test_crossing), cmocka_unit_test(test_silent_vsock),
    };

    return vm_main("vm_more", tests, sizeof(tests) / sizeof(tests[0]));
}
