/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

uint64_t test_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void test_pause(unsigned ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&span, NULL);
}

int daemon_setup(void **state)
{
    struct daemon *daemon = calloc(1, sizeof(*daemon));
    char pid_file[128];

    assert_non_null(daemon);
    (void)snprintf(daemon->dir, sizeof(daemon->dir), "/tmp/rt-agent-XXXXXX");
    assert_non_null(mkdtemp(daemon->dir));
    (void)snprintf(daemon->guest, sizeof(daemon->guest), "%s/g", daemon->dir);
    (void)snprintf(daemon->client, sizeof(daemon->client), "%s/c", daemon->dir);
    (void)snprintf(daemon->state, sizeof(daemon->state), "%s/state", daemon->dir);
    (void)snprintf(daemon->log, sizeof(daemon->log), "%s/log", daemon->dir);
    assert_int_equal(rt_janitor_start(&daemon->janitor), 0);
    (void)snprintf(pid_file, sizeof(pid_file), "%s/redis/redis.pid", daemon->state);
    rt_janitor_kill(&daemon->janitor, pid_file);
    rt_janitor_remove(&daemon->janitor, daemon->dir);
    *state = daemon;
    return 0;
}

int daemon_teardown(void **state)
{
    struct daemon *daemon = *state;

    daemon_kill(daemon);
    rt_janitor_finish(&daemon->janitor);
    free(daemon);
    return 0;
}

void daemon_keep_little_freed(void)
{
    const char *options = getenv("ASAN_OPTIONS");
    char text[512];

    (void)snprintf(text, sizeof(text),
                   "%s%squarantine_size_mb=1:thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=10",
                   options == NULL ? "" : options, options == NULL ? "" : ":");
    (void)setenv("ASAN_OPTIONS", text, 1);
}

static void pass(const int *sockets)
{
    int fds[2] = {fcntl(sockets[0], F_DUPFD, 10), fcntl(sockets[1], F_DUPFD, 10)};
    char pid[24];

    (void)dup2(fds[0], 3);
    (void)dup2(fds[1], 4);
    (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "2", 1);
    (void)setenv("LISTEN_FDNAMES", "listen.guests:listen.clients", 1);
}

static void run_child(const struct daemon *daemon, const char *const *argv, int out, pid_t parent)
{
    struct rlimit files = {.rlim_cur = daemon->files, .rlim_max = daemon->files};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    daemon_keep_little_freed();
    if (daemon->passed != NULL) {
        pass(daemon->passed);
    }
    if (daemon->gate[0] != '\0') {
        (void)setenv("LD_PRELOAD", DISK_GATE, 1);
        (void)setenv("RT_DISK_GATE", daemon->gate, 1);
    }
    if (daemon->files != 0 && setrlimit(RLIMIT_NOFILE, &files) != 0) {
        _exit(125);
    }
    (void)execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(126);
}

void daemon_start(struct daemon *daemon, const char *const *more)
{
    const char *doors = daemon->doors == NULL ? "" : daemon->doors;
    char guests[128], clients[128];
    const char *argv[DAEMON_ARGS_MAX] = {RETETHERD_PROGRAM,
                                         "--guests",
                                         guests,
                                         "--clients",
                                         clients,
                                         "--state-dir",
                                         daemon->state,
                                         "--host-name",
                                         "h1",
                                         "--log-format",
                                         "json",
                                         "--user",
                                         daemon->user == NULL ? "* = vch/local" : daemon->user};
    size_t n = 13;
    pid_t parent = getpid();
    int out;

    (void)snprintf(guests, sizeof(guests), "unix:%s%s", daemon->guest, doors);
    (void)snprintf(clients, sizeof(clients), "unix:%s%s", daemon->client, doors);
    for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
        assert_true(n < DAEMON_ARGS_MAX - 1);
        argv[n++] = more[i];
    }
    out = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(out >= 0);
    daemon->pid = fork();
    assert_true(daemon->pid >= 0);
    if (daemon->pid == 0) {
        run_child(daemon, argv, out, parent);
    }
    (void)close(out);
}

const char *daemon_log(const struct daemon *daemon)
{
    static char text[DAEMON_LOG_MAX];
    int fd = open(daemon->log, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    return text;
}

size_t daemon_said(const struct daemon *daemon, const char *part)
{
    const char *at = daemon_log(daemon);
    size_t n = 0;

    for (; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    return n;
}

void daemon_until(struct daemon *daemon, const char *part, unsigned times, unsigned limit_ms)
{
    uint64_t limit = test_now_ms() + (uint64_t)limit_ms * TEST_PATIENCE;
    bool ended = false;

    while (daemon_said(daemon, part) < times) {
        if (ended || test_now_ms() > limit) {
            fail_msg("the agent %s and did not say %s; its log:\n%s", ended ? "has ended" : "runs", part,
                     daemon_log(daemon));
        }
        if (daemon->pid != 0 && waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
            daemon->pid = 0;
            ended = true;
        }
        test_pause(5);
    }
}

void daemon_up(struct daemon *daemon, const char *const *more)
{
    size_t before = daemon_said(daemon, "\"event\":\"ready\"");

    daemon_start(daemon, more);
    daemon_until(daemon, "\"event\":\"ready\"", (unsigned)before + 1, 10000);
}

int daemon_wait(struct daemon *daemon, unsigned limit_ms)
{
    uint64_t limit = test_now_ms() + (uint64_t)limit_ms * TEST_PATIENCE;
    int status = 0;

    assert_true(daemon->pid > 0);
    while (waitpid(daemon->pid, &status, WNOHANG) != daemon->pid) {
        if (test_now_ms() > limit) {
            fail_msg("the agent has not ended after %d times %u ms; its log:\n%s", TEST_PATIENCE, limit_ms,
                     daemon_log(daemon));
        }
        test_pause(5);
    }
    daemon->pid = 0;
    return status;
}

void daemon_kill(struct daemon *daemon)
{
    if (daemon->pid > 0) {
        (void)kill(daemon->pid, SIGKILL);
        (void)waitpid(daemon->pid, NULL, 0);
        daemon->pid = 0;
    }
}

size_t daemon_rss(const struct daemon *daemon)
{
    char path[64], text[128] = "";
    unsigned long long pages = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)daemon->pid);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    (void)fclose(file);
    if (strchr(text, ' ') != NULL) {
        pages = strtoull(strchr(text, ' '), NULL, 10);
    }
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

pid_t daemon_redis(const struct daemon *daemon)
{
    char path[128], text[32] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/redis/redis.pid", daemon->state);
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    (void)!fgets(text, sizeof(text), file);
    (void)fclose(file);
    return (pid_t)strtol(text, NULL, 10);
}

int daemon_run(const char *const *flags, char *out, size_t size)
{
    const char *argv[DAEMON_ARGS_MAX] = {RETETHERD_PROGRAM};
    pid_t parent = getpid(), pid;
    int ends[2], status = -1;
    size_t used = 0;
    ssize_t n;

    for (size_t i = 0; flags[i] != NULL; i++) {
        assert_true(i + 2 < DAEMON_ARGS_MAX);
        argv[i + 1] = flags[i];
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_child(&(const struct daemon){0}, argv, ends[1], parent);
    }
    (void)close(ends[1]);
    while (used < size - 1 && (n = read(ends[0], out + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    out[used] = '\0';
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
