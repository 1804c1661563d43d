/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/door.h"

#include "broker/core/agent.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/send.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"

#include <stdio.h>
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
 * Whoever is closed, or turned away, is told LIMIT with the number, but where the wire itself still shakes hands (TLS):
 * there is no frame on it yet, and the log and the counters alone say so.
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

#define IDENTITY_SIZE (RT_IDENTITY_MAX + 2)

static void name_of(const struct rt_peer *peer, char name[IDENTITY_SIZE])
{
    name[0] = peer->role == RT_PEER_GUEST ? 'g' : 'c';
    memcpy(name + 1, peer->identity, RT_IDENTITY_MAX + 1);
    name[IDENTITY_SIZE - 1] = '\0';
}

static unsigned hash_of(const struct rt_agent *agent, const char *name, size_t size)
{
    return (unsigned)XXH64(name, size, agent->config.seed);
}

static struct ag_who *find_who(const struct rt_agent *agent, const char *name, size_t size)
{
    struct ag_who *who;

    HASH_FIND_BYHASHVALUE(hh, agent->whos, name, size, hash_of(agent, name, size), who);
    return who;
}

static struct ag_who *who_of(struct rt_agent *agent, const char *name)
{
    size_t size = strlen(name);
    struct ag_who *who = find_who(agent, name, size);

    if (who != NULL) {
        return who;
    }
    who = calloc(1, sizeof(*who));
    if (who == NULL) {
        return NULL;
    }
    memcpy(who->name, name, size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, agent->whos, who->name, size, hash_of(agent, name, size), who);
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

/* Of which there are no more. */
struct bound {
    const char *setting; /* NULL: descriptors, as many as there are */
    const char *what;
    uint64_t most;
};

static const struct bound descriptors = {.setting = NULL};

static const struct bound *most_links(const struct rt_agent *agent, enum rt_peer_role role, struct bound *bound)
{
    bool guest = role == RT_PEER_GUEST;

    *bound = (struct bound){guest ? "listen.max_guests" : "listen.max_clients", guest ? "guests" : "clients",
                            agent->config.links_max[role]};
    return bound;
}

/* text: what the refusal says, which points into it. */
static struct rt_refuse_msg refusal(const struct bound *bound, char text[RT_TEXT_MAX + 1])
{
    struct rt_refuse_msg msg = {.c = RT_CLASS_RETRY_LATER, .delay = AG_SHAKE_AGAIN_MS};

    if (bound->setting == NULL) {
        (void)snprintf(text, RT_TEXT_MAX + 1, "this agent has no descriptor for another connection");
    } else {
        (void)snprintf(text, RT_TEXT_MAX + 1, "this agent has %llu %s, the most it may have (%s)",
                       (unsigned long long)bound->most, bound->what, bound->setting);
        msg.c = RT_CLASS_LIMIT;
        msg.which = rt_slice_text(bound->setting);
        msg.max = bound->most;
    }
    msg.m = rt_slice_text(text);
    return msg;
}

/* It gives way to another one, and is told of what there are too many; but by no frame while its wire still shakes
 * hands. It dials again soon: an honest one that was the oldest by chance comes in. */
static void give_way(struct rt_agent *agent, struct ag_link *link, const struct bound *bound)
{
    char text[RT_TEXT_MAX + 1];
    struct rt_refuse_msg msg = refusal(bound, text);

    agent->stats.evicted[link->role]++;
    if (link->state != AG_UNPROVED) {
        rt_ag_refuse(agent, link, 0, &msg);
    }
    rt_ag_link_close(agent, link, text);
}

/* Closes the oldest handshake of the role, or of one peer. False: there is none. */
static bool evict(struct rt_agent *agent, enum rt_peer_role role, const struct ag_who *of, const struct bound *bound)
{
    struct rt_list *node = agent->shaking[role].next;

    for (; node != &agent->shaking[role]; node = node->next) {
        struct ag_link *link = RT_LIST_OF(node, struct ag_link, shaking);
        if (link->state != AG_GONE && (of == NULL || link->peer == of)) {
            give_way(agent, link, bound);
            return true;
        }
    }
    return false;
}

static bool evict_claim(struct rt_agent *agent, const struct bound *bound)
{
    struct rt_list *node = agent->claiming.next;

    for (; node != &agent->claiming; node = node->next) {
        struct ag_link *link = RT_LIST_OF(node, struct ag_link, shaking);
        if (link->state != AG_GONE) {
            give_way(agent, link, bound);
            return true;
        }
    }
    return false;
}

bool rt_ag_door_spare(struct rt_agent *agent)
{
    const uint64_t *shaking = agent->stats.shaking;
    enum rt_peer_role role = shaking[RT_PEER_GUEST] > shaking[RT_PEER_CLIENT] ? RT_PEER_GUEST : RT_PEER_CLIENT;

    return evict(agent, role, NULL, &descriptors) || evict_claim(agent, &descriptors);
}

/* Links of one peer's clients. */
static uint32_t most_of_peer(const struct rt_agent *agent)
{
    uint32_t most = agent->config.links_max[RT_PEER_CLIENT];

    return most - most / 4;
}

/* Whether there is room for one more link of this peer, made if need be by closing the oldest handshake. */
static bool make_room(struct rt_agent *agent, const struct rt_peer *peer, const struct ag_who *who)
{
    const struct rt_agent_stats *stats = &agent->stats;
    enum rt_peer_role role = peer->role;
    uint32_t most = agent->config.links_max[role], shaking = most_handshakes(agent, peer);
    struct bound bound = {"limits.handshakes", "handshakes", agent->config.handshakes_max};

    if (role == RT_PEER_CLIENT && who->links >= most_of_peer(agent)) {
        return false;
    }
    if (who->handshakes >= shaking) {
        bound = (struct bound){peer->lone ? "limits.peer_handshakes" : "limits.handshakes", "handshakes of this peer",
                               shaking};
        (void)evict(agent, role, who, &bound);
    } else if (stats->shaking[role] >= agent->config.handshakes_max) {
        (void)evict(agent, role, NULL, &bound);
    }
    (void)most_links(agent, role, &bound);
    if ((role == RT_PEER_GUEST ? stats->guests : stats->clients) >= most && !evict(agent, role, NULL, &bound) &&
        (role != RT_PEER_GUEST || !evict_claim(agent, &bound))) {
        return false;
    }
    return stats->links < RT_AGENT_LINKS_MAX;
}

rt_link_id rt_ag_door_enter(struct rt_agent *agent, const struct rt_peer *peer)
{
    char name[IDENTITY_SIZE];
    struct ag_link *link = rt_ag_link_new(peer);
    struct ag_who *who;

    if (link == NULL) {
        return 0;
    }
    name_of(peer, name);
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

size_t rt_ag_door_why(struct rt_agent *agent, const struct rt_peer *peer, uint8_t *out, size_t cap)
{
    struct rt_frame frame = {.type = RT_REFUSE};
    const struct rt_agent_stats *stats = &agent->stats;
    char name[IDENTITY_SIZE], text[RT_TEXT_MAX + 1];
    const struct ag_who *who;
    struct rt_refuse_msg msg;
    struct bound bound;
    int size;

    name_of(peer, name);
    who = find_who(agent, name, strlen(name));
    (void)most_links(agent, peer->role, &bound);
    if (peer->role == RT_PEER_CLIENT && who != NULL && who->links >= most_of_peer(agent)) {
        bound.most = most_of_peer(agent);
        bound.what = "clients of this user or address";
    } else if ((peer->role == RT_PEER_GUEST ? stats->guests : stats->clients) < bound.most) {
        if (stats->links < RT_AGENT_LINKS_MAX) {
            return 0;
        }
        bound = (struct bound){"connections", "connections", RT_AGENT_LINKS_MAX};
    }
    msg = refusal(&bound, text);
    msg.delay = peer->role == RT_PEER_GUEST ? AG_RETRY_DELAY_MS : 0; /* a guest comes again; a client is told */
    size = rt_msg_encode(RT_MSG_REFUSE, &msg, out + RT_FRAME_HEADER, cap - RT_FRAME_HEADER);
    if (size < 0) {
        return 0;
    }
    frame.length = (uint32_t)size;
    rt_frame_put(out, &frame);
    return RT_FRAME_HEADER + (size_t)size;
}

void rt_ag_door_token(struct rt_agent *agent, struct ag_link *link)
{
    static const struct bound claims = {"claims", "guests that are not served yet", RT_AGENT_CLAIMS_MAX};

    if (link->peer->lone) {
        return;
    }
    rt_ag_door_proved(agent, link);
    if (agent->stats.claiming >= RT_AGENT_CLAIMS_MAX) {
        (void)evict_claim(agent, &claims);
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
