/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include "clients/lib/sized.h"
#include "session/core/msg_stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Attachments as applications see them. Callbacks come from rt_sdk_attachment_step() only; any of them may close its
 * own or another attachment, which is then only marked, or the client. */

#define DEFAULT_HOLD_MS 30000
#define SIGNAL_MAX 64 /* of Linux */

/* Calls one callback if the application has it. */
#define CALL(att, name, ...)                                                                                           \
    do {                                                                                                               \
        if ((att)->callbacks.name != NULL) {                                                                           \
            (att)->callbacks.name((att), __VA_ARGS__);                                                                 \
        }                                                                                                              \
    } while (0)

void retether_attach_defaults(struct retether_attach_options *options, size_t size)
{
    const struct retether_attach_options full = {
        .size = size, .input = true, .output = true, .from = RETETHER_FROM_NOW, .hold_ms = DEFAULT_HOLD_MS};

    rt_sized_give(options, size, &full, sizeof(full));
}

int rt_sdk_attach_options(const struct retether_attach_options *given, struct rt_attach_options *out)
{
    static const uint64_t from[] = {
        [RETETHER_FROM_OLDEST] = RT_FROM_OLDEST, [RETETHER_FROM_NOW] = RT_FROM_NOW,
        [RETETHER_FROM_OFFSET] = RT_FROM_OFFSET, [RETETHER_FROM_BYTES] = RT_FROM_BYTES,
        [RETETHER_FROM_LINES] = RT_FROM_LINES,
    };

    struct retether_attach_options options;
    const struct retether_attach_options *in = &options;

    memset(out, 0, sizeof(*out));
    if (rt_sized_take(&options, sizeof(options), given, sizeof(options)) != RT_OK || in->container == NULL ||
        strlen(in->container) > RT_WHOLE_NAME_MAX || in->process > RT_PROC_MAX ||
        (unsigned)in->from >= sizeof(from) / sizeof(from[0])) {
        return RT_EINVAL;
    }
    snprintf(out->cid, sizeof(out->cid), "%s", in->container);
    out->proc = in->process;
    out->want = 1U << RT_CONTROL_UP;
    if (in->input) {
        out->want |= 1U << RT_STDIN;
    }
    if (in->input || in->control) { /* one that wants neither may be a viewer's, and counts as an observer */
        out->want |= 1U << RT_CONTROL_DOWN;
    }
    if (in->output) {
        out->want |= 1U << RT_STDOUT | 1U << RT_STDERR;
    }
    out->from = from[in->from];
    out->n = in->start[0];
    out->n_err = in->from == RETETHER_FROM_OFFSET ? in->start[1] : 0;
    out->hold_ms = in->hold_ms;
    out->once = in->input_once;
    out->rows = in->rows;
    out->cols = in->cols;
    out->give_up_ms = in->give_up_ms;
    if (in->take_id != NULL) {
        memcpy(out->id, in->take_id, RT_ID_SIZE);
        out->steal = true;
    }
    return RT_OK;
}

int rt_sdk_attach(struct retether_client *client, struct rt_attach_options *options,
                  const struct retether_attachment_callbacks *callbacks, struct retether_attachment **out)
{
    struct retether_attachment *att = calloc(1, sizeof(*att));
    int rc;

    if (att == NULL) {
        return RT_ENOMEM;
    }
    att->client = client;
    options->data = att;
    if ((rc = rt_sized_take(&att->callbacks, sizeof(att->callbacks), callbacks, sizeof(att->callbacks))) != RT_OK ||
        (rc = rt_client_attach(client->machine, options, rt_sdk_now(client), &att->catt)) != RT_OK) {
        free(att);
        return rc;
    }
    rt_list_push(&client->attachments, &att->listed);
    rt_sdk_wake(client);
    *out = att;
    return RT_OK;
}

int retether_attach(struct retether_client *client, const struct retether_attach_options *options,
                    const struct retether_attachment_callbacks *callbacks, struct retether_attachment **out)
{
    struct rt_attach_options wanted;
    int rc = rt_sdk_attach_options(options, &wanted);

    *out = NULL;
    return rc != RT_OK ? rc : rt_sdk_attach(client, &wanted, callbacks, out);
}

/* ---- telling ---- */

static void move(struct retether_attachment *att, enum rt_sdk_attachment_phase to)
{
    assert(to > att->phase);
    att->phase = to;
}

static void tell_attached(struct retether_attachment *att, const struct rt_catt_event *event)
{
    struct retether_attached attached = {
        .life = event->life,
        .epoch = event->epoch,
        .process = (uint32_t)event->proc,
        .tty = event->tty,
        .host = event->host,
        .start = {event->out, event->err},
        .head = {event->head[0], event->head[1]},
    };

    CALL(att, attached, &attached, att->callbacks.ctx);
}

static void tell_rewound(struct retether_attachment *att, const struct rt_catt_event *event)
{
    struct retether_rewound rewound = {
        .anew = event->anew, .stream = (enum retether_stream)event->stream, .common = event->from, .ours = event->to};

    move(att, RT_SDK_ATTACHMENT_FINAL);
    if (att->callbacks.rewound != NULL) {
        att->callbacks.rewound(att, &rewound, att->callbacks.ctx);
    } else {
        CALL(att, failed, RETETHER_REWOUND, event->anew ? "it was started anew" : "it was set back", 0, 0,
             att->callbacks.ctx);
    }
}

static void tell_failed(struct retether_attachment *att, const struct rt_catt_event *event)
{
    static const char unsure[] = "it is not known whether the command was started: ";
    char text[sizeof(unsure) + sizeof(event->text)];

    snprintf(text, sizeof(text), "%s%s",
             event->cls != RT_CLASS_INVALID && rt_catt_run_is_unsure(att->catt) ? unsure : "", event->text);
    move(att, RT_SDK_ATTACHMENT_FINAL);
    CALL(att, failed, (unsigned)event->cls, text, (unsigned)event->code, (unsigned)event->sig, att->callbacks.ctx);
}

static void tell(struct retether_attachment *att, const struct rt_catt_event *event)
{
    void *ctx = att->callbacks.ctx;
    enum retether_stream stream = (enum retether_stream)event->stream;

    switch (event->kind) {
    case RT_CATT_ATTACHED:
        tell_attached(att, event);
        break;
    case RT_CATT_INTERRUPTED:
        CALL(att, interrupted, ctx);
        break;
    case RT_CATT_RESUMED:
        CALL(att, resumed, event->host, ctx);
        break;
    case RT_CATT_GAP:
        if (stream != RETETHER_CONTROL) { /* what it held, the newest state has told */
            CALL(att, gap, stream, event->from, event->to, ctx);
        }
        break;
    case RT_CATT_EOF:
        CALL(att, eof, stream, event->from, ctx);
        break;
    case RT_CATT_RESIZED:
        CALL(att, resized, (unsigned)event->rows, (unsigned)event->cols, ctx);
        break;
    case RT_CATT_INPUT_CLOSED:
        CALL(att, input_closed, event->from, ctx);
        break;
    case RT_CATT_EXITED:
        move(att, RT_SDK_ATTACHMENT_FINAL);
        CALL(att, exited, (unsigned)event->code, (unsigned)event->sig, ctx);
        break;
    case RT_CATT_REWOUND:
        tell_rewound(att, event);
        break;
    case RT_CATT_FAILED:
        tell_failed(att, event);
        break;
    }
}

static bool alive(const struct retether_attachment *att)
{
    return att->phase == RT_SDK_ATTACHMENT_OPEN && att->client->phase == RT_SDK_OPEN;
}

static bool hand_out(struct retether_attachment *att, unsigned stream, size_t limit)
{
    size_t size;
    size_t took;
    const uint8_t *data;

    if (!alive(att) || att->paused[stream - RT_STDOUT]) {
        return false;
    }
    data = rt_catt_peek(att->catt, stream, &size);
    size = size < limit ? size : limit;
    if (size == 0) {
        return false;
    }
    took = att->callbacks.output == NULL
               ? size
               : att->callbacks.output(att, (enum retether_stream)stream, data, size, att->callbacks.ctx);
    if (att->phase == RT_SDK_ATTACHMENT_CLOSED || att->client->phase != RT_SDK_OPEN) {
        return true; /* the bytes are gone with the attachment */
    }
    if (took < size) {
        att->paused[stream - RT_STDOUT] = true;
    }
    rt_catt_consumed(att->catt, stream, took < size ? took : size, rt_sdk_now(att->client));
    return took > 0;
}

/* What was written first goes first, unless the application does not take that stream now. */
static bool hand_out_first(struct retether_attachment *att)
{
    size_t size;
    unsigned first;

    if (!alive(att)) {
        return false;
    }
    first = rt_catt_first(att->catt, &size);
    return hand_out(att, first, size) || hand_out(att, RT_STDOUT + RT_STDERR - first, SIZE_MAX);
}

void rt_sdk_attachment_step(struct retether_attachment *att)
{
    struct rt_catt_event event;

    while (alive(att) && rt_catt_event(att->catt, &event)) {
        tell(att, &event);
    }
    for (unsigned i = 0; i < RT_SDK_PARTS_MAX && hand_out_first(att); i++) {
    }
    if (alive(att) && att->starved && rt_catt_writable(att->catt) > 0) {
        att->starved = false;
        CALL(att, writable, att->callbacks.ctx);
    }
    /* Also after the exit: a signal that ended the process is acknowledged a little later than the end. */
    if (att->phase != RT_SDK_ATTACHMENT_CLOSED && att->client->phase == RT_SDK_OPEN && att->items &&
        rt_catt_applied(att->catt)) {
        att->items = false;
        CALL(att, applied, att->callbacks.ctx);
    }
}

/* ---- the end ---- */

void retether_detach(struct retether_attachment *att)
{
    if (att->phase == RT_SDK_ATTACHMENT_CLOSED) {
        return;
    }
    move(att, RT_SDK_ATTACHMENT_CLOSED);
    rt_list_remove(&att->listed);
    rt_list_push(&att->client->closed_attachments, &att->listed);
    rt_catt_free(att->catt);
    att->catt = NULL;
    rt_sdk_wake(att->client);
}

void rt_sdk_attachments_close(struct retether_client *client)
{
    while (!rt_list_empty(&client->attachments)) {
        retether_detach(RT_LIST_OF(client->attachments.next, struct retether_attachment, listed));
    }
}

/* ---- what applications do ---- */

void retether_resume(struct retether_attachment *att, enum retether_stream stream)
{
    if (stream == RETETHER_STDOUT || stream == RETETHER_STDERR) {
        att->paused[stream - RETETHER_STDOUT] = false;
        if (att->catt != NULL) {
            rt_catt_wake(att->catt);
            rt_sdk_wake(att->client);
        }
    }
}

size_t retether_room(struct retether_attachment *att)
{
    size_t room = att->phase == RT_SDK_ATTACHMENT_OPEN ? rt_catt_writable(att->catt) : 0;

    att->starved = att->starved || room == 0;
    return room;
}

size_t retether_write(struct retether_attachment *att, const void *data, size_t size)
{
    size_t took = att->phase == RT_SDK_ATTACHMENT_OPEN ? rt_catt_write(att->catt, data, size) : 0;

    if (took < size) {
        att->starved = true;
    }
    rt_sdk_wake(att->client);
    return took;
}

void retether_write_end(struct retether_attachment *att)
{
    if (att->phase == RT_SDK_ATTACHMENT_OPEN) {
        rt_catt_write_end(att->catt);
        rt_sdk_wake(att->client);
    }
}

/* An item that was refused is none to wait for. */
static int sent_item(struct retether_attachment *att, int rc)
{
    if (rc == RT_OK) {
        att->items = true;
        rt_sdk_wake(att->client);
    }
    return rc;
}

int retether_resize(struct retether_attachment *att, unsigned rows, unsigned cols)
{
    if (rows > UINT16_MAX || cols > UINT16_MAX) {
        return RT_EINVAL;
    }
    return sent_item(att, att->phase == RT_SDK_ATTACHMENT_OPEN ? rt_catt_resize(att->catt, rows, cols) : RT_ESTATE);
}

int retether_signal(struct retether_attachment *att, unsigned signum)
{
    if (signum == 0 || signum > SIGNAL_MAX) {
        return RT_EINVAL;
    }
    return sent_item(att, att->phase == RT_SDK_ATTACHMENT_OPEN ? rt_catt_signal(att->catt, signum) : RT_ESTATE);
}

uint64_t retether_offset(const struct retether_attachment *att, enum retether_stream stream)
{
    bool output = stream == RETETHER_STDOUT || stream == RETETHER_STDERR;

    return output && att->catt != NULL ? rt_catt_offset(att->catt, (unsigned)stream) : 0;
}

void retether_input(const struct retether_attachment *att, uint64_t *written, uint64_t *taken)
{
    *written = *taken = 0;
    if (att->catt != NULL) {
        rt_catt_input(att->catt, written, taken);
    }
}

uint64_t retether_resent(const struct retether_attachment *att)
{
    return att->catt != NULL ? rt_catt_resent(att->catt) : 0;
}

void retether_attachment_id(const struct retether_attachment *att, uint8_t id[RETETHER_ATTACHMENT_ID_SIZE])
{
    if (att->catt != NULL) {
        rt_catt_id(att->catt, id);
    } else {
        memset(id, 0, RT_ID_SIZE);
    }
}
