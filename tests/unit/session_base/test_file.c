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
        cmocka_unit_test(test_fifo),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
