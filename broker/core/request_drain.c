/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/hosts.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/session.h"
#include "migrate/core/claim.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <string.h>

/* REQUEST `drain`: a host is to be left. What runs there is served as before, and whoever comes: a container is never
 * turned away because of it. No new session is made there, and clients are told to ask others.
 *
 *     drain h1, at the agent of h0       h0 names h1, and does nothing: agents never relay
 *     drain h1, at the agent of h1       it drains at once, the disk is given that; its next heartbeat tells the store
 *     the disk has it                    answered: it drains behind a restart, too
 *     create, at h1                      RETRY_LATER, and h0 is named, which lives and does not drain
 *
 * Who empties a host waits until none is left, so none may be missed: one whose guest has lost its link is still there
 * until another host has claimed it, it has ended, or a lease is over.
 */

/* Whether its guest was served here last, and may come back. Gone through is all that is remembered: it takes less than
 * a millisecond, once for an operator's request. */
static bool is_away(const struct rt_agent *agent, const struct ag_session *session)
{
    bool lately = session->gone_at != 0 && agent->now - session->gone_at < RT_LEASE_MS;

    return session->guest == NULL && session->state != RT_SESSION_ENDED && (lately || session->lost_at != 0) &&
           strcmp(session->host, agent->config.host) == 0;
}

static uint64_t left_here(const struct rt_agent *agent)
{
    uint64_t n = agent->stats.served;

    for (const struct ag_session *session = agent->sessions; session != NULL; session = session->hh.next) {
        n += is_away(agent, session) ? 1 : 0;
    }
    return n;
}

/* Whether there may be more than that: a guest is in its handshake, or one that an earlier run has served may not have
 * dialled again. */
static bool is_unsure(const struct rt_agent *agent)
{
    return agent->stats.guests > agent->stats.served || agent->now - agent->started < RT_LEASE_MS;
}

/* The first row is this host's; another one's, which is the one that is asked for, comes behind it. */
static void answer(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_host *other)
{
    struct rt_store_host own = {.n_addr = agent->config.n_addr, .sessions = left_here(agent), .drains = agent->drains};
    struct rt_reply_msg *out = agent->reply;

    memcpy(own.host, agent->config.host, sizeof(own.host));
    memcpy(own.addr, agent->config.addr, sizeof(own.addr));
    memset(out, 0, sizeof(*out));
    rt_ag_fill_host(agent, ask->link, &own, &out->hosts[out->n_hosts++]);
    out->hosts[0].unsure = is_unsure(agent);
    if (other != NULL) {
        rt_ag_fill_host(agent, ask->link, other, &out->hosts[out->n_hosts++]);
    }
    rt_ag_ask_send(agent, ask->link, ask->request, out);
    rt_ag_ask_free(agent, ask);
}

static void give(struct rt_agent *agent)
{
    agent->drains_given = agent->drains;
    agent->drains_writing = agent->config.io.keep_drains(agent->config.io.ctx, agent->drains) == 0;
    if (!agent->drains_writing) {
        rt_ag_drains_written(agent, RT_EIO);
    }
}

void rt_ag_drains_written(struct rt_agent *agent, int error)
{
    struct rt_list *node;

    agent->drains_writing = false;
    if (error == 0 && agent->drains_given != agent->drains) { /* somebody has changed his mind meanwhile */
        give(agent);
        return;
    }
    while ((node = rt_list_pop(&agent->drain_asks)) != NULL) {
        struct ag_ask *ask = RT_LIST_OF(node, struct ag_ask, in_session);

        if (error == 0) {
            answer(agent, ask, NULL);
        } else {
            rt_ag_ask_finish(agent, ask, RT_CLASS_RETRY_LATER,
                             "it is done, and forgotten when the agent starts anew: its disk does not take it");
        }
    }
}

/* Of this host. */
static void drain(struct rt_agent *agent, struct ag_ask *ask, bool on)
{
    struct rt_agent_event event = {.kind = RT_AGENT_DRAINS, .link = ask->link->id};
    char reason[RT_TEXT_MAX];

    if (on != agent->drains) {
        agent->drains = on;
        rt_ag_by_whom(ask, reason);
        rt_ag_event(agent, &event, on ? "open" : "draining", on ? "draining" : "open", reason);
    }
    rt_list_push(&agent->drain_asks, &ask->in_session);
    if (!agent->drains_writing) {
        give(agent);
    }
}

static bool is_name(const char *text)
{
    const char *at = text;

    while (*at > ' ' && *at <= '~') {
        at++;
    }
    return at > text && *at == '\0';
}

bool rt_ag_ask_drain(struct rt_agent *agent, struct ag_ask *ask)
{
    const struct ag_host *known = rt_ag_host(agent, ask->host);

    if (!is_name(ask->host)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_INVALID, "drain goes with the name of a host");
    } else if (strcmp(ask->host, agent->config.host) != 0) {
        if (known == NULL || known->row.n_addr == 0) {
            return false; /* asked about before, and perhaps never there: the store knows */
        }
        answer(agent, ask, &known->row);
    } else if (ask->drain == RT_DRAIN_LOOK) {
        answer(agent, ask, NULL);
    } else {
        drain(agent, ask, ask->drain == RT_DRAIN_ON);
    }
    return true;
}

/* The row of another host, which was not known here, or not where it is. */
void rt_ag_ask_drain_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    if (reply->error != 0) {
        rt_ag_ask_fail(agent, ask, reply->error == RT_ENOTFOUND ? RT_EUNAVAIL : reply->error);
    } else if (reply->n_hosts == 0) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_NOT_FOUND, "there is no such host");
    } else {
        answer(agent, ask, &reply->hosts[0]);
    }
}

bool rt_ag_ask_elsewhere(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_reply_msg *out = agent->reply;
    const struct rt_store_host *other = NULL;
    size_t first = rt_ag_hosts_behind(agent, agent->config.host);
    char text[RT_TEXT_MAX];

    if (!agent->drains) {
        return false;
    }
    for (size_t i = 0; i < agent->n_hosts && other == NULL; i++) {
        other = rt_ag_host_reach(agent, agent->hosts[(first + i) % agent->n_hosts]->row.host);
        other = other != NULL && !other->drains ? other : NULL;
    }
    memset(out, 0, sizeof(*out));
    (void)snprintf(text, sizeof(text), "host %s drains, and makes no new sessions: %s%s", agent->config.host,
                   other != NULL ? "ask the agent of " : "and no other host is known that does",
                   other != NULL ? other->host : "");
    out->c = RT_CLASS_RETRY_LATER;
    out->m = rt_slice_text(text);
    rt_ag_name_host(agent, ask->link, other != NULL ? other->host : "", out);
    rt_ag_ask_send(agent, ask->link, ask->request, out);
    rt_ag_ask_free(agent, ask);
    return true;
}
