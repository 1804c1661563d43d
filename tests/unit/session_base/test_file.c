/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/rt-file-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void test_whole(void **state)
{
    char text[6];
    size_t used;
    int fd;

    (void)state;
    assert_int_equal(rt_read_file(path, text, sizeof(text), &used), RT_EIO);
    assert_int_equal(errno, ENOENT);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(rt_write_all(fd, "12345", 5), 0);
    assert_int_equal(rt_sync_folder(folder), 0);
    assert_int_equal(rt_read_file(path, text, sizeof(text), &used), 0);
    assert_int_equal(used, 5);
    assert_string_equal(text, "12345");
    assert_int_equal(rt_write_all(fd, "6", 1), 0);
    close(fd);
    assert_int_equal(rt_read_file(path, text, sizeof(text), &used), RT_ELIMIT);
    assert_int_equal(rt_read_file(folder, text, sizeof(text), &used), RT_EIO);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(rt_sync_folder(path), RT_EIO);
    assert_int_equal(rt_write_all(-1, "x", 1), EBADF);
}

/* A new one is as asked for; one over another keeps its mode, through a link too; nothing else is left behind. */
static void test_put(void **state)
{
    char text[6], other[80];
    struct stat st;
    size_t used;

    (void)state;
    (void)unlink(path);
    (void)snprintf(other, sizeof(other), "%s-link", path);
    assert_int_equal(rt_put_file(path, false, 0640, "one", 3), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(rt_put_file(path, false, 0600, "two", 3), RT_EEXIST);
    assert_int_equal(rt_read_file(path, text, sizeof(text), &used), 0);
    assert_string_equal(text, "one");
    assert_int_equal(symlink("file", other), 0);
    assert_int_equal(rt_put_file(other, true, 0600, "three", 5), 0);
    assert_int_equal(lstat(other, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(rt_read_file(path, text, sizeof(text), &used), 0);
    assert_string_equal(text, "three");
    assert_int_equal(unlink(other), 0);
    assert_int_equal(rt_put_file(other, true, 0604, "new", 3), 0);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0604);
    assert_int_equal(unlink(other), 0);
    assert_int_equal(rt_put_file("/nowhere/file", true, 0600, "x", 1), RT_EIO);
    assert_int_equal(errno, ENOENT);
}

/* Nobody writes to it: reading it has an end all the same. */
static void test_fifo(void **state)
{
    char text[6];
    size_t used;

    (void)state;
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(rt_read_file(path, text, sizeof(text), &used), 0);
    assert_int_equal(used, 0);
}

static const struct rt_file_rule rule = {.barred = S_IWGRP | S_IRWXO, .lets = "in: chmod o-rwx,g-w"};
static char ruled_why[128];

static int ruled(const char *at)
{
    static char text[6];
    size_t used = 99;
    int rc = rt_read_ruled(at, &rule, text, sizeof(text), &used, ruled_why, sizeof(ruled_why));

    assert_int_equal(used, rc == 0 ? strlen(text) : rc == RT_ECONFIG && used != 0 ? sizeof(text) : 0);
    return rc;
}

static void assert_why(const char *at, const char *what)
{
    char expected[192];

    (void)snprintf(expected, sizeof(expected), "%s: %s", at, what);
    assert_string_equal(ruled_why, expected);
}

/* What is no such file as it has to be is named with what is wrong, and a FIFO that nobody writes to holds nobody up.
 */
static void test_ruled(void **state)
{
    static const mode_t good[] = {0600, 0400, 0640, 0710}, bad[] = {0601, 0602, 0604, 0620};
    char what[64], deep[300];
    int fd;

    (void)state;
    (void)unlink(path);
    assert_int_equal(ruled(path), RT_ENOTFOUND);
    assert_why(path, "No such file or directory");
    assert_int_equal(ruled(folder), RT_ECONFIG);
    assert_why(folder, "this is not a regular file");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(ruled(path), RT_ECONFIG);
    assert_why(path, "this is not a regular file");
    assert_int_equal(unlink(path), 0);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ruled(path), 0); /* empty */
    assert_int_equal(rt_write_all(fd, "12345", 5), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(fchmod(fd, bad[i]), 0);
        assert_int_equal(ruled(path), RT_EAUTH);
        (void)snprintf(what, sizeof(what), "its mode %04o lets others in: chmod o-rwx,g-w", (unsigned)bad[i]);
        assert_why(path, what);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(fchmod(fd, good[i]), 0);
        assert_int_equal(ruled(path), 0);
    }
    assert_int_equal(rt_write_all(fd, "6", 1), 0);
    assert_int_equal(ruled(path), RT_ECONFIG);
    assert_why(path, "it is longer than 5 bytes");
    (void)close(fd);
    (void)snprintf(deep, sizeof(deep), "%0299d", 0);
    assert_int_equal(ruled(deep), RT_EIO);
    assert_non_null(strstr(ruled_why, "000: File name too long")); /* the path is cut, not the reason */
}

/* Only root can give a file away. */
static void test_trusted(void **state)
{
    static const struct rt_file_rule trusted = {.trusted = true};
    char text[16];
    size_t used;

    (void)state;
    (void)unlink(path);
    assert_int_equal(rt_put_file(path, false, 0666, "x", 1), 0);
    assert_int_equal(rt_read_ruled(path, &trusted, text, sizeof(text), &used, ruled_why, sizeof(ruled_why)), 0);
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    assert_int_equal(rt_read_ruled(path, &trusted, text, sizeof(text), &used, ruled_why, sizeof(ruled_why)), RT_EAUTH);
    assert_why(path, "it belongs to user 12345, not to this one or root");
    assert_int_equal(ruled(path), RT_EAUTH); /* for its mode */
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(ruled(path), 0); /* a rule that does not ask for it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole), cmocka_unit_test(test_put),     cmocka_unit_test(test_fifo),
        cmocka_unit_test(test_ruled), cmocka_unit_test(test_trusted),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
