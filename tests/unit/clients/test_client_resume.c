/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

#include "session/core/msg_stream.h"

/* An attachment over several connections and agents; what ends one; and wrong use. */

static uint8_t bytes[300 * 1000];

static int group_setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 11 + (i >> 7));
    }
    return 0;
}

/* ---- going on ---- */

/* Interrupted with bytes under way in both directions, resumed at the same agent: none lost, none repeated. */
static void test_cut(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk->out[0].room = 100;
    sdk->box->stalled = true;
    box_write(sdk->box, 0, RT_STDOUT, bytes, 60000);
    assert_int_equal(retether_write(sdk->att, bytes, 50000), 50000);
    FIXTURE_UNTIL(sdk->f, sdk->out[0].room == 0 && box_att(sdk->box, 0)->in[0].received > 0);
    peer_cut(&sdk->f->peer[0]);
    sdk_wait(sdk, SDK_INTERRUPTED, 1);
    sdk_wait(sdk, SDK_RESUMED, 1);
    assert_string_equal(sdk->host, "h0");
    box_take(sdk->box);
    sdk->out[0].room = SIZE_MAX;
    retether_resume(sdk->att, RETETHER_STDOUT);
    sdk_wait_output(sdk, 0, 60000, 0);
    sdk_wait_input(sdk, 0, 50000);
    assert_memory_equal(box_att(sdk->box, 0)->in[0].data, bytes, 50000);
    assert_int_equal(sdk->n[SDK_ATTACHED], 1);
    assert_true(sdk->links_up >= 2 && sdk->links_down >= 1);
}

/* Told MOVED, it goes on at the other agent, with what was written meanwhile. */
static void test_moved(void **state)
{
    struct sdk *sdk = *state;
    struct rt_refuse_msg moved = {.c = RT_CLASS_MOVED, .host = rt_slice_text("h1"), .life = 5, .epoch = 2};
    struct box_att *att;

    sdk_attach(sdk);
    att = box_att(sdk->box, 0);
    peer_listen(&sdk->f->peer[1]);
    moved.addr[moved.n_addr++] = rt_slice_text(sdk->f->peer[1].address);
    sdk->box->deaf = false;
    link_refuse(att->link, att->channel, &moved);
    att->link = NULL;
    box_write(sdk->box, 0, RT_STDOUT, bytes, 5000);
    assert_int_equal(retether_write(sdk->att, "abc", 3), 3);
    sdk_wait(sdk, SDK_RESUMED, 1);
    assert_int_equal(sdk->n[SDK_INTERRUPTED], 1);
    assert_string_equal(sdk->host, "h1");
    assert_ptr_equal(att->link, peer_link(&sdk->f->peer[1]));
    sdk_wait_output(sdk, 0, 5000, 0);
    sdk_wait_input(sdk, 0, 3);
}

/* The agent is gone for good: the other one was learnt from its welcome. */
static void test_agent_gone(void **state)
{
    struct sdk *sdk = *state;

    peer_listen(&sdk->f->peer[1]);
    sdk_attach(sdk);
    peer_deafen(&sdk->f->peer[0]);
    peer_cut(&sdk->f->peer[0]);
    sdk_wait(sdk, SDK_RESUMED, 1);
    assert_string_equal(sdk->host, "h1");
    box_exit(sdk->box, 0, 0, 0);
    sdk_wait(sdk, SDK_EXITED, 1);
}

/* The exit and the rest of the output come over the next connection. */
static void test_exit_while_away(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    peer_deafen(&sdk->f->peer[0]);
    peer_cut(&sdk->f->peer[0]);
    sdk_wait(sdk, SDK_INTERRUPTED, 1);
    box_att(sdk->box, 0)->link = NULL;
    box_write(sdk->box, 0, RT_STDERR, "last words", 10);
    box_exit(sdk->box, 0, 9, 0);
    assert_int_equal(retether_signal(sdk->att, 2), RT_OK);
    peer_listen(&sdk->f->peer[0]);
    sdk_wait(sdk, SDK_EXITED, 1);
    sdk_wait_output(sdk, 1, 10, 0);
    assert_int_equal(sdk->code, 9);
}

/* What was handed over as items is applied once, though the answer to it was lost. */
static void test_items_once(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk->box->stalled = true;
    assert_int_equal(retether_signal(sdk->att, 10), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->in[1].received > 0);
    sdk->f->link[0].deaf = true;
    sdk->box->stalled = false;
    peer_cut(&sdk->f->peer[0]);
    box_take(sdk->box); /* applied; what it says goes nowhere */
    assert_string_equal(sdk->box->text, "signal 10;");
    sdk_wait(sdk, SDK_APPLIED, 1);
    assert_string_equal(sdk->box->text, "signal 10;");
    assert_int_equal(box_att(sdk->box, 0)->resumes, 1);
}

/* Refusals that are not the attachment's end. */
static void test_refused_for_now(void **state)
{
    static const uint64_t classes[] = {RT_CLASS_RETRY_LATER, RT_CLASS_LOST};
    struct sdk *sdk = *state;

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        struct box_att *att;

        sdk->n[SDK_ATTACHED] = 0;
        sdk->box->refuse = classes[i];
        sdk->box->refusals = 2;
        sdk_attach(sdk);
        att = box_att(sdk->box, 0);
        link_refuse(att->link, att->channel, &(struct rt_refuse_msg){.c = classes[i]});
        att->link = NULL;
        sdk_wait(sdk, SDK_RESUMED, (unsigned)i + 1);
        retether_detach(sdk->att);
        FIXTURE_UNTIL(sdk->f, sdk->box->detached == i + 1);
        sdk->box->n_atts = 0;
    }
    assert_int_equal(sdk->n[SDK_FAILED], 0);
}

/* Once attached, an agent that does not know the container is asked again for a minute. */
static void test_not_found_once_attached(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk->box->refuse = RT_CLASS_NOT_FOUND;
    sdk->box->refusals = UINT32_MAX;
    peer_cut(&sdk->f->peer[0]);
    FIXTURE_UNTIL(sdk->f, sdk->box->refusals < UINT32_MAX - 2);
    assert_int_equal(sdk->n[SDK_FAILED], 0);
    rt_test_skew(61000);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_NOT_FOUND);
}

/* ---- ends ---- */

/* At the first attach, and once attached: final, told once, with its class, text, and how it ended. */
static void refused_for_good(struct sdk *sdk, uint64_t cls, bool live)
{
    memset(sdk->n, 0, sizeof(sdk->n));
    sdk->box->n_atts = 0;
    sdk->box->refuse = cls;
    sdk->box->refusals = live ? 0 : 1;
    sdk->box->code = 7;
    if (live) {
        struct box_att *att;

        sdk_attach(sdk);
        att = box_att(sdk->box, 0);
        link_refuse(att->link, att->channel, &(struct rt_refuse_msg){.c = cls, .m = rt_slice_text("so"), .code = 7});
        att->link = NULL;
    } else {
        struct retether_attach_options options;

        retether_attach_defaults(&options, sizeof(options));
        options.container = BOX_CID;
        assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    }
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, cls);
    assert_string_equal(sdk->text, live ? "so" : "as the test wants");
    assert_int_equal(sdk->code, 7);
    peer_cut(&sdk->f->peer[0]);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_FAILED], 1);
    assert_int_equal(sdk->n[SDK_INTERRUPTED], 0);
    retether_detach(sdk->att);
}

static void test_refused_for_good(void **state)
{
    static const uint64_t first[] = {RT_CLASS_NOT_FOUND, RT_CLASS_ENDED,  RT_CLASS_UNKNOWN_ATTACHMENT,
                                     RT_CLASS_STOLEN,    RT_CLASS_DENIED, RT_CLASS_INVALID,
                                     RT_CLASS_LIMIT};
    static const uint64_t later[] = {RT_CLASS_ENDED, RT_CLASS_STOLEN, RT_CLASS_DENIED, RT_CLASS_UNKNOWN_ATTACHMENT};
    struct sdk *sdk = *state;

    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        refused_for_good(sdk, first[i], false);
    }
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        refused_for_good(sdk, later[i], true);
    }
}

/* The far end finds that what was seen here is not true any more. */
static void test_rewound_by_guest(void **state)
{
    struct sdk *sdk = *state;
    struct box_att *att;
    const struct rt_refuse_msg rewound = {.c = RT_CLASS_REWOUND, .s = RT_STDERR, .at = 40, .got = 90};

    sdk_attach(sdk);
    att = box_att(sdk->box, 0);
    link_refuse(att->link, att->channel, &rewound);
    att->link = NULL;
    sdk_wait(sdk, SDK_REWOUND, 1);
    assert_int_equal(sdk->stream, RETETHER_STDERR);
    assert_int_equal(sdk->common, 40);
    assert_int_equal(sdk->ours, 90);
}

/* Who has no callback for it is told that the attachment has failed. */
static void test_rewound_untold(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attachment_callbacks callbacks = sdk_callbacks;
    struct retether_attach_options options;
    struct box_att *att;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    callbacks.ctx = sdk;
    callbacks.rewound = NULL;
    assert_int_equal(retether_attach(sdk->client, &options, &callbacks, &sdk->att), RT_OK);
    sdk_wait(sdk, SDK_ATTACHED, 1);
    att = box_att(sdk->box, 0);
    link_refuse(att->link, att->channel, &(struct rt_refuse_msg){.c = RT_CLASS_REWOUND, .s = RT_STDERR, .got = 90});
    att->link = NULL;
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_REWOUND);
    assert_string_equal(sdk->text, "it was set back");
}

/* A machine of another life knows no attachment: that is no pause after which the stream goes on. */
static void rewound_by_another_life(struct sdk *sdk, uint64_t at)
{
    struct box_att *att;
    const struct rt_refuse_msg unknown = {.c = RT_CLASS_UNKNOWN_ATTACHMENT, .life = 6, .s = RT_STDOUT, .at = at};

    sdk_attach(sdk);
    box_write(sdk->box, 0, RT_STDOUT, bytes, 100);
    sdk_wait_output(sdk, 0, 100, 0);
    att = box_att(sdk->box, 0);
    link_refuse(att->link, att->channel, &unknown);
    att->link = NULL;
    sdk_wait(sdk, SDK_REWOUND, 1);
    assert_int_equal(sdk->stream, RETETHER_STDOUT);
    assert_int_equal(sdk->common, at);
    assert_int_equal(sdk->ours, 100);
}

static void test_rewound_by_another_life(void **state)
{
    struct sdk *sdk = *state;

    rewound_by_another_life(sdk, 60);
    assert_false(sdk->anew);
}

/* It has nothing in common with what was seen: no copy, a machine started anew. */
static void test_started_anew(void **state)
{
    struct sdk *sdk = *state;

    rewound_by_another_life(sdk, 0);
    assert_true(sdk->anew);
}

/* This end finds it: the guest that comes back has less than was taken here. The guest is told. */
static void test_rewound_here(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    box_write(sdk->box, 0, RT_STDOUT, bytes, 100);
    sdk_wait_output(sdk, 0, 100, 0);
    sdk->box->deaf = true;
    peer_cut(&sdk->f->peer[0]);
    {
        struct kept kept = peer_expect(sdk->f, RT_ATTACH);
        struct rt_attached_msg terms = {.life = 5, .epoch = 1, .st = 1, .n_out = 3, .n_in = 2};

        for (unsigned s = 0; s < 3; s++) {
            terms.out[s].s = s + 1;
        }
        terms.out[0].c = terms.out[0].head = 60;
        terms.out[0].c = 100;
        terms.in[1].s = RT_CONTROL_DOWN;
        terms.in[0].d = terms.in[1].d = fixture_digest("", 0);
        link_send_map(kept.link, (struct rt_frame){.type = RT_ATTACHED, .channel = kept.head.channel}, RT_MSG_ATTACHED,
                      &terms);
    }
    sdk_wait(sdk, SDK_REWOUND, 1);
    assert_int_equal(sdk->stream, RETETHER_STDOUT);
    assert_int_equal(sdk->common, 60);
    assert_int_equal(sdk->ours, 100);
    FIXTURE_UNTIL(sdk->f, sdk->box->refused_cls == RT_CLASS_REWOUND);
}

static void test_gives_up(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    sdk->box->deaf = true;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.give_up_ms = 60000;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    (void)peer_expect(sdk->f, RT_ATTACH);
    rt_test_skew(61000);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_LOST);
    assert_string_equal(sdk->text, "not attached in time");
}

/* Every agent refuses this client: nothing to wait for. */
static void test_denied_by_all(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    sdk->f->peer[0].refuse = RT_CLASS_DENIED;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_DENIED);
}

static void test_detach(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    box_write(sdk->box, 0, RT_STDOUT, bytes, sizeof(bytes));
    retether_detach(sdk->att);
    FIXTURE_UNTIL(sdk->f, sdk->box->detached == 1);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_OUTPUT], 0);
}

/* The farewells of a client that is closed still go out. */
static void test_close_detaches(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk_close(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->box->detached == 1 && sdk->closed);
}

/* Two clients, one id: the newer has it. */
static void test_taken_over(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;
    struct retether_attachment *first;
    uint8_t id[RETETHER_ATTACHMENT_ID_SIZE];

    sdk_attach(sdk);
    first = sdk->att;
    assert_int_equal(retether_write(first, "xyz", 3), 3);
    sdk_wait_input(sdk, 0, 3);
    retether_attachment_id(first, id);
    retether_detach(first); /* its DETACH unbinds it */
    FIXTURE_UNTIL(sdk->f, sdk->box->detached == 1);
    box_att(sdk->box, 0)->tries = 0;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.take_id = id;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    assert_int_equal(retether_write(sdk->att, "early", 5), 0); /* where stdin goes on is not known yet */
    sdk_wait(sdk, SDK_ATTACHED, 2);
    assert_true(box_att(sdk->box, 0)->take);
    sdk_wait(sdk, SDK_WRITABLE, 1);
    assert_int_equal(retether_write(sdk->att, "z", 1), 1);
    sdk_wait_input(sdk, 0, 4);
}

/* ---- wrong use ---- */

static void test_wrong_attach(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;
    char name[RETETHER_CONTAINER_MAX + 2];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    retether_attach_defaults(&options, sizeof(options));
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL); /* no container */
    assert_null(sdk->att);
    options.container = name;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    options.container = "-x";
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    options.container = "";
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    options.container = BOX_CID;
    options.rows = 70000;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    options.rows = 0;
    options.hold_ms = UINT64_MAX;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    options.hold_ms = 0;
    options.start[0] = UINT64_MAX;
    options.from = RETETHER_FROM_BYTES;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    options.from = (enum retether_from)17;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_EINVAL);
    assert_null(sdk->att);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->f->peer[0].accepted, 0);
}

static void test_wrong_values(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    assert_int_equal(retether_resize(sdk->att, 70000, 1), RT_EINVAL);
    assert_int_equal(retether_signal(sdk->att, 0), RT_EINVAL);
    assert_int_equal(retether_signal(sdk->att, 1000), RT_EINVAL);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_APPLIED], 0); /* nothing is under way */
    assert_string_equal(sdk->box->text, "");
    sdk->box->stalled = true;
    for (unsigned i = 0; i < 100000; i++) {
        if (retether_signal(sdk->att, 15) != RT_OK) {
            break;
        }
    }
    assert_int_equal(retether_signal(sdk->att, 15), RT_ELIMIT);
}

static void test_wrong_agents(void **state)
{
    struct sdk *sdk = *state;
    char why[128] = "";
    static const char *const wrong[] = {"http://x", "tcp:127.0.0.1:1", "vsock:2:1", ""};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char want[128];

        snprintf(want, sizeof(want), "%s: clients reach agents at tls:ADDRESS:PORT or unix:PATH", wrong[i]);
        assert_int_equal(retether_client_add_agent(sdk->client, wrong[i], why, sizeof(why)), RT_EINVAL);
        assert_string_equal(why, want);
    }
    /* The same one again is no other. */
    assert_int_equal(retether_client_add_agent(sdk->client, sdk->f->peer[0].address, why, sizeof(why)), RT_OK);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(retether_class_name(RETETHER_STOLEN), "STOLEN");
    assert_string_equal(retether_class_name(999), "?");
    assert_string_equal(retether_state_name(RETETHER_RUNNING), "running");
    assert_string_equal(retether_state_name(77), "?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_cut),
        TEST(test_moved),
        TEST(test_agent_gone),
        TEST(test_exit_while_away),
        TEST(test_items_once),
        TEST(test_refused_for_now),
        TEST(test_not_found_once_attached),
        TEST(test_refused_for_good),
        TEST(test_rewound_by_guest),
        TEST(test_rewound_untold),
        TEST(test_rewound_by_another_life),
        TEST(test_started_anew),
        TEST(test_rewound_here),
        TEST(test_gives_up),
        TEST(test_denied_by_all),
        TEST(test_detach),
        TEST(test_close_detaches),
        TEST(test_taken_over),
        TEST(test_wrong_attach),
        TEST(test_wrong_values),
        TEST(test_wrong_agents),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
