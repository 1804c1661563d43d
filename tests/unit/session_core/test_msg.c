/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include "tests/lib/alloc/allocfail.h"
#include "tests/vectors/sample.h"
#include "tests/vectors/vector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static union {
    struct rt_reply_msg reply;
    struct rt_report_msg report;
    struct rt_welcome_msg welcome;
    struct rt_attach_msg attach;
    struct rt_refuse_msg refuse;
    struct rt_hello_msg hello;
    struct rt_down_item down;
    struct rt_exec_msg exec;
} msg;
static uint8_t bytes[RT_EXEC_MAX], again[RT_EXEC_MAX];
static char why[160];

static size_t encode_sample(enum rt_msg_kind kind)
{
    int size = rt_msg_encode(kind, rt_sample(kind), bytes, sizeof(bytes));
    assert_true(size > 0);
    return (size_t)size;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RT_MSG_KINDS; i++) {
        enum rt_msg_kind kind = (enum rt_msg_kind)i;
        size_t size = encode_sample(kind);
        memset(&msg, 0xff, sizeof(msg)); /* the decoder leaves nothing of it */
        assert_int_equal(rt_msg_decode(kind, bytes, size, &msg, why, sizeof(why)), 0);
        assert_int_equal(rt_msg_encode(kind, &msg, again, sizeof(again)), size);
        assert_memory_equal(again, bytes, size);
    }
}

static void assert_text(struct rt_slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    assert_memory_equal(slice.data, text, slice.size);
    assert_true(slice.data >= bytes && slice.data + slice.size <= bytes + sizeof(bytes)); /* a view, no copy */
}

static void test_members(void **state)
{
    (void)state;
    size_t size = encode_sample(RT_MSG_ATTACH);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, bytes, size, &msg, why, sizeof(why)), 0);
    assert_text(msg.attach.cid, "web");
    assert_int_equal(msg.attach.id.size, RT_ID_SIZE);
    assert_int_equal(msg.attach.id.data[15], 0x1f);
    assert_int_equal(msg.attach.try_no, 3);
    assert_int_equal(msg.attach.p, RT_PROC_MAX);
    assert_true(msg.attach.once);
    assert_int_equal(msg.attach.n_out, 3);
    assert_true(msg.attach.out[0].d == UINT64_MAX);
    assert_int_equal(msg.attach.out[1].df, 20);
    assert_int_equal(msg.attach.n_in, 2);
    assert_int_equal(msg.attach.in[1].h, 70001);
    assert_int_equal(msg.attach.wait, RT_WAIT_MAX_MS);
    size = encode_sample(RT_MSG_WELCOME);
    assert_int_equal(rt_msg_decode(RT_MSG_WELCOME, bytes, size, &msg, why, sizeof(why)), 0);
    assert_int_equal(msg.welcome.n_agents, 2);
    assert_text(msg.welcome.agents[0].addr[1], "tcp:[2001:db8::1]:7401");
    assert_text(msg.welcome.agents[1].host, "esx-02");
}

static void test_optional_left_out(void **state)
{
    (void)state;
    static const uint8_t least[] = {0x81, 0xa1, 'c', 0x0e};
    memset(&msg, 0, sizeof(msg));
    msg.refuse.c = RT_CLASS_PROTOCOL;
    assert_int_equal(rt_msg_encode(RT_MSG_REFUSE, &msg, bytes, sizeof(bytes)), sizeof(least));
    assert_memory_equal(bytes, least, sizeof(least));
}

/* Whatever the cut, nothing behind it is read: the copy ends where the cut is, and ASan watches. */
static void test_every_cut(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < RT_MSG_KINDS; kind++) {
        size_t size = encode_sample((enum rt_msg_kind)kind);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut == 0 ? 1 : cut);
            assert_non_null(exact);
            memcpy(exact, bytes, cut);
            why[0] = '\0';
            assert_int_equal(rt_msg_decode((enum rt_msg_kind)kind, exact, cut, &msg, why, sizeof(why)), RT_EPROTO);
            assert_true(why[0] != '\0');
            free(exact);
        }
    }
}

/* What is decoded from damaged bytes is something that the encoder would write as well. */
static void test_every_damage(void **state)
{
    (void)state;
    static const uint8_t masks[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x0f, 0xf0, 0x3f, 0x55, 0xff};
    size_t decoded = 0, refused = 0;
    for (unsigned i = 0; i < RT_MSG_KINDS; i++) {
        enum rt_msg_kind kind = (enum rt_msg_kind)i;
        size_t size = encode_sample(kind);
        uint8_t *exact = malloc(size);
        assert_non_null(exact);
        memcpy(exact, bytes, size);
        for (size_t at = 0; at < size * sizeof(masks); at++) {
            exact[at / sizeof(masks)] ^= masks[at % sizeof(masks)];
            if (rt_msg_decode(kind, exact, size, &msg, why, sizeof(why)) == 0) {
                assert_true(rt_msg_encode(kind, &msg, again, sizeof(again)) > 0);
                decoded++;
            } else {
                refused++;
            }
            exact[at / sizeof(masks)] ^= masks[at % sizeof(masks)];
        }
        free(exact);
    }
    assert_true(decoded > 0 && refused > 0);
}

static void test_small_buffers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RT_MSG_KINDS; i++) {
        enum rt_msg_kind kind = (enum rt_msg_kind)i;
        size_t size = encode_sample(kind);
        for (size_t cap = 0; cap <= size; cap++) {
            uint8_t *exact = malloc(cap == 0 ? 1 : cap);
            assert_non_null(exact);
            int expected = cap < size ? RT_ELIMIT : (int)size;
            assert_int_equal(rt_msg_encode(kind, rt_sample(kind), exact, cap), expected);
            free(exact);
        }
    }
    assert_int_equal(rt_msg_encode(RT_MSG_KINDS, &msg, bytes, sizeof(bytes)), RT_EINVAL);
}

/* A hello of 2,048 bytes and a command of 256 KiB pass, one byte more does not, in both directions; an item takes a
 * piece of any size with its marks. */
static void test_kind_sizes(void **state)
{
    (void)state;
    static const uint8_t fill[RT_EXEC_MAX];
    memset(&msg, 0, sizeof(msg));
    msg.down.t = RT_ITEM_RUN;
    msg.down.b = (struct rt_slice){.data = fill, .size = RT_PIECE_MAX};
    msg.down.last = true;
    assert_in_range(rt_msg_encode(RT_MSG_DOWN_ITEM, &msg, bytes, sizeof(bytes)), RT_PIECE_MAX, RT_ITEM_MAX);
    assert_int_equal(rt_msg_decode(RT_MSG_DOWN_ITEM, bytes, RT_ITEM_MAX + 1, &msg, why, sizeof(why)), RT_EPROTO);
    assert_string_equal(why, "down_item: 4097 bytes, wants at most 4096");
    memset(&msg, 0, sizeof(msg));
    msg.exec.n_argv = 2;
    msg.exec.argv[0] = (struct rt_slice){.data = fill, .size = RT_ARG_MAX};
    msg.exec.argv[1] = (struct rt_slice){.data = fill, .size = RT_EXEC_MAX - RT_ARG_MAX - 14};
    assert_int_equal(rt_msg_encode(RT_MSG_EXEC, &msg, bytes, sizeof(bytes)), RT_EXEC_MAX);
    msg.exec.argv[1].size++;
    assert_int_equal(rt_msg_encode(RT_MSG_EXEC, &msg, again, sizeof(again)), RT_ELIMIT);
    assert_int_equal(rt_msg_decode(RT_MSG_EXEC, bytes, RT_EXEC_MAX, &msg, why, sizeof(why)), 0);
    assert_int_equal(rt_msg_decode(RT_MSG_EXEC, bytes, RT_EXEC_MAX + 1, &msg, why, sizeof(why)), RT_EPROTO);
    assert_string_equal(why, "exec: 262145 bytes, wants at most 262144");
    assert_int_equal(rt_msg_decode(RT_MSG_HELLO, bytes, RT_SHORT_MAX + 1, &msg, why, sizeof(why)), RT_EPROTO);
    assert_string_equal(why, "hello: 2049 bytes, wants at most 2048");
    assert_int_equal(rt_msg_decode(RT_MSG_REPORT, bytes, RT_FRAME_PAYLOAD_MAX + 1, &msg, why, sizeof(why)), RT_EPROTO);
}

/* 32 records with 16 moves each are over 4,096 nodes: no decoder would take them, so the encoder tells to send fewer.
 */
static void test_node_limit(void **state)
{
    (void)state;
    memset(&msg, 0, sizeof(msg));
    for (size_t i = 0; i < RT_LIST_MAX; i++) {
        msg.reply.recs[i].n_hist = RT_HISTORY_MAX;
    }
    bool limited = false;
    for (size_t n = 1; n <= RT_LIST_MAX; n++) {
        msg.reply.n_recs = n;
        int size = rt_msg_encode(RT_MSG_REPLY, &msg, bytes, sizeof(bytes));
        limited = limited || size == RT_ELIMIT;
        assert_int_equal(size == RT_ELIMIT, limited);
        if (size > 0) {
            static struct rt_reply_msg decoded;
            assert_int_equal(rt_msg_decode(RT_MSG_REPLY, bytes, (size_t)size, &decoded, why, sizeof(why)), 0);
            assert_int_equal(decoded.n_recs, n);
        }
    }
    assert_true(limited);
}

/* The largest report fits a frame and the node limit: it must never be cut. */
static void test_largest_report(void **state)
{
    (void)state;
    static const uint8_t id[RT_ID_SIZE];
    static struct rt_report_msg report;
    report.n_procs = RT_PROCS_MAX;
    report.n_atts = RT_ATTS_MAX;
    uint64_t most = RT_COUNTER_MAX - 1;
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        report.procs[i] = (struct rt_report_proc){.p = RT_PROC_MAX,
                                                  .st = 2,
                                                  .tty = true,
                                                  .base = {most, most, most},
                                                  .n_base = 3,
                                                  .head = {most, most, most},
                                                  .n_head = 3,
                                                  .code = RT_CODE_MAX};
    }
    for (size_t i = 0; i < RT_ATTS_MAX; i++) {
        report.atts[i] = (struct rt_report_att){.id = {.data = id, .size = sizeof(id)},
                                                .p = RT_PROC_MAX,
                                                .bound = true,
                                                .cons = {most, most, most},
                                                .n_cons = 3,
                                                .app = {most, most},
                                                .n_app = 2,
                                                .hold = RT_HOLD_MAX_MS};
    }
    int size = rt_msg_encode(RT_MSG_REPORT, &report, bytes, sizeof(bytes));
    assert_true(size > 0);
    assert_int_equal(rt_msg_decode(RT_MSG_REPORT, bytes, (size_t)size, &msg, why, sizeof(why)), 0);
    assert_int_equal(msg.report.n_atts, RT_ATTS_MAX);
}

static void test_bad_text(void **state)
{
    (void)state;
    memset(&msg, 0, sizeof(msg));
    msg.refuse.m = rt_slice_text("caf\xe9");
    assert_int_equal(rt_msg_encode(RT_MSG_REFUSE, &msg, bytes, sizeof(bytes)), RT_EINVAL);
    msg.refuse.m = rt_slice_text("caf\xc3\xa9");
    assert_true(rt_msg_encode(RT_MSG_REFUSE, &msg, bytes, sizeof(bytes)) > 0);
}

static void test_short_why(void **state)
{
    (void)state;
    char small[8];
    memset(small, 'x', sizeof(small));
    assert_int_equal(rt_msg_decode(RT_MSG_END, bytes, 0, &msg, small, sizeof(small)), RT_EPROTO);
    assert_string_equal(small, "end: th");
    assert_int_equal(rt_msg_decode(RT_MSG_END, bytes, 0, &msg, NULL, 0), RT_EPROTO);
}

/* The codec allocates nothing, so it goes on when memory is short. */
static void test_no_memory(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < RT_MSG_KINDS; kind++) {
        rt_alloc_fail_from(1);
        int size = rt_msg_encode((enum rt_msg_kind)kind, rt_sample((enum rt_msg_kind)kind), bytes, sizeof(bytes));
        int rc = size < 0 ? size : rt_msg_decode((enum rt_msg_kind)kind, bytes, (size_t)size, &msg, why, sizeof(why));
        assert_false(rt_alloc_stop());
        assert_int_equal(rc, 0);
        assert_int_equal(rt_alloc_count(), 0);
    }
}

static void test_slices(void **state)
{
    (void)state;
    struct rt_slice none = {0};
    char out[4];
    assert_true(rt_slice_equal(rt_slice_text("web"), (struct rt_slice){.data = (const uint8_t *)"webs", .size = 3}));
    assert_false(rt_slice_equal(rt_slice_text("web"), rt_slice_text("wet")));
    assert_false(rt_slice_equal(rt_slice_text("web"), rt_slice_text("we")));
    assert_true(rt_slice_equal(none, rt_slice_text("")));
    rt_slice_copy(rt_slice_text("we"), out, sizeof(out));
    assert_string_equal(out, "we");
    rt_slice_copy(rt_slice_text("webs"), out, sizeof(out));
    assert_string_equal(out, "web");
    rt_slice_copy(none, out, sizeof(out));
    assert_string_equal(out, "");
    out[0] = 'x';
    rt_slice_copy(rt_slice_text("webs"), out, 0);
    assert_int_equal(out[0], 'x');
}

static void test_cid(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "0", "Z", "web-1.a_b", "a-", "9.."};
    static const char *const bad[] = {"", "-a", ".a", "_a", "a b", "a/b", "a\n", "\xc3\xa9", "a\xff", "a:"};
    char text[RT_CID_MAX + 2];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rt_cid_valid(rt_slice_text(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_cid_valid(rt_slice_text(bad[i])));
    }
    memset(text, 'a', sizeof(text));
    assert_true(rt_cid_valid((struct rt_slice){.data = (const uint8_t *)text, .size = RT_CID_MAX}));
    assert_false(rt_cid_valid((struct rt_slice){.data = (const uint8_t *)text, .size = RT_CID_MAX + 1}));
    text[1] = '\0';
    assert_false(rt_cid_valid((struct rt_slice){.data = (const uint8_t *)text, .size = 3}));
}

/* As operators name containers: a slash parts a tenant's name from the container's, each of them good by itself. */
static void test_whole_name(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "t/a", "t-1/web.2", "0/0"};
    static const char *const bad[] = {"", "/", "t/", "/a", "t//a", "t/a/b", "t t/a", "-t/a", "t/-a"};
    char text[RT_WHOLE_NAME_MAX + 1];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(rt_whole_name_valid(rt_slice_text(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(rt_whole_name_valid(rt_slice_text(bad[i])));
    }
    for (size_t tenant = RT_TENANT_MAX; tenant <= RT_TENANT_MAX + 1; tenant++) {
        for (size_t cid = RT_CID_MAX; cid <= RT_CID_MAX + 1; cid++) {
            char name[RT_TENANT_MAX + RT_CID_MAX + 3];
            memset(name, 'n', sizeof(name));
            name[tenant] = '/';
            assert_int_equal(rt_whole_name_valid((struct rt_slice){(const uint8_t *)name, tenant + 1 + cid}),
                             tenant == RT_TENANT_MAX && cid == RT_CID_MAX);
        }
    }
    memset(text, 'a', sizeof(text));
    assert_false(rt_whole_name_valid((struct rt_slice){(const uint8_t *)text, RT_CID_MAX + 1})); /* no tenant */
}

static void test_names(void **state)
{
    (void)state;
    /* In the order of protocol.md section 6. */
    static const char *const classes[] = {
        "OK",
        "RETRY_LATER",
        "MOVED",
        "STALE",
        "REWOUND",
        "FORKED",
        "SUPERSEDED",
        "BAD_AUTH",
        "NOT_FOUND",
        "ENDED",
        "UNKNOWN_ATTACHMENT",
        "STOLEN",
        "VERSION",
        "LIMIT",
        "PROTOCOL",
        "LOST",
        "JUMP",
        "DENIED",
        "INVALID",
        "AMBIGUOUS",
    };
    static const char *const states[] = {"none", "created", "running", "moving", "lost", "ended"};
    assert_int_equal(sizeof(classes) / sizeof(classes[0]), RT_CLASSES);
    for (size_t i = 0; i < RT_CLASSES; i++) {
        assert_string_equal(rt_class_name(i), classes[i]);
    }
    assert_string_equal(rt_class_name(RT_CLASSES), "?");
    assert_string_equal(rt_class_name(UINT64_MAX), "?");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        assert_string_equal(rt_session_state_name(i), states[i]);
    }
    assert_string_equal(rt_session_state_name(RT_SESSION_ENDED + 1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_optional_left_out),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_damage),
        cmocka_unit_test(test_small_buffers),
        cmocka_unit_test(test_kind_sizes),
        cmocka_unit_test(test_node_limit),
        cmocka_unit_test(test_largest_report),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_short_why),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_cid),
        cmocka_unit_test(test_whole_name),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
