/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_HOP_H
#define RETETHER_SESSION_CORE_MSG_HOP_H

#include "session/base/slice.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Messages of one hop: between an agent and its guest or its client. */

struct rt_host_msg {
    struct rt_slice host;
    struct rt_slice addr[RT_ADDRS_MAX];
    size_t n_addr;
    bool drains; /* is to be left: another one is asked rather */
};

struct rt_hello_msg {
    uint64_t vmin, vmax;
    struct rt_slice role; /* "guest" or "client" */
    struct rt_slice cid, inc;
    uint64_t epoch;
    struct rt_slice tok, nonce, name;
};

struct rt_welcome_msg {
    uint64_t v;
    struct rt_slice host;
    uint64_t life;
    struct rt_slice tkt;
    bool drain;
    struct rt_host_msg agents[RT_AGENTS_MAX];
    size_t n_agents;
    bool more; /* agents than these */
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
};

struct rt_report_msg {
    struct rt_report_proc procs[RT_PROCS_MAX];
    size_t n_procs;
    struct rt_report_att atts[RT_ATTS_MAX];
    size_t n_atts;
    uint64_t done;         /* exec'd processes that have ended and are not among procs */
    uint64_t pmore, amore; /* processes and attachments that there was no room for */
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
    uint64_t try_no; /* key "try"; 0: none */
    bool drop;       /* guest: the tickets since its join stand for nothing */
};

struct rt_end_msg {
    uint64_t code, sig;
    uint64_t out, err;   /* final offsets */
    struct rt_slice ord; /* in which the bytes of the tails were written (order.h), as far as it is known */
};

/* OTHER: this life has ended already, in another way, which stands. */
enum rt_end_how { RT_END_LATER, RT_END_REPLICATED, RT_END_STORED, RT_END_ON_DISK, RT_END_OTHER };

struct rt_end_ok_msg {
    uint64_t how;   /* enum rt_end_how */
    uint64_t delay; /* ms, with RT_END_LATER */
};

#endif
