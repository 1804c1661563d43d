/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_request.h"

#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/client.h"
#include "session/core/client_link.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"
#include "session/core/say.h"

#include <stdlib.h>
#include <string.h>

/* Requests: to any live agent; lost before the answer, again to another. A create is not repeated after it was
 * sent: it may have happened; a remove, a revoke, a kick or a drain is, as a second one does no more than the first.
 * Each that was sent once and has no answer fails with RT_EUNKNOWN.
 *
 * An answer may name another agent, which is asked once then. Tails may lie on another host's disk, and another host
 * may serve the container whose limits are asked for: where that one does not tell them, the first answer, which has
 * the rest, is the answer. A create that is refused as its host drains goes on to one that does not, a kick to the host
 * that serves the guest, a drain to the host that it is about: once it was sent there, that agent's answer counts, or
 * that none came. What could not be sent there is told by the first answer, which says that it was not done. */

static struct rt_creq *request_of(struct rt_list *node)
{
    return RT_LIST_OF(node, struct rt_creq, all);
}

static void end(struct rt_client *client, struct rt_creq *req)
{
    rt_client_refer(client, &req->slot, RT_NO_SLOT);
    rt_list_remove(&req->all);
    rt_timer_clear(&client->timers, &req->timer);
    client->n_requests--;
    free(req->kept);
    free(req);
}

/* An agent that has refused its link for good, or NULL. */
static const struct rt_clink *refusing(const struct rt_client *client)
{
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        if (client->links[i].n_addr > 0 && client->links[i].refused != 0) {
            return &client->links[i];
        }
    }
    return NULL;
}

/* Where no agent could be asked, and one of them does not let this client in, its refusal is the answer. */
static void fail(struct rt_client *client, struct rt_creq *req, int error)
{
    struct rt_reply_msg reply = {.c = RT_CLASS_OK};
    const struct rt_clink *link = refusing(client);
    uint64_t id = req->id;
    uint8_t *kept = req->kept;
    if (req->changes && (req->phase != RT_CREQ_WAITS || req->lost != RT_NO_SLOT) && error != RT_EPROTO) {
        error = RT_EUNKNOWN;
    }
    bool sent_on = req->led && req->phase != RT_CREQ_WAITS;
    if (kept != NULL && error != RT_EUNKNOWN && !(req->changes && sent_on)) {
        error = rt_msg_decode(RT_MSG_REPLY, kept, req->kept_size, &reply, NULL, 0);
    } else if (error == RT_ECONN && link != NULL) {
        error = 0;
        reply.c = link->refused;
        reply.m = rt_slice_text(link->refused_text);
    }
    req->kept = NULL;
    end(client, req);
    client->config.on_reply(client->config.ctx, id, error, error == 0 ? &reply : NULL);
    free(kept);
}

/* No agent is left that could be hoped for. */
static bool hopeless(const struct rt_client *client)
{
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        if (client->links[i].n_addr > 0 && client->links[i].refused == 0 &&
            client->links[i].failures < RT_REQUEST_DIALS_MAX) {
            return false;
        }
    }
    return true;
}

/* Whether it is rather asked there: not where it was lost, nor one that drains. */
static bool is_rather(const struct rt_client *client, const struct rt_creq *req, int slot, int than)
{
    if (than == RT_NO_SLOT || than == req->lost) {
        return true;
    }
    return slot != req->lost && client->links[than].drains && !client->links[slot].drains;
}

/* A live agent in turn, rather none whose link may be dead; else one to dial. */
static void place(struct rt_client *client, struct rt_creq *req)
{
    int found = RT_NO_SLOT, suspect = RT_NO_SLOT;
    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        int slot = (int)((client->request_turn + i) % RT_CLIENT_AGENTS_MAX);
        const struct rt_clink *link = &client->links[slot];
        if (link->state == RT_CLINK_SUSPECT) {
            suspect = slot;
        } else if (link->state == RT_CLINK_LIVE && is_rather(client, req, slot, found)) {
            found = slot;
        }
    }
    if (found == RT_NO_SLOT) {
        found = rt_client_candidate(client, RT_NO_SLOT, client->request_turn);
    }
    if (found == RT_NO_SLOT) {
        found = suspect;
    }
    if (found != RT_NO_SLOT) {
        client->request_turn = (unsigned)found + 1;
    }
    rt_client_refer(client, &req->slot, found);
}

int rt_client_request(struct rt_client *client, const struct rt_request_msg *request, uint64_t now, uint64_t *id)
{
    uint8_t buf[RT_REQUEST_MAX];
    rt_client_at(client, now);
    if (client->n_requests == RT_CLIENT_REQUESTS_MAX) {
        return RT_ELIMIT;
    }
    int size = rt_msg_encode(RT_MSG_REQUEST, request, buf, sizeof(buf));
    if (size <= 0) {
        return size;
    }
    struct rt_creq *req = malloc(sizeof(*req) + (size_t)size);
    if (req == NULL) {
        return RT_ENOMEM;
    }
    bool create = rt_slice_equal(request->op, rt_slice_text("create"));
    bool kick = rt_slice_equal(request->op, rt_slice_text("kick"));
    bool drain = rt_slice_equal(request->op, rt_slice_text("drain"));
    *req = (struct rt_creq){.id = ++client->request_id,
                            .timer = {.kind = RT_CLIENT_TIMER_REQUEST},
                            .slot = RT_NO_SLOT,
                            .lost = RT_NO_SLOT,
                            .create = create,
                            .changes = create || kick || (drain && request->drain != RT_DRAIN_LOOK) ||
                                       rt_slice_equal(request->op, rt_slice_text("remove")) ||
                                       rt_slice_equal(request->op, rt_slice_text("revoke")),
                            .tails = rt_slice_equal(request->op, rt_slice_text("tails")),
                            .kick = kick,
                            .drain = drain,
                            .limits = rt_slice_equal(request->op, rt_slice_text("limits")),
                            .size = (size_t)size};
    memcpy(req->payload, buf, req->size);
    place(client, req);
    if (req->slot == RT_NO_SLOT) {
        free(req);
        return RT_ECONN; /* no agent is known */
    }
    rt_list_push(&client->requests, &req->all);
    client->n_requests++;
    rt_timer_set(&client->timers, &req->timer, client->now + RT_REQUEST_TIMEOUT_MS);
    *id = req->id;
    return 0;
}

void rt_creq_link_up(struct rt_client *client, int slot)
{
    for (struct rt_list *node = client->requests.next; node != &client->requests; node = node->next) {
        struct rt_creq *req = request_of(node);
        if (req->phase == RT_CREQ_WAITS && !req->led && !rt_clink_live(&client->links[req->slot])) {
            rt_client_refer(client, &req->slot, slot);
        }
    }
}

/* Links under which it may be lost. A create may have happened; a remove may be done twice. */
static unsigned most_lost(const struct rt_creq *req)
{
    if (req->create) {
        return 1;
    }
    return req->changes ? 2 : RT_REQUEST_LOST_MAX;
}

void rt_creq_link_down(struct rt_client *client, int slot)
{
    for (struct rt_list *node = client->requests.next, *next; node != &client->requests; node = next) {
        struct rt_creq *req = request_of(node);
        next = node->next;
        if (req->slot != slot) {
            continue;
        }
        if (req->led || req->phase == RT_CREQ_ANSWERED ||
            (req->phase == RT_CREQ_SENT && req->n_lost + 1 >= most_lost(req))) {
            fail(client, req, RT_ECONN);
            continue;
        }
        if (req->phase == RT_CREQ_SENT) {
            req->lost = slot;
            req->n_lost++;
        }
        req->phase = RT_CREQ_WAITS;
        if (hopeless(client)) {
            fail(client, req, RT_ECONN);
        } else {
            place(client, req);
        }
    }
}

void rt_creq_due(struct rt_client *client, struct rt_creq *req)
{
    fail(client, req, req->phase != RT_CREQ_WAITS ? RT_ETIMEDOUT : RT_ECONN);
}

size_t rt_creq_put(struct rt_client *client, int slot, uint8_t *out, size_t cap)
{
    size_t used = 0;
    for (struct rt_list *node = client->requests.next; node != &client->requests; node = node->next) {
        struct rt_creq *req = request_of(node);
        if (req->phase != RT_CREQ_WAITS || req->slot != slot) {
            continue;
        }
        if (cap - used < RT_FRAME_HEADER + req->size) {
            break;
        }
        rt_frame_put(out + used,
                     &(struct rt_frame){.length = (uint32_t)req->size, .type = RT_REQUEST, .offset = req->id});
        memcpy(out + used + RT_FRAME_HEADER, req->payload, req->size);
        used += RT_FRAME_HEADER + req->size;
        req->phase = RT_CREQ_SENT;
    }
    return used;
}

/* Whether the answer names the host that has the tails, or the guest, or does not drain, and it is asked now. One with
 * limits, and one to a drain, names the agent that has answered before that host. */
static bool lead(struct rt_client *client, struct rt_creq *req, const struct rt_reply_msg *reply,
                 const uint8_t *payload, size_t size)
{
    size_t before = req->limits || req->drain;
    const struct rt_registry_msg *host = &reply->hosts[before];
    bool refused = req->create && reply->c == RT_CLASS_RETRY_LATER;
    if (!(req->tails || req->kick || req->drain || req->limits || refused) || req->led || reply->more ||
        reply->n_hosts != before + 1) {
        return false;
    }
    if (refused) {
        client->links[req->slot].drains = true;
    }
    int slot = rt_client_learn(client, host->host, host->addr, host->n_addr);
    if (slot == RT_NO_SLOT || slot == req->slot) {
        return false;
    }
    req->kept = malloc(size);
    if (req->kept == NULL) {
        return false;
    }
    memcpy(req->kept, payload, size);
    req->kept_size = size;
    req->led = true;
    req->phase = RT_CREQ_WAITS;
    rt_client_refer(client, &req->slot, slot);
    rt_timer_set(&client->timers, &req->timer, client->now + RT_REQUEST_LED_MS);
    return true;
}

void rt_creq_reply(struct rt_client *client, int slot, uint64_t id, const uint8_t *payload, size_t size)
{
    struct rt_creq *req = NULL;
    for (struct rt_list *node = client->requests.next; node != &client->requests; node = node->next) {
        if (request_of(node)->id == id && request_of(node)->slot == slot && request_of(node)->phase != RT_CREQ_WAITS) {
            req = request_of(node);
        }
    }
    if (req == NULL) {
        return; /* timed out here meanwhile */
    }
    struct rt_reply_msg reply;
    int error = rt_msg_decode(RT_MSG_REPLY, payload, size, &reply, NULL, 0);
    if (error == 0 && !rt_may_say(RT_SAY_REPLY, reply.c)) {
        error = RT_EPROTO;
    }
    if (error != 0 || (req->kept != NULL && (req->tails || req->limits) && reply.c != RT_CLASS_OK)) {
        fail(client, req, error);
        return;
    }
    if (lead(client, req, &reply, payload, size)) {
        return;
    }
    free(req->kept);
    req->kept = NULL;
    if (reply.more) {
        req->phase = RT_CREQ_ANSWERED;
        rt_timer_set(&client->timers, &req->timer, client->now + RT_REQUEST_TIMEOUT_MS);
    } else {
        end(client, req);
    }
    client->config.on_reply(client->config.ctx, id, 0, &reply);
}

void rt_creq_free_all(struct rt_client *client)
{
    while (!rt_list_empty(&client->requests)) {
        end(client, request_of(client->requests.next));
    }
}
