/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_REQUEST_H
#define RETETHER_BROKER_CORE_REQUEST_H

#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* REQUESTs of clients: those that wait for their answer, and (waiting.c) to be begun with. */

/* Requests of one link without their answer, also those that wait; one more is answered with LIMIT. */
#define AG_LINK_ASKS_MAX 256

/* A show of what is served here waits so long for the answer of its take, where the store fails. */
#define AG_SHOW_TAKE_MS 2000

struct ag_link;
struct ag_session;
struct rt_agent;
struct rt_registry_msg;
struct rt_reply_msg;
struct rt_store_host;
struct rt_store_op;
struct rt_store_record;
struct rt_store_reply;
struct rt_request_msg;

struct ag_ask { /* a REQUEST without its answer */
    struct rt_list in_link, in_session;
    struct rt_timer timer;
    struct ag_link *link;
    struct ag_session *session; /* show with wait: told when somebody serves it */
    uint64_t request;
    uint32_t op;
    uint8_t what; /* enum ag_what */
    bool prefix, parked, expired;
    bool awaited; /* show: the take of what is served here has been waited for */
    struct rt_key key;
    char host[RT_HOST_MAX + 1];
    struct rt_store_cursor cursor;
    size_t room; /* bytes of its link's `replies` */
    /* of a search for one record by prefix or across tenants */
    uint32_t n_found;
    struct rt_key found[5];
    struct rt_store_record *record; /* owned */
};

void rt_ag_request(struct rt_agent *agent, struct ag_link *link, uint64_t request, const uint8_t *data, size_t size);
/* Of a link that is not congested, and has room for the answer. */
void rt_ag_request_start(struct rt_agent *agent, struct ag_link *link, uint64_t request,
                         const struct rt_request_msg *msg);
/* Bytes that the answer may take at a time. */
size_t rt_ag_request_room(struct rt_slice op);
void rt_ag_request_refuse(struct rt_agent *agent, struct ag_link *link, uint64_t request, enum rt_class cls,
                          const char *text);
void rt_ag_ask_again(struct rt_agent *agent, struct ag_ask *ask); /* one that waited with its next page */
void rt_ag_ask_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
void rt_ag_ask_free(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_timer(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_asks_wake(struct rt_agent *agent, struct ag_session *session);
/* For the files of requests: starts the ask's next store operation, and the answer is given when there is none. */
void rt_ag_ask_store(struct rt_agent *agent, struct ag_ask *ask, struct rt_store_op *op);
void rt_ag_ask_send(struct rt_agent *agent, struct ag_link *link, uint64_t request, const struct rt_reply_msg *reply);
/* The ask is over, with an error. */
void rt_ag_ask_finish(struct rt_agent *agent, struct ag_ask *ask, enum rt_class cls, const char *text);
void rt_ag_ask_fail(struct rt_agent *agent, struct ag_ask *ask, int error);
/* Asks for the page behind ask->cursor. */
void rt_ag_ask_page(struct rt_agent *agent, struct ag_ask *ask);
/* request_show.c */
void rt_ag_ask_show_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
/* request_hosts.c */
void rt_ag_fill_host(const struct rt_agent *agent, const struct rt_store_host *in, struct rt_registry_msg *out);
void rt_ag_ask_hosts(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_hosts_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
/* The link, which may be NULL, may have room for more answers: what waits for that goes on. */
void rt_ag_requests_drained(struct rt_agent *agent, struct ag_link *link);
void rt_ag_asks_free(struct rt_agent *agent, struct ag_link *link); /* all of a link */
/* "tenant/cid" or "cid" as the peer named it. RT_EINVAL; qualified false: an operator's plain name. */
int rt_ag_key(const struct ag_link *link, struct rt_slice name, struct rt_key *key, bool *qualified);

#endif
