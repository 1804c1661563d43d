/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/agent_world.h"

#include "broker/core/link.h"
#include "session/core/order.h"

#include <string.h>

struct world world;
struct fuzz_pipe world_pipes[WORLD_PEERS];

void world_key(unsigned n, struct rt_key *key)
{
    static const char *const names[WORLD_KEYS][2] = {{"t", "box"}, {"t", "c1"}, {"u", "box"}, {"local", "box"}};
    memset(key, 0, sizeof(*key));
    rt_slice_copy(rt_slice_text(names[n % WORLD_KEYS][0]), key->tenant, sizeof(key->tenant));
    rt_slice_copy(rt_slice_text(names[n % WORLD_KEYS][1]), key->cid, sizeof(key->cid));
}

unsigned world_peer_of(rt_link_id id)
{
    unsigned i = 0;
    while (i < WORLD_PEERS && (id == 0 || world.peers[i].id != id)) {
        i++;
    }
    return i;
}

/* What the agent may say to a guest and to a client. */
static bool may_hear(bool guest, const struct rt_frame *frame)
{
    const char *why;
    return rt_frame_check(frame, guest ? RT_WAY_AGENT_GUEST : RT_WAY_AGENT_CLIENT, &why) == 0;
}

static void take_welcome(struct world_peer *peer, const uint8_t *payload, size_t size)
{
    static struct rt_welcome_msg msg;
    char why[RT_TEXT_MAX];
    FUZZ_CHECK(rt_msg_decode(RT_MSG_WELCOME, payload, size, &msg, why, sizeof(why)) == 0);
    if (msg.tkt.size > 0) {
        memcpy(peer->ticket, msg.tkt.data, msg.tkt.size);
        peer->ticket_size = msg.tkt.size;
    }
}

static void io_send(void *ctx, rt_link_id id, const uint8_t *data, size_t size, bool in_input)
{
    unsigned p = world_peer_of(id);
    const struct fuzz_pipe *from = &world_pipes[world.feeding % WORLD_PEERS];
    (void)ctx;
    FUZZ_CHECK(p < WORLD_PEERS && size > 0);
    if (in_input) {
        FUZZ_CHECK(world.feeding < WORLD_PEERS);
        FUZZ_CHECK(data >= from->before && data + size <= from->bytes + from->size);
    }
    fuzz_check_frames(data, size);
    for (size_t at = 0; at < size;) {
        struct rt_frame frame;
        const struct ag_link *link = rt_ag_link(world.agent, id);
        rt_frame_get(data + at, &frame);
        FUZZ_CHECK(link != NULL && link->state != AG_UNPROVED && may_hear(p < WORLD_GUESTS, &frame));
        FUZZ_CHECK(frame.channel <= link->last_channel);
        if (frame.type == RT_WELCOME) {
            take_welcome(&world.peers[p], data + at + RT_FRAME_HEADER, frame.length);
        } else if (frame.type == RT_TICKET) {
            memcpy(world.peers[p].ticket, data + at + RT_FRAME_HEADER, frame.length);
            world.peers[p].ticket_size = frame.length;
        }
        at += RT_FRAME_HEADER + (size_t)frame.length;
    }
}

static void io_close(void *ctx, rt_link_id id, const char *reason)
{
    unsigned p = world_peer_of(id);
    (void)ctx;
    FUZZ_CHECK(p < WORLD_PEERS && reason != NULL);
    world.peers[p].id = 0;
}

static void io_event(void *ctx, const struct rt_agent_event *event)
{
    (void)ctx;
    FUZZ_CHECK(event->kind <= RT_AGENT_STORE);
    FUZZ_CHECK(memchr(event->from, 0, sizeof(event->from)) != NULL && memchr(event->to, 0, sizeof(event->to)) != NULL);
    FUZZ_CHECK(memchr(event->reason, 0, sizeof(event->reason)) != NULL);
}

static size_t kept_at(const struct rt_key *key, uint64_t life)
{
    size_t i = 0;
    while (i < world.n_kept && (world.kept[i].life != life || !rt_key_equal(&world.kept[i].key, key))) {
        i++;
    }
    return i;
}

static int io_keep_end(void *ctx, uint32_t id, const struct rt_store_op *end)
{
    (void)ctx;
    const uint64_t size[2] = {end->tail[0].size, end->tail[1].size};
    FUZZ_CHECK(size[0] <= RT_TAIL_MAX && size[1] <= RT_TAIL_MAX);
    FUZZ_CHECK(end->end.ord.size == 0 || rt_order_unpack(end->end.ord, size, NULL) > 0);
    if (world.n_writes == WORLD_WRITES) {
        return RT_ELIMIT;
    }
    world.writes[world.n_writes].id = id;
    world.writes[world.n_writes].key = end->key;
    world.writes[world.n_writes++].life = end->life;
    return 0;
}

static void revoked_answer(void)
{
    struct rt_key key = world.revoking[0].key;
    uint64_t life = world.revoking[0].life;
    if (world.n_revoking == 0) {
        return;
    }
    world.n_revoking--;
    memmove(world.revoking, world.revoking + 1, world.n_revoking * sizeof(world.revoking[0]));
    rt_agent_revoked_reply(world.agent, &key, life, world.disk_full ? RT_EIO : 0, world.now);
}

/* In the order asked. */
void world_disk_answer(void)
{
    revoked_answer();
    if (world.drains_writing) {
        world.drains_writing = false;
        rt_agent_drains_reply(world.agent, world.disk_full ? RT_EIO : 0, world.now);
    }
    size_t i;
    uint32_t id;
    int error = 0;
    if (world.n_writes == 0) {
        return;
    }
    id = world.writes[0].id;
    i = kept_at(&world.writes[0].key, world.writes[0].life);
    if (world.disk_full || i == WORLD_KEPT) {
        error = RT_EIO;
    } else {
        world.n_kept += i == world.n_kept;
        world.kept[i].key = world.writes[0].key;
        world.kept[i].life = world.writes[0].life;
    }
    world.n_writes--;
    memmove(world.writes, world.writes + 1, world.n_writes * sizeof(world.writes[0]));
    rt_agent_disk_reply(world.agent, id, error, world.now);
}

static void io_drop_end(void *ctx, const struct rt_key *key, uint64_t life)
{
    size_t i = kept_at(key, life);
    (void)ctx;
    if (i < world.n_kept) {
        world.kept[i] = world.kept[--world.n_kept];
    }
}

static int io_keep_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    (void)ctx;
    FUZZ_CHECK(life > 0 && world.n_revoking < AG_REVOKED_WRITING_MAX);
    world.revoking[world.n_revoking].key = *key;
    world.revoking[world.n_revoking++].life = life;
    return 0;
}

/* An older one goes when a newer one is there. */
static void io_drop_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    (void)ctx;
    FUZZ_CHECK(life > 0 && life < rt_ag_revoked(world.agent, key));
}

static int io_keep_drains(void *ctx, bool drains)
{
    (void)ctx;
    (void)drains;
    FUZZ_CHECK(!world.drains_writing);
    world.drains_writing = true;
    return 0;
}

/* Sealing is a plain copy, so that the fuzzer can make any ticket; what the seal keeps out is fuzz_token's matter. */
static int seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    (void)ctx;
    return rt_ticket_encode(ticket, out, cap);
}

static uint64_t io_wall(void *ctx)
{
    (void)ctx;
    return WORLD_WALL_MS + world.now;
}

static int open_token(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket)
{
    int rc = rt_ticket_decode(token, size, ticket);
    (void)ctx;
    if (rc == 0 && ticket->expires_ms != 0 && wall_ms >= ticket->expires_ms) {
        rc = RT_EEXPIRED;
    }
    return rc;
}

void world_new(uint8_t options)
{
    struct rt_agent_config config;
    memset(&world, 0, sizeof(world));
    memset(&config, 0, sizeof(config));
    world.now = 1;
    world.feeding = WORLD_PEERS;
    memcpy(config.host, "h0", 3);
    memcpy(config.addr[0], "unix:/a0", 9);
    config.n_addr = 1;
    config.ticket_ttl_ms = options & 128 ? 1000 : 0;
    for (unsigned i = 0; i < RT_LIMITS && (options & 64) != 0; i++) {
        config.limits[i] = i == RT_LIMIT_TENANT_BYTES ? (size_t)2 * RT_LINK_HIGH_WATER : 2;
    }
    config.sealer.seal = seal;
    config.sealer.open = open_token;
    config.io.ctx = &world.count;
    config.io.send = io_send;
    config.io.close = io_close;
    config.io.store = world_store;
    config.io.event = io_event;
    config.io.random = fuzz_random;
    config.io.wall_ms = io_wall;
    config.io.keep_end = io_keep_end;
    config.io.drop_end = io_drop_end;
    config.io.keep_revoked = io_keep_revoked;
    config.io.drop_revoked = io_drop_revoked;
    config.io.keep_drains = io_keep_drains;
    world.agent = rt_agent_new(&config, world.now);
    FUZZ_CHECK(world.agent != NULL);
    for (unsigned i = 0; i < WORLD_PEERS; i++) {
        fuzz_pipe_reset(&world_pipes[i]);
        world.peers[i].inc = 1;
    }
}

void world_free(void)
{
    rt_agent_free(world.agent);
    fuzz_pool_check();
}
