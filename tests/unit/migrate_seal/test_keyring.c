/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/keyring.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEX_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX_B "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100"

struct folder {
    char path[64];
    char file[96];
};

static int setup(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));

    if (folder == NULL) {
        return -1;
    }
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/retether-keyring-XXXXXX");
    if (mkdtemp(folder->path) == NULL) {
        free(folder);
        return -1;
    }
    (void)snprintf(folder->file, sizeof(folder->file), "%s/ring", folder->path);
    *state = folder;
    return 0;
}

/* Runs after a failed test, too. */
static int teardown(void **state)
{
    struct folder *folder = *state;

    (void)unlink(folder->file);
    (void)rmdir(folder->file);
    (void)rmdir(folder->path);
    free(folder);
    return 0;
}

static void put_file(const struct folder *folder, const char *text, size_t size, mode_t mode)
{
    int fd = open(folder->file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void test_load(void **state)
{
    struct folder *folder = *state;
    static const char text[] = "# ours\n\n  key 2 " HEX_B " active # newer\r\n\tkey\t1  " HEX_A;
    struct rt_keyring ring;

    rt_keyring_init(&ring);
    put_file(folder, text, sizeof(text) - 1, 0600);
    assert_int_equal(rt_keyring_load(&ring, folder->file), 0);
    assert_int_equal(ring.n_keys, 2);
    assert_int_equal(ring.active, 2);
    assert_int_equal(rt_keyring_find(&ring, 1)[1], 0x11);
    assert_int_equal(rt_keyring_find(&ring, 2)[1], 0xee);
    assert_null(rt_keyring_find(&ring, 3));
    put_file(folder, text, sizeof(text) - 1, 0400);
    assert_int_equal(rt_keyring_load(&ring, folder->file), 0);
    rt_keyring_close(&ring);
    assert_int_equal(ring.active, 0);
    assert_null(rt_keyring_find(&ring, 0));
}

/* Each bit of group and others. */
static void test_load_refuses_modes(void **state)
{
    struct folder *folder = *state;
    struct rt_keyring ring;

    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        rt_keyring_init(&ring);
        put_file(folder, "key 1 " HEX_A "\n", 71, 0600 | bit);
        assert_int_equal(rt_keyring_load(&ring, folder->file), RT_EAUTH);
        assert_non_null(strstr(ring.why, folder->file));
        assert_non_null(strstr(ring.why, "chmod 600"));
        assert_int_equal(ring.n_keys, 0);
    }
}

static void test_load_refuses_texts(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no key"},
        {"# key 1 " HEX_A "\n", "no key"},
        {"\n\nkeys 1 " HEX_A, "line 3: expected"},
        {"key 1", "expected"},
        {"key", "expected"},
        {"key 1 " HEX_A " more", "expected"},
        {"key 1 " HEX_A " active more", "expected"},
        {"key 1 active", "64 hex"},
        {"key 1 " HEX_A " active\nkey 2 " HEX_B " active", "line 2: another key is marked"},
        {"key 1 " HEX_A "\nkey 2 " HEX_B, "which of its keys seals"},
        {"key 0 " HEX_A, "id"},
        {"key x1 " HEX_A, "id"},
        {"key 1x " HEX_A, "id"},
        {"key -1 " HEX_A, "id"},
        {"key 4294967296 " HEX_A, "id"},
        {"key 99999999999999999999999 " HEX_A, "id"},
        {"key 1 " HEX_A "0", "64 hex"},
        {"key 1 " HEX_A "00", "64 hex"},
        {"key 1 0", "64 hex"},
        {"key 1 g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "64 hex"},
        {"key 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeef/", "64 hex"},
        {"key 1 " HEX_A "\nkey 1 " HEX_B, "line 2: a key of this id"},
    };
    struct folder *folder = *state;
    struct rt_keyring ring;

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        uint8_t secret[RT_SECRET_SIZE] = {9};
        rt_keyring_init(&ring);
        assert_int_equal(rt_keyring_add(&ring, 8, secret), 0);
        put_file(folder, bad[i].text, strlen(bad[i].text), 0600);
        assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ECONFIG);
        if (strstr(ring.why, bad[i].why) == NULL) {
            fail_msg("row %zu: %s", i, ring.why);
        }
        assert_null(strstr(ring.why, "112233")); /* no secret in a message */
        assert_int_equal(ring.active, 8);
    }
    put_file(folder, "key 1 " HEX_A "\n\0", 72, 0600);
    assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ECONFIG);
    assert_non_null(strstr(ring.why, "text file"));
}

static void test_load_bounds(void **state)
{
    struct folder *folder = *state;
    struct rt_keyring ring;
    char text[RT_KEYRING_FILE_MAX + 1];
    size_t at = 0;

    rt_keyring_init(&ring);
    for (int i = 1; i <= RT_KEYRING_MAX; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at, "key %d " HEX_A "%s\n", i, i == 7 ? " active" : "");
    }
    memset(text + at, '\n', sizeof(text) - at);
    put_file(folder, text, RT_KEYRING_FILE_MAX, 0600);
    assert_int_equal(rt_keyring_load(&ring, folder->file), 0);
    assert_int_equal(ring.n_keys, RT_KEYRING_MAX);
    assert_int_equal(ring.active, 7);
    put_file(folder, text, RT_KEYRING_FILE_MAX + 1, 0600);
    assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ECONFIG);
    assert_non_null(strstr(ring.why, "longer"));
    at += (size_t)snprintf(text + at, sizeof(text) - at, "key 99 " HEX_A "\n");
    put_file(folder, text, at, 0600);
    assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ECONFIG);
    assert_non_null(strstr(ring.why, "too many"));
}

static void test_load_of_no_file(void **state)
{
    struct folder *folder = *state;
    struct rt_keyring ring;

    rt_keyring_init(&ring);
    assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ENOTFOUND);
    assert_non_null(strstr(ring.why, folder->file));
    assert_int_equal(mkdir(folder->file, 0700), 0);
    assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ECONFIG);
    assert_int_equal(rmdir(folder->file), 0);
    assert_int_equal(mkfifo(folder->file, 0600), 0);
    assert_int_equal(rt_keyring_load(&ring, folder->file), RT_ECONFIG);
}

static unsigned files_in(const struct folder *folder)
{
    DIR *dir = opendir(folder->path);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        n += entry->d_name[0] != '.';
    }
    (void)closedir(dir);
    return n;
}

static void test_create(void **state)
{
    struct folder *folder = *state;
    struct rt_keyring ring, again;
    struct stat st;
    mode_t mask = umask(0);

    rt_keyring_init(&ring);
    rt_keyring_init(&again);
    assert_int_equal(rt_keyring_create(&ring, folder->file), 0);
    (void)umask(mask);
    assert_int_equal(stat(folder->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(files_in(folder), 1);
    assert_int_equal(ring.active, 1);
    assert_int_equal(rt_keyring_load(&again, folder->file), 0);
    assert_memory_equal(rt_keyring_find(&again, 1), rt_keyring_find(&ring, 1), RT_SECRET_SIZE);

    /* What is there stays. */
    assert_int_equal(rt_keyring_create(&again, folder->file), RT_EEXIST);
    assert_int_equal(rt_keyring_load(&again, folder->file), 0);
    assert_memory_equal(rt_keyring_find(&again, 1), rt_keyring_find(&ring, 1), RT_SECRET_SIZE);
    assert_int_equal(files_in(folder), 1);

    assert_int_equal(unlink(folder->file), 0);
    assert_int_equal(rt_keyring_create(&again, folder->file), 0);
    assert_memory_not_equal(rt_keyring_find(&again, 1), rt_keyring_find(&ring, 1), RT_SECRET_SIZE);
}

static void test_create_where_it_cannot(void **state)
{
    struct folder *folder = *state;
    struct rt_keyring ring;
    char path[5000];

    rt_keyring_init(&ring);
    (void)snprintf(path, sizeof(path), "%s/none/ring", folder->path);
    assert_int_equal(rt_keyring_create(&ring, path), RT_ENOTFOUND);
    assert_non_null(strstr(ring.why, "create"));
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(rt_keyring_create(&ring, path), RT_EIO);
    assert_int_equal(ring.n_keys, 0);
}

static void test_add(void **state)
{
    uint8_t secret[RT_SECRET_SIZE] = {1};
    struct rt_keyring ring;

    (void)state;
    rt_keyring_init(&ring);
    assert_int_equal(rt_keyring_add(&ring, 0, secret), RT_EINVAL);
    for (uint32_t id = RT_KEYRING_MAX; id > 0; id--) {
        assert_int_equal(rt_keyring_add(&ring, id, secret), 0);
        assert_int_equal(rt_keyring_add(&ring, id, secret), RT_EEXIST);
    }
    assert_int_equal(rt_keyring_add(&ring, 99, secret), RT_ELIMIT);
    assert_int_equal(ring.active, RT_KEYRING_MAX); /* the first */
    assert_int_equal(rt_keyring_activate(&ring, 3), 0);
    assert_int_equal(ring.active, 3);
    assert_int_equal(rt_keyring_activate(&ring, 99), RT_ENOTFOUND);
    assert_int_equal(ring.active, 3);
}

/* Keys come and go in the file, which keeps its mode and is never there by half. */
static void test_grow_and_remove(void **state)
{
    struct folder *folder = *state;
    struct rt_keyring ring, again;
    uint8_t secret[RT_SECRET_SIZE];
    struct stat st;
    uint32_t id;

    rt_keyring_init(&ring);
    rt_keyring_init(&again);
    assert_int_equal(rt_keyring_create(&ring, folder->file), 0);
    memcpy(secret, rt_keyring_find(&ring, 1), sizeof(secret));
    assert_int_equal(chmod(folder->file, 0400), 0);
    for (uint32_t i = 2; i <= RT_KEYRING_MAX; i++) {
        assert_int_equal(rt_keyring_grow(&ring, &id), 0);
        assert_int_equal(id, i);
    }
    assert_int_equal(rt_keyring_grow(&ring, &id), RT_ELIMIT);
    assert_int_equal(rt_keyring_save(&ring, folder->file), 0);
    assert_int_equal(stat(folder->file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(files_in(folder), 1);
    assert_int_equal(rt_keyring_load(&again, folder->file), 0);
    assert_int_equal(again.n_keys, RT_KEYRING_MAX);
    assert_int_equal(again.active, 1);
    assert_memory_equal(rt_keyring_find(&again, 1), secret, sizeof(secret));
    assert_memory_equal(rt_keyring_find(&again, RT_KEYRING_MAX), rt_keyring_find(&ring, RT_KEYRING_MAX),
                        RT_SECRET_SIZE);

    assert_int_equal(rt_keyring_remove(&again, 1), RT_ESTATE);
    assert_int_equal(rt_keyring_remove(&again, 99), RT_ENOTFOUND);
    assert_int_equal(rt_keyring_activate(&again, 3), 0);
    assert_int_equal(rt_keyring_remove(&again, 1), 0);
    assert_int_equal(rt_keyring_remove(&again, RT_KEYRING_MAX), 0);
    assert_int_equal(rt_keyring_save(&again, folder->file), 0);
    assert_int_equal(rt_keyring_load(&ring, folder->file), 0);
    assert_int_equal(ring.n_keys, RT_KEYRING_MAX - 2);
    assert_int_equal(ring.active, 3);
    assert_null(rt_keyring_find(&ring, 1));
    assert_null(rt_keyring_find(&ring, RT_KEYRING_MAX));

    rt_keyring_init(&ring);
    assert_int_equal(rt_keyring_add(&ring, UINT32_MAX, secret), 0);
    assert_int_equal(rt_keyring_grow(&ring, &id), RT_ELIMIT);
    assert_int_equal(rt_keyring_save(&ring, "/nowhere/ring"), RT_ENOTFOUND);
    assert_non_null(strstr(ring.why, "key ring /nowhere/ring: write: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_refuses_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_refuses_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_load_of_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grow_and_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_where_it_cannot, setup, teardown),
        cmocka_unit_test(test_add),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
