/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_AUDIT_H
#define RETETHER_BROKER_CORE_AUDIT_H

/* The store's records against what is served here. */

struct ag_op;
struct ag_session;
struct rt_agent;
struct rt_store_reply;

/* Reads the record of a served session, and sets the time of the next audit. */
void rt_ag_audit(struct rt_agent *agent, struct ag_session *session);
void rt_ag_audit_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
/* The answers of writes under a claim: where one says that the record is not at that claim, this is seen to. */
void rt_ag_state_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_report_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
/* The store has lost the record, or made it anew: what is served here is taken again. */
void rt_ag_record_lost(struct rt_agent *agent, struct ag_session *session);

#endif
