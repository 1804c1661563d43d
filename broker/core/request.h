/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_REQUEST_H
#define RETETHER_BROKER_CORE_REQUEST_H

#include "broker/core/list.h"
#include "broker/core/timer.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/core/limits.h"
#include "session/core/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* REQUESTs of clients, and those that wait for their answer. */

/* Requests of one link without their answer; one more is answered with LIMIT. */
#define AG_LINK_ASKS_MAX 256
/* Answers sent to a link that is over RT_LINK_HIGH_WATER; a peer that asks for more without reading them is closed. */
#define AG_LINK_ANSWERS_MAX 1048576

struct ag_link;
struct ag_session;
struct rt_agent;
struct rt_record_msg;
struct rt_registry_msg;
struct rt_reply_msg;
struct rt_store_host;
struct rt_store_op;
struct rt_store_record;
struct rt_store_reply;

struct ag_ask { /* a REQUEST without its answer */
    struct ag_list in_link, in_session;
    struct ag_timer timer;
    struct ag_link *link;
    struct ag_session *session; /* show with wait: told when somebody serves it */
    uint64_t request;
    uint32_t op;
    uint8_t what; /* enum ag_what */
    bool prefix, parked, expired;
    struct rt_key key;
    char host[RT_HOST_MAX + 1];
    struct rt_store_cursor cursor;
    /* of a search for one record by prefix or across tenants */
    uint32_t n_found;
    struct rt_key found[5];
    struct rt_store_record *record; /* owned */
};

void rt_ag_request(struct rt_agent *agent, struct ag_link *link, uint64_t request, const uint8_t *data, size_t size);
void rt_ag_ask_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
void rt_ag_ask_free(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_timer(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_asks_wake(struct rt_agent *agent, struct ag_session *session);
/* For the files of requests: starts the ask's next store operation, and the answer is given when there is none. */
void rt_ag_ask_store(struct rt_agent *agent, struct ag_ask *ask, struct rt_store_op *op);
void rt_ag_ask_send(struct rt_agent *agent, struct ag_link *link, uint64_t request, const struct rt_reply_msg *reply);
/* request_hosts.c */
void rt_ag_fill_host(const struct rt_agent *agent, const struct rt_store_host *in, struct rt_registry_msg *out);
void rt_ag_ask_hosts(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_hosts_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
void rt_ag_asks_drained(struct rt_agent *agent, struct ag_link *link);
/* record.c: the store's record, which `out` points into, with what is newer here because this agent serves it. */
void rt_ag_fill_record(struct rt_agent *agent, const struct rt_store_record *in, struct rt_record_msg *out);
/* "tenant/cid" or "cid" as the peer named it. RT_EINVAL; qualified false: an operator's plain name. */
int rt_ag_key(const struct ag_link *link, struct rt_slice name, struct rt_key *key, bool *qualified);

#endif
