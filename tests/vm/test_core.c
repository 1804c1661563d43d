/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/guest.h"
#include "tests/vm/report.h"
#include "tests/vm/stream.h"

#include <stdio.h>

/* One VM, migrated live again and again. */

#define LOAD_RATE "1M"
#define IN_RATE ((uint64_t)128 << 10)
#define BEFORE ((uint64_t)1 << 20)

static struct vm_guest *guest;
static struct vm_stream stream;

/* A workload of its own in the guest, typed to. */
static void start_load(uint64_t seed)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%u", (unsigned)seed);
    vm_stream_start(
        &stream,
        ARGS("exec", "-i", guest->cid, "--", "/bin/workload", "--endless", "--rate", LOAD_RATE, "--seed", text), seed,
        IN_RATE);
    vm_stream_until(&stream, BEFORE);
}

static void end_load(struct vm_case *c)
{
    vm_stream_finish(&stream);
    c->out = stream.received.offset;
    c->in = stream.sent;
    vm_stream_close(&stream);
    vm_case_say(c);
}

static void measured_move(struct vm_case *c)
{
    struct vm_migration migration;

    vm_stream_mark(&stream);
    vm_move(guest, 1 - guest->on, &migration);
    vm_case_add(c, &migration, vm_stream_blackout(&stream, migration.resumed_ms));
}

static void test_under_load(void **state)
{
    struct vm_case c = {.name = "there and back three times under load"};

    (void)state;
    start_load(11);
    for (int i = 0; i < 6; i++) {
        measured_move(&c);
    }
    end_load(&c);
}

static void test_boot(void **state)
{
    const char *const lines[] = {"command /bin/sleep", "argument 100000", NULL};

    (void)state;
    guest = vm_guest_start(&(struct vm_guest_options){.cid = "core", .lines = lines});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_boot), cmocka_unit_test(test_under_load)};

    return vm_main("vm_core", tests, sizeof tests / sizeof tests[0]);
}
