/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/sanitizer.h"
#include "tests/lib/cluster_process.h"

#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Who holds tokens and keys is looked into by nobody of its user, and leaves no core; the container's command is as any
 * other. The kernel shows that by the owner of files in /proc/PID: root, where a process is hidden. So where the test
 * is root, programs run as another user. */

#define LIMIT_MS 60000
#define NOBODY 65534

static pid_t started; /* 0: none */

static uid_t user(void)
{
    return geteuid() == 0 ? NOBODY : geteuid();
}

/* The program, by a descriptor: its directory may be closed to that user. */
static _Noreturn void run(int program, const char *const *argv)
{
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) {
        _exit(98);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
    _exit(99);
}

static void start(const char *name, const char *const *argv, int out)
{
    char path[RT_PROCESS_PATH];
    int program;

    rt_process_program(name, path);
    program = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(program >= 0);
    started = fork();
    assert_true(started >= 0);
    if (started == 0) {
        if (out >= 0) {
            (void)dup2(out, STDOUT_FILENO);
        }
        run(program, argv);
    }
    (void)close(program);
}

/* What the kernel says of a process; words are apart by blanks. */
static const char *proc(pid_t pid, const char *name)
{
    static char text[256];
    char path[96];
    size_t n = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    file = fopen(path, "re");
    if (file != NULL) {
        n = fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
    }
    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(text[i] == '\0' ? ' ' : text[i]);
    }
    text[n] = '\0';
    return text;
}

static uid_t owner(pid_t pid)
{
    struct stat st;
    char path[48];

    (void)snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
    assert_int_equal(stat(path, &st), 0);
    return st.st_uid;
}

/* Until the process runs this, and belongs to that user. Before the exec it is hidden, as it has changed its user. */
static void until(pid_t pid, const char *command, uid_t uid)
{
    uint64_t end = rt_process_now_ms() + LIMIT_MS;

    while (strncmp(proc(pid, "cmdline"), command, strlen(command)) != 0 || owner(pid) != uid) {
        assert_int_equal(waitpid(started, NULL, WNOHANG), 0);
        assert_true(rt_process_now_ms() < end);
        rt_process_sleep_ms(5);
    }
}

static int stop(void **state)
{
    (void)state;
    rt_process_kill(started);
    started = 0;
    return 0;
}

static bool unfit(void)
{
    if (rt_sanitizer() != NULL) {
        print_message("not tried: built with %s\n", rt_sanitizer());
        return true;
    }
    return false;
}

/* It serves nobody: there is no agent. Its command runs all the same. */
static void test_tether(void **state)
{
    const char *const argv[] = {"tether", "--cid", "c1", "--agent", "unix:/nowhere/agent", "--", "sleep", "60", NULL};
    uint64_t end = rt_process_now_ms() + LIMIT_MS;
    char children[64];
    long command = 0;

    (void)state;
    if (unfit()) {
        return;
    }
    (void)setenv("RETETHER_TOKEN", "rtj1.am9pbi10b2tlbg", 1);
    start("tether", argv, -1);
    until(started, "tether ", 0);
    (void)snprintf(children, sizeof(children), "task/%ld/children", (long)started);
    while ((command = strtol(proc(started, children), NULL, 10)) == 0) {
        assert_true(rt_process_now_ms() < end);
        rt_process_sleep_ms(5);
    }
    until((pid_t)command, "sleep ", user());
    assert_int_equal(owner(started), 0);
}

/* A pipe that takes nothing more: who writes there waits. Returns its end for that. */
static int full_pipe(int *other)
{
    static const char bytes[4096];
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(fds[1], bytes, sizeof(bytes)) > 0) {
    }
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
    *other = fds[0];
    return fds[1];
}

static void test_command_line(void **state)
{
    const char *const argv[] = {"retether", "help", NULL};
    int other, out;

    (void)state;
    if (unfit()) {
        return;
    }
    out = full_pipe(&other);
    start("retether", argv, out);
    until(started, "retether ", 0);
    (void)close(out);
    (void)close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_tether, stop),
                                       cmocka_unit_test_teardown(test_command_line, stop)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
