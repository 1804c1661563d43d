/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_REQUEST_H
#define RETETHER_BROKER_CORE_REQUEST_H

#include "session/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* REQUESTs of clients, by what they ask for. */

/* Requests of one link without their answer, also those that wait; one more is answered with LIMIT. */
#define AG_LINK_ASKS_MAX 256
/* Records of one REPLY: at most 3 KiB each, so that they fit into a frame. */
#define AG_REPLY_RECORDS 16
/* A show of what is served here waits so long for the answer of its take, where the store fails. */
#define AG_SHOW_TAKE_MS 2000

struct ag_ask;
struct ag_link;
struct ag_session;
struct rt_agent;
struct rt_registry_msg;
struct rt_reply_msg;
struct rt_request_msg;
struct rt_store_host;
struct rt_store_reply;

/* Of a link that is not congested, and has room for the answer. */
void rt_ag_request_start(struct rt_agent *agent, struct ag_link *link, uint64_t request,
                         const struct rt_request_msg *msg);
/* What a REQUEST calls it: of enum ag_what; "" behind the last. */
const char *rt_ag_request_name(unsigned what);
/* Bytes that the answer may take at a time. */
uint32_t rt_ag_request_room(struct rt_slice op);
void rt_ag_ask_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);

/* request_show.c */
void rt_ag_ask_show_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
/* More is known of the session: those that wait for it are looked up. */
void rt_ag_asks_wake(struct rt_agent *agent, struct ag_session *session);
void rt_ag_ask_timer(struct rt_agent *agent, struct ag_ask *ask);

/* request_local.c: a list without the store, or the rest of it; when it is its turn. */
void rt_ag_ask_list_own(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_locals_timer(struct rt_agent *agent);

/* request_limits.c */
/* Whether it is answered, and freed, without the store. */
bool rt_ag_ask_limits(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_limits_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);

/* request_checks.c: answers it, and frees it. */
void rt_ag_ask_checks(struct rt_agent *agent, struct ag_ask *ask);

/* request_list.c. False: the ask has been refused. */
bool rt_ag_ask_list_begin(struct rt_agent *agent, struct ag_ask *ask, const struct rt_request_msg *msg);
void rt_ag_ask_list_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);

/* request_hosts.c */
/* Another host has what is asked for: its agent may be asked. A row more, unless it is this one, or "". */
void rt_ag_name_host(const struct rt_agent *agent, const struct ag_link *link, const char *host,
                     struct rt_reply_msg *out);
void rt_ag_ask_hosts_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);

/* As this client is told it. */
void rt_ag_fill_host(const struct rt_agent *agent, const struct ag_link *link, const struct rt_store_host *in,
                     struct rt_registry_msg *out);

/* request_drain.c */
/* Whether it is answered, or waits for the disk, without the store. */
bool rt_ag_ask_drain(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_drain_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
/* What the disk has come to with what it was given. */
void rt_ag_drains_written(struct rt_agent *agent, int error);
/* A create, where this host drains: it is refused, and told who may be asked. False: it does not. */
bool rt_ag_ask_elsewhere(struct rt_agent *agent, struct ag_ask *ask);

/* waiting.c */
void rt_ag_request(struct rt_agent *agent, struct ag_link *link, uint64_t request, const uint8_t *data, size_t size);
/* The link may have room for more answers: what waits for that goes on. */
void rt_ag_requests_drained(struct rt_agent *agent, struct ag_link *link);
void rt_ag_asks_free(struct rt_agent *agent, struct ag_link *link); /* all of a link */

#endif
