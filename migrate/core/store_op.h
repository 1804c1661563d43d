/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_STORE_OP_H
#define RETETHER_MIGRATE_CORE_STORE_OP_H

#include "migrate/core/claim.h"
#include "migrate/core/store_look.h"
#include "migrate/core/watch.h"
#include "session/base/slice.h"
#include "session/core/msg_hop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an agent asks of the session store and what comes back, as plain data. migrate/store runs them on Redis, the
 * simulation on a model of it. */

/* Operations under way from one agent; one more fails at once with RT_ELIMIT. */
#define RT_STORE_OPS_MAX 16384
#define RT_REPORT_MAX 640 /* bytes of report kept in a record */
/* Bytes of a record's past: label, ring size, when it was made, moves and history, as a text of the store's own that
 * nobody else reads. Longer ones go without their oldest history. */
#define RT_PAST_MAX 1024
/* How long the store keeps a record that nobody writes, the record of an ended session, and a set of sessions whose
 * agent does not walk over it any more. */
#define RT_RECORD_TTL_MS (UINT64_C(7) * 24 * 3600 * 1000)
#define RT_END_TTL_MS (INT64_C(24) * 3600 * 1000)
#define RT_SET_TTL_MS (UINT64_C(8) * 24 * 3600 * 1000)

enum rt_store_op_kind {
    RT_STORE_CREATE, /* makes a record in state created; verdict LIMIT if one exists that has not ended */
    RT_STORE_REMOVE, /* takes a record back that nobody has claimed; else verdict LIMIT, or RT_ENOTFOUND */
    RT_STORE_REVOKE, /* no life, and no token, that there is by now is served any more; or RT_ENOTFOUND */
    RT_STORE_TEST,   /* judges claim, changes nothing */
    RT_STORE_TAKE,   /* judges and applies claim; publishes it when it is a new (life, epoch) */
    RT_STORE_STATE,  /* state moving or lost, only while the record is at (life, epoch) of this host */
    RT_STORE_REPORT, /* offsets, only under the claimed (life, epoch) */
    RT_STORE_END,    /* status and tails, only under the claimed life; then WAIT */
    RT_STORE_MARK,   /* an end's status alone, for a store without room for tails: they are on this host's disk */
    RT_STORE_GET,    /* one record, whole */
    RT_STORE_FIND,  /* records of a tenant with a cid prefix, over all hosts (at most RT_LIST_MAX a reply, then more) */
    RT_STORE_TAILS, /* status and tails of an ended record */
    RT_STORE_HOSTS, /* a page of the registry, in the order of the names */
    RT_STORE_HOST_ROW, /* one host's row of it, by its name */
};

/* Where a FIND goes on: behind this member of that host's set. Sets come in the order of their hosts' names, and
 * members in the order of their own. So a session that does not move is found once, whatever others do meanwhile. All
 * zero: at the beginning; of a reply: that there is no more. */
struct rt_store_cursor {
    char host[RT_HOST_MAX + 1];
    char member[RT_TENANT_MAX + RT_CID_MAX + 2]; /* "tenant/cid"; "": before the first */
    uint64_t since_ms; /* store's clock when the search began: what has moved since may have been told already */
};

struct rt_store_op {
    enum rt_store_op_kind kind;
    uint64_t id;           /* the asker's; comes back in the reply */
    struct rt_key key;     /* FIND: cid is the prefix; tenant "" means every tenant (operators) */
    struct rt_claim claim; /* TEST, TAKE; END: under which it was served, for what keeps it */
    struct rt_slice past;  /* TAKE: that of the newest reply, for a store that has lost the record; or none */
    /* STATE, REPORT, END, MARK; REVOKE: life was revoked before, a store that has lost that is told so; or 0: what
     * there is now */
    uint64_t life, epoch;
    uint64_t known;              /* REVOKE: the newest life that the asking agent knows of, or 0 */
    bool whole;                  /* REVOKE: the store is, as the agent knows it */
    enum rt_session_state state; /* STATE */
    struct rt_slice label;       /* CREATE; slices live until the call returns */
    uint64_t ring;               /* CREATE, bytes */
    struct rt_slice report;      /* REPORT */
    struct rt_end_msg end;       /* END, MARK */
    struct rt_slice tail[2];     /* END: stdout, stderr; they end at the final offsets */
    /* END: it was taken before, with its tails, which do not come again: RT_ENOTFOUND when it is not there any more */
    bool again;
    char host[RT_HOST_MAX + 1]; /* FIND: only this host, or ""; HOSTS: the page begins behind it; HOST_ROW. STATE
                                 * lost: the owner, when it is another host, which is dead: the record keeps its state
                                 * and is  marked with the time; or "" */
    struct rt_store_cursor cursor;
    /* FIND: a search for one, which must not miss who moves at this moment; the same record may come twice. A listing
     * (false) tells each once, and may miss one that moves while it runs. */
    bool every;
    bool audit; /* GET of a session served here: lists the session again if this host's set does not */
};

/* A record as GET, FIND and (the owner's part) claims return it. Plain data. */
struct rt_store_record {
    struct rt_key key;
    struct rt_record rule;
    char label[RT_LABEL_MAX + 1];
    uint64_t ring;
    uint64_t made_ms, claimed_ms, seen_ms; /* store's clock */
    uint64_t moves;
    struct {
        char host[RT_HOST_MAX + 1];
        uint64_t life, epoch, at_ms;
    } hist[RT_HISTORY_MAX]; /* oldest first */
    size_t n_hist;
    uint64_t code, sig, out, err; /* ended */
    uint8_t report[RT_REPORT_MAX];
    size_t report_size;
};

#define RT_MACHINE_MAX 36

struct rt_store_host {
    char host[RT_HOST_MAX + 1];
    char addr[RT_ADDRS_MAX][RT_ADDR_MAX + 1];
    size_t n_addr;
    char version[32];
    char machine[RT_MACHINE_MAX + 1]; /* whose unix sockets and loopback it means; "-": not known */
    uint64_t seq;
    uint64_t age_ms; /* since its last heartbeat, by the store's clock: for people */
    uint64_t sessions;
    bool drains;           /* makes no new sessions */
    struct rt_id instance; /* of the agent that wrote it */
};

/* Rows of one page of the registry. */
#define RT_HOSTS_PAGE 32

struct rt_store_reply {
    uint64_t id;
    enum rt_store_op_kind kind;
    int error; /* 0; RT_EUNAVAIL, RT_ETIMEDOUT (it may have happened), RT_ELIMIT, RT_ENOTFOUND */
    /* TEST, TAKE; CREATE, REMOVE, REVOKE: verdict, and as life the lowest that may start, or the highest that is
     * revoked; STATE, REPORT, END, MARK with RT_ENOTFOUND: NOT_FOUND, or STALE when the record is at another claim: its
     * life, epoch and host; TAILS: the record's life, and the host that has the tails on its disk as the store had no
     * room for them, or "". */
    struct rt_claim_outcome outcome;
    struct rt_slice past;            /* TAKE with verdict OK: of the record as it is now; until the callback returns */
    struct rt_store_record *records; /* GET (0 or 1), FIND; live until the callback returns */
    size_t n_records;
    struct rt_store_cursor cursor;
    struct rt_store_host *hosts; /* HOSTS, HOST_ROW (0 or 1); until the callback returns */
    size_t n_hosts;
    char next[RT_HOST_MAX + 1]; /* HOSTS: not "" = there may be more, behind this name */
    enum rt_end_how how;        /* END, MARK; OTHER: nothing was written */
    /* END: not all replicas have it, so a failover may lose it. GET: it is not sure that this server is the primary,
     * and has been for RT_PRIMARY_SURE_MS. */
    bool unsure;
    bool doubtful;           /* there are Sentinels, and no majority of them names this server */
    bool spread;             /* END: all replicas that are connected have it, one at least */
    struct rt_end_msg end;   /* TAILS */
    bool lost;               /* TAILS: ended as lost */
    bool cut;                /* TAILS: they were given up, over the budget */
    struct rt_slice tail[2]; /* TAILS; until the callback returns */
};

enum rt_store_news_kind {
    RT_STORE_UP,   /* connected, functions loaded; `fresh`: another store than before, or rolled back: rewrite all */
    RT_STORE_DOWN, /* operations fail with RT_EUNAVAIL until UP */
    /* Some agent took (life, epoch) of key; life 0: its record was made where there was none. May come late, twice, or
     * not at all. */
    RT_STORE_CLAIMED,
    RT_STORE_REVOKED, /* lives up to `life` of key are not served any more; as CLAIMED it may get lost */
    RT_STORE_TOUCH,   /* a heartbeat of ours was answered */
    /* A host says that it has come, or come back, or has other addresses; may get lost. Whether it drains is not told.
     */
    RT_STORE_HOST,
    RT_STORE_TAKEN,  /* another live agent goes by our host name; the store is out for us until the next UP */
    RT_STORE_LOOKED, /* what a look at the store has found, each minute; or that it is out, and why */
};

struct rt_store_news {
    enum rt_store_news_kind kind;
    bool fresh;        /* UP */
    bool whole;        /* UP: the birth mark is older than RT_STORE_WHOLE_MS */
    struct rt_key key; /* CLAIMED, REVOKED */
    uint64_t life, epoch;
    char host[RT_HOST_MAX + 1];
    struct rt_store_host row;         /* HOST */
    uint64_t store_ms;                /* TOUCH: the store's clock */
    const struct rt_store_look *look; /* LOOKED; until the callback returns */
};

#define RT_STORE_WHOLE_MS 10000

#endif
