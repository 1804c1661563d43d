/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/core/client_att.h"
#include "session/core/client_link.h"
#include "session/core/client_machine.h"
#include "session/core/client_stream.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <string.h>

/* ATTACH and ATTACHED: protocol.md sections 2 to 4. */

static void fill_cursors(struct rt_catt *att, struct rt_attach_msg *msg)
{
    static const uint8_t inputs[] = {RT_STDIN, RT_CONTROL_DOWN};
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        const struct rt_receiver *rx = rt_catt_rx(att, s);
        if (rt_catt_wants(att, s)) {
            msg->out[msg->n_out++] = (struct rt_attach_out){
                .s = s, .c = rx->consumed, .d = rt_digest_value(&rx->digest), .df = rx->digest.from};
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct rt_tx *tx = &att->tx[i];
        if (rt_catt_wants(att, inputs[i])) {
            msg->in[msg->n_in++] = (struct rt_attach_in){.s = inputs[i], .a = tx->ring.base, .h = tx->ring.head};
        }
    }
}

size_t rt_catt_put_attach(struct rt_catt *att, uint8_t *out, size_t cap)
{
    struct rt_clink *link = &att->client->links[att->link];
    struct rt_attach_msg msg = {.cid = rt_slice_text(att->options.cid),
                                .id = {att->id, RT_ID_SIZE},
                                .try_no = att->try_no + 1,
                                .make = !att->attached && !att->options.steal,
                                .take = !att->attached && att->options.steal,
                                .p = att->options.proc,
                                .want = att->want,
                                .hold = att->options.hold_ms,
                                .once = att->options.once,
                                .rows = att->options.rows,
                                .cols = att->options.cols,
                                .klife = att->k_life,
                                .kepoch = att->k_epoch,
                                .wait = att->wait_ms};
    if (!att->attached) {
        msg.from = att->options.from;
        msg.n = att->options.n;
        msg.ne = att->options.n_err;
        msg.exec = att->options.exec;
        msg.tty = att->options.tty;
    } else {
        fill_cursors(att, &msg);
    }
    struct rt_frame frame = {.type = RT_ATTACH, .channel = link->next_channel};
    size_t size = rt_msg_put(frame, RT_MSG_ATTACH, &msg, out, cap);
    if (size > 0) {
        att->cursors_told = att->attached;
        att->try_no++;
        att->channel = link->next_channel++;
        rt_catt_hash(att);
    }
    return size;
}

static const struct rt_attached_out *find_out(const struct rt_attached_msg *msg, unsigned stream)
{
    for (size_t i = 0; i < msg->n_out; i++) {
        if (msg->out[i].s == stream) {
            return &msg->out[i];
        }
    }
    return NULL;
}

/* An input stream that the guest does not name is one that the process never had. */
static struct rt_attached_in find_in(const struct rt_attached_msg *msg, unsigned stream, const struct rt_tx *tx)
{
    for (size_t i = 0; i < msg->n_in; i++) {
        if (msg->in[i].s == stream) {
            return msg->in[i];
        }
    }
    return (struct rt_attached_in){
        .s = stream, .a = tx->ring.base, .d = rt_digest_value(&tx->sender.digest), .closed = true};
}

/* Each row is of another stream, of the right kind; each wanted output has one. */
static bool rows_fit(const struct rt_catt *att, const struct rt_attached_msg *msg)
{
    unsigned seen = 0;
    return rt_rows_fit(msg->out, msg->n_out, sizeof(msg->out[0]), RT_OUTPUTS, &seen) &&
           rt_rows_fit(msg->in, msg->n_in, sizeof(msg->in[0]), RT_INPUTS, &seen) &&
           (att->want & RT_OUTPUTS & ~seen) == 0;
}

/* Returns false when the attachment has been ended or must ask again: then nothing has changed that counts. */
static bool check(struct rt_catt *att, const struct rt_attached_msg *msg)
{
    bool first = !att->attached;
    if (!first && msg->life != att->life) {
        rt_catt_rewound(att, RT_STDOUT, rt_catt_rx(att, RT_STDOUT)->consumed, rt_catt_rx(att, RT_STDOUT)->next);
        return false;
    }
    if (!rows_fit(att, msg)) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, RT_STREAMS, 0);
        return false;
    }
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        const struct rt_receiver *rx = rt_catt_rx(att, s);
        const struct rt_attached_out *out = find_out(msg, s);
        if (!rt_catt_wants(att, s)) {
            continue;
        }
        if (first ? out->c > out->head : out->c < rx->consumed) {
            rt_catt_fault(att, RT_CLASS_PROTOCOL, s, rx->consumed);
            return false;
        }
        if (!first && out->head < rx->consumed) {
            rt_catt_rewound(att, s, out->head, rx->consumed);
            return false;
        }
    }
    for (unsigned s = RT_STDIN; s <= RT_CONTROL_DOWN; s += RT_CONTROL_DOWN) {
        struct rt_tx *tx = rt_catt_tx(att, s);
        struct rt_attached_in in = find_in(msg, s, tx);
        if (rt_catt_wants(att, s) && !rt_tx_resume(tx, &in, first && att->options.steal)) {
            rt_catt_rewound(att, s, tx->ring.base, in.a);
            return false;
        }
    }
    return true;
}

/* A process that had ended before this attachment, with nothing left in control-up to say so. */
static void learn_exit(struct rt_catt *att, const struct rt_attached_msg *msg)
{
    const struct rt_attached_out *control = find_out(msg, RT_CONTROL_UP);
    const struct rt_attached_out *out = find_out(msg, RT_STDOUT), *err = find_out(msg, RT_STDERR);
    if (msg->st != 2 || control->c != control->head) {
        return;
    }
    struct rt_up_item item = {.t = RT_ITEM_EXITED, .code = msg->code, .sig = msg->sig};
    item.out = out != NULL ? out->head : 0;
    item.err = err != NULL ? err->head : 0;
    rt_rx_exit(att, &item);
}

static void bind_streams(struct rt_catt *att, const struct rt_attached_msg *msg, bool first)
{
    rt_order_clear(&att->order);
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        if (!rt_catt_wants(att, s)) {
            continue;
        }
        if (first) {
            rt_receiver_start(rt_catt_rx(att, s), find_out(msg, s)->c);
        }
        rt_receiver_bind(rt_catt_rx(att, s));
    }
    if (att->end != RT_CATT_END_OPEN) {
        rt_rx_exit(att, &att->exit); /* the ends that it told stand */
    }
    for (unsigned s = RT_STDIN; s <= RT_CONTROL_DOWN; s += RT_CONTROL_DOWN) {
        struct rt_attached_in in = find_in(msg, s, rt_catt_tx(att, s));
        if (rt_catt_wants(att, s)) {
            rt_tx_bind(att, rt_catt_tx(att, s), &in);
        }
    }
}

void rt_catt_on_attached(struct rt_catt *att, const uint8_t *payload, size_t size)
{
    struct rt_client *client = att->client;
    struct rt_attached_msg msg;
    bool first = !att->attached;
    if (rt_msg_decode(RT_MSG_ATTACHED, payload, size, &msg, NULL, 0) != 0) {
        rt_catt_fault(att, RT_CLASS_PROTOCOL, RT_STREAMS, 0);
        return;
    }
    if (!check(att, &msg)) {
        return;
    }
    rt_catt_move(att, RT_CATT_LIVE);
    att->cursors_told = false;
    att->since = client->now;
    att->ask_at = RT_NEVER;
    att->wait_ms = RT_CLIENT_WAIT_MIN_MS;
    att->give_up_at = RT_NEVER;
    att->not_found_at = RT_NEVER;
    att->in_vain = 0;
    att->attached = true;
    att->progress = false;
    rt_client_refer(client, &att->home, att->link);
    rt_client_refer(client, &att->alt, RT_NO_SLOT);
    att->home_since = client->now;
    if (rt_catt_is_newer(att, msg.life, msg.epoch)) {
        att->k_life = msg.life;
        att->k_epoch = msg.epoch;
    }
    bind_streams(att, &msg, first);
    if (first) {
        att->due |= RT_CATT_DUE_ATTACHED;
        att->life = msg.life;
        att->proc = msg.p;
        att->tty = msg.tty;
        att->start[0] = rt_catt_rx(att, RT_STDOUT)->consumed;
        att->start[1] = rt_catt_rx(att, RT_STDERR)->consumed;
        for (unsigned s = RT_STDOUT; s <= RT_STDERR; s++) {
            att->head[s - RT_STDOUT] = rt_catt_wants(att, s) ? find_out(&msg, s)->head : 0;
        }
        learn_exit(att, &msg);
    }
    if (att->state != RT_CATT_LIVE) {
        return;
    }
    rt_list_push(&client->links[att->link].control, &att->control);
    rt_tx_wake(att);
}
