/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/seal.h"

#include "session/base/bytes.h"
#include "session/base/random.h"

#include <string.h>

/* A token:
 *
 *     version u8 (1) | purpose u8 (1 join, 2 ticket) | key id u32, big-endian | salt 24 | sealed ticket | tag 16
 *
 * The first six bytes are clear and authenticated, so a token opens for no other purpose or version than it was sealed
 * for; the salt is, too, as the key comes of it. */
#define VERSION 1
enum { PURPOSE_JOIN = 1, PURPOSE_TICKET = 2 };
#define CLEAR_SIZE 6
#define AT_SALT CLEAR_SIZE
#define AT_SEALED (AT_SALT + RT_SALT_SIZE)
#define AROUND (AT_SEALED + RT_TAG_SIZE)

static void box_of(const uint8_t *token, const uint8_t *secret, struct rt_crypto_box *box)
{
    box->secret = secret;
    box->salt = token + AT_SALT;
    box->clear = token;
    box->clear_size = CLEAR_SIZE;
}

int rt_seal(const struct rt_keyring *ring, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    uint8_t plain[RT_TOKEN_MAX - AROUND];
    uint32_t id = ring->active;
    struct rt_ticket named = *ticket;
    struct rt_crypto_box box;
    int size, error;

    if (id == 0) {
        return RT_ESTATE;
    }
    named.key_id = id;
    size = rt_ticket_encode(&named, plain, sizeof(plain));
    if (size < 0) {
        return size;
    }
    if (cap < AROUND || (size_t)size > cap - AROUND) {
        return RT_ELIMIT;
    }
    out[0] = VERSION;
    out[1] = ticket->join ? PURPOSE_JOIN : PURPOSE_TICKET;
    rt_put_u32(out + 2, id);
    rt_random_fill(NULL, out + AT_SALT, RT_SALT_SIZE);
    box_of(out, rt_keyring_find(ring, id), &box);
    error = rt_crypto_seal(&box, plain, (size_t)size, out + AT_SEALED, out + AT_SEALED + size);
    return error != 0 ? error : AROUND + size;
}

int rt_unseal(const struct rt_keyring *ring, const uint8_t *token, size_t size, uint64_t wall_ms,
              struct rt_ticket *ticket)
{
    uint8_t plain[RT_TOKEN_MAX - AROUND];
    struct rt_crypto_box box;
    const uint8_t *secret;
    int error;

    memset(ticket, 0, sizeof(*ticket));
    if (size <= AROUND || size > RT_TOKEN_MAX || token[0] != VERSION ||
        (token[1] != PURPOSE_JOIN && token[1] != PURPOSE_TICKET)) {
        return RT_EPROTO;
    }
    secret = rt_keyring_find(ring, rt_get_u32(token + 2));
    if (secret == NULL) {
        return RT_ENOTFOUND;
    }
    box_of(token, secret, &box);
    error = rt_crypto_open(&box, token + AT_SEALED, size - AROUND, token + size - RT_TAG_SIZE, plain);
    if (error != 0) {
        return error;
    }
    error = rt_ticket_decode(plain, size - AROUND, ticket);
    if (error == 0 && (ticket->join != (token[1] == PURPOSE_JOIN) || ticket->key_id != rt_get_u32(token + 2))) {
        error = RT_EPROTO;
    }
    if (error != 0) {
        memset(ticket, 0, sizeof(*ticket));
        return error;
    }
    return ticket->expires_ms != 0 && wall_ms >= ticket->expires_ms ? RT_EEXPIRED : 0;
}

static int seal_cb(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    return rt_seal(ctx, ticket, out, cap);
}

static int open_cb(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket)
{
    return rt_unseal(ctx, token, size, wall_ms, ticket);
}

struct rt_sealer rt_keyring_sealer(struct rt_keyring *ring)
{
    return (struct rt_sealer){.ctx = ring, .seal = seal_cb, .open = open_cb};
}
