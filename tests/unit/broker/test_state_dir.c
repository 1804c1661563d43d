/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "broker/core/revoked.h"
#include "tests/lib/redis.h"
#include "tests/unit/broker/shell_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The state directory: made, locked, found again, and what stands in it that should not. */

static struct rt_shell other;

/* As much of a shell as the state directory needs. */
static void begin(struct rt_shell *one)
{
    memset(one, 0, sizeof(*one));
    one->settings = fx_settings;
    one->lock_fd = -1;
    rt_log_init(&one->log, STDERR_FILENO, RT_LOG_ERROR, RT_LOG_TEXT);
    rt_keyring_init(&one->ring);
    assert_int_equal(uv_loop_init(&one->loop), 0);
}

static void end(struct rt_shell *one)
{
    if (one->lock_fd >= 0) {
        assert_int_equal(close(one->lock_fd), 0);
    }
    rt_keyring_close(&one->ring);
    assert_int_equal(uv_loop_close(&one->loop), 0);
}

/* Opens the directory once and closes it; returns what it said. */
static int open_once(struct rt_id *instance)
{
    int rc;

    begin(&shell);
    rc = rt_shell_open_state(&shell);
    if (instance != NULL) {
        *instance = shell.instance;
    }
    end(&shell);
    return rc;
}

static void assert_mode(const char *name, unsigned mode)
{
    struct stat info;

    assert_int_equal(stat(fx_path(name), &info), 0);
    assert_int_equal(info.st_mode & 0777, mode);
}

static void test_made_and_found_again(void **state)
{
    static const struct rt_id none;
    struct rt_id first, second;

    (void)state;
    assert_int_equal(open_once(&first), 0);
    assert_false(rt_id_equal(&first, &none));
    assert_mode("state", 0700);
    assert_mode("state/lock", 0600);
    assert_mode("state/instance", 0600);
    assert_mode("keys", 0600);
    assert_int_equal(open_once(&second), 0);
    assert_true(rt_id_equal(&first, &second));
}

static void test_locked(void **state)
{
    struct rt_id first;

    (void)state;
    begin(&other);
    assert_int_equal(rt_shell_open_state(&other), 0);
    first = other.instance;
    assert_int_equal(open_once(NULL), RT_EIO);
    assert_int_equal(open_once(NULL), RT_EIO); /* the refused one has not taken the lock along */
    end(&other);
    assert_int_equal(open_once(&other.instance), 0);
    assert_true(rt_id_equal(&first, &other.instance));
}

static void test_no_directory(void **state)
{
    (void)state;
    fx_write("state", "x", 1, 0600); /* a file */
    assert_int_equal(open_once(NULL), RT_EIO);
    (void)snprintf(fx_settings.state_dir, sizeof(fx_settings.state_dir), "%s/state/below", fx_dir);
    assert_int_equal(open_once(NULL), RT_EIO);
    (void)snprintf(fx_settings.state_dir, sizeof(fx_settings.state_dir), "%s/no/such", fx_dir);
    assert_int_equal(open_once(NULL), RT_EIO);
    assert_int_equal(access(fx_path("keys"), F_OK), -1); /* nothing is made before the lock is held */
}

static void test_unreadable_files(void **state)
{
    static const char *const names[] = {"state/lock", "state/instance"};

    (void)state;
    assert_int_equal(open_once(NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(unlink(fx_path(names[i])), 0);
        assert_int_equal(mkdir(fx_path(names[i]), 0700), 0);
        assert_int_equal(open_once(NULL), RT_EIO);
        assert_int_equal(rmdir(fx_path(names[i])), 0);
        assert_int_equal(open_once(NULL), 0);
    }
}

/* An identity that was cut short is made anew, and stays then; of a longer one the first bytes count. */
static void test_garbled_identity(void **state)
{
    static const struct rt_id none;
    struct rt_id first, second;

    (void)state;
    assert_int_equal(mkdir(fx_path("state"), 0700), 0);
    for (size_t size = 0; size < RT_ID_SIZE; size += 5) {
        fx_write("state/instance", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", size, 0600);
        assert_int_equal(open_once(&first), 0);
        assert_false(rt_id_equal(&first, &none));
        assert_int_equal(open_once(&second), 0);
        assert_true(rt_id_equal(&first, &second));
    }
    fx_write("state/instance", "0123456789abcdefXYZ", 19, 0600);
    assert_int_equal(open_once(&first), 0);
    assert_memory_equal(first.b, "0123456789abcdef", RT_ID_SIZE);
}

static void test_bad_keys(void **state)
{
    (void)state;
    fx_write("keys", "key 1 abc\n", 10, 0600);
    assert_int_equal(open_once(NULL), RT_EIO);
    fx_write("keys", "", 0, 0600);
    assert_int_equal(open_once(NULL), RT_EIO);
    fx_write("keys", "\0\1\2", 3, 0600);
    assert_int_equal(open_once(NULL), RT_EIO);
    assert_int_equal(unlink(fx_path("keys")), 0);
    assert_int_equal(open_once(NULL), 0);
    assert_int_equal(chmod(fx_path("keys"), 0640), 0); /* a secret that others may read is none */
    assert_int_equal(open_once(NULL), RT_EIO);
    assert_int_equal(unlink(fx_path("keys")), 0);
    assert_int_equal(mkdir(fx_path("keys"), 0700), 0);
    assert_int_equal(open_once(NULL), RT_EIO);
    (void)snprintf(fx_settings.keys, sizeof(fx_settings.keys), "%s/no/such/keys", fx_dir);
    assert_int_equal(open_once(NULL), RT_EIO);
}

/* Ends on disk: garbage is told and left alone; a directory that is none stops the start. */
static void test_garbage_among_ends(void **state)
{
    char junk[3000];

    (void)state;
    memset(junk, 'j', sizeof(junk));
    begin(&shell);
    assert_int_equal(rt_shell_open_state(&shell), 0);
    fx_write("state/ends", "x", 1, 0600);
    assert_int_equal(rt_shell_open_ends(&shell), RT_EIO);
    assert_int_equal(unlink(fx_path("state/ends")), 0);
    assert_int_equal(mkdir(fx_path("state/ends"), 0700), 0);
    fx_write("state/ends/t+box+1", junk, sizeof(junk), 0600);
    fx_write("state/ends/t+box+2", "", 0, 0600);
    fx_write("state/ends/t+box+3", "rt-end1", 8, 0600);
    fx_write("state/ends/t+box+4.tmp", junk, 100, 0600);
    assert_int_equal(mkdir(fx_path("state/ends/t+box+5"), 0700), 0);
    assert_int_equal(symlink("/dev/zero", fx_path("state/ends/t+box+6")), 0);
    assert_int_equal(rt_shell_open_ends(&shell), 0);
    assert_int_equal(access(fx_path("state/ends/t+box+1"), F_OK), 0);
    assert_int_equal(access(fx_path("state/ends/t+box+4.tmp"), F_OK), -1);
    end(&shell);
}

static struct rt_store_op end_op(uint64_t life)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .life = life, .epoch = 1};

    (void)snprintf(op.key.tenant, sizeof(op.key.tenant), "t");
    (void)snprintf(op.key.cid, sizeof(op.key.cid), "box");
    op.tail[0] = (struct rt_slice){(const uint8_t *)"hi", 2};
    return op;
}

static bool disk_is_idle(void *ctx)
{
    (void)ctx;
    return rt_disk_idle(&shell.disk);
}

static bool has_end(uint64_t life)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "state/ends/t+box+%llu", (unsigned long long)life);
    return access(fx_path(name), F_OK) == 0;
}

static void keep(const struct rt_store_op *op)
{
    assert_int_equal(rt_shell_keep_end(&shell, 1, op), 0);
    fx_until(disk_is_idle, NULL);
}

static void test_ends_kept(void **state)
{
    struct rt_store_op op;

    (void)state;
    fx_settings.log_level = RT_LOG_ERROR;
    fx_start();
    for (uint64_t life = 1; life <= fx_settings.max_ends + 1; life++) {
        op = end_op(life);
        keep(&op);
        assert_int_equal(has_end(life), life <= fx_settings.max_ends); /* one too many */
    }
    rt_shell_drop_end(&shell, &op.key, 98); /* none of that life */
    rt_shell_drop_end(&shell, &op.key, 1);
    keep(&op);
    assert_false(has_end(1));
    assert_true(has_end(fx_settings.max_ends + 1));
    fx_stop(0);
}

static bool all_is_idle(void *ctx)
{
    (void)ctx;
    return rt_shell_disk_idle(&shell);
}

static bool has_revoked(const char *name)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "state/revoked/%s", name);
    return access(fx_path(path), F_OK) == 0;
}

static void heard(uint64_t life)
{
    struct rt_store_news news;

    memset(&news, 0, sizeof(news));
    news.kind = RT_STORE_REVOKED;
    news.key = end_op(1).key;
    news.life = life;
    rt_agent_store_news(shell.agent, &news, rt_shell_now(&shell));
}

/* What is revoked outlives the agent: one file each, a newer one in its place. One that cannot be read is told, and
 * left alone. */
static void test_revoked_kept(void **state)
{
    struct rt_key key = end_op(1).key;

    (void)state;
    fx_start();
    heard(7);
    heard(9);
    fx_until(all_is_idle, NULL);
    assert_true(has_revoked("t+box+9"));
    assert_false(has_revoked("t+box+7"));
    fx_stop(0);
    fx_write("state/revoked/t+bad+1", "x", 1, 0600);
    fx_start();
    assert_int_equal(rt_ag_revoked(shell.agent, &key), 9);
    assert_int_equal(shell.revoked.n, 2);
    rt_shell_drop_revoked(&shell, &key, 9);
    fx_until(all_is_idle, NULL);
    assert_false(has_revoked("t+box+9"));
    fx_stop(0);
    assert_int_equal(unlink(fx_path("state/revoked/t+bad+1")), 0);
    assert_int_equal(rmdir(fx_path("state/revoked")), 0);
    fx_write("state/revoked", "", 0, 0600);
    fx_refused();
}

static int full_keep(struct rt_ends *ends, const struct rt_store_op *end)
{
    (void)end;
    (void)snprintf(ends->why, sizeof(ends->why), "the disk is full");
    return RT_EIO;
}

static void no_drop(struct rt_ends *ends, const struct rt_key *key, uint64_t life)
{
    (void)ends;
    (void)key;
    (void)life;
}

static bool is_written(void *ctx)
{
    return has_revoked(ctx) && rt_shell_disk_idle(&shell);
}

/* The older file is there until the newer one is, which is tried until it is written. Where an agent ends between the
 * two, the next one removes the older. */
static void test_revoked_not_lost(void **state)
{
    struct rt_key key = end_op(1).key;
    char newest[] = "t+box+12";

    (void)state;
    fx_start();
    heard(7);
    fx_until(all_is_idle, NULL);
    shell.revoked_disk.keep = full_keep;
    heard(9);
    fx_until(all_is_idle, NULL);
    assert_true(has_revoked("t+box+7"));
    assert_true(shell.revoked_fails);
    heard(12);
    fx_until(all_is_idle, NULL);
    assert_true(has_revoked("t+box+7"));
    shell.revoked_disk.keep = rt_ends_keep;
    shell.revoked_disk.drop = no_drop;
    fx_until(is_written, newest);
    assert_false(shell.revoked_fails);
    assert_false(has_revoked("t+box+9"));
    assert_true(has_revoked("t+box+7"));
    fx_stop(0);
    fx_start();
    assert_int_equal(rt_ag_revoked(shell.agent, &key), 12);
    assert_true(has_revoked("t+box+12"));
    assert_false(has_revoked("t+box+7"));
    assert_int_equal(shell.revoked.n, 1);
    fx_stop(0);
}

static uv_sem_t disk_may; /* each time it is posted, the disk does one thing */

static int stuck_keep(struct rt_ends *ends, const struct rt_store_op *end)
{
    uv_sem_wait(&disk_may);
    return rt_ends_keep(ends, end);
}

static bool has_closed(void *ctx)
{
    (void)ctx;
    return shell.phase == RT_SHELL_CLOSING || uv_loop_alive(&shell.loop) == 0;
}

/* A disk that hangs holds nobody up; a stop waits for it. */
static void test_disk_hangs(void **state)
{
    static struct fx_peer client;
    struct rt_store_op op = end_op(1);

    (void)state;
    assert_int_equal(uv_sem_init(&disk_may, 0), 0);
    fx_start();
    shell.disk.keep = stuck_keep;
    assert_int_equal(rt_shell_keep_end(&shell, 1, &op), 0);
    fx_client_up(&client);
    fx_assert_alive(&client);
    assert_false(rt_disk_idle(&shell.disk));
    assert_false(has_end(1));
    fx_close(&client);
    rt_shell_stop(&shell, 0);
    fx_until(has_closed, NULL); /* it has had RT_SHELL_STOP_MS */
    assert_true(uv_loop_alive(&shell.loop) != 0);
    uv_sem_post(&disk_may);
    fx_stop(0);
    assert_true(has_end(1));
    uv_sem_destroy(&disk_may);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fx_setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_made_and_found_again), WITH_DIR(test_locked),           WITH_DIR(test_no_directory),
        WITH_DIR(test_unreadable_files),     WITH_DIR(test_garbled_identity), WITH_DIR(test_bad_keys),
        WITH_DIR(test_garbage_among_ends),   WITH_DIR(test_ends_kept),        WITH_DIR(test_revoked_kept),
        WITH_DIR(test_revoked_not_lost),     WITH_DIR(test_disk_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
