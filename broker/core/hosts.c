/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/hosts.h"

#include "broker/core/agent.h"
#include "broker/core/machine.h"
#include "broker/core/store.h"
#include "migrate/core/pace.h"
#include "session/base/slice.h"

#include <stdlib.h>
#include <string.h>

/* agent.hosts is in the order of the names, as the registry's pages are. This agent's own host is not in it. */

static bool is_self(const struct rt_agent *agent, const char *host)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a page that has rows is not NULL */
    return strcmp(host, agent->config.host) == 0;
}

/* The index at which name stands, or would. */
static size_t place(const struct rt_agent *agent, const char *name)
{
    size_t low = 0, high = agent->n_hosts;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (strcmp(agent->hosts[middle]->row.host, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct ag_host *rt_ag_host(const struct rt_agent *agent, const char *name)
{
    size_t at = place(agent, name);

    return at < agent->n_hosts && strcmp(agent->hosts[at]->row.host, name) == 0 ? agent->hosts[at] : NULL;
}

size_t rt_ag_hosts_behind(const struct rt_agent *agent, const char *name)
{
    return place(agent, name) + (rt_ag_host(agent, name) != NULL);
}

/* No row makes more sessions of itself than a host can have. */
static uint64_t served_at(const struct ag_host *host)
{
    return host->row.sessions < RT_AGENT_SESSIONS_MAX ? host->row.sessions : RT_AGENT_SESSIONS_MAX;
}

static void forget(struct rt_agent *agent, size_t at)
{
    struct ag_host *host = agent->hosts[at];

    agent->served_elsewhere -= served_at(host);
    rt_list_remove(&host->fact.node);
    rt_list_remove(&host->wanted);
    agent->n_hosts--;
    memmove(&agent->hosts[at], &agent->hosts[at + 1], (agent->n_hosts - at) * sizeof(struct ag_host *));
    free(host);
}

uint64_t rt_ag_audit_ms(const struct rt_agent *agent)
{
    return rt_audit_ms(agent->stats.served + agent->served_elsewhere);
}

/* Makes room for one more host. Only a registry of more hosts than a store is designed for needs that. */
static bool displace(struct rt_agent *agent)
{
    size_t oldest = agent->n_hosts;

    for (size_t i = 0; i < agent->n_hosts; i++) {
        if (!rt_listed(&agent->hosts[i]->wanted) && !rt_listed(&agent->hosts[i]->fact.node) &&
            (oldest == agent->n_hosts || agent->hosts[i]->used < agent->hosts[oldest]->used)) {
            oldest = i;
        }
    }
    if (oldest == agent->n_hosts) {
        return false;
    }
    forget(agent, oldest);
    return true;
}

/* Makes it when it is not known. NULL: no room. */
static struct ag_host *get(struct rt_agent *agent, const char *name)
{
    struct ag_host *host = rt_ag_host(agent, name), **more;
    size_t at;

    if (host != NULL) {
        return host;
    }
    if (agent->n_hosts == AG_HOSTS_MAX && !displace(agent)) {
        return NULL;
    }
    host = calloc(1, sizeof(*host));
    more = realloc(agent->hosts, (agent->n_hosts + 1) * sizeof(struct ag_host *));
    if (more != NULL) {
        agent->hosts = more;
    }
    if (host == NULL || more == NULL) {
        free(host);
        return NULL;
    }
    at = place(agent, name);
    memmove(&agent->hosts[at + 1], &agent->hosts[at], (agent->n_hosts - at) * sizeof(struct ag_host *));
    agent->hosts[at] = host;
    agent->n_hosts++;
    rt_slice_copy(rt_slice_text(name), host->row.host, sizeof(host->row.host));
    host->fact.of = AG_OF_HOST;
    host->used = agent->now;
    return host;
}

static bool reachable(const struct ag_host *host)
{
    return host->row.n_addr > 0 && host->watch.state != RT_WATCH_DEAD;
}

const struct rt_store_host *rt_ag_host_reach(const struct rt_agent *agent, const char *host)
{
    const struct ag_host *known = rt_ag_host(agent, host);

    return known != NULL && reachable(known) ? &known->row : NULL;
}

enum rt_watch_state rt_ag_host_state(const struct rt_agent *agent, const char *host)
{
    const struct ag_host *known = rt_ag_host(agent, host);

    if (is_self(agent, host)) {
        return RT_WATCH_ALIVE;
    }
    return known == NULL ? RT_WATCH_UNKNOWN : known->watch.state;
}

/* What a look at host's row has shown. row: NULL, there is none. */
static void note(struct rt_agent *agent, const char *name, const struct rt_store_host *row, uint64_t asked, bool notice)
{
    struct rt_look look = {.there = row != NULL, .asked = asked, .notice = notice};
    struct ag_host *host = is_self(agent, name) ? NULL : get(agent, name);
    bool before, dead;

    if (host == NULL) {
        return;
    }
    before = reachable(host);
    dead = host->watch.state == RT_WATCH_DEAD;
    if (row != NULL) {
        look.instance = row->instance;
        look.seq = row->seq;
        agent->served_elsewhere -= served_at(host);
        host->row = *row;
        agent->served_elsewhere += served_at(host);
        host->used = agent->now;
    }
    rt_watch_look(&host->watch, &agent->touch, &look, agent->now);
    if (!before && reachable(host)) {
        ag_fact(agent, &host->fact, AG_HOST_CAME);
    } else if (!dead && host->watch.state == RT_WATCH_DEAD) {
        ag_fact(agent, &host->fact, AG_HOST_DIED);
    }
}

void rt_ag_host_notice(struct rt_agent *agent, const struct rt_store_host *row)
{
    const struct ag_host *known = rt_ag_host(agent, row->host);
    struct rt_store_host told = *row;

    told.drains = known != NULL && known->row.drains && rt_id_equal(&known->row.instance, &row->instance);
    note(agent, told.host, &told, agent->now, true);
}

/* Looks. */

static void look(struct rt_agent *agent, struct ag_host *host)
{
    struct rt_store_op op = {.kind = RT_STORE_HOST_ROW};
    struct ag_op about = {.to = AG_FOR_HOST};

    memcpy(op.host, host->row.host, sizeof(op.host));
    memcpy(about.host, op.host, sizeof(about.host));
    host->op = rt_ag_store(agent, &op, &about);
}

bool rt_ag_host_dead(struct rt_agent *agent, const char *name)
{
    struct ag_host *host = is_self(agent, name) ? NULL : get(agent, name);

    if (host == NULL) {
        return false;
    }
    host->used = agent->now;
    host->wanted_until = agent->now + AG_HOST_WANTED_MS;
    if (!rt_listed(&host->wanted)) {
        rt_list_push(&agent->wanted, &host->wanted);
    }
    if (rt_watch_dead(&host->watch, &agent->touch, agent->now)) {
        return true;
    }
    if (host->op == 0 && agent->store_up &&
        (host->watch.state == RT_WATCH_UNKNOWN || agent->now - host->watch.looked >= RT_HEARTBEAT_MS)) {
        look(agent, host);
    }
    return false;
}

void rt_ag_host_need(struct rt_agent *agent, const char *host)
{
    if (host[0] != '\0' && rt_ag_host_reach(agent, host) == NULL) {
        (void)rt_ag_host_dead(agent, host);
    }
}

/* The walk. */

static void walk(struct rt_agent *agent)
{
    struct rt_store_op op = {.kind = RT_STORE_HOSTS};
    struct ag_op about = {.to = AG_FOR_WALK};

    if (agent->walking) {
        return;
    }
    memcpy(op.host, agent->walked, sizeof(op.host));
    memcpy(about.host, op.host, sizeof(about.host));
    agent->walking = rt_ag_store(agent, &op, &about) != 0;
}

static const struct rt_store_host *row_of(const struct rt_store_reply *page, const char *name)
{
    for (size_t i = 0; i < page->n_hosts; i++) {
        if (strcmp(page->hosts[i].host, name) == 0) {
            return &page->hosts[i];
        }
    }
    return NULL;
}

/* A page of the registry behind `after`, asked for at `asked`. */
static void take_page(struct rt_agent *agent, const char *after, const struct rt_store_reply *reply, uint64_t asked)
{
    size_t at = rt_ag_hosts_behind(agent, after);

    while (at < agent->n_hosts && (reply->next[0] == '\0' || strcmp(agent->hosts[at]->row.host, reply->next) <= 0)) {
        struct ag_host *host = agent->hosts[at];

        if (row_of(reply, host->row.host) == NULL) {
            note(agent, host->row.host, NULL, asked, false);
        }
        /* One whose row has gone is remembered while anybody asks, and for as long as a lease. */
        if (!host->watch.there && host->op == 0 && !rt_listed(&host->wanted) && !rt_listed(&host->fact.node) &&
            agent->now - host->used >= RT_LEASE_MS) {
            forget(agent, at);
        } else {
            at++;
        }
    }
    for (size_t i = 0; i < reply->n_hosts; i++) {
        note(agent, reply->hosts[i].host, &reply->hosts[i], asked, false);
    }
}

void rt_ag_hosts_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    struct ag_host *host = rt_ag_host(agent, op->host);

    if (op->to == AG_FOR_HOST) {
        if (host != NULL && host->op == op->id) {
            host->op = 0;
        }
        if (reply->error == 0) {
            note(agent, op->host, reply->n_hosts > 0 ? &reply->hosts[0] : NULL, op->asked, false);
        }
        return;
    }
    agent->walking = false;
    if (reply->error != 0) {
        return;
    }
    take_page(agent, op->host, reply, op->asked);
    memcpy(agent->walked, reply->next, sizeof(agent->walked));
    /* The first walk does not wait for heartbeats: until it is over, hosts are missing here. */
    if (agent->walked[0] == '\0') {
        agent->walk_first = false;
    } else if (agent->walk_first) {
        walk(agent);
    }
}

void rt_ag_hosts_touch(struct rt_agent *agent)
{
    const struct rt_list *last = agent->wanted.prev;
    unsigned looks = 0;

    rt_touch_beat(&agent->touch, agent->now);
    walk(agent);
    while (!rt_list_empty(&agent->wanted) && looks < AG_HOST_LOOKS_MAX) {
        struct rt_list *node = rt_list_pop(&agent->wanted);
        struct ag_host *host = RT_LIST_OF(node, struct ag_host, wanted);

        if (agent->now < host->wanted_until) {
            rt_list_push(&agent->wanted, node); /* behind those that have had no turn yet */
            looks++;
            if (host->op == 0) {
                look(agent, host);
            }
        }
        if (node == last) {
            break;
        }
    }
}

void rt_ag_hosts_break(struct rt_agent *agent)
{
    rt_touch_break(&agent->touch);
    agent->walk_first = true;
}

void rt_ag_hosts_free(struct rt_agent *agent)
{
    while (agent->n_hosts > 0) {
        forget(agent, agent->n_hosts - 1);
    }
    free(agent->hosts);
    agent->hosts = NULL;
}
