/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/take.h"

#include "broker/core/agent.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/served.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/ticket.h"
#include "migrate/core/claim.h"
#include "migrate/core/pace.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* From the CONFIRM on: the store takes the claim. A guest whose take has no answer in time is served *unclaimed*, and
 * the take is repeated until the store answers it.
 *
 * A container moves to this host, B. Host A serves it at life 7, epoch 4 (written 7/4). Milliseconds since the CONFIRM:
 *
 *        0   take_start(): TAKE 7/5 for B goes to the store; the link is TAKING, claim_at = 100
 *        1   the store: OK. serve(): SERVING, claimed; the record says 7/5, B; A hears of it, and lets its guest go
 *
 * The same while the store hangs:
 *
 *        0   TAKE 7/5 goes to the store; TAKING, claim_at = 100
 *      100   no answer. take_silent(): SERVING, unclaimed; clients attach; the record still says 7/4, A
 *     1000   the operation has failed. take_later(): TAKE again after 50, then 100, 200, ... 1000
 *     1050   TAKE again, and the store answers OK: claimed(). Had it refused, taken_away() would let the guest go
 *
 * The next guests do not wait at all for a store that was so late (rt_ag_claim_hurries()); their takes go one behind
 * the other, AG_RETAKE_FLIGHT_MAX at a time. One that joins waits for as long as an operation may take: other starts
 * may ask with the same token, and only the store can tell them apart. */

/* The claim under which link serves its session: until its first take has been answered that of its hello, from then on
 * one by its ticket. */
static void claim_of(const struct rt_agent *agent, const struct ag_link *link, struct rt_claim *claim)
{
    if (link->claim != NULL) {
        *claim = link->claim->claim;
        claim->granted_life = link->claim->life;
        claim->store_whole = rt_ag_whole(agent);
    } else {
        rt_ag_claim_again(agent, link->session, claim);
    }
}

bool rt_ag_claim_hurries(const struct rt_agent *agent, const struct rt_claim *claim)
{
    return !claim->join && agent->store_slow;
}

uint64_t rt_ag_claim_wait(const struct rt_agent *agent, const struct rt_claim *claim)
{
    return claim->join ? agent->config.store_timeout_ms : RT_CLAIM_TIMEOUT_MS;
}

/* Asks the store to take the link's claim: link->op says whether it could be asked. */
static void ask(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_store_op op = {.kind = RT_STORE_TAKE};
    struct ag_op about = {.to = AG_FOR_TAKE, .link = link->id, .life = link->life, .epoch = link->epoch};

    (void)rt_ag_link_key(link, &op.key);
    about.key = op.key;
    claim_of(agent, link, &op.claim);
    op.past = rt_ag_session_past(rt_ag_session_find(agent, &op.key));
    link->op = link->session != NULL ? rt_ag_session_store(agent, link->session, &op, &about)
                                     : rt_ag_store(agent, &op, &about);
}

static void take_later(struct rt_agent *agent, struct ag_session *session)
{
    unsigned delay = session->take_delay == 0 ? AG_TAKE_BACKOFF_MIN_MS : session->take_delay * 2U;

    session->take_delay = (uint16_t)(delay > AG_TAKE_BACKOFF_MAX_MS ? AG_TAKE_BACKOFF_MAX_MS : delay);
    session->take_at = agent->now + session->take_delay;
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
}

/* Takes again what link serves. */
void rt_ag_take(struct rt_agent *agent, struct ag_link *link)
{
    if (link->op != 0) {
        return;
    }
    link->session->take_at = 0;
    ask(agent, link);
    if (link->op != 0) {
        agent->retake_flight++;
    } else {
        take_later(agent, link->session);
    }
}

/* Carries out the takes in agent->retakes, a bounded number at a time. A store that has just come back must not be
 * flooded; nor one that is slow, which would do thousands of takes too late for each of them, again and again. */
static void retake_pump(struct rt_agent *agent)
{
    while (agent->store_up && agent->retake_flight < AG_RETAKE_FLIGHT_MAX) {
        struct rt_list *node = rt_list_pop(&agent->retakes);
        struct ag_session *session;
        if (node == NULL) {
            break;
        }
        session = RT_LIST_OF(node, struct ag_session, retake);
        if (session->guest != NULL) {
            rt_ag_take(agent, session->guest);
        }
    }
}

void rt_ag_take_soon(struct rt_agent *agent, struct ag_session *session)
{
    session->take_at = 0;
    if (!rt_listed(&session->retake)) {
        rt_list_push(&agent->retakes, &session->retake);
    }
    retake_pump(agent);
}

/* Whether a newer connection is served here than this one. That happens when a guest has dialled again while the take
 * of its lost connection was under way: the answer to that one comes late, and must not bring the lost one back. */
static bool outrun(const struct ag_session *session, const struct ag_claim *made)
{
    return session->guest != NULL && !ag_newer(made->life, made->claim.epoch, session->life, session->epoch);
}

/* Whether this start must wait for the store's word. That is so when another start of the container is served here, and
 * nothing of this one's chain was ever taken: two VMs may have joined with one token, and only the store's order
 * counts.
 */
static bool not_yet(const struct ag_session *session, const struct ag_claim *made)
{
    return session->guest != NULL && !rt_id_equal(&session->rule->inc, &made->claim.inc) &&
           (made->claim.join || !made->claim.taken);
}

/* A newer claim of this session has proved itself: the guest that served it until now goes. Of the same incarnation
 * that is a connection which the guest has given up; of another one it is an older start, which must not come back. */
static void evict(struct rt_agent *agent, struct ag_session *session, const struct ag_claim *made)
{
    struct ag_link *old = session->guest;
    struct rt_refuse_msg refuse = {.c = RT_CLASS_SUPERSEDED, .m = rt_slice_text("a newer start of it is served")};

    if (session->rule != NULL && rt_id_equal(&session->rule->inc, &made->claim.inc)) {
        refuse.c = RT_CLASS_STALE;
        refuse.m = rt_slice_text("a newer connection of it is served");
        refuse.life = made->life;
        refuse.epoch = made->claim.epoch;
    }
    rt_ag_link_refuse(agent, old, &refuse);
    rt_ag_session_part(agent, session);
}

/* The session's rule becomes what the record says once this take has arrived, even if it has not arrived yet. While the
 * store is out, copies are judged by that rule. */
static void remember(struct rt_agent *agent, struct ag_session *session, const struct ag_claim *made,
                     struct ag_rule *rule)
{
    free(session->rule);
    session->rule = rule;
    session->taken = made->claim.taken;
    session->life = made->life;
    session->epoch = made->claim.epoch;
    session->known_at = agent->now;
    free(session->abroad);
    session->abroad = NULL;
    session->host = agent->config.host;
    session->lost_at = session->write_at = session->take_at = 0;
    session->unwritten = 0;
    session->take_delay = 0;
}

static void claimed(struct rt_agent *agent, struct ag_session *session, struct ag_link *link)
{
    bool first = !link->claim->claim.taken;

    session->claimed = session->taken = true;
    agent->stats.claims++;
    rt_ag_session_event(agent, RT_AGENT_CLAIMED, session, link, "", link->claim->draining ? "draining" : "running",
                        agent->drains ? "this host drains" : "");
    free(link->claim);
    link->claim = NULL;
    rt_ag_session_fact(agent, session, AG_SESSION_KNOWN);
    if (session->report_dirty && session->report_at == 0) {
        rt_ag_session_write_report(agent, session);
    }
    if (first) {
        /* The guest's ticket says that nothing of its chain was taken. With such a ticket, an agent that does not know
         * this guest would make it wait as a join: so it gets one that says that it was taken. */
        rt_ag_ticket_renew(agent, link);
    }
}

/* Spread over the interval: sessions that were claimed in one moment are not all audited in one. */
static uint64_t first_audit(const struct rt_agent *agent, const struct ag_session *session)
{
    uint64_t every = rt_ag_audit_ms(agent);

    return every - session->hh.hashv % (every - RT_AUDIT_MS / 2);
}

static void serve(struct rt_agent *agent, struct ag_link *link, bool is_claimed)
{
    struct ag_claim *made = link->claim;
    struct rt_claim_outcome outcome = {.life = made->life, .draining = made->draining};
    struct ag_session *session;
    struct ag_rule *rule;
    struct ag_tenant *tenant;

    if (rt_claim_revoked(&made->claim, rt_ag_revoked(agent, &made->claim.key))) { /* since its hello */
        rt_ag_link_refuse_text(agent, link, RT_CLASS_BAD_AUTH, AG_REVOKED_TEXT);
        return;
    }
    session = rt_ag_session_get(agent, &made->claim.key);
    if (session != NULL && outrun(session, made)) {
        struct rt_refuse_msg stale = {.c = RT_CLASS_STALE, .life = session->life, .epoch = session->epoch};
        rt_ag_link_refuse(agent, link, &stale);
        return;
    }
    if (session != NULL && !is_claimed && not_yet(session, made)) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, "another start of this container is served");
        return;
    }
    rule = session == NULL ? NULL : rt_ag_rule_new(&made->claim, &outcome);
    tenant = rule == NULL ? NULL : rt_ag_tenant(agent, made->claim.key.tenant);
    if (tenant == NULL) {
        free(rule);
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, "this agent has no room for another session");
        return;
    }
    tenant->has[RT_LIMIT_TENANT_SESSIONS]++;
    rt_ag_made_drop(agent, &made->claim.key);
    if (session->guest != NULL) {
        evict(agent, session, made);
    }
    remember(agent, session, made, rule);
    session->guest = link;
    session->claimed = is_claimed;
    /* Of a guest that was taken before, the record has a report: no claim of those that move with it waits behind one.
     */
    session->report_next = made->claim.taken ? agent->now + AG_REPORT_INTERVAL_MS : 0;
    session->audit_at = agent->now + first_audit(agent, session);
    link->session = session;
    link->name = session->name;
    link->claim_at = 0;
    rt_ag_served_add(agent, session);
    rt_ag_session_state(agent, session, made->draining ? RT_SESSION_ENDED : RT_SESSION_RUNNING,
                        is_claimed ? "claimed" : "unclaimed");
    rt_ag_link_state(agent, link, AG_SERVING);
    if (link->report != NULL) {
        rt_ag_session_report(agent, session, link->report, link->report_size);
        free(link->report);
        link->report = NULL;
    }
    if (is_claimed) {
        claimed(agent, session, link);
    } else {
        agent->stats.provisional++;
        rt_ag_session_event(agent, RT_AGENT_PROVISIONAL, session, link, "taking", "serving",
                            "the store does not answer");
        if (link->op == 0) {
            take_later(agent, session);
        }
    }
    rt_ag_session_fact(agent, session, AG_SESSION_SERVED | AG_SESSION_KNOWN);
}

/* The store has not answered in time. The guest is served unclaimed: its container must not stand still for a store
 * that is out. */
void rt_ag_take_silent(struct rt_agent *agent, struct ag_link *link)
{
    link->claim_at = 0;
    serve(agent, link, false);
}

void rt_ag_take_start(struct rt_agent *agent, struct ag_link *link)
{
    const struct rt_claim *claim = &link->claim->claim;

    link->claim_at = agent->now + rt_ag_claim_wait(agent, claim);
    rt_ag_link_state(agent, link, AG_TAKING);
    if (!link->claim->provisional && !rt_ag_claim_hurries(agent, claim)) {
        ask(agent, link);
        if (link->op == 0) {
            rt_ag_take_silent(agent, link);
        }
        return;
    }
    /* The guest does not wait for a store that did not answer its hello in time, or is slow for everybody. */
    rt_ag_take_silent(agent, link);
    if (link->state == AG_SERVING) {
        rt_ag_take_soon(agent, link->session);
    }
}

/* The store has refused the take. A link that is TAKING has served nothing yet. One that is SERVING was served
 * unclaimed or is taken again: somebody else has come first meanwhile, or this guest is a copy. */
static void taken_away(struct rt_agent *agent, struct ag_link *link, const struct rt_claim_outcome *outcome)
{
    struct ag_session *session = link->session;
    struct rt_refuse_msg refuse = {.c = outcome->verdict, .m = rt_slice_text("the session store gave it to another")};
    bool forked = outcome->verdict == RT_CLASS_FORKED || outcome->verdict == RT_CLASS_REWOUND;
    struct rt_key key = {.tenant = ""};

    if (outcome->verdict == RT_CLASS_STALE) {
        refuse.life = session == NULL ? link->claim->life : session->life;
        refuse.epoch = outcome->epoch;
    } else if (outcome->verdict == RT_CLASS_RETRY_LATER) {
        refuse.delay = outcome->delay_ms > 0 ? outcome->delay_ms : AG_RETRY_DELAY_MS;
        /* A host is named when another start was taken. Then the guest forgets its ticket, which proves nothing that
         * its join token does not, and asks again with that token. */
        refuse.drop = outcome->host[0] != '\0';
    } else if (outcome->verdict == RT_CLASS_BAD_AUTH) {
        refuse.m = rt_slice_text(AG_REVOKED_TEXT);
        (void)rt_ag_link_key(link, &key);
        rt_ag_revoked_note(agent, &key, outcome->life);
    }
    if (forked) {
        agent->stats.forks++;
        rt_ag_link_event(agent, RT_AGENT_FORKED, link, "", rt_class_name(outcome->verdict));
    }
    rt_ag_link_refuse(agent, link, &refuse);
    if (session != NULL) {
        /* What this agent remembers comes from the claim that was refused: it must not speak against the next hello. */
        rt_ag_session_part(agent, session);
        session->known_at = 0;
        session->life = session->epoch = 0;
        session->host = "";
        free(session->rule);
        session->rule = NULL;
        session->taken = false;
    }
}

/* The guest's link was lost during its take. The store may have done the take, so the record may name this host
 * although nobody serves the session here. */
static void taken_for_nobody(struct rt_agent *agent, const struct ag_op *op)
{
    struct ag_session *session = rt_ag_session_get(agent, &op->key);

    if (session != NULL) {
        rt_ag_session_orphan(agent, session, op->life, op->epoch);
    }
}

void rt_ag_take_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    struct ag_link *link = rt_ag_link(agent, op->link);
    bool ok = reply->error == 0 && reply->outcome.verdict == RT_CLASS_OK;

    if (op->session != NULL) {
        agent->retake_flight--;
    }
    if (link == NULL || (link->state != AG_TAKING && link->state != AG_SERVING)) {
        if (ok || reply->error != 0) {
            taken_for_nobody(agent, op);
        }
        retake_pump(agent);
        return;
    }
    link->op = 0;
    if (reply->error != 0) {
        if (link->state == AG_TAKING) {
            rt_ag_take_silent(agent, link);
        } else {
            take_later(agent, link->session);
        }
    } else if (!ok || reply->outcome.life != op->life) {
        struct rt_claim_outcome outcome = reply->outcome;
        if (ok) { /* the store gave another life than the welcome named: the guest learns of it by a new hello */
            outcome.verdict = RT_CLASS_STALE;
            outcome.epoch = op->epoch;
        }
        taken_away(agent, link, &outcome);
    } else if (link->state == AG_TAKING) {
        link->claim->draining = reply->outcome.draining;
        serve(agent, link, true);
    } else if (link->claim != NULL) { /* served unclaimed until now */
        agent->stats.provisional--;
        claimed(agent, link->session, link);
    } else { /* taken once more, as the store may have lost the record */
        link->session->take_delay = 0;
    }
    if (ok) {
        rt_ag_session_past_note(agent, &op->key, reply->past);
    }
    retake_pump(agent);
}

/* A fresh store may have lost every record: every session that is served is taken again, and told anew. Any other store
 * has what it confirmed, and gets only the takes that it has not confirmed. */
void rt_ag_retake_all(struct rt_agent *agent, bool fresh)
{
    struct ag_session *session, *next;

    HASH_ITER(hh, agent->sessions, session, next)
    {
        if (session->guest != NULL && (fresh || !session->claimed) && !rt_listed(&session->retake)) {
            rt_list_push(&agent->retakes, &session->retake);
        }
        if (fresh) {
            rt_ag_session_report_again(agent, session);
        }
    }
    retake_pump(agent);
}
