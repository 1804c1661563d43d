/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

static void note(struct sdk *sdk, enum sdk_event event)
{
    sdk->n[event]++;
    if (sdk->on_event != NULL) {
        sdk->on_event(sdk, event);
    }
}

/* ---- callbacks ---- */

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    struct sdk *sdk = ctx;

    assert_ptr_equal(att, sdk->att);
    sdk->life = attached->life;
    sdk->process = attached->process;
    sdk->tty = attached->tty;
    snprintf(sdk->host, sizeof(sdk->host), "%s", attached->host);
    memcpy(sdk->start, attached->start, sizeof(sdk->start));
    memcpy(sdk->head, attached->head, sizeof(sdk->head));
    note(sdk, SDK_ATTACHED);
}

static size_t output_cb(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                        void *ctx)
{
    struct sdk *sdk = ctx;
    unsigned s = stream - RETETHER_STDOUT;

    assert_true(s < 2 && size > 0);
    assert_int_equal(retether_offset(att, stream),
                     sdk->start[s] + sdk->out[s].size + sdk->out[s].gap_to - sdk->out[s].gap_from);
    size = size < sdk->out[s].room ? size : sdk->out[s].room;
    sdk->out[s].room -= sdk->out[s].room == SIZE_MAX ? 0 : size;
    assert_true(sdk->out[s].size + size <= sizeof(sdk->out[s].data));
    memcpy(sdk->out[s].data + sdk->out[s].size, data, size);
    sdk->out[s].size += size;
    note(sdk, SDK_OUTPUT);
    return size;
}

static void gap_cb(struct retether_attachment *att, enum retether_stream stream, uint64_t from, uint64_t to, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->out[stream - RETETHER_STDOUT].gap_from = from;
    sdk->out[stream - RETETHER_STDOUT].gap_to = to;
    note(sdk, SDK_GAP);
}

static void eof_cb(struct retether_attachment *att, enum retether_stream stream, uint64_t offset, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->out[stream - RETETHER_STDOUT].eof = offset;
    note(sdk, SDK_EOF);
}

static void resized_cb(struct retether_attachment *att, unsigned rows, unsigned cols, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->rows = rows;
    sdk->cols = cols;
    note(sdk, SDK_RESIZED);
}

static void writable_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    note(ctx, SDK_WRITABLE);
}

static void applied_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    note(ctx, SDK_APPLIED);
}

static void input_closed_cb(struct retether_attachment *att, uint64_t applied, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->applied = applied;
    note(sdk, SDK_INPUT_CLOSED);
}

static void interrupted_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    note(ctx, SDK_INTERRUPTED);
}

static void resumed_cb(struct retether_attachment *att, const char *host, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    snprintf(sdk->host, sizeof(sdk->host), "%s", host);
    note(sdk, SDK_RESUMED);
}

static void exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->code = code;
    sdk->signum = signum;
    note(sdk, SDK_EXITED);
}

static void rewound_cb(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->stream = rewound->stream;
    sdk->common = rewound->common;
    sdk->ours = rewound->ours;
    sdk->anew = rewound->anew;
    note(sdk, SDK_REWOUND);
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    struct sdk *sdk = ctx;

    (void)att;
    sdk->cls = cls;
    sdk->code = code;
    sdk->signum = signum;
    snprintf(sdk->text, sizeof(sdk->text), "%s", text);
    note(sdk, SDK_FAILED);
}

const struct retether_attachment_callbacks sdk_callbacks = {
    .size = sizeof(sdk_callbacks),
    .attached = attached_cb,
    .output = output_cb,
    .gap = gap_cb,
    .eof = eof_cb,
    .resized = resized_cb,
    .writable = writable_cb,
    .applied = applied_cb,
    .input_closed = input_closed_cb,
    .interrupted = interrupted_cb,
    .resumed = resumed_cb,
    .exited = exited_cb,
    .rewound = rewound_cb,
    .failed = failed_cb,
};

static void link_cb(struct retether_client *client, const char *address, const char *reason, void *ctx)
{
    struct sdk *sdk = ctx;

    (void)client;
    assert_non_null(strstr(address, "unix:"));
    sdk->links_up += reason == NULL;
    sdk->links_down += reason != NULL;
}

static void closed_cb(void *ctx)
{
    struct sdk *sdk = ctx;

    assert_false(sdk->closed);
    sdk->closed = true;
}

/* ---- making and ending ---- */

int sdk_setup(void **state)
{
    struct sdk *sdk = calloc(1, sizeof(*sdk));
    const struct retether_client_callbacks callbacks = {.size = sizeof(callbacks), .link = link_cb, .ctx = sdk};
    char why[256] = "";
    void *fixture;

    assert_non_null(sdk);
    assert_int_equal(fixture_setup(&fixture), 0);
    sdk->f = fixture;
    sdk->box = box_open(sdk->f);
    sdk->out[0].room = sdk->out[1].room = SIZE_MAX;
    peer_listen(&sdk->f->peer[0]);
    assert_int_equal(retether_client_new(&sdk->f->loop, "test", &callbacks, &sdk->client), RT_OK);
    assert_int_equal(retether_client_add_agent(sdk->client, sdk->f->peer[0].address, why, sizeof(why)), RT_OK);
    *state = sdk;
    return 0;
}

void sdk_close(struct sdk *sdk)
{
    struct retether_client *client = sdk->client;

    sdk->client = NULL;
    sdk->att = NULL;
    retether_client_close(client, closed_cb, sdk);
}

int sdk_teardown(void **state)
{
    struct sdk *sdk = *state;
    void *fixture = sdk->f;
    int rc;

    if (sdk->client != NULL) {
        sdk_close(sdk);
    }
    for (unsigned i = 0; i < FX_LIMIT_MS && !sdk->closed; i++) {
        (void)uv_run(&sdk->f->loop, UV_RUN_ONCE);
    }
    rc = sdk->closed ? fixture_teardown(&fixture) : -1;
    free(sdk);
    return rc;
}

int sdk_attach_with(struct sdk *sdk, const struct retether_attach_options *options)
{
    struct retether_attachment_callbacks callbacks = sdk_callbacks;

    callbacks.ctx = sdk;
    return retether_attach(sdk->client, options, &callbacks, &sdk->att);
}

void sdk_attach(struct sdk *sdk)
{
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(sdk_attach_with(sdk, &options), RT_OK);
    sdk_wait(sdk, SDK_ATTACHED, 1);
}

int sdk_exec(struct sdk *sdk, const char *const *argv)
{
    struct retether_attachment_callbacks callbacks = sdk_callbacks;
    const struct retether_exec_options exec = {.size = sizeof(exec), .argv = argv};
    struct retether_attach_options options;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    callbacks.ctx = sdk;
    return retether_exec(sdk->client, &options, &exec, &callbacks, &sdk->att);
}

void sdk_wait(struct sdk *sdk, enum sdk_event event, unsigned count)
{
    FIXTURE_UNTIL(sdk->f, sdk->n[event] >= count);
}

void sdk_wait_output(struct sdk *sdk, unsigned s, size_t size, unsigned p)
{
    FIXTURE_UNTIL(sdk->f, sdk->out[s].size >= size);
    assert_int_equal(sdk->out[s].size, size);
    if (sdk->out[s].gap_to == 0) {
        assert_memory_equal(sdk->out[s].data, sdk->box->proc[p].out[s].data + sdk->start[s], size);
    }
}

void sdk_wait_input(struct sdk *sdk, unsigned p, size_t size)
{
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, p) != NULL && box_att(sdk->box, p)->in[0].applied >= size);
    assert_int_equal(box_att(sdk->box, p)->in[0].applied, size);
}
