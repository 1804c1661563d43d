/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* That the measurements run and measure something; how much is no matter of a test. */

#define LIMIT_MS 1000000
#define RUN(result, ...) run_program(result, (const char *const[]){__VA_ARGS__, NULL}, LIMIT_MS)

static const char *const parts[] = {"relay",  "small", "fair",   "latency", "handshake", "blackout",
                                    "memory", "storm", "window", "store",   "load"};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* What is sent again is what was under way, and a blackout's parts are seen from logs, which may be read too late. */
static bool may_be_nothing(const char *figure)
{
    return strstr(figure, "bytes sent again") != NULL || strstr(figure, "\"of it: ") != NULL ||
           strstr(figure, "\"programs that wait") != NULL || strstr(figure, "CPU of the store") != NULL ||
           strstr(figure, "\"writes when idle") != NULL || strstr(figure, "\"reads of walks") != NULL ||
           strstr(figure, "\"memory that claims") != NULL;
}

static void test_all(void **state)
{
    char dir[] = "/tmp/retether-bench-XXXXXX", path[128], text[64];
    struct rt_process_run result;
    unsigned rows = 0;
    struct stat file;

    (void)state;
    assert_non_null(mkdtemp(dir));
    RUN(&result, "rt-bench", "all", "--quick", "--json", "--svg", dir);
    if (result.status != 0) {
        print_error("status %d\n%s\n%s\n", result.status, result.out, result.err);
        fail();
    }
    for (size_t i = 0; i < PARTS; i++) {
        (void)snprintf(text, sizeof(text), "{\"part\":\"%s\",", parts[i]);
        assert_non_null(strstr(result.out, text));
        (void)snprintf(path, sizeof(path), "%s/%s.svg", dir, parts[i]);
        assert_int_equal(stat(path, &file), 0);
        assert_true(file.st_size > 0);
        assert_int_equal(unlink(path), 0);
    }
    for (char *line = strtok(result.out, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        for (const char *at = line; (at = strstr(at, "\"median\":")) != NULL; rows++) {
            at += strlen("\"median\":");
            if (strtod(at, NULL) < 0 || (strtod(at, NULL) <= 0 && !may_be_nothing(line))) {
                print_error("not above 0: %s\n", line);
                fail();
            }
        }
    }
    assert_true(rows > 0);
    assert_int_equal(rmdir(dir), 0);
    rt_process_run_free(&result);
}

static void test_usage(void **state)
{
    static const char *const bad[][4] = {
        {"rt-bench", "nonsense", NULL},
        {"rt-bench", "--nonsense", NULL},
        {"rt-bench", "--rounds", "0", NULL},
        {"rt-bench", "--moves", "1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        run_refused(bad[i], "usage: rt-bench", LIMIT_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_usage)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
