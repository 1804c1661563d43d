/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/agent.h"
#include "broker/core/end.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* An end goes into the store. While the store does not take it, it lies on this host's disk and in memory. With it lies
 * the claim under which its guest was served: the store may never have answered the take of that claim, or may have
 * lost it. Then the take comes first, and the end behind it.
 *
 *     begun --store: took it--------------------------------------> told STORED, over
 *       |  '--store: has another end of this life-----------------> told OTHER, over
 *       |  '--store: the life is another's------------------------> told LATER, over
 *       '-----store: out, late, full--> WRITING --failed----------> told LATER, over
 *       |                                  '------fsynced--> KEPT, told ON_DISK --store, later--> over
 *       '-----store: took it, unsure--> likewise; over when all replicas have it, or a look proves that it stays
 *
 * A container exits while the store is out; milliseconds since its END:
 *
 *          0   the store cannot be asked: WRITING
 *          5   fsynced: KEPT. END_OK says "on disk", and the guest powers off. Here the session has ended
 *      40000   the store is up: TAKE by the claim that is kept, then END
 *      40002   STORED: over; the file is removed
 *
 * The same while the store is up and silent, so that the END fails after 1000: it is WRITING then, KEPT at 1005, and
 * offered again after 1000 more, then after 2000, 4000, ... up to 30000.
 *
 * A store has taken the end, and not all of its replicas have: a failover may lose it, and one may be under way. What
 * the answer says decides what helps:
 *
 *     all replicas that are known have it       sure: over
 *     unsure, spread: all connected ones, >= 1  a look AG_LOOK_MS later, if each END meanwhile was spread, too
 *     unsure, not spread                        nothing but a replica that takes it. It stays on the disk until then
 *
 * For example one of two replicas is away:
 *
 *          0   END: stored, unsure, spread. WRITING
 *          5   fsynced: KEPT, "on disk"
 *       1000   END again, as for all that is kept, without the tails, which the store has; 3000, 7000: and again. Once
 *              all replicas have it: STORED, over
 *      15000   spread for AG_LOOK_MS: GET. It is sure that this server is the primary, and was all the time, and the
 *              record has this end: over. The record has not: END anew, whole, from 0 on. It is not sure: END again,
 *              and the time of the look begins anew
 *
 * A guest that tells its end again, over another link, may bring a tail that this agent did not have before. What the
 * store answers to an END without that tail is no answer to its guest: the end begins anew, whole.
 *
 * An UP meanwhile says that it may be another store: all is offered anew, whole. So it is when the store says that it
 * has the end no more. Where the disk takes nothing, the guest waits until the end is sure.
 *
 * The disk may hang, so the store is asked again also while it writes. Then both owe an answer, and the first that has
 * the end answers the guest. What is over is freed with the last answer that is owed. Until then it answers for its
 * life: else a second end of that life could be written, and then be removed as the first one.
 *
 * An end that lies on the disk is no loss: the session has ended for everybody who asks this agent. A store that is
 * full refuses what needs room. It takes the status alone, with the name of this host as the keeper of the tails
 * (mark()): so the session has ended for everybody. */

static void event(struct rt_agent *agent, const struct ag_end *end, const char *to, const char *reason)
{
    struct rt_agent_event event = {
        .kind = RT_AGENT_ENDED, .link = end->link, .key = end->key, .life = end->life, .epoch = end->epoch};

    rt_ag_event(agent, &event, "", to, reason);
}

/* Tells its guest, if that still waits here, where the end is safe. */
static void tell(struct rt_agent *agent, struct ag_end *end, enum rt_end_how how)
{
    struct ag_link *link = rt_ag_link(agent, end->link);

    end->link = 0;
    end->how = (uint8_t)how;
    if (link != NULL && link->state == AG_SERVING && link->end_ready) {
        rt_ag_end_answer(agent, link, how);
    }
}

/* Nobody needs it any more. */
static void over(struct rt_agent *agent, struct ag_end *end)
{
    end->over = true;
    if (end->disk == AG_DISK_KEPT) {
        end->disk = AG_DISK_NONE;
        agent->config.io.drop_end(agent->config.io.ctx, &end->key, end->life);
    }
    if (!end->asked && end->disk == AG_DISK_NONE) {
        rt_ag_end_free(agent, end);
    }
}

/* It can be kept nowhere, or it is a copy's, or its life is another start's by now. */
static void give_up(struct rt_agent *agent, struct ag_end *end)
{
    tell(agent, end, RT_END_LATER);
    over(agent, end);
}

static void store_op_of(const struct ag_end *end, struct rt_store_op *op)
{
    memset(op, 0, sizeof(*op));
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

static void set_kept_timer(struct rt_agent *agent, const struct ag_end *end)
{
    if (!agent->kept_timer.set || end->offer_at < agent->kept_timer.at) {
        rt_timer_set(&agent->timers, &agent->kept_timer, end->offer_at);
    }
}

static void kept_later(struct rt_agent *agent, struct ag_end *end)
{
    if (end->offer_at == 0) {
        end->offer_at = agent->now + end->delay;
    }
    set_kept_timer(agent, end);
}

/* What the store has said of it does not hold any more. */
static void anew(struct ag_end *end)
{
    end->unsure = end->spread = false;
}

/* The end is safe: the session has ended, for all who ask this agent. */
static void ended(struct rt_agent *agent, const struct ag_end *end)
{
    struct ag_session *session = rt_ag_session_find(agent, &end->key);

    if (session != NULL && session->life == end->life && session->rule != NULL) {
        session->rule->ended = true;
        session->lost_at = session->write_at = 0;
        rt_ag_session_state(agent, session, RT_SESSION_ENDED, "");
        rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    }
}

static void ask(struct rt_agent *agent, struct ag_end *end, struct rt_store_op *op)
{
    struct ag_op about = {.to = AG_FOR_END, .end = end};

    end->grown = false;
    end->asked = rt_ag_store(agent, op, &about) != 0;
}

static void leave_tails_out(struct rt_store_op *op)
{
    op->tail[0].size = op->tail[1].size = op->end.ord.size = 0;
}

/* The store is full: it may still take what needs next to no room. */
static void mark(struct rt_agent *agent, struct ag_end *end)
{
    struct rt_store_op op;

    if (end->room == AG_ROOM_NONE && !end->asked) {
        store_op_of(end, &op);
        op.kind = RT_STORE_MARK;
        leave_tails_out(&op);
        ask(agent, end, &op);
    }
}

static void keep(struct rt_agent *agent, struct ag_end *end)
{
    struct rt_store_op op;

    if (end->disk == AG_DISK_NONE) {
        store_op_of(end, &op);
        if (agent->config.io.keep_end(agent->config.io.ctx, end->id, &op) == 0) {
            end->disk = AG_DISK_WRITING;
        } else if (!end->unsure) {
            give_up(agent, end);
            return;
        }
    } else if (end->disk == AG_DISK_KEPT) {
        mark(agent, end);
    }
    kept_later(agent, end);
}

void rt_ag_disk_reply(struct rt_agent *agent, uint32_t id, int error)
{
    struct ag_end *end = NULL;
    struct rt_list *node;

    for (node = agent->ends.next; node != &agent->ends && end == NULL; node = node->next) {
        end = RT_LIST_OF(node, struct ag_end, node);
        end = end->id == id && end->disk == AG_DISK_WRITING ? end : NULL;
    }
    if (end == NULL) {
        return;
    }
    end->disk = error == 0 ? AG_DISK_KEPT : AG_DISK_NONE;
    if (end->over) {
        over(agent, end);
    } else if (error == 0) {
        event(agent, end, "kept",
              end->unsure ? "on this host's disk, until it is sure that the store keeps it"
                          : "on this host's disk, until the store has it");
        tell(agent, end, RT_END_ON_DISK);
        ended(agent, end);
        keep(agent, end);
    } else if (end->unsure) {
        kept_later(agent, end);
    } else if (!end->asked) { /* else the store's answer decides */
        give_up(agent, end);
    }
}

/* Takes the claim before the end. That is needed where the store may not know the claim: its guest was served
 * unclaimed, the end has been kept, or there is no record. A later connection of this life may have the record by now,
 * and the end still counts; had a copy or another life been taken, it would not. */
static void claim_first(struct rt_agent *agent, struct ag_end *end)
{
    struct rt_store_op op = {.kind = RT_STORE_TAKE, .key = end->key, .claim = end->claim};

    end->claim_tried = true;
    op.past = rt_ag_session_past(rt_ag_session_find(agent, &end->key));
    op.claim.store_whole = rt_ag_whole(agent);
    ask(agent, end, &op);
}

/* Looks for the end in its record. */
static void look(struct rt_agent *agent, struct ag_end *end)
{
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = end->key};

    ask(agent, end, &op);
}

/* Gives the end to the store; when the store cannot be asked, the end is kept. */
static void submit(struct rt_agent *agent, struct ag_end *end)
{
    bool claims = !end->claim_tried && !end->unsure && (end->disk != AG_DISK_NONE || end->unclaimed);

    if (claims) {
        claim_first(agent, end);
    } else if (end->spread && agent->now - end->spread_at >= AG_LOOK_MS) {
        look(agent, end);
    } else {
        struct rt_store_op op;
        store_op_of(end, &op);
        op.again = end->unsure;
        if (op.again) {
            leave_tails_out(&op);
        }
        ask(agent, end, &op);
    }
    if (!end->asked) {
        keep(agent, end);
    }
}

/* Whether two tails, or two orders, may be the same. One that is missing contradicts nothing. */
static bool alike(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    return a_size == 0 || b_size == 0 || (a_size == b_size && memcmp(a, b, a_size) == 0);
}

static bool same(const struct ag_end *a, const struct ag_end *b)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!alike(a->tail[i], a->size[i], b->tail[i], b->size[i])) {
            return false;
        }
    }
    return alike(a->ord, a->end.ord.size, b->ord, b->end.ord.size) && a->end.code == b->end.code &&
           a->end.sig == b->end.sig && a->end.out == b->end.out && a->end.err == b->end.err;
}

/* What `first` lacks, and the same end told again has. The store gets it, too; a file on the disk stays. */
static void join(struct ag_end *first, struct ag_end *end)
{
    bool joined = false;

    for (unsigned i = 0; i < 2; i++) {
        if (first->size[i] == 0 && end->size[i] > 0) {
            free(first->tail[i]);
            first->tail[i] = end->tail[i];
            first->size[i] = end->size[i];
            end->tail[i] = NULL;
            joined = true;
        }
    }
    if (first->ord == NULL && end->ord != NULL) {
        first->ord = end->ord;
        first->end.ord = end->end.ord;
        end->ord = NULL;
        joined = true;
    }
    if (joined) {
        anew(first);
        first->grown = first->asked;
    }
}

/* A life has one end. `first` is on its way when a guest tells one of the same life: the same guest again, after its
 * link was lost, or a copy of it whose container has ended in another way. */
static void again(struct rt_agent *agent, struct ag_end *first, struct ag_end *end)
{
    struct ag_link *link = rt_ag_link(agent, end->link);
    bool is_safe = first->how != RT_END_LATER && first->how != RT_END_OTHER;

    if (same(first, end)) {
        join(first, end);
        if (first->over || first->how != RT_END_LATER) {
            rt_ag_end_answer(agent, link, (enum rt_end_how)first->how);
        } else {
            first->link = end->link; /* it is not safe yet: answered when it is */
        }
    } else {
        if (is_safe) {
            event(agent, end, "refused", "this life has ended already, in another way");
        }
        rt_ag_end_answer(agent, link, is_safe ? RT_END_OTHER : RT_END_LATER);
    }
    rt_ag_end_free(agent, end);
}

void rt_ag_end_begin(struct rt_agent *agent, struct ag_end *end)
{
    struct ag_end *first = rt_ag_end_at(agent, &end->key, end->life);

    if (first != NULL) {
        again(agent, first, end);
        return;
    }
    rt_list_push(&agent->ends, &end->node);
    submit(agent, end);
}

/* The store has an end of this life: this one, or with OTHER another one. */
static void stored(struct rt_agent *agent, struct ag_end *end, enum rt_end_how how)
{
    if (how == RT_END_OTHER) {
        event(agent, end, "refused", "this life has ended already, in another way");
    } else {
        event(agent, end, "ended", "");
    }
    ended(agent, end);
    tell(agent, end, how);
    over(agent, end);
}

/* The store has what it was asked for, without what has joined since. */
static void grown(struct rt_agent *agent, struct ag_end *end)
{
    anew(end);
    submit(agent, end);
}

/* The store has it, and may lose it. */
static void stored_unsure(struct rt_agent *agent, struct ag_end *end, bool spread)
{
    end->spread_at = end->spread ? end->spread_at : agent->now;
    end->unsure = true;
    end->spread = spread;
    keep(agent, end);
}

static void looked(struct rt_agent *agent, struct ag_end *end, const struct rt_store_reply *reply)
{
    const struct rt_store_record *record = reply->n_records > 0 ? &reply->records[0] : NULL;

    if (reply->error != 0 && reply->error != RT_ENOTFOUND) {
        keep(agent, end); /* looked for again */
    } else if (reply->unsure) {
        end->spread = false;
        keep(agent, end);
    } else if (record != NULL && record->rule.state == RT_SESSION_ENDED && record->rule.life == end->life &&
               record->code == end->end.code && record->sig == end->end.sig && record->out == end->end.out &&
               record->err == end->end.err && !end->grown) {
        stored(agent, end, RT_END_STORED);
    } else {
        anew(end);
        submit(agent, end);
    }
}

void rt_ag_end_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    const struct rt_claim_outcome *outcome = &reply->outcome;
    bool missing = reply->kind == RT_STORE_END && reply->error == RT_ENOTFOUND;
    struct ag_end *end = op->end;

    end->asked = false;
    if (end->over) {
        over(agent, end);
        return;
    }
    if (reply->kind == RT_STORE_GET) {
        looked(agent, end, reply);
        return;
    }
    /* The store has the status, or had no room even for that. With OTHER it has another end, as of an END. */
    if (reply->kind == RT_STORE_MARK && (reply->error != 0 || reply->how != RT_END_OTHER)) {
        end->room = reply->error == 0 ? AG_ROOM_MARKED : AG_ROOM_NONE;
        if (reply->error == 0) {
            anew(end); /* the tails may not be there */
        }
        /* The store may have come back meanwhile, when this one was not offered as it was asked. */
        kept_later(agent, end);
        return;
    }
    if (reply->kind != RT_STORE_TAKE && reply->error == 0) {
        if (end->grown && reply->how != RT_END_OTHER) {
            grown(agent, end);
        } else if (reply->unsure && reply->how != RT_END_OTHER) {
            stored_unsure(agent, end, reply->spread);
        } else {
            stored(agent, end, reply->how);
        }
        return;
    }
    /* RETRY_LATER that names no host says that the store is not whole yet: it is asked again, as if it had failed. */
    if (reply->kind == RT_STORE_TAKE && reply->error == 0 &&
        (outcome->verdict != RT_CLASS_RETRY_LATER || outcome->host[0] != '\0')) {
        /* OK: it is this claim's. STALE: a later connection of this life has it. RETRY_LATER: another start was taken.
         * The answer to the end says whether that is a newer one, and this end void, or an older one, whose place will
         * be free. */
        if (outcome->verdict == RT_CLASS_FORKED || outcome->verdict == RT_CLASS_SUPERSEDED) {
            give_up(agent, end);
        } else {
            submit(agent, end);
        }
        return;
    }
    /* The record is at another claim: of a newer start, or of nobody yet, as the container was created anew over this
     * life. This end is void. A record of an older life says nothing of it: then the claim is taken first. */
    if (missing && outcome->verdict == RT_CLASS_STALE && outcome->life >= end->life) {
        give_up(agent, end);
        return;
    }
    if (missing) {
        anew(end);
    }
    if (missing && !end->claim_tried) {
        claim_first(agent, end);
    }
    if (!end->asked) {
        end->spread = false;
        if (end->room != AG_ROOM_MARKED) {
            end->room = reply->error == RT_ELIMIT ? AG_ROOM_NONE : AG_ROOM_ALL;
        }
        keep(agent, end);
    }
}

static void offer(struct rt_agent *agent, struct ag_end *end)
{
    end->offer_at = 0;
    if (!end->asked && !end->over) {
        end->claim_tried = false;
        submit(agent, end);
    }
}

void rt_ag_kept_again(struct rt_agent *agent)
{
    struct rt_list *node = agent->ends.next, *next;

    rt_timer_clear(&agent->timers, &agent->kept_timer);
    for (; node != &agent->ends; node = next) {
        struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);

        next = node->next;
        anew(end);
        end->delay = AG_STORE_RETRY_MS;
        offer(agent, end);
    }
}

void rt_ag_kept_timer(struct rt_agent *agent)
{
    struct rt_list *node = agent->ends.next, *next;

    for (; node != &agent->ends; node = next) {
        struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);

        next = node->next;
        if (end->offer_at > agent->now) {
            set_kept_timer(agent, end);
        } else if (end->offer_at != 0 && agent->store_up) { /* else rt_ag_kept_again() offers it when it is */
            end->delay = end->delay > AG_KEPT_RETRY_MAX_MS / 2 ? AG_KEPT_RETRY_MAX_MS : end->delay * 2;
            offer(agent, end);
        }
    }
}

void rt_ag_kept_end(struct rt_agent *agent, const struct rt_store_op *op)
{
    struct ag_end *end = rt_ag_end_new(agent, op->key.tenant, 0);

    if (end == NULL) {
        return; /* stays on disk for the next run */
    }
    end->key = op->key;
    end->life = op->life;
    end->epoch = op->epoch;
    end->end = op->end;
    end->claim = op->claim;
    end->disk = AG_DISK_KEPT;
    end->how = RT_END_ON_DISK;
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
    rt_ag_end_order(end, op->end.ord);
    rt_list_push(&agent->ends, &end->node);
    if (agent->store_up) {
        kept_later(agent, end);
    }
}
