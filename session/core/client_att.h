/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_ATT_H
#define RETETHER_SESSION_CORE_CLIENT_ATT_H

#include "session/base/list.h"
#include "session/base/timer.h"
#include "session/core/attachment.h"
#include "session/core/client_stream.h"
#include "session/core/frame.h"
#include "session/core/msg_stream.h"
#include "session/core/order.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An attachment as the machine has it: where it asks, its binding, its streams. */

#define RT_CLIENT_ASK_MS 15000 /* ATTACH without any answer; then withdrawn and asked elsewhere */
/* An agent may hold an ATTACH for this long before another one is asked (with the store out, the one asked may never
 * hear where the guest is); doubles with each that does not know, up to RT_WAIT_MAX_MS. */
#define RT_CLIENT_WAIT_MIN_MS 500

/*  SEEKING --a link is chosen--> ASKED --ATTACHED--> LIVE; both back to SEEKING when refused for now or lost; all to
 * OVER. Waiting: SEEKING (seek_at, a link's change), ASKED (ask_at, an answer), LIVE (frames), OVER (freed by the
 * application). */
enum rt_catt_state { RT_CATT_SEEKING, RT_CATT_ASKED, RT_CATT_LIVE, RT_CATT_OVER };

/* Events that the application is still to be told of; all others are read off the streams. */
enum rt_catt_due { RT_CATT_DUE_ATTACHED = 1, RT_CATT_DUE_CLOSED = 2, RT_CATT_DUE_RESIZED = 4 };

/* What the application believes of the link: UP --a LIVE channel ends--> BROKEN --INTERRUPTED told--> DOWN --LIVE
 * again, RESUMED told--> UP. */
enum rt_catt_shown { RT_CATT_UP, RT_CATT_BROKEN, RT_CATT_DOWN };

/* OPEN --the process has ended--> EXITED --its output is consumed, EXITED told--> TOLD. OPEN, EXITED --OVER, its event
 * told--> TOLD: nothing is told after that. */
enum rt_catt_end { RT_CATT_END_OPEN, RT_CATT_END_EXITED, RT_CATT_END_TOLD };

struct rt_client;

struct rt_catt {
    struct rt_client *client;
    struct rt_list all, control, data, ready;
    struct rt_timer timer;
    struct rt_catt *hash_next;

    uint8_t id[RT_ID_SIZE];
    struct rt_attach_options options;
    uint64_t want; /* with control-up always */

    enum rt_catt_state state;
    uint64_t since;   /* of ASKED or LIVE */
    int home;         /* the agent that the newest claim names or that served last */
    int alt;          /* another that is dialled meanwhile */
    int link;         /* ASKED, LIVE */
    uint64_t in_vain; /* bit per slot: asked in this round of agents; the next begins when all that are live were */
    unsigned turn;    /* next slot to try */
    uint32_t channel; /* 0 until ATTACH is written: until then an ASKED one waits for its link */
    bool attached;    /* once at least */
    bool tty;
    bool progress; /* bytes moved since ATTACHED */
    uint64_t home_since;
    uint64_t try_no;
    unsigned steals;          /* refused as not newer than another's try */
    uint64_t k_life, k_epoch; /* newest claim known */
    uint64_t not_before;      /* no ATTACH before */
    uint64_t seek_at, ask_at, give_up_at;
    uint64_t not_found_at, not_found_last; /* the first NOT_FOUND of a row, RT_NEVER: none; the newest */
    bool cursors_told; /* in an ATTACH that has had no ATTACHED: what was received behind them must not be consumed */
    uint64_t wait_ms;  /* for which the next agent asked may hold the ATTACH */
    uint64_t backoff;
    struct {
        uint64_t cls, stream, at;
    } fault; /* the last one that ended a channel: again at the same place is final */

    uint64_t life, proc;
    struct rt_receiver rx[3]; /* stream 1, 2, 3 */
    struct rt_order order;    /* in which stdout's and stderr's bytes came */
    struct rt_tx tx[2];       /* stream 0, 4 */
    uint64_t run_end;         /* exec: behind the last piece of what to run, in control-down */
    struct rt_up_item exit;
    struct rt_gap control_gap; /* of control-up, to be told; from == to: none */

    unsigned eof_told; /* bit per stream: its end was told to the application */
    unsigned due;      /* bits of enum rt_catt_due */
    enum rt_catt_shown shown;
    enum rt_catt_end end;
    uint64_t start[2], head[2], rows, cols;
    struct rt_catt_event final; /* OVER: REWOUND or FAILED */
    struct {
        uint64_t cls;
        char text[RT_TEXT_MAX + 1];
    } last; /* the last refusal, for give_up */
};

static inline struct rt_receiver *rt_catt_rx(struct rt_catt *att, unsigned stream)
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

/* Than the newest claim known. */
static inline bool rt_catt_is_newer(const struct rt_catt *att, uint64_t life, uint64_t epoch)
{
    return life > att->k_life || (life == att->k_life && epoch > att->k_epoch);
}

void rt_catt_link_up(struct rt_catt *att, int slot);
void rt_catt_link_down(struct rt_catt *att, int slot);
/* SEEKING: asks the best live agent, else has agents dialled and waits. */
void rt_catt_seek(struct rt_catt *att);
/* Its timer is due, and was taken off: gives up, seeks, asks elsewhere. */
void rt_catt_tick(struct rt_catt *att);
uint64_t rt_catt_deadline(const struct rt_catt *att);
/* rt_catt_tick() comes at this time or before. */
void rt_catt_wake_at(struct rt_catt *att, uint64_t at);
/* Notes what ends a channel, and where. True: so did the last one. */
bool rt_catt_faulted(struct rt_catt *att, uint64_t cls, uint64_t stream, uint64_t at);
/* Ends the channel with REFUSE cls and attaches again; the same at the same place twice is final. */
void rt_catt_fault(struct rt_catt *att, uint64_t cls, uint64_t stream, uint64_t at);
void rt_catt_rewound(struct rt_catt *att, uint64_t stream, uint64_t from, uint64_t to);
void rt_catt_fail(struct rt_catt *att, uint64_t cls, const char *text);
void rt_catt_fail_memory(struct rt_catt *att);
struct rt_catt *rt_catt_find(struct rt_client *client, int slot, uint32_t channel);
void rt_catt_hash(struct rt_catt *att);

/* Off its link, without a word. */
void rt_catt_leave(struct rt_catt *att);
/* The agent of this slot (or RT_NO_SLOT) has been asked in vain in this round of agents, or may be asked again. */
void rt_catt_in_vain(struct rt_catt *att, int slot, bool yes);
void rt_catt_move(struct rt_catt *att, enum rt_catt_state to);
/* The application lets go of it: told to the other side, and nothing to the application. */
void rt_catt_detach(struct rt_catt *att);
/* The last state; the event is told unless the exit was. */
void rt_catt_over(struct rt_catt *att, const struct rt_catt_event *event);
/* Back to SEEKING: at once after something that lasted or moved bytes, else with back-off, and not before `delay` ms.
 * The channel is gone already. */
void rt_catt_again(struct rt_catt *att, uint64_t delay);
/* The same at an agent that was named: without the short waits of the back-off. */
void rt_catt_again_elsewhere(struct rt_catt *att);

/* client_bind.c: writes ATTACH if it fits, and makes the channel; 0 when it does not fit. */
size_t rt_catt_put_attach(struct rt_catt *att, uint8_t *out, size_t cap);
void rt_catt_on_attached(struct rt_catt *att, const uint8_t *payload, size_t size);
/* client_refuse.c: REFUSE on an attachment's channel. */
void rt_catt_refused(struct rt_catt *att, const uint8_t *payload, size_t size);

#endif
