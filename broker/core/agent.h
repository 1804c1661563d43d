/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_AGENT_H
#define RETETHER_BROKER_CORE_AGENT_H

#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The agent: pure. Links, handshakes, claims, sessions, attachments by channel, requests, and the switch between guest
 * and client links. It holds nothing that is not also elsewhere. The shell carries bytes, runs store operations and
 * keeps one timer. docs/architecture.md has the states. */

/* Links of one agent; one more is turned away, unless there is a handshake that can give way. */
#define RT_AGENT_LINKS_MAX 16384
/* Guests' links whose handshake is not done, and clients', unless the configuration says otherwise; for one more the
 * oldest is closed: its peer dials again. */
#define RT_AGENT_HANDSHAKES_MAX 1024
/* The same of one peer that is a machine of its own. */
#define RT_PEER_HANDSHAKES_MAX 16
/* Guests' links that have shown a token of their container and are not served yet: for one more the oldest is closed.
 */
#define RT_AGENT_CLAIMS_MAX 8192
/* Who the transport says a peer is. */
#define RT_IDENTITY_MAX 63
/* Sessions remembered; when full the longest unused one that is not served is forgotten. */
#define RT_AGENT_SESSIONS_MAX 16384
/* Sessions that were made here and that nobody has started; for one more the oldest counts for its tenant no longer. */
#define RT_AGENT_MADE_MAX 16384
/* Channels of one link, with the attaches that it waits for and the refusals that it has not read; one more is refused,
 * with LIMIT of a client's link, as RETRY_LATER of a guest's. */
#define RT_LINK_CHANNELS_MAX 4096
/* Bytes of held attaches, of a link and of all; one more gets RETRY_LATER. */
#define RT_LINK_HELD_BYTES_MAX 2097152
#define RT_AGENT_HELD_BYTES_MAX 16777216
/* Lists of clients that are asked of the store at a time, by pages of some 130 KB; one more gets RETRY_LATER. */
#define RT_AGENT_LISTS_MAX 64
/* Attaches and requests held until a guest appears, per agent; one more gets RETRY_LATER. */
#define RT_AGENT_HELD_MAX 16384
/* A claim by ticket waits so long for the store's answer, then goes on without it; the next ones not at all, until the
 * store answers in time again. One by join token waits as long as an operation may take, then gets RETRY_LATER. */
#define RT_CLAIM_TIMEOUT_MS 100
/* How long an operation of the store may take, unless the configuration says otherwise. */
#define RT_STORE_TIMEOUT_MS 1000
/* Bytes queued to a link above which it is congested: its channels get no more credit, and what needs no credit waits;
 * below half of it all goes on. */
#define RT_LINK_HIGH_WATER 1048576
/* Credit that the senders of one stream have and have not used; and what those of all streams to one link have of it
 * above the initial credit, which each stream can always have. */
#define RT_CHANNEL_BUDGET 5242880
#define RT_LINK_GROWN_MAX 12582912
/* Bytes queued to one link, whoever sends what: never more. */
#define RT_LINK_QUEUED_MAX 29360128
/* A session whose guest has gone is written moving only after this time. A guest that moves is served elsewhere by
 * then, also when a host is left by many at once, so moves cost no such write, and no claim waits behind one. */
#define RT_MOVING_AFTER_MS 1000
/* A served session whose guest is gone for this long is written lost. */
#define RT_LOST_AFTER_MS 2000
/* Ends being collected, stored and kept (tails in memory); one more gets END_OK "later". */
#define RT_ENDS_MAX 256

/* Revoked containers that are remembered; for one more the one that was heard of first is forgotten: the store has it,
 * and as long as the store answers it is refused all the same. */
#define RT_AGENT_REVOKED_MAX 16384

typedef uint32_t rt_link_id; /* never 0 for a link, not reused while the agent lives */

enum rt_peer_role { RT_PEER_GUEST, RT_PEER_CLIENT, RT_PEER_ROLES };
/* What a client is: broker/core/rights.c has what each may do. A NOBODY's HELLO is refused. An operator becomes one
 * that READS by the configuration, in here. */
enum rt_client_role {
    RT_CLIENT_NOBODY,
    RT_CLIENT_VCH,
    RT_CLIENT_VIEWER,
    RT_CLIENT_OPERATOR,
    RT_CLIENT_OPERATOR_READS,
    RT_CLIENT_ROLES
};

struct rt_peer { /* what the listener knows of who connected */
    enum rt_peer_role role;
    char name[RT_TEXT_MAX];             /* for the log */
    char identity[RT_IDENTITY_MAX + 1]; /* whose places it takes: vSocket CID, listener and user, address */
    bool lone;                          /* the identity is one machine's, not that of many peers */
};

/* Who a peer has proved to be: on a plain wire by coming there, on one with a handshake in that. */
struct rt_proof {
    enum rt_client_role as; /* client */
    /* client: its tenant, an operator's is "", of a NOBODY who it is; guest: what its tickets are bound to, or "" */
    char who[RT_HOST_MAX + 1];
};

/* What one tenant may have at this agent, and one client on its connection: broker/core/limits.c. */
enum rt_limit {
    RT_LIMIT_TENANT_SESSIONS,
    RT_LIMIT_TENANT_CLIENTS,
    RT_LIMIT_TENANT_CHANNELS,
    RT_LIMIT_TENANT_WAITING,
    RT_LIMIT_TENANT_BYTES,
    RT_LIMIT_TENANT_REQUESTS, /* in a second */
    RT_LIMIT_CLIENT_CHANNELS,
    RT_LIMIT_CLIENT_REQUESTS, /* in a second */
    RT_LIMITS
};

/* For the log and the metrics; one per transition. */
enum rt_agent_event_kind {
    RT_AGENT_LINK_OPENED,
    RT_AGENT_LINK_CLOSED,
    RT_AGENT_REFUSED,
    RT_AGENT_CLAIMED,
    RT_AGENT_PROVISIONAL,
    RT_AGENT_FORKED,
    RT_AGENT_FORBIDDEN, /* a peer said what it may not say to the other one */
    RT_AGENT_KICKED,    /* a guest off its link, by a client */
    RT_AGENT_REVOKED,   /* a container, by a client of this agent */
    RT_AGENT_DRAINS,    /* a client has this host drained, or no more */
    RT_AGENT_LIMIT,     /* a tenant, or a client, wants more than it may have */
    RT_AGENT_SESSION_STATE,
    RT_AGENT_ATTACHED,
    RT_AGENT_DETACHED,
    RT_AGENT_ENDED,
    RT_AGENT_STORE,
};

struct rt_agent_event {
    enum rt_agent_event_kind kind;
    rt_link_id link;
    struct rt_key key; /* "" when none */
    uint64_t life, epoch;
    char from[32], to[32]; /* states */
    char reason[RT_TEXT_MAX + 1];
};

struct rt_agent_io {
    void *ctx;
    /* Sends bytes on a link. data is good during the call only, but when `in_input` it points into the buffer given to
     * the rt_agent_input() call that is under way, which the shell can keep instead of copying. Order is kept per link.
     */
    void (*send)(void *ctx, rt_link_id link, const uint8_t *data, size_t size, bool in_input);
    /* Closes a link after what was sent has gone out (bounded). No rt_agent_closed() follows. */
    void (*close)(void *ctx, rt_link_id link, const char *reason);
    /* 0: exactly one rt_agent_store_reply() follows, later. Negative: none does. */
    int (*store)(void *ctx, const struct rt_store_op *op);
    void (*event)(void *ctx, const struct rt_agent_event *event);
    void (*random)(void *ctx, void *out, size_t size);
    /* Milliseconds since 1970, for the expiry of tokens. It may be set at any time. */
    uint64_t (*wall_ms)(void *ctx);
    /* An ended session's status and tails onto this host's disk, fsynced, until the store has them. What `end` points
     * at is not used after the call. 0: exactly one rt_agent_disk_reply(id) follows, later. Negative: none does. */
    int (*keep_end)(void *ctx, uint32_t id, const struct rt_store_op *end);
    /* Removes a kept end, behind all that was asked before. No reply: what cannot be removed is offered to the store
     * again by the next run of the agent. */
    void (*drop_end)(void *ctx, const struct rt_key *key, uint64_t life);
    /* Onto this host's disk, fsynced: no life of it up to `life` is served. 0: exactly one
     * rt_agent_revoked_reply(key, life) follows, later. Negative: none does. */
    int (*keep_revoked)(void *ctx, const struct rt_key *key, uint64_t life);
    /* Removes one that was kept, behind all that was asked before. No reply: what cannot be removed is found by the
     * next run of the agent. */
    void (*drop_revoked)(void *ctx, const struct rt_key *key, uint64_t life);
    /* Onto this host's disk, fsynced: whether it drains. 0: exactly one rt_agent_drains_reply() follows, later.
     * Negative: none does. Not again before that reply. */
    int (*keep_drains)(void *ctx, bool drains);
};

struct rt_agent_config {
    char host[RT_HOST_MAX + 1];
    char addr[RT_ADDRS_MAX][RT_ADDR_MAX + 1]; /* advertised to clients */
    size_t n_addr;
    uint32_t links_max[RT_PEER_ROLES]; /* by role; 0: RT_AGENT_LINKS_MAX */
    uint32_t handshakes_max;           /* of a role; 0: RT_AGENT_HANDSHAKES_MAX */
    uint32_t peer_handshakes_max;      /* 0: RT_PEER_HANDSHAKES_MAX */
    uint64_t limits[RT_LIMITS];        /* 0: none; of a connection's channels RT_LINK_CHANNELS_MAX, and never more */
    uint64_t seed;
    uint64_t ticket_ttl_ms;
    uint64_t store_timeout_ms; /* 0: RT_STORE_TIMEOUT_MS */
    bool operators_read;       /* what containers say */
    struct rt_sealer sealer;
    struct rt_agent_io io; /* its functions must not call back into the agent */
};

struct rt_agent;

/* NULL without memory. */
struct rt_agent *rt_agent_new(const struct rt_agent_config *config, uint64_t now);
void rt_agent_free(struct rt_agent *agent);

/* A link was accepted: it has its place, and its deadline, among the handshakes. 0 when a limit is reached (the shell
 * closes it). Until rt_agent_proved() nothing is sent on it, and what comes ends it. */
rt_link_id rt_agent_opened(struct rt_agent *agent, const struct rt_peer *peer, uint64_t now);
/* Behind an rt_agent_opened() that has returned 0: the frame that tells the peer of which limit, for a wire without a
 * handshake, into `out`. Returns its size; 0: there is nothing to tell. */
size_t rt_agent_turned_away(struct rt_agent *agent, const struct rt_peer *peer, uint8_t *out, size_t cap);
/* Once, and before the first byte: who is there. A link that the agent has closed meanwhile stays closed. */
void rt_agent_proved(struct rt_agent *agent, rt_link_id link, const struct rt_proof *proof, uint64_t now);
/* There is no descriptor for another link: closes the oldest handshake, of the role that has more of them. False: there
 * is none. */
bool rt_agent_spare(struct rt_agent *agent, uint64_t now);
/* Takes whole frames, and DATA frames also in part, from data (writable: headers are patched in place; at least
 * RT_FRAME_HEADER writable bytes lie before it, for the header of a split frame's rest). Returns the bytes used; the
 * rest is given again with more behind it. */
size_t rt_agent_input(struct rt_agent *agent, rt_link_id link, uint8_t *data, size_t size, uint64_t now);
/* The link was closed by the peer or by an error. */
void rt_agent_closed(struct rt_agent *agent, rt_link_id link, const char *reason, uint64_t now);
/* How many bytes are still queued to the link: after everything that was sent in a call, and after a drain. In between
 * the machine counts what it sends itself. */
void rt_agent_queued(struct rt_agent *agent, rt_link_id link, size_t queued, uint64_t now);
/* The peer has taken some of what is queued since the last look. So it is not silent, though the PING that it is to
 * answer may still lie in the queue. */
void rt_agent_taken(struct rt_agent *agent, rt_link_id link, uint64_t now);

void rt_agent_store_reply(struct rt_agent *agent, const struct rt_store_reply *reply, uint64_t now);
void rt_agent_store_news(struct rt_agent *agent, const struct rt_store_news *news, uint64_t now);
/* What keep_end() came to: 0 when it is on the disk, else a negative code. */
void rt_agent_disk_reply(struct rt_agent *agent, uint32_t id, int error, uint64_t now);
/* An end kept on disk by an earlier run of this agent, to be stored. Slices are copied. */
void rt_agent_kept_end(struct rt_agent *agent, const struct rt_store_op *end, uint64_t now);
/* What keep_revoked() came to: 0 when it is on the disk, else a negative code. */
void rt_agent_revoked_reply(struct rt_agent *agent, const struct rt_key *key, uint64_t life, int error, uint64_t now);
/* What an earlier run of this agent has heard, and has on its disk: no life up to this one is served. */
void rt_agent_kept_revoked(struct rt_agent *agent, const struct rt_key *key, uint64_t life, uint64_t now);

/* What keep_drains() came to: 0 when it is on the disk, else a negative code. */
void rt_agent_drains_reply(struct rt_agent *agent, int error, uint64_t now);
/* An earlier run of this agent was told to drain, and not to end it. */
void rt_agent_kept_drains(struct rt_agent *agent, uint64_t now);

/* The sealer seals under another key from now on: guests get their tickets anew, within some seconds. */
void rt_agent_rekeyed(struct rt_agent *agent, uint64_t now);

uint64_t rt_agent_deadline(const struct rt_agent *agent);
void rt_agent_tick(struct rt_agent *agent, uint64_t now);

/* Stopping: writes offsets of all served sessions, tells clients LOST, closes the links. */
void rt_agent_stop(struct rt_agent *agent, uint64_t now);

struct rt_agent_stats {
    uint64_t links, guests, clients, handshakes, sessions, served, channels, held, provisional;
    uint64_t frames, bytes_up, bytes_down, refused, claims, moves, forks;
    uint64_t forbidden;       /* channels that a peer ended by saying what it may not say */
    uint64_t over[RT_LIMITS]; /* how often somebody was told that it has too many */
    /* By role: handshakes under way; those that gave way to another one; links that found no place. */
    uint64_t shaking[RT_PEER_ROLES], evicted[RT_PEER_ROLES], turned_away[RT_PEER_ROLES];
    uint64_t claiming;                  /* guests that have shown a token and are not served yet; not among `shaking` */
    uint64_t store_weak, store_unknown; /* checks of the store */
    uint64_t store_replicas;            /* that are connected to it */
    bool drains;                        /* this host makes no new sessions */
};
void rt_agent_stats(const struct rt_agent *agent, struct rt_agent_stats *stats);

#endif
