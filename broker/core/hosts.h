/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_HOSTS_H
#define RETETHER_BROKER_CORE_HOSTS_H

#include "broker/core/machine.h"
#include "migrate/core/store_op.h"
#include "migrate/core/watch.h"
#include "session/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The other hosts, as this agent knows them: where they are, and whether they live (migrate/core/watch.h). It hears of
 * one by that host's own notice, by walking through the registry a page with each heartbeat, and by looking at one row
 * by its name, at once, when it is asked about. Who is not known is unknown, never dead. */

/* Hosts remembered: four times what a store is designed for. One more displaces the one that has not been asked about
 * for longest, which is unknown then. */
#define AG_HOSTS_MAX 4096
/* A host that was asked about is looked at with each heartbeat for so long: a verdict takes RT_HEARTBEAT_EXPIRY_MS. */
#define AG_HOST_WANTED_MS (RT_HEARTBEAT_EXPIRY_MS + 3 * RT_HEARTBEAT_MS)
/* Looks of one heartbeat; the others have their turn with the next ones. */
#define AG_HOST_LOOKS_MAX 64

struct ag_op;
struct rt_agent;

enum ag_host_fact {
    AG_HOST_CAME = 1, /* it can be reached now */
    AG_HOST_DIED = 2,
};

struct ag_host {
    struct ag_fact fact;
    struct rt_store_host row; /* the newest that was there; without addresses: none yet */
    struct rt_watch watch;
    struct rt_list wanted; /* agent.wanted */
    uint64_t wanted_until;
    uint64_t used; /* asked about, or seen in the registry */
    uint32_t op;   /* the look under way; 0 none */
};

/* NULL when it is not known. */
struct ag_host *rt_ag_host(const struct rt_agent *agent, const char *host);
/* Whether host is dead. While that is not known the host is looked at, so that who asks again is told. */
bool rt_ag_host_dead(struct rt_agent *agent, const char *host);
/* What people are told of a host's life. */
enum rt_watch_state rt_ag_host_state(const struct rt_agent *agent, const char *host);
/* Where clients can reach it: its row, unless it is dead or unknown. */
const struct rt_store_host *rt_ag_host_reach(const struct rt_agent *agent, const char *host);
/* Somebody has to go to that host: when its addresses are not known it is looked at, at once. */
void rt_ag_host_need(struct rt_agent *agent, const char *host);
/* Between two audits of one session: a served session's record is read now and then, as news of a newer claim may be
 * lost, and a clone gives no other sign. */
uint64_t rt_ag_audit_ms(const struct rt_agent *agent);
/* The index of the first host behind this name. */
size_t rt_ag_hosts_behind(const struct rt_agent *agent, const char *name);

/* A heartbeat was answered: the walk goes on, and so do the looks. */
void rt_ag_hosts_touch(struct rt_agent *agent);
/* The store is out of reach, or another one. */
void rt_ag_hosts_break(struct rt_agent *agent);
void rt_ag_host_notice(struct rt_agent *agent, const struct rt_store_host *row);
/* The answer to a look, or to a page of the walk. */
void rt_ag_hosts_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_hosts_free(struct rt_agent *agent);

#endif
