/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/queue.h"

#include "broker/core/agent.h"
#include "broker/core/channel.h"
#include "broker/core/link.h"
#include "broker/core/send.h"
#include "session/base/list.h"
#include "session/core/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Whatever peers send, a link has at most RT_LINK_QUEUED_MAX queued. A link is *congested* from RT_LINK_HIGH_WATER on,
 * until it has less than half of that. While it is, only this is sent to it:
 *
 *     DATA        what its sender has credit for (flow.c), headers within ag_fits()
 *     REPLY       to REQUESTs that were taken before (request.c)
 *     REFUSE      of channels and requests beyond a limit, AG_LINK_ANSWERS_MAX of them
 *     WELCOME, REFUSE on channel 0    once in a link's life
 *
 * What needs no credit is state or an answer, and waits here:
 *
 *     ACK         the newest of each stream: it says all that those before it said
 *     FIN, STOP   one for each stream
 *     GAP         one for each stream: those that follow each other without DATA between are one gap
 *     ATTACHED    one for each channel; a second one ends the channel
 *     REFUSE, DETACH    one for each channel; the channel is gone, its place is taken until this is sent
 *     END_OK      the newest; PING and PONG not at all: one PING once it has drained
 *     TICKET      renewed later (ticket.c)
 *     ATTACH      waits at its own link while that is congested (parked), and for a guest whose link is, or that has
 *                 AG_UNANSWERED_MAX to answer (held.c); REQUEST likewise (request.c)
 *
 * Order. Of one channel nothing overtakes but a newer ACK, which replaces an older one:
 *
 *     guest sends       GAP [0,5)   ACK 10   GAP [5,9)   ACK 20   FIN err   DATA 9..        ACK 30
 *     congested         kept        kept     kept        kept     kept      -> all go first  kept
 *     client gets                                                 GAP [0,9) FIN ACK 20 DATA 9..   -- drained --> ACK 30
 *
 * DATA that has credit is not kept: what is kept of its channel is sent before it, and counts as DATA in ag_fits().
 * When a channel ends, what was kept of it is dropped: its next ATTACH says all of that again.
 *
 * So a flood of such frames costs a congested link no memory: each kept frame has its place in its channel, and a newer
 * one replaces it. One link's flood never closes another link. */

#define KEPT_FRAMES_MAX (RT_STREAMS * (3 * RT_FRAME_HEADER + RT_ACK_PAYLOAD + RT_GAP_PAYLOAD))

_Static_assert(RT_LINK_HIGH_WATER + RT_LINK_CHANNELS_MAX * AG_FLOWS_UP * RT_INITIAL_CREDIT + RT_LINK_GROWN_MAX <=
                   AG_LINK_DATA_MAX,
               "what is promised has its place in the queue");

static struct ag_kept *kept_of(struct ag_chan *chan, enum ag_side to)
{
    if (chan->kept[to] == NULL) {
        chan->kept[to] = calloc(1, sizeof(*chan->kept[to]));
    }
    return chan->kept[to];
}

void rt_ag_kept_free(struct ag_chan *chan, enum ag_side side)
{
    if (chan->kept[side] != NULL) {
        free(chan->kept[side]->attached);
        free(chan->kept[side]);
        chan->kept[side] = NULL;
    }
}

static bool keep_attached(struct ag_kept *kept, const struct rt_frame *frame, const uint8_t *payload)
{
    kept->attached = malloc(frame->length);
    if (kept->attached == NULL) {
        return false;
    }
    memcpy(kept->attached, payload, frame->length);
    kept->attached_size = frame->length;
    return true;
}

bool rt_ag_keep(struct ag_chan *chan, enum ag_side to, const struct rt_frame *frame, const uint8_t *payload)
{
    struct ag_kept *kept = kept_of(chan, to);
    struct ag_link *link = chan->link[to];
    unsigned bit = 1U << frame->stream;

    if (kept == NULL) {
        return false;
    }
    if (!rt_listed(&chan->wait[to])) {
        rt_list_push(&link->waiters, &chan->wait[to]);
    }
    switch (frame->type) {
    case RT_ACK:
        kept->acks |= (uint8_t)bit;
        kept->fin_acks |= (uint8_t)(frame->flags != 0 ? bit : 0);
        return true;
    case RT_FIN:
    case RT_STOP:
        kept->fins |= (uint8_t)bit;
        kept->final[frame->stream] = frame->offset;
        return true;
    case RT_GAP:
        if ((kept->gaps & bit) == 0) {
            kept->gaps |= (uint8_t)bit;
            kept->gap[frame->stream][0] = frame->offset;
        }
        kept->gap[frame->stream][1] = rt_get_u64(payload);
        return true;
    case RT_ATTACHED:
        return keep_attached(kept, frame, payload);
    default:
        assert(false); /* a type that is passed has its rule above */
        return false;
    }
}

size_t rt_ag_kept_size(const struct ag_chan *chan, enum ag_side to)
{
    const struct ag_kept *kept = chan->kept[to];
    size_t size;

    if (kept == NULL) {
        return 0;
    }
    size = kept->attached == NULL ? 0 : RT_FRAME_HEADER + (size_t)kept->attached_size;
    for (unsigned stream = 0; stream < RT_STREAMS; stream++) {
        size += (kept->gaps >> stream & 1) != 0 ? RT_FRAME_HEADER + RT_GAP_PAYLOAD : 0;
        size += (kept->fins >> stream & 1) != 0 ? RT_FRAME_HEADER : 0;
        size += (kept->acks >> stream & 1) != 0 ? RT_FRAME_HEADER + RT_ACK_PAYLOAD : 0;
    }
    return size;
}

/* One stream's kept frames at out, a GAP first. Returns their size. */
static size_t put_stream(const struct ag_chan *chan, enum ag_side to, unsigned stream, uint8_t *out)
{
    const struct ag_kept *kept = chan->kept[to];
    struct rt_frame frame = {.stream = (uint16_t)stream, .channel = (uint32_t)chan->key[to]};
    size_t n = 0;

    if ((kept->gaps >> stream & 1) != 0) {
        frame.type = RT_GAP;
        frame.offset = kept->gap[stream][0];
        frame.length = RT_GAP_PAYLOAD;
        rt_frame_put(out, &frame);
        rt_put_u64(out + RT_FRAME_HEADER, kept->gap[stream][1]);
        n += RT_FRAME_HEADER + RT_GAP_PAYLOAD;
    }
    if ((kept->fins >> stream & 1) != 0) {
        frame.type = to == AG_CLIENT && stream == RT_STDIN ? RT_STOP : RT_FIN;
        frame.offset = kept->final[stream];
        frame.length = 0;
        rt_frame_put(out + n, &frame);
        n += RT_FRAME_HEADER;
    }
    if ((kept->acks >> stream & 1) != 0) {
        frame.type = RT_ACK;
        frame.flags = (kept->fin_acks >> stream & 1) != 0 ? RT_ACK_FIN : 0;
        frame.offset = chan->flow[stream].acked;
        frame.length = RT_ACK_PAYLOAD;
        rt_frame_put(out + n, &frame);
        rt_put_u64(out + n + RT_FRAME_HEADER, chan->flow[stream].granted);
        rt_put_u64(out + n + RT_FRAME_HEADER + 8, chan->flow[stream].digest);
        n += RT_FRAME_HEADER + RT_ACK_PAYLOAD;
    }
    return n;
}

void rt_ag_kept_flush(struct rt_agent *agent, struct ag_chan *chan, enum ag_side to)
{
    uint8_t out[KEPT_FRAMES_MAX];
    size_t n = 0;

    if (chan->kept[to] == NULL) {
        return;
    }
    if (chan->kept[to]->attached != NULL) {
        struct rt_frame frame = {.type = RT_ATTACHED, .channel = (uint32_t)chan->key[to]};
        frame.length = chan->kept[to]->attached_size;
        rt_ag_send_frame(agent, chan->link[to], &frame, chan->kept[to]->attached);
    }
    for (unsigned stream = 0; stream < RT_STREAMS; stream++) {
        n += put_stream(chan, to, stream, out + n);
    }
    if (n > 0) {
        rt_ag_send_bytes(agent, chan->link[to], out, n);
    }
    rt_ag_kept_free(chan, to);
}
