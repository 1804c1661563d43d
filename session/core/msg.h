/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_H
#define RETETHER_SESSION_CORE_MSG_H

#include "session/core/error.h"
#include "session/core/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The msgpack maps of docs/protocol.md, one struct each, with one encoder and one decoder driven by tables of keys.
 * Text and bin fields are slices: after a decode they point into the decoded payload and live as long as it does. */

#define RT_PROTOCOL_VERSION 1
#define RT_CID_MAX 128
#define RT_TENANT_MAX 64
#define RT_HOST_MAX 64
#define RT_ADDR_MAX 108
#define RT_ADDRS_MAX 4
#define RT_ID_SIZE 16
#define RT_TOKEN_MAX 1024
#define RT_TEXT_MAX 256
#define RT_LABEL_MAX 256
/* Processes of a tether; one exec more makes no attachment: attaching to it is UNKNOWN_ATTACHMENT. */
#define RT_PROCS_MAX 64
/* Attachments of a tether; one more displaces the one that has been unbound for longest and holds nothing, or that
 * has been for RT_ATT_DISPLACE_MS; else LIMIT. */
#define RT_ATTS_MAX 128
#define RT_AGENTS_MAX 64
#define RT_HISTORY_MAX 16
#define RT_NAME_MAX 64
#define RT_CWD_MAX 1024
/* Bytes of a REPORT payload kept in a record. */
#define RT_RECORD_REPORT_MAX 1024
#define RT_LIST_MAX 32
#define RT_ARGS_MAX 64
#define RT_ARG_MAX 2048
#define RT_ITEM_MAX 4096
#define RT_TAIL_MAX 65536
#define RT_TAIL_CHUNK 60000
#define RT_WAIT_MAX_MS 10000
/* A process id in ATTACH: whatever process the attachment belongs to. */
#define RT_PROC_ANY UINT32_MAX
/* Depth, nodes: beyond is a decode error. */
#define RT_MSG_DEPTH_MAX 8
#define RT_MSG_NODES_MAX 4096

struct rt_slice {
    const uint8_t *data; /* not owned */
    size_t size;         /* bytes */
};

enum rt_class {
    RT_CLASS_OK,
    RT_CLASS_RETRY_LATER,
    RT_CLASS_MOVED,
    RT_CLASS_STALE,
    RT_CLASS_REWOUND,
    RT_CLASS_FORKED,
    RT_CLASS_SUPERSEDED,
    RT_CLASS_BAD_AUTH,
    RT_CLASS_NOT_FOUND,
    RT_CLASS_ENDED,
    RT_CLASS_UNKNOWN_ATTACHMENT,
    RT_CLASS_STOLEN,
    RT_CLASS_VERSION,
    RT_CLASS_LIMIT,
    RT_CLASS_PROTOCOL,
    RT_CLASS_LOST,
    RT_CLASS_JUMP,
    RT_CLASS_DENIED,
    RT_CLASS_INVALID,
    RT_CLASS_AMBIGUOUS,
    RT_CLASSES,
};

/* "RETRY_LATER" and so on, or "?". */
const char *rt_class_name(uint64_t cls);

enum rt_session_state {
    RT_SESSION_NONE,
    RT_SESSION_CREATED,
    RT_SESSION_RUNNING,
    RT_SESSION_MOVING,
    RT_SESSION_LOST,
    RT_SESSION_ENDED,
};

const char *rt_session_state_name(uint64_t state);

struct rt_host_msg {
    struct rt_slice host;
    struct rt_slice addr[RT_ADDRS_MAX];
    size_t n_addr;
};

struct rt_hello_msg {
    uint64_t vmin, vmax;
    struct rt_slice role; /* "guest" or "client" */
    struct rt_slice cid, inc;
    uint64_t life, epoch;
    struct rt_slice tok, nonce, name;
};

struct rt_welcome_msg {
    uint64_t v;
    struct rt_slice host;
    uint64_t life, epoch;
    struct rt_slice tkt;
    bool drain;
    struct rt_host_msg agents[RT_AGENTS_MAX];
    size_t n_agents;
};

struct rt_report_proc {
    uint64_t p, st;
    bool tty;
    uint64_t base[3], head[3]; /* stdout, stderr, control-up */
    size_t n_base, n_head;     /* 3 */
    uint64_t code;
};

struct rt_report_att {
    struct rt_slice id;
    uint64_t p;
    bool bound;
    uint64_t cons[3]; /* stdout, stderr, control-up */
    size_t n_cons;    /* 3 */
    uint64_t app[2];  /* stdin, control-down */
    size_t n_app;     /* 2 */
    uint64_t hold;    /* ms left */
    bool obs;
};

struct rt_report_msg {
    struct rt_report_proc procs[RT_PROCS_MAX];
    size_t n_procs;
    struct rt_report_att atts[RT_ATTS_MAX];
    size_t n_atts;
};

struct rt_refuse_msg {
    uint64_t c; /* enum rt_class */
    struct rt_slice m;
    uint64_t delay; /* ms */
    struct rt_slice host;
    struct rt_slice addr[RT_ADDRS_MAX];
    size_t n_addr;
    uint64_t life, epoch;
    uint64_t code, sig;
    struct rt_slice which;
    uint64_t max;
    uint64_t s, at, got;
};

struct rt_end_msg {
    uint64_t code, sig;
    uint64_t out, err; /* final offsets */
};

enum rt_end_how { RT_END_LATER, RT_END_REPLICATED, RT_END_STORED, RT_END_ON_DISK };

struct rt_end_ok_msg {
    uint64_t how;   /* enum rt_end_how */
    uint64_t delay; /* ms, with RT_END_LATER */
};

enum rt_attach_mode { RT_ATTACH_NEW, RT_ATTACH_RESUME, RT_ATTACH_STEAL };
enum rt_attach_from { RT_FROM_OLDEST, RT_FROM_NOW, RT_FROM_OFFSET, RT_FROM_BYTES, RT_FROM_LINES };

struct rt_attach_out { /* one output stream as the client has it */
    uint64_t s, c, d, df;
};

struct rt_attach_in { /* one input stream as the client has it */
    uint64_t s, a, h;
};

struct rt_attach_msg {
    struct rt_slice cid, id;
    uint64_t try_no; /* key "try" */
    uint64_t mode, p, want, from, n, ne, hold;
    bool once;
    struct rt_attach_out out[3];
    size_t n_out;
    struct rt_attach_in in[2];
    size_t n_in;
    uint64_t rows, cols, klife, kepoch, wait;
};

struct rt_attached_out {
    uint64_t s, c, base, head;
};

struct rt_attached_in {
    uint64_t s, a, d, df;
    bool closed;
};

struct rt_attached_msg {
    uint64_t life, p, st, hold;
    bool tty;
    struct rt_attached_out out[3];
    size_t n_out;
    struct rt_attached_in in[2];
    size_t n_in;
    uint64_t code, sig;
};

enum rt_item_up { RT_ITEM_EXITED = 1, RT_ITEM_RESIZED };
enum rt_item_down { RT_ITEM_RESIZE = 1, RT_ITEM_SIGNAL, RT_ITEM_EXEC };

struct rt_up_item { /* control-up */
    uint64_t t;     /* enum rt_item_up */
    uint64_t code, sig, out, err, rows, cols;
};

struct rt_down_item { /* control-down */
    uint64_t t;       /* enum rt_item_down */
    uint64_t sig, rows, cols, hold;
    struct rt_slice id;
    struct rt_slice argv[RT_ARGS_MAX];
    size_t n_argv;
    struct rt_slice env[RT_ARGS_MAX];
    size_t n_env;
    struct rt_slice cwd;
    bool tty;
    bool in; /* key "stdin": the attachment opens stdin */
};

struct rt_request_msg {
    struct rt_slice op, cid, label;
    uint64_t ring; /* bytes */
    bool prefix;
    uint64_t wait; /* ms */
    struct rt_slice host;
};

struct rt_move_msg {
    struct rt_slice host;
    uint64_t life, epoch, at;
};

struct rt_record_msg {
    struct rt_slice cid, tenant, label;
    uint64_t state, life, epoch;
    struct rt_slice host, inc;
    uint64_t made, claimed, moves;
    struct rt_move_msg hist[RT_HISTORY_MAX];
    size_t n_hist;
    uint64_t code, sig;
    struct rt_slice report;
    uint64_t seen;
};

struct rt_registry_msg {
    struct rt_slice host;
    struct rt_slice addr[RT_ADDRS_MAX];
    size_t n_addr;
    struct rt_slice ver;
    uint64_t seq, age;
    bool alive;
    uint64_t sessions;
};

struct rt_reply_msg {
    uint64_t c; /* enum rt_class */
    struct rt_slice m;
    bool more;
    struct rt_slice tok;
    struct rt_record_msg recs[RT_LIST_MAX]; /* key "recs"; op "show" has one */
    size_t n_recs;
    struct rt_registry_msg hosts[RT_AGENTS_MAX];
    size_t n_hosts;
    uint64_t code, sig, out, err;
    bool lost;
    uint64_t s, o;
    struct rt_slice data;
};

enum rt_msg_kind {
    RT_MSG_HELLO,
    RT_MSG_WELCOME,
    RT_MSG_REPORT,
    RT_MSG_REFUSE,
    RT_MSG_END,
    RT_MSG_END_OK,
    RT_MSG_ATTACH,
    RT_MSG_ATTACHED,
    RT_MSG_UP_ITEM,
    RT_MSG_DOWN_ITEM,
    RT_MSG_REQUEST,
    RT_MSG_REPLY,
    RT_MSG_RECORD,
    RT_MSG_KINDS,
};

/* Encodes `msg` (the struct of that kind) into buf. Returns the bytes written (> 0), or RT_ELIMIT when cap is too
 * small (or the message larger than its kind may be, or over RT_MSG_NODES_MAX nodes), or RT_EINVAL when a field breaks
 * its bound. Allocates nothing. */
RT_MUST_CHECK int rt_msg_encode(enum rt_msg_kind kind, const void *msg, uint8_t *buf, size_t cap);

/* Decodes size bytes into `msg`, which is zeroed first; its slices point into data. Returns 0, or RT_EPROTO with `why`
 * filled with what is wrong and at which key ("attach.id: 15 bytes, wants 16"); `msg` is then not to be used.
 * Enumerations and texts are as they came: the caller judges them. Allocates nothing. */
RT_MUST_CHECK int rt_msg_decode(enum rt_msg_kind kind, const uint8_t *data, size_t size, void *msg, char *why,
                                size_t why_size);

struct rt_slice rt_slice_text(const char *text);
bool rt_slice_equal(struct rt_slice a, struct rt_slice b);
/* Copies into a NUL-terminated buffer, cut to its size. */
void rt_slice_copy(struct rt_slice slice, char *out, size_t size);

/* [A-Za-z0-9][A-Za-z0-9_.-]{0,127} */
bool rt_cid_valid(struct rt_slice cid);

#endif
