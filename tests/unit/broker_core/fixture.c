/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "session/core/say.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fx_link *link_of(struct fx *fx, rt_link_id id)
{
    for (size_t i = 0; i < fx->n_links; i++) {
        if (fx->links[i].id == id) {
            return &fx->links[i];
        }
    }
    return NULL; /* one that a test has opened by itself */
}

static void io_send(void *ctx, rt_link_id id, const uint8_t *data, size_t size, bool in_input)
{
    struct fx_link *link = link_of(ctx, id);

    (void)in_input;
    if (link == NULL) {
        return;
    }
    assert_false(link->closed);
    if (link->out_size + size > link->out_cap) {
        link->out_cap = 2 * (link->out_size + size);
        link->out = realloc(link->out, link->out_cap);
        assert_non_null(link->out);
    }
    memcpy(link->out + link->out_size, data, size);
    link->out_size += size;
    link->sends++;
    link->queued += size;
    link->most_queued = link->queued > link->most_queued ? link->queued : link->most_queued;
    assert_true(link->queued <= RT_LINK_QUEUED_MAX);
}

static void io_close(void *ctx, rt_link_id id, const char *reason)
{
    struct fx_link *link = link_of(ctx, id);

    if (link == NULL) {
        return;
    }
    assert_false(link->closed);
    link->closed = true;
    (void)snprintf(link->reason, sizeof(link->reason), "%s", reason);
}

static void io_event(void *ctx, const struct rt_agent_event *event)
{
    ((struct fx *)ctx)->n_events[event->kind]++;
}

static void io_random(void *ctx, void *out, size_t size)
{
    struct fx *fx = ctx;

    fx->id_seed++;
    memset(out, fx->id_seed, size);
}

static uint64_t io_wall(void *ctx)
{
    const struct fx *fx = ctx;

    return fx->wall_ms + fx->now;
}

static int io_keep_end(void *ctx, uint32_t id, const struct rt_store_op *end)
{
    struct fx *fx = ctx;

    if (fx->disk_busy) {
        return RT_ELIMIT;
    }
    assert_true(fx->n_writes < FX_WRITES);
    fx->kept = *end;
    fx->writes[fx->n_writes++] = id;
    return 0;
}

void fx_disk(struct fx *fx, int error)
{
    while (fx->n_writes > 0) {
        uint32_t id = fx->writes[0];

        fx->n_writes--;
        memmove(fx->writes, fx->writes + 1, fx->n_writes * sizeof(fx->writes[0]));
        fx->n_kept += error == 0;
        rt_agent_disk_reply(fx->agent, id, error, fx->now);
    }
}

static void io_drop_end(void *ctx, const struct rt_key *key, uint64_t life)
{
    (void)key;
    (void)life;
    ((struct fx *)ctx)->n_dropped++;
}

static int io_keep_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    struct fx *fx = ctx;

    if (fx->disk_busy) {
        return RT_ENOMEM;
    }
    assert_true(fx->n_revoking < AG_REVOKED_WRITING_MAX);
    fx->revoking[fx->n_revoking++] = (struct fx_revoked){*key, life};
    return 0;
}

static void io_drop_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    struct fx *fx = ctx;

    fx->revoked_on_disk--;
    fx->revoked_dropped = (struct fx_revoked){*key, life};
}

void fx_disk_revoked(struct fx *fx, int error)
{
    for (size_t n = fx->n_revoking; n > 0; n--) {
        struct fx_revoked done = fx->revoking[0];

        fx->n_revoking--;
        memmove(fx->revoking, fx->revoking + 1, fx->n_revoking * sizeof(done));
        if (error == 0) {
            fx->revoked_on_disk++;
            fx->revoked_kept = done;
        }
        rt_agent_revoked_reply(fx->agent, &done.key, done.life, error, fx->now);
    }
}

static int io_keep_drains(void *ctx, bool drains)
{
    struct fx *fx = ctx;

    if (fx->disk_busy) {
        return RT_ENOMEM;
    }
    assert_false(fx->drains_writing);
    fx->drains_writing = true;
    fx->drains_given = drains;
    return 0;
}

void fx_disk_drains(struct fx *fx, int error)
{
    assert_true(fx->drains_writing);
    fx->drains_writing = false;
    fx->drains_on_disk = error == 0 ? fx->drains_given : fx->drains_on_disk;
    rt_agent_drains_reply(fx->agent, error, fx->now);
}

static int seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    struct rt_ticket named = *ticket;

    named.key_id = ((struct fx *)ctx)->active_key;
    return rt_ticket_encode(&named, out, cap);
}

static int open_ticket(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket)
{
    int err = rt_ticket_decode(token, size, ticket);

    if (err != 0) {
        return RT_EAUTH;
    }
    if (ticket->key_id > ((struct fx *)ctx)->known_key) {
        return RT_ENOTFOUND;
    }
    return ticket->expires_ms != 0 && wall_ms >= ticket->expires_ms ? RT_EEXPIRED : 0;
}

void fx_init(struct fx *fx)
{
    struct rt_agent_config config;

    memset(fx, 0, sizeof(*fx));
    memset(&config, 0, sizeof(config));
    fx->now = 1000;
    fx->store_ms = 1000000;
    fx->wall_ms = 1700000000000 - fx->now;
    fx->page = RT_LIST_MAX;
    (void)snprintf(config.host, sizeof(config.host), "here");
    (void)snprintf(config.addr[0], sizeof(config.addr[0]), "unix:/here");
    config.n_addr = 1;
    config.seed = 42;
    config.ticket_ttl_ms = UINT64_C(3600000);
    config.sealer.ctx = fx;
    config.sealer.seal = seal;
    config.sealer.open = open_ticket;
    config.io.ctx = fx;
    config.io.send = io_send;
    config.io.close = io_close;
    config.io.store = fx_store_submit;
    config.io.event = io_event;
    config.io.random = io_random;
    config.io.wall_ms = io_wall;
    config.io.keep_end = io_keep_end;
    config.io.drop_end = io_drop_end;
    config.io.keep_revoked = io_keep_revoked;
    config.io.drop_revoked = io_drop_revoked;
    config.io.keep_drains = io_keep_drains;
    fx->agent = rt_agent_new(&config, fx->now);
    if (fx->agent == NULL) {
        return;
    }
    fx_up(fx, false, true);
    fx_answer(fx);
}

void fx_close(struct fx *fx)
{
    rt_agent_free(fx->agent);
    for (size_t i = 0; i < fx->n_links; i++) {
        free(fx->links[i].out);
        free(fx->links[i].in);
    }
}

int fx_setup(void **state)
{
    struct fx *fx = calloc(1, sizeof(*fx));

    assert_non_null(fx);
    fx_init(fx);
    assert_non_null(fx->agent);
    *state = fx;
    return 0;
}

int fx_teardown(void **state)
{
    fx_close(*state);
    free(*state);
    return 0;
}

void fx_tick(struct fx *fx, uint64_t ms)
{
    uint64_t until = fx->now + ms;

    while (rt_agent_deadline(fx->agent) <= until) {
        uint64_t at = rt_agent_deadline(fx->agent);
        fx->store_ms += at > fx->now ? at - fx->now : 0;
        fx->now = at > fx->now ? at : fx->now;
        rt_agent_tick(fx->agent, fx->now);
        assert_true(rt_agent_deadline(fx->agent) > fx->now);
    }
    fx->store_ms += until - fx->now;
    fx->now = until;
    rt_agent_tick(fx->agent, fx->now);
    fx_settle(fx);
}

void fx_settle(struct fx *fx)
{
    for (size_t i = 0; i < fx->n_links; i++) {
        struct fx_link *link = &fx->links[i];
        while (!link->closed && link->queued > 0 && !link->stalled) { /* being told so, it may send more */
            link->queued = 0;
            rt_agent_queued(fx->agent, link->id, 0, fx->now);
        }
    }
}

void fx_queued(struct fx *fx, int link, size_t queued)
{
    fx->links[link].stalled = queued > 0;
    fx->links[link].queued = queued;
    rt_agent_queued(fx->agent, fx->links[link].id, queued, fx->now);
    fx_settle(fx);
}

int fx_open_as(struct fx *fx, const struct rt_peer *peer)
{
    struct fx_link *link = &fx->links[fx->n_links];

    assert_true(fx->n_links < FX_LINKS);
    link->id = rt_agent_opened(fx->agent, peer, fx->now);
    link->role = peer->role;
    link->out = calloc(1, FX_BUF);
    link->out_cap = FX_BUF;
    link->in = calloc(1, FX_BUF);
    assert_non_null(link->out);
    assert_non_null(link->in);
    link->closed = link->id == 0;
    return (int)fx->n_links++;
}

void fx_proved(struct fx *fx, int link, enum rt_client_role as, const char *who)
{
    struct rt_proof proof = {.as = as};

    (void)snprintf(proof.who, sizeof(proof.who), "%s", who);
    rt_agent_proved(fx->agent, fx->links[link].id, &proof, fx->now);
    fx_settle(fx);
}

int fx_open(struct fx *fx, enum rt_peer_role role, const char *who)
{
    struct rt_peer peer = {.role = role, .name = "test"};
    int link = fx_open_as(fx, &peer);

    fx_proved(fx, link, who[0] == '\0' ? RT_CLIENT_OPERATOR : RT_CLIENT_VCH, who);
    return link;
}

static void feed(struct fx *fx, struct fx_link *link, const uint8_t *data, size_t size)
{
    size_t used;
    uint8_t *copy = malloc(RT_FRAME_HEADER + link->in_size + size);

    assert_non_null(copy);
    memset(copy, 0xee, RT_FRAME_HEADER);
    memcpy(copy + RT_FRAME_HEADER, link->in, link->in_size);
    memcpy(copy + RT_FRAME_HEADER + link->in_size, data, size);
    size += link->in_size;
    used = rt_agent_input(fx->agent, link->id, copy + RT_FRAME_HEADER, size, fx->now);
    assert_true(used <= size);
    link->in_size = size - used;
    assert_true(link->in_size < RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX);
    memcpy(link->in, copy + RT_FRAME_HEADER + used, link->in_size);
    free(copy);
    fx_settle(fx);
}

void fx_bytes(struct fx *fx, int link, const void *data, size_t size)
{
    struct fx_link *l = &fx->links[link];
    const uint8_t *bytes = data;

    for (size_t at = 0; at < size && !l->closed;) {
        size_t n = l->chunk == 0 || size - at < l->chunk ? size - at : l->chunk;
        feed(fx, l, bytes + at, n);
        at += n;
    }
}

void fx_send(struct fx *fx, int link, const struct rt_frame *frame, const void *payload)
{
    uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];

    rt_frame_put(buf, frame);
    if (frame->length > 0) {
        memcpy(buf + RT_FRAME_HEADER, payload, frame->length);
    }
    fx_bytes(fx, link, buf, RT_FRAME_HEADER + (size_t)frame->length);
}

void fx_msg(struct fx *fx, int link, const struct rt_frame *frame, enum rt_msg_kind kind, const void *msg)
{
    uint8_t buf[RT_FRAME_PAYLOAD_MAX];
    struct rt_frame whole = *frame;
    int size = rt_msg_encode(kind, msg, buf, sizeof(buf));

    assert_true(size > 0);
    whole.length = (uint32_t)size;
    fx_send(fx, link, &whole, buf);
}

void fx_lost(struct fx *fx, int link)
{
    fx->links[link].closed = true;
    rt_agent_closed(fx->agent, fx->links[link].id, "reset", fx->now);
    fx_settle(fx);
}

/* The agent itself says only what it may say there: protocol.md section 6. */
static void check_class(const struct fx_link *link, const struct rt_frame *frame, const uint8_t *payload)
{
    bool guest = link->role == RT_PEER_GUEST, passed = false;
    struct rt_refuse_msg refuse;
    enum rt_say say = guest ? RT_SAY_LINK_GUEST : RT_SAY_LINK_CLIENT;
    char why[RT_TEXT_MAX];

    if (frame->type != RT_REFUSE) {
        return;
    }
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, payload, frame->length, &refuse, why, sizeof(why)), 0);
    if (frame->channel != 0) {
        say = guest ? RT_SAY_AGENT_GUEST : RT_SAY_AGENT_CLIENT;
        passed = rt_may_say(guest ? RT_SAY_CLIENT_GUEST : RT_SAY_GUEST_CLIENT, refuse.c);
    }
    if (!passed && !rt_may_say(say, refuse.c)) {
        fail_msg("%s said to a %s", rt_class_name(refuse.c), guest ? "guest" : "client");
    }
}

bool fx_next(struct fx *fx, int link, struct rt_frame *frame, const uint8_t **payload)
{
    struct fx_link *l = &fx->links[link];
    const char *why;

    if (l->out_read == l->out_size) {
        return false;
    }
    assert_true(l->out_size - l->out_read >= RT_FRAME_HEADER);
    rt_frame_get(l->out + l->out_read, frame);
    assert_int_equal(rt_frame_check(frame, RT_WAY_AGENT_GUEST | RT_WAY_AGENT_CLIENT, &why), 0);
    assert_true(l->out_size - l->out_read >= RT_FRAME_HEADER + (size_t)frame->length);
    *payload = l->out + l->out_read + RT_FRAME_HEADER;
    check_class(l, frame, *payload);
    l->out_read += RT_FRAME_HEADER + (size_t)frame->length;
    return true;
}

bool fx_by_itself(const struct rt_frame *frame)
{
    return frame->type == RT_PING || frame->type == RT_TICKET;
}

const uint8_t *fx_want(struct fx *fx, int link, uint8_t type, struct rt_frame *frame)
{
    const uint8_t *payload = NULL;

    do {
        if (!fx_next(fx, link, frame, &payload)) {
            fail_msg("link %d got no %s", link, rt_frame_name(type));
            return NULL;
        }
    } while (frame->type != type && fx_by_itself(frame));
    if (frame->type != type) {
        fail_msg("link %d got %s instead of %s", link, rt_frame_name(frame->type), rt_frame_name(type));
    }
    return payload;
}

void fx_none(struct fx *fx, int link)
{
    struct rt_frame frame;
    const uint8_t *payload;

    while (fx_next(fx, link, &frame, &payload)) {
        if (!fx_by_itself(&frame)) {
            fail_msg("link %d got a %s too many", link, rt_frame_name(frame.type));
        }
    }
}

void fx_want_refuse(struct fx *fx, int link, uint32_t channel, enum rt_class cls, struct rt_refuse_msg *refuse)
{
    struct rt_refuse_msg own;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];
    const uint8_t *payload;

    memset(&frame, 0, sizeof(frame));
    payload = fx_want(fx, link, RT_REFUSE, &frame);
    refuse = refuse == NULL ? &own : refuse;
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, payload, frame.length, refuse, why, sizeof(why)), 0);
    assert_string_equal(rt_class_name(refuse->c), rt_class_name(cls));
    assert_int_equal(frame.channel, channel);
    if (channel == 0) {
        assert_true(fx_closed(fx, link));
    }
}

bool fx_closed(const struct fx *fx, int link)
{
    return fx->links[link].closed;
}
