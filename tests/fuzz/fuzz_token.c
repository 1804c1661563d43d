/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/token_text.h"
#include "migrate/seal/seal.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

/* Tokens as a guest or its environment gives them: the text, what is in a ticket, and the seal around it. The first
 * byte chooses. */

#define WALL_MS UINT64_C(1700000000000)

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One token has one text. */
static void check_text(const char *text, size_t size)
{
    uint8_t token[RT_TOKEN_MAX];
    char again[RT_TOKEN_TEXT_MAX];
    uint64_t ring = 0;
    size_t own = size;
    int rc = rt_token_text_ring(text, &own, &ring), length;
    FUZZ_CHECK((rc == 0 || rc == RT_EPROTO) && own <= size && ring < UINT64_C(1000000000000000));
    rc = rt_token_text_decode(text, own, token, sizeof(token));
    FUZZ_CHECK(rc > 0 || rc == RT_EPROTO || rc == RT_ELIMIT);
    if (rc <= 0) {
        return;
    }
    length = rt_token_text_encode(token, (size_t)rc, again, sizeof(again));
    for (; own > 0 && blank(*text); text++) {
        own--;
    }
    while (own > 0 && blank(text[own - 1])) {
        own--;
    }
    FUZZ_CHECK(length > 0 && (size_t)length == own && memcmp(again, text, own) == 0);
}

/* What decodes encodes to the same bytes; and sealed it opens, but not with a bit of it changed. */
static void check_ticket(const struct rt_keyring *ring, const uint8_t *data, size_t size, uint8_t flip)
{
    struct rt_ticket ticket, opened;
    uint8_t plain[RT_TOKEN_MAX], token[RT_TOKEN_MAX];
    int rc = rt_ticket_decode(data, size, &ticket), n;
    FUZZ_CHECK(rc == 0 || rc == RT_EPROTO);
    if (rc != 0) {
        return;
    }
    FUZZ_CHECK(ticket.n_ancestors <= RT_ANCESTORS_MAX);
    FUZZ_CHECK(memchr(ticket.key.tenant, '\0', sizeof(ticket.key.tenant)) != NULL);
    FUZZ_CHECK(memchr(ticket.key.cid, '\0', sizeof(ticket.key.cid)) != NULL);
    FUZZ_CHECK(memchr(ticket.bound_to, '\0', sizeof(ticket.bound_to)) != NULL);
    n = rt_ticket_encode(&ticket, plain, sizeof(plain));
    FUZZ_CHECK(n > 0 && (size_t)n == size && memcmp(plain, data, size) == 0);
    n = rt_seal(ring, &ticket, token, sizeof(token));
    FUZZ_CHECK(n > 0 || n == RT_ELIMIT);
    if (n <= 0) {
        return;
    }
    rc = rt_unseal(ring, token, (size_t)n, WALL_MS, &opened);
    FUZZ_CHECK(rc == (ticket.expires_ms != 0 && ticket.expires_ms <= WALL_MS ? RT_EEXPIRED : 0));
    ticket.key_id = opened.key_id;
    n = rt_ticket_encode(&opened, plain, sizeof(plain));
    FUZZ_CHECK(n > 0 && rt_ticket_encode(&ticket, token, sizeof(token)) == n);
    FUZZ_CHECK(memcmp(plain, token, (size_t)n) == 0);
    n = rt_seal(ring, &ticket, token, sizeof(token));
    FUZZ_CHECK(n > 0);
    token[flip % n] ^= (uint8_t)(1 << flip % 8);
    rc = rt_unseal(ring, token, (size_t)n, 0, &opened);
    FUZZ_CHECK(rc == RT_EAUTH || rc == RT_EPROTO || rc == RT_ENOTFOUND);
}

static void check_forged(const struct rt_keyring *ring, const uint8_t *data, size_t size)
{
    struct rt_ticket ticket;
    const uint8_t *bytes = (const uint8_t *)&ticket;
    int rc;
    memset(&ticket, 1, sizeof(ticket));
    rc = rt_unseal(ring, data, size, WALL_MS, &ticket);
    FUZZ_CHECK(rc == RT_EAUTH || rc == RT_EPROTO || rc == RT_ENOTFOUND);
    for (size_t i = 0; i < sizeof(ticket); i++) {
        FUZZ_CHECK(bytes[i] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rt_keyring ring;
    static const uint8_t secret[RT_SECRET_SIZE] = {1, 2, 3};
    uint8_t *copy;
    if (size < 2) {
        return 0;
    }
    if (ring.n_keys == 0) {
        rt_keyring_init(&ring);
        FUZZ_CHECK(rt_keyring_add(&ring, 1, secret) == 0);
    }
    copy = malloc(size - 1); /* of its own, so that a read past its end shows */
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        check_text((const char *)copy, size - 1);
        break;
    case 1:
        check_forged(&ring, copy, size - 1);
        break;
    default:
        check_ticket(&ring, copy, size - 1, data[0]);
        break;
    }
    free(copy);
    return 0;
}
