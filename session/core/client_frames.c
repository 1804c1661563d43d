/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_link.h"

#include "session/base/error.h"
#include "session/base/number.h"
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/client.h"
#include "session/core/client_att.h"
#include "session/core/client_machine.h"
#include "session/core/client_request.h"
#include "session/core/client_stream.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/pings.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <string.h>

/* What comes on a link, and what goes. */

static void learn_all(struct rt_client *client, const struct rt_welcome_msg *msg)
{
    for (size_t i = 0; i < msg->n_agents; i++) {
        int slot = rt_client_learn(client, msg->agents[i].host, msg->agents[i].addr, msg->agents[i].n_addr);

        if (slot != RT_NO_SLOT) {
            client->links[slot].drains = msg->agents[i].drains;
        }
    }
}

/* WELCOME names another host than the certificate. A session that was resumed, on the guess that the agent which was
 * there before still is, has its certificate: then both may be honest, and another agent has this address now. It is
 * asked for its own at once, as nothing is guessed any more. */
static void disproved(struct rt_client *client, int slot)
{
    struct rt_clink *link = &client->links[slot];
    bool guessed = link->guessed && strcmp(link->host, link->proved) == 0;
    unsigned failures = link->failures;
    uint64_t backoff = link->backoff;

    rt_clink_down(client, slot, "the agent says that it is of another host than its certificate");
    link->disproved = true;
    if (guessed) {
        link->host[0] = '\0';
        link->n_addr = 1; /* the others are those of that host */
        link->addr_turn = 0;
        link->failures = failures;
        link->backoff = backoff;
        link->retry_at = client->now;
    }
}

static void welcomed(struct rt_client *client, int slot, const uint8_t *payload, size_t size)
{
    struct rt_clink *link = &client->links[slot];
    struct rt_welcome_msg msg;
    if (rt_msg_decode(RT_MSG_WELCOME, payload, size, &msg, NULL, 0) != 0 || msg.v != RT_PROTOCOL_VERSION) {
        rt_clink_down(client, slot, "bad welcome");
        return;
    }
    if (link->proved[0] != '\0' && !rt_slice_equal(rt_slice_text(link->proved), msg.host)) {
        disproved(client, slot);
        return;
    }
    /* The address was learnt as that of another host: the agent that answers here is not the one that is looked for. */
    if (!link->configured && link->host[0] != '\0' && !rt_slice_equal(rt_slice_text(link->host), msg.host)) {
        rt_clink_down(client, slot, "an agent of another host answers there");
        return;
    }
    (void)rt_text_copy(msg.host, link->host, sizeof(link->host));
    link->refs++; /* when all slots are taken, what is learnt must not replace the link that it is learnt from */
    learn_all(client, &msg);
    link->refs--;
    rt_clink_move(client, link, RT_CLINK_LIVE);
    link->failures = 0;
    link->refused = 0;
    for (struct rt_list *node = client->atts.next; node != &client->atts; node = node->next) {
        rt_catt_link_up(RT_LIST_OF(node, struct rt_catt, all), slot);
    }
    rt_creq_link_up(client, slot);
}

/* REFUSE on channel 0: the agent closes the link. */
static void link_refused(struct rt_client *client, int slot, const uint8_t *payload, size_t size)
{
    struct rt_clink *link = &client->links[slot];
    struct rt_refuse_msg msg;
    if (rt_msg_decode(RT_MSG_REFUSE, payload, size, &msg, NULL, 0) != 0) {
        rt_clink_down(client, slot, "bad refusal");
        return;
    }
    bool passes = msg.c == RT_CLASS_RETRY_LATER || (msg.c == RT_CLASS_LIMIT && msg.delay > 0);
    uint64_t delay = 0;
    if (passes) {
        delay = rt_min(msg.delay, RT_REFUSED_MAX_MS);
    } else if (msg.c == RT_CLASS_VERSION || msg.c == RT_CLASS_BAD_AUTH || msg.c == RT_CLASS_DENIED ||
               msg.c == RT_CLASS_LIMIT) {
        link->refused = msg.c;
        (void)rt_text_copy(msg.m, link->refused_text, sizeof(link->refused_text));
        delay = RT_REFUSED_MIN_MS + rt_jitter(&client->random, RT_REFUSED_MAX_MS - RT_REFUSED_MIN_MS + 1);
    }
    rt_clink_down(client, slot, "refused by the agent");
    link->retry_at = rt_max(link->retry_at, client->now + delay);
}

static void channel_frame(struct rt_client *client, int slot, const struct rt_frame *frame, const uint8_t *payload)
{
    if (frame->channel >= client->links[slot].next_channel) {
        rt_clink_down(client, slot, "a channel that was never opened");
        return;
    }
    struct rt_catt *att = rt_catt_find(client, slot, frame->channel);
    if (att == NULL) {
        return; /* the attachment left this channel while the frame was under way */
    }
    rt_catt_wake(att);
    if (frame->type == RT_REFUSE) {
        rt_catt_refused(att, payload, frame->length);
        return;
    }
    if (frame->type == RT_ATTACHED && att->state == RT_CATT_ASKED) {
        rt_catt_on_attached(att, payload, frame->length);
    } else if (att->state != RT_CATT_LIVE || frame->type == RT_ATTACHED || !rt_catt_wants(att, frame->stream)) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, frame->stream, frame->offset);
    } else if (frame->type == RT_ACK) {
        rt_tx_ack(att, frame, payload);
    } else if (frame->type == RT_STOP) {
        rt_tx_stop(att, frame->offset);
    } else {
        rt_rx_frame(att, frame, payload);
    }
}

/* Returns false when the link must end, with why. */
static bool link_frame(struct rt_client *client, int slot, const struct rt_frame *frame, const uint8_t *payload,
                       const char **why)
{
    struct rt_clink *link = &client->links[slot];
    bool live = rt_clink_live(link);
    *why = "a frame that is not expected here";
    switch (frame->type) {
    case RT_WELCOME:
        if (live || (link->due & RT_CLINK_DUE_HELLO) != 0) {
            return false;
        }
        welcomed(client, slot, payload, frame->length);
        return true;
    case RT_PING:
        link->due |= RT_CLINK_DUE_PONG;
        link->pong_token = frame->offset;
        return true;
    case RT_PONG:
        return true;
    case RT_REPLY:
        if (!live) {
            return false;
        }
        rt_creq_reply(client, slot, frame->offset, payload, frame->length);
        return true;
    case RT_REFUSE:
        if (frame->channel == 0) {
            link_refused(client, slot, payload, frame->length);
            return true;
        }
        break;
    case RT_ATTACHED:
    case RT_DATA:
    case RT_ACK:
    case RT_FIN:
    case RT_GAP:
    case RT_STOP:
        break;
    default:
        return false;
    }
    if (!live) {
        return false;
    }
    channel_frame(client, slot, frame, payload);
    return true;
}

/* A PONG that answers no ping of this link is ignored, and no sign of life. */
static bool is_heeded(struct rt_clink *link, const struct rt_frame *frame)
{
    return frame->type != RT_PONG || rt_pings_answered(&link->pinged, frame->offset);
}

size_t rt_clink_input(struct rt_client *client, int slot, const uint8_t *data, size_t size)
{
    struct rt_clink *link = &client->links[slot];
    size_t used = 0;
    while (size - used >= RT_FRAME_HEADER) {
        if (link->state < RT_CLINK_HELLO) {
            return size;
        }
        struct rt_frame frame;
        const char *why = NULL;
        rt_frame_get(data + used, &frame);
        if (rt_frame_check(&frame, RT_WAY_AGENT_CLIENT, &why) != 0) {
            rt_clink_down(client, slot, why);
            return size;
        }
        if (frame.length > size - used - RT_FRAME_HEADER) {
            return used;
        }
        if (!is_heeded(link, &frame)) {
            used += RT_FRAME_HEADER;
            continue;
        }
        link->missed = 0;
        if (link->state == RT_CLINK_SUSPECT) {
            rt_clink_move(client, link, RT_CLINK_LIVE);
            rt_creq_link_up(client, slot);
        }
        if (rt_frame_check_numbers(&frame, data + used + RT_FRAME_HEADER, &why) != 0 ||
            !link_frame(client, slot, &frame, data + used + RT_FRAME_HEADER, &why)) {
            rt_clink_down(client, slot, why);
            return size;
        }
        link->ping_at = client->now + rt_clink_interval(link);
        used += RT_FRAME_HEADER + frame.length;
    }
    return link->state < RT_CLINK_HELLO ? size : used;
}

static size_t put_plain(uint8_t *out, uint8_t type, uint32_t channel, uint64_t offset)
{
    rt_frame_put(out, &(struct rt_frame){.type = type, .channel = channel, .offset = offset});
    return RT_FRAME_HEADER;
}

static size_t put_hello(const struct rt_client *client, uint8_t *out, size_t cap)
{
    struct rt_hello_msg msg = {.vmin = RT_PROTOCOL_VERSION,
                               .vmax = RT_PROTOCOL_VERSION,
                               .role = rt_slice_text("client"),
                               .name = rt_slice_text(client->config.name)};
    size_t size = rt_msg_put((struct rt_frame){.type = RT_HELLO}, RT_MSG_HELLO, &msg, out, cap);
    assert(size > 0);
    return size;
}

static size_t put_closing(uint8_t *out, size_t cap, const struct rt_closing *closing)
{
    if (cap < RT_FRAME_HEADER) {
        return 0;
    }
    if (closing->type == RT_DETACH) {
        return put_plain(out, RT_DETACH, closing->channel, 0);
    }
    struct rt_frame frame = {.type = RT_REFUSE, .channel = closing->channel};
    struct rt_refuse_msg msg = {.c = closing->cls};
    return rt_msg_put(frame, RT_MSG_REFUSE, &msg, out, cap);
}

static size_t put_closings(struct rt_clink *link, uint8_t *out, size_t cap)
{
    size_t used = 0, done = 0;
    while (done < link->n_closings) {
        size_t n = put_closing(out + used, cap - used, &link->closings[done]);
        if (n == 0) {
            break;
        }
        used += n;
        done++;
    }
    if (done > 0) {
        link->n_closings -= done;
        memmove(link->closings, link->closings + done, link->n_closings * sizeof(*link->closings));
    }
    return used;
}

/* ATTACHs and ACKs of all attachments come before anybody's stream bytes. One that does not fit into the buffer stays
 * at the front of the list for the next one. */
static size_t put_control(struct rt_clink *link, uint8_t *out, size_t cap)
{
    size_t used = 0;
    while (!rt_list_empty(&link->control)) {
        struct rt_catt *att = RT_LIST_OF(link->control.next, struct rt_catt, control);
        bool more = false;
        bool ask = att->channel == 0;
        size_t n =
            ask ? rt_catt_put_attach(att, out + used, cap - used) : rt_rx_put_acks(att, out + used, cap - used, &more);
        used += n;
        if ((ask && n == 0) || more) {
            break;
        }
        rt_list_remove(&att->control);
    }
    return used;
}

static size_t put_data(struct rt_clink *link, uint8_t *out, size_t cap)
{
    size_t used = 0;
    while (!rt_list_empty(&link->data)) {
        struct rt_catt *att = RT_LIST_OF(link->data.next, struct rt_catt, data);
        bool more = false;
        size_t n = rt_tx_put(att, out + used, cap - used, &more);
        used += n;
        if (more && n == 0) {
            break;
        }
        rt_list_remove(&att->data);
        if (more) {
            rt_list_push(&link->data, &att->data);
        }
    }
    return used;
}

size_t rt_client_output(struct rt_client *client, unsigned agent, uint8_t *buf, size_t cap, uint64_t now)
{
    assert(agent < RT_CLIENT_AGENTS_MAX && cap >= RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX);
    rt_client_at(client, now);
    struct rt_clink *link = &client->links[agent];
    size_t used = 0;
    if (link->state < RT_CLINK_HELLO) {
        return 0;
    }
    if (rt_took(&link->due, RT_CLINK_DUE_HELLO)) {
        used = put_hello(client, buf, cap);
    }
    if (rt_took(&link->due, RT_CLINK_DUE_PONG)) {
        used += put_plain(buf + used, RT_PONG, 0, link->pong_token);
    }
    if (!rt_clink_live(link)) {
        return used;
    }
    if (rt_took(&link->due, RT_CLINK_DUE_PING)) {
        uint64_t token = rt_jitter(&client->random, UINT64_MAX);
        used += put_plain(buf + used, RT_PING, 0, token);
        rt_pings_sent(&link->pinged, token);
    }
    used += put_closings(link, buf + used, cap - used);
    if (link->n_closings > 0) {
        return used;
    }
    used += rt_creq_put(client, (int)agent, buf + used, cap - used);
    used += put_control(link, buf + used, cap - used);
    used += put_data(link, buf + used, cap - used);
    return used;
}
