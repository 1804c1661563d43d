/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vectors/sample.h"

#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        .data = (const uint8_t *)(literal), .size = sizeof(literal) - 1                                                \
    }
#define BIN(array)                                                                                                     \
    {                                                                                                                  \
        .data = (array), .size = sizeof(array)                                                                         \
    }

static const uint8_t id[] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
                             0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};
static const uint8_t nonce[] = {0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37,
                                0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f};
static const uint8_t incarnation[] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
                                      0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
static const uint8_t token[] = {0x00, 0xff, 0x7f, 0x80, 't', 'o', 'k'};
static const uint8_t report_bytes[] = {0x82, 0x00};
static const uint8_t order[] = {0x02, 0x03, 0x81, 0x01, 0x05}; /* stderr 5, stdout 129, stderr 3 */
static const uint8_t tail[] = {'t', 'a', 'i', 'l', '\n', 0x00, 0xff};

static const struct rt_hello_msg hello = {
    .vmin = 1,
    .vmax = 2,
    .role = TEXT("guest"),
    .cid = TEXT("web-1.a_b"),
    .inc = BIN(incarnation),
    .epoch = 70000,
    .tok = BIN(token),
    .nonce = BIN(nonce),
    .name = TEXT("Gr\xc3\xbc\xc3\x9f"
                 "e"),
};

static const struct rt_welcome_msg welcome = {
    .v = 1,
    .host = TEXT("esx-01"),
    .life = 1700000000001,
    .tkt = BIN(token),
    .drain = true,
    .agents = {{.host = TEXT("esx-01"),
                .addr = {TEXT("tcp:192.0.2.1:7401"), TEXT("tcp:[2001:db8::1]:7401")},
                .n_addr = 2},
               {.host = TEXT("esx-02")}},
    .n_agents = 2,
    .more = true,
};

static const struct rt_report_msg report = {
    .procs =
        {{.p = 0, .st = 1, .tty = true, .base = {1, 2, 3}, .n_base = 3, .head = {1048577, 65536, 255}, .n_head = 3},
         {.p = 4294967294, .st = 2, .n_base = 3, .head = {128, 127, RT_COUNTER_MAX - 1}, .n_head = 3, .code = 137}},
    .n_procs = 2,
    .atts = {{.id = BIN(id),
              .p = 4294967294,
              .bound = true,
              .cons = {4, 5, 6},
              .n_cons = 3,
              .app = {7, 8},
              .n_app = 2,
              .hold = 30000},
             {.id = BIN(nonce), .n_cons = 3, .n_app = 2}},
    .n_atts = 2,
    .done = 995,
    .pmore = 3,
    .amore = 40,
};

static const struct rt_refuse_msg refuse = {
    .c = RT_CLASS_MOVED,
    .m = TEXT("moved to esx-02"),
    .delay = 250,
    .host = TEXT("esx-02"),
    .addr = {TEXT("unix:/run/b.sock")},
    .n_addr = 1,
    .life = 9,
    .epoch = 10,
    .code = 11,
    .sig = 12,
    .which = TEXT("attachments"),
    .max = 128,
    .s = 4,
    .at = 4096,
    .got = 4095,
    .try_no = 65536,
    .drop = true,
};

static const struct rt_end_msg end = {.code = 255, .sig = 15, .out = RT_COUNTER_MAX - 1, .err = 256, .ord = BIN(order)};

static const struct rt_end_ok_msg end_ok = {.how = RT_END_STORED, .delay = 500};

static const struct rt_attach_msg attach = {
    .cid = TEXT("web"),
    .id = BIN(id),
    .try_no = 3,
    .make = true,
    .take = true,
    .exec = true,
    .tty = true,
    .p = RT_PROC_MAX,
    .want = 31,
    .from = RT_FROM_LINES,
    .n = 100,
    .ne = 101,
    .hold = 30001,
    .once = true,
    .out = {{.s = 1, .c = 1000, .d = UINT64_MAX, .df = 10},
            {.s = 2, .c = 20, .d = UINT64_C(0xef46db3751d8e999), .df = 20},
            {.s = 3}},
    .n_out = 3,
    .in = {{.s = 0, .a = 5, .h = 6}, {.s = 4, .a = 70000, .h = 70001}},
    .n_in = 2,
    .rows = 24,
    .cols = 80,
    .klife = 1700000000002,
    .kepoch = 21,
    .wait = RT_WAIT_MAX_MS,
};

static const struct rt_attached_msg attached = {
    .life = 1700000000003,
    .epoch = 4,
    .p = 1,
    .st = 2,
    .tty = true,
    .out = {{.s = 1, .c = 1000, .head = 1100}, {.s = 2, .c = 0, .head = 2}, {.s = 3, .c = 3, .head = 5}},
    .n_out = 3,
    .in = {{.s = 0, .a = 5, .d = RT_COUNTER_MAX}, {.s = 4, .a = 6, .d = 7, .closed = true}},
    .n_in = 2,
    .code = 3,
    .sig = 9,
};

static const struct rt_up_item up_item = {
    .t = RT_ITEM_EXITED,
    .code = 126,
    .sig = 6,
    .out = 12345,
    .err = 0,
    .rows = 50,
    .cols = 132,
};

static const struct rt_down_item down_item = {
    .t = RT_ITEM_RUN,
    .sig = 2,
    .rows = 25,
    .cols = 81,
    .b = BIN(id),
    .last = true,
};

static const struct rt_exec_msg exec = {
    .argv = {TEXT("/bin/sh"), TEXT("-c"), TEXT("echo hi")},
    .n_argv = 3,
    .env = {TEXT("TERM=xterm")},
    .n_env = 1,
    .cwd = TEXT("/tmp"),
};

static const struct rt_request_msg request = {
    .op = TEXT("list"),
    .cid = TEXT("we"),
    .label = TEXT("the web"),
    .ring = 2097152,
    .prefix = true,
    .wait = 9999,
    .host = TEXT("esx-03"),
    .vm = TEXT("vm-7"),
    .local = true,
    .states = 1U << RT_SESSION_RUNNING | 1U << RT_SESSION_LOST,
    .older = 86400000,
    .page = 500,
    .after = TEXT("1700000000004 esx-03 acme/we"),
};

/* clang-format off */
#define RECORD                                                                                                         \
    {                                                                                                                  \
        .cid = TEXT("web"), .tenant = TEXT("acme"), .label = TEXT("the web"), .state = RT_SESSION_RUNNING,             \
        .life = 1700000000004, .epoch = 17, .host = TEXT("esx-01"), .inc = BIN(incarnation), .made = 1700000000005,    \
        .claimed = 1700000000006, .moves = 2,                                                                          \
        .hist = {{.host = TEXT("esx-02"), .life = 1700000000004, .epoch = 15, .at = 1700000000007},                    \
                 {.host = TEXT("esx-01"), .life = 1700000000004, .epoch = 17, .at = 1700000000008}},                   \
        .n_hist = 2, .code = 1, .sig = 2, .report = BIN(report_bytes), .seen = 1700000000009                           \
    }
/* clang-format on */

static const struct rt_record_msg record = RECORD;

static const struct rt_reply_msg reply = {
    .c = RT_CLASS_AMBIGUOUS,
    .m = TEXT("several: web, web-1"),
    .more = true,
    .tok = BIN(token),
    .recs = {RECORD, {.cid = TEXT("db"), .state = RT_SESSION_CREATED, .made = 1}},
    .n_recs = 2,
    .hosts = {{.host = TEXT("esx-01"),
               .addr = {TEXT("tcp:192.0.2.1:7401")},
               .n_addr = 1,
               .ver = TEXT("0.1.0"),
               .seq = 1000,
               .age = 250,
               .state = RT_HOST_ALIVE,
               .sessions = 3},
              {.host = TEXT("esx-09"), .age = 99999, .untold = true}},
    .n_hosts = 2,
    .code = 4,
    .sig = 5,
    .out = 6,
    .err = 7,
    .lost = true,
    .cut = true,
    .ord = BIN(order),
    .s = 2,
    .o = 65536,
    .data = BIN(tail),
    .lims = {{.set = TEXT("limits.tenant_sessions"), .who = TEXT("acme"), .max = 1000, .has = 999, .over = 8},
             {.set = TEXT("limits.client_channels"), .max = 4096}},
    .n_lims = 2,
    .chks = {{.name = TEXT("version"), .state = RT_CHECK_IS_OK, .val = TEXT("7.0.15")},
             {.name = TEXT("rights"),
              .state = RT_CHECK_IS_WEAK,
              .val = TEXT("missing: +wait"),
              .risk = TEXT("it fails"),
              .mend = TEXT("give it")}},
    .n_chks = 2,
    .age = 300,
    .local = TEXT("esx-02"),
    .next = TEXT("1700000000004 esx-03 acme/w"),
};

const void *rt_sample(enum rt_msg_kind kind)
{
    static const void *const samples[RT_MSG_KINDS] = {
        [RT_MSG_HELLO] = &hello,         [RT_MSG_WELCOME] = &welcome,   [RT_MSG_REPORT] = &report,
        [RT_MSG_REFUSE] = &refuse,       [RT_MSG_END] = &end,           [RT_MSG_END_OK] = &end_ok,
        [RT_MSG_ATTACH] = &attach,       [RT_MSG_ATTACHED] = &attached, [RT_MSG_UP_ITEM] = &up_item,
        [RT_MSG_DOWN_ITEM] = &down_item, [RT_MSG_REQUEST] = &request,   [RT_MSG_REPLY] = &reply,
        [RT_MSG_RECORD] = &record,       [RT_MSG_EXEC] = &exec,
    };
    return samples[kind];
}
