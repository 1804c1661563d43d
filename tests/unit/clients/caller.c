/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/caller.h"

#define CHANNEL 7

static struct caller the_caller;

static unsigned channel_of(const struct caller *c, unsigned n)
{
    return CHANNEL + 10 * c->confirms + 2 * (unsigned)c->att[n].tries + n;
}

/* ---- to the guest ---- */

static void send_input(struct caller *c, unsigned n)
{
    struct caller_att *att = &c->att[n];

    for (unsigned i = 0; i < 2 && att->bound; i++) {
        struct rt_frame head = {.type = RT_DATA,
                                .stream = i == 0 ? RT_STDIN : RT_CONTROL_DOWN,
                                .channel = channel_of(c, n),
                                .offset = att->in[i].sent};

        if (att->in[i].sent < att->in[i].size && !(i == 0 && att->closed)) {
            head.length = (uint32_t)(att->in[i].size - att->in[i].sent);
            link_send(c->link, head, att->in[i].data + att->in[i].sent);
            att->in[i].sent = att->in[i].size;
        }
        if (att->in[i].fin && !att->in[i].fin_sent && !att->closed) {
            att->in[i].fin_sent = true;
            head.type = RT_FIN;
            head.length = 0;
            head.offset = att->in[i].size;
            link_send(c->link, head, NULL);
        }
    }
}

void caller_input(struct caller *c, unsigned n, const void *data, size_t size)
{
    struct caller_att *att = &c->att[n];

    assert_true(att->in[0].size + size <= 32768); /* within the initial credit */
    memcpy(att->in[0].data + att->in[0].size, data, size);
    att->in[0].size += size;
    send_input(c, n);
}

void caller_input_end(struct caller *c, unsigned n)
{
    c->att[n].in[0].fin = true;
    send_input(c, n);
}

void caller_item(struct caller *c, unsigned n, const struct rt_down_item *item)
{
    struct caller_att *att = &c->att[n];
    uint8_t *at = att->in[1].data + att->in[1].size;
    int size = rt_msg_encode(RT_MSG_DOWN_ITEM, item, at + 2, RT_ITEM_MAX);

    assert_true(size > 0);
    at[0] = (uint8_t)(size >> 8);
    at[1] = (uint8_t)(size & 0xff);
    att->in[1].size += (size_t)size + 2;
    send_input(c, n);
}

void caller_attach(struct caller *c, unsigned n)
{
    static struct rt_attach_msg msg;
    struct caller_att *att = &c->att[n];

    memset(&msg, 0, sizeof(msg));
    att->made = true;
    att->tries++;
    msg.cid = rt_slice_text("c1");
    msg.id = (struct rt_slice){att->id, RT_ID_SIZE};
    msg.try_no = att->tries;
    msg.make = !att->ever;
    msg.exec = n > 0;
    msg.tty = c->exec_tty;
    msg.rows = n > 0 ? 5 : 0;
    msg.cols = n > 0 ? 6 : 0;
    msg.want = 0x1f;
    msg.from = RT_FROM_OLDEST;
    msg.hold = 30000;
    for (unsigned s = 0; att->ever && s < 3; s++) {
        msg.out[msg.n_out++] = (struct rt_attach_out){
            .s = s + 1, .c = att->out[s].size, .d = fixture_digest(att->out[s].data, att->out[s].size)};
    }
    for (unsigned i = 0; att->ever && i < 2; i++) {
        msg.in[msg.n_in++] = (struct rt_attach_in){
            .s = i == 0 ? RT_STDIN : RT_CONTROL_DOWN, .a = att->in[i].acked, .h = att->in[i].size};
    }
    c->attaches++;
    link_send_map(c->link, (struct rt_frame){.type = RT_ATTACH, .channel = channel_of(c, n)}, RT_MSG_ATTACH, &msg);
}

/* ---- from the guest ---- */

static void take_attached(struct caller *c, unsigned n, const struct rt_attached_msg *msg)
{
    struct caller_att *att = &c->att[n];

    att->attached = *msg;
    att->bound = att->ever = true;
    att->proc = msg->p;
    for (size_t i = 0; i < msg->n_out; i++) {
        assert_true(msg->out[i].c == att->out[msg->out[i].s - 1].size);
    }
    for (size_t i = 0; i < msg->n_in; i++) {
        unsigned k = msg->in[i].s == RT_STDIN ? 0 : 1;

        assert_true(msg->in[i].a >= att->in[k].acked && msg->in[i].a <= att->in[k].size);
        assert_true(msg->in[i].d == fixture_digest(att->in[k].data, (size_t)msg->in[i].a));
        att->in[k].acked = att->in[k].sent = (size_t)msg->in[i].a;
        att->in[k].fin_sent = false;
        att->closed = att->closed || (k == 0 && msg->in[i].closed);
    }
    send_input(c, n);
}

static void take_data(struct caller *c, unsigned n, const struct rt_frame *head, const uint8_t *payload)
{
    struct caller_att *att = &c->att[n];
    unsigned s = head->stream - RT_STDOUT;

    assert_true(s < 3 && head->offset == att->out[s].size);
    assert_true(att->out[s].size + head->length < sizeof(att->out[s].data));
    memcpy(att->out[s].data + att->out[s].size, payload, head->length);
    att->out[s].size += head->length;
    link_ack(c->link, head->channel, head->stream, att->out[s].size, att->out[s].size + 65536,
             fixture_digest(att->out[s].data, att->out[s].size), 0);
    if (s == 2 && att->out[2].size > 2) { /* items never come in pieces on this link */
        size_t at = att->out[2].size - head->length;
        size_t size = (size_t)payload[0] << 8 | payload[1];

        if (att->out[2].size - at >= 2 + size) {
            fixture_decode(RT_MSG_UP_ITEM, payload + 2, size, &att->exit);
        }
    }
}

static void take_fin(struct caller *c, unsigned n, const struct rt_frame *head)
{
    struct caller_att *att = &c->att[n];

    att->out[head->stream - RT_STDOUT].fin = head->offset;
    assert_true(head->offset == att->out[head->stream - RT_STDOUT].size);
    link_ack(c->link, head->channel, head->stream, head->offset, head->offset + 65536,
             fixture_digest(att->out[head->stream - RT_STDOUT].data, (size_t)head->offset), RT_ACK_FIN);
}

static bool take_plain(struct caller *c, struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    struct rt_end_ok_msg ok = {.how = c->slow_end ? RT_END_LATER : RT_END_STORED, .delay = c->slow_end ? 20 : 0};

    switch (head->type) {
    case RT_CONFIRM:
        c->link = link;
        c->confirms++;
        for (unsigned n = 0; n < CALLER_ATTS; n++) {
            c->att[n].bound = false;
            if (c->att[n].made || (n == 0 && !c->no_attach)) {
                caller_attach(c, n);
            }
        }
        return true;
    case RT_REPORT:
        c->reports++;
        return true;
    case RT_TAIL:
        c->tail_size[head->stream - RT_STDOUT] = head->length;
        return true;
    case RT_END:
        fixture_decode(RT_MSG_END, payload, head->length, &c->end);
        c->ended = true;
        link_send_map(link, (struct rt_frame){.type = RT_END_OK}, RT_MSG_END_OK, &ok);
        return true;
    default:
        return false;
    }
}

static bool frame_cb(struct fixture *f, struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    struct caller *c = f->data;
    static struct rt_attached_msg attached;
    static struct rt_refuse_msg refuse;
    unsigned n;

    if (head->channel == 0) {
        return take_plain(c, link, head, payload);
    }
    for (n = 0; n < CALLER_ATTS && head->channel != channel_of(c, n); n++) {
    }
    if (n == CALLER_ATTS) {
        return false;
    }
    if (head->type == RT_ATTACHED) {
        fixture_decode(RT_MSG_ATTACHED, payload, head->length, &attached);
        take_attached(c, n, &attached);
    } else if (head->type == RT_DATA) {
        take_data(c, n, head, payload);
    } else if (head->type == RT_FIN) {
        take_fin(c, n, head);
    } else if (head->type == RT_STOP) {
        c->att[n].closed = true;
    } else if (head->type == RT_ACK) {
        c->att[n].in[head->stream == RT_STDIN ? 0 : 1].acked = (size_t)head->offset;
    } else if (head->type == RT_REFUSE) {
        fixture_decode(RT_MSG_REFUSE, payload, head->length, &refuse);
        c->refused_cls = refuse.c;
        c->att[n].bound = false;
    }
    return true;
}

struct caller *caller_open(struct fixture *f)
{
    struct caller *c = &the_caller;

    memset(c, 0, sizeof(*c));
    c->f = f;
    for (unsigned n = 0; n < CALLER_ATTS; n++) {
        snprintf((char *)c->att[n].id, RT_ID_SIZE, "attachment %u", n);
        c->att[n].out[0].fin = c->att[n].out[1].fin = UINT64_MAX;
    }
    f->on_frame = frame_cb;
    f->data = c;
    return c;
}

bool caller_has(const struct caller *c, unsigned n, const char *text)
{
    return strstr((const char *)c->att[n].out[0].data, text) != NULL; /* what follows is zero */
}

bool caller_exited(const struct caller *c, unsigned n)
{
    return c->att[n].exit.t == RT_ITEM_EXITED;
}
