/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/ticket.h"

#include "session/base/bytes.h"
#include "session/core/frame.h"

#include <string.h>

/* The plain form of a token, before sealing. Numbers are big-endian; a text is its length in one byte, then its bytes.
 *
 *   kind u8 (1 join token, 2 ticket) | key_id u32 | expires_ms u64 | tenant | cid | bound_to | issuer
 *   then life u64; a ticket goes on: epoch u64 | inc 16 | id 16 | taken u8 (0, 1) | unproven u8 | n_ancestors u8 |
 *   16 each, parent first
 *
 * A ticket takes at most 644 bytes. The seal says the version. */
enum { KIND_JOIN = 1, KIND_TICKET = 2 };

/* One walk over a ticket writes it or reads it. */
struct walk {
    uint8_t *out; /* NULL: it is read, from `in` */
    const uint8_t *in;
    size_t size, at; /* size: of the room, or of what there is */
    int error;       /* 0 or the first failure; nothing is written after it, and everything read after it is zero */
};

static void fail(struct walk *walk, int error)
{
    walk->error = walk->error != 0 ? walk->error : error;
}

static void bytes(struct walk *walk, void *value, size_t size)
{
    if (size > walk->size - walk->at) {
        fail(walk, walk->out != NULL ? RT_ELIMIT : RT_EPROTO);
    }
    if (walk->error == 0 && walk->out != NULL) {
        memcpy(walk->out + walk->at, value, size);
    } else if (walk->error == 0) {
        memcpy(value, walk->in + walk->at, size);
    } else if (walk->out == NULL) {
        memset(value, 0, size);
    }
    walk->at += walk->error == 0 ? size : 0;
}

static void counter(struct walk *walk, uint64_t *value)
{
    uint8_t be[8];

    rt_put_u64(be, *value);
    bytes(walk, be, sizeof(be));
    *value = rt_get_u64(be);
    if (*value >= RT_COUNTER_MAX) {
        fail(walk, RT_EPROTO);
    }
}

/* text has room for max bytes; what is read into is all zeros. A NUL inside would make two texts compare equal that are
 * not. */
static void text(struct walk *walk, char *text, size_t max)
{
    uint8_t size = (uint8_t)strnlen(text, max + 1);

    bytes(walk, &size, 1);
    if (size > max) {
        fail(walk, RT_EPROTO);
        return;
    }
    bytes(walk, text, size);
    if (strnlen(text, size) != size) {
        fail(walk, RT_EPROTO);
    }
}

static void rest(struct walk *walk, struct rt_ticket *ticket)
{
    uint8_t taken = ticket->taken, n = (uint8_t)ticket->n_ancestors;

    counter(walk, &ticket->epoch);
    bytes(walk, ticket->inc.b, RT_ID_SIZE);
    bytes(walk, ticket->id.b, RT_ID_SIZE);
    bytes(walk, &taken, 1);
    bytes(walk, &ticket->unproven, 1);
    bytes(walk, &n, 1);
    if (taken > 1 || ticket->unproven > RT_ANCESTORS_MAX || n > RT_ANCESTORS_MAX) {
        fail(walk, RT_EPROTO);
        n = 0;
    }
    ticket->taken = taken == 1;
    ticket->n_ancestors = n;
    bytes(walk, ticket->ancestors, n * sizeof(*ticket->ancestors));
}

static void whole(struct walk *walk, struct rt_ticket *ticket)
{
    uint8_t kind = ticket->join ? KIND_JOIN : KIND_TICKET, key_id[4];

    bytes(walk, &kind, 1);
    rt_put_u32(key_id, ticket->key_id);
    bytes(walk, key_id, sizeof(key_id));
    ticket->key_id = rt_get_u32(key_id);
    counter(walk, &ticket->expires_ms);
    text(walk, ticket->key.tenant, RT_TENANT_MAX);
    text(walk, ticket->key.cid, RT_CID_MAX);
    text(walk, ticket->bound_to, RT_HOST_MAX);
    text(walk, ticket->issuer, RT_HOST_MAX);
    counter(walk, &ticket->life);
    ticket->join = kind == KIND_JOIN;
    if (kind == KIND_TICKET) {
        rest(walk, ticket);
    } else if (kind != KIND_JOIN) {
        fail(walk, RT_EPROTO);
    }
}

int rt_ticket_encode(const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    struct walk walk = {.out = out, .size = cap};
    struct rt_ticket copy = *ticket;

    if (ticket->key.cid[0] == '\0' || ticket->n_ancestors > RT_ANCESTORS_MAX || ticket->unproven > RT_ANCESTORS_MAX) {
        return RT_EPROTO;
    }
    whole(&walk, &copy);
    return walk.error != 0 ? walk.error : (int)walk.at;
}

int rt_ticket_decode(const uint8_t *data, size_t size, struct rt_ticket *ticket)
{
    struct walk walk = {.in = data, .size = size};

    memset(ticket, 0, sizeof(*ticket));
    whole(&walk, ticket);
    return walk.error != 0 || walk.at != size || ticket->key.cid[0] == '\0' ? RT_EPROTO : 0;
}
