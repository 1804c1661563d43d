/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

/* Every callback may detach its attachment, or close the client: nothing is told after that, nothing is left. */

enum how { DETACH, CLOSE };

static struct {
    enum sdk_event at;
    enum how how;
    bool done;
} plan;

static uint8_t bytes[300000];

static void free_cb(struct sdk *sdk, enum sdk_event event)
{
    assert_false(plan.done); /* nothing more is told */
    if (event != plan.at) {
        return;
    }
    plan.done = true;
    if (plan.how == CLOSE) {
        sdk_close(sdk);
    } else {
        retether_detach(sdk->att);
        retether_detach(sdk->att); /* within the callback it may be said twice */
    }
}

static void refuse(struct sdk *sdk, uint64_t cls)
{
    struct box_att *att = box_att(sdk->box, 0);

    link_refuse(att->link, att->channel, &(struct rt_refuse_msg){.c = cls, .s = RT_STDOUT});
    att->link = NULL;
}

/* Brings the callback about, once it is attached. */
static void provoke(struct sdk *sdk, enum sdk_event event)
{
    switch (event) {
    case SDK_OUTPUT:
        box_write(sdk->box, 0, RT_STDOUT, bytes, 60000);
        box_write(sdk->box, 0, RT_STDERR, bytes, 60000);
        break;
    case SDK_EOF:
    case SDK_EXITED:
        box_exit(sdk->box, 0, 1, 0);
        break;
    case SDK_RESIZED:
        box_resized(sdk->box, 0, 3, 4);
        break;
    case SDK_WRITABLE:
        sdk->box->stalled = true;
        assert_true(retether_write(sdk->att, bytes, sizeof(bytes)) < sizeof(bytes));
        box_take(sdk->box);
        break;
    case SDK_APPLIED:
        assert_int_equal(retether_signal(sdk->att, 1), RT_OK);
        break;
    case SDK_INPUT_CLOSED:
        box_close_input(sdk->box, box_att(sdk->box, 0));
        break;
    case SDK_INTERRUPTED:
    case SDK_RESUMED:
        peer_cut(&sdk->f->peer[0]);
        break;
    case SDK_REWOUND:
        refuse(sdk, RT_CLASS_REWOUND);
        break;
    case SDK_FAILED:
        refuse(sdk, RT_CLASS_STOLEN);
        break;
    default: /* with the attach */
        break;
    }
}

static void free_at(enum sdk_event event, enum how how)
{
    void *state;
    struct sdk *sdk;
    struct retether_attach_options options;

    assert_int_equal(sdk_setup(&state), 0);
    sdk = state;
    plan.at = event;
    plan.how = how;
    plan.done = false;
    box_write(sdk->box, 0, RT_STDOUT, bytes, 100);
    if (event == SDK_GAP) { /* begins below what is kept */
        box_forget(sdk->box, 0, RT_STDOUT, 50);
    }
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.from = event == SDK_GAP ? RETETHER_FROM_OFFSET : RETETHER_FROM_NOW;
    options.start[0] = 10;
    sdk->on_event = free_cb;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    FIXTURE_UNTIL(sdk->f, plan.done || sdk->n[SDK_ATTACHED] > 0);
    if (!plan.done) {
        provoke(sdk, event);
    }
    FIXTURE_UNTIL(sdk->f, plan.done);
    fixture_settle(sdk->f);
    assert_int_equal(sdk_teardown(&state), 0);
}

static void test_detached_in(void **state)
{
    (void)state;
    for (unsigned event = 0; event < SDK_EVENTS; event++) {
        free_at((enum sdk_event)event, DETACH);
    }
}

static void test_closed_in(void **state)
{
    (void)state;
    for (unsigned event = 0; event < SDK_EVENTS; event++) {
        free_at((enum sdk_event)event, CLOSE);
    }
}

/* ---- others than its own ---- */

static struct retether_attachment *others[3];

static void detach_others(struct sdk *sdk, enum sdk_event event)
{
    (void)sdk;
    (void)event;
    for (size_t i = 0; i < 3; i++) {
        if (others[i] != NULL) {
            retether_detach(others[i]);
            others[i] = NULL;
        }
    }
}

static void attach_more(struct sdk *sdk, enum sdk_event event)
{
    struct retether_attach_options options;

    (void)event;
    sdk->on_event = NULL;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(retether_attach(sdk->client, &options,
                                         &(struct retether_attachment_callbacks){
                                             .size = sizeof(struct retether_attachment_callbacks), .ctx = NULL},
                                         &others[i]),
                         RT_OK);
    }
}

static void test_others_in_callback(void **state)
{
    struct sdk *sdk = *state;

    sdk->on_event = attach_more;
    sdk_attach(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->box->n_atts == 4 && sdk->box->att[3].link != NULL);
    sdk->on_event = detach_others;
    box_write(sdk->box, 0, RT_STDOUT, "x", 1);
    FIXTURE_UNTIL(sdk->f, sdk->box->detached == 3 && sdk->out[0].size == 1);
    box_exit(sdk->box, 0, 0, 0);
    sdk_wait(sdk, SDK_EXITED, 1);
}

/* ---- links that come and go while it is closed ---- */

static void test_closed_while_dialling(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    sdk_close(sdk); /* before the first step */
    FIXTURE_UNTIL(sdk->f, sdk->closed);
}

static void test_closed_before_welcome(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    sdk->f->peer[0].silent = true;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    (void)peer_expect(sdk->f, RT_HELLO);
    sdk_close(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
    assert_int_equal(sdk->n[SDK_ATTACHED] + sdk->n[SDK_FAILED], 0);
}

/* An agent that reads nothing does not keep the client from ending. */
static void test_closed_before_deaf_agent(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk->box->stalled = true;
    box_att(sdk->box, 0)->link->deaf = true;
    link_ack(box_att(sdk->box, 0)->link, box_att(sdk->box, 0)->channel, RT_STDIN, 0, sizeof(bytes),
             fixture_digest("", 0), 0);
    assert_true(retether_write(sdk->att, bytes, sizeof(bytes)) > 0);
    fixture_settle(sdk->f);
    sdk_close(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
}

/* ---- requests ---- */

static unsigned parts;

static void ignore_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    (void)client;
    (void)reply;
    (void)ctx;
    parts++;
}

static void close_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)client;
    assert_true(reply->more);
    if (++parts == 2) {
        sdk_close(sdk);
    }
}

static void ask_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    assert_false(reply->more);
    assert_int_equal(retether_hosts(client, ignore_cb, ctx), RT_OK);
}

/* Closed at the second of three parts: the third never comes. */
static void test_closed_in_reply(void **state)
{
    struct sdk *sdk = *state;

    parts = 0;
    sdk->box->state = RT_SESSION_ENDED;
    sdk->box->tail[0] = "one";
    sdk->box->tail[1] = "two";
    sdk->box->tail_end[0] = sdk->box->tail_end[1] = 3;
    assert_int_equal(retether_tails(sdk->client, BOX_CID, close_cb, sdk), RT_OK);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
    assert_int_equal(parts, 2);
}

static void test_asked_in_reply(void **state)
{
    struct sdk *sdk = *state;

    parts = 0;
    assert_int_equal(retether_list(sdk->client, NULL, ask_cb, NULL), RT_OK);
    FIXTURE_UNTIL(sdk->f, parts == 1);
}

static bool no_answer(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)link;
    (void)id;
    (void)request;
    return true;
}

static void test_closed_with_requests(void **state)
{
    struct sdk *sdk = *state;

    parts = 0;
    sdk->box->on_request = no_answer;
    assert_int_equal(retether_hosts(sdk->client, ignore_cb, NULL), RT_OK);
    FIXTURE_UNTIL(sdk->f, sdk->box->requests == 1);
    sdk_close(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
    assert_int_equal(parts, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_detached_in), cmocka_unit_test(test_closed_in), TEST(test_others_in_callback),
        TEST(test_closed_while_dialling),   TEST(test_closed_before_welcome), TEST(test_closed_before_deaf_agent),
        TEST(test_closed_in_reply),         TEST(test_asked_in_reply),        TEST(test_closed_with_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
