/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/ticket.h"

#include "session/core/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* Longer than any chain that a ticket remembers twice over. */
#define CHAIN 40

static struct rt_id id_of(unsigned n)
{
    struct rt_id id = {{0}};

    id.b[0] = (uint8_t)(n >> 8);
    id.b[RT_ID_SIZE - 1] = (uint8_t)n;
    return id;
}

static void root(struct rt_ticket *ticket, unsigned id)
{
    struct rt_ticket join = {.join = true, .key = {"acme", "web-1"}, .bound_to = "vm-1"};
    struct rt_id first = id_of(id);

    rt_ticket_child(&join, &first, 1, ticket);
    ticket->inc = id_of(900);
    ticket->life = 77;
}

static void grow(const struct rt_ticket *parent, unsigned id, struct rt_ticket *child)
{
    struct rt_id next = id_of(id);

    rt_ticket_child(parent, &next, parent->epoch + 1, child);
}

static enum rt_relation relation(const struct rt_ticket *t, const struct rt_ticket *c)
{
    return rt_ticket_relation(&t->id, t->ancestors, t->n_ancestors, &c->id, c->ancestors, c->n_ancestors);
}

static void test_child_keeps_and_shifts(void **state)
{
    struct rt_ticket parent, child;

    (void)state;
    root(&parent, 1);
    assert_false(parent.join);
    assert_int_equal(parent.n_ancestors, 0);
    parent.expires_ms = 5;
    grow(&parent, 2, &child);
    assert_true(rt_key_equal(&parent.key, &child.key));
    assert_true(rt_id_equal(&parent.inc, &child.inc));
    assert_string_equal(child.bound_to, "vm-1");
    assert_int_equal(child.life, 77);
    assert_int_equal(child.epoch, 2);
    assert_int_equal(child.expires_ms, 0);
    assert_int_equal(child.n_ancestors, 1);
    assert_true(rt_id_equal(&child.ancestors[0], &parent.id));
}

/* The last ticket that the store had a part in stays known, however many follow it without the store. */
static void test_proven_stays(void **state)
{
    struct rt_ticket proven, ticket, next;

    (void)state;
    root(&proven, 1);
    for (unsigned i = 2; i < 20; i++) {
        grow(&proven, i, &next);
        proven = next;
    }
    ticket = proven;
    for (unsigned i = 20; i < 100; i++) {
        grow(&ticket, i, &next);
        next.unproven = ticket.unproven < RT_ANCESTORS_MAX ? ticket.unproven + 1 : RT_ANCESTORS_MAX;
        assert_int_equal(relation(&next, &ticket), RT_DESCENDS);
        assert_int_equal(relation(&next, &proven), RT_DESCENDS);
        ticket = next;
    }
    grow(&ticket, 100, &next);
    assert_int_equal(next.unproven, 0);
    assert_int_equal(relation(&next, &proven), RT_DESCENDS);
}

/* On one line, every pair that is at most RT_ANCESTORS_MAX apart is known; beyond that they read as strangers. */
static void test_relation_on_one_line(void **state)
{
    static struct rt_ticket line[CHAIN];

    (void)state;
    root(&line[0], 1);
    for (unsigned i = 1; i < CHAIN; i++) {
        grow(&line[i - 1], i + 1, &line[i]);
        assert_int_equal(line[i].n_ancestors, i < RT_ANCESTORS_MAX ? i : RT_ANCESTORS_MAX);
    }
    for (int t = 0; t < CHAIN; t++) {
        for (int c = 0; c < CHAIN; c++) {
            enum rt_relation want = RT_DIVERGES;
            if (t == c) {
                want = RT_SAME;
            } else if (t > c && t - c <= RT_ANCESTORS_MAX) {
                want = RT_DESCENDS;
            } else if (t < c && c - t <= RT_ANCESTORS_MAX) {
                want = RT_ANCESTOR;
            }
            assert_int_equal(relation(&line[t], &line[c]), want);
        }
    }
}

static void test_relation_of_branches(void **state)
{
    struct rt_ticket stem, left, right, left2, other;

    (void)state;
    root(&stem, 1);
    grow(&stem, 2, &left);
    grow(&stem, 3, &right);
    grow(&left, 4, &left2);
    root(&other, 5);
    assert_int_equal(relation(&left, &right), RT_DIVERGES);
    assert_int_equal(relation(&right, &left2), RT_DIVERGES);
    assert_int_equal(relation(&left2, &right), RT_DIVERGES);
    assert_int_equal(relation(&left2, &stem), RT_DESCENDS);
    assert_int_equal(relation(&stem, &right), RT_ANCESTOR);
    assert_int_equal(relation(&stem, &other), RT_DIVERGES);
}

static void test_ids_and_keys(void **state)
{
    struct rt_id a = id_of(1), b = id_of(1);
    struct rt_key k = {"t", "c"}, tenant = {"u", "c"}, cid = {"t", "d"};

    (void)state;
    for (size_t i = 0; i < RT_ID_SIZE; i++) {
        assert_true(rt_id_equal(&a, &b));
        b.b[i] ^= 0x80;
        assert_false(rt_id_equal(&a, &b));
        b.b[i] ^= 0x80;
    }
    assert_true(rt_key_equal(&k, &k));
    assert_false(rt_key_equal(&k, &tenant));
    assert_false(rt_key_equal(&k, &cid));
}

static void fill(char *text, size_t size, char with)
{
    memset(text, with, size - 1);
    text[size - 1] = '\0';
}

/* The largest ticket there is. */
static void largest(struct rt_ticket *ticket)
{
    memset(ticket, 0, sizeof(*ticket));
    fill(ticket->key.tenant, sizeof(ticket->key.tenant), 't');
    fill(ticket->key.cid, sizeof(ticket->key.cid), 'c');
    fill(ticket->bound_to, sizeof(ticket->bound_to), 'b');
    fill(ticket->issuer, sizeof(ticket->issuer), 'i');
    ticket->life = RT_COUNTER_MAX - 1;
    ticket->epoch = RT_COUNTER_MAX - 2;
    ticket->expires_ms = RT_COUNTER_MAX - 3;
    ticket->key_id = 0xfedcba98;
    ticket->inc = id_of(1);
    ticket->id = id_of(2);
    for (unsigned i = 0; i < RT_ANCESTORS_MAX; i++) {
        ticket->ancestors[i] = id_of(10 + i);
    }
    ticket->n_ancestors = RT_ANCESTORS_MAX;
    ticket->unproven = RT_ANCESTORS_MAX;
}

static void assert_code_keeps(const struct rt_ticket *ticket)
{
    uint8_t plain[RT_TOKEN_MAX + 1];
    struct rt_ticket back;
    int size = rt_ticket_encode(ticket, plain, RT_TOKEN_MAX);

    assert_true(size > 0);
    assert_int_equal(rt_ticket_decode(plain, (size_t)size, &back), 0);
    assert_memory_equal(ticket, &back, sizeof(back));
    for (int i = 0; i < size; i++) {
        uint8_t tight[RT_TOKEN_MAX];
        assert_int_equal(rt_ticket_encode(ticket, tight, (size_t)i), RT_ELIMIT);
        assert_int_equal(rt_ticket_decode(plain, (size_t)i, &back), RT_EPROTO);
    }
    plain[size] = 0;
    assert_int_equal(rt_ticket_decode(plain, (size_t)size + 1, &back), RT_EPROTO);
}

static void test_code_round_trip(void **state)
{
    struct rt_ticket ticket, join;

    (void)state;
    largest(&ticket);
    assert_code_keeps(&ticket);
    memset(&join, 0, sizeof(join));
    join.join = true;
    join.key.cid[0] = 'c';
    assert_code_keeps(&join);
    root(&ticket, 1);
    assert_code_keeps(&ticket);
    memset(ticket.key.tenant, 0, sizeof(ticket.key.tenant));
    assert_code_keeps(&ticket);
}

static void test_encode_refuses(void **state)
{
    uint8_t plain[RT_TOKEN_MAX];
    struct rt_ticket ticket;

    (void)state;
    largest(&ticket);
    ticket.n_ancestors = RT_ANCESTORS_MAX + 1;
    assert_int_equal(rt_ticket_encode(&ticket, plain, sizeof(plain)), RT_EPROTO);
    largest(&ticket);
    ticket.unproven = RT_ANCESTORS_MAX + 1;
    assert_int_equal(rt_ticket_encode(&ticket, plain, sizeof(plain)), RT_EPROTO);
    largest(&ticket);
    ticket.key.cid[0] = '\0';
    assert_int_equal(rt_ticket_encode(&ticket, plain, sizeof(plain)), RT_EPROTO);
    largest(&ticket);
    ticket.life = RT_COUNTER_MAX;
    assert_int_equal(rt_ticket_encode(&ticket, plain, sizeof(plain)), RT_EPROTO);
    largest(&ticket);
    ticket.issuer[RT_HOST_MAX] = 'x'; /* not terminated */
    assert_int_equal(rt_ticket_encode(&ticket, plain, sizeof(plain)), RT_EPROTO);
}

/* Offsets into the encoded form of a ticket for tenant "acme", container "web-1", bound to "vm-1", issuer "". */
enum {
    AT_KIND = 0,
    AT_EXPIRES = 5,
    AT_TENANT = 13,
    AT_LIFE = 13 + 5 + 6 + 5 + 1,
    AT_TAKEN = AT_LIFE + 8 + 8 + 32,
    AT_UNPROVEN,
    AT_COUNT
};

static void test_decode_refuses(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {
        {AT_KIND, 0},
        {AT_KIND, 3},
        {AT_KIND, 1}, /* a join token has nothing after its texts */
        {AT_EXPIRES + 1, 0x20},
        {AT_TENANT, RT_TENANT_MAX + 1},
        {AT_TENANT, 255},
        {AT_TENANT + 2, 0}, /* a NUL within a text */
        {AT_LIFE, 1},
        {AT_LIFE + 8, 1},
        {AT_TAKEN, 2},
        {AT_UNPROVEN, RT_ANCESTORS_MAX + 1},
        {AT_COUNT, RT_ANCESTORS_MAX + 1},
        {AT_COUNT, 255},
        {AT_COUNT, 0}, /* trailing bytes */
    };
    uint8_t plain[RT_TOKEN_MAX];
    struct rt_ticket ticket, child, back;
    int size;

    (void)state;
    root(&ticket, 1);
    grow(&ticket, 2, &child);
    size = rt_ticket_encode(&child, plain, sizeof(plain));
    assert_int_equal(size, AT_COUNT + 1 + RT_ID_SIZE);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        uint8_t kept = plain[bad[i].at];
        plain[bad[i].at] = bad[i].value;
        assert_int_equal(rt_ticket_decode(plain, (size_t)size, &back), RT_EPROTO);
        assert_true(back.n_ancestors <= RT_ANCESTORS_MAX);
        plain[bad[i].at] = kept;
    }
    assert_int_equal(rt_ticket_decode(plain, (size_t)size, &back), 0);
    assert_int_equal(rt_ticket_decode(NULL, 0, &back), RT_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_keeps_and_shifts), cmocka_unit_test(test_proven_stays),
        cmocka_unit_test(test_relation_on_one_line),   cmocka_unit_test(test_relation_of_branches),
        cmocka_unit_test(test_ids_and_keys),           cmocka_unit_test(test_code_round_trip),
        cmocka_unit_test(test_encode_refuses),         cmocka_unit_test(test_decode_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
