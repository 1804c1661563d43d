/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_STORE_H
#define RETETHER_BROKER_CORE_STORE_H

#include "broker/core/agent.h"
#include "migrate/core/ticket.h"

#include <stdbool.h>
#include <stdint.h>

/* Operations on the store, and its news. */

/* What failed at the store and is worth repeating comes again after this; takes have their own back-off. */
#define AG_STORE_RETRY_MS 1000

/* Another agent goes by this host's name. */
#define AG_TAKEN_TEXT "another live agent goes by this host's name"

struct ag_ask;
struct ag_end;
struct ag_held;
struct ag_session;
struct rt_store_op;

/* Who gets the answer to an operation. */
enum ag_op_for {
    AG_FOR_NOBODY, /* any more */
    AG_FOR_ASK,    /* .ask */
    AG_FOR_HELD,   /* .held */
    AG_FOR_END,    /* .end, which is `asked` */
    AG_FOR_CENSUS, /* records that name this host as their owner */
    AG_FOR_OWNER,  /* of another host's record */
    AG_FOR_HOST,   /* a look at one row of the registry */
    AG_FOR_WALK,   /* through the registry */
    AG_FOR_AUDIT,
    AG_FOR_TEST,
    AG_FOR_TAKE,
    AG_FOR_STATE,
    AG_FOR_REPORT,
    AG_FOR_REVOKED,
};

struct ag_op { /* a store operation under way */
    uint32_t id;
    uint8_t kind; /* enum rt_store_op_kind */
    uint8_t to;   /* enum ag_op_for */
    rt_link_id link;
    struct ag_session *session; /* counted in n_ops */
    union {
        struct ag_held *held;
        struct ag_ask *ask;
        struct ag_end *end;
    };
    uint64_t life, epoch;
    uint8_t state; /* of a STATE */
    struct rt_key key;
    uint64_t asked;             /* when it was started */
    char host[RT_HOST_MAX + 1]; /* HOST: its name; WALK: behind which it begins */
};

/* Starts op with what the reply is for (copied). Returns its id, or 0 when none could be started: no reply follows. */
uint32_t rt_ag_store(struct rt_agent *agent, struct rt_store_op *op, const struct ag_op *about);
void rt_ag_forget_op(struct rt_agent *agent, uint32_t id); /* its held, ask are gone */
bool rt_ag_whole(const struct rt_agent *agent);
bool rt_ag_store_out(const struct rt_agent *agent); /* or slow */
/* Why a start has to wait while it is; why an attach does. */
const char *rt_ag_store_why_start(const struct rt_agent *agent);
const char *rt_ag_store_why_attach(const struct rt_agent *agent);
/* For how long an attach that may wait is held. */
uint64_t rt_ag_hold_wait(const struct rt_agent *agent, uint64_t wait);

#endif
