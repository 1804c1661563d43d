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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_fifo),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
