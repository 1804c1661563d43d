/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/end.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "session/core/frame.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* What a guest tells of its end: the tails of its output, then END. A link has one end that is being told. For example
 * a container that has written 100,000 bytes to stdout and nothing to stderr; of a tail 64 KiB are kept at most:
 *
 *     TAIL stdout, offset 34464, 40000 bytes     the tail is [34464, 74464)
 *     TAIL stdout, offset 74464, 25536 bytes     goes on where that ended: [34464, 100000)
 *     END out 100000, err 0                      the tail leads to the end of stdout: the end is whole, and submitted
 *
 * When the guest's link is lost in between, all is told again over the next link. When a TAIL does not go on where the
 * last one ended, the tail begins anew with it. When END says 100000 and the tail ends at 74464, a piece is missing:
 * the end is stored without that tail. A piece that was told and that this agent has not kept, for want of a place or
 * of memory, is another matter: END is answered LATER, and the guest tells all again.
 *
 * Tails have a place among RT_ENDS_MAX, which others may need: they are forgotten when they do not go on, or have begun
 * long ago. Over a line of 4 KB a second, where a frame of 64 KiB takes 16 s:
 *
 *          0   TAIL stdout, 64 KiB
 *      10000   nothing has gone on: forgotten (LATE)
 *      16000   TAIL stderr, END: answered LATER (TOLD)
 *      33000   TAIL stdout; 49000: TAIL stderr, END. Whole within AG_TAILS_ALL_MS: stored
 *
 * On a slower line yet only the newer part is whole, and the end is stored with that. */

static void forget(struct rt_agent *agent, struct ag_link *link)
{
    if (link->end != NULL) {
        rt_ag_end_free(agent, link->end);
        link->end = NULL;
    }
}

/* A place for its end. NULL: there is none. */
static struct ag_end *place(struct rt_agent *agent, const struct ag_link *link)
{
    struct rt_key key;

    return rt_ag_link_key(link, &key) ? rt_ag_end_new(agent, key.tenant, link->id) : NULL;
}

void rt_ag_tail(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const uint8_t *data)
{
    unsigned i = frame->stream - (unsigned)RT_STDOUT;
    struct ag_end *end;
    uint8_t *more;

    /* Its END has come already, and this is a repetition; or its END will be answered LATER; or it goes on nowhere. */
    if (link->end_ready || link->tails_lost || frame->length == 0) {
        return;
    }
    if (link->end == NULL) {
        link->end = place(agent, link);
    }
    end = link->end;
    if (end == NULL) {
        link->tails_lost = true;
        return;
    }
    end->heard = agent->now;
    if (end->size[i] == 0 || frame->offset != end->offset[i] + end->size[i] ||
        end->size[i] + frame->length > RT_TAIL_MAX) {
        end->size[i] = 0; /* does not go on where the tail ended: begins with this */
        end->offset[i] = frame->offset;
    }
    more = realloc(end->tail[i], end->size[i] + frame->length);
    if (more == NULL) {
        link->tails_lost = true;
        return;
    }
    end->tail[i] = more;
    memcpy(more + end->size[i], data, frame->length);
    end->size[i] += frame->length;
}

void rt_ag_end_late(struct rt_agent *agent, struct ag_link *link)
{
    const struct ag_end *end = link->end_ready ? NULL : link->end;

    if (end == NULL || (agent->now < end->begun + AG_TAILS_ALL_MS &&
                        (link->tails_late == AG_TAILS_TOLD || agent->now < end->heard + AG_TAILS_MS))) {
        return;
    }
    forget(agent, link);
    if (link->tails_late == AG_TAILS_IN_TIME) {
        link->tails_late = AG_TAILS_LATE;
        link->tails_lost = true;
    }
}

void rt_ag_end_submit(struct rt_agent *agent, struct ag_link *link)
{
    struct ag_end *end = link->end;

    link->end = NULL;
    end->link = link->id;
    end->key = rt_ag_session_key(link->session);
    end->life = link->session->life;
    end->epoch = link->session->epoch;
    end->unclaimed = link->claim != NULL;
    rt_ag_claim_again(agent, link->session, &end->claim);
    if (link->claim != NULL) {
        /* Served unclaimed: the end's take is this life's first, and must ask for what was granted at the hello. */
        end->claim.granted_life = link->claim->life;
        memcpy(end->claim.dead_host, link->claim->claim.dead_host, sizeof(end->claim.dead_host));
    }
    rt_ag_end_begin(agent, end);
}

void rt_ag_end(struct rt_agent *agent, struct ag_link *link, const struct rt_end_msg *msg)
{
    uint64_t final[2] = {msg->out, msg->err};

    if (link->end_ready) {
        return; /* a repetition: the first END is under way */
    }
    if (link->end == NULL && !link->tails_lost) {
        link->end = place(agent, link);
    }
    if (link->end == NULL || link->tails_lost) {
        forget(agent, link);
        link->tails_lost = false;
        link->tails_late = link->tails_late == AG_TAILS_LATE ? AG_TAILS_TOLD : link->tails_late;
        rt_ag_end_answer(agent, link, RT_END_LATER);
        return;
    }
    link->end->end = *msg;
    for (unsigned i = 0; i < 2; i++) { /* a tail with a piece missing before the stream's end is none */
        if (link->end->offset[i] + link->end->size[i] != final[i]) {
            link->end->size[i] = 0;
        }
    }
    rt_ag_end_order(link->end, msg->ord);
    link->end_ready = true;
    if (link->state == AG_SERVING) { /* else once the take has been answered: its guest may be a copy */
        rt_ag_end_submit(agent, link);
    }
}
