/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

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
    fail_msg("the agent names link %u, which is not there", id);
    return NULL;
}

static void io_send(void *ctx, rt_link_id id, const uint8_t *data, size_t size, bool in_input)
{
    struct fx_link *link = link_of(ctx, id);

    (void)in_input;
    assert_false(link->closed);
    assert_true(link->out_size + size <= FX_BUF);
    memcpy(link->out + link->out_size, data, size);
    link->out_size += size;
    link->sends++;
}

static void io_close(void *ctx, rt_link_id id, const char *reason)
{
    struct fx_link *link = link_of(ctx, id);

    assert_false(link->closed);
    link->closed = true;
    (void)snprintf(link->reason, sizeof link->reason, "%s", reason);
}

static int io_store(void *ctx, const struct rt_store_op *op)
{
    struct fx *fx = ctx;

    if (fx->store == FX_STORE_DOWN) {
        return RT_EUNAVAIL;
    }
    assert_true(fx->n_ops < FX_OPS);
    fx->ops[fx->n_ops++] = *op;
    fx->n_submitted[op->kind]++;
    fx->last[op->kind] = *op;
    if (op->kind == RT_STORE_REPORT) {
        assert_true(op->report.size <= RT_REPORT_MAX);
        memcpy(fx->report, op->report.data, op->report.size);
        fx->report_size = op->report.size;
    }
    for (unsigned i = 0; op->kind == RT_STORE_END && i < 2; i++) {
        assert_true(op->tail[i].size <= RT_TAIL_MAX);
        if (op->tail[i].size > 0) {
            memcpy(fx->tail[i], op->tail[i].data, op->tail[i].size);
        }
        fx->tail_size[i] = op->tail[i].size;
    }
    return 0;
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

static int io_keep_end(void *ctx, const struct rt_store_op *end)
{
    struct fx *fx = ctx;

    (void)end;
    fx->n_kept += !fx->disk_full;
    return fx->disk_full ? RT_EIO : 0;
}

static void io_drop_end(void *ctx, const struct rt_key *key, uint64_t life)
{
    (void)key;
    (void)life;
    ((struct fx *)ctx)->n_dropped++;
}

static int seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    (void)ctx;
    return rt_ticket_encode(ticket, out, cap);
}

static int open_ticket(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket)
{
    int err = rt_ticket_decode(token, size, ticket);

    (void)ctx;
    if (err != 0) {
        return RT_EAUTH;
    }
    return ticket->expires_ms != 0 && wall_ms >= ticket->expires_ms ? RT_EEXPIRED : 0;
}

void fx_init(struct fx *fx)
{
    struct rt_agent_config config;

    memset(fx, 0, sizeof *fx);
    memset(&config, 0, sizeof config);
    fx->now = 1000;
    fx->store_ms = 1000000;
    fx->page = RT_LIST_MAX;
    (void)snprintf(config.host, sizeof config.host, "here");
    (void)snprintf(config.addr[0], sizeof config.addr[0], "unix:/here");
    config.n_addr = 1;
    config.seed = 42;
    config.ticket_ttl_ms = UINT64_C(3600000);
    config.sealer.seal = seal;
    config.sealer.open = open_ticket;
    config.io.ctx = fx;
    config.io.send = io_send;
    config.io.close = io_close;
    config.io.store = io_store;
    config.io.event = io_event;
    config.io.random = io_random;
    config.io.keep_end = io_keep_end;
    config.io.drop_end = io_drop_end;
    fx->agent = rt_agent_new(&config, fx->now, 1700000000000);
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
}

static struct rt_store_record *find(struct fx *fx, const struct rt_key *key)
{
    for (size_t i = 0; i < fx->n_records; i++) {
        if (rt_key_equal(&fx->records[i].key, key)) {
            return &fx->records[i];
        }
    }
    return NULL;
}

struct rt_store_record *fx_record(struct fx *fx, const char *tenant, const char *cid)
{
    struct rt_key key;
    struct rt_store_record *record;

    memset(&key, 0, sizeof key);
    (void)snprintf(key.tenant, sizeof key.tenant, "%s", tenant);
    (void)snprintf(key.cid, sizeof key.cid, "%s", cid);
    record = find(fx, &key);
    if (record == NULL) {
        assert_true(fx->n_records < FX_RECORDS);
        record = &fx->records[fx->n_records++];
        memset(record, 0, sizeof *record);
        record->key = key;
    }
    return record;
}

static void run_claim(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_store_record none, *record = find(fx, &op->key);

    if (record == NULL) {
        memset(&none, 0, sizeof none);
    }
    rt_claim_judge(record == NULL ? &none.rule : &record->rule, &op->claim, fx->store_ms, &reply->outcome);
    if (op->kind == RT_STORE_TAKE && reply->outcome.verdict == RT_CLASS_OK) {
        record = fx_record(fx, op->key.tenant, op->key.cid);
        rt_claim_apply(&record->rule, &op->claim, &reply->outcome);
    }
}

static void run_find(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply,
                     struct rt_store_record *out)
{
    size_t i = (size_t)op->cursor;

    for (; i < fx->n_records && reply->n_records < fx->page; i++) {
        const struct rt_store_record *record = &fx->records[i];
        if ((op->key.tenant[0] == '\0' || strcmp(op->key.tenant, record->key.tenant) == 0) &&
            strncmp(op->key.cid, record->key.cid, strlen(op->key.cid)) == 0 &&
            (op->host[0] == '\0' || strcmp(op->host, record->rule.host) == 0)) {
            out[reply->n_records++] = *record;
        }
    }
    reply->records = out;
    reply->cursor = i < fx->n_records ? i : 0;
}

static void run_write(struct fx *fx, const struct rt_store_op *op, struct rt_store_reply *reply)
{
    struct rt_store_record *record = find(fx, &op->key);

    if (record == NULL) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_NOT_FOUND;
    } else if (record->rule.life != op->life || (op->kind != RT_STORE_END && record->rule.epoch != op->epoch)) {
        reply->error = RT_ENOTFOUND;
        reply->outcome.verdict = RT_CLASS_STALE;
        reply->outcome.life = record->rule.life;
        reply->outcome.epoch = record->rule.epoch;
        memcpy(reply->outcome.host, record->rule.host, sizeof reply->outcome.host);
    } else if (op->kind == RT_STORE_STATE) {
        record->rule.state = op->state;
    } else if (op->kind == RT_STORE_END) {
        record->rule.state = RT_SESSION_ENDED;
        record->code = op->end.code;
        record->out = op->end.out;
        record->err = op->end.err;
        reply->how = RT_END_REPLICATED;
    }
}

static void run(struct fx *fx, const struct rt_store_op *op, int error)
{
    static struct rt_store_record out[FX_RECORDS];
    static struct rt_store_host hosts[3];
    struct rt_store_reply reply;
    struct rt_store_record *record = find(fx, &op->key);

    memset(&reply, 0, sizeof reply);
    reply.id = op->id;
    reply.kind = op->kind;
    reply.error = error;
    if (error == 0 && (op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE)) {
        run_claim(fx, op, &reply);
    } else if (error == 0 && op->kind == RT_STORE_FIND) {
        run_find(fx, op, &reply, out);
    } else if (error == 0 && op->kind == RT_STORE_GET) {
        reply.records = record;
        reply.n_records = record != NULL;
    } else if (error == 0 && (op->kind == RT_STORE_STATE || op->kind == RT_STORE_END || op->kind == RT_STORE_REPORT)) {
        run_write(fx, op, &reply);
    } else if (error == 0 && op->kind == RT_STORE_CREATE) {
        bool exists = record != NULL && record->rule.state != RT_SESSION_ENDED;
        reply.outcome.verdict = exists ? RT_CLASS_LIMIT : RT_CLASS_OK;
        record = fx_record(fx, op->key.tenant, op->key.cid);
        if (!exists) {
            record->rule.exists = true;
            record->rule.state = RT_SESSION_CREATED;
        }
    } else if (error == 0 && op->kind == RT_STORE_TAILS) {
        if (record == NULL || record->rule.state != RT_SESSION_ENDED) {
            reply.error = RT_ENOTFOUND;
        } else {
            reply.end.code = record->code;
            reply.end.out = record->out;
            reply.end.err = record->err;
            for (unsigned i = 0; i < 2; i++) {
                reply.tail[i].data = fx->tail[i];
                reply.tail[i].size = fx->tail_size[i];
            }
        }
    } else if (error == 0 && op->kind == RT_STORE_HOSTS) {
        memset(hosts, 0, sizeof hosts);
        (void)snprintf(hosts[0].host, sizeof hosts[0].host, "here");
        (void)snprintf(hosts[1].host, sizeof hosts[1].host, "living");
        hosts[0].alive = hosts[1].alive = true;
        reply.hosts = hosts;
        reply.n_hosts = 2;
    }
    rt_agent_store_reply(fx->agent, &reply, fx->now);
}

static void answer_all(struct fx *fx, int error)
{
    while (fx->n_ops > 0) {
        struct rt_store_op op = fx->ops[0];
        fx->n_ops--;
        memmove(fx->ops, fx->ops + 1, fx->n_ops * sizeof fx->ops[0]);
        run(fx, &op, error);
    }
}

void fx_answer(struct fx *fx)
{
    answer_all(fx, 0);
}

void fx_fail(struct fx *fx, int error)
{
    answer_all(fx, error);
}

static void news(struct fx *fx, const struct rt_store_news *item)
{
    rt_agent_store_news(fx->agent, item, fx->now);
}

void fx_up(struct fx *fx, bool fresh, bool whole)
{
    fx->store = FX_STORE_UP;
    news(fx, &(struct rt_store_news){.kind = RT_STORE_UP, .fresh = fresh, .whole = whole});
}

void fx_down(struct fx *fx)
{
    fx->store = FX_STORE_DOWN;
    news(fx, &(struct rt_store_news){.kind = RT_STORE_DOWN});
}

void fx_host(struct fx *fx, const char *host, bool alive)
{
    struct rt_store_news item;

    memset(&item, 0, sizeof item);
    item.kind = RT_STORE_HOST;
    (void)snprintf(item.row.host, sizeof item.row.host, "%s", host);
    (void)snprintf(item.row.addr[0], sizeof item.row.addr[0], "unix:/%.60s", host);
    item.row.n_addr = 1;
    item.row.alive = alive;
    news(fx, &item);
}

void fx_claimed(struct fx *fx, const char *cid, const char *host, uint64_t life, uint64_t epoch)
{
    struct rt_store_news item;

    memset(&item, 0, sizeof item);
    item.kind = RT_STORE_CLAIMED;
    (void)snprintf(item.key.tenant, sizeof item.key.tenant, "local");
    (void)snprintf(item.key.cid, sizeof item.key.cid, "%s", cid);
    (void)snprintf(item.host, sizeof item.host, "%s", host);
    item.life = life;
    item.epoch = epoch;
    news(fx, &item);
}

int fx_open(struct fx *fx, enum rt_peer_role role, const char *who)
{
    struct rt_peer peer;
    struct fx_link *link = &fx->links[fx->n_links];

    assert_true(fx->n_links < FX_LINKS);
    memset(&peer, 0, sizeof peer);
    peer.role = role;
    (void)snprintf(peer.name, sizeof peer.name, "test");
    (void)snprintf(role == RT_PEER_CLIENT ? peer.tenant : peer.proof, RT_HOST_MAX, "%s", who);
    link->id = rt_agent_opened(fx->agent, &peer, fx->now);
    link->out = calloc(1, FX_BUF);
    link->in = calloc(1, FX_BUF);
    assert_non_null(link->out);
    assert_non_null(link->in);
    link->closed = link->id == 0;
    return (int)fx->n_links++;
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
    int size = rt_msg_encode(kind, msg, buf, sizeof buf);

    assert_true(size > 0);
    whole.length = (uint32_t)size;
    fx_send(fx, link, &whole, buf);
}

void fx_lost(struct fx *fx, int link)
{
    fx->links[link].closed = true;
    rt_agent_closed(fx->agent, fx->links[link].id, "reset", fx->now);
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
    assert_int_equal(rt_frame_check(frame, &why), 0);
    assert_true(l->out_size - l->out_read >= RT_FRAME_HEADER + (size_t)frame->length);
    *payload = l->out + l->out_read + RT_FRAME_HEADER;
    l->out_read += RT_FRAME_HEADER + (size_t)frame->length;
    return true;
}

const uint8_t *fx_want(struct fx *fx, int link, uint8_t type, struct rt_frame *frame)
{
    const uint8_t *payload = NULL;

    do {
        if (!fx_next(fx, link, frame, &payload)) {
            fail_msg("link %d got no %s", link, rt_frame_name(type));
            return NULL;
        }
    } while (frame->type == RT_PING && type != RT_PING);
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
        if (frame.type != RT_PING) {
            fail_msg("link %d got a %s too many", link, rt_frame_name(frame.type));
        }
    }
}

void fx_want_refuse(struct fx *fx, int link, uint32_t channel, enum rt_class cls, struct rt_refuse_msg *refuse)
{
    struct rt_refuse_msg own;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];
    const uint8_t *payload = fx_want(fx, link, RT_REFUSE, &frame);

    refuse = refuse == NULL ? &own : refuse;
    assert_int_equal(rt_msg_decode(RT_MSG_REFUSE, payload, frame.length, refuse, why, sizeof why), 0);
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

void fx_join_token(struct fx_guest *guest, const char *tenant, const char *cid, const char *bound_to)
{
    struct rt_ticket ticket;
    int size;

    memset(&ticket, 0, sizeof ticket);
    ticket.join = true;
    (void)snprintf(ticket.key.tenant, sizeof ticket.key.tenant, "%s", tenant);
    (void)snprintf(ticket.key.cid, sizeof ticket.key.cid, "%s", cid);
    (void)snprintf(ticket.bound_to, sizeof ticket.bound_to, "%s", bound_to);
    size = rt_ticket_encode(&ticket, guest->token, sizeof guest->token);
    assert_true(size > 0);
    guest->token_size = (size_t)size;
}

void fx_guest(struct fx_guest *guest, const char *cid, uint8_t inc)
{
    memset(guest, 0, sizeof *guest);
    guest->cid = cid;
    guest->inc = inc;
    fx_join_token(guest, "local", cid, "");
}

void fx_hello_on(struct fx *fx, struct fx_guest *guest)
{
    struct rt_hello_msg hello;
    uint8_t inc[RT_ID_SIZE], nonce[RT_ID_SIZE];

    memset(&hello, 0, sizeof hello);
    memset(inc, guest->inc, sizeof inc);
    memset(nonce, guest->nonce, sizeof nonce);
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("guest");
    hello.cid = rt_slice_text(guest->cid);
    hello.inc = (struct rt_slice){inc, sizeof inc};
    hello.nonce = (struct rt_slice){nonce, sizeof nonce};
    hello.life = guest->life;
    hello.epoch = guest->epoch;
    hello.tok = (struct rt_slice){guest->token, guest->token_size};
    fx_msg(fx, guest->link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
}

void fx_hello(struct fx *fx, struct fx_guest *guest)
{
    guest->link = fx_open(fx, RT_PEER_GUEST, "");
    guest->epoch++;
    guest->nonce++;
    fx_hello_on(fx, guest);
}

void fx_welcome(struct fx *fx, struct fx_guest *guest, struct rt_welcome_msg *welcome)
{
    static struct rt_welcome_msg own;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];
    const uint8_t *payload = fx_want(fx, guest->link, RT_WELCOME, &frame);

    welcome = welcome == NULL ? &own : welcome;
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, payload, frame.length, welcome, why, sizeof why), 0);
    assert_int_equal(welcome->epoch, guest->epoch);
    guest->life = welcome->life;
    memcpy(guest->token, welcome->tkt.data, welcome->tkt.size);
    guest->token_size = welcome->tkt.size;
}

void fx_confirm(struct fx *fx, struct fx_guest *guest)
{
    fx_send(fx, guest->link, &(struct rt_frame){.type = RT_CONFIRM}, NULL);
}

void fx_serve(struct fx *fx, struct fx_guest *guest)
{
    fx_hello(fx, guest);
    fx_answer(fx);
    fx_welcome(fx, guest, NULL);
    fx_confirm(fx, guest);
    fx_answer(fx);
}

int fx_client(struct fx *fx, const char *tenant)
{
    struct rt_hello_msg hello;
    struct rt_frame frame;
    int link = fx_open(fx, RT_PEER_CLIENT, tenant);

    memset(&hello, 0, sizeof hello);
    hello.vmin = hello.vmax = 1;
    hello.role = rt_slice_text("client");
    fx_msg(fx, link, &(struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &hello);
    (void)fx_want(fx, link, RT_WELCOME, &frame);
    return link;
}

void fx_attach(struct fx *fx, int client, uint32_t channel, const char *cid, uint64_t wait, uint64_t klife,
               uint64_t kepoch)
{
    struct rt_attach_msg attach;
    uint8_t id[RT_ID_SIZE];

    memset(&attach, 0, sizeof attach);
    memset(id, (int)channel, sizeof id);
    attach.cid = rt_slice_text(cid);
    attach.id = (struct rt_slice){id, sizeof id};
    attach.try_no = 1;
    attach.mode = klife > 0 ? RT_ATTACH_RESUME : RT_ATTACH_NEW;
    attach.want = 7;
    attach.wait = wait;
    attach.klife = klife;
    attach.kepoch = kepoch;
    fx_msg(fx, client, &(struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &attach);
}

bool fx_serves(const struct fx *fx, const char *cid)
{
    struct rt_key key;
    uint64_t life, epoch;

    memset(&key, 0, sizeof key);
    (void)snprintf(key.tenant, sizeof key.tenant, "local");
    (void)snprintf(key.cid, sizeof key.cid, "%s", cid);
    return rt_agent_serves(fx->agent, &key, &life, &epoch);
}

struct rt_agent_stats fx_stats(const struct fx *fx)
{
    struct rt_agent_stats stats;

    rt_agent_stats(fx->agent, &stats);
    return stats;
}

void fx_request(struct fx *fx, int client, uint64_t id, const struct rt_request_msg *msg)
{
    fx_msg(fx, client, &(struct rt_frame){.type = RT_REQUEST, .offset = id}, RT_MSG_REQUEST, msg);
}

void fx_reply(struct fx *fx, int client, uint64_t id, struct rt_reply_msg *reply)
{
    struct rt_frame frame = {0};
    char why[RT_TEXT_MAX];
    const uint8_t *payload = fx_want(fx, client, RT_REPLY, &frame);

    assert_int_equal(frame.offset, id);
    if (rt_msg_decode(RT_MSG_REPLY, payload, frame.length, reply, why, sizeof why) != 0) {
        fail_msg("REPLY: %s", why);
    }
}
