/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The agent as the system sees it once it has locked itself in. Whether it can still do its work, all other tests of
 * the agent show: they run it so. */

#define LIMIT_MS 60000
#define TEXT_MAX 65536

/* What the kernel says about a process; empty when it may not be read. NUL bytes become spaces. */
static const char *proc(pid_t pid, const char *name)
{
    static char text[TEXT_MAX];
    char path[64];
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

static bool unfit(const struct daemon *daemon)
{
    if (daemon_said(daemon, "system calls are not limited: built with") == 0) {
        return false;
    }
    print_message("not tried: built with a sanitizer\n");
    return true;
}

static void test_status(void **state)
{
    struct daemon *daemon = *state;
    const char *status;

    daemon_up(daemon, NULL);
    if (unfit(daemon)) {
        return;
    }
    status = proc(daemon->pid, "status");
    assert_non_null(strstr(status, "NoNewPrivs:\t1\n"));
    assert_non_null(strstr(status, "Seccomp:\t2\n"));
    assert_null(strstr(status, "VmLck:\t       0 kB"));
    assert_int_equal(daemon_said(daemon, "\"event\":\"sandbox\""), 0);
    /* The server that it started is not bound by its list. */
    assert_true(daemon_redis(daemon) > 0);
    assert_null(strstr(proc(daemon_redis(daemon), "status"), "Seccomp_filters:\t2\n"));
    daemon_kill(daemon);

    daemon_up(daemon, (const char *[]){"--sandbox=off", NULL});
    assert_non_null(strstr(proc(daemon->pid, "status"), "NoNewPrivs:\t0\n"));
    assert_int_equal(daemon_said(daemon, "system calls are not limited: sandbox = off"), 1);
}

/* The status of wait, of an agent that has crashed where cores are allowed. */
static int crash(struct daemon *daemon)
{
    int status = 0;

    daemon_up(daemon, NULL);
    if (unfit(daemon)) {
        return 0;
    }
    assert_int_equal(kill(daemon->pid, SIGSEGV), 0);
    assert_int_equal(waitpid(daemon->pid, &status, 0), daemon->pid);
    daemon->pid = 0;
    return status;
}

static void test_no_core(void **state)
{
    struct daemon *daemon = *state;
    struct rlimit old, most;
    int status;

    assert_int_equal(getrlimit(RLIMIT_CORE, &old), 0);
    most = (struct rlimit){.rlim_cur = old.rlim_max, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_CORE, &most), 0);
    assert_int_equal(chdir(daemon->dir), 0); /* where a core would lie */
    status = crash(daemon);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(setrlimit(RLIMIT_CORE, &old), 0);
    assert_false(WCOREDUMP(status));
}

/* In lowercase, as the file has it. */
static void read_secret(const char *path, char secret[65])
{
    char text[4096] = "";
    const char *key;
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    key = strstr(text, "key 1 ");
    assert_non_null(key);
    (void)snprintf(secret, 65, "%.64s", key + strlen("key 1 "));
    assert_int_equal(strspn(secret, "0123456789abcdef"), 64);
}

static void assert_unsaid(const char *text, const char *secret)
{
    char part[17];

    for (size_t i = 0; i + 16 <= 64; i += 16) {
        (void)snprintf(part, sizeof(part), "%.16s", secret + i);
        assert_null(strstr(text, part));
    }
}

/* Nor where its file is wrong and that is complained about. */
static void test_key_unsaid(void **state)
{
    static const struct {
        const char *before;
        int size; /* of the secret that is there */
        const char *after;
    } bad[] = {{"key 2 ", 64, "00 active\n"},
               {"kex 2 ", 64, "\n"},
               {"key 2 ", 62, "xx\n"},
               {"", 64, "\n"},
               {"key ", 64, " 1\n"}};
    struct daemon *daemon = *state;
    char path[128], secret[65] = "";
    FILE *file;

    daemon_up(daemon, NULL);
    (void)snprintf(path, sizeof(path), "%s/keys", daemon->state);
    read_secret(path, secret);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fprintf(file, "%s%.*s%s", bad[i].before, bad[i].size, secret, bad[i].after) > 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(kill(daemon->pid, SIGHUP), 0);
        daemon_until(daemon, "what was read before stays in use", (unsigned)i + 1, LIMIT_MS);
    }
    assert_unsaid(daemon_log(daemon), secret);
    assert_unsaid(proc(daemon->pid, "cmdline"), secret);
    assert_unsaid(proc(daemon->pid, "environ"), secret);
}

static bool connects_as(const char *path, uid_t uid, gid_t gid)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
        if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0) {
            _exit(2);
        }
        _exit(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Started by root it is the user from then on, and all that it makes is the user's; a socket that was removed is made
 * anew with its group. */
static void test_run_as(void **state)
{
    struct daemon *daemon = *state;
    const struct passwd *user = getpwnam("nobody");
    const struct group *group = getgrnam("daemon");
    const char *flags[] = {"--run-as", "nobody", NULL};
    char wanted[64], wanted_groups[32], path[128];
    const char *groups;
    struct stat info;

    if (geteuid() != 0 || user == NULL || group == NULL) {
        print_message("not tried: not root, or no user nobody and group daemon here\n");
        return;
    }
    assert_int_equal(chown(daemon->dir, user->pw_uid, user->pw_gid), 0);
    assert_int_equal(chmod(daemon->dir, 0755), 0);
    daemon->doors = ",mode=0660,group=daemon";
    daemon_up(daemon, flags);
    (void)snprintf(wanted, sizeof(wanted), "\nUid:\t%lu\t%lu\t%lu\t%lu\n", (unsigned long)user->pw_uid,
                   (unsigned long)user->pw_uid, (unsigned long)user->pw_uid, (unsigned long)user->pw_uid);
    assert_non_null(strstr(proc(daemon->pid, "status"), wanted));
    (void)snprintf(wanted_groups, sizeof(wanted_groups), "\nGroups:\t%lu ", (unsigned long)group->gr_gid);
    groups = strstr(proc(daemon->pid, "status"), wanted_groups);
    assert_non_null(groups); /* that of its sockets, and no other */
    assert_int_equal(groups[strlen(wanted_groups)], '\n');
    assert_non_null(strstr(proc(daemon->pid, "status"), "\nCapPrm:\t0000000000000000\n"));
    assert_non_null(strstr(proc(daemon_redis(daemon), "status"), wanted));
    assert_int_equal(stat(daemon->state, &info), 0);
    assert_int_equal(info.st_uid, user->pw_uid);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stat(daemon->client, &info), 0);
        assert_int_equal(info.st_uid, user->pw_uid);
        assert_int_equal(info.st_gid, group->gr_gid);
        assert_int_equal(info.st_mode & 0777, 0660);
        assert_true(connects_as(daemon->client, 12345, group->gr_gid));
        assert_false(connects_as(daemon->client, 12345, 12345));
        if (i == 0) {
            assert_int_equal(unlink(daemon->client), 0);
            daemon_until(daemon, "made anew", 1, LIMIT_MS);
        }
    }
    assert_int_equal(kill(daemon->pid, SIGHUP), 0);
    daemon_until(daemon, "1 keys, key 1 seals", 1, LIMIT_MS);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_int_equal(daemon_wait(daemon, LIMIT_MS), 0);

    /* What another user left is told with what to do about it. */
    (void)snprintf(path, sizeof(path), "%s/keys", daemon->state);
    assert_int_equal(chown(path, 0, 0), 0);
    daemon_start(daemon, flags);
    assert_int_equal(WEXITSTATUS(daemon_wait(daemon, LIMIT_MS)), 1);
    assert_int_equal(daemon_said(daemon, "chown -R nobody"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_status, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_no_core, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_key_unsaid, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_run_as, daemon_setup, daemon_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
