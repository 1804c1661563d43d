/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/answer.h"
#include "tests/unit/clients/box_request.h"

#include "migrate/core/token_text.h"

/* Requests: what is asked, and what comes back in how many parts. */

static struct rt_request_msg asked;
static char asked_text[4][RT_LABEL_MAX + 1];

/* Notes what was asked; the box answers. */
static bool note_request(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)link;
    (void)id;
    asked = *request;
    rt_slice_copy(request->op, asked_text[0], sizeof(asked_text[0]));
    rt_slice_copy(request->cid, asked_text[1], sizeof(asked_text[1]));
    rt_slice_copy(request->label, asked_text[2], sizeof(asked_text[2]));
    rt_slice_copy(request->vm, asked_text[3], sizeof(asked_text[3]));
    return false;
}

static void test_create(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};
    uint8_t token[RT_TOKEN_MAX];

    sdk->box->on_request = note_request;
    assert_int_equal(retether_create(sdk->client, "box",
                                     &(struct retether_made){.label = "a label", .vm = "vm-1", .ring = 65536}, reply_cb,
                                     &answer),
                     RT_OK);
    wait_answer(&answer);
    assert_string_equal(asked_text[0], "create");
    assert_string_equal(asked_text[1], "box");
    assert_string_equal(asked_text[2], "a label");
    assert_string_equal(asked_text[3], "vm-1");
    assert_int_equal(asked.ring, 65536);
    assert_int_equal(answer.error, 0);
    assert_int_equal(rt_token_text_decode(answer.token, strlen(answer.token), token, sizeof(token)), 5);
    assert_memory_equal(token, "token", 5);
}

static bool answer_record(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    static struct rt_report_msg report;
    static uint8_t bytes[RT_FRAME_PAYLOAD_MAX];
    struct rt_record_msg *record = &reply.recs[0];
    int size;

    (void)note_request(box, link, id, request);
    memset(&reply, 0, sizeof(reply));
    memset(&report, 0, sizeof(report));
    report.n_procs = 1;
    report.procs[0] = (struct rt_report_proc){
        .p = 3, .st = 2, .tty = true, .code = 8, .base = {1, 2, 3}, .head = {10, 20, 30}, .n_base = 3, .n_head = 3};
    report.n_atts = 1;
    report.atts[0] = (struct rt_report_att){.id = {(const uint8_t *)"0123456789abcdef", 16},
                                            .p = 3,
                                            .bound = true,
                                            .cons = {4, 5, 6},
                                            .n_cons = 3,
                                            .app = {7, 8},
                                            .n_app = 2,
                                            .hold = 99};
    report.done = 14;
    report.pmore = 15;
    report.amore = 16;
    size = rt_msg_encode(RT_MSG_REPORT, &report, bytes, sizeof(bytes));
    assert_true(size > 0);
    reply.n_recs = 1;
    box_record(box, record);
    record->label = rt_slice_text("a label");
    record->report = (struct rt_slice){bytes, (size_t)size};
    record->n_hist = 1;
    record->hist[0] = (struct rt_move_msg){.host = rt_slice_text("h7"), .life = 5, .epoch = 6, .at = 7};
    record->claimed = 11;
    record->moves = 12;
    record->seen = 13;
    box_reply(link, id, &reply);
    return true;
}

static void test_show(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_record;
    assert_int_equal(retether_show(sdk->client, "we", true, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_true(asked.prefix);
    assert_int_equal(answer.records, 1);
    assert_string_equal(answer.record.container, "web");
    assert_string_equal(answer.record.tenant, "local");
    assert_string_equal(answer.record.label, "a label");
    assert_string_equal(answer.record.host, "h0");
    assert_int_equal(answer.record.state, RETETHER_RUNNING);
    assert_int_equal(answer.record.made_ms, 1700000000000);
    assert_int_equal(answer.record.claimed_ms, 11);
    assert_int_equal(answer.record.moves, 12);
    assert_int_equal(answer.record.seen_ms, 13);
    assert_int_equal(answer.record.n_history, 1);
    assert_string_equal(answer.move.host, "h7");
    assert_int_equal(answer.move.at_ms, 7);
    assert_int_equal(answer.record.n_processes, 1);
    assert_true(answer.process.exited && answer.process.tty);
    assert_int_equal(answer.process.id, 3);
    assert_int_equal(answer.process.code, 8);
    assert_int_equal(answer.process.base[1], 2);
    assert_int_equal(answer.process.head[2], 30);
    assert_int_equal(answer.record.processes_exited, 14);
    assert_int_equal(answer.record.processes_more, 15);
    assert_int_equal(answer.record.attachments_more, 16);
    assert_int_equal(answer.record.n_attachments, 1);
    assert_memory_equal(answer.holder.id, "0123456789abcdef", 16);
    assert_true(answer.holder.bound && !answer.holder.observer);
    assert_int_equal(answer.holder.consumed[1], 5);
    assert_int_equal(answer.holder.applied[0], 7);
    assert_int_equal(answer.holder.hold_left_ms, 99);
}

/* A report that cannot be read costs the record nothing else. */
static bool answer_bad_report(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)request;
    memset(&reply, 0, sizeof(reply));
    reply.n_recs = 1;
    box_record(box, &reply.recs[0]);
    reply.recs[0].report = rt_slice_text("no report");
    box_reply(link, id, &reply);
    return true;
}

static void test_bad_report(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_bad_report;
    assert_int_equal(retether_show(sdk->client, "web", false, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.records, 1);
    assert_int_equal(answer.record.n_processes + answer.record.n_attachments + answer.record.n_history, 0);
}

/* As many as a part can have, in three parts. */
static bool answer_list(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)note_request(box, link, id, request);
    for (unsigned part = 0; part < 3; part++) {
        memset(&reply, 0, sizeof(reply));
        reply.more = part < 2;
        reply.n_recs = RT_LIST_MAX;
        for (size_t i = 0; i < RT_LIST_MAX; i++) {
            box_record(box, &reply.recs[i]);
        }
        box_reply(link, id, &reply);
    }
    return true;
}

static void test_list(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_list;
    assert_int_equal(retether_list(sdk->client, NULL, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.parts, 3);
    assert_int_equal(answer.records, 3 * RT_LIST_MAX);
    assert_int_equal(asked.cid.size + asked.host.size, 0);
}

static bool answer_hosts(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)note_request(box, link, id, request);
    memset(&reply, 0, sizeof(reply));
    reply.n_hosts = 1;
    reply.hosts[0] = (struct rt_registry_msg){.host = rt_slice_text("h0"),
                                              .addr = {rt_slice_text("unix:/a"), rt_slice_text("unix:/b")},
                                              .n_addr = 2,
                                              .ver = rt_slice_text("0.1.0"),
                                              .seq = 1,
                                              .age = 2,
                                              .sessions = 3,
                                              .state = RT_HOST_DEAD};
    box_reply(link, id, &reply);
    return true;
}

static void test_hosts(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_hosts;
    assert_int_equal(retether_hosts(sdk->client, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.hosts, 1);
    assert_string_equal(answer.host.name, "h0");
    assert_string_equal(answer.host.version, "0.1.0");
    assert_int_equal(answer.host.n_addresses, 2);
    assert_string_equal(answer.host.address[1], "unix:/b");
    assert_int_equal(answer.host.sequence, 1);
    assert_int_equal(answer.host.age_ms, 2);
    assert_int_equal(answer.host.sessions, 3);
    assert_int_equal(answer.host.state, RETETHER_HOST_DEAD);
}

static bool answer_limits(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)box;
    assert_true(rt_slice_equal(request->op, rt_slice_text("limits")));
    memset(&reply, 0, sizeof(reply));
    reply.lims[0] = (struct rt_limit_msg){
        .set = rt_slice_text("limits.tenant_clients"), .who = rt_slice_text("acme"), .max = 9, .has = 8, .over = 7};
    reply.n_lims = 1;
    box_reply(link, id, &reply);
    return true;
}

static struct retether_limit limit;

static void limits_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    if (reply->n_limits > 0) {
        limit = reply->limits[0];
    }
    reply_cb(client, reply, ctx);
}

static void test_limits(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_limits;
    assert_int_equal(retether_limits(sdk->client, NULL, limits_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_string_equal(limit.setting, "limits.tenant_clients");
    assert_string_equal(limit.tenant, "acme");
    assert_int_equal(limit.most, 9);
    assert_int_equal(limit.has, 8);
    assert_int_equal(limit.refused, 7);
}

static bool answer_store(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)box;
    assert_true(rt_slice_equal(request->op, rt_slice_text("store")));
    memset(&reply, 0, sizeof(reply));
    reply.chks[0] = (struct rt_check_msg){.name = rt_slice_text("rights"),
                                          .state = RT_CHECK_IS_WEAK,
                                          .val = rt_slice_text("missing"),
                                          .risk = rt_slice_text("a risk"),
                                          .mend = rt_slice_text("do")};
    reply.n_chks = 1;
    reply.age = 17;
    box_reply(link, id, &reply);
    return true;
}

static struct retether_check check;

static void store_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    assert_int_equal(reply->n_checks, 1);
    check = reply->checks[0];
    reply_cb(client, reply, ctx);
}

static void test_store(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_store;
    assert_int_equal(retether_store(sdk->client, store_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_string_equal(check.name, "rights");
    assert_string_equal(check.value, "missing");
    assert_string_equal(check.risk, "a risk");
    assert_string_equal(check.mend, "do");
    assert_int_equal(check.state, RETETHER_CHECK_WEAK);
    assert_int_equal(check.age_ms, 17);
}

static void test_tails(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->state = RT_SESSION_ENDED;
    sdk->box->tail_sig = 9;
    sdk->box->tail_end[0] = 105;
    sdk->box->tail_end[1] = 3;
    sdk->box->tail[0] = "hello";
    sdk->box->tail[1] = "err";
    assert_int_equal(retether_tails(sdk->client, "web", reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.parts, 3);
    assert_int_equal(answer.signum, 9);
    assert_int_equal(answer.end[0], 105);
    assert_int_equal(answer.end[1], 3);
    assert_int_equal(answer.bytes, 8);
    assert_memory_equal(answer.data, "helloerr", 8);
    assert_int_equal(answer.n_order, 0);
}

/* In which the bytes of both were written. One that does not fit them is none. */
static void test_order_of_tails(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->state = RT_SESSION_ENDED;
    sdk->box->tail_end[0] = 105;
    sdk->box->tail_end[1] = 3;
    sdk->box->tail[0] = "hello";
    sdk->box->tail[1] = "err";
    for (unsigned i = 0; i < 2; i++) {
        struct answer answer = {.sdk = sdk};

        sdk->box->tail_order = rt_slice_text(i == 0 ? "\1\4\2\1" : "\1\4\4\1");
        assert_int_equal(retether_tails(sdk->client, "web", reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.bytes, 8);
        assert_int_equal(answer.n_order, i == 0 ? 3 : 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        static const struct retether_run want[] = {
            {RETETHER_STDOUT, 100, 101}, {RETETHER_STDERR, 1, 3}, {RETETHER_STDOUT, 101, 105}};

        assert_int_equal(runs[i].stream, want[i].stream);
        assert_int_equal(runs[i].from, want[i].from);
        assert_int_equal(runs[i].to, want[i].to);
    }
}

static enum { KEEPER_HAS_IT, KEEPER_HAS_NOT, KEEPER_IS_CUT } keeper;

/* The first agent has the status, and names the second for the tails. */
static bool answer_with_keeper(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    struct rt_frame head = {.type = RT_REPLY, .offset = id};
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("tails")));
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    reply.code = 7;
    reply.out = 5;
    if (link->peer == other && keeper == KEEPER_IS_CUT) {
        link_close(link);
        return true;
    }
    if (link->peer == other && keeper == KEEPER_HAS_NOT) {
        reply.c = RT_CLASS_RETRY_LATER;
    } else if (link->peer == other) {
        reply.more = true;
        link_send_map(link, head, RT_MSG_REPLY, &reply);
        reply = (struct rt_reply_msg){.s = RT_STDOUT, .data = rt_slice_text("hello")};
    } else {
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(other->host);
        reply.hosts[0].n_addr = 1;
        reply.hosts[0].addr[0] = rt_slice_text(other->address);
    }
    link_send_map(link, head, RT_MSG_REPLY, &reply);
    return true;
}

/* Tails that lie on another host's disk are fetched there; when they cannot be, the status has come all the same. */
static void test_tails_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_with_keeper;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 4; i++) {
        struct answer answer = {.sdk = sdk};
        bool has_it = i == 1;

        if (i > 0) { /* at first nobody listens there */
            keeper = i == 1 ? KEEPER_HAS_IT : i == 2 ? KEEPER_HAS_NOT : KEEPER_IS_CUT;
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_tails(sdk->client, "web", reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, 0);
        assert_int_equal(answer.cls, RETETHER_OK);
        assert_int_equal(answer.code, 7);
        assert_int_equal(answer.parts, has_it ? 2 : 1);
        assert_int_equal(answer.bytes, has_it ? 5 : 0);
        assert_int_equal(answer.hosts, has_it ? 0 : 1);
        if (!has_it) {
            assert_string_equal(answer.host.name, sdk->f->peer[1].host);
        }
        if (i > 0) {
            peer_cut(&sdk->f->peer[1]);
            peer_deafen(&sdk->f->peer[1]);
            fixture_settle(sdk->f);
        }
    }
}

/* The first agent tells what the tenant has there, and names the second, which serves the guest. */
static bool answer_limits_of(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("limits")));
    assert_true(rt_slice_equal(request->cid, rt_slice_text("acme/web")));
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    reply.n_hosts = link->peer == other ? 1 : 2;
    reply.hosts[0].host = rt_slice_text(link->peer->host);
    reply.hosts[1].host = rt_slice_text(other->host);
    reply.hosts[1].n_addr = 1;
    reply.hosts[1].addr[0] = rt_slice_text(other->address);
    reply.lims[0] = (struct rt_limit_msg){.set = rt_slice_text("processes"), .has = link->peer == other ? 2 : 1};
    reply.n_lims = 1;
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* The limits of a container are asked of the host that serves it; where that cannot be, the first answer has come. */
static void test_limits_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_limits_of;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 2; i++) {
        struct answer answer = {.sdk = sdk};

        if (i > 0) { /* at first nobody listens there */
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_limits(sdk->client, "acme/web", limits_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, 0);
        assert_int_equal(answer.cls, RETETHER_OK);
        assert_int_equal(answer.hosts, i == 0 ? 2 : 1);
        assert_int_equal(limit.has, i + 1);
    }
}

static bool kick_denied;

/* The first agent names the second, which kicks, or does not let this client do so. */
static bool answer_kick(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("kick")));
    assert_true(rt_slice_equal(request->cid, rt_slice_text("acme/web")));
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    if (link->peer != other) {
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(other->host);
        reply.hosts[0].n_addr = 1;
        reply.hosts[0].addr[0] = rt_slice_text(other->address);
    } else if (kick_denied) {
        reply.c = RT_CLASS_DENIED;
    }
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* A kick goes on to the host that serves the guest, and what that one says counts: also that it cannot be asked. */
static void test_kick_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_kick;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 3; i++) {
        struct answer answer = {.sdk = sdk};

        kick_denied = i == 2;
        if (i > 0) {
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_kick(sdk->client, "acme/web", reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, i == 0 ? RT_ECONN : 0);
        assert_int_equal(answer.cls, i == 2 ? RETETHER_DENIED : RETETHER_OK);
        assert_int_equal(answer.hosts, 0);
        if (i > 0) {
            peer_cut(&sdk->f->peer[1]);
            peer_deafen(&sdk->f->peer[1]);
            fixture_settle(sdk->f);
        }
    }
}

/* The first agent drains, and names the second, which makes the session, or is draining as well by now. */
static bool both_drain;

static bool answer_drains(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[link->peer == &link->f->peer[0]];

    assert_true(rt_slice_equal(request->op, rt_slice_text("create")));
    (void)box;
    memset(&reply, 0, sizeof(reply));
    if (link->peer == &link->f->peer[0] || both_drain) {
        reply.c = RT_CLASS_RETRY_LATER;
        reply.m = rt_slice_text(link->peer->host);
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(other->host);
        reply.hosts[0].n_addr = 1;
        reply.hosts[0].addr[0] = rt_slice_text(other->address);
    } else {
        reply.tok = rt_slice_text("token");
    }
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

static void create_drained(struct sdk *sdk, struct answer *answer)
{
    *answer = (struct answer){.sdk = sdk};
    sdk->box->requests = 0;
    assert_int_equal(retether_create(sdk->client, "box", NULL, reply_cb, answer), RT_OK);
    wait_answer(answer);
    assert_int_equal(answer->error, 0);
}

/* A create goes on to an agent whose host does not drain, once; where that one cannot be asked the refusal is the
 * answer. The next one goes there at once. */
static void test_create_elsewhere(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer;

    sdk->box->on_request = answer_drains;
    sdk->f->peer[0].alone = sdk->f->peer[1].alone = true;
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_RETRY_LATER);
    assert_int_equal(sdk->box->requests, 1);
    peer_listen(&sdk->f->peer[1]);
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_OK);
    assert_int_equal(sdk->box->requests, 2);
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_OK);
    assert_int_equal(sdk->box->requests, 1);
    both_drain = true;
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_RETRY_LATER);
    assert_true(sdk->box->requests <= 2);
}

static bool answer_drain(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("drain")));
    assert_true(rt_slice_equal(request->host, rt_slice_text("h1")));
    assert_int_equal(request->drain, RT_DRAIN_OFF);
    (void)box;
    memset(&reply, 0, sizeof(reply));
    reply.n_hosts = link->peer == other ? 1 : 2;
    reply.hosts[0].host = rt_slice_text(link->peer->host);
    reply.hosts[0].drains = link->peer == other;
    reply.hosts[1].host = rt_slice_text(other->host);
    reply.hosts[1].n_addr = 1;
    reply.hosts[1].addr[0] = rt_slice_text(other->address);
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* A drain goes on to the host that it is about, and what that one says counts. */
static void test_drain_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_drain;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 2; i++) {
        struct answer answer = {.sdk = sdk};

        if (i > 0) {
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_drain(sdk->client, "h1", RETETHER_DRAIN_OFF, reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, i == 0 ? RT_ECONN : 0);
        assert_int_equal(answer.hosts, i);
        assert_int_equal(answer.host.draining, i);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create),          TEST(test_show),
        TEST(test_bad_report),      TEST(test_list),
        TEST(test_hosts),           TEST(test_limits),
        TEST(test_store),           TEST(test_tails),
        TEST(test_order_of_tails),  TEST(test_tails_elsewhere),
        TEST(test_kick_elsewhere),  TEST(test_create_elsewhere),
        TEST(test_drain_elsewhere), TEST(test_limits_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
