/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/seal.h"

#include "tests/lib/alloc/allocfail.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Every allocation of sealing and opening fails in turn; all of them are OpenSSL's. What is told is a want of memory or
 * an I/O error, never that an honest token is forged, and nothing stays behind. OpenSSL's own start is not among them:
 * it is done once, before. */

#define NOW_MS UINT64_C(1700000000000)
#define ROUNDS_MAX 100000

static struct rt_keyring ring;
static const uint8_t secret[RT_SECRET_SIZE] = {1, 2, 3};

static struct rt_ticket ticket(void)
{
    struct rt_ticket t = {.key = {"acme", "web-1"}, .life = 9, .epoch = 4, .issuer = "alpha", .n_ancestors = 3};

    memset(t.inc.b, 0xaa, RT_ID_SIZE);
    memset(t.id.b, 0xbb, RT_ID_SIZE);
    return t;
}

static int begin(void **state)
{
    struct rt_ticket t = ticket(), out;
    uint8_t token[RT_TOKEN_MAX];
    int size;

    (void)state;
    rt_keyring_init(&ring);
    if (rt_keyring_add(&ring, 7, secret)) {
        return -1;
    }
    size = rt_seal(&ring, &t, token, sizeof(token));
    return size < 0 || rt_unseal(&ring, token, (size_t)size, NOW_MS, &out);
}

static int end(void **state)
{
    (void)state;
    rt_keyring_close(&ring);
    return 0;
}

static void assert_shortage(int error)
{
    assert_true(error == RT_ENOMEM || error == RT_EIO);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_seal(void **state)
{
    struct rt_ticket t = ticket(), out;
    uint8_t token[RT_TOKEN_MAX];
    size_t n, failed = 0;

    (void)state;
    for (n = 1; n < ROUNDS_MAX; n++) {
        int size;

        rt_alloc_fail_at(n);
        size = rt_seal(&ring, &t, token, sizeof(token));
        bool over = !rt_alloc_stop();
        if (size < 0) {
            assert_shortage(size);
            failed++;
        } else { /* done without what could not be had, or with a second try */
            assert_int_equal(rt_unseal(&ring, token, (size_t)size, NOW_MS, &out), 0);
            assert_memory_equal(&out.key, &t.key, sizeof(t.key));
        }
        if (over) {
            assert_true(size > 0);
            break;
        }
    }
    assert_true(failed > 4 && n < ROUNDS_MAX);
    print_message("%zu of %zu allocations\n", failed, n - 1);
}

static void test_unseal(void **state)
{
    static const struct rt_ticket nothing;
    struct rt_ticket t = ticket(), out;
    uint8_t token[RT_TOKEN_MAX];
    int size = rt_seal(&ring, &t, token, sizeof(token));
    size_t n, failed = 0;

    (void)state;
    assert_true(size > 0);
    for (n = 1; n < ROUNDS_MAX; n++) {
        int error;

        memset(&out, 0x5a, sizeof(out));
        rt_alloc_fail_at(n);
        error = rt_unseal(&ring, token, (size_t)size, NOW_MS, &out);
        bool over = !rt_alloc_stop();
        if (error) {
            assert_shortage(error);
            assert_memory_equal(&out, &nothing, sizeof(out));
            failed++;
        } else {
            assert_int_equal(out.life, t.life);
        }
        if (over) {
            assert_int_equal(error, 0);
            break;
        }
    }
    assert_true(failed > 4 && n < ROUNDS_MAX);
    print_message("%zu of %zu allocations\n", failed, n - 1);
}

/* A forged token stays forged: no shortage makes it good. */
static void test_forged(void **state)
{
    struct rt_ticket t = ticket(), out;
    uint8_t token[RT_TOKEN_MAX];
    int size = rt_seal(&ring, &t, token, sizeof(token));
    size_t n;

    (void)state;
    assert_true(size > 0);
    token[size - 1] ^= 1;
    for (n = 1; n < ROUNDS_MAX; n++) {
        int error;

        rt_alloc_fail_at(n);
        error = rt_unseal(&ring, token, (size_t)size, NOW_MS, &out);
        bool over = !rt_alloc_stop();
        assert_true(error == RT_EAUTH || error == RT_ENOMEM || error == RT_EIO);
        assert_int_equal(ERR_peek_error(), 0);
        if (over) {
            assert_int_equal(error, RT_EAUTH);
            break;
        }
    }
    assert_true(n < ROUNDS_MAX);
}

static void test_random_and_keys(void **state)
{
    char dir[] = "/tmp/rt-seal-XXXXXX", path[64];
    struct rt_keyring made;
    size_t n;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/keys", dir);
    for (n = 1; n < ROUNDS_MAX; n++) {
        int error;

        rt_keyring_init(&made);
        rt_alloc_fail_at(n);
        error = rt_keyring_create(&made, path);
        bool over = !rt_alloc_stop();
        if (error) {
            assert_shortage(error);
            assert_int_equal(made.n_keys, 0);
            assert_true(made.why[0] != '\0');
            assert_int_equal(access(path, F_OK), -1); /* whole or not at all */
        } else {
            assert_int_equal(made.n_keys, 1);
            assert_int_equal(unlink(path), 0);
        }
        rt_keyring_close(&made);
        if (over) {
            assert_int_equal(error, 0);
            break;
        }
    }
    assert_int_equal(rmdir(dir), 0);
}

static void *malloc_cb(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return size > 0 ? malloc(size) : NULL;
}

static void *realloc_cb(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(old, size);
}

static void free_cb(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal),
        cmocka_unit_test(test_unseal),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_random_and_keys),
    };

    if (CRYPTO_set_mem_functions(malloc_cb, realloc_cb, free_cb) != 1) {
        return 1;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
