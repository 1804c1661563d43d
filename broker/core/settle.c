/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/door.h"
#include "broker/core/end.h"
#include "broker/core/entry.h"
#include "broker/core/held.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/map.h"
#include "broker/core/owner.h"
#include "broker/core/request.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <string.h>

/* Carries each fact to who must act on it. A handler changes the object that it is about, and records as a fact what
 * that means for others; it calls none of them. Facts are carried out behind the handler, never in the middle of a walk
 * or a call, until there are none left. docs/architecture.md lists the facts, and says why this ends.
 *
 * Links that are gone come first, whenever one is: nothing else is carried out with a mapping, a guest or an attach
 * whose link is gone. The others go in the order in which their objects came into the list. Links and sessions are
 * freed here alone. */

/* A claim of another host that is newer than what is served here: this guest has gone, or it is a copy. A copy would
 * still answer, so it is asked once more before its link is closed. */
static void drop_guest(struct rt_agent *agent, struct ag_session *session)
{
    struct ag_link *link = session->guest;
    struct rt_refuse_msg moved;

    if (!rt_ag_moved_msg(agent, session, &moved)) {
        memset(&moved, 0, sizeof(moved));
        moved.c = RT_CLASS_LOST;
        rt_ag_host_need(agent, session->host); /* so that its addresses are known when the clients come back */
    }
    rt_ag_chans_end(agent, link, &moved);
    rt_ag_session_guest_gone(agent, session);
    link->opened = agent->now;
    rt_pings_clear(&link->pinged); /* what answers an earlier one may have been sent before the claim */
    rt_ag_link_ping(agent, link);
    rt_ag_link_state(agent, link, AG_LEAVING);
}

/* Whoever serves it, or waits for it, is told that it is revoked; but for a life that began since. */
static void drop_revoked(struct rt_agent *agent, struct ag_session *session)
{
    struct rt_refuse_msg denied = ag_refusal(RT_CLASS_DENIED, AG_REVOKED_TEXT);

    if (!rt_ag_session_revoked(agent, session)) {
        return;
    }
    if (session->guest != NULL) {
        rt_ag_chans_end(agent, session->guest, &denied);
        rt_ag_link_refuse_text(agent, session->guest, RT_CLASS_BAD_AUTH, AG_REVOKED_TEXT);
    }
    rt_ag_held_revoked(agent, session);
}

void rt_ag_link_strip(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse)
{
    while (link->role == RT_PEER_CLIENT && !rt_list_empty(&link->client->held)) {
        rt_ag_held_free(agent, RT_LIST_OF(link->client->held.next, struct ag_held, in_link));
    }
    rt_ag_chans_end(agent, link, refuse);
    if (link->role == RT_PEER_CLIENT) {
        rt_ag_asks_free(agent, link);
        rt_ag_account_close(link->client->account, link->n_chans);
        link->client->account = NULL;
    }
    if (link->end != NULL) {
        rt_ag_end_free(agent, link->end);
    }
    rt_ag_door_leave(agent, link);
}

static void link_gone(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_refuse_msg lost = {.c = RT_CLASS_LOST};

    rt_ag_link_strip(agent, link, &lost);
    if (link->session != NULL) {
        rt_ag_session_guest_gone(agent, link->session);
    }
    rt_ag_link_free(link);
}

/* The one of its tenant's links that has most queued: itself, or another one that reads less. */
static struct ag_link *slowest(const struct rt_agent *agent, struct ag_link *link)
{
    struct ag_link *most = link;

    for (size_t i = 0; i < AG_SLOTS; i++) {
        struct ag_link *other = agent->links[i];
        const struct ag_account *account = other == NULL ? NULL : ag_link_account(other);

        if (account != NULL && account->tenant == link->client->account->tenant &&
            account->jammed > most->client->account->jammed) {
            most = other;
        }
    }
    return most;
}

/* Its queue has brought its tenant over: what is on its way to who reads least goes, with that link. Then this one is
 * looked at again, until its tenant is not over, or it has gone itself. */
static void drop_slow(struct rt_agent *agent, struct ag_link *link)
{
    struct ag_link *slow;
    struct rt_refuse_msg limit;
    struct ag_over over;

    if (!rt_ag_account_jammed(agent, link->client->account)) {
        return;
    }
    slow = slowest(agent, link);
    rt_ag_account_over(agent, slow->client->account, RT_LIMIT_TENANT_BYTES, &over);
    limit = rt_ag_over_refusal(&over);
    rt_ag_link_refuse(agent, slow, &limit);
    if (slow != link) {
        ag_fact(agent, &link->fact, AG_LINK_OVER);
    }
}

static void link_facts(struct rt_agent *agent, struct ag_link *link, unsigned what)
{
    if ((what & AG_LINK_OVER) != 0) {
        drop_slow(agent, link);
        if (link->state == AG_GONE) {
            return;
        }
    }
    if ((what & AG_LINK_PROVED) != 0) {
        rt_ag_door_proved(agent, link);
    }
    if ((what & AG_LINK_OPEN) != 0 && link->session != NULL) {
        rt_ag_held_bind(agent, link->session);
    }
    if ((what & AG_LINK_ROOM) != 0) {
        rt_ag_requests_drained(agent, link);
    }
}

static void session_facts(struct rt_agent *agent, struct ag_session *session, unsigned what)
{
    if ((what & AG_SESSION_REVOKED) != 0) {
        drop_revoked(agent, session);
    }
    if ((what & AG_SESSION_HEARD) != 0) {
        if (session->guest != NULL) {
            drop_guest(agent, session);
        }
        rt_ag_session_state(agent, session, RT_SESSION_RUNNING, session->host);
    }
    if ((what & AG_SESSION_MOVED) != 0) {
        rt_ag_held_moved(agent, session);
    }
    if ((what & AG_SESSION_SERVED) != 0) {
        rt_ag_held_bind(agent, session);
        if (session->guest != NULL && session->guest->end_ready) {
            rt_ag_end_submit(agent, session->guest);
        }
    }
    if ((what & AG_SESSION_KNOWN) != 0) {
        rt_ag_asks_wake(agent, session);
    }
    rt_ag_session_settle(agent, session);
}

static void host_facts(struct rt_agent *agent, struct ag_host *host, unsigned what)
{
    struct ag_session *session, *next;

    HASH_ITER(hh, agent->sessions, session, next)
    {
        if ((what & AG_HOST_CAME) != 0 && !rt_list_empty(&session->held) &&
            strcmp(session->host, host->row.host) == 0) {
            rt_ag_session_fact(agent, session, AG_SESSION_MOVED);
        }
    }
    if ((what & AG_HOST_DIED) != 0) {
        rt_ag_owner_died(agent, host->row.host);
    }
}

static void carry_out(struct rt_agent *agent, struct ag_fact *fact)
{
    static const struct rt_store_reply unanswered = {.error = RT_EUNAVAIL};
    unsigned what = fact->what;

    fact->what = 0;
    switch ((enum ag_fact_of)fact->of) {
    case AG_OF_LINK:
        link_facts(agent, RT_LIST_OF(fact, struct ag_link, fact), what);
        break;
    case AG_OF_SESSION:
        session_facts(agent, RT_LIST_OF(fact, struct ag_session, fact), what);
        break;
    case AG_OF_HOST:
        host_facts(agent, RT_LIST_OF(fact, struct ag_host, fact), what);
        break;
    case AG_OF_ASK:
        rt_ag_ask_reply(agent, RT_LIST_OF(fact, struct ag_ask, fact), &unanswered);
        break;
    }
}

void rt_ag_settle(struct rt_agent *agent)
{
    while (ag_unsettled(agent)) {
        struct rt_list *node = rt_list_pop(&agent->gone);

        if (node != NULL) {
            link_gone(agent, RT_LIST_OF(node, struct ag_link, fact.node));
        } else {
            carry_out(agent, RT_LIST_OF(rt_list_pop(&agent->facts), struct ag_fact, node));
        }
    }
}
