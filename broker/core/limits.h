/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_LIMITS_H
#define RETETHER_BROKER_CORE_LIMITS_H

#include "broker/core/agent.h"
#include "broker/core/hash.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much one tenant may have at this agent, and one client on its connection: limits.c has the rules. */

/* Those of tenants come first. */
#define AG_TENANT_LIMITS RT_LIMIT_CLIENT_CHANNELS

/* Places that all tenants share, of which none may have more than half. */
enum ag_share {
    AG_SHARE_HELD,  /* bytes of attaches that wait */
    AG_SHARE_LISTS, /* and searches for one, that are asked of the store */
    AG_SHARE_ENDS,  /* that are told, stored and kept */
    AG_SHARES
};

struct rt_agent;

struct ag_tenant { /* at least for as long as it has anything here, or its bucket is not full */
    char name[RT_TENANT_MAX + 1];
    UT_hash_handle hh;
    uint64_t has[AG_TENANT_LIMITS]; /* but for requests, which have the bucket */
    uint64_t shares[AG_SHARES];
    uint64_t over[AG_TENANT_LIMITS]; /* how often it was told LIMIT */
    uint64_t shares_over[AG_SHARES]; /* the same, or, of ends, LATER */
    uint64_t asked;                  /* when the bucket of its requests is full again, see limits.c */
};

struct ag_account {           /* of a client's connection, once it is let in */
    struct ag_tenant *tenant; /* NULL: an operator, who has no limits but those of a connection */
    rt_link_id link;
    uint32_t jammed; /* bytes queued to it that count for its tenant */
    uint64_t asked;  /* as of the tenant */
    uint64_t over[RT_LIMITS - AG_TENANT_LIMITS];
};

struct ag_over {       /* who goes over is told */
    const char *which; /* a setting, or a place that is shared */
    uint64_t most;
    uint64_t delay; /* ms, of requests in a second: until there may be one more; else 0 */
    char text[RT_TEXT_MAX + 1];
};

/* NULL: it has nothing here. */
struct ag_tenant *rt_ag_tenant_find(const struct rt_agent *agent, const char *name);
/* Made when there is none; NULL: no memory. Whoever keeps it counts something of it. */
struct ag_tenant *rt_ag_tenant(struct rt_agent *agent, const char *name);
/* A client that begins to use its connection. tenant: "" of an operator. NULL: its tenant has too many, or, with an
 * empty text, there is no memory. */
struct ag_account *rt_ag_account_open(struct rt_agent *agent, rt_link_id link, const char *tenant,
                                      struct ag_over *over);
/* The connection is gone, with so many channels that are still counted. */
void rt_ag_account_close(struct ag_account *account, uint32_t channels);
/* Whether `by` more are within the limit of the client's tenant. False: it is told so with `over`, which counts it. */
bool rt_ag_tenant_room(struct rt_agent *agent, struct ag_account *account, enum rt_limit limit, uint64_t by,
                       struct ag_over *over);
/* Whether `by` more are within the tenant's half of the place; NULL: an operator's. False: the link is told so with
 * `over`, which counts it. */
bool rt_ag_share_room(struct rt_agent *agent, struct ag_tenant *tenant, rt_link_id link, enum ag_share share,
                      uint64_t by, struct ag_over *over);
/* Its name, and a tenant's half of it. */
const char *rt_ag_share_name(enum ag_share share, uint64_t *most);
/* The same of one more channel of a connection that has so many, and of its tenant. */
bool rt_ag_channel_room(struct rt_agent *agent, struct ag_account *account, uint32_t has, struct ag_over *over);
/* The same of one more request in this second, which is counted. */
bool rt_ag_may_ask(struct rt_agent *agent, struct ag_account *account, struct ag_over *over);
/* A congested connection has so many bytes queued; 0: it is none any more. False: they are more than before, and with
 * them its tenant is over. */
bool rt_ag_account_jam(struct rt_agent *agent, struct ag_account *account, uint32_t queued);
/* Whether its tenant is over. */
bool rt_ag_account_jammed(const struct rt_agent *agent, const struct ag_account *account);
/* It is told so, with `over`, which counts it. Returns false. */
bool rt_ag_account_over(struct rt_agent *agent, struct ag_account *account, enum rt_limit limit, struct ag_over *over);
/* The setting. */
const char *rt_ag_limit_name(enum rt_limit limit);
/* Requests of the last second, by the bucket that is full again then. */
uint64_t rt_ag_asked(const struct rt_agent *agent, uint64_t asked, enum rt_limit limit);
/* Points into `over`. */
struct rt_refuse_msg rt_ag_over_refusal(const struct ag_over *over);
void rt_ag_limits_free(struct rt_agent *agent);

/* One channel more, or one fewer; of a guest's link, which has no account, it is the client's that counts. */
static inline void ag_account_channel(struct ag_account *account, int by)
{
    if (account != NULL && account->tenant != NULL) {
        account->tenant->has[RT_LIMIT_TENANT_CHANNELS] += (uint64_t)by;
    }
}

/* The same of an attach that waits, and of its bytes. */
static inline void ag_account_waiting(struct ag_account *account, int by, size_t bytes)
{
    if (account->tenant != NULL) {
        account->tenant->has[RT_LIMIT_TENANT_WAITING] += (uint64_t)by;
        account->tenant->has[RT_LIMIT_TENANT_BYTES] += (uint64_t)by * bytes;
        account->tenant->shares[AG_SHARE_HELD] += (uint64_t)by * bytes;
    }
}

/* One list more, or one fewer. */
static inline void ag_account_list(struct ag_account *account, int by)
{
    if (account->tenant != NULL) {
        account->tenant->shares[AG_SHARE_LISTS] += (uint64_t)by;
    }
}

#endif
