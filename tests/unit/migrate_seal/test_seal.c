/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/seal.h"

#include "session/core/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS UINT64_C(1700000000000)
/* A token's layout: version, purpose, key id, salt, sealed ticket, tag. */
enum { AT_VERSION = 0, AT_PURPOSE = 1, AT_KEY_ID = 2, AT_SALT = 6, AT_SEALED = 30, AROUND = 46 };

static const uint8_t secret_a[RT_SECRET_SIZE] = {1, 2, 3}, secret_b[RT_SECRET_SIZE] = {4, 5, 6};

static void ring_of(struct rt_keyring *ring, uint32_t id, const uint8_t *secret)
{
    rt_keyring_init(ring);
    assert_int_equal(rt_keyring_add(ring, id, secret), 0);
}

static struct rt_ticket join_token(void)
{
    return (struct rt_ticket){
        .join = true, .key = {"acme", "web-1"}, .bound_to = "vm-1", .issuer = "alpha", .expires_ms = NOW_MS};
}

static struct rt_ticket ticket(void)
{
    struct rt_ticket t = {.key = {"acme", "web-1"}, .life = 9, .epoch = 4, .issuer = "alpha", .n_ancestors = 3};

    memset(t.inc.b, 0xaa, RT_ID_SIZE);
    memset(t.id.b, 0xbb, RT_ID_SIZE);
    memset(t.ancestors, 0xcc, 3 * sizeof(*t.ancestors));
    return t;
}

static size_t sealed(const struct rt_keyring *ring, const struct rt_ticket *t, uint8_t token[RT_TOKEN_MAX])
{
    int size = rt_seal(ring, t, token, RT_TOKEN_MAX);

    assert_true(size > AROUND && size <= RT_TOKEN_MAX);
    return (size_t)size;
}

static void assert_refused(const struct rt_keyring *ring, const uint8_t *token, size_t size, int code)
{
    static const struct rt_ticket nothing;
    struct rt_ticket out;

    memset(&out, 0x5a, sizeof(out));
    assert_int_equal(rt_unseal(ring, token, size, 0, &out), code);
    assert_memory_equal(&out, &nothing, sizeof(out));
}

static void test_round_trip(void **state)
{
    struct rt_ticket in[2] = {join_token(), ticket()}, out;
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX];

    (void)state;
    ring_of(&ring, 77, secret_a);
    for (size_t i = 0; i < 2; i++) {
        size_t size = sealed(&ring, &in[i], token);
        assert_int_equal(rt_unseal(&ring, token, size, NOW_MS - 1, &out), 0);
        assert_int_equal(out.key_id, 77);
        in[i].key_id = 77;
        assert_memory_equal(&in[i], &out, sizeof(out));
    }
}

static void fill(char *text, size_t size)
{
    memset(text, 'x', size - 1);
    text[size - 1] = '\0';
}

static void test_the_largest_fits(void **state)
{
    struct rt_ticket t = ticket(), out;
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX];
    size_t size;

    (void)state;
    ring_of(&ring, 1, secret_a);
    fill(t.key.tenant, sizeof(t.key.tenant));
    fill(t.key.cid, sizeof(t.key.cid));
    fill(t.bound_to, sizeof(t.bound_to));
    fill(t.issuer, sizeof(t.issuer));
    t.n_ancestors = RT_ANCESTORS_MAX;
    size = sealed(&ring, &t, token);
    assert_int_equal(rt_unseal(&ring, token, size, 0, &out), 0);
    assert_int_equal(rt_seal(&ring, &t, token, size), (int)size);
    for (size_t cap = 0; cap < size; cap++) {
        assert_int_equal(rt_seal(&ring, &t, token, cap), RT_ELIMIT);
    }
}

/* Two tokens of one content have nothing in common that a reader could use. */
static void test_every_token_has_its_own_key(void **state)
{
    struct rt_ticket t = ticket();
    struct rt_keyring ring;
    uint8_t one[RT_TOKEN_MAX], two[RT_TOKEN_MAX];
    size_t size;

    (void)state;
    ring_of(&ring, 1, secret_a);
    size = sealed(&ring, &t, one);
    assert_int_equal(sealed(&ring, &t, two), size);
    assert_memory_not_equal(one + AT_SALT, two + AT_SALT, RT_SALT_SIZE);
    assert_memory_not_equal(one + AT_SEALED, two + AT_SEALED, size - AROUND);
    assert_memory_equal(one, two, AT_SALT);
}

/* No bit can be changed: clear header, salt, content or tag. */
static void test_every_flipped_bit_is_refused(void **state)
{
    struct rt_ticket in[2] = {join_token(), ticket()}, out;
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX];

    (void)state;
    ring_of(&ring, 1, secret_a);
    assert_int_equal(rt_keyring_add(&ring, 3, secret_b), 0);
    for (size_t i = 0; i < 2; i++) {
        size_t size = sealed(&ring, &in[i], token);
        for (size_t bit = 0; bit < size * 8; bit++) {
            size_t at = bit / 8;
            int error = RT_EAUTH;
            token[at] ^= (uint8_t)(1U << bit % 8);
            if (at == AT_VERSION || (at == AT_PURPOSE && (token[at] < 1 || token[at] > 2))) {
                error = RT_EPROTO;
            } else if (at >= AT_KEY_ID && at < AT_SALT && (at < AT_SALT - 1 || token[at] != 3)) {
                error = RT_ENOTFOUND;
            }
            assert_refused(&ring, token, size, error);
            token[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        assert_int_equal(rt_unseal(&ring, token, size, 0, &out), 0);
    }
}

static void test_every_truncation_is_refused(void **state)
{
    struct rt_ticket t = ticket();
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX + 1] = {0};
    size_t size;

    (void)state;
    ring_of(&ring, 1, secret_a);
    size = sealed(&ring, &t, token);
    for (size_t cut = 0; cut < size; cut++) {
        assert_refused(&ring, token, cut, cut <= AROUND ? RT_EPROTO : RT_EAUTH);
    }
    token[size] = 0;
    assert_refused(&ring, token, size + 1, RT_EAUTH);
    assert_refused(&ring, token, RT_TOKEN_MAX, RT_EAUTH);
    assert_refused(&ring, token, RT_TOKEN_MAX + 1, RT_EPROTO);
    assert_refused(&ring, NULL, 0, RT_EPROTO);
}

static void test_expiry(void **state)
{
    struct rt_ticket t = join_token(), out;
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX];
    size_t size;

    (void)state;
    ring_of(&ring, 1, secret_a);
    size = sealed(&ring, &t, token);
    assert_int_equal(rt_unseal(&ring, token, size, NOW_MS - 1, &out), 0);
    assert_int_equal(rt_unseal(&ring, token, size, NOW_MS, &out), RT_EEXPIRED);
    assert_int_equal(rt_unseal(&ring, token, size, UINT64_MAX, &out), RT_EEXPIRED);
    assert_string_equal(out.key.cid, "web-1");
    t.expires_ms = 0;
    size = sealed(&ring, &t, token);
    assert_int_equal(rt_unseal(&ring, token, size, UINT64_MAX, &out), 0);
}

/* A join token never opens as a ticket, nor the other way. */
static void test_wrong_purpose(void **state)
{
    struct rt_ticket in[2] = {join_token(), ticket()};
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX];

    (void)state;
    ring_of(&ring, 1, secret_a);
    for (size_t i = 0; i < 2; i++) {
        size_t size = sealed(&ring, &in[i], token);
        token[AT_PURPOSE] = (uint8_t)(3 - token[AT_PURPOSE]);
        assert_refused(&ring, token, size, RT_EAUTH);
    }
}

static void test_wrong_ring_and_unknown_key(void **state)
{
    struct rt_ticket t = ticket();
    struct rt_keyring ring, other, empty;
    uint8_t token[RT_TOKEN_MAX];
    size_t size;

    (void)state;
    ring_of(&ring, 1, secret_a);
    ring_of(&other, 1, secret_b);
    rt_keyring_init(&empty);
    size = sealed(&ring, &t, token);
    assert_refused(&other, token, size, RT_EAUTH);
    assert_refused(&empty, token, size, RT_ENOTFOUND);
    token[AT_KEY_ID + 3] = 9;
    assert_refused(&ring, token, size, RT_ENOTFOUND);
    assert_int_equal(rt_seal(&empty, &t, token, sizeof(token)), RT_ESTATE);
}

/* Sealed under the ring, but not by rt_seal(): what the header says and what the content says must agree. */
static void test_content_and_header_agree(void **state)
{
    static const struct {
        uint8_t purpose;
        uint32_t key_id;
    } lies[] = {{1, 1}, {2, 2}, {1, 2}};
    struct rt_ticket t = ticket(), out;
    struct rt_keyring ring;
    uint8_t plain[RT_TOKEN_MAX], token[RT_TOKEN_MAX];

    (void)state;
    ring_of(&ring, 1, secret_a);
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct rt_crypto_box box = {secret_a, token + AT_SALT, token, AT_SALT};
        int size;
        t.key_id = lies[i].key_id;
        size = rt_ticket_encode(&t, plain, sizeof(plain));
        memset(token, 0, sizeof(token));
        token[AT_VERSION] = 1;
        token[AT_PURPOSE] = lies[i].purpose;
        token[AT_KEY_ID + 3] = 1;
        assert_int_equal(rt_crypto_seal(&box, plain, (size_t)size, token + AT_SEALED, token + AT_SEALED + size), 0);
        assert_refused(&ring, token, (size_t)size + AROUND, RT_EPROTO);
        token[AT_PURPOSE] = 2;
        t.key_id = 1;
        size = rt_ticket_encode(&t, plain, sizeof(plain));
        assert_int_equal(rt_crypto_seal(&box, plain, (size_t)size, token + AT_SEALED, token + AT_SEALED + size), 0);
        assert_int_equal(rt_unseal(&ring, token, (size_t)size + AROUND, 0, &out), 0);
    }
}

static void test_what_cannot_be_sealed(void **state)
{
    struct rt_ticket t = ticket();
    struct rt_keyring ring;
    uint8_t token[RT_TOKEN_MAX];

    (void)state;
    ring_of(&ring, 1, secret_a);
    t.epoch = RT_COUNTER_MAX;
    assert_int_equal(rt_seal(&ring, &t, token, sizeof(token)), RT_EPROTO);
    t.epoch = 1;
    t.key.cid[0] = '\0';
    assert_int_equal(rt_seal(&ring, &t, token, sizeof(token)), RT_EPROTO);
}

/* A key that was added opens, but seals only once it is the active one; a ring without the old key does not open. */
static void test_rotation(void **state)
{
    struct rt_ticket t = ticket(), out;
    struct rt_keyring ring, later;
    uint8_t old[RT_TOKEN_MAX], new[RT_TOKEN_MAX];
    size_t old_size, new_size;

    (void)state;
    ring_of(&ring, 5, secret_a);
    old_size = sealed(&ring, &t, old);
    assert_int_equal(rt_keyring_add(&ring, 6, secret_b), 0);
    new_size = sealed(&ring, &t, new);
    assert_int_equal(rt_unseal(&ring, new, new_size, 0, &out), 0);
    assert_int_equal(out.key_id, 5);
    assert_int_equal(rt_keyring_activate(&ring, 6), 0);
    new_size = sealed(&ring, &t, new);
    assert_int_equal(rt_unseal(&ring, old, old_size, 0, &out), 0);
    assert_int_equal(out.key_id, 5);
    assert_int_equal(rt_unseal(&ring, new, new_size, 0, &out), 0);
    assert_int_equal(out.key_id, 6);
    ring_of(&later, 6, secret_b);
    assert_refused(&later, old, old_size, RT_ENOTFOUND);
    assert_int_equal(rt_unseal(&later, new, new_size, 0, &out), 0);
}

static void test_sealer(void **state)
{
    struct rt_ticket t = join_token(), out;
    struct rt_keyring ring;
    struct rt_sealer sealer = rt_keyring_sealer(&ring);
    uint8_t token[RT_TOKEN_MAX];
    int size;

    (void)state;
    ring_of(&ring, 1, secret_a);
    size = sealer.seal(sealer.ctx, &t, token, sizeof(token));
    assert_true(size > 0);
    assert_int_equal(sealer.open(sealer.ctx, token, (size_t)size, NOW_MS - 1, &out), 0);
    assert_string_equal(out.bound_to, "vm-1");
    assert_int_equal(sealer.open(sealer.ctx, token, (size_t)size, NOW_MS, &out), RT_EEXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_the_largest_fits),
        cmocka_unit_test(test_every_token_has_its_own_key),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_wrong_purpose),
        cmocka_unit_test(test_wrong_ring_and_unknown_key),
        cmocka_unit_test(test_content_and_header_agree),
        cmocka_unit_test(test_what_cannot_be_sealed),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_sealer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
