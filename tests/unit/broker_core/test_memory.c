/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg_stream.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/broker_core/fixture.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Memory: what runs out of it, and how much of it an idle session takes. */

/* The peers' frames, made beforehand by a run with all the memory that it wants. */
struct script {
    struct rt_agent *agent;
    rt_link_id guest, client;
    uint64_t now;
    struct rt_store_record record;
    struct rt_store_op ops[64];
    size_t n_ops;
    uint32_t writing; /* an end onto the disk, 0 none */
    uint8_t welcome[RT_FRAME_PAYLOAD_MAX];
    size_t welcome_size;
    bool refused, closed;
};

static void io_send(void *ctx, rt_link_id link, const uint8_t *data, size_t size, bool in_input)
{
    struct script *s = ctx;

    (void)in_input;
    if (size > RT_FRAME_HEADER && data[4] == RT_WELCOME && link == s->guest) {
        s->welcome_size = size - RT_FRAME_HEADER;
        memcpy(s->welcome, data + RT_FRAME_HEADER, s->welcome_size);
    }
    s->refused = s->refused || data[4] == RT_REFUSE;
}

static void io_close(void *ctx, rt_link_id link, const char *reason)
{
    (void)link;
    (void)reason;
    ((struct script *)ctx)->closed = true;
}

static int io_store(void *ctx, const struct rt_store_op *op)
{
    struct script *s = ctx;

    if (s->n_ops == 64) {
        return RT_ELIMIT;
    }
    s->ops[s->n_ops++] = *op;
    return 0;
}

static void io_event(void *ctx, const struct rt_agent_event *event)
{
    (void)ctx;
    (void)event;
}

static void io_random(void *ctx, void *out, size_t size)
{
    (void)ctx;
    memset(out, 7, size);
}

static int io_keep_end(void *ctx, uint32_t id, const struct rt_store_op *end)
{
    (void)end;
    ((struct script *)ctx)->writing = id;
    return 0;
}

static void io_drop_end(void *ctx, const struct rt_key *key, uint64_t life)
{
    (void)ctx;
    (void)key;
    (void)life;
}

static int io_keep_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    (void)ctx;
    (void)key;
    (void)life;
    return 0;
}

static uint64_t io_wall(void *ctx)
{
    (void)ctx;
    return 0;
}

static int seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap)
{
    (void)ctx;
    return rt_ticket_encode(ticket, out, cap);
}

static int open_ticket(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket)
{
    (void)ctx;
    (void)wall_ms;
    return rt_ticket_decode(token, size, ticket);
}

static void start(struct script *s)
{
    struct rt_agent_config config;

    memset(&config, 0, sizeof(config));
    memset(s, 0, sizeof(*s));
    s->now = 1;
    memcpy(config.host, "here", 5);
    config.io = (struct rt_agent_io){.ctx = s,
                                     .send = io_send,
                                     .close = io_close,
                                     .store = io_store,
                                     .event = io_event,
                                     .random = io_random,
                                     .wall_ms = io_wall,
                                     .keep_end = io_keep_end,
                                     .drop_end = io_drop_end,
                                     .keep_revoked = io_keep_revoked,
                                     .drop_revoked = io_drop_end};
    config.sealer.seal = seal;
    config.sealer.open = open_ticket;
    s->agent = rt_agent_new(&config, s->now);
}

static void answer(struct script *s)
{
    while (s->n_ops > 0 || s->writing != 0) {
        if (s->writing != 0) {
            uint32_t id = s->writing;
            s->writing = 0;
            rt_agent_disk_reply(s->agent, id, 0, s->now);
            continue;
        }
        struct rt_store_op op = s->ops[0];
        struct rt_store_reply reply;
        s->n_ops--;
        memmove(s->ops, s->ops + 1, s->n_ops * sizeof(s->ops[0]));
        memset(&reply, 0, sizeof(reply));
        reply.id = op.id;
        reply.kind = op.kind;
        if (op.kind == RT_STORE_TEST || op.kind == RT_STORE_TAKE) {
            rt_claim_judge(&s->record.rule, &op.claim, s->now, &reply.outcome);
            if (op.kind == RT_STORE_TAKE && reply.outcome.verdict == RT_CLASS_OK) {
                rt_claim_apply(&s->record.rule, &op.claim, &reply.outcome);
                reply.past = rt_slice_text("its past");
                s->record.key = op.key;
            }
        } else if (op.kind == RT_STORE_GET || op.kind == RT_STORE_FIND) {
            reply.records = &s->record;
            reply.n_records = s->record.rule.exists;
        }
        reply.how = RT_END_STORED;
        rt_agent_store_reply(s->agent, &reply, s->now);
    }
}

static void frame(struct script *s, rt_link_id link, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t buf[2 * RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    uint8_t *p = buf + RT_FRAME_HEADER;

    if (msg != NULL) {
        int size = rt_msg_encode(kind, msg, p + RT_FRAME_HEADER, RT_FRAME_PAYLOAD_MAX);
        assert_true(size > 0);
        head.length = (uint32_t)size;
    } else {
        memset(p + RT_FRAME_HEADER, 'x', head.length);
    }
    rt_frame_put(p, &head);
    (void)rt_agent_input(s->agent, link, p, RT_FRAME_HEADER + (size_t)head.length, s->now);
}

static void hello(struct script *s, const char *role, struct rt_slice token)
{
    struct rt_hello_msg msg;
    static const uint8_t id[RT_ID_SIZE] = {1};

    memset(&msg, 0, sizeof(msg));
    msg.vmin = msg.vmax = 1;
    msg.role = rt_slice_text(role);
    if (token.size > 0) {
        msg.cid = rt_slice_text("web");
        msg.inc = msg.nonce = (struct rt_slice){id, sizeof(id)};
        msg.epoch = 1;
        msg.tok = token;
    }
    frame(s, token.size > 0 ? s->guest : s->client, (struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &msg);
}

static struct rt_slice join_token(void)
{
    static uint8_t token[RT_TOKEN_MAX];
    struct rt_ticket ticket;
    int size;

    memset(&ticket, 0, sizeof(ticket));
    ticket.join = true;
    memcpy(ticket.key.tenant, "local", 6);
    memcpy(ticket.key.cid, "web", 4);
    size = rt_ticket_encode(&ticket, token, sizeof(token));
    assert_true(size > 0);
    return (struct rt_slice){token, (size_t)size};
}

static void attach(struct script *s, uint32_t channel)
{
    struct rt_attach_msg msg;
    static const uint8_t id[RT_ID_SIZE] = {2};

    memset(&msg, 0, sizeof(msg));
    msg.cid = rt_slice_text("web");
    msg.id = (struct rt_slice){id, sizeof(id)};
    msg.try_no = 1;
    msg.wait = 5000;
    frame(s, s->client, (struct rt_frame){.type = RT_ATTACH, .channel = channel}, RT_MSG_ATTACH, &msg);
}

static void request(struct script *s, const char *op)
{
    struct rt_request_msg msg;

    memset(&msg, 0, sizeof(msg));
    msg.op = rt_slice_text(op);
    msg.cid = rt_slice_text("web");
    msg.prefix = strcmp(op, "show") == 0;
    frame(s, s->client, (struct rt_frame){.type = RT_REQUEST}, RT_MSG_REQUEST, &msg);
}

/* A session from its beginning to its end. Every step is taken, whatever became of those before. */
static void play(struct script *s)
{
    static const struct rt_proof proof = {.as = RT_CLIENT_VCH, .who = "local"};
    struct rt_peer peer;
    struct rt_store_news news;

    memset(&peer, 0, sizeof(peer));
    memset(&news, 0, sizeof(news));
    news.kind = RT_STORE_UP;
    news.whole = true;
    rt_agent_store_news(s->agent, &news, s->now);
    news.kind = RT_STORE_HOST;
    memcpy(news.row.host, "there", 6);
    news.row.n_addr = 1;
    rt_agent_store_news(s->agent, &news, s->now);
    peer.role = RT_PEER_CLIENT;
    s->client = rt_agent_opened(s->agent, &peer, s->now);
    rt_agent_proved(s->agent, s->client, &proof, s->now);
    peer.role = RT_PEER_GUEST;
    s->guest = rt_agent_opened(s->agent, &peer, s->now);
    rt_agent_proved(s->agent, s->guest, &(struct rt_proof){.who = ""}, s->now);
    hello(s, "client", (struct rt_slice){NULL, 0});
    attach(s, 1);
    hello(s, "guest", join_token());
    answer(s);
    frame(s, s->guest, (struct rt_frame){.type = RT_CONFIRM}, RT_MSG_HELLO, NULL);
    frame(s, s->guest, (struct rt_frame){.type = RT_REPORT, .length = 3}, RT_MSG_HELLO, NULL);
    answer(s);
    attach(s, 2);
    frame(s, s->guest, (struct rt_frame){.type = RT_DATA, .channel = 1, .stream = 1, .length = 100}, RT_MSG_HELLO,
          NULL);
    request(s, "create");
    request(s, "show");
    request(s, "list");
    request(s, "hosts");
    request(s, "tails");
    answer(s);
    frame(s, s->guest, (struct rt_frame){.type = RT_TAIL, .stream = 1, .length = 50}, RT_MSG_HELLO, NULL);
    frame(s, s->guest, (struct rt_frame){.type = RT_END}, RT_MSG_END, &(struct rt_end_msg){.out = 50});
    answer(s);
    news.kind = RT_STORE_UP;
    news.fresh = true;
    rt_agent_store_news(s->agent, &news, s->now);
    answer(s);
    s->now += 3000;
    rt_agent_tick(s->agent, s->now);
    rt_agent_closed(s->agent, s->guest, "gone", s->now);
    answer(s);
    rt_agent_stop(s->agent, s->now);
    answer(s);
}

static void test_every_allocation_fails(void **state)
{
    struct script *s = malloc(sizeof(*s));
    bool failed = true;

    (void)state;
    assert_non_null(s);
    for (size_t n = 1; failed; n++) {
        struct rt_agent_stats stats;
        rt_alloc_fail_at(n);
        start(s);
        if (s->agent != NULL) {
            play(s);
        }
        failed = rt_alloc_stop();
        if (s->agent != NULL) {
            rt_agent_stats(s->agent, &stats);
            assert_int_equal(stats.links, 0);
            assert_int_equal(stats.channels, 0);
            assert_int_equal(stats.held, 0);
            assert_int_equal(stats.served, 0);
            assert_int_equal(stats.handshakes, 0);
            rt_agent_free(s->agent);
        }
    }
    assert_true(rt_alloc_count() > 15);
    free(s);
}

static void test_memory_runs_out(void **state)
{
    struct script *s = malloc(sizeof(*s));
    bool failed = true;

    (void)state;
    assert_non_null(s);
    for (size_t n = 1; failed; n++) {
        rt_alloc_fail_from(n);
        start(s);
        if (s->agent != NULL) {
            play(s);
        }
        failed = rt_alloc_stop();
        rt_agent_free(s->agent);
    }
    free(s);
}

static void report(struct fx *fx, int link)
{
    struct rt_report_msg *msg = calloc(1, sizeof(*msg));
    static const uint8_t id[RT_ID_SIZE];

    assert_non_null(msg);
    msg->n_procs = msg->n_atts = 1;
    msg->procs[0].st = 1;
    msg->procs[0].n_base = msg->procs[0].n_head = 3;
    msg->procs[0].head[0] = UINT64_C(1) << 40;
    msg->atts[0].id = (struct rt_slice){id, sizeof(id)};
    msg->atts[0].n_cons = 3;
    msg->atts[0].n_app = 2;
    msg->atts[0].cons[0] = UINT64_C(1) << 40;
    fx_msg(fx, link, &(struct rt_frame){.type = RT_REPORT}, RT_MSG_REPORT, msg);
    free(msg);
}

/* A guest's link, its session and one channel, counted by what malloc() has given out. */
static void test_idle_session_is_small(void **state)
{
    enum { SESSIONS = 1000 };
    struct fx *fx = calloc(1, sizeof(*fx));
    struct rt_peer peer;
    struct rt_frame head;
    struct mallinfo2 before, after;
    int client;

    (void)state;
    assert_non_null(fx);
    fx_init(fx);
    client = fx_client(fx, "local");
    fx->links[client].chunk = 0;
    memset(&peer, 0, sizeof(peer));
    before = mallinfo2();
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct fx_guest guest;
        char cid[16];
        (void)snprintf(cid, sizeof(cid), "container-%u", i);
        fx_guest(&guest, cid, (uint8_t)(1 + i % 200));
        fx->n_records = 0;
        fx->n_links = 1; /* the fixture's own books are kept small */
        fx_serve(fx, &guest);
        fx_attach(fx, client, i + 1, cid, 0, 0, 0);
        (void)fx_want(fx, guest.link, RT_ATTACH, &head);
        report(fx, guest.link);
        fx_answer(fx);
        free(fx->links[1].in);
        free(fx->links[1].out);
        fx->links[client].out_size = fx->links[client].out_read = 0;
    }
    after = mallinfo2();
    assert_int_equal(fx_stats(fx).channels, SESSIONS);
    print_message("%zu bytes per idle attached session\n", (after.uordblks - before.uordblks) / SESSIONS);
#if !defined(__SANITIZE_ADDRESS__)
    assert_true(after.uordblks - before.uordblks <= SESSIONS * (size_t)1344);
#endif
    fx->n_links = 1;
    fx_close(fx);
    free(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_idle_session_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
