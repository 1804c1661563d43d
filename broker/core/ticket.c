/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ticket.h"

#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/base/slice.h"
#include "session/core/frame.h"

#include <string.h>

/* All guests get a ticket under a new key within this time, not at once. */
#define AG_REKEY_SPREAD_MS 5000
#define AG_RENEW_RETRY_MS 1000

/* When a guest's ticket is given and renewed. With ticket_ttl = 1000 s, in seconds since its WELCOME:
 *
 *        0    WELCOME gives t2, which expires at 1000; renew_at = 500 less up to 125, drawn
 *        1    the take of a claim of which nothing was ever taken is answered: t2 anew, which says `taken`
 *      430    renew_at: t2 anew, which expires at 1430; renew_at is drawn anew
 *      600    the wall clock is set forth by 700 s, to 1300: less than half of the time is left, so t2 anew, to 2300
 *      700    another key is made active: t2 anew under that key, within AG_REKEY_SPREAD_MS
 *
 * Every renewal is the same t2, at the same place of its chain (ticket.h). */

/* How many tickets in a row were given without the store, with the one that the claim's welcome gives. */
static uint8_t unproven(const struct ag_claim *made)
{
    if (!made->provisional) {
        return 0;
    }
    return made->unproven < RT_ANCESTORS_MAX ? made->unproven + 1 : RT_ANCESTORS_MAX;
}

/* Adds what all tickets say, and seals. It is bound to the virtual machine that its guest has proved to be, whatever
 * the token before it was bound to: a guest that proves none has come with one that is not bound. The ticket is to be
 * renewed somewhat before half of its time: the drawn part spreads the renewals of tickets that were given in one
 * moment. */
static int seal(struct rt_agent *agent, struct ag_link *link, struct rt_ticket *ticket, uint8_t out[RT_TOKEN_MAX])
{
    const struct rt_sealer *sealer = &agent->config.sealer;
    uint64_t ttl = agent->config.ticket_ttl_ms, jitter;

    link->renew_at = 0;
    rt_slice_copy(rt_slice_text(ag_link_who(link)), ticket->bound_to, sizeof(ticket->bound_to));
    rt_slice_copy(rt_slice_text(agent->config.host), ticket->issuer, sizeof(ticket->issuer));
    if (ttl != 0) {
        agent->config.io.random(agent->config.io.ctx, &jitter, sizeof(jitter));
        ticket->expires_ms = rt_ag_wall(agent) + ttl;
        link->renew_at = agent->now + ttl / 2 - jitter % (ttl / 8 + 1);
    }
    link->expires_ms = ticket->expires_ms;
    return sealer->seal(sealer->ctx, ticket, out, RT_TOKEN_MAX);
}

int rt_ag_ticket_child(struct rt_agent *agent, struct ag_link *link, uint8_t out[RT_TOKEN_MAX])
{
    const struct ag_claim *made = link->claim;
    const struct rt_claim *claim = &made->claim;
    struct rt_ticket parent, child;

    memset(&parent, 0, sizeof(parent));
    parent.join = claim->join;
    parent.key = claim->key;
    parent.inc = claim->inc;
    parent.id = claim->ticket;
    parent.taken = claim->taken;
    parent.unproven = made->unproven;
    parent.n_ancestors = claim->n_ancestors;
    memcpy(parent.ancestors, claim->ancestors, sizeof(parent.ancestors));
    rt_ticket_child(&parent, &claim->next, claim->epoch, &child);
    child.unproven = unproven(made);
    child.join = false;
    child.inc = claim->inc;
    child.life = made->life;
    return seal(agent, link, &child, out);
}

bool rt_ag_ticket_ages(const struct rt_agent *agent, const struct ag_link *link)
{
    if (link->renew_at != 0 && agent->now >= link->renew_at) {
        return true;
    }
    /* By the wall clock too: it may have been set forward. */
    return link->expires_ms != 0 && rt_ag_wall(agent) + agent->config.ticket_ttl_ms / 2 >= link->expires_ms;
}

void rt_ag_tickets_rekeyed(struct rt_agent *agent)
{
    struct ag_session *session, *next;

    HASH_ITER(hh, agent->sessions, session, next)
    {
        struct ag_link *link = session->guest;
        if (link != NULL) {
            link->renew_at = agent->now + 1 + session->hh.hashv % AG_REKEY_SPREAD_MS;
            rt_ag_link_arm(agent, link);
        }
    }
}

void rt_ag_ticket_renew(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_record record;
    struct rt_frame frame = {.type = RT_TICKET};
    uint64_t expires_ms = link->expires_ms;
    struct rt_ticket ticket;
    uint8_t token[RT_TOKEN_MAX];
    int size;

    if (link->congested) { /* nothing counts what is queued for who does not read */
        link->renew_at = agent->now + AG_RENEW_RETRY_MS;
        return;
    }
    rt_ag_session_rule(link->session, &record);
    memset(&ticket, 0, sizeof(ticket));
    ticket.key = rt_ag_session_key(link->session);
    ticket.life = record.life;
    ticket.epoch = record.epoch;
    ticket.inc = record.inc;
    ticket.id = record.ticket;
    ticket.n_ancestors = record.n_ancestors;
    memcpy(ticket.ancestors, record.ancestors, sizeof(ticket.ancestors));
    ticket.taken = link->session->taken;
    ticket.unproven = link->claim == NULL ? 0 : unproven(link->claim);
    size = seal(agent, link, &ticket, token);
    if (size < 0) { /* not sealed: the guest's ticket is good for half of its time yet */
        link->expires_ms = expires_ms;
        link->renew_at = agent->now + AG_RENEW_RETRY_MS;
        return;
    }
    frame.length = (uint32_t)size;
    rt_ag_send_frame(agent, link, &frame, token);
}
