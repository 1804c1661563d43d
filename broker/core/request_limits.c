/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "broker/core/request.h"
#include "broker/core/rights.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/base/slice.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <string.h>

/* REQUEST `limits`: what the asker's own connection and tenant may have here, and have; an operator is told of the
 * agent and of all tenants. Nobody else learns of another tenant.
 *
 * With a container: what its guest and its tenant may have here, and have. Where another host serves the guest, that
 * one is named, so that its agent is asked; what the tenant has here is told all the same, should that be in vain. */

/* Tenants that are told of: as many as fit into what REPLYs may take, ROOM_PAGE of request.c. */
#define TENANTS_MAX 85

/* The REPLY under way. */
struct page {
    struct rt_agent *agent;
    struct ag_ask *ask;
};

static void put(const struct page *page, bool more)
{
    struct rt_reply_msg *out = page->agent->reply;

    out->more = more;
    rt_ag_ask_send(page->agent, page->ask->link, page->ask->request, out);
    memset(out, 0, sizeof(*out));
}

static void row(const struct page *page, const char *setting, const char *tenant, uint64_t has, uint64_t max,
                uint64_t over)
{
    struct rt_reply_msg *out = page->agent->reply;

    if (out->n_lims == RT_LIMITS_PAGE) {
        put(page, true);
    }
    out->lims[out->n_lims++] = (struct rt_limit_msg){
        .set = rt_slice_text(setting), .who = rt_slice_text(tenant), .has = has, .max = max, .over = over};
}

static void agent_rows(const struct page *page)
{
    const struct rt_agent *agent = page->agent;
    const struct rt_agent_stats *stats = &agent->stats;
    const uint64_t *shaking = stats->shaking;

    row(page, "listen.max_guests", "", stats->guests, agent->config.links_max[RT_PEER_GUEST],
        stats->turned_away[RT_PEER_GUEST]);
    row(page, "listen.max_clients", "", stats->clients, agent->config.links_max[RT_PEER_CLIENT],
        stats->turned_away[RT_PEER_CLIENT]);
    row(page, "limits.handshakes", "",
        shaking[RT_PEER_GUEST] > shaking[RT_PEER_CLIENT] ? shaking[RT_PEER_GUEST] : shaking[RT_PEER_CLIENT],
        agent->config.handshakes_max, stats->evicted[RT_PEER_GUEST] + stats->evicted[RT_PEER_CLIENT]);
}

static void tenant_rows(const struct page *page, const struct ag_tenant *tenant)
{
    for (enum rt_limit i = 0; i < AG_TENANT_LIMITS; i++) {
        uint64_t has = i == RT_LIMIT_TENANT_REQUESTS ? rt_ag_asked(page->agent, tenant->asked, i) : tenant->has[i];

        row(page, rt_ag_limit_name(i), tenant->name, has, page->agent->config.limits[i], tenant->over[i]);
    }
    for (enum ag_share i = 0; i < AG_SHARES; i++) {
        uint64_t most;
        const char *name = rt_ag_share_name(i, &most);

        row(page, name, tenant->name, tenant->shares[i], most, tenant->shares_over[i]);
    }
}

/* As it has reported, and as its link is. What a guest itself refuses is not known here. */
static void guest_rows(const struct page *page, const struct ag_session *session)
{
    struct rt_report_msg *report = page->agent->report;
    uint64_t running;

    if (session->report_size == 0 ||
        rt_msg_decode(RT_MSG_REPORT, session->report, session->report_size, report, NULL, 0) != 0) {
        memset(report, 0, sizeof(*report));
    }
    running = report->pmore;
    for (size_t i = 0; i < report->n_procs; i++) {
        running += report->procs[i].st != 2;
    }
    row(page, "processes", "", running, RT_PROCS_MAX, 0);
    row(page, "attachments", "", report->n_atts + report->amore, RT_ATTS_MAX, 0);
    row(page, "channels", "", session->guest->n_chans, RT_LINK_CHANNELS_MAX, 0);
    row(page, "bytes", "", session->guest->queued, RT_LINK_QUEUED_MAX, 0);
}

static void connection_rows(const struct page *page, const struct ag_link *link)
{
    const struct ag_account *account = link->client->account;

    for (enum rt_limit i = AG_TENANT_LIMITS; i < RT_LIMITS; i++) {
        row(page, rt_ag_limit_name(i), "",
            i == RT_LIMIT_CLIENT_CHANNELS ? link->n_chans : rt_ag_asked(page->agent, account->asked, i),
            page->agent->config.limits[i], account->over[i - AG_TENANT_LIMITS]);
    }
}

/* The first REPLY names the agent. */
static void begin(struct rt_agent *agent)
{
    rt_ag_made_expire(agent);
    memset(agent->reply, 0, sizeof(*agent->reply));
    agent->reply->n_hosts = 1;
    agent->reply->hosts[0].host = rt_slice_text(agent->config.host);
}

static void of_asker(struct rt_agent *agent, struct ag_ask *ask)
{
    struct page page = {agent, ask};
    const struct ag_account *account = ask->link->client->account;
    bool boss = rt_ag_may(ask->link, AG_MAY_ALL_TENANTS);
    size_t n = boss ? 0 : HASH_COUNT(agent->tenants);
    char more[48];

    begin(agent);
    if (boss) {
        agent_rows(&page);
        for (const struct ag_tenant *at = agent->tenants; at != NULL && n < TENANTS_MAX; at = at->hh.next, n++) {
            tenant_rows(&page, at);
        }
    } else if (account->tenant != NULL) {
        tenant_rows(&page, account->tenant);
    }
    connection_rows(&page, ask->link);
    if (n < HASH_COUNT(agent->tenants)) {
        (void)snprintf(more, sizeof(more), "and %u tenants more", (unsigned)(HASH_COUNT(agent->tenants) - n));
        agent->reply->m = rt_slice_text(more);
    }
    put(&page, false);
    rt_ag_ask_free(agent, ask);
}

/* host: who else serves it, or "". */
static void of_container(struct rt_agent *agent, struct ag_ask *ask, const char *host)
{
    struct page page = {agent, ask};
    const struct ag_session *session = rt_ag_session_find(agent, &ask->key);
    struct ag_tenant nothing = {.name = ""};
    const struct ag_tenant *tenant = rt_ag_tenant_find(agent, ask->key.tenant);

    begin(agent);
    if (session != NULL && session->guest != NULL) {
        guest_rows(&page, session);
    } else {
        rt_ag_name_host(agent, ask->link, host, agent->reply);
    }
    memcpy(nothing.name, ask->key.tenant, sizeof(nothing.name));
    tenant_rows(&page, tenant != NULL ? tenant : &nothing);
    put(&page, false);
    rt_ag_ask_free(agent, ask);
}

bool rt_ag_ask_limits(struct rt_agent *agent, struct ag_ask *ask)
{
    const struct ag_session *session;

    if (ask->key.cid[0] == '\0') {
        of_asker(agent, ask);
        return true;
    }
    session = rt_ag_session_find(agent, &ask->key);
    if (session == NULL || session->guest == NULL) {
        return false;
    }
    of_container(agent, ask, "");
    return true;
}

/* Where nobody serves it, or its host does not live, nobody else is asked. */
void rt_ag_ask_limits_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    const struct rt_record *rule = reply->error == 0 && reply->n_records > 0 ? &reply->records[0].rule : NULL;
    bool elsewhere = rule != NULL && rule->state == RT_SESSION_RUNNING && rule->lost_ms == 0 &&
                     rt_ag_host_state(agent, rule->host) != RT_WATCH_DEAD;

    of_container(agent, ask, elsewhere ? rule->host : "");
}
