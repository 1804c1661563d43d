/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_REQUEST_H
#define RETETHER_SESSION_CORE_MSG_REQUEST_H

#include "session/base/slice.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests of clients, and the rows of their replies. */

/* What `drain` is to do. */
enum rt_drain { RT_DRAIN_LOOK, RT_DRAIN_ON, RT_DRAIN_OFF };

struct rt_request_msg {
    struct rt_slice op, cid, label;
    uint64_t ring; /* bytes */
    bool prefix;
    uint64_t wait; /* ms */
    struct rt_slice host;
    struct rt_slice vm;
    bool local;      /* list: without the store */
    uint64_t states; /* bits: 1 << enum rt_session_state; 0: all */
    uint64_t older;  /* ms */
    uint64_t page;   /* records */
    struct rt_slice after;
    uint64_t drain; /* enum rt_drain */
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
    bool revoked;
};

/* Whether a host's agent lives, as the agent judges that was asked. */
enum rt_host_state { RT_HOST_UNKNOWN, RT_HOST_ALIVE, RT_HOST_DEAD };

struct rt_registry_msg {
    struct rt_slice host;
    struct rt_slice addr[RT_ADDRS_MAX];
    size_t n_addr;
    struct rt_slice ver;
    uint64_t seq, age;
    uint64_t state; /* enum rt_host_state */
    uint64_t sessions;
    bool untold; /* how many sessions */
    bool drains; /* is to be left: it makes no new sessions */
    bool unsure; /* drain: there may be more sessions than that */
};

/* What somebody may have at the agent that was asked, and has. */
struct rt_limit_msg {
    struct rt_slice set; /* the setting */
    struct rt_slice who; /* a tenant, or "" */
    uint64_t max, has;
    uint64_t over; /* how often more was refused */
};

enum rt_check_word { RT_CHECK_IS_UNKNOWN, RT_CHECK_IS_OK, RT_CHECK_IS_WEAK };

/* One thing about the store, as the agent that was asked has found it. */
struct rt_check_msg {
    struct rt_slice name, val;
    uint64_t state;             /* enum rt_check_word */
    struct rt_slice risk, mend; /* of a weak one: what it may lead to, what to change */
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
    bool lost, cut;
    struct rt_slice ord; /* of the tails, as in END */
    uint64_t s, o;
    struct rt_slice data;
    struct rt_limit_msg lims[RT_LIMITS_PAGE];
    size_t n_lims;
    struct rt_check_msg chks[RT_CHECKS_PAGE];
    size_t n_chks;
    uint64_t age;          /* ms since then */
    struct rt_slice local; /* the host whose agent tells it without the store */
    struct rt_slice next;  /* of a list that ends early: what goes on behind it */
};

#endif
