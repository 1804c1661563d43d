/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/guest.h"

#include "broker/core/door.h"
#include "broker/core/hosts.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/revoked.h"
#include "broker/core/send.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/take.h"
#include "broker/core/ticket.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guest's handshake, from HELLO to CONFIRM; take.c goes on from there. A container moves to this host, B; A serves it
 * at life 7, epoch 4 (7/4), and its confirmed ticket is t1:
 *
 *     guest                      this agent                             store: record 7/4, A, t1
 *       | HELLO 7/5, t1 ------------>| remembered(): nothing against it
 *       |                            | test(): TEST 7/5, t1 ------------->| same ticket, newer epoch: OK, life 7
 *       |                            |<------------------------- OK, 7 ---| nothing is written
 *       |<-- WELCOME 7/5, ticket t2 -| t2 is the child of t1
 *       | CONFIRM ------------------>| take.c: TAKE 7/5, t2 ------------->| record 7/5, B, t2
 *
 * Nothing counts before the CONFIRM. When WELCOME is lost, nobody ever has t2, and the guest comes back with 7/6, t1.
 * When CONFIRM is lost, it comes back with 7/6, t2, which descends from the t1 of the record: OK too.
 *
 * When the store has no answer within 100 ms, a ticket is welcomed all the same, *provisionally*, unless what this
 * agent remembers of the session refuses it. A join token waits for as long as an operation may take, then gets
 * RETRY_LATER: only the store can tell whether another start has come first. */

static int open_token(struct rt_agent *agent, struct ag_link *link, const struct rt_hello_msg *hello,
                      struct rt_ticket *ticket, char why[RT_TEXT_MAX])
{
    char cid[RT_CID_MAX + 1];
    struct rt_id inc;
    const struct rt_sealer *sealer = &agent->config.sealer;
    int err = sealer->open(sealer->ctx, hello->tok.data, hello->tok.size, rt_ag_wall(agent), ticket);

    memcpy(inc.b, hello->inc.data, RT_ID_SIZE);
    rt_slice_copy(hello->cid, cid, sizeof(cid));
    if (err == RT_EEXPIRED) {
        snprintf(why, RT_TEXT_MAX, "the token has expired: create the container anew");
    } else if (err == RT_ENOTFOUND) {
        snprintf(why, RT_TEXT_MAX, "this agent's key ring lacks the key of the token: give it the other agents' ring");
    } else if (err != 0) {
        snprintf(why, RT_TEXT_MAX, "the token is not one of this cluster: %s", rt_strerror(err));
    } else if (strcmp(cid, ticket->key.cid) != 0) {
        snprintf(why, RT_TEXT_MAX, "the token is another container's");
        err = RT_EAUTH;
    } else if (ticket->bound_to[0] != '\0' && strcmp(ticket->bound_to, ag_link_who(link)) != 0) {
        snprintf(why, RT_TEXT_MAX, "the token is bound to another virtual machine%s",
                 link->who == NULL ? ": this connection proves none" : "");
        err = RT_EAUTH;
    } else if (!ticket->join && !rt_id_equal(&ticket->inc, &inc)) {
        snprintf(why, RT_TEXT_MAX, "the ticket is another incarnation's");
        err = RT_EAUTH;
    }
    return err;
}

/* Whether the store is known to have taken a claim of this ticket's chain. */
static bool was_taken(struct rt_agent *agent, const struct rt_ticket *ticket)
{
    const struct ag_session *session = rt_ag_session_find(agent, &ticket->key);

    return ticket->taken || (session != NULL && session->rule != NULL && session->taken &&
                             rt_id_equal(&session->rule->inc, &ticket->inc));
}

static uint64_t known_life(struct rt_agent *agent, const struct rt_key *key)
{
    const struct ag_session *session = rt_ag_session_find(agent, key);

    return session == NULL ? 0 : session->life;
}

static struct ag_claim *make_claim(struct rt_agent *agent, const struct ag_link *link, const struct rt_hello_msg *hello,
                                   const struct rt_ticket *ticket)
{
    struct ag_claim *made = calloc(1, sizeof(*made));
    struct rt_claim *claim;

    if (made == NULL) {
        return NULL;
    }
    claim = &made->claim;
    claim->key = ticket->key;
    claim->join = ticket->join;
    memcpy(claim->inc.b, hello->inc.data, RT_ID_SIZE);
    memcpy(claim->nonce.b, hello->nonce.data, RT_ID_SIZE);
    claim->life = ticket->join ? known_life(agent, &ticket->key) : ticket->life;
    claim->base = ticket->join ? ticket->life : 0;
    claim->epoch = hello->epoch;
    if (!ticket->join) {
        made->unproven = ticket->unproven;
        claim->taken = was_taken(agent, ticket);
        claim->ticket = ticket->id;
        claim->n_ancestors = ticket->n_ancestors;
        memcpy(claim->ancestors, ticket->ancestors, sizeof(claim->ancestors));
    }
    agent->config.io.random(agent->config.io.ctx, claim->next.b, RT_ID_SIZE);
    rt_slice_copy(rt_slice_text(agent->config.host), claim->host, sizeof(claim->host));
    rt_slice_copy(rt_slice_text(ag_link_who(link)), claim->proof, sizeof(claim->proof));
    claim->store_whole = rt_ag_whole(agent);
    return made;
}

/* What this agent's own memory says of a hello. It may be older than what the guest has been through since, so it
 * refuses only what is revoked, and a hello that is not above the newest claim that is remembered. With the store out
 * it also judges by the record of the guest that is served here at this moment: else a copy of that one would be
 * welcomed. */
static enum rt_class remembered(struct rt_agent *agent, const struct rt_claim *claim, bool store_out,
                                struct rt_claim_outcome *outcome)
{
    struct ag_session *session = rt_ag_session_find(agent, &claim->key);
    bool older;

    memset(outcome, 0, sizeof(*outcome));
    if (rt_claim_revoked(claim, rt_ag_revoked(agent, &claim->key))) {
        outcome->verdict = RT_CLASS_BAD_AUTH;
        return outcome->verdict;
    }
    if (claim->join || session == NULL || session->known_at == 0 || !rt_ag_session_known(agent, session)) {
        return RT_CLASS_OK;
    }
    if (session->rule == NULL && !claim->taken) {
        return RT_CLASS_OK; /* worth no more than its join token: the store alone knows of another start */
    }
    older = !ag_newer(claim->life, claim->epoch, session->life, session->epoch);
    if (!older && !(store_out && session->guest != NULL)) {
        return RT_CLASS_OK;
    }
    if (session->rule != NULL) {
        struct rt_record record;
        rt_ag_session_rule(session, &record);
        rt_claim_judge(&record, claim, 0, outcome);
        return outcome->verdict == RT_CLASS_RETRY_LATER && !store_out ? RT_CLASS_OK : outcome->verdict;
    }
    if (!older) {
        return RT_CLASS_OK;
    }
    outcome->verdict = claim->life < session->life ? RT_CLASS_SUPERSEDED : RT_CLASS_STALE;
    outcome->life = session->life;
    outcome->epoch = session->epoch;
    return outcome->verdict;
}

static const char *verdict_text(enum rt_class verdict)
{
    switch (verdict) {
    case RT_CLASS_STALE:
        return "a connection with this epoch or a newer one has been made: raise the epoch";
    case RT_CLASS_REWOUND:
        return "this guest has gone back in time: a later state of it was served (a reverted snapshot?)";
    case RT_CLASS_FORKED:
        return "another copy of this guest is served (a clone?)";
    case RT_CLASS_SUPERSEDED:
        return "a newer start of this container is served";
    case RT_CLASS_BAD_AUTH:
        return AG_REVOKED_TEXT;
    case RT_CLASS_RETRY_LATER:
        return "another start of this container is served, or the store does not know yet";
    default:
        return "";
    }
}

static void refuse_verdict(struct rt_agent *agent, struct ag_link *link, const struct rt_claim_outcome *outcome)
{
    struct rt_refuse_msg refuse = {.c = outcome->verdict, .m = rt_slice_text(verdict_text(outcome->verdict))};

    if (outcome->verdict == RT_CLASS_STALE) {
        refuse.life = link->claim->claim.life;
        refuse.epoch = outcome->epoch;
    } else if (outcome->verdict == RT_CLASS_RETRY_LATER) {
        refuse.delay = outcome->delay_ms > 0 ? outcome->delay_ms : AG_RETRY_DELAY_MS;
    }
    rt_ag_link_refuse(agent, link, &refuse);
}

/* Asks the store for its verdict. When the store cannot be asked, the claim goes on at once as after the time-out. */
static void test(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_store_op op = {.kind = RT_STORE_TEST, .key = link->claim->claim.key, .claim = link->claim->claim};
    struct ag_op about = {.to = AG_FOR_TEST, .link = link->id};

    link->claim_at = agent->now + rt_ag_claim_wait(agent, &op.claim);
    rt_ag_link_state(agent, link, AG_TESTING);
    link->op = rt_ag_claim_hurries(agent, &op.claim) ? 0 : rt_ag_store(agent, &op, &about);
    if (link->op == 0) {
        rt_ag_guest_silent(agent, link);
    }
}

/* While a new key is brought from host to host, a guest may come with a token under that key before this host has it:
 * it asks again, as it may find the key the next time. Any other fault of a token stays. */
static void refuse_token(struct rt_agent *agent, struct ag_link *link, int err, const char *why)
{
    struct rt_refuse_msg refuse = {.c = RT_CLASS_BAD_AUTH, .m = rt_slice_text(why)};

    if (err == RT_ENOTFOUND) {
        refuse.c = RT_CLASS_RETRY_LATER;
        refuse.delay = AG_UNKNOWN_KEY_DELAY_MS;
    }
    rt_ag_link_refuse(agent, link, &refuse);
}

void rt_ag_guest_hello(struct rt_agent *agent, struct ag_link *link, const struct rt_hello_msg *hello)
{
    struct rt_ticket ticket;
    struct rt_claim_outcome outcome;
    char why[RT_TEXT_MAX];
    int err;

    if (!rt_cid_valid(hello->cid) || hello->inc.size != RT_ID_SIZE || hello->nonce.size != RT_ID_SIZE ||
        hello->tok.size == 0 || hello->epoch == 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, "a guest's hello needs cid, inc, epoch, tok and nonce");
        return;
    }
    memset(&ticket, 0, sizeof(ticket));
    if (agent->taken) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, AG_TAKEN_TEXT);
        return;
    }
    err = open_token(agent, link, hello, &ticket, why);
    if (err != 0) {
        refuse_token(agent, link, err, why);
        return;
    }
    link->claim = make_claim(agent, link, hello, &ticket);
    if (link->claim == NULL) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
        return;
    }
    link->epoch = link->claim->claim.epoch;
    if (remembered(agent, &link->claim->claim, false, &outcome) != RT_CLASS_OK) {
        refuse_verdict(agent, link, &outcome);
        return;
    }
    rt_ag_door_token(agent, link);
    test(agent, link);
}

static void welcome(struct rt_agent *agent, struct ag_link *link)
{
    struct ag_claim *made = link->claim;
    struct rt_frame frame = {.type = RT_WELCOME};
    struct rt_welcome_msg *msg = calloc(1, sizeof(*msg));
    uint8_t token[RT_TOKEN_MAX];
    int size = msg == NULL ? RT_ENOMEM : rt_ag_ticket_child(agent, link, token);

    if (size < 0) {
        free(msg);
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_strerror(size));
        return;
    }
    msg->v = RT_PROTOCOL_VERSION;
    msg->host = rt_slice_text(agent->config.host);
    msg->life = link->life = made->life;
    msg->tkt.data = token;
    msg->tkt.size = (size_t)size;
    msg->drain = made->draining;
    size = rt_ag_send_msg(agent, link, &frame, RT_MSG_WELCOME, msg);
    free(msg);
    if (size != 0) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_strerror(size));
        return;
    }
    link->claim_at = 0;
    link->op = 0;
    rt_ag_link_state(agent, link, AG_WELCOMED);
}

void rt_ag_guest_confirm(struct rt_agent *agent, struct ag_link *link)
{
    if (link->state != AG_WELCOMED) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_PROTOCOL, "CONFIRM without a WELCOME before it");
        return;
    }
    rt_ag_take_start(agent, link);
}

void rt_ag_guest_silent(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_claim_outcome outcome;

    link->claim_at = 0;
    link->op = 0;
    if (link->claim->claim.join) {
        rt_ag_link_refuse_text(agent, link, RT_CLASS_RETRY_LATER, rt_ag_store_why_start(agent));
    } else if (remembered(agent, &link->claim->claim, true, &outcome) != RT_CLASS_OK) {
        refuse_verdict(agent, link, &outcome);
    } else {
        link->claim->life = link->claim->claim.life;
        link->claim->provisional = true;
        welcome(agent, link);
    }
}

/* A start waits because the store says that `owner` serves another one. When that host is dead it will never tell of
 * the other start's end, so the store is asked again with its name. Returns whether it is. */
static bool owner_is_dead(struct rt_agent *agent, struct ag_link *link, const char *owner)
{
    struct rt_claim *claim = &link->claim->claim;

    if (owner[0] == '\0' || claim->dead_host[0] != '\0' || !rt_ag_host_dead(agent, owner)) {
        return false;
    }
    rt_slice_copy(rt_slice_text(owner), claim->dead_host, sizeof(claim->dead_host));
    test(agent, link);
    return true;
}

/* A start waits because the record names this very host. If nobody serves the session here, an earlier run of this
 * agent has left that record: the answer makes it an orphan, which is written lost after a grace. */
static void find_orphan(struct rt_agent *agent, const struct rt_key *key)
{
    struct ag_session *session = rt_ag_session_get(agent, key);
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = *key};
    struct ag_op about = {.to = AG_FOR_CENSUS};

    if (session == NULL) {
        return;
    }
    if (session->guest == NULL && session->lost_at == 0 && session->n_ops == 0) {
        (void)rt_ag_session_store(agent, session, &op, &about);
    }
}

/* Whether the life of an untaken ticket has gone to another start, or is below one. Its guest would be welcomed as with
 * its join token, to a new life; but a guest takes no welcome to another life than its ticket's. So it has to drop the
 * ticket first. */
static bool life_is_gone(const struct rt_claim *claim, const struct rt_claim_outcome *outcome)
{
    return !claim->join && !claim->taken && outcome->life != claim->life;
}

void rt_ag_test_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    struct ag_link *link = rt_ag_link(agent, op->link);
    const struct rt_claim_outcome *outcome = &reply->outcome;

    if (link == NULL || link->op != op->id || link->state != AG_TESTING) {
        return;
    }
    if (reply->error != 0) {
        rt_ag_guest_silent(agent, link);
    } else if (outcome->verdict == RT_CLASS_OK && life_is_gone(&link->claim->claim, outcome)) {
        struct rt_refuse_msg refuse = {.c = RT_CLASS_RETRY_LATER, .delay = AG_RETRY_DELAY_MS, .drop = true};
        refuse.m =
            rt_slice_text("another start of this container was served: this ticket is void, join again with the token");
        rt_ag_link_refuse(agent, link, &refuse);
    } else if (outcome->verdict == RT_CLASS_OK) {
        link->claim->life = outcome->life;
        link->claim->draining = outcome->draining;
        welcome(agent, link);
    } else {
        if (outcome->verdict == RT_CLASS_RETRY_LATER) {
            if (owner_is_dead(agent, link, outcome->host)) {
                return;
            }
            if (strcmp(outcome->host, agent->config.host) == 0) {
                find_orphan(agent, &link->claim->claim.key);
            }
        } else if (outcome->verdict == RT_CLASS_BAD_AUTH) {
            rt_ag_revoked_note(agent, &link->claim->claim.key, outcome->life);
        }
        refuse_verdict(agent, link, outcome);
    }
}
