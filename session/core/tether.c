/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether.h"

#include "session/base/number.h"
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"
#include "session/core/tether_att.h"
#include "session/core/tether_machine.h"
#include "session/core/tether_proc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Life cycle, the link's states (docs/architecture.md, "The tether's machine"), actions and deadlines. */

void rt_tether_defaults(struct rt_tether_config *config)
{
    memset(config, 0, sizeof(*config));
    config->ring_bytes = RT_RING_BYTES;
    config->drain_timeout_ms = 2000;
    config->outage_hold_ms = 300000;
    config->end_timeout_ms = 300000;
}

struct rt_tether *rt_tether_new(const struct rt_tether_config *config, uint64_t now)
{
    struct rt_tether *t = calloc(1, sizeof(*t));
    struct rt_proc *proc;

    if (t == NULL) {
        return NULL;
    }
    t->config = *config;
    t->config.ring_bytes = (size_t)rt_min(rt_max(config->ring_bytes, RT_RING_BYTES_MIN), RT_RING_BYTES_MAX);
    t->jitter = config->seed;
    t->state = RT_TETHER_DOWN;
    t->retry_at = now;
    t->backoff_ms = RT_REDIAL_MIN_MS;
    t->outage_at = now;
    t->charged_at = now;
    t->first_hold_left = config->first_hold_ms;
    t->grace_left = RT_END_GRACE_MS;
    config->random(config->ctx, t->inc, sizeof(t->inc));
    t->atts = calloc(RT_ATTS_MAX, sizeof(*t->atts));
    if (t->atts == NULL || rt_tether_add_proc(t, config->tty, true, &proc) != 0 || rt_ring_make(&proc->ring[0]) != 0 ||
        rt_ring_make(&proc->ring[1]) != 0) {
        rt_tether_free(t);
        return NULL;
    }
    proc->rows = config->rows;
    proc->cols = config->cols;
    rt_tether_start(t, proc);
    rt_tether_step(t, now);
    return t;
}

void rt_tether_free(struct rt_tether *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->n_atts; i++) {
        for (size_t s = 0; s < RT_INS; s++) {
            rt_receiver_close(&t->atts[i].in[s]);
        }
    }
    free(t->atts);
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        rt_tether_free_proc(t->procs[i]);
    }
    for (size_t i = 0; i < t->n_finished; i++) {
        rt_tether_free_proc(t->finished[i]);
    }
    free(t);
}

/* ---- the link ---- */

static void link_down(struct rt_tether *t, uint64_t now)
{
    rt_tether_charge(t, now);
    if (t->state == RT_TETHER_LIVE) {
        t->outage_at = now;
    }
    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].channel) {
            rt_tether_unbind(t, &t->atts[i], now);
        }
    }
    rt_pings_clear(&t->pinged);
    t->due = 0;
    t->n_refusals = 0;
    t->flooded = false;
    if (t->ending != RT_ENDING_NONE && t->ending != RT_ENDING_SAFE) {
        rt_tether_move_end(t, RT_ENDING_TAIL_OUT);
    }
    rt_tether_find_blockers(t);
}

void rt_tether_hangup(struct rt_tether *t, const char *reason, uint64_t retry_at, uint64_t now)
{
    if (t->state != RT_TETHER_DIALING && t->state != RT_TETHER_HELLO && t->state != RT_TETHER_LIVE) {
        return;
    }
    link_down(t, now);
    rt_tether_move(t, RT_TETHER_DOWN);
    t->hangup = reason;
    t->retry_at = retry_at;
}

uint64_t rt_tether_back_off(struct rt_tether *t)
{
    return rt_backoff(&t->backoff_ms, RT_REDIAL_MIN_MS, RT_REDIAL_MAX_MS, &t->jitter);
}

/* After a link that was live: at once, unless such links keep ending as soon as they begin. */
static uint64_t redial(struct rt_tether *t, uint64_t now)
{
    uint64_t delay;

    if (t->was_useful || now - t->live_at >= RT_LINK_STABLE_MS) {
        t->backoff_ms = RT_REDIAL_MIN_MS;
    }
    delay = rt_tether_back_off(t);
    return delay <= RT_DIAL_FREE_MS ? 0 : delay;
}

void rt_tether_connected(struct rt_tether *t, uint64_t now)
{
    if (t->state != RT_TETHER_DIALING) {
        return;
    }
    rt_tether_move(t, RT_TETHER_HELLO);
    t->hello_by = now + RT_HANDSHAKE_TIMEOUT_MS;
    t->rx_at = t->ping_at = now;
    t->due |= RT_DUE_HELLO;
    t->config.random(t->config.ctx, t->nonce, sizeof(t->nonce));
    if (t->right == RT_RIGHT_DOUBTED || t->right == RT_RIGHT_JOINING) {
        t->right = t->right == RT_RIGHT_DOUBTED ? RT_RIGHT_JOINING : RT_RIGHT_DOUBTED;
    }
    if (t->right == RT_RIGHT_JOINING) {
        t->config.random(t->config.ctx, t->new_inc, sizeof(t->new_inc));
    }
    rt_tether_step(t, now);
}

void rt_tether_lost(struct rt_tether *t, uint64_t now)
{
    if (t->state != RT_TETHER_DIALING && t->state != RT_TETHER_HELLO && t->state != RT_TETHER_LIVE) {
        return;
    }
    bool live = t->state == RT_TETHER_LIVE;

    link_down(t, now);
    rt_tether_move(t, RT_TETHER_DOWN);
    t->retry_at = now + (live ? redial(t, now) : rt_tether_back_off(t));
    rt_tether_step(t, now);
}

/* ---- time ---- */

static uint64_t keepalive_ms(const struct rt_tether *t)
{
    for (size_t i = 0; i < t->n_atts; i++) {
        if (t->atts[i].state != RT_ATT_FREE) { /* also unbound: its client may just be on the way back */
            return RT_PING_BUSY_MS;
        }
    }
    return RT_PING_IDLE_MS;
}

static uint64_t link_deadline(const struct rt_tether *t)
{
    uint64_t interval = keepalive_ms(t);

    switch (t->state) {
    case RT_TETHER_DOWN:
    case RT_TETHER_REFUSED:
        return t->retry_at;
    case RT_TETHER_HELLO:
        return t->hello_by;
    case RT_TETHER_LIVE:
        return rt_min(rt_max(t->ping_at, t->rx_at) + interval, t->rx_at + interval * RT_PINGS_MISSED_MAX);
    case RT_TETHER_DIALING:
    case RT_TETHER_IS_OVER:
        break;
    }
    return RT_NEVER;
}

/* When an attachment is forgotten: 10 minutes after its hold would be spent, of time with an agent, in which its client
 * could have come back. One that still holds is not forgotten before: it was promised. Earlier goes one that has not
 * said what to run: nothing is lost with it, and it takes the place of a process. */
static uint64_t forget_at(const struct rt_tether *t, const struct rt_att *att)
{
    const struct rt_proc *proc = att->state == RT_ATT_AWAY ? rt_tether_proc(t, att->proc) : NULL;
    bool awaited = proc != NULL && proc->state == RT_PROC_AWAITED;
    uint64_t after = att->hold_left + (awaited ? RT_ATT_DISPLACE_MS : RT_ATT_FORGET_MS);

    if (att->state != RT_ATT_AWAY || att->blocks || t->state != RT_TETHER_LIVE) {
        return RT_NEVER;
    }
    return t->charged_at + (after > att->away_ms ? after - att->away_ms : 0);
}

/* What had been due at the last tick already waits for the link, or for holds: no timer brings it about. */
static uint64_t unless_due(const struct rt_tether *t, uint64_t at)
{
    return at > t->ticked_at ? at : RT_NEVER;
}

/* Attachments: when the first is forgotten, or its client is to be told what was consumed. */
static uint64_t atts_deadline(const struct rt_tether *t)
{
    uint64_t at = RT_NEVER;

    for (size_t i = 0; i < t->n_atts; i++) {
        at = rt_min(at, forget_at(t, &t->atts[i]));
        if (t->atts[i].state == RT_ATT_BOUND) {
            at = rt_min(at, unless_due(t, t->atts[i].in[RT_STDIN_IN].ack_at));
        }
    }
    return at;
}

uint64_t rt_tether_deadline(const struct rt_tether *t)
{
    uint64_t at;

    if (t->state == RT_TETHER_IS_OVER) {
        return RT_NEVER;
    }
    if (t->undecided) {
        return 0;
    }
    at = rt_min(link_deadline(t), atts_deadline(t));
    at = rt_min(at, rt_tether_hold_deadline(t));
    if (t->state == RT_TETHER_LIVE && (t->due & RT_DUE_REPORT) != 0) {
        at = rt_min(at, unless_due(t, t->report_at));
    }
    if (t->state == RT_TETHER_LIVE && t->ending == RT_ENDING_TAIL_OUT) {
        at = rt_min(at, unless_due(t, t->end_at));
    }
    if (t->ending != RT_ENDING_NONE && t->ending != RT_ENDING_SAFE && t->config.end_timeout_ms) {
        at = rt_min(at, unless_due(t, t->final_at + t->config.end_timeout_ms));
    }
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL) {
            at = rt_min(at, rt_min(rt_tether_drain_deadline(t->procs[i]), t->procs[i]->redraw_at));
        }
    }
    return at;
}

static void tick_link(struct rt_tether *t, uint64_t now)
{
    uint64_t interval = keepalive_ms(t);

    if (t->state == RT_TETHER_HELLO && now >= t->hello_by) {
        rt_tether_hangup(t, "no welcome in time", now + rt_tether_back_off(t), now);
        return;
    }
    if (t->state != RT_TETHER_LIVE) {
        return;
    }
    if (now >= t->rx_at + interval * RT_PINGS_MISSED_MAX) {
        rt_tether_hangup(t, "the agent is silent", now, now);
        return;
    }
    if (now >= rt_max(t->ping_at, t->rx_at) + interval) {
        t->due |= RT_DUE_PING;
        t->ping_at = now;
    }
}

void rt_tether_tick(struct rt_tether *t, uint64_t now)
{
    t->ticked_at = now;
    tick_link(t, now);
    rt_tether_charge(t, now);
    for (size_t i = 0; i < t->n_atts; i++) {
        if (now >= forget_at(t, &t->atts[i])) {
            rt_tether_remove_att(t, &t->atts[i]);
        }
    }
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL && now >= t->procs[i]->redraw_at) {
            t->procs[i]->redraw_at = RT_NEVER;
            t->procs[i]->due |= RT_PROC_DUE_RESIZE;
        }
    }
    rt_tether_step(t, now);
}

/* ---- actions ---- */

static bool proc_action(struct rt_proc *proc, struct rt_tether_action *action)
{
    action->proc = proc->id;
    if (rt_took(&proc->due, RT_PROC_DUE_START)) {
        action->kind = RT_TETHER_START;
        action->tty = proc->tty;
        action->in = proc->in;
        action->rows = proc->rows;
        action->cols = proc->cols;
        action->exec = proc->exec;
        proc->due &= ~(unsigned)RT_PROC_DUE_RESIZE;
        return true;
    }
    if (proc->state == RT_PROC_RUNNING && rt_took(&proc->due, RT_PROC_DUE_KILL)) {
        action->kind = RT_TETHER_SIGNAL;
        action->sig = 9;
        return true;
    }
    if (proc->state == RT_PROC_RUNNING && rt_took(&proc->due, RT_PROC_DUE_RESIZE)) {
        action->kind = RT_TETHER_RESIZE;
        action->rows = proc->redraw_at == RT_NEVER ? proc->rows : proc->rows > 1 ? proc->rows - 1 : 2;
        action->cols = proc->cols;
        return true;
    }
    if (rt_took(&proc->due, RT_PROC_DUE_CLOSE)) {
        action->kind = RT_TETHER_CLOSE_OUTPUT;
        return true;
    }
    if (proc->state == RT_PROC_RUNNING &&
        (proc->stdin_phase == RT_STDIN_CUT || (proc->stdin_phase == RT_STDIN_ENDS && proc->n_segments == 0))) {
        if (!proc->tty) {
            proc->n_segments = 0;
        }
        rt_tether_move_stdin(proc, proc->tty ? RT_STDIN_AT_EOF : RT_STDIN_CLOSED);
        action->kind = RT_TETHER_STDIN_END;
        return true;
    }
    return false;
}

/* The next signal item in control-down of any attachment; other items are carried out on the way. */
static bool signal_action(struct rt_tether *t, struct rt_tether_action *action)
{
    unsigned sig = rt_tether_take_items(t, &action->proc);

    if (!sig) {
        return false;
    }
    action->kind = RT_TETHER_SIGNAL;
    action->sig = sig;
    return true;
}

/* A hello could carry no newer epoch. The process runs on, and ends as without an agent. */
static void out_of_epochs(struct rt_tether *t)
{
    rt_tether_move(t, RT_TETHER_REFUSED);
    t->retry_at = RT_NEVER;
    t->refused_cls = RT_CLASS_LIMIT;
    rt_slice_copy(rt_slice_text("no epoch is left to connect with: only a new start of this container can be served"),
                  t->refused_text, sizeof(t->refused_text));
}

/* The next thing to do, if there is one. What it depends on changes with it. */
static bool decide(struct rt_tether *t, struct rt_tether_action *action, uint64_t now)
{
    memset(action, 0, sizeof(*action));
    if (t->flooded) {
        rt_tether_hangup(t, "too many refusals wait to be sent", now + RT_REDIAL_MAX_MS, now);
    }
    if (t->hangup != NULL) {
        action->kind = RT_TETHER_HANGUP;
        action->reason = t->hangup;
        t->hangup = NULL;
        return true;
    }
    if (t->state == RT_TETHER_IS_OVER) {
        return false;
    }
    if (signal_action(t, action)) {
        return true;
    }
    rt_tether_settle(t, now);
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL && proc_action(t->procs[i], action)) {
            return true;
        }
    }
    rt_tether_retire(t);
    if (rt_tether_is_over(t, now)) {
        link_down(t, now);
        rt_tether_move(t, RT_TETHER_IS_OVER);
        action->kind = RT_TETHER_OVER;
        return true;
    }
    if ((t->state == RT_TETHER_DOWN || t->state == RT_TETHER_REFUSED) && now >= t->retry_at) {
        if (t->epoch >= RT_COUNTER_MAX - 1) {
            out_of_epochs(t);
            return false;
        }
        rt_tether_move(t, RT_TETHER_DIALING);
        t->epoch++;
        action->kind = RT_TETHER_DIAL;
        return true;
    }
    return false;
}

void rt_tether_step(struct rt_tether *t, uint64_t now)
{
    while (t->n_actions < RT_TETHER_ACTIONS_MAX && decide(t, &t->actions[t->n_actions], now)) {
        t->n_actions++;
    }
    t->undecided = t->n_actions == RT_TETHER_ACTIONS_MAX;
}

bool rt_tether_next(struct rt_tether *t, struct rt_tether_action *action)
{
    if (t->n_actions == 0) {
        return false;
    }
    *action = t->actions[0];
    t->n_actions--;
    memmove(t->actions, t->actions + 1, t->n_actions * sizeof(t->actions[0]));
    return true;
}

void rt_tether_view(const struct rt_tether *t, struct rt_tether_view *view)
{
    memset(view, 0, sizeof(*view));
    view->state = t->state;
    view->life = t->life;
    view->epoch = t->epoch;
    view->cls = t->refused_cls;
    memcpy(view->text, t->refused_text, sizeof(view->text));
    memcpy(view->host, t->host, sizeof(view->host));
    view->resent = t->resent;
    view->end_ok = t->ending == RT_ENDING_SAFE;
    view->end_how = t->end_how;
    view->code = t->procs[0]->code;
    view->sig = t->procs[0]->sig;
}
