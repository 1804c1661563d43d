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

static void test_limits(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_limits;
    assert_int_equal(retether_limits(sdk->client, NULL, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_string_equal(answer.limit.setting, "limits.tenant_clients");
    assert_string_equal(answer.limit.tenant, "acme");
    assert_int_equal(answer.limit.most, 9);
    assert_int_equal(answer.limit.has, 8);
    assert_int_equal(answer.limit.refused, 7);
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

static void test_store(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer = {.sdk = sdk};

    sdk->box->on_request = answer_store;
    assert_int_equal(retether_store(sdk->client, reply_cb, &answer), RT_OK);
    wait_answer(&answer);
    assert_int_equal(answer.checks, 1);
    assert_string_equal(answer.check.name, "rights");
    assert_string_equal(answer.check.value, "missing");
    assert_string_equal(answer.check.risk, "a risk");
    assert_string_equal(answer.check.mend, "do");
    assert_int_equal(answer.check.state, RETETHER_CHECK_WEAK);
    assert_int_equal(answer.check.age_ms, 17);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_create), TEST(test_show),  TEST(test_bad_report), TEST(test_list),           TEST(test_hosts),
        TEST(test_limits), TEST(test_store), TEST(test_tails),      TEST(test_order_of_tails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
