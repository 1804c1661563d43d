/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_LIMITS_H
#define RETETHER_SESSION_CORE_LIMITS_H

#include <stdint.h>

/* The bounds of docs/protocol.md: bytes of a field, elements of an array. */

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
/* Processes of a tether that have not ended; one exec more makes no attachment: attaching to it is UNKNOWN_ATTACHMENT.
 */
#define RT_PROCS_MAX 64
/* Attachments of a tether; one more displaces the one that has been unbound for longest and holds nothing, or that
 * has been for RT_ATT_DISPLACE_MS; else LIMIT. */
#define RT_ATTS_MAX 128
/* Exec'd processes of a tether that have ended and are remembered; one more, and the oldest that nobody is attached to
 * is forgotten. */
#define RT_FINISHED_MAX RT_ATTS_MAX
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
/* A process id in ATTACH: whatever process the attachment belongs to. */
#define RT_PROC_ANY UINT32_MAX
/* Depth, nodes: beyond is a decode error. */
#define RT_MSG_DEPTH_MAX 8
#define RT_MSG_NODES_MAX 4096

#endif
