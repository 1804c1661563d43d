/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/audit.h"

#include "broker/core/agent.h"
#include "broker/core/end.h"
#include "broker/core/hosts.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/take.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/core/protocol.h"

#include <string.h>

/* What the store says of a record, held against the claim 7/4 (life 7, epoch 4) that this agent, on host A, serves or
 * served last. It is read in the audit of every served session, and told when a write under that claim is refused:
 *
 *     the record says              what has happened                       what is done
 *     7/4, A                       nothing                                 nothing; running, if it says lost
 *     7/5, B                       B has claimed, its news were lost       as if the news came now
 *     nothing; created; 7/3        the store has lost 7/4                  7/4 is taken again, with its past
 *     7/3, A, and nobody is        the store has fallen back to a claim    lost is written under 7/3
 *     served here                  of an earlier time
 *
 * A guest that has just gone is taken again too: else a start elsewhere would find no record, and nobody would know
 * that it was moving or lost.
 *
 * An ended session is not taken again, as the take would say that it runs. Its guest, if it is still here, is
 * disconnected. It comes back with a new HELLO; when its WELCOME does not say that the record has ended, it tells its
 * END again. */

static bool served(const struct ag_session *session)
{
    return session->guest != NULL && session->claimed;
}

void rt_ag_record_lost(struct rt_agent *agent, struct ag_session *session)
{
    if (!served(session)) {
        return;
    }
    if (session->state == RT_SESSION_ENDED) {
        if (rt_ag_session_kept(agent, session, session->life) == NULL) { /* else the store is still to get the end */
            rt_ag_link_close(agent, session->guest, "the store has lost the record of what has ended");
        }
        return;
    }
    rt_ag_take(agent, session->guest);
    rt_ag_session_report_again(agent, session);
}

/* The guest has gone, and then the store has lost its record: a start elsewhere would begin without its past, and its
 * name would be free. So its claim is taken again. The answer finds nobody served, and the record becomes an orphan. */
static void lost_unserved(struct rt_agent *agent, struct ag_session *session, const struct ag_op *write)
{
    struct rt_store_op op = {
        .kind = RT_STORE_TAKE, .key = rt_ag_session_key(session), .past = rt_ag_session_past(session)};
    struct ag_op about = {
        .to = AG_FOR_TAKE, .key = rt_ag_session_key(session), .life = write->life, .epoch = write->epoch};

    if (session->guest != NULL || session->rule == NULL || session->life != write->life ||
        session->epoch != write->epoch || session->state == RT_SESSION_ENDED) {
        return;
    }
    rt_ag_claim_again(agent, session, &op.claim);
    (void)rt_ag_store(agent, &op, &about); /* when it fails, the guest's next agent makes a record, without this past */
}

static void differs(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch, const char *host)
{
    bool ours = strcmp(host, agent->config.host) == 0;
    bool older = ag_newer(session->life, session->epoch, life, epoch);

    if (host[0] != '\0' && !ours && !(served(session) && older)) {
        rt_ag_session_heard(agent, session, life, epoch, host);
    } else if (host[0] == '\0' || older) {
        rt_ag_record_lost(agent, session);
    }
}

/* What follows when a write was refused because the record is not at its claim. */
static void write_refused(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    const struct rt_claim_outcome *outcome = &reply->outcome;
    struct ag_session *session = op->session;

    if (reply->error != RT_ENOTFOUND) {
        return;
    }
    if (outcome->verdict != RT_CLASS_STALE) {
        rt_ag_record_lost(agent, session);
        lost_unserved(agent, session, op);
    } else if (session->guest == NULL && strcmp(outcome->host, agent->config.host) == 0) {
        if (outcome->life != op->life || outcome->epoch != op->epoch) { /* at that claim it was refused: it has ended */
            rt_ag_session_orphan(agent, session, outcome->life, outcome->epoch);
        }
    } else {
        differs(agent, session, outcome->life, outcome->epoch, outcome->host);
    }
}

void rt_ag_audit(struct rt_agent *agent, struct ag_session *session)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = rt_ag_session_key(session), .audit = true};
    struct ag_op about = {.to = AG_FOR_AUDIT};

    session->audit_at = agent->now + rt_ag_audit_ms(agent);
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    if (agent->store_up) {
        (void)rt_ag_session_store(agent, session, &op, &about);
    }
}

void rt_ag_audit_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    const struct rt_record *rule = reply->n_records > 0 ? &reply->records[0].rule : NULL;
    struct ag_session *session = op->session;

    if (reply->error != 0 && reply->error != RT_ENOTFOUND) {
        return;
    }
    if (rule == NULL) {
        rt_ag_record_lost(agent, session);
        return;
    }
    differs(agent, session, rule->life, rule->epoch, rule->host);
    if (!served(session) || rule->life != session->life || rule->epoch != session->epoch ||
        strcmp(rule->host, agent->config.host) != 0) {
        return;
    }
    if (session->state == RT_SESSION_ENDED) {
        if (rule->state != RT_SESSION_ENDED) { /* the store fell back to when it ran */
            rt_ag_record_lost(agent, session);
        }
    } else if (rule->state == RT_SESSION_MOVING || rule->state == RT_SESSION_LOST || rule->lost_ms != 0) {
        /* Another agent took this host for dead. */
        rt_ag_session_write_state(agent, session, RT_SESSION_RUNNING, session->life, session->epoch);
    }
}

void rt_ag_state_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    struct ag_session *session = op->session;

    if (session->unwritten != op->state || session->unwritten_life != op->life ||
        session->unwritten_epoch != op->epoch) {
        return;
    }
    if (reply->error == RT_EUNAVAIL || reply->error == RT_ETIMEDOUT || reply->error == RT_ELIMIT) {
        session->write_at = agent->now + AG_STORE_RETRY_MS;
    } else {
        session->unwritten = 0;
        session->write_at = 0; /* set by an earlier write that was not answered */
        write_refused(agent, op, reply);
    }
}

void rt_ag_report_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    if (reply->error != 0 && reply->error != RT_ENOTFOUND) {
        rt_ag_session_report_again(agent, op->session);
    } else {
        write_refused(agent, op, reply);
    }
}
