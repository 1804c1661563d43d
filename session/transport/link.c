/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/link.h"

#include "session/base/endpoint.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINK_OF(wire_ptr) ((struct rt_link *)(void *)((char *)(wire_ptr)-offsetof(struct rt_link, wire)))
/* A chunk of copied bytes has at least this much room, so that small writes share one. */
#define CHUNK_MIN 2048

/* Bytes that wait, by reference into owner or copied into mem. */
struct rt_link_chunk {
    struct rt_link_chunk *next;
    struct rt_buf *owner; /* owned reference, or NULL: the bytes are in mem */
    char *base;
    size_t size;
    size_t cap; /* bytes of mem */
    char mem[];
};

static void note(struct rt_link *link, int reason, const char *what, const char *why)
{
    if (!link->noted) {
        link->noted = true;
        link->reason = reason;
        link->text = malloc(RT_LINK_TEXT_MAX);
        if (link->text != NULL) {
            (void)snprintf(link->text, RT_LINK_TEXT_MAX, "%s%s%s", what, why[0] == '\0' ? "" : ": ", why);
        }
    }
}

static void free_chunk(struct rt_link_chunk *chunk)
{
    if (chunk->owner != NULL) {
        rt_buf_unref(chunk->owner);
    }
    free(chunk);
}

static void drop_queue(struct rt_link *link)
{
    while (link->first != NULL) {
        struct rt_link_chunk *chunk = link->first;
        link->first = chunk->next;
        free_chunk(chunk);
    }
    link->last = NULL;
    link->flight = NULL;
    link->backlog = 0;
}

static void drop_carry(struct rt_link *link)
{
    free(link->carry);
    link->carry = NULL;
    link->carry_size = 0;
    link->carry_cap = 0;
}

static void timer_closed_cb(uv_handle_t *handle)
{
    free(handle);
}

static void drop_deadline(struct rt_link *link)
{
    if (link->timer != NULL) {
        uv_close((uv_handle_t *)link->timer, timer_closed_cb);
        link->timer = NULL;
    }
}

static void closed_cb(struct rt_wire *wire)
{
    struct rt_link *link = LINK_OF(wire);
    char *text = link->text;

    drop_queue(link);
    drop_carry(link);
    link->state = RT_LINK_CLOSED;
    link->text = NULL;
    link->ops->on_close(link, link->reason, text == NULL ? "" : text);
    free(text);
}

static void shut(struct rt_link *link)
{
    link->state = RT_LINK_CLOSING;
    drop_deadline(link);
    link->wire.ops->close(&link->wire);
}

/* The deadline of a handshake; also of LINGER and FLUSH, which have noted why the link ends: that stands. */
static void deadline_cb(uv_timer_t *timer)
{
    struct rt_link *link = timer->data;

    note(link, RT_ETIMEDOUT, "no handshake in time", "");
    shut(link);
}

/* Without memory for a timer its time is over. */
static void set_deadline(struct rt_link *link, uint64_t ms)
{
    if (link->timer == NULL) {
        link->timer = malloc(sizeof(*link->timer));
        if (link->timer == NULL) {
            note(link, RT_ENOMEM, "no memory for a deadline", "");
            shut(link);
            return;
        }
        (void)uv_timer_init(link->loop, link->timer);
        link->timer->data = link;
    }
    (void)uv_timer_start(link->timer, deadline_cb, ms, 0);
}

/* The kernel takes no more. What the peer said before it went may still wait to be read. */
static void fail_write(struct rt_link *link, int err)
{
    note(link, err == UV_ENOMEM ? RT_ENOMEM : RT_ECONN, "write", uv_strerror(err));
    drop_queue(link);
    if (link->state != RT_LINK_OPEN) {
        shut(link);
        return;
    }
    link->state = RT_LINK_LINGER;
    set_deadline(link, RT_LINK_LINGER_MS);
}

static void write_next(struct rt_link *link);

static void drained(struct rt_link *link)
{
    size_t queued = rt_link_queued(link);

    if (queued > 0 && !(link->above_high && queued <= link->high_water / 2)) {
        return;
    }
    link->above_high = false;
    if (link->ops->on_drain != NULL) {
        link->ops->on_drain(link);
    }
}

static void written_cb(struct rt_wire *wire, int status)
{
    struct rt_link *link = LINK_OF(wire);
    struct rt_link_chunk *flight = link->flight;

    if (link->state == RT_LINK_CLOSING) {
        return;
    }
    if (status != 0) {
        fail_write(link, status);
        return;
    }
    for (bool done = false; !done;) {
        struct rt_link_chunk *chunk = link->first;
        done = chunk == flight;
        link->first = chunk->next;
        free_chunk(chunk);
    }
    link->flight = NULL;
    if (link->first != NULL) {
        write_next(link);
    } else {
        link->last = NULL;
    }
    if (link->state == RT_LINK_FLUSH && link->first == NULL) {
        shut(link);
    } else if (link->state == RT_LINK_OPEN) {
        drained(link);
    }
}

/* Hands the wire the first chunks of the queue, as many as make one modest write. */
static void write_next(struct rt_link *link)
{
    uv_buf_t iov[RT_LINK_IOV_MAX];
    unsigned n = 0;
    size_t size = 0;
    int err;

    for (struct rt_link_chunk *chunk = link->first; chunk != NULL && n < RT_LINK_IOV_MAX && size < RT_LINK_BATCH_MAX;
         chunk = chunk->next) {
        iov[n++] = uv_buf_init(chunk->base, (unsigned)chunk->size);
        size += chunk->size;
        link->flight = chunk;
    }
    link->backlog -= (uint32_t)size;
    err = link->wire.ops->write(&link->wire, iov, n);
    if (err != 0) {
        fail_write(link, err);
    }
}

static int append_chunk(struct rt_link *link, struct rt_buf *owner, char *base, size_t size)
{
    struct rt_link_chunk *last = link->last, *chunk;
    bool copy = owner == NULL || size < RT_LINK_COPY_MAX;
    size_t cap = copy ? size : 0;

    if (copy && last != NULL && last != link->flight && last->owner == NULL && last->cap - last->size >= size) {
        memcpy(last->mem + last->size, base, size);
        last->size += size;
        link->backlog += (uint32_t)size;
        return 0;
    }
    if (copy && cap < CHUNK_MIN) {
        cap = CHUNK_MIN;
    }
    chunk = malloc(sizeof(*chunk) + cap);
    if (chunk == NULL) {
        return RT_ENOMEM;
    }
    chunk->next = NULL;
    chunk->owner = copy ? NULL : rt_buf_ref(owner);
    chunk->base = copy ? chunk->mem : base;
    chunk->size = size;
    chunk->cap = cap;
    if (copy) {
        memcpy(chunk->mem, base, size);
    }
    if (last != NULL) {
        last->next = chunk;
    } else {
        link->first = chunk;
    }
    link->last = chunk;
    link->backlog += (uint32_t)size;
    return 0;
}

/* Queues the pieces but for the first skip bytes, which the kernel has. */
static int enqueue(struct rt_link *link, struct rt_buf *owner, const uv_buf_t *bufs, unsigned n, size_t skip)
{
    for (unsigned i = 0; i < n; i++) {
        size_t size = bufs[i].len;
        if (size <= skip) {
            skip -= size;
            continue;
        }
        if (append_chunk(link, owner, bufs[i].base + skip, size - skip) != 0) {
            return RT_ENOMEM;
        }
        skip = 0;
    }
    return 0;
}

int rt_link_writev(struct rt_link *link, struct rt_buf *owner, const uv_buf_t *bufs, unsigned n)
{
    size_t size = 0, queued = rt_link_queued(link);
    int sent = 0;

    if (link->state != RT_LINK_OPEN) {
        return RT_ECONN;
    }
    for (unsigned i = 0; i < n; i++) {
        size += bufs[i].len;
    }
    if (size > RT_LINK_QUEUE_MAX - queued) {
        return RT_ELIMIT;
    }
    if (size == 0) {
        return 0;
    }
    if (queued == 0 && link->wire.ops->try_write != NULL) {
        sent = link->wire.ops->try_write(&link->wire, bufs, n);
        if (sent == UV_EAGAIN) {
            sent = 0;
        } else if (sent < 0) {
            fail_write(link, sent);
            return RT_ECONN;
        }
    }
    link->accepted += size;
    if ((size_t)sent == size) {
        return 0;
    }
    if (enqueue(link, owner, bufs, n, (size_t)sent) != 0) {
        rt_link_close(link, RT_LINK_NOW, RT_ENOMEM, "no memory for the write queue");
        return RT_ENOMEM;
    }
    if (link->flight == NULL) {
        write_next(link);
    }
    if (link->state != RT_LINK_OPEN) {
        return RT_ECONN;
    }
    if (rt_link_queued(link) > link->high_water) {
        link->above_high = true;
    }
    return 0;
}

size_t rt_link_queued(const struct rt_link *link)
{
    if (link->state != RT_LINK_OPEN && link->state != RT_LINK_FLUSH) {
        return 0;
    }
    return link->backlog + link->wire.ops->unsent(&link->wire);
}

uint64_t rt_link_sent_total(const struct rt_link *link)
{
    return link->accepted - rt_link_queued(link);
}

size_t rt_link_unread(const struct rt_link *link)
{
    return link->wire.ops->unread(&link->wire);
}

static uv_buf_t room_cb(struct rt_wire *wire)
{
    struct rt_buf *buf = rt_buf_reader(LINK_OF(wire)->pool);

    return buf == NULL ? uv_buf_init(NULL, 0) : uv_buf_init((char *)rt_buf_data(buf), RT_BUF_SIZE);
}

/* Keeps the last `left` bytes before `end` for the next read. `fresh` bytes came with this read. When the consumer took
 * nothing, the older ones are in the carry already and only the fresh ones are copied: a frame that trickles in is
 * copied once, not once for each read. */
static int keep_tail(struct rt_link *link, const uint8_t *end, size_t left, size_t fresh)
{
    size_t have = left > fresh && left == link->carry_size + fresh ? link->carry_size : 0;

    if (left > RT_BUF_CARRY_MAX) {
        return RT_ELIMIT;
    }
    if (left == 0) {
        drop_carry(link);
        return 0;
    }
    if (left > link->carry_cap) {
        size_t cap = (size_t)2 * link->carry_cap;
        uint8_t *carry;

        cap = cap > RT_BUF_CARRY_MAX ? RT_BUF_CARRY_MAX : cap;
        cap = cap < left ? left : cap;
        carry = realloc(link->carry, cap);
        if (carry == NULL) {
            return RT_ENOMEM;
        }
        link->carry = carry;
        link->carry_cap = (uint32_t)cap;
    }
    memcpy(link->carry + have, end - (left - have), left - have);
    link->carry_size = (uint32_t)left;
    return 0;
}

static void read_cb(struct rt_wire *wire, size_t fresh)
{
    struct rt_link *link = LINK_OF(wire);
    struct rt_buf *buf = link->pool->reader;
    uint8_t *data = rt_buf_data(buf) - link->carry_size;
    size_t size = link->carry_size + fresh, used;
    int err;

    link->received += fresh;
    if (link->carry_size > 0) {
        memcpy(data, link->carry, link->carry_size);
    }
    used = link->ops->on_data(link, buf, data, size);
    assert(used <= size);
    if (link->state == RT_LINK_OPEN || link->state == RT_LINK_LINGER) {
        err = keep_tail(link, data + size, size - used, fresh);
        if (err != 0) {
            rt_link_close(link, RT_LINK_NOW, err, err == RT_ELIMIT ? "a frame is too long" : "no memory to read");
        }
    }
    rt_buf_settle(link->pool);
}

static void ready_cb(struct rt_wire *wire, const char *peer)
{
    struct rt_link *link = LINK_OF(wire);

    if (link->state == RT_LINK_OPEN) {
        drop_deadline(link);
    }
    if (link->state != RT_LINK_FLUSH && link->ops->on_ready != NULL) {
        link->ops->on_ready(link, peer);
    }
}

static void end_cb(struct rt_wire *wire, int reason, const char *why)
{
    struct rt_link *link = LINK_OF(wire);

    note(link, reason, why, "");
    shut(link);
}

static const struct rt_wire_events wire_events = {.on_ready = ready_cb,
                                                  .on_room = room_cb,
                                                  .on_read = read_cb,
                                                  .on_written = written_cb,
                                                  .on_end = end_cb,
                                                  .on_closed = closed_cb};

int rt_link_open(struct rt_link *link, int fd, const struct rt_link_setup *setup)
{
    int family = 0, type = 0, err;
    socklen_t size = sizeof(family);
    void *data = link->data;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM ||
        (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_VSOCK)) {
        return RT_EINVAL;
    }
    memset(link, 0, sizeof(*link));
    link->data = data;
    link->ops = setup->ops;
    link->pool = setup->pool;
    link->high_water = RT_LINK_QUEUE_HIGH;
    link->state = RT_LINK_OPEN;
    link->wire.ops = setup->wire.ops == NULL ? &rt_wire_plain : setup->wire.ops;
    link->wire.events = &wire_events;
    link->loop = setup->loop;
    err = link->wire.ops->open(&link->wire, setup->loop, fd, &setup->wire);
    if (err != 0) {
        note(link, rt_transport_code(err), "open", uv_strerror(err));
        shut(link);
    } else if (link->wire.ops->handshake) {
        set_deadline(link, RT_LINK_HANDSHAKE_MS);
    }
    return 0;
}

void rt_link_close(struct rt_link *link, enum rt_link_how how, int reason, const char *text)
{
    if (link->state == RT_LINK_CLOSED || link->state == RT_LINK_CLOSING) {
        return;
    }
    note(link, reason, text, "");
    if (how == RT_LINK_NOW || link->state == RT_LINK_LINGER || link->first == NULL) {
        shut(link);
        return;
    }
    if (link->state == RT_LINK_OPEN) {
        link->state = RT_LINK_FLUSH;
        link->wire.ops->pause(&link->wire);
        set_deadline(link, RT_LINK_LINGER_MS);
    }
}
