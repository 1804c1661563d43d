/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_HELD_H
#define RETETHER_BROKER_CORE_HELD_H

#include "broker/core/hash.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Attaches that wait for their guest. */

struct ag_link;
struct ag_over;
struct ag_session;
struct rt_agent;
struct rt_attach_msg;
struct rt_refuse_msg;
struct rt_store_reply;

/* Attaches that a guest has not answered; one more waits at the agent. */
#define AG_UNANSWERED_MAX 256

/* The guest of a session that ended so long ago has gone: no output is held for longer. */
#define AG_ENDED_LONG_MS 600000

/* An attach that is held reads the record again after this: news of where its guest is may be lost. */
#define AG_LOOK_AGAIN_MS 2000
/* The first time when its guest went a moment ago: less than any client waits. */
#define AG_LOOK_GONE_MS 400

/* What is known of the container that an attach waits for:
 *
 *     AG_HELD_LIVES --the record says so--> AG_HELD_ENDED --its time is over--> AG_HELD_CHECKED --still so--> refused
 *       ^                                      |                                  |
 *       '--created anew------------------------+----------------------------------'
 *
 * CHECKED: the record is read once more, as it may have been created anew since. */
enum ag_held_state { AG_HELD_LIVES, AG_HELD_ENDED, AG_HELD_CHECKED };

struct ag_held {  /* an ATTACH that waits for the guest, or, parked, until its own link has drained */
    uint64_t key; /* link id << 32 | channel */
    UT_hash_handle hh;
    struct rt_list in_link, in_session; /* in_session: of ag_session.held or ag_link.parked */
    struct rt_timer timer;
    uint64_t until, latest; /* held until then; latest: the longest that it may be held, in all */
    struct ag_link *link;
    struct ag_session *session; /* NULL while an operator's plain name is looked for */
    uint32_t op;
    uint8_t state; /* enum ag_held_state */
    uint64_t klife, kepoch;
    bool waited; /* the client gave time to wait */
    bool resume; /* it does not make one: an ended record may still have a guest that comes back */
    bool whole;  /* the store was, when the hold began */
    uint64_t code, sig;
    struct rt_key name; /* an operator's plain name; its tenant once one was found that has it */
    size_t size;
    uint8_t payload[];
};

/* Refuses an ATTACH that goes over a limit. What is made is told LIMIT; what goes on is told to come again: there may
 * be room by then, and an attach that is open stays open. */
void rt_ag_held_over(struct rt_agent *agent, struct ag_link *link, uint32_t channel, bool make,
                     const struct ag_over *over);
/* Holds an attach. NULL: a bound of what is held is reached, and that has been answered. */
struct ag_held *rt_ag_held_new(struct rt_agent *agent, struct ag_link *link, uint32_t channel,
                               const struct rt_attach_msg *msg, struct rt_slice payload);
/* Holds an attach, and looks where its guest is. What is known already answers it at once, so that there is one path
 * for all. changed: msg has been altered, so it goes to the guest in the place of payload. */
void rt_ag_held_begin(struct rt_agent *agent, struct ag_link *link, uint32_t channel, struct rt_attach_msg *msg,
                      const struct rt_key *key, bool qualified, struct rt_slice payload, bool changed);
void rt_ag_held_free(struct rt_agent *agent, struct ag_held *held);
void rt_ag_held_bind(struct rt_agent *agent, struct ag_session *session);  /* its guest may be asked now */
void rt_ag_held_moved(struct rt_agent *agent, struct ag_session *session); /* elsewhere */
void rt_ag_held_revoked(struct rt_agent *agent, struct ag_session *session);
void rt_ag_held_timer(struct rt_agent *agent, struct ag_held *held);
void rt_ag_held_again(struct rt_agent *agent); /* the store is back: all are looked up anew */
void rt_ag_held_reply(struct rt_agent *agent, struct ag_held *held, const struct rt_store_reply *reply);
/* Whether an ATTACH may be sent to the guest now. */
bool rt_ag_guest_open(const struct ag_link *guest);
struct ag_held *rt_ag_held_at(struct rt_agent *agent, const struct ag_link *link, uint32_t channel);
bool rt_ag_moved_msg(const struct rt_agent *agent, const struct ag_session *session, struct rt_refuse_msg *refuse);

/* attach.c: `frame` is the whole frame; it is passed on where it lies. */
void rt_ag_attach(struct rt_agent *agent, struct ag_link *link, uint32_t channel, uint8_t *frame, size_t size);
/* The link has drained: parked ones go on. */
void rt_ag_attaches_drained(struct rt_agent *agent, struct ag_link *link);

#endif
