/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/tether/machine.h"

#include <stdio.h>
#include <string.h>

/* The tether as the first process of a machine, against a real agent: what the machine looks like to the command, and
 * that it ends with its status stored and the power off, whatever goes wrong. */

static bool possible;

#define SKIP_IF_NOT_POSSIBLE()                                                                                         \
    do {                                                                                                               \
        if (!possible) {                                                                                               \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

static void wants(const char *text, const char *what)
{
    if (strstr(text, what) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", what, text);
    }
}

static void wants_not(const char *text, const char *what)
{
    if (strstr(text, what) != NULL) {
        fail_msg("\"%s\" is in:\n%s", what, text);
    }
}

/* In an empty root; the interface comes late; words of the kernel's command line are no command. */
static void test_everything_missing(void **state)
{
    struct machine machine = {
        .cid = "bare",
        .setup = "(sleep 1; exec ip link add v0 type veth peer name v1) &",
        .config = "link v0=169.254.10.2/24\n" /* no class has this prefix */
                  "hostname machine-1\n"
                  "command sh\n"
                  "argument -c\n"
                  "argument while read -r dev dir type rest; do echo \"$dir=$type\"; done </proc/mounts"
                  "; stat -c %n:%a /tmp /run /dev/shm; cat /proc/sys/kernel/hostname; ip -o -4 addr"
                  "; echo \"$PPID $(cat /proc/1/comm)\"; env; exit 3\n",
    };
    static const char *const wanted[] = {"/dev=devtmpfs\n",
                                         "/proc=proc\n",
                                         "/sys=sysfs\n",
                                         "/dev/pts=devpts\n",
                                         "/dev/shm=tmpfs\n",
                                         "/run=tmpfs\n",
                                         "/tmp=tmpfs\n",
                                         "/tmp:1777\n/run:755\n/dev/shm:1777\n",
                                         "\nmachine-1\n",
                                         "inet 127.0.0.1/8",
                                         "inet 169.254.10.2/24",
                                         "\n1 init\n",
                                         "\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
                                         "\nHOME=/\n"};
    struct rt_process_run run;

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&machine);
    harness_expect(0, "3\n", ARGS("wait", "bare"));
    harness_cli(&run, NULL, 0, ARGS("logs", "bare"));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        wants(run.out, wanted[i]);
    }
    wants_not(run.out, "RETETHER");
    wants_not(machine.log, "warn");
    rt_process_run_free(&run);
}

/* What is mounted stays; the console is opened, and nothing of it reaches the command. */
static void test_console_and_what_is_there(void **state)
{
    struct machine machine = {
        .cid = "console",
        .no_console = true,
        .setup = "mkdir $R/tmp $R/run; mount -t tmpfs tmp $R/tmp; echo kept >$R/tmp/before",
        .config = "log-level debug\ncommand sh\nargument -c\n"
                  "argument cat /tmp/before; readlink /proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2"
                  "; ls -l /proc/self/fd | grep -c console; grep -c ' /tmp ' /proc/mounts\n",
    };

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&machine);
    harness_expect(0, "0\n", ARGS("wait", "console"));
    harness_expect(0, "kept\n/dev/console\n/dev/console\n/dev/console\n0\n1\n", ARGS("logs", "console"));
    wants(machine.log, "\"step\":\"mount\",\"what\":\"/tmp\"");
    wants(machine.log, "\"step\":\"power-off\"");
}

/* Orphans come to it and are waited for; what runs on behind the command is no reason to stay. */
static void test_orphans(void **state)
{
    struct machine machine = {
        .cid = "orphans",
        .config = "drain-timeout 100ms\ncommand sh\nargument -c\n"
                  "argument p=$(sh -c 'sleep 0.2 >/dev/null & echo $!'); grep -qx 'PPid:.1' /proc/$p/status && echo "
                  "orphan; while [ -e /proc/$p ]; do sleep 0.05; done; echo gone"
                  "; setsid sleep 600 & setsid sleep 600 >/dev/null 2>&1 & kill -TERM $$\n",
    };

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&machine);
    harness_expect(0, "143\n", ARGS("wait", "orphans"));
    harness_expect(0, "orphan\ngone\n", ARGS("logs", "orphans"));
}

/* Neither a module nor an interface that is not there keeps the command from running. */
static void test_steps_that_fail(void **state)
{
    struct machine machine = {
        .cid = "failing",
        .setup = ": >$R/run",
        .config = "module /lib/modules/not-there.ko\nlink not-there=10.0.0.1/8\ncommand echo\nargument ran\n",
    };

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&machine);
    harness_expect(0, "0\n", ARGS("wait", "failing"));
    harness_expect(0, "ran\n", ARGS("logs", "failing"));
    wants(machine.log, "\"step\":\"mount\",\"what\":\"/run\",\"reason\":\"Not a directory; make the directory");
    wants(machine.log, "\"what\":\"/lib/modules/not-there.ko\",\"reason\":\"No such file or directory; put the");
    wants(machine.log, "\"step\":\"link\",\"what\":\"not-there\",\"reason\":\"No such device; look at its name");
}

static void test_command_not_found(void **state)
{
    struct machine machine = {.cid = "no-command", .config = "command no-such-command\n"};

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&machine);
    harness_expect(0, "127\n", ARGS("wait", "no-command"));
}

/* No agent ever answers: it still ends. */
static void test_no_agent(void **state)
{
    struct machine machine = {.cid = "alone", .setup = "umount $R/w", .config = "end-timeout 300ms\ncommand true\n"};

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&machine);
    wants(machine.log, "not told to an agent");
}

/* A tether that cannot run at all says why, and powers off: it never exits. */
static void test_cannot_run(void **state)
{
    struct machine no_config = {.cid = "no-config"};
    struct machine bad_config = {.cid = "bad-config", .config = "command true\nnonsense\n"};
    struct machine no_token = {.cid = "no-token", .config = "command true\n", .no_token = true};
    struct machine bad_token = {
        .cid = "bad-token", .config = "command true\n", .setup = "echo nonsense >$R/etc/retether/token"};
    struct machine no_dev = {.cid = "no-dev", .config = "command true\n", .setup = ": >$R/dev"};

    (void)state;
    SKIP_IF_NOT_POSSIBLE();
    machine_run(&no_config);
    wants(no_config.log, "cannot read the configuration /etc/retether/tether.conf: No such file or directory");
    machine_run(&bad_config);
    wants(bad_config.log, "/etc/retether/tether.conf:4: ");
    machine_run(&no_token);
    wants(no_token.log, "cannot read the token file /etc/retether/token: No such file or directory");
    machine_run(&bad_token);
    wants(bad_token.log, "\"event\":\"failed\"");
    machine_run(&no_dev);
    wants(no_dev.log, "there is no /dev/null");
}

static void test_not_process_1(void **state)
{
    const char *const argv[] = {"tether", "--init", "--cid", "c", "true", NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;

    (void)state;
    rt_process_spec_init(&spec, argv);
    assert_int_equal(rt_process_run(&spec, NULL, 0, HARNESS_LIMIT_MS, &run), 0);
    assert_int_equal(run.status, 125);
    wants(run.err, "--init is for process 1 of a machine");
    rt_process_run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_missing),
        cmocka_unit_test(test_console_and_what_is_there),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_steps_that_fail),
        cmocka_unit_test(test_command_not_found),
        cmocka_unit_test(test_no_agent),
        cmocka_unit_test(test_cannot_run),
        cmocka_unit_test(test_not_process_1),
    };

    possible = machine_possible();
    return harness_main(1, false, "init", tests, sizeof(tests) / sizeof(tests[0]));
}
