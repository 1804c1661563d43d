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
    (void)snprintf(path, sizeof(path), "%s/snapshot", harness.dir);
    guest = vm_load_guest("past", VM_TCP);
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

/* The number behind these words, of the text of a client that was told of a rewind. */
static uint64_t number(const char *text, const char *words)
{
    const char *at = strstr(text, " was set back, ");

    if (at == NULL || (at = strstr(at, words)) == NULL) {
        print_error("client: %s\n", text);
        fail();
        return 0;
    }
    return strtoull(at + strlen(words), NULL, 10);
}

/* How much of what the client has seen still holds; how much it has seen. */
static const char common[] = "only the first ", seen[] = "bytes still hold, ";

/* The client ends, and says it. */
static void told_rewound(const char *what, uint64_t snapshot)
{
    assert_int_equal(vm_stream_wait(&stream), CLIENT_FAILED);
    assert_true(number(stream.text, common) < number(stream.text, seen));
    (void)printf("vm: %s: %" PRIu64 " bytes came until the snapshot, %" PRIu64 " in all; told: %.*s\n", what, snapshot,
                 stream.received.offset, (int)strcspn(stream.text, "\n"), stream.text);
    vm_stream_close(&stream);
}

/* The ticket is still the newest one: what the client has tells. */
static void test_within(void **state)
{
    double resumed_ms;
    uint64_t snapshot;

    (void)state;
    snapshot = take_snapshot(31);
    vm_guest_restore(guest, path, &resumed_ms);
    told_rewound("snapshot reverted, no reconnect since", snapshot);
    harness_expect(0, "here\n", ARGS("exec", guest->cid, "--", "/bin/echo", "here"));
}

/* A copy starts while the original runs on: it confirms first, and the original's host sees that two ran. */
static void test_clone(void **state)
{
    unsigned first = guest->on, second = guest->to = 1 - guest->on;
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
    vm_guest_next(guest);
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
    vm_guest_restore(guest, path, &resumed_ms);
    vm_log_until(guest->qemu.console, "REWOUND", TOLD_LIMIT_MS);
    told_rewound("snapshot reverted across a reconnect", snapshot);
}

static void resolved(const char *field, char out[32])
{
    struct rt_process_run run;

    harness_cli(&run, NULL, 0, ARGS("resolve", "--json", guest->cid));
    assert_true(harness_json(run.out, field, out, 32));
    rt_process_run_free(&run);
}

static void run_in_guest(const char *script)
{
    harness_expect(0, "", ARGS("exec", guest->cid, "--", "/bin/sh", "-c", script));
}

/* Neither tether nor agent lose their connection, and the other past has a byte wherever the client has one: nothing
 * but the digest tells them apart. */
static void test_one_connection(void **state)
{
    static const char begin[] = "begin\n", first[] = "the first past\n";
    struct harness_attach attach;
    char epoch[32], now[32];
    double resumed_ms;

    (void)state;
    vm_guests_end();
    guest = vm_load_guest("port", VM_VSOCK_PORT);
    resolved("epoch", epoch);
    run_in_guest("echo begin >/tmp/past");
    harness_start(&attach, false, ARGS("exec", guest->cid, "--", "/bin/tail", "-f", "/tmp/past"));
    harness_until(&attach, begin);
    vm_guest_save(guest, path);
    assert_int_equal(vm_qemu_cont(&guest->qemu), 0);
    run_in_guest("echo the first past >>/tmp/past");
    harness_until(&attach, first);

    vm_guest_restore(guest, path, &resumed_ms);
    run_in_guest("echo another past, as long as the first >>/tmp/past");
    assert_int_equal(harness_finish(&attach, TOLD_LIMIT_MS), CLIENT_FAILED);
    assert_string_equal(attach.text, "begin\nthe first past\n");
    (void)printf("vm: snapshot reverted within one connection: told: %s", attach.err_text);
    assert_int_equal(number(attach.err_text, seen), strlen(attach.text));
    assert_true(number(attach.err_text, common) <= strlen(begin));
    harness_close(&attach);

    assert_false(guest->port.lost);
    resolved("epoch", now);
    assert_string_equal(now, epoch);
    harness_expect(0, "here\n", ARGS("exec", guest->cid, "--", "/bin/echo", "here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),   cmocka_unit_test(test_within),         cmocka_unit_test(test_clone),
        cmocka_unit_test(test_across), cmocka_unit_test(test_one_connection),
    };

    return vm_main("vm_past", tests, sizeof(tests) / sizeof(tests[0]));
}
