/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/agent_world.h"

#include "broker/core/ask.h"
#include "broker/core/channel.h"
#include "broker/core/end.h"
#include "broker/core/held.h"
#include "broker/core/hosts.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/made.h"
#include "broker/core/queue.h"
#include "broker/core/request.h"
#include "broker/core/revoked.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "broker/core/take.h"
#include "session/base/list.h"
#include "session/base/timer.h"

static size_t length(const struct rt_list *list)
{
    size_t n = 0;
    for (const struct rt_list *node = list->next; node != list; node = node->next) {
        FUZZ_CHECK(node->next->prev == node);
        n++;
    }
    return n;
}

struct counted {
    uint64_t links, guests, handshakes, chans[2], held, waits, held_bytes, ends, asked, revoking, served, provisional;
    uint64_t has[AG_TENANT_LIMITS]; /* of all tenants */
};

/* What counts for the tenant of a client's link. */
static void check_account(const struct ag_link *link, struct counted *n)
{
    const struct ag_link_client *client = link->client;
    const struct ag_account *account = client->account;
    FUZZ_CHECK((account != NULL) == (link->state == AG_READY));
    if (account == NULL || account->tenant == NULL) {
        return;
    }
    n->has[RT_LIMIT_TENANT_CLIENTS]++;
    n->has[RT_LIMIT_TENANT_CHANNELS] += link->n_chans;
    n->has[RT_LIMIT_TENANT_WAITING] += length(&client->held);
    n->has[RT_LIMIT_TENANT_BYTES] += client->held_bytes + account->jammed;
    FUZZ_CHECK(account->jammed == 0 || link->congested);
    for (const struct rt_list *node = client->asks.next; node != &client->asks; node = node->next) {
        n->has[RT_LIMIT_TENANT_SESSIONS] += RT_LIST_OF(node, struct ag_ask, in_link)->counts;
        n->has[RT_LIMIT_TENANT_WAITING] += RT_LIST_OF(node, struct ag_ask, in_link)->waits;
    }
}

static void check_tenants(const struct rt_agent *agent, const struct counted *n)
{
    uint64_t has[AG_TENANT_LIMITS] = {0}, ends = 0;
    for (const struct ag_tenant *tenant = agent->tenants; tenant != NULL; tenant = tenant->hh.next) {
        for (size_t i = 0; i < AG_TENANT_LIMITS; i++) {
            has[i] += tenant->has[i];
        }
        ends += tenant->shares[AG_SHARE_ENDS];
    }
    for (size_t i = 0; i < AG_TENANT_LIMITS; i++) {
        uint64_t more = i == RT_LIMIT_TENANT_SESSIONS ? n->served + HASH_CNT(hh, agent->made) : 0;
        FUZZ_CHECK(has[i] == n->has[i] + more);
    }
    FUZZ_CHECK(ends == agent->n_ends);
}

/* Returns how many attaches it holds. */
static size_t check_client(const struct ag_link_client *client, struct counted *n)
{
    size_t held = 0, held_bytes = 0, replies = 0;

    for (const struct rt_list *node = client->held.next; node != &client->held; node = node->next) {
        held_bytes += RT_LIST_OF(node, struct ag_held, in_link)->size;
        held++;
    }
    for (const struct rt_list *node = client->asks.next; node != &client->asks; node = node->next) {
        replies += RT_LIST_OF(node, struct ag_ask, in_link)->room;
        n->waits += RT_LIST_OF(node, struct ag_ask, in_link)->waits;
    }
    FUZZ_CHECK(held == length(&client->held));
    FUZZ_CHECK(client->held_bytes == held_bytes && held_bytes <= RT_LINK_HELD_BYTES_MAX);
    FUZZ_CHECK(client->replies == replies && replies <= AG_LINK_REPLIES_MAX);
    FUZZ_CHECK(client->n_asks == length(&client->asks) + length(&client->requests) &&
               client->n_asks <= AG_LINK_ASKS_MAX);
    n->held_bytes += held_bytes;
    n->held += held;
    return held;
}

static void check_link(const struct ag_link *link, struct counted *n)
{
    bool guest = link->role == RT_PEER_GUEST;
    size_t chans = length(&link->chans), held = guest ? 0 : check_client(link->client, n), byes = length(&link->byes);
    size_t unanswered = 0;
    for (const struct rt_list *node = link->chans.next; guest && node != &link->chans; node = node->next) {
        unanswered += !RT_LIST_OF(node, struct ag_chan, in[AG_GUEST])->attached;
    }
    FUZZ_CHECK(link->unanswered == unanswered && unanswered <= AG_UNANSWERED_MAX);
    FUZZ_CHECK(link->queued <= RT_LINK_QUEUED_MAX);
    FUZZ_CHECK(link->grown[0] + link->grown[1] <= RT_LINK_GROWN_MAX);
    FUZZ_CHECK(link->congested || (byes == 0 && rt_list_empty(&link->waiters)));
    if (!guest) {
        check_account(link, n);
    }
    n->links++;
    n->guests += guest;
    n->handshakes += link->state < AG_SERVING;
    n->chans[guest ? AG_GUEST : AG_CLIENT] += chans;
    n->ends += link->end != NULL;
    FUZZ_CHECK(link->timer.set);
    FUZZ_CHECK(rt_listed(&link->shaking) == (link->state < AG_SERVING));
    FUZZ_CHECK(link->peer != NULL || guest);
    FUZZ_CHECK(!guest || link->state > AG_OPEN || link->peer != NULL);
    FUZZ_CHECK(!guest || link->state < AG_SERVING || link->peer == NULL);
    FUZZ_CHECK(link->n_chans == chans + held + byes && link->n_chans <= RT_LINK_CHANNELS_MAX);
    FUZZ_CHECK(guest ? link->state != AG_READY : link->state <= AG_OPEN || link->state >= AG_READY);
    FUZZ_CHECK(link->state != AG_SERVING || link->session != NULL);
    FUZZ_CHECK(link->session == NULL || link->session->guest == link);
    FUZZ_CHECK(link->state <= AG_OPEN || link->state >= AG_SERVING || link->claim != NULL);
}

/* Of all operations under way those that are about this session. */
static size_t ops_of(const struct ag_session *session, struct counted *n)
{
    size_t count = 0;
    for (size_t i = 0; i < world.n_ops; i++) {
        const struct ag_op *op = world.agent->ops[world.ops[i].id % AG_SLOTS];
        FUZZ_CHECK(op != NULL && op->id == world.ops[i].id && op->kind == world.ops[i].kind);
        count += op->session == session;
        n->asked += session == NULL && op->to == AG_FOR_END;
        n->revoking += session == NULL && op->to == AG_FOR_REVOKED;
        FUZZ_CHECK(op->to != AG_FOR_END || op->end->asked);
    }
    return count;
}

static void check_session(const struct ag_session *session, struct counted *n)
{
    bool used = session->guest != NULL || session->n_ops > 0 || !rt_list_empty(&session->held) ||
                !rt_list_empty(&session->asks) || session->lost_at != 0 || session->write_at != 0;
    FUZZ_CHECK(session->n_ops == ops_of(session, n));
    FUZZ_CHECK(used != rt_listed(&session->fact.node));
    FUZZ_CHECK(session->fact.what == 0);
    FUZZ_CHECK(used || session->timer.set); /* else it would never be forgotten */
    FUZZ_CHECK(session->report_size <= RT_REPORT_MAX);
    FUZZ_CHECK(session->guest == NULL || (session->guest->session == session && session->rule != NULL));
    FUZZ_CHECK(session->guest == NULL || rt_list_empty(&session->held) || !rt_ag_guest_open(session->guest));
    FUZZ_CHECK(session->guest == NULL || !rt_ag_session_revoked(world.agent, session));
    n->served += session->guest != NULL;
    n->provisional += session->guest != NULL && !session->claimed;
}

static void check_chan(const struct ag_chan *chan)
{
    FUZZ_CHECK(chan->link[AG_GUEST]->role == RT_PEER_GUEST && chan->link[AG_CLIENT]->role == RT_PEER_CLIENT);
    FUZZ_CHECK(chan->session->guest == chan->link[AG_GUEST]);
    for (unsigned stream = 0; stream < RT_STREAMS; stream++) {
        const struct ag_flow *flow = &chan->flow[stream];
        FUZZ_CHECK(flow->granted <= flow->seen + RT_CHANNEL_BUDGET);
        FUZZ_CHECK(flow->granted <= flow->wanted);
    }
}

static void check_timers(const struct rt_timer *timer, uint64_t at, unsigned depth)
{
    for (; timer != NULL; timer = timer->next) {
        FUZZ_CHECK(timer->set && timer->at >= at && depth < 1000);
        FUZZ_CHECK(timer->next == NULL || timer->next->prev == timer);
        check_timers(timer->child, timer->at, depth + 1);
    }
}

static void check_ends(const struct rt_agent *agent, const struct counted *n)
{
    size_t asked = 0, writing = 0;
    for (const struct rt_list *node = agent->ends.next; node != &agent->ends; node = node->next) {
        const struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);
        asked += end->asked;
        writing += end->disk == AG_DISK_WRITING;
        /* else nothing would bring it further: one that the store has, but perhaps not for long, waits for its timer
         * where the disk does not take it */
        FUZZ_CHECK(
            end->asked || end->disk != AG_DISK_NONE ||
            (end->unsure && end->offer_at != 0 && agent->kept_timer.set && agent->kept_timer.at <= end->offer_at));
        FUZZ_CHECK(!end->over || end->disk != AG_DISK_KEPT);
    }
    FUZZ_CHECK(asked == n->asked && writing == world.n_writes);
    FUZZ_CHECK(agent->n_ends == n->ends + length(&agent->ends) && agent->n_ends <= RT_ENDS_MAX);
}

static void check_revoked(const struct rt_agent *agent, const struct counted *n)
{
    size_t again = 0, unkept = 0, writing = 0;
    for (const struct ag_revoked *revoked = agent->revoked; revoked != NULL; revoked = revoked->hh.next) {
        again += rt_listed(&revoked->again);
        FUZZ_CHECK(revoked->life > 0 && revoked->kept <= revoked->life);
        unkept += rt_listed(&revoked->unkept);
        writing += revoked->writing;
        FUZZ_CHECK((revoked->kept < revoked->life) == (rt_listed(&revoked->unkept) || revoked->writing));
    }
    FUZZ_CHECK(unkept == length(&agent->revoked_unkept) && writing == world.n_revoking);
    FUZZ_CHECK(agent->revoked_writing == world.n_revoking);
    FUZZ_CHECK(unkept == 0 || world.n_revoking > 0 ||
               agent->revoked_timer.set); /* else nothing would bring it further */
    FUZZ_CHECK(again == length(&agent->revoked_again) && HASH_CNT(hh, agent->revoked) <= RT_AGENT_REVOKED_MAX);
    FUZZ_CHECK(agent->revoked_flight == n->revoking && n->revoking <= AG_REVOKED_FLIGHT_MAX);
}

void world_check(void)
{
    struct rt_agent *agent = world.agent;
    const struct ag_session *session;
    const struct ag_chan *chan;
    struct rt_agent_stats stats;
    struct counted n = {0};
    uint64_t placed[2] = {0, 0};
    for (unsigned i = 0; i < WORLD_PEERS; i++) {
        const struct ag_link *link = world.peers[i].id == 0 ? NULL : rt_ag_link(agent, world.peers[i].id);
        FUZZ_CHECK(world.peers[i].id == 0 || link != NULL);
        if (link != NULL) {
            check_link(link, &n);
        }
    }
    for (session = agent->sessions; session != NULL; session = session->hh.next) {
        check_session(session, &n);
    }
    for (unsigned i = 0; i < 2 * agent->n_places; i++) {
        for (chan = agent->places[i]; chan != NULL; chan = chan->next[i % 2]) {
            check_chan(chan);
            placed[i % 2]++;
        }
    }
    (void)ops_of(NULL, &n);
    check_timers(agent->timers.root, 0, 0);
    rt_agent_stats(agent, &stats);
    FUZZ_CHECK(stats.links == n.links && stats.guests == n.guests && stats.clients == n.links - n.guests);
    FUZZ_CHECK(stats.handshakes == n.handshakes);
    FUZZ_CHECK(stats.shaking[RT_PEER_GUEST] + stats.shaking[RT_PEER_CLIENT] + stats.claiming == n.handshakes);
    FUZZ_CHECK(stats.sessions == HASH_CNT(hh, agent->sessions));
    FUZZ_CHECK(stats.served == n.served && stats.provisional == n.provisional);
    FUZZ_CHECK(stats.channels == placed[AG_GUEST] && stats.channels == n.chans[AG_GUEST]);
    FUZZ_CHECK(stats.channels == placed[AG_CLIENT] && stats.channels == n.chans[AG_CLIENT]);
    FUZZ_CHECK(stats.held == HASH_CNT(hh, agent->held) + n.waits && stats.held == n.held + n.waits &&
               stats.held <= RT_AGENT_HELD_MAX);
    FUZZ_CHECK(agent->held_bytes == n.held_bytes && n.held_bytes <= RT_AGENT_HELD_BYTES_MAX);
    FUZZ_CHECK(agent->n_ops == world.n_ops && agent->retake_flight <= AG_RETAKE_FLIGHT_MAX);
    check_ends(agent, &n);
    check_revoked(agent, &n);
    check_tenants(agent, &n);
    FUZZ_CHECK(!ag_unsettled(agent));
    FUZZ_CHECK(agent->n_hosts <= AG_HOSTS_MAX && agent->run_link == 0);
}
