/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/ends.h"

#include "session/core/frame.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SEEN_MAX 8

static struct rt_ends ends;
static char base[64], dir[80];
static uint8_t tail[RT_TAIL_MAX];

static struct {
    size_t n, n_bad;
    struct rt_store_op op[SEEN_MAX];
    uint8_t last_tail[2][RT_TAIL_MAX];
    uint8_t last_order[RT_ORDER_PACKED_MAX];
} seen;

static void each_cb(void *ctx, const struct rt_store_op *end)
{
    assert_ptr_equal(ctx, &seen);
    assert_true(seen.n < SEEN_MAX);
    seen.op[seen.n++] = *end;
    for (size_t i = 0; i < 2; i++) {
        if (end->tail[i].size > 0) {
            memcpy(seen.last_tail[i], end->tail[i].data, end->tail[i].size);
        }
    }
    if (end->end.ord.size > 0) {
        memcpy(seen.last_order, end->end.ord.data, end->end.ord.size);
    }
}

static void bad_cb(void *ctx, const char *path, const char *why)
{
    assert_ptr_equal(ctx, &seen);
    assert_non_null(strstr(path, dir));
    assert_true(why[0] != '\0');
    seen.n_bad++;
}

static int reopen(size_t max)
{
    memset(&seen, 0, sizeof(seen));
    return rt_ends_open(&ends, dir, max, each_cb, bad_cb, &seen);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof(base), "/tmp/rt-ends-XXXXXX");
    if (mkdtemp(base) == NULL) {
        return -1;
    }
    (void)snprintf(dir, sizeof(dir), "%s/ends", base);
    for (size_t i = 0; i < sizeof(tail); i++) {
        tail[i] = (uint8_t)(i * 7);
    }
    return reopen(4);
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command); /* NOLINT(cert-env33-c) */
}

static struct rt_store_op end_of(const char *tenant, const char *cid, uint64_t life)
{
    struct rt_store_op op;

    memset(&op, 0, sizeof(op)); /* padding too: claims are compared as bytes */
    op.kind = RT_STORE_END;
    op.life = life;
    op.epoch = 9;
    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "%s", tenant);
    (void)snprintf(op.key.cid, sizeof(op.key.cid), "%s", cid);
    op.end = (struct rt_end_msg){.code = 3, .sig = 0, .out = 70000, .err = 5, .ord = {tail, sizeof(seen.last_order)}};
    op.tail[0] = (struct rt_slice){tail, sizeof(tail)};
    op.tail[1] = (struct rt_slice){tail + 1, 5};
    op.claim.key = op.key;
    op.claim.join = true;
    op.claim.life = 11;
    op.claim.epoch = 12;
    op.claim.granted_life = life;
    op.claim.n_ancestors = RT_ANCESTORS_MAX;
    memset(&op.claim.inc, 1, sizeof(op.claim.inc));
    memset(&op.claim.nonce, 2, sizeof(op.claim.nonce));
    memset(&op.claim.ticket, 3, sizeof(op.claim.ticket));
    memset(&op.claim.next, 4, sizeof(op.claim.next));
    memset(op.claim.ancestors, 5, sizeof(op.claim.ancestors));
    memset(op.claim.host, 'h', RT_HOST_MAX);
    (void)snprintf(op.claim.proof, sizeof(op.claim.proof), "cid:3");
    (void)snprintf(op.claim.dead_host, sizeof(op.claim.dead_host), "gone");
    return op;
}

static void test_kept_and_dropped(void **state)
{
    struct rt_store_op op = end_of("local", "web_1", 4);
    struct stat info;
    char path[160];

    (void)state;
    assert_int_equal(rt_ends_keep(&ends, &op), 0);
    (void)snprintf(path, sizeof(path), "%s/local+web_1+4", dir);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(reopen(4), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(ends.n, 1);
    assert_string_equal(seen.op[0].key.tenant, "local");
    assert_string_equal(seen.op[0].key.cid, "web_1");
    assert_int_equal(seen.op[0].kind, RT_STORE_END);
    assert_int_equal(seen.op[0].life, 4);
    assert_int_equal(seen.op[0].epoch, 9);
    assert_int_equal(seen.op[0].end.code, 3);
    assert_int_equal(seen.op[0].end.out, 70000);
    assert_int_equal(seen.op[0].tail[0].size, sizeof(tail));
    assert_memory_equal(seen.last_tail[0], tail, sizeof(tail));
    assert_memory_equal(seen.last_tail[1], tail + 1, 5);
    assert_int_equal(seen.op[0].end.ord.size, sizeof(seen.last_order));
    assert_memory_equal(seen.last_order, tail, sizeof(seen.last_order));
    assert_memory_equal(&seen.op[0].claim, &op.claim, sizeof(op.claim));
    rt_ends_drop(&ends, &op.key, 5);
    assert_int_equal(ends.n, 1);
    rt_ends_drop(&ends, &op.key, 4);
    assert_int_equal(ends.n, 0);
    assert_int_equal(stat(path, &info), -1);
}

static void test_bounds(void **state)
{
    struct rt_store_op op;

    (void)state;
    for (uint64_t life = 1; life <= 4; life++) {
        op = end_of("local", "c", life);
        assert_int_equal(rt_ends_keep(&ends, &op), 0);
    }
    assert_int_equal(rt_ends_keep(&ends, &op), 0); /* again: replaced */
    assert_int_equal(ends.n, 4);
    op = end_of("local", "c", 5);
    assert_int_equal(rt_ends_keep(&ends, &op), RT_ELIMIT);
    op = end_of("../x", "c", 1);
    assert_int_equal(rt_ends_keep(&ends, &op), RT_EINVAL);
    op = end_of("a+b", "c", 1);
    assert_int_equal(rt_ends_keep(&ends, &op), RT_EINVAL);
    rt_ends_drop(&ends, &op.key, 1); /* refused above, so nothing to drop */
    op = end_of("local", "c", 1);
    rt_ends_drop(&ends, &op.key, 1);
    op = end_of("local", "c", 6);
    op.tail[1].size = RT_TAIL_MAX + 1;
    assert_int_equal(rt_ends_keep(&ends, &op), RT_EINVAL);
    op = end_of("local", "c", 6);
    op.end.ord.size = RT_ORDER_PACKED_MAX + 1;
    assert_int_equal(rt_ends_keep(&ends, &op), RT_EINVAL);
    /* The longest names fit. */
    op = end_of("", "", RT_COUNTER_MAX - 1);
    memset(op.key.tenant, 't', RT_TENANT_MAX);
    memset(op.key.cid, 'c', RT_CID_MAX);
    assert_int_equal(rt_ends_keep(&ends, &op), 0);
    assert_int_equal(reopen(4), 0);
    assert_int_equal(seen.n, 4);
    assert_int_equal(seen.n_bad, 0);
}

static void write_file(const char *name, const void *data, size_t size)
{
    char path[200];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    close(fd);
}

/* The file of a small end of local/c, life 1. Returns its size. */
static size_t keep_and_read(uint8_t *out, size_t cap)
{
    struct rt_store_op op = end_of("local", "c", 1);
    char path[160];
    size_t size;
    FILE *file;

    op.tail[0].size = 10;
    op.end.ord.size = 5;
    assert_int_equal(rt_ends_keep(&ends, &op), 0);
    (void)snprintf(path, sizeof(path), "%s/local+c+1", dir);
    file = fopen(path, "re");
    assert_non_null(file);
    size = fread(out, 1, cap, file);
    (void)fclose(file);
    return size;
}

/* A file cut or changed at any byte is told as bad, and what a crash left half-written is removed. */
static void test_damage(void **state)
{
    static uint8_t good[RT_END_FILE_MAX + 8];
    char path[160];
    size_t size;

    (void)state;
    size = keep_and_read(good, sizeof(good));
    for (size_t i = 0; i < size; i++) {
        write_file("local+c+1", good, i);
        assert_int_equal(reopen(4), 0);
        assert_int_equal(seen.n, 0);
        assert_int_equal(seen.n_bad, 1);
        good[i] ^= 1;
        write_file("local+c+1", good, size);
        good[i] ^= 1;
        assert_int_equal(reopen(4), 0);
        assert_int_equal(seen.n, 0);
        assert_int_equal(seen.n_bad, 1);
    }
    write_file("local+c+1", good, sizeof(good)); /* too long */
    write_file("local+c+2.tmp", good, 100);
    assert_int_equal(reopen(4), 0);
    assert_int_equal(seen.n_bad, 1);
    (void)snprintf(path, sizeof(path), "%s/local+c+2.tmp", dir);
    assert_int_equal(access(path, F_OK), -1);
}

/* An end that no store would be asked to take is not offered: it would be for ever. */
static void test_what_no_store_takes(void **state)
{
    struct rt_store_op op[5];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        op[i] = end_of("local", "c", 1);
    }
    op[0].epoch = RT_COUNTER_MAX;
    op[1].end.code = RT_COUNTER_MAX;
    op[2].claim.life = RT_COUNTER_MAX;
    op[3].claim.granted_life = UINT64_MAX;
    (void)snprintf(op[4].claim.host, sizeof(op[4].claim.host), "two words");
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(rt_ends_keep(&ends, &op[i]), 0);
        assert_int_equal(reopen(4), 0);
        assert_int_equal(seen.n, 0);
        assert_int_equal(seen.n_bad, 1);
    }
}

/* What is no regular file, and a good one under another name, are left alone. */
static void test_foreign_entries(void **state)
{
    static uint8_t good[RT_END_FILE_MAX];
    char path[160];
    size_t size;

    (void)state;
    size = keep_and_read(good, sizeof(good));
    write_file("local+c+1.bak", good, size);
    (void)snprintf(path, sizeof(path), "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(reopen(4), 0);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.n_bad, 2);
}

static void test_no_directory(void **state)
{
    struct rt_store_op op = end_of("local", "c", 1);

    (void)state;
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(rt_ends_keep(&ends, &op), RT_EIO);
    assert_non_null(strstr(ends.why, "No such file"));
    assert_int_equal(close(open(dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
    assert_int_equal(reopen(4), RT_EIO);
    (void)unlink(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_and_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_no_store_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
