/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_spawn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS 10000

static struct rt_spawned child;
static char why[RT_SPAWN_WHY_MAX];
static char output[4096];

static int spawn(const char *const *argv, const char *const *env, const char *cwd)
{
    struct rt_spawn_spec spec = {.argv = argv, .env = env, .cwd = cwd};

    why[0] = '\0';
    return rt_spawn(&spec, &child, why);
}

/* All of stdout, then the wait status. */
static int finish(void)
{
    size_t used = 0;
    int status = -1;
    ssize_t n = -1;

    while (n != 0) {
        struct pollfd fd = {.fd = child.out, .events = POLLIN};

        assert_int_equal(poll(&fd, 1, LIMIT_MS), 1);
        n = read(child.out, output + used, sizeof(output) - 1 - used);
        assert_true(n >= 0);
        used += (size_t)n;
    }
    output[used] = '\0';
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    close(child.out);
    close(child.err);
    if (child.in >= 0) {
        close(child.in);
    }
    return status;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static void test_failures_leave_nothing(void **state)
{
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    int before = count_fds();

    (void)state;
    assert_int_equal(spawn((const char *const[]){"no-such-thing", NULL}, env, NULL), RT_SPAWN_NOT_FOUND);
    assert_non_null(strstr(why, "no-such-thing"));
    assert_int_equal(spawn((const char *const[]){"/no/such/thing", NULL}, env, NULL), RT_SPAWN_NOT_FOUND);
    assert_int_equal(spawn((const char *const[]){"/etc/passwd/x", NULL}, env, NULL), RT_SPAWN_NOT_FOUND);
    assert_int_equal(spawn((const char *const[]){"/etc/passwd", NULL}, env, NULL), RT_SPAWN_CANNOT_RUN);
    assert_int_equal(spawn((const char *const[]){"/tmp", NULL}, env, NULL), RT_SPAWN_CANNOT_RUN);
    assert_int_equal(spawn((const char *const[]){"true", NULL}, env, "/no/such/dir"), RT_SPAWN_CANNOT_RUN);
    assert_non_null(strstr(why, "/no/such/dir"));
    assert_int_equal(count_fds(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_path_of_its_own_environment(void **state)
{
    const char *const echo[] = {"echo", "found", NULL};

    (void)state;
    assert_int_equal(spawn(echo, (const char *const[]){"PATH=/nowhere:/bin", NULL}, NULL), 0);
    assert_int_equal(finish(), 0);
    assert_string_equal(output, "found\n");
    assert_int_equal(spawn(echo, (const char *const[]){"PATH=/nowhere", NULL}, NULL), RT_SPAWN_NOT_FOUND);
    assert_int_equal(spawn(echo, (const char *const[]){"PATH=/etc::", NULL}, "/bin"), 0); /* an empty element */
    assert_int_equal(finish(), 0);
    assert_int_equal(spawn(echo, (const char *const[]){NULL}, NULL), 0); /* the usual one */
    assert_int_equal(finish(), 0);
}

/* A name that may not be run hides no later one, but is what is told when there is none. */
static void test_path_goes_on_after_eacces(void **state)
{
    char dir[] = "/tmp/retether-spawn-XXXXXX";
    char file[64];
    char path[128];
    FILE *made;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/echo", dir);
    made = fopen(file, "w");
    assert_non_null(made);
    fclose(made);
    snprintf(path, sizeof(path), "PATH=%s:/bin", dir);
    assert_int_equal(spawn((const char *const[]){"echo", "x", NULL}, (const char *const[]){path, NULL}, NULL), 0);
    assert_int_equal(finish(), 0);
    snprintf(path, sizeof(path), "PATH=%s", dir);
    assert_int_equal(spawn((const char *const[]){"echo", "x", NULL}, (const char *const[]){path, NULL}, NULL),
                     RT_SPAWN_CANNOT_RUN);
    unlink(file);
    rmdir(dir);
}

/* A single word may be as long as Linux takes it, a name as long as a file's, and a PATH costs no more than its first
 * 256 directories. */
static void test_long_words(void **state)
{
    static char word[128 * 1024 + 1], name[2 * NAME_MAX + 1], path[5 + 2 * 256 + 7];
    const char *const env[] = {"PATH=/bin", NULL};
    char *last = path + 5 + (size_t)2 * 255;

    (void)state;
    memset(word, 'x', sizeof(word) - 1);
    assert_int_equal(spawn((const char *const[]){"true", word, NULL}, env, NULL), RT_SPAWN_CANNOT_RUN);
    assert_non_null(strstr(why, strerror(E2BIG)));
    word[sizeof(word) - 2] = '\0';
    assert_int_equal(spawn((const char *const[]){"true", word, NULL}, env, NULL), 0);
    assert_int_equal(finish(), 0);
    memset(name, 'n', sizeof(name) - 1);
    assert_int_equal(spawn((const char *const[]){name, NULL}, env, NULL), RT_SPAWN_CANNOT_RUN);
    (void)snprintf(path, sizeof(path), "PATH=");
    for (size_t i = 0; i < 255; i++) {
        (void)snprintf(path + 5 + 2 * i, 3, "/:");
    }
    (void)snprintf(last, sizeof(path) - (size_t)(last - path), "/bin"); /* the last that is looked through */
    assert_int_equal(spawn((const char *const[]){"true", NULL}, (const char *const[]){path, NULL}, NULL), 0);
    assert_int_equal(finish(), 0);
    (void)snprintf(last, sizeof(path) - (size_t)(last - path), "/:/bin");
    assert_int_equal(spawn((const char *const[]){"true", NULL}, (const char *const[]){path, NULL}, NULL),
                     RT_SPAWN_NOT_FOUND);
}

static void test_session_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(
        spawn((const char *const[]){"sh", "-c", "readlink /proc/$$/fd/0", NULL}, (const char *const[]){NULL}, NULL), 0);
    assert_int_equal(getsid(child.pid), child.pid);
    assert_int_equal(finish(), 0);
    assert_non_null(strstr(output, "/dev/null"));
}

static void test_pipe_ends(void **state)
{
    struct rt_spawn_spec spec = {
        .argv = (const char *const[]){"cat", NULL}, .env = (const char *const[]){NULL}, .in = true};

    (void)state;
    assert_int_equal(rt_spawn(&spec, &child, why), 0);
    assert_int_equal(fcntl(child.in, F_GETPIPE_SZ), fcntl(child.out, F_GETPIPE_SZ));
    assert_int_equal(write(child.in, "abc", 3), 3);
    close(child.in);
    child.in = -1;
    assert_int_equal(finish(), 0);
    assert_string_equal(output, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_leave_nothing),    cmocka_unit_test(test_path_of_its_own_environment),
        cmocka_unit_test(test_path_goes_on_after_eacces), cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_session_of_its_own),        cmocka_unit_test(test_pipe_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
