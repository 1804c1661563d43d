/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Long commands: what they are told comes whole, and runs once, also while the container moves and agents die. */

#define WORD 100000
#define COMMANDS 12

/* A script of this length, and a word as long that ends with the number of the command. */
static char script[WORD + 1], word[WORD + 1];

/* Without its end. */
static void put(char *to, const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        to[i] = text[i];
    }
}

static void fill(const char *code, unsigned number)
{
    memset(script, '#', WORD);
    put(script, code);
    for (size_t i = 0; i < WORD; i++) {
        word[i] = (char)('a' + (i * 7 + number) % 26);
    }
}

static void test_long(void **state)
{
    struct rt_cluster_vm *vm = harness_vm("long", "read line");
    struct rt_process_run run;

    (void)state;
    fill("printf %s \"$1\"; exit 3\n", 1);
    harness_expect(3, word, ARGS("exec", "long", "--", "sh", "-c", script, "sh", word));
    fill("printf %s \"$WORD\"; exit 4\n", 2);
    put(word, "WORD=");
    harness_expect(4, word + 5, ARGS("exec", "--env", word, "long", "--", "sh", "-c", script));
    harness_cli(&run, NULL, 0, ARGS("exec", "long", "--", "sh", "-c", script, script, word)); /* 300,000 bytes */
    assert_int_equal(run.status, 125);
    assert_non_null(strstr(run.err, "the command is too long: at most 256 KiB"));
    rt_process_run_free(&run);
    harness_cli(&run, "\n", 1, ARGS("attach", "long"));
    rt_process_run_free(&run);
    harness_vm_end(vm, 0);
}

/* Each is told to, in 50 pieces, while agents are killed and the container goes to and fro: it runs once, as it was
 * told, and its output and status come. */
static void test_moves_and_kills(void **state)
{
    static struct harness_attach execs[COMMANDS];
    char code[256], name[32], path[] = "/tmp/retether-commands-XXXXXX", line[64];
    struct rt_cluster_vm *vm = harness_vm("busy", "read line");
    struct rt_process_run run;
    unsigned lines = 0, seen = 0;
    int fd = mkstemp(path);
    FILE *file;

    (void)state;
    assert_true(fd >= 0);
    for (unsigned i = 0; i < COMMANDS; i++) {
        (void)snprintf(code, sizeof(code), "echo $0 >>%s; printf %%s \"$1\"; exit %u\n", path, i);
        (void)snprintf(name, sizeof(name), "%u", i);
        fill(code, i);
        harness_start(&execs[i], false, ARGS("exec", "busy", "--", "sh", "-c", script, name, word));
        if (i % 4 == 1) {
            assert_int_equal(rt_cluster_vm_move(&harness, vm, (i / 4 + 1) % 2, i % 8 == 1 ? "reset" : "eof"), 0);
        }
        if (i % 4 == 3) {
            rt_cluster_agent_kill(&harness, (i / 4 + 1) % 2); /* that serves it now */
            assert_int_equal(rt_cluster_agent_start(&harness, (i / 4 + 1) % 2), 0);
        }
    }
    for (unsigned i = 0; i < COMMANDS; i++) {
        fill("", i);
        assert_int_equal(harness_finish(&execs[i], HARNESS_LIMIT_MS), (int)i);
        assert_int_equal(execs[i].size, WORD);
        assert_memory_equal(execs[i].text, word, WORD);
        harness_close(&execs[i]);
    }
    file = fdopen(fd, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        seen |= 1U << strtoul(line, NULL, 10);
        lines++;
    }
    (void)fclose(file);
    (void)remove(path);
    assert_int_equal(lines, COMMANDS);
    assert_int_equal(seen, (1U << COMMANDS) - 1);
    harness_cli(&run, "\n", 1, ARGS("attach", "busy"));
    rt_process_run_free(&run);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long), cmocka_unit_test(test_moves_and_kills)};

    return harness_main(2, false, "commands", tests, sizeof(tests) / sizeof(tests[0]));
}
