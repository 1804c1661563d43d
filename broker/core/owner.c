/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/owner.h"

#include "broker/core/hosts.h"
#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "migrate/core/store_op.h"

#include <string.h>

/* A record of a dead owner is marked with the time at which that was found; its state stays. Two who ask need two
 * answers. A second start finds a running record with a dead owner, which is free at once: were the record written
 * lost, that start would have to wait for the lease. Whoever waits for the container is told that it is lost once the
 * mark is a lease old. The mark goes with the next claim, and when the owner lives after all and reads its own record.
 */

void rt_ag_owner_check(struct rt_agent *agent, const struct rt_store_record *record)
{
    const struct rt_record *rule = &record->rule;
    struct rt_store_op op = {.kind = RT_STORE_STATE, .key = record->key, .state = RT_SESSION_LOST};
    struct ag_op about = {.to = AG_FOR_OWNER};

    if ((rule->state != RT_SESSION_RUNNING && rule->state != RT_SESSION_MOVING) || rule->lost_ms != 0 ||
        rule->host[0] == '\0' || !rt_ag_host_dead(agent, rule->host)) {
        return;
    }
    op.life = rule->life;
    op.epoch = rule->epoch;
    memcpy(op.host, rule->host, sizeof(op.host));
    (void)rt_ag_store(agent, &op, &about); /* when it fails, whoever asks next tries again */
}

void rt_ag_owner_look(struct rt_agent *agent, const struct rt_key *key)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = *key};
    struct ag_op about = {.to = AG_FOR_OWNER};

    (void)rt_ag_store(agent, &op, &about);
}

void rt_ag_owner_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    (void)op;
    if (reply->kind == RT_STORE_GET && reply->error == 0 && reply->n_records > 0) {
        rt_ag_owner_check(agent, &reply->records[0]);
    }
}

void rt_ag_owner_died(struct rt_agent *agent, const char *host)
{
    struct ag_session *session, *next;

    HASH_ITER(hh, agent->sessions, session, next)
    {
        if ((!rt_list_empty(&session->held) || !rt_list_empty(&session->asks)) && strcmp(session->host, host) == 0 &&
            agent->n_ops < RT_STORE_OPS_MAX / 2) { /* room is left for claims */
            struct rt_key key = rt_ag_session_key(session);
            rt_ag_owner_look(agent, &key);
        }
    }
}
