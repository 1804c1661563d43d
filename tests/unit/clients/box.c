/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box.h"

#include "session/core/msg_stream.h"
#include "tests/unit/clients/box_request.h"

#define CHUNK 16384
#define WINDOW 262144

static struct box the_box;

static bool is_bound(const struct box_att *att)
{
    return att->link != NULL && att->link->open && att->link->serial == att->serial;
}

/* ---- output ---- */

static void send_output(struct box_att *att, struct box_proc *proc, unsigned s)
{
    struct box_out *out = &proc->out[s];
    struct rt_frame head = {.stream = (uint16_t)(s + 1), .channel = att->channel};

    if (att->out[s].sent < out->base) {
        link_gap(att->link, att->channel, s + 1, att->out[s].sent, out->base);
        att->out[s].sent = out->base;
    }
    while (att->out[s].sent < out->size && att->out[s].sent < att->out[s].limit) {
        uint64_t n = out->size - att->out[s].sent;

        n = n < CHUNK ? n : CHUNK;
        n = n < att->out[s].limit - att->out[s].sent ? n : att->out[s].limit - att->out[s].sent;
        head.type = RT_DATA;
        head.length = (uint32_t)n;
        head.offset = att->out[s].sent;
        link_send(att->link, head, out->data + att->out[s].sent);
        att->out[s].sent += n;
    }
    if (out->fin && !att->out[s].fin_sent && att->out[s].sent == out->size) {
        att->out[s].fin_sent = true;
        head.type = RT_FIN;
        head.length = 0;
        head.offset = out->size;
        link_send(att->link, head, NULL);
    }
}

void box_pump(struct box *box)
{
    for (size_t i = 0; i < box->n_atts; i++) {
        struct box_att *att = &box->att[i];

        for (unsigned s = 0; s < 3 && is_bound(att); s++) {
            if ((att->want >> (s + 1) & 1) != 0) {
                send_output(att, &box->proc[att->proc], s);
            }
        }
    }
}

void box_write(struct box *box, unsigned proc, unsigned stream, const void *data, size_t size)
{
    struct box_out *out = &box->proc[proc].out[stream - RT_STDOUT];

    assert_true(out->size + size <= sizeof(out->data));
    memcpy(out->data + out->size, data, size);
    out->size += size;
    box_pump(box);
}

void box_forget(struct box *box, unsigned proc, unsigned stream, uint64_t offset)
{
    box->proc[proc].out[stream - RT_STDOUT].base = offset;
    box_pump(box);
}

void box_fin(struct box *box, unsigned proc, unsigned stream)
{
    box->proc[proc].out[stream - RT_STDOUT].fin = true;
    box_pump(box);
}

static void put_up_item(struct box *box, unsigned proc, const struct rt_up_item *item)
{
    uint8_t buf[2 + RT_ITEM_MAX];
    int size = rt_msg_encode(RT_MSG_UP_ITEM, item, buf + 2, RT_ITEM_MAX);

    assert_true(size > 0);
    buf[0] = (uint8_t)(size >> 8);
    buf[1] = (uint8_t)(size & 0xff);
    box_write(box, proc, RT_CONTROL_UP, buf, (size_t)size + 2);
}

void box_ended(struct box *box)
{
    box->state = RT_SESSION_ENDED;
    box->refuse = RT_CLASS_ENDED;
    box->refusals = 1000;
}

void box_exit(struct box *box, unsigned proc, unsigned code, unsigned sig)
{
    struct box_proc *p = &box->proc[proc];
    struct rt_up_item item = {
        .t = RT_ITEM_EXITED, .code = code, .sig = sig, .out = p->out[0].size, .err = p->out[1].size};

    p->exited = true;
    p->code = code;
    p->sig = sig;
    p->out[0].fin = p->out[1].fin = true; /* control-up ends with the item */
    put_up_item(box, proc, &item);
}

void box_resized(struct box *box, unsigned proc, unsigned rows, unsigned cols)
{
    struct rt_up_item item = {.t = RT_ITEM_RESIZED, .rows = rows, .cols = cols};

    put_up_item(box, proc, &item);
}

/* ---- input ---- */

static void say(struct box *box, const char *text)
{
    size_t used = strlen(box->text);

    snprintf(box->text + used, sizeof(box->text) - used, "%s", text);
}

/* A process of an attachment's own, which will say what it is to run. */
static uint64_t make_proc(struct box *box, const struct rt_attach_msg *msg)
{
    struct box_proc *proc = &box->proc[++box->made];

    assert_true(box->made < BOX_PROCS);
    proc->made = proc->awaited = true;
    proc->tty = msg->tty;
    proc->no_input = (msg->want >> RT_STDIN & 1) == 0;
    return box->made;
}

static void run(struct box *box, struct box_proc *proc, const struct rt_down_item *item)
{
    static struct rt_exec_msg exec;
    static char word[RT_ARG_MAX + 1];

    assert_true(proc->awaited && box->what_size + item->b.size <= sizeof(box->what));
    memcpy(box->what + box->what_size, item->b.data, item->b.size);
    box->what_size += item->b.size;
    if (!item->last) {
        return;
    }
    fixture_decode(RT_MSG_EXEC, box->what, box->what_size, &exec);
    proc->awaited = false;
    box->runs++;
    say(box, "exec");
    for (size_t i = 0; i < exec.n_argv; i++) {
        rt_slice_copy(exec.argv[i], word, sizeof(word));
        say(box, " ");
        say(box, word);
    }
    say(box, ";");
}

static void apply_item(struct box *box, struct box_proc *proc, const uint8_t *data, size_t size)
{
    struct rt_down_item item;
    char text[64];

    fixture_decode(RT_MSG_DOWN_ITEM, data, size, &item);
    if (item.t == RT_ITEM_RUN) {
        run(box, proc, &item);
    } else if (item.t == RT_ITEM_SIGNAL) {
        snprintf(text, sizeof(text), "signal %u;", (unsigned)item.sig);
        say(box, text);
    } else {
        snprintf(text, sizeof(text), "resize %ux%u;", (unsigned)item.rows, (unsigned)item.cols);
        say(box, text);
    }
}

static void apply(struct box *box, struct box_att *att, unsigned i)
{
    struct box_in *in = &att->in[i];
    unsigned stream = i == 0 ? RT_STDIN : RT_CONTROL_DOWN;

    if (box->stalled || in->closed) {
        return;
    }
    while (i == 1 && in->received - in->applied >= 2) {
        const uint8_t *at = in->data + in->applied;
        size_t size = (size_t)at[0] << 8 | at[1];

        if (in->received - in->applied < 2 + size) {
            break;
        }
        apply_item(box, &box->proc[att->proc], at + 2, size);
        rt_digest_extend(&in->digest, at, 2 + size);
        in->applied += 2 + size;
    }
    if (i == 0) {
        rt_digest_extend(&in->digest, in->data + in->applied, in->received - in->applied);
        in->applied = in->received;
    }
    link_ack(att->link, att->channel, stream, in->applied, in->applied + WINDOW, rt_digest_value(&in->digest),
             in->fin ? RT_ACK_FIN : 0);
}

void box_take(struct box *box)
{
    box->stalled = false;
    for (size_t i = 0; i < box->n_atts; i++) {
        for (unsigned s = 0; s < 2 && box->att[i].link != NULL; s++) {
            apply(box, &box->att[i], s);
        }
    }
}

void box_close_input(struct box *box, struct box_att *att)
{
    struct rt_frame head = {.type = RT_STOP, .channel = att->channel, .offset = att->in[0].applied};

    (void)box;
    att->in[0].closed = true;
    link_send(att->link, head, NULL);
}

static void take_input(struct box *box, struct box_att *att, const struct rt_frame *head, const uint8_t *payload)
{
    struct box_in *in = &att->in[head->stream == RT_STDIN ? 0 : 1];

    if (in->closed) {
        return;
    }
    assert_true(head->offset == in->received);
    if (head->type == RT_FIN) {
        in->fin = true;
    } else {
        assert_true(in->received + head->length <= sizeof(in->data));
        memcpy(in->data + in->received, payload, head->length);
        in->received += head->length;
    }
    apply(box, att, head->stream == RT_STDIN ? 0 : 1);
}

/* ---- attachments ---- */

static void take_ack(struct box *box, struct box_att *att, const struct rt_frame *head, const uint8_t *payload)
{
    unsigned s = head->stream - RT_STDOUT;

    assert_true(s < 3 && head->offset >= att->out[s].acked && head->offset <= att->out[s].sent);
    assert_true(rt_get_u64(payload) >= att->out[s].limit);
    att->out[s].limit = rt_get_u64(payload);
    att->out[s].acked = head->offset;
    att->out[s].fin_acked = att->out[s].fin_acked || (head->flags & RT_ACK_FIN) != 0;
    box_pump(box);
}

static uint64_t first_byte(const struct box_out *out, const struct rt_attach_msg *msg, unsigned s)
{
    uint64_t at = out->base;

    if (s == 2 || msg->from == RT_FROM_OLDEST || msg->from == RT_FROM_LINES) {
        return at;
    }
    if (msg->from == RT_FROM_NOW) {
        return out->size;
    }
    if (msg->from == RT_FROM_OFFSET) {
        at = s == 0 ? msg->n : msg->ne;
        return at < out->size ? at : out->size;
    }
    return out->size - at > msg->n ? out->size - msg->n : at;
}

/* Where an output stream goes on, with the client's digest checked. */
static void bind_output(struct box_att *att, const struct box_out *out, const struct rt_attach_msg *msg, unsigned s)
{
    att->out[s].fin_sent = false;
    att->out[s].sent = first_byte(out, msg, s);
    for (size_t i = 0; i < msg->n_out; i++) {
        const struct rt_attach_out *had = &msg->out[i];

        if (had->s == s + 1) {
            assert_true(had->c <= out->size && had->c >= att->out[s].acked);
            assert_true(had->d == fixture_digest(out->data + had->df, (size_t)(had->c - had->df)));
            att->out[s].sent = had->c;
        }
    }
    att->out[s].acked = att->out[s].sent;
    att->out[s].limit = att->out[s].sent + RT_INITIAL_CREDIT;
}

static void attached(struct box *box, struct box_att *att, const struct rt_attach_msg *msg)
{
    const struct box_proc *proc = &box->proc[att->proc];
    struct rt_attached_msg terms = {.life = box->life,
                                    .epoch = 1,
                                    .p = att->proc,
                                    .st = proc->exited ? 2 : !proc->awaited,
                                    .tty = proc->tty,
                                    .code = proc->code,
                                    .sig = proc->sig};

    for (unsigned s = 0; s < 3; s++) {
        if ((att->want >> (s + 1) & 1) != 0) {
            bind_output(att, &proc->out[s], msg, s);
            terms.out[terms.n_out++] =
                (struct rt_attached_out){.s = s + 1, .c = att->out[s].sent, .head = proc->out[s].size};
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        struct box_in *in = &att->in[i];
        unsigned s = i == 0 ? RT_STDIN : RT_CONTROL_DOWN;

        in->closed = in->closed || (i == 0 && proc->no_input);
        in->received = in->applied;
        if (msg->take && msg->n_in == 0) {
            rt_digest_start(&in->digest, in->applied);
        }
        if ((att->want >> s & 1) != 0) {
            terms.in[terms.n_in++] = (struct rt_attached_in){
                .s = s, .a = in->applied, .d = rt_digest_value(&in->digest), .closed = in->closed};
        }
    }
    link_send_map(att->link, (struct rt_frame){.type = RT_ATTACHED, .channel = att->channel}, RT_MSG_ATTACHED, &terms);
}

static struct box_att *find(struct box *box, struct rt_slice id)
{
    for (size_t i = 0; i < box->n_atts; i++) {
        if (memcmp(box->att[i].id, id.data, RT_ID_SIZE) == 0) {
            return &box->att[i];
        }
    }
    return NULL;
}

static void take_attach(struct box *box, struct link *link, uint32_t channel, const struct rt_attach_msg *msg)
{
    struct box_att *att = find(box, msg->id);

    if (box->refusals > 0) {
        const struct rt_refuse_msg refuse = {.c = box->refuse,
                                             .m = rt_slice_text(box->words != NULL ? box->words : "as the test wants"),
                                             .code = box->code,
                                             .sig = box->sig};

        box->refusals--;
        link_refuse(link, channel, &refuse);
        return;
    }
    if (att == NULL && !msg->make) {
        link_refuse(link, channel, &(struct rt_refuse_msg){.c = RT_CLASS_UNKNOWN_ATTACHMENT});
        return;
    }
    if (att == NULL && msg->exec && box->proc[0].exited) {
        link_refuse(link, channel,
                    &(struct rt_refuse_msg){.c = RT_CLASS_INVALID, .m = rt_slice_text("the main process has ended")});
        return;
    }
    if (att == NULL) {
        assert_true(box->n_atts < BOX_ATTS && msg->p < BOX_PROCS);
        att = &box->att[box->n_atts++];
        memset(att, 0, sizeof(*att));
        att->made = true;
        att->proc = msg->exec ? make_proc(box, msg) : msg->p;
        memcpy(att->id, msg->id.data, RT_ID_SIZE);
    }
    assert_true(msg->try_no > att->tries);
    att->resumes += msg->n_out > 0;
    att->tries = msg->try_no;
    att->take = msg->take;
    att->want = msg->want;
    att->hold = msg->hold;
    att->once = msg->once;
    att->rows = msg->rows;
    att->cols = msg->cols;
    att->link = link;
    att->serial = link->serial;
    att->channel = channel;
    for (unsigned i = 0; i < 2; i++) {
        if (att->in[i].digest.at == 0) {
            rt_digest_start(&att->in[i].digest, 0);
        }
    }
    attached(box, att, msg);
    box_pump(box);
}

static struct box_att *bound(struct box *box, const struct link *link, uint32_t channel)
{
    for (size_t i = 0; i < box->n_atts; i++) {
        if (is_bound(&box->att[i]) && box->att[i].link == link && box->att[i].channel == channel) {
            return &box->att[i];
        }
    }
    return NULL;
}

static bool frame_cb(struct fixture *f, struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    struct box *box = f->data;
    static struct rt_attach_msg msg;
    static struct rt_refuse_msg refuse;
    struct box_att *att = head->channel != 0 ? bound(box, link, head->channel) : NULL;

    if (head->type == RT_REQUEST) {
        return box_take_request(box, link, head, payload);
    }
    if (head->type == RT_ATTACH && !box->deaf) {
        fixture_decode(RT_MSG_ATTACH, payload, head->length, &msg);
        assert_true(rt_slice_equal(msg.cid, rt_slice_text(BOX_CID)));
        take_attach(box, link, head->channel, &msg);
        return true;
    }
    if (head->type == RT_REFUSE) {
        fixture_decode(RT_MSG_REFUSE, payload, head->length, &refuse);
        box->refused_cls = refuse.c;
    }
    box->detached += head->type == RT_DETACH;
    if (att == NULL) {
        return false;
    }
    if (head->type == RT_ACK) {
        take_ack(box, att, head, payload);
    } else if (head->type == RT_DETACH || head->type == RT_REFUSE) {
        att->link = NULL;
    } else if (head->type == RT_DATA || head->type == RT_FIN) {
        take_input(box, att, head, payload);
    }
    return true;
}

struct box *box_open(struct fixture *f)
{
    struct box *box = &the_box;

    memset(box, 0, sizeof(*box));
    box->f = f;
    box->life = 5;
    box->state = RT_SESSION_RUNNING;
    box->proc[0].made = true;
    f->on_frame = frame_cb;
    f->data = box;
    return box;
}

struct box_att *box_att(struct box *box, unsigned proc)
{
    struct box_att *found = NULL;

    for (size_t i = 0; i < box->n_atts; i++) {
        if (box->att[i].proc == proc) {
            found = &box->att[i];
        }
    }
    return found;
}

bool box_bound(struct box *box, unsigned proc)
{
    const struct box_att *att = box_att(box, proc);

    return att != NULL && is_bound(att);
}
