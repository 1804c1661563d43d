/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/load.h"
#include "tests/vm/screen.h"

#include <stdio.h>
#include <string.h>

/* An editor on a terminal is used while its machine moves; a second run, which does not move, shows what the screen
 * would have been. */

#define KEY_MS 15
#define QUIET_MS 500

static struct vm_guest *guest;

/* No escape while it moves: the editor tells it from the begin of a key's sequence by what follows at once. */
static const char first_half[] = "iThe quick brown fox\rjumps over\b\b\b\bacross the lazy dog\r";
static const char second_half[] = "a line is typed while it moves\r\rand one more\r";
static const char commands[] = ":2\rddpGothe end";

static void type_slowly(struct harness_attach *attach, const char *keys)
{
    for (; *keys != '\0'; keys++) {
        harness_type(attach, keys, 1);
        (void)harness_read(attach, KEY_MS);
    }
}

/* Until nothing more comes. */
static void settle(struct harness_attach *attach)
{
    while (harness_read(attach, QUIET_MS)) {
    }
}

static void escape(struct harness_attach *attach)
{
    settle(attach);
    harness_type(attach, "\033", 1);
    settle(attach);
}

/* What is left on the terminal, and in the file. */
static void session(const char *file, unsigned moves, struct vm_case *c, struct vm_screen *screen, char *saved,
                    size_t size)
{
    struct harness_attach attach;
    struct vm_migration migration;
    struct rt_process_run run;

    harness_start(&attach, true, ARGS("exec", "-it", guest->cid, "--", "/bin/vi", file));
    harness_until(&attach, "~");
    type_slowly(&attach, first_half);
    if (moves > 0) {
        vm_move_begin(guest, 1 - guest->on, true);
        type_slowly(&attach, second_half); /* into a machine that stands still */
        vm_move_continue(guest);
        vm_move_finish(guest, &migration);
        vm_case_add(c, &migration, 0);
    } else {
        type_slowly(&attach, second_half);
    }
    escape(&attach);
    type_slowly(&attach, commands);
    escape(&attach);
    if (moves > 1) {
        vm_move(guest, 1 - guest->on, &migration);
        vm_case_add(c, &migration, 0);
    }
    type_slowly(&attach, ":w\r\014"); /* the last key draws all of it anew */
    harness_until(&attach, "the end");
    settle(&attach);
    vm_screen_show(screen, attach.text, attach.size);
    c->out = attach.size;
    c->in = strlen(first_half) + strlen(second_half) + strlen(commands);
    type_slowly(&attach, ":q!\r");
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 0);
    harness_close(&attach);
    harness_cli(&run, NULL, 0, ARGS("exec", guest->cid, "--", "/bin/cat", file));
    (void)snprintf(saved, size, "%s", run.out);
    rt_process_run_free(&run);
}

static void test_editor(void **state)
{
    static struct vm_screen moved, still;
    struct vm_case c = {.name = "an editor is used on a terminal"};
    char moved_file[512], still_file[512];

    (void)state;
    guest = vm_load_guest("tty", VM_TCP);
    session("/tmp/x", 0, &c, &still, still_file, sizeof(still_file));
    harness_expect(0, "", ARGS("exec", guest->cid, "--", "/bin/sh", "-c", "exec rm /tmp/x"));
    session("/tmp/x", 2, &c, &moved, moved_file, sizeof(moved_file));
    assert_int_equal(still.unknown, 0);
    assert_int_equal(moved.unknown, 0);
    assert_non_null(strstr(still_file, "jumps across the lazy dog"));
    assert_string_equal(moved_file, still_file);
    for (unsigned row = 0; row < VM_SCREEN_ROWS; row++) {
        assert_string_equal(moved.cells[row], still.cells[row]);
    }
    vm_case_say(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_editor)};

    return vm_main("vm_tty", tests, sizeof(tests) / sizeof(tests[0]));
}
