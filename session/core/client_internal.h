/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_INTERNAL_H
#define RETETHER_SESSION_CORE_CLIENT_INTERNAL_H

#include "session/core/client.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Shared by the client machine's own files only: client.c (agents and links' lives), client_link.c (frames of a link),
 * client_att.c (where an attachment asks), client_refuse.c (what refusals mean), client_bind.c (ATTACH and ATTACHED),
 * client_rx.c and client_tx.c (streams), client_event.c (what the application sees), client_request.c. */

#define RT_CLIENT_HASH 1024 /* buckets of (link, channel); longer chains beyond */
/* Gaps waiting in one stream's buffer; one more joins the newest, and the bytes between the two are given up with it.
 */
#define RT_RX_GAPS_MAX 16
#define RT_CLIENT_HELLO_MS 5000 /* handshake; then the link is hung up */
#define RT_CLIENT_ASK_MS 15000  /* ATTACH without any answer; then withdrawn and asked elsewhere */
#define RT_CLIENT_ALT_MS 200    /* an agent that is still being dialled after this is not waited for alone */
#define RT_CLIENT_IDLE_MS 60000 /* an unused link is closed after this */
/* An agent may hold an ATTACH for this long before another one is asked (with the store out, the one asked may never
 * hear where the guest is); doubles with each that does not know, up to RT_WAIT_MAX_MS. */
#define RT_CLIENT_WAIT_MIN_MS 500
#define RT_CLIENT_PING_BUSY_MS 1000
#define RT_CLIENT_PING_IDLE_MS 5000
#define RT_CLIENT_PINGS_MAX 3 /* intervals without a frame; then the link is lost */
#define RT_BACKOFF_MIN_MS 5
#define RT_BACKOFF_MAX_MS 500
#define RT_BACKOFF_FREE_MS 40    /* up to this wait, RT_AT_ONCE does not wait */
#define RT_CLIENT_STABLE_MS 1000 /* what lasted this long starts its back-off anew */
#define RT_CLIENT_REFUSED_MIN_MS 5000
#define RT_CLIENT_REFUSED_MAX_MS 30000 /* longest delay a refusal can ask for */
#define RT_ACK_DELAY_MS 20
#define RT_TX_QUANTUM 16384    /* stream bytes of one attachment per turn of a link's output */
#define RT_REQUEST_DIALS_MAX 8 /* failed dials of every known agent after which a request is RT_ECONN */
#define RT_REQUEST_MAX 1024    /* bytes of an encoded request */
#define RT_NEVER UINT64_MAX
#define RT_AT_ONCE UINT64_MAX
#define RT_NO_SLOT (-1)

struct rt_clist { /* a ring of nodes; a node that is in no list points to itself */
    struct rt_clist *prev, *next;
};

#define RT_CLIST_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void rt_clist_init(struct rt_clist *node)
{
    node->prev = node;
    node->next = node;
}

static inline bool rt_clist_empty(const struct rt_clist *node)
{
    return node->next == node;
}

static inline void rt_clist_remove(struct rt_clist *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    rt_clist_init(node);
}

/* At the end, unless it is in a list already. */
static inline void rt_clist_add(struct rt_clist *list, struct rt_clist *node)
{
    if (!rt_clist_empty(node))
        return;
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

/*  DOWN --DIAL--> DIALING --connected--> HELLO --WELCOME--> LIVE; any of them back to DOWN when lost or hung up.
 *  Waiting: DOWN (retry_at), DIALING (the shell's dial), HELLO (RT_CLIENT_HELLO_MS), LIVE (pings, idle). */
enum rt_clink_state { RT_CLINK_DOWN, RT_CLINK_DIALING, RT_CLINK_HELLO, RT_CLINK_LIVE };

struct rt_closing { /* a channel's end that is still to be told */
    uint32_t channel;
    uint8_t type; /* RT_DETACH or RT_REFUSE */
    uint64_t cls, stream, at, got;
};

struct rt_clink { /* an agent known (n_addr > 0) and the link to it */
    enum rt_clink_state state;
    uint64_t since; /* of the state */
    char addr[RT_ADDRS_MAX][RT_ADDR_MAX + 1];
    size_t n_addr;
    size_t addr_turn;           /* which is dialled next, modulo n_addr */
    bool configured;            /* addr[0] was given by the application */
    char host[RT_HOST_MAX + 1]; /* "" until it is known */
    unsigned refs;              /* attachments and requests that name this slot */
    uint64_t unused_since;      /* valid while refs is 0 */

    uint64_t retry_at, backoff;
    unsigned failures; /* since the last WELCOME; a lost LIVE link counts as one */
    uint64_t refused;  /* enum rt_class of a final refusal of the link, 0 none */
    char refused_text[RT_TEXT_MAX + 1];
    const char *hangup; /* HANGUP to be told to the shell */

    uint64_t ping_at, ping_token, pong_token;
    unsigned missed;
    bool hello_due, ping_due, pong_due;
    uint32_t next_channel;
    size_t channels;             /* attachments asked or live here */
    struct rt_closing *closings; /* owned; room for n_closings + channels is kept */
    size_t n_closings, cap_closings;
    struct rt_clist control, data; /* attachments with something to write, in turn */
};

struct rt_gap {
    uint64_t from, to;
};

struct rt_rx {           /* stdout, stderr, control-up */
    struct rt_ring ring; /* bytes not consumed; counts bytes received, so gaps take no room */
    size_t cap;          /* of the ring once it is allocated */
    uint64_t consumed;   /* <= next */
    uint64_t next;       /* end of what is buffered, gaps included */
    uint64_t told, told_limit;
    struct rt_digest digest; /* at consumed */
    struct rt_gap gaps[RT_RX_GAPS_MAX];
    size_t n_gaps;
    uint64_t final; /* RT_NEVER until known */
    bool fin_seen;  /* FIN came (final may be known from the exit alone) */
    bool fin_told;  /* an ACK said so on this channel */
    bool eof_told;  /* to the application */
    bool ack_now;
    uint64_t ack_at; /* RT_NEVER: nothing owed */
};

struct rt_tx {           /* stdin, control-down */
    struct rt_ring ring; /* [acked, head); no data pointer until the first write */
    uint64_t sent;       /* on this channel */
    uint64_t sent_max;   /* on any channel */
    uint64_t limit;
    struct rt_digest digest; /* at acked */
    bool checkable;          /* the digest covers all since the guest's digest-from */
    bool fin, fin_sent, fin_acked;
    bool closed;          /* the guest takes no more */
    uint64_t written;     /* bytes accepted, kept over a close */
    uint64_t last_resize; /* offset of a resize that is the last item; RT_NEVER */
};

/*  SEEKING --a link is chosen--> ASKED --ATTACHED--> LIVE; both back to SEEKING when refused for now or lost; all to
 * OVER. Waiting: SEEKING (seek_at, a link's change), ASKED (ask_at, an answer), LIVE (frames), OVER (freed by the
 * application). */
enum rt_catt_state { RT_CATT_SEEKING, RT_CATT_ASKED, RT_CATT_LIVE, RT_CATT_OVER };

struct rt_catt {
    struct rt_client *client;
    struct rt_clist all, control, data;
    struct rt_catt *hash_next;

    char cid[RT_CID_MAX + 1];
    uint8_t id[RT_ID_SIZE];
    struct rt_attach_options options;
    uint64_t want; /* with control-up always */

    enum rt_catt_state state;
    uint64_t since;   /* of ASKED or LIVE */
    int home;         /* the agent that the newest claim names or that served last */
    int alt;          /* another that is dialled meanwhile */
    int link;         /* ASKED, LIVE */
    int avoid;        /* said RETRY_LATER: elsewhere next, if there is an elsewhere */
    unsigned turn;    /* next slot to try */
    uint32_t channel; /* 0 until ATTACH is written */
    bool attach_due, attached /* once at least */, tty;
    bool progress; /* bytes moved since ATTACHED */
    uint64_t home_since;
    uint64_t try_no;
    uint64_t k_life, k_epoch; /* newest claim known */
    uint64_t not_before;      /* no ATTACH before */
    uint64_t seek_at, ask_at, give_up_at, not_found_at;
    bool cursors_told; /* in an ATTACH that has had no ATTACHED: what was received behind them must not be consumed */
    uint64_t wait_ms;  /* for which the next agent asked may hold the ATTACH */
    uint64_t backoff;
    struct {
        uint64_t cls, stream, at;
    } fault; /* the last one that ended a channel: again at the same place is final */

    uint64_t life, proc;
    struct rt_rx rx[3]; /* stream 1, 2, 3 */
    struct rt_tx tx[2]; /* stream 0, 4 */
    struct rt_up_item exit;
    struct rt_gap control_gap; /* to be told; from == to: none */

    bool exited, attached_due, broke, shown_down, closed_due, resized_due, final_due, end_told;
    uint64_t start[2], head[2], rows, cols;
    struct rt_catt_event final; /* REWOUND or FAILED */
    struct {
        uint64_t cls;
        char text[RT_TEXT_MAX + 1];
    } last; /* the last refusal, for give_up */
};

struct rt_creq {
    struct rt_clist all;
    uint64_t id, deadline;
    int slot;                    /* where it is or will be sent */
    int lost;                    /* where it was lost once */
    bool sent, create, answered; /* answered: at least one part came */
    size_t size;
    uint8_t payload[]; /* the encoded map */
};

struct rt_client {
    struct rt_client_config config;
    uint64_t now, random, deadline; /* deadline: never later than that of any attachment or request */
    struct rt_clink links[RT_CLIENT_AGENTS_MAX];
    struct rt_clist atts, requests;
    size_t n_atts, n_requests;
    uint64_t request_id;
    unsigned request_turn;
    struct rt_catt *hash[RT_CLIENT_HASH];
};

static inline void rt_client_wake(struct rt_client *client, uint64_t at)
{
    if (at < client->deadline)
        client->deadline = at;
}

static inline void rt_client_at(struct rt_client *client, uint64_t now)
{
    if (now > client->now)
        client->now = now;
}

static inline struct rt_rx *rt_catt_rx(struct rt_catt *att, unsigned stream)
{
    return &att->rx[stream - RT_STDOUT];
}

static inline struct rt_tx *rt_catt_tx(struct rt_catt *att, unsigned stream)
{
    return &att->tx[stream == RT_STDIN ? 0 : 1];
}

/* A resume is under way with cursors that must not change. */
static inline bool rt_catt_frozen(const struct rt_catt *att)
{
    return att->cursors_told && att->state != RT_CATT_OVER;
}

static inline bool rt_catt_wants(const struct rt_catt *att, unsigned stream)
{
    return (att->want >> stream & 1) != 0;
}

/* client.c */
uint64_t rt_client_random(struct rt_client *client, uint64_t below); /* below > 0 */
/* The next delay of a back-off: at once, then jittered from RT_BACKOFF_MIN_MS doubling to RT_BACKOFF_MAX_MS. */
uint64_t rt_client_backoff(struct rt_client *client, uint64_t *backoff);
/* Makes *slot name another agent (or RT_NO_SLOT) and counts. */
void rt_client_refer(struct rt_client *client, int *slot, int to);
/* The slot of an agent by host name or address, made if need be; RT_NO_SLOT when there is no room. */
int rt_client_learn(struct rt_client *client, struct rt_slice host, const struct rt_slice *addr, size_t n_addr);
/* The link ends here: its attachments seek, its requests go elsewhere. hangup: why, when the shell must close it. */
void rt_clink_down(struct rt_client *client, int slot, const char *hangup);
/* A slot that is not live, for somebody who needs any agent: the one that may be dialled first. */
int rt_client_candidate(const struct rt_client *client, int except, unsigned turn);

/* client_link.c */
uint64_t rt_clink_interval(const struct rt_clink *link);
void rt_clink_welcome(struct rt_client *client, int slot, const uint8_t *payload, size_t size);
void rt_clink_refused(struct rt_client *client, int slot, const uint8_t *payload, size_t size);
size_t rt_put_refuse(uint8_t *out, size_t cap, const struct rt_closing *closing);

/* client_att.c */
void rt_catt_link_up(struct rt_catt *att, int slot);
void rt_catt_link_down(struct rt_catt *att, int slot);
void rt_catt_tick(struct rt_catt *att);
uint64_t rt_catt_deadline(const struct rt_catt *att);
/* Ends the channel with REFUSE cls and attaches again; the same at the same place twice is final. */
void rt_catt_fault(struct rt_catt *att, uint64_t cls, uint64_t stream, uint64_t at);
void rt_catt_rewound(struct rt_catt *att, uint64_t stream, uint64_t from, uint64_t to);
void rt_catt_fail(struct rt_catt *att, uint64_t cls, const char *text);
void rt_catt_fail_memory(struct rt_catt *att);
struct rt_catt *rt_catt_find(struct rt_client *client, int slot, uint32_t channel);
void rt_catt_hash(struct rt_catt *att);

/* Off its link, without a word. */
void rt_catt_leave(struct rt_catt *att);
/* The last state; the event is told unless the exit was. */
void rt_catt_over(struct rt_catt *att, const struct rt_catt_event *event);
/* Back to SEEKING: at once after something that lasted or moved bytes, else with back-off, and not before `delay` ms
 * (RT_AT_ONCE: without the short waits of the back-off). The channel is gone already. */
void rt_catt_again(struct rt_catt *att, uint64_t delay);

/* client_refuse.c */
void rt_catt_refused(struct rt_catt *att, const uint8_t *payload, size_t size);

/* client_bind.c */
/* Writes ATTACH if it fits, and makes the channel; 0 when it does not fit. */
size_t rt_catt_put_attach(struct rt_catt *att, uint8_t *out, size_t cap);
void rt_catt_on_attached(struct rt_catt *att, const uint8_t *payload, size_t size);

/* client_rx.c */
void rt_rx_begin(struct rt_rx *rx, unsigned stream);
void rt_rx_start(struct rt_rx *rx, uint64_t offset);
/* At ATTACHED of a resume: what was received and not consumed is dropped, it comes again. From ATTACH until then
 * nothing is consumed (the cursors are under way); if the answer is an end instead, what was received can still be
 * read. */
void rt_rx_forget(struct rt_rx *rx, bool exited);
void rt_rx_rebind(struct rt_rx *rx);
void rt_rx_data(struct rt_catt *att, unsigned stream, uint64_t offset, const uint8_t *data, size_t size);
void rt_rx_gap(struct rt_catt *att, unsigned stream, uint64_t from, uint64_t to);
void rt_rx_fin(struct rt_catt *att, unsigned stream, uint64_t offset);
void rt_rx_exit(struct rt_catt *att, const struct rt_up_item *item);
void rt_rx_consume(struct rt_catt *att, struct rt_rx *rx, size_t size);
void rt_rx_skip_gap(struct rt_catt *att, struct rt_rx *rx);
void rt_rx_tick(struct rt_catt *att);
size_t rt_rx_put_acks(struct rt_catt *att, uint8_t *out, size_t cap, bool *more);

/* client_tx.c */
void rt_tx_begin(struct rt_tx *tx);
int rt_tx_append(struct rt_tx *tx, const void *data, size_t size);
/* RT_OK, or RT_EPROTO when the guest's applied offset or digest cannot be: nothing is changed. */
int rt_tx_check(const struct rt_tx *tx, const struct rt_attached_in *in, bool first);
void rt_tx_rebind(struct rt_catt *att, struct rt_tx *tx, const struct rt_attached_in *in, bool first);
void rt_tx_ack(struct rt_catt *att, const struct rt_frame *frame, const uint8_t *payload);
void rt_tx_closed(struct rt_catt *att, unsigned stream, uint64_t offset);
bool rt_tx_ready(const struct rt_catt *att);
void rt_tx_wake(struct rt_catt *att);
/* Writes up to RT_TX_QUANTUM stream bytes and due FINs; *more when something that may go now did not fit. */
size_t rt_tx_put(struct rt_catt *att, uint8_t *out, size_t cap, bool *more);

/* client_request.c */
void rt_creq_link_up(struct rt_client *client, int slot);
void rt_creq_link_down(struct rt_client *client, int slot);
void rt_creq_tick(struct rt_client *client);
uint64_t rt_creq_deadline(const struct rt_client *client);
size_t rt_creq_put(struct rt_client *client, int slot, uint8_t *out, size_t cap);
void rt_creq_reply(struct rt_client *client, int slot, uint64_t id, const uint8_t *payload, size_t size);
void rt_creq_free_all(struct rt_client *client);

#endif
