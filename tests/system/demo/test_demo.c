/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"
#include "tests/system/run.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the demo shows, and what it says when something breaks; that it can break is what makes it worth watching. */

#define LIMIT_MS 600000
#define OFFSET "1M"
#define OPTIONS "--moves", "3", "--kills", "1", "--bytes", "8M", "--pace", "300"

#define RUN(result, ...) run_program(result, (const char *const[]){__VA_ARGS__, NULL}, LIMIT_MS)

/* Where a demo that broke keeps its logs. */
static void find_logs(const char *said, char directory[128])
{
    static const char kept[] = "logs are kept in ";
    const char *at = strstr(said, kept);

    assert_non_null(at);
    at += strlen(kept);
    (void)snprintf(directory, 128, "%.*s", (int)strcspn(at, "\n"), at);
    assert_int_equal(strncmp(directory, "/tmp/", 5), 0);
}

static void remove_logs(const char *said)
{
    char directory[128];

    find_logs(said, directory);
    *strrchr(directory, '/') = '\0'; /* the logs' own */
    rt_test_remove_tree(directory);
}

static void test_broken(void **state)
{
    static const struct {
        const char *fault, *said;
    } faults[] = {
        {"WORKLOAD_FAULT=lose:" OFFSET, "demo: broken: output: 64 bytes lost at offset 10485"},
        {"WORKLOAD_FAULT=repeat:" OFFSET, "demo: broken: output: 64 bytes repeated at offset 10485"},
        {"WORKLOAD_FAULT=change:" OFFSET, "demo: broken: output: bytes changed at offset 1048576\n"},
        {"WORKLOAD_FAULT=input:" OFFSET, "workload: stdin: bytes changed at offset 1048576\n"},
    };
    char program[RT_PROCESS_PATH];
    struct rt_process_run result;

    (void)state;
    rt_process_program("retether-demo", program);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        RUN(&result, "env", faults[i].fault, program, OPTIONS);
        if (result.status != 1 || strstr(result.err, faults[i].said) == NULL) {
            print_error("%s: status %d\n%s\n%s\n", faults[i].fault, result.status, result.out, result.err);
            fail();
        }
        assert_non_null(strstr(result.err, "demo: broken: "));
        assert_null(strstr(result.out, "0 lost, 0 repeated"));
        assert_null(strstr(result.out, "By hand"));
        remove_logs(result.err);
        rt_process_run_free(&result);
    }
    RUN(&result, "env", faults[0].fault, program, "--json", OPTIONS);
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.out, "\"event\":\"demo\",\"ok\":false,"));
    assert_non_null(strstr(result.out, "\"lost_bytes\":64,\"repeated_bytes\":0,"));
    remove_logs(result.err);
    rt_process_run_free(&result);
}

/* Not on a terminal: a line for each event, without any control sequence. */
static void test_plain(void **state)
{
    static const char *const parts[] = {
        "3 moves, 1 kills ...\n",
        " s  move 1 of 3: h0 -> h",
        " s  move 3 of 3: ",
        ", blackout ",
        " s  kill 1 of 1: the agent of h",
        "\ndemo: 3 moves, 1 agent kills, 6291456 bytes out, 2097152 bytes in, ",
        " replayed, 0 lost, 0 repeated, blackout p50 ",
        "\nBy hand",
    };
    static const char in[] = " bytes in, ";
    struct rt_process_run result;
    const char *at;

    (void)state;
    RUN(&result, "retether-demo", OPTIONS);
    assert_int_equal(result.status, 0);
    assert_string_equal(result.err, "");
    assert_null(strchr(result.out, '\033'));
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        at = strstr(result.out, parts[i]);
        if (at == NULL) {
            print_error("no \"%s\" in\n%s\n", parts[i], result.out);
            fail();
        }
    }
    at = strstr(result.out, in);
    assert_non_null(at);
    assert_true(at[sizeof(in) - 1] >= '1' && at[sizeof(in) - 1] <= '9'); /* cuts under load: something was replayed */
    rt_process_run_free(&result);
}

/* The agents' logs have clients on TLS. */
static void came_by_tls(const char *said)
{
    char directory[128], line[1024];
    unsigned n = 0;

    find_logs(said, directory);
    for (unsigned i = 0; i < 3; i++) {
        char path[160];
        FILE *log;

        (void)snprintf(path, sizeof(path), "%s/h%u", directory, i);
        log = fopen(path, "re");
        assert_non_null(log);
        while (fgets(line, sizeof(line), log) != NULL) {
            n += strstr(line, "tls:127.0.0.1") != NULL;
        }
        assert_int_equal(fclose(log), 0);
    }
    assert_true(n > 0);
}

/* With the client on TLS nothing is lost or repeated either. */
static void test_tls(void **state)
{
    struct rt_process_run result;

    (void)state;
    RUN(&result, "retether-demo", "--tls", "--keep", OPTIONS);
    if (result.status != 0) {
        fail_msg("%s\n%s", result.out, result.err);
    }
    assert_non_null(strstr(result.out, "an attached client over TLS; 3 moves, 1 kills ...\n"));
    assert_non_null(strstr(result.out, "\ndemo: 3 moves, 1 agent kills, 6291456 bytes out, 2097152 bytes in, "));
    assert_non_null(strstr(result.out, " replayed, 0 lost, 0 repeated, blackout p50 "));
    came_by_tls(result.err);
    remove_logs(result.err);
    rt_process_run_free(&result);
}

static uint64_t number(const char *json, const char *key)
{
    const char *at = strstr(json, key);

    assert_non_null(at);
    return strtoull(at + strlen(key), NULL, 10);
}

/* What was replayed is what tether and client say that they sent again: of it, the stand-in threw away a part. */
static void test_replayed(void **state)
{
    struct rt_process_run result;
    uint64_t out, in;

    (void)state;
    RUN(&result, "retether-demo", "--json", OPTIONS);
    assert_int_equal(result.status, 0);
    out = number(result.out, "\"replayed_out\":");
    in = number(result.out, "\"replayed_in\":");
    assert_true(out > 0 && in > 0);
    assert_int_equal(number(result.out, "\"replayed_bytes\":"), out + in);
    rt_process_run_free(&result);
}

/* On a terminal: one picture, drawn over itself. */
static void test_picture(void **state)
{
    static const char *const parts[] = {
        "\033[?25l",
        "retether demo",
        " of 3 moves, ",
        " of 1 agent kills",
        "[h0",
        " serves]",
        "[h2",
        " killed]",
        "container ",
        "  epoch 1 ",
        "  offset ",
        "starting",
        "flowing",
        "out  ",
        "in   ",
        "#####",
        " of 6.0 MiB",
        " of 2.0 MiB",
        "move 1    h0 -> h",
        "move 3    h",
        " MiB    blackout ",
        " ms",
        "agents killed: 1",
        "\033[?25h",
        "\r\ndemo: 3 moves, 1 agent kills, ",
        "\r\nBy hand",
    };
    struct harness_attach demo;

    (void)state;
    harness_start(&demo, true, (const char *const[]){"retether-demo", OPTIONS, NULL});
    assert_int_equal(harness_finish(&demo, LIMIT_MS), 0);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strstr(demo.text, parts[i]) == NULL) {
            print_error("no \"%s\" in\n%s\n", parts[i], demo.text);
            fail();
        }
    }
    assert_null(strstr(demo.text, " s  move 1 of 3"));
    harness_close(&demo);
}

static void test_usage(void **state)
{
    static const char *const bad[][4] = {
        {"retether-demo", "--moves", "-1", NULL},   {"retether-demo", "--moves", "10001", NULL},
        {"retether-demo", "--bytes", "lots", NULL}, {"retether-demo", "--bytes", "1M", NULL},
        {"retether-demo", "--nonsense", NULL},      {"retether-demo", "more", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        run_refused(bad[i], "--bytes", LIMIT_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken), cmocka_unit_test(test_plain),   cmocka_unit_test(test_replayed),
        cmocka_unit_test(test_tls),    cmocka_unit_test(test_picture), cmocka_unit_test(test_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
