/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/number.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_link.h"
#include "session/core/client_machine.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/protocol.h"
#include "session/core/say.h"

/* What a refusal of a channel means for its attachment: protocol.md section 6. */

/* News that is newer is followed at once, but for a row of them that moves nothing. */
static void moved(struct rt_catt *att, int from, const struct rt_refuse_msg *msg)
{
    bool newer = rt_catt_is_newer(att, msg->life, msg->epoch);
    int slot = newer ? rt_client_learn(att->client, msg->host, msg->addr, msg->n_addr) : RT_NO_SLOT;
    if (slot == RT_NO_SLOT) {
        rt_catt_again(att, 0);
        return;
    }
    att->k_life = msg->life;
    att->k_epoch = msg->epoch;
    att->not_found_at = RT_NEVER;
    rt_client_refer(att->client, &att->home, slot);
    att->home_since = att->client->now;
    rt_catt_in_vain(att, from, true); /* what it says may be old: not again in this round */
    rt_catt_in_vain(att, slot, false);
    rt_catt_again_elsewhere(att);
}

/* The end of an attachment told by the other side. */
static void refused_for_good(struct rt_catt *att, const struct rt_refuse_msg *msg)
{
    struct rt_catt_event event = {.kind = RT_CATT_FAILED, .cls = msg->c, .code = msg->code, .sig = msg->sig};
    (void)rt_text_copy(msg->m.size > 0 ? msg->m : rt_slice_text(rt_class_name(msg->c)), event.text, sizeof(event.text));
    if (msg->c == RT_CLASS_REWOUND) {
        event = (struct rt_catt_event){.kind = RT_CATT_REWOUND, .stream = msg->s, .from = msg->at, .to = msg->got};
    }
    rt_catt_over(att, &event);
}

/* So far above the newest try that its guest has seen a steal goes. Who is thrown out by it may have made attempts that
 * no guest has seen, and learns of it with the answer to a later one: all these stay below. */
#define STEAL_STEP (UINT64_C(1) << 20)
/* As often a steal goes above another's try: whoever raises it each time is at it too, or lies. */
#define STEALS_MAX 8

/* A steal is told the newest try, and goes above it. Without one it had got the attachment, and was thrown out by the
 * next before it heard of that: two that took it from each other by turns would never end. */
static bool steal_higher(struct rt_catt *att, uint64_t newest)
{
    if (!att->options.steal || att->attached || newest < att->try_no || newest >= RT_COUNTER_MAX - STEAL_STEP ||
        att->steals >= STEALS_MAX) {
        return false;
    }
    att->steals++;
    att->try_no = newest + STEAL_STEP - 1; /* the next ATTACH has one more */
    rt_catt_again(att, 0);
    return true;
}

/* Who knows that the container was there takes NOT_FOUND for a store that has lost the record, which comes back when
 * the guest's agent writes it again or the guest comes out of its move: for RT_NOT_FOUND_GRACE_MS from the first. The
 * time begins anew once a word proves that the container is known (ATTACHED, a newer MOVED). RETRY_LATER proves
 * nothing: who cannot reach the store says it too, and of two agents that answer by turns the one that knows must
 * prevail. But a NOT_FOUND that is as old as the grace when the next one comes was another loss. */
static bool not_found_for_now(struct rt_catt *att)
{
    bool known = att->attached || att->options.steal;
    uint64_t now = att->client->now;
    if (!known) {
        return false;
    }
    if (att->not_found_at != RT_NEVER && now - att->not_found_last >= RT_NOT_FOUND_GRACE_MS) {
        att->not_found_at = RT_NEVER;
    }
    if (att->not_found_at == RT_NEVER) {
        att->not_found_at = now;
    }
    att->not_found_last = now;
    return now - att->not_found_at < RT_NOT_FOUND_GRACE_MS;
}

/* Channel errors named by the other side: once more is tried, unless nothing has moved since the last one. */
static bool fault_for_now(struct rt_catt *att, uint64_t cls)
{
    uint64_t at = 0;
    for (int i = 0; i < 3; i++) {
        at += att->rx[i].consumed;
    }
    at += att->tx[0].ring.base + att->tx[1].ring.base;
    return !rt_catt_faulted(att, cls, RT_STREAMS, at) && (att->attached || cls == RT_CLASS_JUMP);
}

/* A machine started anew, or a copy that became a life of its own: what it writes is not what was attached to. */
static bool other_life(struct rt_catt *att, const struct rt_refuse_msg *msg)
{
    struct rt_catt_event event = {.kind = RT_CATT_REWOUND, .stream = RT_STDOUT};
    if (!att->attached || msg->life == 0 || msg->life == att->life) {
        return false;
    }
    event.to = rt_catt_rx(att, RT_STDOUT)->consumed;
    event.from = rt_min(msg->at, event.to);
    event.anew = msg->at == 0;
    rt_catt_over(att, &event);
    return true;
}

void rt_catt_refused(struct rt_catt *att, const uint8_t *payload, size_t size)
{
    struct rt_refuse_msg msg;
    char why[RT_TEXT_MAX];
    int from = att->link;
    bool live = att->state == RT_CATT_LIVE;
    rt_catt_leave(att);
    if (rt_msg_decode(RT_MSG_REFUSE, payload, size, &msg, why, sizeof(why)) != 0) {
        rt_catt_fail(att, RT_CLASS_PROTOCOL, why);
        return;
    }
    if (!rt_may_say(RT_SAY_AGENT_CLIENT, msg.c) && !rt_may_say(RT_SAY_GUEST_CLIENT, msg.c)) {
        rt_catt_fail(att, RT_CLASS_PROTOCOL, "refused with a class that nobody may say here");
        return;
    }
    att->last.cls = msg.c;
    (void)rt_text_copy(msg.m, att->last.text, sizeof(att->last.text));
    switch (msg.c) {
    case RT_CLASS_RETRY_LATER:
        if (msg.which.size > 0) { /* too many requests in a second there: says nothing of where the container is */
            att->turn = (unsigned)from;
            rt_catt_again(att, rt_min(msg.delay, RT_REFUSED_MAX_MS));
            return;
        }
        rt_catt_in_vain(att, from, true);
        if (att->wait_ms == RT_WAIT_MAX_MS) { /* in vain: what it knows may be of a past that the store has lost */
            att->k_life = att->k_epoch = 0;
        }
        att->wait_ms = rt_min(att->wait_ms * 2, RT_WAIT_MAX_MS);
        rt_catt_again(att, rt_min(msg.delay, RT_REFUSED_MAX_MS));
        return;
    case RT_CLASS_MOVED:
        moved(att, from, &msg);
        return;
    case RT_CLASS_LOST:
        rt_catt_again(att, 0);
        return;
    case RT_CLASS_NOT_FOUND:
        if (not_found_for_now(att)) {
            rt_catt_in_vain(att, from, true);
            rt_catt_again(att, 0);
            return;
        }
        break;
    case RT_CLASS_UNKNOWN_ATTACHMENT:
        if (other_life(att, &msg)) {
            return;
        }
        break;
    case RT_CLASS_STOLEN:
        if (!live && steal_higher(att, msg.try_no)) {
            return;
        }
        break;
    case RT_CLASS_JUMP:
    case RT_CLASS_LIMIT:
    case RT_CLASS_PROTOCOL:
        if (fault_for_now(att, msg.c)) {
            rt_catt_again(att, 0);
            return;
        }
        break;
    default:
        break;
    }
    refused_for_good(att, &msg);
}
