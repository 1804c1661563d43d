/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg_tables.h"

#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/msg_stream.h"
#include "session/core/order.h"
#include "session/core/protocol.h"

/* Bounds that protocol.md leaves to the codec. */
#define WORD_MAX 32 /* bytes of a role, an operation, a version */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NEVER RT_NEED_NEVER
#define ALWAYS RT_NEED_ALWAYS

#define FIELD(kind_, need_, type, key_, member, min_, max_)                                                            \
    {                                                                                                                  \
        .key = (key_), .kind = (kind_), .need = (need_), .offset = offsetof(struct type, member), .min = (min_),       \
        .max = (max_)                                                                                                  \
    }
#define FROM_TO(need_, type, key_, member, least, most)                                                                \
    FIELD(RT_FIELD_INT, need_, type, key_, member, least, (uint64_t)(most) + 1)
#define UP_TO(need_, type, member, most) FROM_TO(need_, type, #member, member, 0, most)
/* How a process ended; a delay, a time to wait, a terminal. */
#define END(type) UP_TO(NEVER, type, code, RT_CODE_MAX), UP_TO(NEVER, type, sig, RT_SIG_MAX)
#define CELLS(need_, type) UP_TO(need_, type, rows, RT_CELLS_MAX), UP_TO(need_, type, cols, RT_CELLS_MAX)
#define INT(need_, type, member) FIELD(RT_FIELD_INT, need_, type, #member, member, 0, RT_COUNTER_MAX)
#define STREAM(need_, type, member) FIELD(RT_FIELD_INT, need_, type, #member, member, 0, RT_STREAMS)
#define DIGEST(need_, type, member) FIELD(RT_FIELD_INT, need_, type, #member, member, 0, 0)
#define BOOL(need_, type, member) FIELD(RT_FIELD_BOOL, need_, type, #member, member, 0, 0)
#define BYTES(kind_, need_, type, member, min_, max_) FIELD(kind_, need_, type, #member, member, min_, max_)
#define STR(need_, type, member, max_) BYTES(RT_FIELD_STR, need_, type, member, 0, max_)
#define BIN(need_, type, member, max_) BYTES(RT_FIELD_BIN, need_, type, member, 0, max_)
#define RUNS(type, member) BYTES(RT_FIELD_RUNS, NEVER, type, member, 2, RT_ORDER_PACKED_MAX)
#define ID(need_, type, member) BYTES(RT_FIELD_BIN, need_, type, member, RT_ID_SIZE, RT_ID_SIZE)
#define ARRAY(kind_, need_, type, member, min_, each_, sub_)                                                           \
    {                                                                                                                  \
        .key = #member, .kind = (kind_), .need = (need_), .array = true, .offset = offsetof(struct type, member),      \
        .count_offset = offsetof(struct type, n_##member), .min = (min_), .max = COUNT(((struct type *)0)->member),    \
        .each = (each_), .sub = (sub_)                                                                                 \
    }
#define INTS(need_, type, member)                                                                                      \
    ARRAY(RT_FIELD_INT, need_, type, member, COUNT(((struct type *)0)->member), RT_COUNTER_MAX, NULL)
#define STRS(need_, type, member, each_) ARRAY(RT_FIELD_STR, need_, type, member, 0, each_, NULL)
#define MAPS(need_, type, member, sub_) ARRAY(RT_FIELD_MAP, need_, type, member, 0, 0, sub_)

#define TABLE(name_, type, fields_, size_max_)                                                                         \
    {                                                                                                                  \
        .name = (name_), .struct_size = sizeof(struct type), .size_max = (size_max_), .fields = (fields_),             \
        .n_fields = COUNT(fields_)                                                                                     \
    }
#define SUB_TABLE(type, fields_) TABLE(#fields_, type, fields_, RT_FRAME_PAYLOAD_MAX)
/* low_ is never above high_: n_ numbers each. */
#define ORDERED_TABLE(type, fields_, low_, high_, n_)                                                                  \
    {                                                                                                                  \
        .name = #fields_, .struct_size = sizeof(struct type), .size_max = RT_FRAME_PAYLOAD_MAX, .fields = (fields_),   \
        .n_fields = COUNT(fields_), .low_key = #low_, .high_key = #high_, .low = offsetof(struct type, low_),          \
        .high = offsetof(struct type, high_), .n_ordered = (n_)                                                        \
    }

static const struct rt_msg_field hello[] = {
    INT(ALWAYS, rt_hello_msg, vmin),
    INT(ALWAYS, rt_hello_msg, vmax),
    STR(ALWAYS, rt_hello_msg, role, WORD_MAX),
    STR(NEVER, rt_hello_msg, cid, RT_CID_MAX),
    ID(NEVER, rt_hello_msg, inc),
    INT(NEVER, rt_hello_msg, epoch),
    BIN(NEVER, rt_hello_msg, tok, RT_TOKEN_MAX),
    ID(NEVER, rt_hello_msg, nonce),
    STR(NEVER, rt_hello_msg, name, RT_NAME_MAX),
};

static const struct rt_msg_field agent[] = {
    STR(ALWAYS, rt_host_msg, host, RT_HOST_MAX),
    STRS(ALWAYS, rt_host_msg, addr, RT_ADDR_MAX),
    BOOL(NEVER, rt_host_msg, drains),
};
static const struct rt_msg_table agent_table = SUB_TABLE(rt_host_msg, agent);

static const struct rt_msg_field welcome[] = {
    INT(ALWAYS, rt_welcome_msg, v),     STR(ALWAYS, rt_welcome_msg, host, RT_HOST_MAX),
    INT(NEVER, rt_welcome_msg, life),   BIN(NEVER, rt_welcome_msg, tkt, RT_TOKEN_MAX),
    BOOL(NEVER, rt_welcome_msg, drain), MAPS(NEVER, rt_welcome_msg, agents, &agent_table),
    BOOL(NEVER, rt_welcome_msg, more),
};

static const struct rt_msg_field report_proc[] = {
    UP_TO(ALWAYS, rt_report_proc, p, RT_PROC_MAX),
    UP_TO(ALWAYS, rt_report_proc, st, 2),
    BOOL(NEVER, rt_report_proc, tty),
    INTS(ALWAYS, rt_report_proc, base),
    INTS(ALWAYS, rt_report_proc, head),
    UP_TO(NEVER, rt_report_proc, code, RT_CODE_MAX),
};
static const struct rt_msg_table report_proc_table = ORDERED_TABLE(rt_report_proc, report_proc, base, head, 3);

static const struct rt_msg_field report_att[] = {
    ID(ALWAYS, rt_report_att, id),     UP_TO(ALWAYS, rt_report_att, p, RT_PROC_MAX),
    BOOL(NEVER, rt_report_att, bound), INTS(ALWAYS, rt_report_att, cons),
    INTS(ALWAYS, rt_report_att, app),  UP_TO(NEVER, rt_report_att, hold, RT_HOLD_MAX_MS),
};
static const struct rt_msg_table report_att_table = SUB_TABLE(rt_report_att, report_att);

static const struct rt_msg_field report[] = {
    MAPS(ALWAYS, rt_report_msg, procs, &report_proc_table),
    MAPS(ALWAYS, rt_report_msg, atts, &report_att_table),
    INT(NEVER, rt_report_msg, done),
    INT(NEVER, rt_report_msg, pmore),
    INT(NEVER, rt_report_msg, amore),
};

static const struct rt_msg_field refuse[] = {
    INT(ALWAYS, rt_refuse_msg, c),
    STR(NEVER, rt_refuse_msg, m, RT_TEXT_MAX),
    UP_TO(NEVER, rt_refuse_msg, delay, RT_DELAY_MAX_MS),
    STR(NEVER, rt_refuse_msg, host, RT_HOST_MAX),
    STRS(NEVER, rt_refuse_msg, addr, RT_ADDR_MAX),
    INT(NEVER, rt_refuse_msg, life),
    INT(NEVER, rt_refuse_msg, epoch),
    END(rt_refuse_msg),
    STR(NEVER, rt_refuse_msg, which, WORD_MAX),
    INT(NEVER, rt_refuse_msg, max),
    STREAM(NEVER, rt_refuse_msg, s),
    INT(NEVER, rt_refuse_msg, at),
    INT(NEVER, rt_refuse_msg, got),
    FROM_TO(NEVER, rt_refuse_msg, "try", try_no, 0, RT_COUNTER_MAX - 1),
    BOOL(NEVER, rt_refuse_msg, drop),
};

static const struct rt_msg_field end[] = {
    END(rt_end_msg),
    INT(ALWAYS, rt_end_msg, out),
    INT(ALWAYS, rt_end_msg, err),
    RUNS(rt_end_msg, ord),
};

static const struct rt_msg_field end_ok[] = {
    UP_TO(ALWAYS, rt_end_ok_msg, how, RT_END_OTHER),
    UP_TO(NEVER, rt_end_ok_msg, delay, RT_DELAY_MAX_MS),
};

static const struct rt_msg_field attach_out[] = {
    STREAM(ALWAYS, rt_attach_out, s),
    INT(ALWAYS, rt_attach_out, c),
    DIGEST(ALWAYS, rt_attach_out, d),
    INT(ALWAYS, rt_attach_out, df),
};
static const struct rt_msg_table attach_out_table = ORDERED_TABLE(rt_attach_out, attach_out, df, c, 1);

static const struct rt_msg_field attach_in[] = {
    STREAM(ALWAYS, rt_attach_in, s),
    INT(ALWAYS, rt_attach_in, a),
    INT(ALWAYS, rt_attach_in, h),
};
static const struct rt_msg_table attach_in_table = ORDERED_TABLE(rt_attach_in, attach_in, a, h, 1);

static const struct rt_msg_field attach[] = {
    STR(ALWAYS, rt_attach_msg, cid, RT_WHOLE_NAME_MAX),
    ID(ALWAYS, rt_attach_msg, id),
    FROM_TO(ALWAYS, rt_attach_msg, "try", try_no, 1, RT_COUNTER_MAX - 1),
    BOOL(NEVER, rt_attach_msg, make),
    BOOL(NEVER, rt_attach_msg, take),
    BOOL(NEVER, rt_attach_msg, exec),
    BOOL(NEVER, rt_attach_msg, tty),
    UP_TO(NEVER, rt_attach_msg, p, RT_PROC_MAX),
    UP_TO(ALWAYS, rt_attach_msg, want, (1 << RT_STREAMS) - 1),
    UP_TO(NEVER, rt_attach_msg, from, RT_FROM_LINES),
    INT(NEVER, rt_attach_msg, n),
    INT(NEVER, rt_attach_msg, ne),
    INT(NEVER, rt_attach_msg, hold),
    BOOL(NEVER, rt_attach_msg, once),
    MAPS(NEVER, rt_attach_msg, out, &attach_out_table),
    MAPS(NEVER, rt_attach_msg, in, &attach_in_table),
    CELLS(NEVER, rt_attach_msg),
    INT(NEVER, rt_attach_msg, klife),
    INT(NEVER, rt_attach_msg, kepoch),
    UP_TO(NEVER, rt_attach_msg, wait, RT_WAIT_MAX_MS),
};

static const struct rt_msg_field attached_out[] = {
    STREAM(ALWAYS, rt_attached_out, s),
    INT(ALWAYS, rt_attached_out, c),
    INT(ALWAYS, rt_attached_out, head),
};
static const struct rt_msg_table attached_out_table = SUB_TABLE(rt_attached_out, attached_out);

static const struct rt_msg_field attached_in[] = {
    STREAM(ALWAYS, rt_attached_in, s),
    INT(ALWAYS, rt_attached_in, a),
    DIGEST(ALWAYS, rt_attached_in, d),
    BOOL(NEVER, rt_attached_in, closed),
};
static const struct rt_msg_table attached_in_table = SUB_TABLE(rt_attached_in, attached_in);

static const struct rt_msg_field attached[] = {
    INT(ALWAYS, rt_attached_msg, life),
    INT(ALWAYS, rt_attached_msg, epoch),
    UP_TO(ALWAYS, rt_attached_msg, p, RT_PROC_MAX),
    UP_TO(ALWAYS, rt_attached_msg, st, 2),
    BOOL(NEVER, rt_attached_msg, tty),
    MAPS(ALWAYS, rt_attached_msg, out, &attached_out_table),
    MAPS(NEVER, rt_attached_msg, in, &attached_in_table),
    END(rt_attached_msg),
};

static const struct rt_msg_field up_item[] = {
    INT(ALWAYS, rt_up_item, t),
    END(rt_up_item),
    INT(RT_NEED_ITEM(RT_ITEM_EXITED), rt_up_item, out),
    INT(RT_NEED_ITEM(RT_ITEM_EXITED), rt_up_item, err),
    CELLS(RT_NEED_ITEM(RT_ITEM_RESIZED), rt_up_item),
};

static const struct rt_msg_field down_item[] = {
    INT(ALWAYS, rt_down_item, t),
    FROM_TO(RT_NEED_ITEM(RT_ITEM_SIGNAL), rt_down_item, "sig", sig, 1, RT_SIG_MAX),
    CELLS(RT_NEED_ITEM(RT_ITEM_RESIZE), rt_down_item),
    BYTES(RT_FIELD_BIN, RT_NEED_ITEM(RT_ITEM_RUN), rt_down_item, b, 1, RT_PIECE_MAX),
    BOOL(NEVER, rt_down_item, last),
};

/* What a system call takes is bytes; not all of it is text. */
static const struct rt_msg_field exec[] = {
    ARRAY(RT_FIELD_BIN, ALWAYS, rt_exec_msg, argv, 1, RT_ARG_MAX, NULL),
    ARRAY(RT_FIELD_BIN, NEVER, rt_exec_msg, env, 0, RT_ARG_MAX, NULL),
    BIN(NEVER, rt_exec_msg, cwd, RT_CWD_MAX),
};

static const struct rt_msg_field request[] = {
    STR(ALWAYS, rt_request_msg, op, WORD_MAX),
    STR(NEVER, rt_request_msg, cid, RT_WHOLE_NAME_MAX),
    STR(NEVER, rt_request_msg, label, RT_LABEL_MAX),
    INT(NEVER, rt_request_msg, ring),
    BOOL(NEVER, rt_request_msg, prefix),
    UP_TO(NEVER, rt_request_msg, wait, RT_WAIT_MAX_MS),
    STR(NEVER, rt_request_msg, host, RT_HOST_MAX),
    STR(NEVER, rt_request_msg, vm, RT_VM_MAX),
    BOOL(NEVER, rt_request_msg, local),
    UP_TO(NEVER, rt_request_msg, states, (1U << (RT_SESSION_ENDED + 1)) - 1),
    INT(NEVER, rt_request_msg, older),
    INT(NEVER, rt_request_msg, page),
    STR(NEVER, rt_request_msg, after, RT_PLACE_MAX),
    UP_TO(NEVER, rt_request_msg, drain, RT_DRAIN_OFF),
};

static const struct rt_msg_field hist[] = {
    STR(ALWAYS, rt_move_msg, host, RT_HOST_MAX),
    INT(ALWAYS, rt_move_msg, life),
    INT(ALWAYS, rt_move_msg, epoch),
    INT(ALWAYS, rt_move_msg, at),
};
static const struct rt_msg_table hist_table = SUB_TABLE(rt_move_msg, hist);

static const struct rt_msg_field record[] = {
    STR(ALWAYS, rt_record_msg, cid, RT_CID_MAX),
    STR(ALWAYS, rt_record_msg, tenant, RT_TENANT_MAX),
    STR(NEVER, rt_record_msg, label, RT_LABEL_MAX),
    UP_TO(ALWAYS, rt_record_msg, state, RT_SESSION_ENDED),
    INT(ALWAYS, rt_record_msg, life),
    INT(ALWAYS, rt_record_msg, epoch),
    STR(NEVER, rt_record_msg, host, RT_HOST_MAX),
    ID(NEVER, rt_record_msg, inc),
    INT(ALWAYS, rt_record_msg, made),
    INT(ALWAYS, rt_record_msg, claimed),
    INT(ALWAYS, rt_record_msg, moves),
    MAPS(NEVER, rt_record_msg, hist, &hist_table),
    END(rt_record_msg),
    BIN(NEVER, rt_record_msg, report, RT_RECORD_REPORT_MAX),
    INT(NEVER, rt_record_msg, seen),
    BOOL(NEVER, rt_record_msg, revoked),
};
static const struct rt_msg_table record_table = SUB_TABLE(rt_record_msg, record);

static const struct rt_msg_field registry[] = {
    STR(ALWAYS, rt_registry_msg, host, RT_HOST_MAX),
    STRS(ALWAYS, rt_registry_msg, addr, RT_ADDR_MAX),
    STR(ALWAYS, rt_registry_msg, ver, WORD_MAX),
    INT(ALWAYS, rt_registry_msg, seq),
    INT(ALWAYS, rt_registry_msg, age),
    UP_TO(ALWAYS, rt_registry_msg, state, RT_HOST_DEAD),
    INT(ALWAYS, rt_registry_msg, sessions),
    BOOL(NEVER, rt_registry_msg, untold),
    BOOL(NEVER, rt_registry_msg, drains),
    BOOL(NEVER, rt_registry_msg, unsure),
};
static const struct rt_msg_table registry_table = SUB_TABLE(rt_registry_msg, registry);

static const struct rt_msg_field limit[] = {
    STR(ALWAYS, rt_limit_msg, set, WORD_MAX), STR(NEVER, rt_limit_msg, who, RT_TENANT_MAX),
    INT(ALWAYS, rt_limit_msg, max),           INT(ALWAYS, rt_limit_msg, has),
    INT(NEVER, rt_limit_msg, over),
};
static const struct rt_msg_table limit_table = SUB_TABLE(rt_limit_msg, limit);

static const struct rt_msg_field check[] = {
    STR(ALWAYS, rt_check_msg, name, WORD_MAX),         UP_TO(ALWAYS, rt_check_msg, state, RT_CHECK_IS_WEAK),
    STR(ALWAYS, rt_check_msg, val, RT_CHECK_TEXT_MAX), STR(NEVER, rt_check_msg, risk, RT_CHECK_TEXT_MAX),
    STR(NEVER, rt_check_msg, mend, RT_CHECK_TEXT_MAX),
};
static const struct rt_msg_table check_table = SUB_TABLE(rt_check_msg, check);

static const struct rt_msg_field reply[] = {
    INT(ALWAYS, rt_reply_msg, c),
    STR(NEVER, rt_reply_msg, m, RT_TEXT_MAX),
    BOOL(NEVER, rt_reply_msg, more),
    BIN(NEVER, rt_reply_msg, tok, RT_TOKEN_MAX),
    MAPS(NEVER, rt_reply_msg, recs, &record_table),
    MAPS(NEVER, rt_reply_msg, hosts, &registry_table),
    END(rt_reply_msg),
    INT(NEVER, rt_reply_msg, out),
    INT(NEVER, rt_reply_msg, err),
    BOOL(NEVER, rt_reply_msg, lost),
    BOOL(NEVER, rt_reply_msg, cut),
    RUNS(rt_reply_msg, ord),
    STREAM(NEVER, rt_reply_msg, s),
    INT(NEVER, rt_reply_msg, o),
    BIN(NEVER, rt_reply_msg, data, RT_TAIL_CHUNK),
    MAPS(NEVER, rt_reply_msg, lims, &limit_table),
    MAPS(NEVER, rt_reply_msg, chks, &check_table),
    INT(NEVER, rt_reply_msg, age),
    STR(NEVER, rt_reply_msg, local, RT_HOST_MAX),
    STR(NEVER, rt_reply_msg, next, RT_PLACE_MAX),
};

static const struct rt_msg_table tables[RT_MSG_KINDS] = {
    [RT_MSG_HELLO] = TABLE("hello", rt_hello_msg, hello, RT_SHORT_MAX),
    [RT_MSG_WELCOME] = TABLE("welcome", rt_welcome_msg, welcome, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_REPORT] = TABLE("report", rt_report_msg, report, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_REFUSE] = TABLE("refuse", rt_refuse_msg, refuse, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_END] = TABLE("end", rt_end_msg, end, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_END_OK] = TABLE("end_ok", rt_end_ok_msg, end_ok, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_ATTACH] = TABLE("attach", rt_attach_msg, attach, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_ATTACHED] = TABLE("attached", rt_attached_msg, attached, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_UP_ITEM] = TABLE("up_item", rt_up_item, up_item, RT_ITEM_MAX),
    [RT_MSG_DOWN_ITEM] = TABLE("down_item", rt_down_item, down_item, RT_ITEM_MAX),
    [RT_MSG_EXEC] = TABLE("exec", rt_exec_msg, exec, RT_EXEC_MAX),
    [RT_MSG_REQUEST] = TABLE("request", rt_request_msg, request, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_REPLY] = TABLE("reply", rt_reply_msg, reply, RT_FRAME_PAYLOAD_MAX),
    [RT_MSG_RECORD] = TABLE("record", rt_record_msg, record, RT_FRAME_PAYLOAD_MAX),
};

const struct rt_msg_table *rt_msg_table(enum rt_msg_kind kind)
{
    return (unsigned)kind < RT_MSG_KINDS ? &tables[kind] : NULL;
}
