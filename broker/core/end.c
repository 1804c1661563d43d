/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/end.h"

#include "broker/core/agent.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/take.h"
#include "broker/core/timer.h"
#include "migrate/core/store_op.h"
#include "session/core/class.h"
#include "session/core/error.h"
#include "session/core/frame.h"
#include "session/core/limits.h"
#include "session/core/msg.h"

#include <stdlib.h>
#include <string.h>

/* The end of a session: the tails of its output are collected, then stored with the exit status. What the store does
 * not take now is kept on this host's disk, and in memory, until it does; with the claim under which it was served,
 * because the store may never have answered that claim's take, or have lost it, and then takes it first. */

void rt_ag_end_free(struct rt_agent *agent, struct ag_end *end)
{
    ag_list_remove(&end->node);
    free(end->tail[0]);
    free(end->tail[1]);
    free(end);
    agent->n_ends--;
}

static struct ag_end *end_new(struct rt_agent *agent)
{
    struct ag_end *end = agent->n_ends >= RT_ENDS_MAX ? NULL : calloc(1, sizeof *end);

    if (end != NULL) {
        end->began = agent->now;
        agent->n_ends++;
    }
    return end;
}

void rt_ag_tail(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const uint8_t *data)
{
    unsigned i = frame->stream - (unsigned)RT_STDOUT;
    struct ag_end *end;
    uint8_t *more;

    if (link->end_ready) {
        return; /* belongs to an END that has come */
    }
    if (link->end == NULL) {
        link->end = end_new(agent);
    }
    end = link->end;
    if (end == NULL || frame->length == 0) {
        return;
    }
    if (end->size[i] == 0 || frame->offset != end->offset[i] + end->size[i] ||
        end->size[i] + frame->length > RT_TAIL_MAX) {
        end->size[i] = 0; /* a new beginning: the guest repeats itself */
        end->offset[i] = frame->offset;
    }
    more = realloc(end->tail[i], end->size[i] + frame->length);
    if (more == NULL) {
        end->size[i] = 0;
        return;
    }
    end->tail[i] = more;
    memcpy(more + end->size[i], data, frame->length);
    end->size[i] += frame->length;
}

void rt_ag_end_late(struct rt_agent *agent, struct ag_link *link)
{
    if (link->end != NULL && !link->end_ready && agent->now >= link->end->began + AG_TAILS_MS) {
        rt_ag_end_free(agent, link->end);
        link->end = NULL;
    }
}

static void answer(struct rt_agent *agent, struct ag_link *link, enum rt_end_how how)
{
    struct rt_frame frame = {.type = RT_END_OK};
    struct rt_end_ok_msg msg = {.how = how};

    if (how == RT_END_LATER) {
        msg.delay = AG_STORE_RETRY_MS;
    }
    link->end_ready = false;
    (void)rt_ag_send_msg(agent, link, &frame, RT_MSG_END_OK, &msg);
}

static void store_op_of(const struct ag_end *end, struct rt_store_op *op)
{
    memset(op, 0, sizeof *op);
    op->kind = RT_STORE_END;
    op->key = end->key;
    op->life = end->life;
    op->epoch = end->epoch;
    op->end = end->end;
    op->claim = end->claim;
    for (unsigned i = 0; i < 2; i++) {
        op->tail[i].data = end->tail[i];
        op->tail[i].size = end->size[i];
    }
}

static void kept_later(struct rt_agent *agent)
{
    if (!agent->kept_timer.set && !ag_list_empty(&agent->kept)) {
        rt_ag_timer_set(&agent->timers, &agent->kept_timer, agent->now + AG_STORE_RETRY_MS);
    }
}

static struct ag_end *kept_at(const struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    struct ag_list *node;

    for (node = agent->kept.next; node != &agent->kept; node = node->next) {
        struct ag_end *end = ag_of(node, struct ag_end, node);
        if (rt_key_equal(&end->key, key) && (life == 0 || end->life == life)) {
            return end;
        }
    }
    return NULL;
}

const struct ag_end *rt_ag_kept_find(const struct rt_agent *agent, const struct rt_key *key)
{
    return kept_at(agent, key, 0);
}

/* The store did not take it: onto the disk. True when it is safe there. Owns the end either way. */
static bool keep(struct rt_agent *agent, struct ag_end *end)
{
    struct rt_store_op op;
    struct ag_end *old = kept_at(agent, &end->key, end->life);

    store_op_of(end, &op);
    if (!end->kept && agent->config.io.keep_end(agent->config.io.ctx, &op) != 0) {
        rt_ag_end_free(agent, end);
        return false;
    }
    if (old != NULL && old != end) {
        rt_ag_end_free(agent, old);
    }
    end->kept = true;
    ag_list_push(&agent->kept, &end->node);
    kept_later(agent);
    return true;
}

/* The claim comes before an end that the store may not know: one that was served unclaimed or is kept, or that the
 * store has no record for. A later connection of the same life may have it meanwhile, a copy or another life must not.
 */
static bool claim_first(struct rt_agent *agent, struct ag_end *end, rt_link_id link)
{
    struct rt_store_op op = {.kind = RT_STORE_TAKE, .key = end->key, .claim = end->claim};
    struct ag_op about = {.link = link, .end = end};

    end->claim_tried = true;
    op.past = rt_ag_session_past(rt_ag_session_find(agent, &end->key));
    op.claim.store_whole = rt_ag_whole(agent);
    return rt_ag_store(agent, &op, &about) != 0;
}

/* Gives the end to the store; what it does not take at once is kept. Returns how the guest is answered now, or -1. */
static int submit(struct rt_agent *agent, struct ag_end *end, rt_link_id link)
{
    struct rt_store_op op;
    struct ag_op about = {.link = link, .end = end};
    bool claims = !end->claim_tried && (end->kept || end->unclaimed);

#ifdef RT_MUTANT_END_UNCLAIMED
    claims = false;
#endif
    store_op_of(end, &op);
    if (claims ? claim_first(agent, end, link) : rt_ag_store(agent, &op, &about) != 0) {
        return -1;
    }
    return keep(agent, end) ? RT_END_ON_DISK : RT_END_LATER;
}

void rt_ag_end_submit(struct rt_agent *agent, struct ag_link *link)
{
    struct ag_end *end = link->end;
    int how;

    link->end = NULL;
    end->key = link->session->key;
    end->life = link->session->life;
    end->epoch = link->session->epoch;
    end->unclaimed = link->claim != NULL;
    rt_ag_claim_again(agent, link->session, &end->claim);
    how = submit(agent, end, link->id);
    if (how >= 0) {
        answer(agent, link, (enum rt_end_how)how);
    }
}

void rt_ag_end(struct rt_agent *agent, struct ag_link *link, const struct rt_end_msg *msg)
{
    uint64_t final[2] = {msg->out, msg->err};

    if (link->end_ready) {
        return; /* told twice; it is under way */
    }
    if (link->end == NULL) {
        link->end = end_new(agent);
    }
    if (link->end == NULL) {
        answer(agent, link, RT_END_LATER);
        return;
    }
    link->end->end = *msg;
    for (unsigned i = 0; i < 2; i++) { /* a tail that does not lead to the end is none */
        if (link->end->offset[i] + link->end->size[i] != final[i]) {
            link->end->size[i] = 0;
        }
    }
    link->end_ready = true;
    if (link->state == AG_SERVING) {
        rt_ag_end_submit(agent, link);
    }
}

static void ended(struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    struct ag_session *session = rt_ag_session_find(agent, key);

    if (session != NULL && session->life == life && session->rule != NULL) {
        session->rule->state = RT_SESSION_ENDED;
        session->lost_at = session->write_at = 0;
        rt_ag_session_state(agent, session, RT_SESSION_ENDED, "");
        rt_ag_event(agent, RT_AGENT_ENDED, session->guest, session, "", "ended", "");
        rt_ag_session_settle(agent, session);
    }
}

/* The store has it, or nobody will ask for it. */
static void settled(struct rt_agent *agent, struct ag_end *end, bool stored)
{
    if (end->kept) {
        agent->config.io.drop_end(agent->config.io.ctx, &end->key, end->life);
    }
    if (stored) {
        ended(agent, &end->key, end->life);
    }
    rt_ag_end_free(agent, end);
}

/* After a take that the store has answered. */
static int claimed(struct rt_agent *agent, struct ag_end *end, rt_link_id link, uint64_t verdict)
{
    if (verdict == RT_CLASS_FORKED || verdict == RT_CLASS_SUPERSEDED) {
        settled(agent, end, false);
        return RT_END_LATER;
    }
    return submit(agent, end, link); /* taken, or a later connection of this life has it */
}

/* What comes next for an end after an answer of the store. Returns how its guest is answered now, or -1: not yet. */
static int next_step(struct rt_agent *agent, struct ag_end *end, rt_link_id link, const struct rt_store_reply *reply)
{
    const struct rt_claim_outcome *outcome = &reply->outcome;
    bool missing = reply->kind == RT_STORE_END && reply->error == RT_ENOTFOUND;

    if (reply->kind == RT_STORE_END && reply->error == 0 && reply->how != RT_END_LATER) {
        settled(agent, end, true);
        return (int)reply->how;
    }
    if (reply->kind == RT_STORE_TAKE && reply->error == 0 && outcome->verdict != RT_CLASS_RETRY_LATER) {
        return claimed(agent, end, link, outcome->verdict);
    }
    if (missing && outcome->verdict == RT_CLASS_STALE && outcome->life >= end->life) { /* another life has taken over */
        settled(agent, end, false);
        return RT_END_LATER;
    }
#ifndef RT_MUTANT_END_UNCLAIMED
    if (missing && !end->claim_tried && claim_first(agent, end, link)) {
        return -1;
    }
#else
    if (missing) {
        settled(agent, end, false);
        return RT_END_LATER;
    }
#endif
    return keep(agent, end) ? RT_END_ON_DISK : RT_END_LATER;
}

void rt_ag_end_reply(struct rt_agent *agent, struct ag_op *op, const struct rt_store_reply *reply)
{
    struct ag_end *end = op->end;
    struct ag_link *link;
    int how;

    op->end = NULL;
    how = next_step(agent, end, op->link, reply);
    link = rt_ag_link(agent, op->link);
    if (how >= 0 && link != NULL && link->state == AG_SERVING && link->end_ready) {
        answer(agent, link, (enum rt_end_how)how);
    }
}

void rt_ag_kept_again(struct rt_agent *agent)
{
    struct ag_list *node, again;

    if (!agent->store_up) {
        return; /* until it is up again */
    }
    rt_ag_timer_clear(&agent->timers, &agent->kept_timer);
    ag_list_init(&again);
    while ((node = ag_list_pop(&agent->kept)) != NULL) {
        ag_list_push(&again, node);
    }
    while ((node = ag_list_pop(&again)) != NULL) {
        struct ag_end *end = ag_of(node, struct ag_end, node);
        end->claim_tried = false;
        (void)submit(agent, end, 0);
    }
}

void rt_agent_kept_end(struct rt_agent *agent, const struct rt_store_op *op, uint64_t now)
{
    struct ag_end *end = end_new(agent);

    if (now > agent->now) {
        agent->now = now;
    }
    if (end == NULL) {
        return; /* stays on disk for the next run */
    }
    end->key = op->key;
    end->life = op->life;
    end->epoch = op->epoch;
    end->end = op->end;
    end->claim = op->claim;
    end->kept = true;
    for (unsigned i = 0; i < 2; i++) {
        if (op->tail[i].size == 0 || op->tail[i].size > RT_TAIL_MAX) {
            continue;
        }
        end->tail[i] = malloc(op->tail[i].size);
        if (end->tail[i] == NULL) {
            rt_ag_end_free(agent, end);
            return;
        }
        memcpy(end->tail[i], op->tail[i].data, op->tail[i].size);
        end->size[i] = op->tail[i].size;
    }
    ag_list_push(&agent->kept, &end->node);
    if (agent->store_up) {
        kept_later(agent);
    }
}
