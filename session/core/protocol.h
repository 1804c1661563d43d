/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_PROTOCOL_H
#define RETETHER_SESSION_CORE_PROTOCOL_H

#include "session/base/slice.h"

#include <stdint.h>

/* Every number of docs/protocol.md. */

#define RT_PROTOCOL_VERSION 1

/* ---- frames: section 1 ---- */

#define RT_FRAME_HEADER 20
/* A longer payload is a protocol error: the link ends. */
#define RT_FRAME_PAYLOAD_MAX 65536
/* Of the maps that list nothing (HELLO, REFUSE, REQUEST, END, END_OK, ATTACH, ATTACHED), some of which an agent keeps;
 * a longer one is a protocol error. */
#define RT_SHORT_MAX 2048
/* Counters and offsets at or above this are a protocol error (Lua in the store compares doubles). */
#define RT_COUNTER_MAX (UINT64_C(1) << 53)
#define RT_ACK_PAYLOAD 16
#define RT_GAP_PAYLOAD 8

enum rt_frame_type {
    RT_HELLO = 1,
    RT_WELCOME,
    RT_CONFIRM,
    RT_REPORT,
    RT_REFUSE,
    RT_PING,
    RT_PONG,
    RT_REQUEST,
    RT_REPLY,
    RT_TAIL,
    RT_END,
    RT_END_OK,
    RT_TICKET,
    RT_ATTACH = 16,
    RT_ATTACHED,
    RT_DATA,
    RT_ACK,
    RT_FIN,
    RT_GAP,
    RT_STOP,
    RT_DETACH,
};

/* The only flag, of an ACK: the sender's FIN has been consumed. */
#define RT_ACK_FIN 1

enum rt_stream_id {
    RT_STDIN,
    RT_STDOUT,
    RT_STDERR,
    RT_CONTROL_UP,
    RT_CONTROL_DOWN,
    RT_STREAMS,
};

/* Bit per stream: what a guest sends, and what its client does. */
#define RT_OUTPUTS (1U << RT_STDOUT | 1U << RT_STDERR | 1U << RT_CONTROL_UP)
#define RT_INPUTS (1U << RT_STDIN | 1U << RT_CONTROL_DOWN)

/* Which way a frame goes: who sends it to whom. */
enum rt_way {
    RT_WAY_GUEST_AGENT = 1,
    RT_WAY_AGENT_GUEST = 2,
    RT_WAY_CLIENT_AGENT = 4,
    RT_WAY_AGENT_CLIENT = 8,
    RT_WAY_ANY = 15,
};

/* ---- bounds: bytes of a field, elements of an array ---- */

#define RT_CID_MAX 128
#define RT_TENANT_MAX 64
/* A container as an operator names it: TENANT/CID. */
#define RT_WHOLE_NAME_MAX (RT_TENANT_MAX + 1 + RT_CID_MAX)
#define RT_HOST_MAX 64
/* Of a virtual machine's name. */
#define RT_VM_MAX 60
/* Before it, where a token says what it is bound to. */
#define RT_VM_PREFIX "vm:"
#define RT_ADDR_MAX 108
#define RT_ADDRS_MAX 4
#define RT_ID_SIZE 16
#define RT_TOKEN_MAX 1024
#define RT_TEXT_MAX 256
#define RT_LABEL_MAX 256
/* Processes of a tether that have not ended; one exec more is LIMIT. */
#define RT_PROCS_MAX 64
/* Attachments of a tether; one more displaces the one that has been unbound for longest and holds nothing, or that
 * has been for RT_ATT_DISPLACE_MS; else LIMIT. */
#define RT_ATTS_MAX 128
/* Of them those that ask for no hold, as a viewer's; one more displaces the observer that has been unbound for longest;
 * else LIMIT. So viewers alone keep nobody out. */
#define RT_OBSERVERS_MAX 96
/* Exec'd processes of a tether that have ended and are remembered; one more, and the oldest that nobody is attached to
 * is forgotten. */
#define RT_FINISHED_MAX RT_ATTS_MAX
/* Bytes kept of each output stream: by default, and what create may ask for. */
#define RT_RING_BYTES 1048576
#define RT_RING_BYTES_MIN 4096
#define RT_RING_BYTES_MAX 67108864
#define RT_AGENTS_MAX 64
#define RT_HISTORY_MAX 16
#define RT_NAME_MAX 64
#define RT_CWD_MAX 1024
/* Bytes of a REPORT payload kept in a record. */
#define RT_RECORD_REPORT_MAX 1024
#define RT_LIST_MAX 32
/* Of a place in a listing: "since host member" (broker/core/request_list.c). */
#define RT_PLACE_MAX 320
/* Rows of limits in one REPLY. */
#define RT_LIMITS_PAGE 64
/* Checks of the store in one REPLY, and bytes of each text of one. */
#define RT_CHECKS_PAGE 32
#define RT_CHECK_TEXT_MAX 128
/* What to run: bytes of the map, one more is LIMIT; arguments, as many settings of its environment, and bytes of each:
 * the map is too long, or has too many nodes, with more. */
#define RT_EXEC_MAX 262144
#define RT_ARGS_MAX 4000
#define RT_ARG_MAX (RT_EXEC_MAX - 64)
#define RT_ITEM_MAX 4096
/* Bytes of that map in one item: what the item's own map takes is left. */
#define RT_PIECE_MAX 4000
#define RT_TAIL_MAX 65536
#define RT_TAIL_CHUNK 60000
#define RT_WAIT_MAX_MS 10000
/* Bytes of a stream that may come before its first ACK. Small: it is promised for each stream of each channel, also for
 * those that never say a word, and an agent must be able to hold all that is promised. */
#define RT_INITIAL_CREDIT 1024
/* A longer delay is a decode error: who is told one waits for minutes at most. */
#define RT_DELAY_MAX_MS 600000
/* Longer ones that are asked for are granted as this. */
#define RT_HOLD_MAX_MS 600000
/* An exit code, a signal, a terminal's rows or columns above is a decode error. */
#define RT_CODE_MAX 255
#define RT_SIG_MAX 64
#define RT_CELLS_MAX 65535
#define RT_PROC_MAX UINT32_MAX /* a process id */
/* Depth, nodes: beyond is a decode error. */
#define RT_MSG_DEPTH_MAX 8
#define RT_MSG_NODES_MAX 4096

/* ---- links: section 8 ---- */

/* A link that receives nothing for one interval is pinged; it is busy while it carries a channel. After so many
 * intervals without a frame it is lost. */
#define RT_PING_BUSY_MS 1000
#define RT_PING_IDLE_MS 5000
#define RT_PINGS_MISSED_MAX 3
/* From the connection to the end of the handshake; then the link is refused and closed. */
#define RT_HANDSHAKE_TIMEOUT_MS 5000
/* Pauses between attempts to connect: doubled each time. */
#define RT_REDIAL_MIN_MS 5
#define RT_REDIAL_MAX_MS 500
/* Pauses after a refusal of the link: at least, where no delay is told; at most, whatever delay is. */
#define RT_REFUSED_MIN_MS 5000
#define RT_REFUSED_MAX_MS 30000

/* ---- what a refusal says, and what a record says of its session ---- */

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

/* [A-Za-z0-9][A-Za-z0-9_.-]{0,127} */
bool rt_cid_valid(struct rt_slice cid);
/* "CID", or an operator's "TENANT/CID". A tenant's name is as a container's, and shorter. */
bool rt_whole_name_valid(struct rt_slice name);
/* A virtual machine's name has the same characters. */
bool rt_vm_valid(struct rt_slice name);

#endif
