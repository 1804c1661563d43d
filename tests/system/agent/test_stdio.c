/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/daemon.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The programs with standard descriptors that are closed or full. */

#define LIMIT_MS 60000

static const char *const programs[] = {"retetherd", "tether", "retether"};

/* What cannot be printed is told by the status. */
static void test_full(void **state)
{
    static const char *const verbs[] = {"--version", "--help"};

    (void)state;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        for (size_t verb = 0; verb < 2; verb++) {
            const char *argv[] = {programs[i], verbs[verb], NULL};
            struct rt_process_spec spec;
            pid_t pid;
            int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

            assert_true(fd >= 0);
            rt_process_spec_init(&spec, argv);
            spec.out = fd;
            pid = rt_process_start(&spec);
            assert_true(pid > 0);
            assert_int_not_equal(rt_process_wait(pid, LIMIT_MS), 0);
            assert_int_equal(close(fd), 0);
        }
    }
}

/* An agent without stdin, stdout and stderr serves, and stops in order. */
static void test_closed(void **state)
{
    struct daemon *daemon = *state;
    char program[RT_PROCESS_PATH], script[1024];
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct rt_process_spec spec;
    pid_t pid;
    int waited = 0;

    rt_process_program("retetherd", program);
    assert_true(snprintf(script, sizeof(script),
                         "exec '%s' --host-name h --guests 'unix:%s' --clients 'unix:%s' --state-dir '%s' "
                         "<&- >&- 2>&-",
                         program, daemon->guest, daemon->client, daemon->state) < (int)sizeof(script));
    rt_process_spec_init(&spec, argv);
    pid = rt_process_start(&spec);
    assert_true(pid > 0);
    daemon->pid = pid; /* the teardown ends it */
    while (access(daemon->client, F_OK) != 0 && waited < LIMIT_MS) {
        rt_process_sleep_ms(10);
        waited += 10;
    }
    assert_int_equal(access(daemon->client, F_OK), 0);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(daemon_wait(daemon, LIMIT_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test_setup_teardown(test_closed, daemon_setup, daemon_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
