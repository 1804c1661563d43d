/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

#include "session/core/msg_stream.h"

/* One attachment through one agent: what comes out, what goes in, how it ends. */

static uint8_t bytes[600 * 1000], many[2 * 1048576];

static int group_setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    for (size_t i = 0; i < sizeof(many); i++) {
        many[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    return 0;
}

static void test_attached(void **state)
{
    struct sdk *sdk = *state;
    struct rt_hello_msg hello;
    struct kept kept;
    uint8_t id[RETETHER_ATTACHMENT_ID_SIZE];

    box_write(sdk->box, 0, RT_STDOUT, bytes, 100);
    box_write(sdk->box, 0, RT_STDERR, bytes, 7);
    sdk_attach(sdk);
    kept = peer_expect(sdk->f, RT_HELLO);
    fixture_decode(RT_MSG_HELLO, kept.payload, kept.head.length, &hello);
    assert_true(rt_slice_equal(hello.role, rt_slice_text("client")));
    assert_true(rt_slice_equal(hello.name, rt_slice_text("test")));
    assert_int_equal(sdk->links_up, 1);
    assert_int_equal(sdk->life, 5);
    assert_int_equal(sdk->process, 0);
    assert_string_equal(sdk->host, "h0");
    assert_int_equal(sdk->start[0], 100);
    assert_int_equal(sdk->head[0], 100);
    assert_int_equal(sdk->start[1], 7);
    assert_int_equal(sdk->n[SDK_OUTPUT], 0);
    retether_attachment_id(sdk->att, id);
    assert_memory_equal(id, box_att(sdk->box, 0)->id, sizeof(id));
    assert_int_equal(box_att(sdk->box, 0)->hold, 30000);
    assert_int_equal(box_att(sdk->box, 0)->want, 0x1f);
    box_write(sdk->box, 0, RT_STDOUT, bytes, 50);
    sdk_wait_output(sdk, 0, 50, 0);
    assert_int_equal(retether_offset(sdk->att, RETETHER_STDOUT), 150);
    assert_int_equal(retether_offset(sdk->att, RETETHER_STDIN), 0);
}

static void test_options_travel(void **state)
{
    static const uint8_t id[RETETHER_ATTACHMENT_ID_SIZE] = {1, 2, 3};
    struct sdk *sdk = *state;
    struct retether_attach_options options;
    struct rt_attach_msg msg;
    struct kept kept;

    sdk->box->deaf = true;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.process = 3;
    options.input = false;
    options.from = RETETHER_FROM_OFFSET;
    options.start[0] = 11;
    options.start[1] = 12;
    options.hold_ms = 0;
    options.rows = 24;
    options.cols = 80;
    options.take_id = id;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    kept = peer_expect(sdk->f, RT_ATTACH);
    fixture_decode(RT_MSG_ATTACH, kept.payload, kept.head.length, &msg);
    assert_true(msg.take);
    assert_memory_equal(msg.id.data, id, sizeof(id));
    assert_int_equal(msg.p, 3);
    assert_int_equal(msg.want, 0x0e);
    assert_int_equal(msg.from, RT_FROM_OFFSET);
    assert_int_equal(msg.n, 11);
    assert_int_equal(msg.ne, 12);
    assert_int_equal(msg.hold, 0);
    assert_int_equal(msg.rows, 24);
    assert_int_equal(msg.cols, 80);
}

/* More than windows and credit hold, in both streams. */
static void test_output_in_order(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    box_write(sdk->box, 0, RT_STDOUT, bytes, sizeof(bytes));
    box_write(sdk->box, 0, RT_STDERR, bytes + 9, 400000);
    sdk_wait_output(sdk, 0, sizeof(bytes), 0);
    sdk_wait_output(sdk, 1, 400000, 0);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->out[0].acked == sizeof(bytes));
}

/* What the application does not take is not acknowledged, the sender is stopped, and nothing is lost by it. */
static void test_back_pressure(void **state)
{
    struct sdk *sdk = *state;
    unsigned before;

    sdk_attach(sdk);
    sdk->out[0].room = 1000;
    box_write(sdk->box, 0, RT_STDOUT, many, sizeof(many));
    FIXTURE_UNTIL(sdk->f, sdk->out[0].room == 0 && box_att(sdk->box, 0)->out[0].acked == 1000);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->out[0].size, 1000);
    assert_int_equal(box_att(sdk->box, 0)->out[0].acked, 1000);
    assert_true(box_att(sdk->box, 0)->out[0].sent <= 1000 + 1048576);
    box_write(sdk->box, 0, RT_STDERR, "other", 5); /* the other stream goes on */
    sdk_wait_output(sdk, 1, 5, 0);
    before = sdk->n[SDK_OUTPUT];
    sdk->out[0].room = 0; /* asks again, takes nothing: waits again */
    retether_resume(sdk->att, RETETHER_STDOUT);
    FIXTURE_UNTIL(sdk->f, sdk->n[SDK_OUTPUT] > before);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_OUTPUT], before + 1);
    sdk->out[0].room = SIZE_MAX;
    retether_resume(sdk->att, RETETHER_STDIN); /* no stream that can be resumed */
    retether_resume(sdk->att, RETETHER_STDOUT);
    sdk_wait_output(sdk, 0, sizeof(many), 0);
}

/* The end of a stream that waits in front of the application is not told before its bytes are taken. */
static void test_eof_behind_back_pressure(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk->out[0].room = 3;
    box_write(sdk->box, 0, RT_STDOUT, "abcdef", 6);
    box_exit(sdk->box, 0, 4, 0);
    FIXTURE_UNTIL(sdk->f, sdk->n[SDK_EOF] == 1); /* stderr's */
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_EOF], 1);
    assert_int_equal(sdk->n[SDK_EXITED], 0);
    assert_false(box_att(sdk->box, 0)->out[0].fin_acked);
    sdk->out[0].room = SIZE_MAX;
    retether_resume(sdk->att, RETETHER_STDOUT);
    sdk_wait(sdk, SDK_EXITED, 1);
    assert_int_equal(sdk->n[SDK_EOF], 2);
    assert_int_equal(sdk->out[0].eof, 6);
    assert_int_equal(sdk->out[1].eof, 0);
    assert_int_equal(sdk->code, 4);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->out[0].fin_acked);
}

static void test_killed(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    box_exit(sdk->box, 0, 0, 9);
    sdk_wait(sdk, SDK_EXITED, 1);
    assert_int_equal(sdk->signum, 9);
    assert_int_equal(sdk->n[SDK_FAILED] + sdk->n[SDK_REWOUND], 0);
    /* Final: nothing more is told, and nothing more is taken. */
    peer_cut(&sdk->f->peer[0]);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_INTERRUPTED], 0);
    assert_int_equal(retether_write(sdk->att, "x", 1), 0);
    assert_int_equal(retether_signal(sdk->att, 1), RT_ESTATE);
    assert_int_equal(retether_resize(sdk->att, 1, 1), RT_ESTATE);
    retether_write_end(sdk->att);
    retether_detach(sdk->att);
}

/* An attachment to what has ended before: its output, then its exit. */
static void test_ended_before(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    box_write(sdk->box, 0, RT_STDOUT, "hello", 5);
    box_exit(sdk->box, 0, 3, 0);
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.from = RETETHER_FROM_OLDEST;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    sdk_wait(sdk, SDK_EXITED, 1);
    sdk_wait_output(sdk, 0, 5, 0);
    assert_int_equal(sdk->code, 3);
}

static void test_gaps(void **state)
{
    struct sdk *sdk = *state;
    struct box_att *att;

    sdk_attach(sdk);
    att = box_att(sdk->box, 0);
    box_write(sdk->box, 0, RT_STDOUT, bytes, 10);
    sdk_wait_output(sdk, 0, 10, 0);
    att->out[0].limit = 0; /* as without credit */
    box_write(sdk->box, 0, RT_STDOUT, bytes + 10, 90);
    box_forget(sdk->box, 0, RT_STDOUT, 60);
    att->out[0].limit = 200;
    box_pump(sdk->box);
    sdk_wait(sdk, SDK_GAP, 1);
    assert_int_equal(sdk->out[0].gap_from, 10);
    assert_int_equal(sdk->out[0].gap_to, 60);
    sdk_wait_output(sdk, 0, 50, 0);
    assert_memory_equal(sdk->out[0].data + 10, bytes + 60, 40);
    assert_int_equal(retether_offset(sdk->att, RETETHER_STDOUT), 100);
}

static void test_resized(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->proc[0].tty = true;
    sdk_attach(sdk);
    assert_true(sdk->tty);
    box_resized(sdk->box, 0, 30, 100);
    sdk_wait(sdk, SDK_RESIZED, 1);
    assert_int_equal(sdk->rows, 30);
    assert_int_equal(sdk->cols, 100);
}

/* ---- input ---- */

static void test_input(void **state)
{
    struct sdk *sdk = *state;
    uint64_t written;
    uint64_t taken;

    sdk_attach(sdk);
    assert_int_equal(retether_write(sdk->att, "", 0), 0);
    assert_int_equal(retether_write(sdk->att, bytes, 1000), 1000);
    sdk_wait_input(sdk, 0, 1000);
    assert_memory_equal(box_att(sdk->box, 0)->in[0].data, bytes, 1000);
    retether_input(sdk->att, &written, &taken);
    assert_int_equal(written, 1000);
    FIXTURE_UNTIL(sdk->f, (retether_input(sdk->att, &written, &taken), taken == 1000));
    retether_write_end(sdk->att);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->in[0].fin);
    assert_int_equal(retether_write(sdk->att, "more", 4), 0);
    assert_int_equal(retether_room(sdk->att), 0);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_INPUT_CLOSED], 0); /* it was this end that ended it */
}

/* The window is 256 KiB; `writable` comes once there is room again, and only to those who were short of it. */
static void test_input_partial_room(void **state)
{
    struct sdk *sdk = *state;
    size_t done;
    uint64_t written;
    uint64_t taken;

    sdk_attach(sdk);
    sdk->box->stalled = true;
    done = retether_room(sdk->att);
    assert_int_equal(done, 262144);
    assert_int_equal(retether_write(sdk->att, bytes, done), done);
    assert_int_equal(retether_room(sdk->att), 0); /* it waits for room, as a write that is short of it */
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_WRITABLE], 0);
    retether_input(sdk->att, &written, &taken);
    assert_int_equal(written, 262144);
    assert_int_equal(taken, 0);
    box_take(sdk->box);
    while (done < sizeof(bytes)) {
        sdk_wait(sdk, SDK_WRITABLE, sdk->n[SDK_WRITABLE] + 1);
        assert_true(retether_room(sdk->att) > 0);
        done += retether_write(sdk->att, bytes + done, sizeof(bytes) - done);
    }
    sdk_wait_input(sdk, 0, sizeof(bytes));
    assert_memory_equal(box_att(sdk->box, 0)->in[0].data, bytes, sizeof(bytes));
}

static void test_written_before_attached(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.input_once = true;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    assert_int_equal(retether_write(sdk->att, "early", 5), 5);
    retether_write_end(sdk->att);
    sdk_wait_input(sdk, 0, 5);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->in[0].fin);
    assert_true(box_att(sdk->box, 0)->once);
}

static void test_input_closed(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    assert_int_equal(retether_write(sdk->att, bytes, 10), 10);
    sdk_wait_input(sdk, 0, 10);
    sdk->box->stalled = true;
    assert_int_equal(retether_write(sdk->att, bytes, 20), 20);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->in[0].received == 30);
    box_close_input(sdk->box, box_att(sdk->box, 0));
    sdk_wait(sdk, SDK_INPUT_CLOSED, 1);
    assert_int_equal(sdk->applied, 10);
    assert_int_equal(retether_write(sdk->att, "x", 1), 0);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_INPUT_CLOSED], 1);
}

static void test_no_input_from_the_start(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->proc[0].no_input = true;
    sdk_attach(sdk);
    sdk_wait(sdk, SDK_INPUT_CLOSED, 1);
    assert_int_equal(sdk->applied, 0);
}

/* Signals and resizes arrive once and in order; `applied` says so. */
static void test_items(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    assert_int_equal(retether_signal(sdk->att, 15), RT_OK);
    assert_int_equal(retether_resize(sdk->att, 5, 6), RT_OK);
    assert_int_equal(retether_signal(sdk->att, 1), RT_OK);
    sdk_wait(sdk, SDK_APPLIED, 1);
    assert_string_equal(sdk->box->text, "signal 15;resize 5x6;signal 1;");
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_APPLIED], 1);
}

/* Control-down is wanted by who types, or says that it sends signals; without it an attachment only watches. */
static void test_items_without_input(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.input = false;
    options.control = true;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    sdk_wait(sdk, SDK_ATTACHED, 1);
    assert_int_equal(box_att(sdk->box, 0)->want, 0x1e);
    assert_int_equal(retether_write(sdk->att, "x", 1), 0);
    assert_int_equal(retether_signal(sdk->att, 15), RT_OK);
    sdk_wait(sdk, SDK_APPLIED, 1);
    assert_string_equal(sdk->box->text, "signal 15;");
}

static void test_only_watches(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.input = false;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    sdk_wait(sdk, SDK_ATTACHED, 1);
    assert_int_equal(box_att(sdk->box, 0)->want, 0x0e);
    assert_int_equal(retether_signal(sdk->att, 15), RT_ESTATE);
    assert_int_equal(retether_resize(sdk->att, 5, 6), RT_ESTATE);
    peer_cut(&sdk->f->peer[0]); /* nothing of it is missed when it goes on */
    sdk_wait(sdk, SDK_RESUMED, 1);
    box_write(sdk->box, 0, RT_STDOUT, "seen", 4);
    sdk_wait_output(sdk, 0, 4, 0);
    assert_int_equal(sdk->n[SDK_APPLIED] + sdk->n[SDK_INPUT_CLOSED], 0);
}

static void test_items_not_applied(void **state)
{
    struct sdk *sdk = *state;

    sdk_attach(sdk);
    sdk->box->stalled = true;
    assert_int_equal(retether_signal(sdk->att, 15), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->in[1].received > 0);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_APPLIED], 0);
    box_exit(sdk->box, 0, 0, 15); /* the word that it has arrived comes after the end */
    sdk_wait(sdk, SDK_EXITED, 1);
    box_take(sdk->box);
    sdk_wait(sdk, SDK_APPLIED, 1);
}

/* ---- without an application behind it ---- */

static void test_no_callbacks(void **state)
{
    struct sdk *sdk = *state;
    const struct retether_attachment_callbacks none = {.size = sizeof(none), .attached = NULL};
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(retether_attach(sdk->client, &options, &none, &sdk->att), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_bound(sdk->box, 0));
    box_write(sdk->box, 0, RT_STDOUT, bytes, sizeof(bytes)); /* output takes everything */
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->out[0].acked == sizeof(bytes));
    assert_int_equal(retether_offset(sdk->att, RETETHER_STDOUT), sizeof(bytes));
    box_resized(sdk->box, 0, 1, 2);
    box_close_input(sdk->box, box_att(sdk->box, 0));
    assert_int_equal(retether_signal(sdk->att, 1), RT_OK);
    peer_cut(&sdk->f->peer[0]);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->resumes > 0);
    box_exit(sdk->box, 0, 0, 0);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 0)->out[0].fin_acked);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_attached),
        TEST(test_options_travel),
        TEST(test_output_in_order),
        TEST(test_back_pressure),
        TEST(test_eof_behind_back_pressure),
        TEST(test_killed),
        TEST(test_ended_before),
        TEST(test_gaps),
        TEST(test_resized),
        TEST(test_input),
        TEST(test_input_partial_room),
        TEST(test_written_before_attached),
        TEST(test_input_closed),
        TEST(test_no_input_from_the_start),
        TEST(test_items),
        TEST(test_items_without_input),
        TEST(test_only_watches),
        TEST(test_items_not_applied),
        TEST(test_no_callbacks),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
