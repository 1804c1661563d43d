/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether_machine.h"

#include "session/base/number.h"
#include "session/core/frame.h"
#include "session/core/protocol.h"
#include "session/core/tether_att.h"
#include "session/core/tether_proc.h"

/* Hold budgets: who may keep a full ring from overwriting, for how long, and when the tether is over. For example
 * stdout has a ring of 1 MiB, a reader with a hold of 30 s stops reading, outage_hold is 60 s. Seconds:
 *
 *       0   the ring is full, the reader has acknowledged nothing above its base: BLOCKED, the reader `blocks`
 *      10   20 s are left. The link to the agent is lost: for 60 s nothing is charged, and nothing overwritten
 *      25   an agent is there again. It is charged again: hold_deadline is 45
 *      45   hold_left is 0: an observer. The floor rises to head, the ring overwrites, the process goes on
 *
 * Had the reader acknowledged all at 30, its hold would be 30 s again. Without any agent, 10 to 70 would be free and
 * the hold spent at 90. */

static bool main_final(const struct rt_tether *t)
{
    return t->ending != RT_ENDING_NONE;
}

/* Until the first attachment is made that is no observer, the output of the main process holds for first_hold_ms: a
 * client that creates the container and then attaches has all of it, though nobody was there yet. An observer does not
 * end that: it may have come before that client, and keeps nothing for it. */
static bool first_holds(const struct rt_tether *t)
{
    return !t->met_once && t->first_hold_left > 0;
}

/* Observers share theirs: however many come, and come again, they put the end off for one moment. */
void rt_tether_grace(const struct rt_tether *t, struct rt_att *att)
{
    if (!att->graced) {
        att->graced = true;
        att->hold_left =
            rt_max(att->hold_left, rt_att_observes(att->want, att->hold_ms) ? t->grace_left : RT_END_GRACE_MS);
    }
}

static bool holds(const struct rt_att *att)
{
    return att->state != RT_ATT_FREE && att->hold_left > 0;
}

/* How far the ring may give up bytes now: every holding attachment has consumed them. */
uint64_t rt_tether_floor(const struct rt_tether *t, const struct rt_proc *proc, unsigned o)
{
    uint64_t floor = proc->ring[o].head;

    if (proc->id == 0 && first_holds(t)) {
        return proc->ring[o].base;
    }
    for (const struct rt_att *att = NULL; (att = rt_tether_next_att(t, proc, att)) != NULL;) {
        if (holds(att) && rt_att_wants(att, o + RT_STDOUT)) {
            floor = rt_min(floor, att->out[o].acked);
        }
    }
    return rt_max(floor, proc->ring[o].base);
}

bool rt_tether_att_done(const struct rt_tether *t, const struct rt_att *att)
{
    const struct rt_proc *proc = rt_tether_proc(t, att->proc);

    if (proc != NULL && proc->state == RT_PROC_AWAITED) {
        return main_final(t); /* then it never runs */
    }
    if (proc == NULL || proc->state != RT_PROC_FINAL) {
        return proc == NULL;
    }
    for (unsigned o = 0; o < RT_OUTS; o++) {
        const struct rt_sender *out = &att->out[o];

        if (!rt_att_wants(att, o + RT_STDOUT)) {
            continue;
        }
        if (out->acked != proc->ring[o].head || (proc->ring[o].ended && !out->fin_acked)) {
            return false;
        }
    }
    return true;
}

/* Marks the attachments whose budget runs: those at the floor of a ring that is full and blocks its process, those of a
 * process that has ended whose client is away, and at the end of the container all that are not done. */
void rt_tether_find_blockers(struct rt_tether *t)
{
    t->first_blocks = first_holds(t) && (main_final(t) || t->procs[0]->pipe[0] == RT_PIPE_BLOCKED ||
                                         t->procs[0]->pipe[1] == RT_PIPE_BLOCKED);
    for (size_t i = 0; i < t->n_atts; i++) {
        struct rt_att *att = &t->atts[i];
        const struct rt_proc *proc;

        att->blocks = false;
        if (!holds(att)) {
            continue;
        }
        if (main_final(t) && !rt_tether_att_done(t, att)) {
            att->blocks = true;
            continue;
        }
        proc = rt_tether_proc(t, att->proc);
        if (proc != NULL && proc->id != 0 && proc->state == RT_PROC_FINAL) {
            att->blocks = !att->channel && !rt_tether_att_done(t, att);
        }
        for (unsigned o = 0; proc != NULL && o < 2; o++) {
            if (proc->pipe[o] == RT_PIPE_BLOCKED && rt_att_wants(att, o + RT_STDOUT) &&
                att->out[o].acked <= proc->ring[o].base) {
                att->blocks = true;
            }
        }
    }
}

/* From when on time counts against holds that was not charged yet: with an agent all of it, without one only what is
 * beyond outage_hold. */
static uint64_t charged_from(const struct rt_tether *t)
{
    return t->outage_at == RT_NEVER ? t->charged_at : rt_max(t->charged_at, t->outage_at + t->config.outage_hold_ms);
}

/* Takes dt from what blocking attachments have left. True: one of them has spent its hold. */
static bool charge_atts(struct rt_tether *t, uint64_t dt)
{
    bool spent = false, observed = false;

    for (size_t i = 0; i < t->n_atts; i++) {
        observed = observed || (t->atts[i].blocks && rt_att_observes(t->atts[i].want, t->atts[i].hold_ms));
    }
    t->grace_left -= observed ? rt_min(dt, t->grace_left) : 0;
    for (size_t i = 0; i < t->n_atts; i++) {
        struct rt_att *att = &t->atts[i];

        if (rt_att_observes(att->want, att->hold_ms)) {
            att->hold_left = rt_min(att->hold_left, t->grace_left);
        } else if (att->blocks) {
            att->hold_left -= rt_min(dt, att->hold_left);
        }
        spent = spent || (att->blocks && att->hold_left == 0);
    }
    return spent;
}

void rt_tether_charge(struct rt_tether *t, uint64_t now)
{
    uint64_t from = charged_from(t), dt = now > from ? now - from : 0;
    uint64_t live = t->state == RT_TETHER_LIVE && now > t->charged_at ? now - t->charged_at : 0;
    bool spent;

    for (size_t i = 0; live && i < t->n_atts; i++) {
        if (t->atts[i].state == RT_ATT_AWAY) {
            t->atts[i].away_ms += live;
        }
    }
    t->charged_at = rt_max(t->charged_at, now);
    if (dt == 0) {
        return;
    }
    if (t->first_blocks) {
        t->first_hold_left -= rt_min(dt, t->first_hold_left);
    }
    spent = charge_atts(t, dt);
    if (spent || (t->first_blocks && t->first_hold_left == 0)) {
        t->due |= RT_DUE_REPORT;
        rt_tether_find_blockers(t);
    }
}

uint64_t rt_tether_hold_deadline(const struct rt_tether *t)
{
    uint64_t left = t->first_blocks ? t->first_hold_left : RT_NEVER;

    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].blocks) {
            left = rt_min(left, t->atts[i].hold_left);
        }
    }
    return left == RT_NEVER ? RT_NEVER : charged_from(t) + left;
}

bool rt_tether_is_over(const struct rt_tether *t, uint64_t now)
{
    bool given_up = t->config.end_timeout_ms && main_final(t) && now >= t->final_at + t->config.end_timeout_ms;

    if (!main_final(t) || (t->ending != RT_ENDING_SAFE && !given_up) || first_holds(t)) {
        return false;
    }
    for (size_t i = 0; i < t->n_atts; i++) {
        if (holds(&t->atts[i]) && !rt_tether_att_done(t, &t->atts[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL && (t->procs[i]->due & RT_PROC_DUE_CLOSE) != 0) {
            return false;
        }
    }
    return true;
}
