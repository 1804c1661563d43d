/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/audit.h"
#include "broker/core/end.h"
#include "broker/core/entry.h"
#include "broker/core/guest.h"
#include "broker/core/held.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/take.h"
#include "broker/core/ticket.h"
#include "session/base/list.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <string.h>

/* What time brings. */

/* The store has not answered the guest's claim in time. */
static void silent(struct rt_agent *agent, struct ag_link *link)
{
    agent->store_slow = true;
    if (link->state == AG_TAKING) {
        rt_ag_take_silent(agent, link);
    } else {
        rt_ag_guest_silent(agent, link);
    }
}

static void link_timer(struct rt_agent *agent, struct ag_link *link)
{
    uint64_t interval = rt_ag_link_interval(link);

    rt_ag_end_late(agent, link);
    if (link->state == AG_SERVING && rt_ag_ticket_ages(agent, link)) {
        rt_ag_ticket_renew(agent, link);
    }
    if (link->state == AG_LEAVING) {
        rt_ag_link_close(agent, link, "moved");
    } else if (link->state < AG_SERVING) {
        if (agent->now >= link->opened + RT_HANDSHAKE_TIMEOUT_MS) {
            rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER,
                                   link->claim_at != 0 ? "the session store did not answer within 5 s"
                                                       : "the handshake took longer than 5 s");
        } else if (link->claim_at != 0 && agent->now >= link->claim_at) {
            silent(agent, link);
        } else {
            rt_ag_link_arm(agent, link);
        }
    } else if (agent->now < link->heard + (link->pings + 1) * interval) {
        if (agent->now < link->heard + interval) {
            link->pings = 0;
        }
        rt_ag_link_arm(agent, link);
    } else if (++link->pings >= RT_PINGS_MISSED_MAX) {
        rt_ag_link_close(agent, link, "silent");
    } else {
        if (!link->congested) { /* else it is asked when it has drained */
            rt_ag_link_ping(agent, link);
        }
        rt_ag_link_arm(agent, link);
    }
}

/* What is due of a session; its timer is set anew when it is settled. */
static void session_timer(struct rt_agent *agent, struct ag_session *session)
{
    if (session->lost_at != 0 && agent->now >= session->lost_at) {
        session->lost_at = 0;
        /* Only while nobody is known to have taken it over. */
        if (session->guest == NULL && strcmp(session->host, agent->config.host) == 0 &&
            rt_ag_session_kept(agent, session, session->life) == NULL) {
            rt_ag_session_state(agent, session, RT_SESSION_LOST, "the guest did not come back");
            rt_ag_session_write_state(agent, session, RT_SESSION_LOST, session->life, session->epoch);
        }
    }
    if (session->write_at != 0 && agent->now >= session->write_at) {
        session->write_at = 0;
        if (session->guest == NULL) {
            rt_ag_session_write_state(agent, session, (enum rt_session_state)session->unwritten,
                                      session->unwritten_life, session->unwritten_epoch);
        }
    }
    if (session->take_at != 0 && agent->now >= session->take_at) {
        rt_ag_take_soon(agent, session);
    }
    if (session->audit_at != 0 && agent->now >= session->audit_at) {
        rt_ag_audit(agent, session);
    }
    if (session->report_at != 0 && agent->now >= session->report_at) {
        session->report_at = 0;
        if (session->guest != NULL) {
            rt_ag_session_write_report(agent, session);
        }
    }
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
}

void rt_ag_tick(struct rt_agent *agent)
{
    struct rt_timer *timer;

    while ((timer = rt_timer_due(&agent->timers, agent->now)) != NULL) {
        switch ((enum ag_timer_kind)timer->kind) {
        case AG_TIMER_LINK:
            link_timer(agent, RT_LIST_OF(timer, struct ag_link, timer));
            break;
        case AG_TIMER_SESSION:
            session_timer(agent, RT_LIST_OF(timer, struct ag_session, timer));
            break;
        case AG_TIMER_HELD:
            rt_ag_held_timer(agent, RT_LIST_OF(timer, struct ag_held, timer));
            break;
        case AG_TIMER_ASK:
            rt_ag_ask_timer(agent, RT_LIST_OF(timer, struct ag_ask, timer));
            break;
        case AG_TIMER_KEPT:
            rt_ag_kept_timer(agent);
            break;
        case AG_TIMER_REVOKED:
            rt_ag_revoked_timer(agent);
            break;
        case AG_TIMER_LOCAL:
            rt_ag_locals_timer(agent);
            break;
        }
        rt_ag_settle(agent);
    }
}
