/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_TETHER_ATT_H
#define RETETHER_SESSION_CORE_TETHER_ATT_H

#include "session/core/digest.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/ring.h"
#include "session/core/sender.h"
#include "session/core/tether_proc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An attachment at the tether: what its client has of each stream, and its hold budget. */

#define RT_INS 2 /* stdin, control-down: stream / 4 */
#define RT_STDIN_IN 0
#define RT_CONTROL_IN 1

/* Why no command is run. */
#define RT_TETHER_RUNS_NONE "the container's main process has ended: it runs no more commands"

struct rt_attach_msg;
struct rt_tether;

/*  FREE --ATTACH--> AWAY --ATTACH accepted--> BINDING --ATTACHED written--> BOUND
 *                     ^                          | ^                        | |
 *                     +-- REFUSE, link lost -----+-|------------------------+ |
 *                                                  +---- another ATTACH ------+
 *  All to FREE: DETACH, REWOUND, forgotten, displaced. Waiting: AWAY (its client), BOUND (frames). */
enum rt_att_state { RT_ATT_FREE, RT_ATT_AWAY, RT_ATT_BINDING, RT_ATT_BOUND };

struct rt_att {
    enum rt_att_state state;
    bool heard; /* its client has an ATTACHED: it says what it has whenever it comes back */
    uint8_t id[RT_ID_SIZE];
    uint32_t proc;
    uint64_t try_no;
    uint64_t want; /* bit per stream; stdin only of a process that has it */
    bool once;
    /* binding */
    uint32_t channel; /* BINDING, BOUND; else 0 */
    bool stop_told;   /* that the process has closed its stdin */
    uint64_t unbound_at;
    uint64_t away_ms; /* unbound for so long, of time with an agent */
    /* hold budget */
    uint64_t hold_ms, hold_left;
    bool blocks;                   /* being charged */
    bool graced;                   /* had its end grace */
    struct rt_sender out[RT_OUTS]; /* of the process's rings */
    struct rt_receiver in[RT_INS];
};

static inline bool rt_att_wants(const struct rt_att *att, unsigned stream)
{
    return (att->want >> stream & 1) != 0;
}

/* It holds nothing back and says nothing: all that a viewer may be. `want` and `hold_ms` as an ATTACH has them. */
static inline bool rt_att_observes(uint64_t want, uint64_t hold_ms)
{
    return hold_ms == 0 && (want & RT_INPUTS) == 0;
}

/* What is left of an attachment to the life before: how much of its stdout its client has certainly had from here. */
struct rt_past {
    uint8_t id[RT_ID_SIZE];
    uint64_t acked;
};

struct rt_refusal {
    uint32_t channel;
    uint64_t cls, s, at, got, max;
    uint64_t life;     /* UNKNOWN_ATTACHMENT: the one that does not know it */
    uint64_t try_no;   /* STOLEN at an ATTACH: the newest try that was seen */
    const char *which; /* LIMIT: of what; static */
    const char *text;  /* static */
};

struct rt_att *rt_tether_att_by_channel(const struct rt_tether *t, uint32_t channel);
struct rt_att *rt_tether_att_by_id(const struct rt_tether *t, const uint8_t id[RT_ID_SIZE]);
void rt_tether_remove_att(struct rt_tether *t, struct rt_att *att);
void rt_tether_move_att(struct rt_att *att, enum rt_att_state to);
void rt_tether_unbind(struct rt_tether *t, struct rt_att *att, uint64_t now);
void rt_tether_attach(struct rt_tether *t, uint32_t channel, const struct rt_attach_msg *msg, uint64_t now);
void rt_tether_refuse(struct rt_tether *t, const struct rt_refusal *refusal);
void rt_tether_end_att(struct rt_tether *t, struct rt_att *att, const struct rt_refusal *refusal);

#endif
