/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guests that go on from an earlier point: a snapshot that is reverted to, and one that is started as a second guest.
 * Nobody may be given a mix of two pasts, and who has seen what fell away is told. */

#define TOLD_LIMIT_MS 30000
#define CLIENT_FAILED 125
/* Well more than the client's window: it was consumed. */
#define FELL_AWAY ((uint64_t)2 << 20)

static struct vm_guest *guest;
static struct vm_stream stream;
static char path[128];

static void test_boot(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "%s/snapshot", harness.dir);
    guest = vm_load_guest("past", false);
}

/* The stream goes on for long after the snapshot. Returns how much had come when that was taken. */
static uint64_t take_snapshot(uint64_t seed)
{
    uint64_t at;

    vm_load_start(&stream, guest, VM_LOAD_RATE, seed);
    vm_guest_save(guest, path);
    at = vm_stream_received(&stream);
    assert_int_equal(vm_qemu_cont(&guest->qemu), 0);
    vm_stream_more(&stream, FELL_AWAY);
    return at;
}

/* The client ends, and says how much of what it has seen still holds. */
static void told_rewound(const char *what, uint64_t snapshot)
{
    static const char words[] = "only the first ";
    const char *text;
    uint64_t common, seen;

    assert_int_equal(vm_stream_wait(&stream), CLIENT_FAILED);
    text = strstr(stream.text, "the container was set back");
    if (text == NULL || (text = strstr(text, words)) == NULL) {
        print_error("stream: %s\n", stream.text);
        fail();
        return;
    }
    common = strtoull(text + strlen(words), NULL, 10);
    text = strstr(text, "hold, ");
    assert_non_null(text);
    seen = strtoull(text + strlen("hold, "), NULL, 10);
    (void)printf("vm: %s: %" PRIu64 " bytes came until the snapshot, %" PRIu64 " in all; told: %.*s\n", what, snapshot,
                 stream.received.offset, (int)strcspn(stream.text, "\n"), stream.text);
    assert_true(common < seen);
    vm_stream_close(&stream);
}

/* The ticket is still the newest one: what the client has tells. */
static void test_within(void **state)
{
    double resumed_ms;
    uint64_t snapshot;

    (void)state;
    snapshot = take_snapshot(31);
    vm_guest_restore(guest, 1 - guest->on, path, &resumed_ms);
    told_rewound("snapshot reverted, no reconnect since", snapshot);
    harness_expect(0, "here\n", ARGS("exec", guest->cid, "--", "/bin/echo", "here"));
}

/* A copy starts while the original runs on: it confirms first, and the original's host sees that two ran. */
static void test_clone(void **state)
{
    unsigned first = guest->on, second = 1 - guest->on;
    uint64_t snapshot;
    double resumed_ms;

    (void)state;
    snapshot = take_snapshot(32);
    vm_note_conns(guest);
    vm_guest_qemu(guest, second, true, &guest->next);
    assert_int_equal(vm_qemu_restore(&guest->next, path), 0);
    assert_int_equal(vm_qmp_wait(&guest->next.qmp, "RESUME", &resumed_ms, HARNESS_LIMIT_MS), 0);
    for (size_t i = 0; i < guest->n_conns; i++) {
        vm_host_probe(&vm_hosts[second], guest->address, guest->conns[i].port);
    }
    told_rewound("clone beside the original", snapshot);
    vm_log_until(harness.hosts[first].log, "\"event\":\"forked\"", TOLD_LIMIT_MS);
    vm_log_until(guest->qemu.console, "REWOUND", TOLD_LIMIT_MS);
    harness_served(guest->cid, second);
    harness_expect(0, "here\n", ARGS("exec", guest->cid, "--", "/bin/echo", "here"));
    vm_qemu_end(&guest->qemu);
    guest->qemu = guest->next;
    guest->next = (struct vm_qemu){.qmp.fd = -1};
    guest->on = second;
}

/* The reverted guest's ticket is an ancestor of the one that counts. */
static void test_across(void **state)
{
    struct vm_migration migration;
    uint64_t snapshot;
    double resumed_ms;

    (void)state;
    snapshot = take_snapshot(33);
    vm_move(guest, 1 - guest->on, &migration);
    vm_stream_more(&stream, FELL_AWAY);
    vm_guest_restore(guest, 1 - guest->on, path, &resumed_ms);
    vm_log_until(guest->qemu.console, "REWOUND", TOLD_LIMIT_MS);
    told_rewound("snapshot reverted across a reconnect", snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_within),
        cmocka_unit_test(test_clone),
        cmocka_unit_test(test_across),
    };

    return vm_main("vm_past", tests, sizeof tests / sizeof tests[0]);
}
