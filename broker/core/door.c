/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/door.h"

#include "broker/core/agent.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "session/base/list.h"
#include "session/core/digest.h"

#include <stdlib.h>
#include <string.h>

/* Guests and clients do not take each other's places: each role has its own links (`links_max`) and its own
 * handshakes (`handshakes_max`). Within a role, what nobody has proved a right to gives way:
 *
 *     a handshake more than its role may have     the oldest one of the role is closed
 *     ... than this peer may have                 the oldest one of this peer
 *     a link more than its role may have          the oldest handshake of the role; without one: it is turned away
 *     a client's link more than its peer may have it is turned away
 *     a link more than there are descriptors      the oldest handshake of the role that has more of them
 *     a claim more than RT_AGENT_CLAIMS_MAX       the oldest claim
 *
 * A guest whose hello has shown a token of its container has proved more than its transport says of it, and is no
 * handshake any more but a *claim*, until it is served: no connection that says nothing takes its place. Else, when a
 * host is left by many guests at once, each that dials would close one that waits for the store, which would dial
 * again, and none would come through. Of a machine of its own, which has few guests, it stays a handshake. Where all
 * guests' links are taken and none is a handshake, the oldest claim gives way.
 *
 * A handshake takes milliseconds, and who only waits is the oldest sooner or later; so an honest peer comes in however
 * many connections another one makes. A peer is who the transport says: a vSocket CID, a user on a unix socket, a TCP
 * address. A machine of its own (a CID, an address) has few handshakes; users and the loopback address may stand for
 * many peers, and have three quarters. A guest's link that is served has proved a session, of which there is one link
 * at a time; clients prove no more than who they are, so their links count for their peer. */

static uint32_t most_handshakes(const struct rt_agent *agent, const struct rt_peer *peer)
{
    uint32_t most = agent->config.handshakes_max;

    return peer->lone ? agent->config.peer_handshakes_max : most - most / 4;
}

static struct ag_who *who_of(struct rt_agent *agent, const char *name)
{
    size_t size = strlen(name);
    unsigned hash = (unsigned)XXH64(name, size, agent->config.seed);
    struct ag_who *who;

    HASH_FIND_BYHASHVALUE(hh, agent->whos, name, size, hash, who);
    if (who != NULL) {
        return who;
    }
    who = calloc(1, sizeof(*who));
    if (who == NULL) {
        return NULL;
    }
    memcpy(who->name, name, size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, agent->whos, who->name, size, hash, who);
    if (who->hh.tbl == NULL) {
        free(who);
        return NULL;
    }
    return who;
}

static void forget(struct rt_agent *agent, struct ag_who *who)
{
    if (who->links == 0 && who->handshakes == 0) {
        HASH_DELETE(hh, agent->whos, who);
        free(who);
    }
}

/* Closes the oldest handshake of the role, or of one peer. False: there is none. */
static bool evict(struct rt_agent *agent, enum rt_peer_role role, const struct ag_who *of)
{
    struct rt_list *node = agent->shaking[role].next;

    for (; node != &agent->shaking[role]; node = node->next) {
        struct ag_link *link = RT_LIST_OF(node, struct ag_link, shaking);
        if (link->state != AG_GONE && (of == NULL || link->peer == of)) {
            agent->stats.evicted[role]++;
            rt_ag_link_close(agent, link, "too many handshakes: the oldest goes");
            return true;
        }
    }
    return false;
}

static bool evict_claim(struct rt_agent *agent)
{
    struct rt_list *node = agent->claiming.next;

    for (; node != &agent->claiming; node = node->next) {
        struct ag_link *link = RT_LIST_OF(node, struct ag_link, shaking);
        if (link->state != AG_GONE) {
            agent->stats.evicted[RT_PEER_GUEST]++;
            rt_ag_link_close(agent, link, "too many claims: the oldest goes");
            return true;
        }
    }
    return false;
}

bool rt_ag_door_spare(struct rt_agent *agent)
{
    const uint64_t *shaking = agent->stats.shaking;
    enum rt_peer_role role = shaking[RT_PEER_GUEST] > shaking[RT_PEER_CLIENT] ? RT_PEER_GUEST : RT_PEER_CLIENT;

    return evict(agent, role, NULL) || evict_claim(agent);
}

/* Whether there is room for one more link of this peer, made if need be by closing the oldest handshake. */
static bool make_room(struct rt_agent *agent, const struct rt_peer *peer, const struct ag_who *who)
{
    const struct rt_agent_stats *stats = &agent->stats;
    enum rt_peer_role role = peer->role;
    uint32_t most = agent->config.links_max[role];

    if (role == RT_PEER_CLIENT && who->links >= most - most / 4) {
        return false;
    }
    if (who->handshakes >= most_handshakes(agent, peer)) {
        (void)evict(agent, role, who);
    } else if (stats->shaking[role] >= agent->config.handshakes_max) {
        (void)evict(agent, role, NULL);
    }
    if ((role == RT_PEER_GUEST ? stats->guests : stats->clients) >= most && !evict(agent, role, NULL) &&
        (role != RT_PEER_GUEST || !evict_claim(agent))) {
        return false;
    }
    return stats->links < RT_AGENT_LINKS_MAX;
}

rt_link_id rt_ag_door_enter(struct rt_agent *agent, const struct rt_peer *peer)
{
    char name[RT_IDENTITY_MAX + 2];
    struct ag_link *link = rt_ag_link_new(peer);
    struct ag_who *who;

    if (link == NULL) {
        return 0;
    }
    name[0] = peer->role == RT_PEER_GUEST ? 'g' : 'c';
    memcpy(name + 1, peer->identity, RT_IDENTITY_MAX + 1);
    name[sizeof(name) - 1] = '\0';
    who = who_of(agent, name);
    if (who == NULL) {
        rt_ag_link_free(link);
        return 0;
    }
    if (!make_room(agent, peer, who)) {
        agent->stats.turned_away[peer->role]++;
        forget(agent, who);
        rt_ag_link_free(link);
        return 0;
    }
    link->peer = who;
    who->lone = peer->lone;
    who->handshakes++;
    who->links += peer->role == RT_PEER_CLIENT;
    agent->stats.shaking[peer->role]++;
    rt_list_push(&agent->shaking[peer->role], &link->shaking);
    rt_ag_link_enter(agent, link, peer);
    return link->id;
}

void rt_ag_door_token(struct rt_agent *agent, struct ag_link *link)
{
    if (link->peer->lone) {
        return;
    }
    rt_ag_door_proved(agent, link);
    if (agent->stats.claiming >= RT_AGENT_CLAIMS_MAX) {
        (void)evict_claim(agent);
    }
    rt_list_push(&agent->claiming, &link->shaking);
    agent->stats.claiming++;
}

void rt_ag_door_proved(struct rt_agent *agent, struct ag_link *link)
{
    if (!rt_listed(&link->shaking)) {
        return;
    }
    rt_list_remove(&link->shaking);
    if (link->role == RT_PEER_GUEST && link->peer == NULL) {
        agent->stats.claiming--;
        return;
    }
    agent->stats.shaking[link->role]--;
    link->peer->handshakes--;
    if (link->role == RT_PEER_GUEST) {
        forget(agent, link->peer);
        link->peer = NULL;
    }
}

void rt_ag_door_leave(struct rt_agent *agent, struct ag_link *link)
{
    rt_ag_door_proved(agent, link);
    if (link->peer != NULL) {
        link->peer->links--;
        forget(agent, link->peer);
        link->peer = NULL;
    }
}
