/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/ticket.h"

#include "session/base/bytes.h"
#include "session/core/frame.h"

#include <string.h>

/* The plain form of a token, before sealing. Numbers are big-endian; a text is its length in one byte, then its bytes.
 *
 *   kind u8 (1 join token, 2 ticket) | key_id u32 | expires_ms u64 | tenant | cid | bound_to | issuer
 *   a ticket goes on: life u64 | epoch u64 | inc 16 | id 16 | taken u8 (0, 1) | unproven u8 | n_ancestors u8 |
 *   16 each, parent first
 *
 * A ticket takes at most 644 bytes. The seal says the version. */
enum { KIND_JOIN = 1, KIND_TICKET = 2 };

struct writer {
    uint8_t *out;
    size_t cap, at;
    int error; /* 0 or the first failure; nothing is written after it */
};

static void put(struct writer *w, const void *data, size_t size)
{
    if (w->error != 0) {
        return;
    }
    if (size > w->cap - w->at) {
        w->error = RT_ELIMIT;
        return;
    }
    memcpy(w->out + w->at, data, size);
    w->at += size;
}

static void put_u8(struct writer *w, size_t value)
{
    uint8_t byte = (uint8_t)value;

    put(w, &byte, 1);
}

static void put_counter(struct writer *w, uint64_t value)
{
    uint8_t bytes[8];

    if (value >= RT_COUNTER_MAX && w->error == 0) {
        w->error = RT_EPROTO;
    }
    rt_put_u64(bytes, value);
    put(w, bytes, sizeof(bytes));
}

static void put_text(struct writer *w, const char *text, size_t max)
{
    size_t size = strnlen(text, max + 1);

    if (size > max) {
        w->error = w->error != 0 ? w->error : RT_EPROTO;
        return;
    }
    put_u8(w, size);
    put(w, text, size);
}

int rt_ticket_encode(const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    struct writer w = {.out = out, .cap = cap};
    uint8_t key_id[4];

    if (ticket->key.cid[0] == '\0' || ticket->n_ancestors > RT_ANCESTORS_MAX || ticket->unproven > RT_ANCESTORS_MAX) {
        return RT_EPROTO;
    }
    put_u8(&w, ticket->join ? KIND_JOIN : KIND_TICKET);
    rt_put_u32(key_id, ticket->key_id);
    put(&w, key_id, sizeof(key_id));
    put_counter(&w, ticket->expires_ms);
    put_text(&w, ticket->key.tenant, RT_TENANT_MAX);
    put_text(&w, ticket->key.cid, RT_CID_MAX);
    put_text(&w, ticket->bound_to, RT_HOST_MAX);
    put_text(&w, ticket->issuer, RT_HOST_MAX);
    if (!ticket->join) {
        put_counter(&w, ticket->life);
        put_counter(&w, ticket->epoch);
        put(&w, ticket->inc.b, RT_ID_SIZE);
        put(&w, ticket->id.b, RT_ID_SIZE);
        put_u8(&w, ticket->taken);
        put_u8(&w, ticket->unproven);
        put_u8(&w, ticket->n_ancestors);
        put(&w, ticket->ancestors, ticket->n_ancestors * sizeof(*ticket->ancestors));
    }
    return w.error != 0 ? w.error : (int)w.at;
}

struct reader {
    const uint8_t *data;
    size_t size, at;
    bool broken; /* ran out or broke a rule; everything read after it is zero */
};

static void get(struct reader *r, void *out, size_t size)
{
    if (r->broken || size > r->size - r->at) {
        r->broken = true;
        memset(out, 0, size);
        return;
    }
    memcpy(out, r->data + r->at, size);
    r->at += size;
}

static uint8_t get_u8(struct reader *r)
{
    uint8_t byte;

    get(r, &byte, 1);
    return byte;
}

static uint64_t get_counter(struct reader *r)
{
    uint8_t bytes[8];
    uint64_t value;

    get(r, bytes, sizeof(bytes));
    value = rt_get_u64(bytes);
    if (value >= RT_COUNTER_MAX) {
        r->broken = true;
    }
    return value;
}

/* text has room for max bytes and is all zeros. A NUL inside would make two texts compare equal that are not. */
static void get_text(struct reader *r, char *text, size_t max)
{
    size_t size = get_u8(r);

    if (size > max) {
        r->broken = true;
        return;
    }
    get(r, text, size);
    if (strnlen(text, size) != size) {
        r->broken = true;
    }
}

int rt_ticket_decode(const uint8_t *data, size_t size, struct rt_ticket *ticket)
{
    struct reader r = {.data = data, .size = size};
    uint8_t kind, taken, key_id[4];

    memset(ticket, 0, sizeof(*ticket));
    kind = get_u8(&r);
    ticket->join = kind == KIND_JOIN;
    get(&r, key_id, sizeof(key_id));
    ticket->key_id = rt_get_u32(key_id);
    ticket->expires_ms = get_counter(&r);
    get_text(&r, ticket->key.tenant, RT_TENANT_MAX);
    get_text(&r, ticket->key.cid, RT_CID_MAX);
    get_text(&r, ticket->bound_to, RT_HOST_MAX);
    get_text(&r, ticket->issuer, RT_HOST_MAX);
    if (kind == KIND_TICKET) {
        ticket->life = get_counter(&r);
        ticket->epoch = get_counter(&r);
        get(&r, ticket->inc.b, RT_ID_SIZE);
        get(&r, ticket->id.b, RT_ID_SIZE);
        taken = get_u8(&r);
        ticket->taken = taken == 1;
        ticket->unproven = get_u8(&r);
        ticket->n_ancestors = get_u8(&r);
        if (ticket->n_ancestors > RT_ANCESTORS_MAX || ticket->unproven > RT_ANCESTORS_MAX || taken > 1) {
            ticket->n_ancestors = 0;
            r.broken = true;
        }
        get(&r, ticket->ancestors, ticket->n_ancestors * sizeof(*ticket->ancestors));
    } else if (kind != KIND_JOIN) {
        r.broken = true;
    }
    if (r.broken || r.at != size || ticket->key.cid[0] == '\0') {
        return RT_EPROTO;
    }
    return 0;
}
