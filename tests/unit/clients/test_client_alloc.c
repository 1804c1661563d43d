/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/clients/sdk.h"

/* Every allocation of a whole session of the client half fails in turn, libuv's own too: a call says RT_ENOMEM, or an
 * attachment or a request ends and says so, or a connection is made anew; no crash, no leak, no hang. */

static uint8_t bytes[100000];
static unsigned refused; /* calls that said RT_ENOMEM, ends for want of memory */

static bool over(const struct sdk *sdk)
{
    return sdk->n[SDK_FAILED] + sdk->n[SDK_EXITED] + sdk->n[SDK_REWOUND] > 0;
}

static bool granted(int rc)
{
    assert_true(rc == RT_OK || rc == RT_ENOMEM);
    refused += rc != RT_OK;
    return rc == RT_OK;
}

/* Until the event has come, or the attachment has ended for want of memory. False: it has ended. */
static bool reach(struct sdk *sdk, bool (*reached)(struct sdk *sdk))
{
    FIXTURE_UNTIL(sdk->f, reached(sdk) || over(sdk));
    if (sdk->n[SDK_FAILED] > 0) {
        assert_int_equal(sdk->cls, RETETHER_LIMIT);
        refused++;
        return false;
    }
    return true;
}

static bool is_attached(struct sdk *sdk)
{
    return sdk->n[SDK_ATTACHED] > 0;
}

static bool is_output(struct sdk *sdk)
{
    return sdk->out[0].size == sizeof(bytes);
}

static bool is_input(struct sdk *sdk)
{
    struct box_att *att = box_att(sdk->box, sdk->process);

    return att != NULL && att->in[0].applied == 10;
}

static bool is_applied(struct sdk *sdk)
{
    return sdk->n[SDK_APPLIED] > 0;
}

static bool is_resumed(struct sdk *sdk)
{
    return sdk->n[SDK_RESUMED] > 0;
}

static bool is_over(struct sdk *sdk)
{
    return over(sdk);
}

static void talk(struct sdk *sdk)
{
    if (!reach(sdk, is_attached)) {
        return;
    }
    box_write(sdk->box, sdk->process, RT_STDOUT, bytes, sizeof(bytes));
    if (!reach(sdk, is_output)) {
        return;
    }
    assert_memory_equal(sdk->out[0].data, bytes, sizeof(bytes));
    if (retether_write(sdk->att, "0123456789", 10) != 10) {
        (void)reach(sdk, is_over);
        return;
    }
    if (!reach(sdk, is_input) || !granted(retether_signal(sdk->att, 15)) || !reach(sdk, is_applied)) {
        return;
    }
    peer_cut(&sdk->f->peer[0]);
    if (!reach(sdk, is_resumed)) {
        return;
    }
    retether_write_end(sdk->att);
    box_exit(sdk->box, sdk->process, 3, 0);
    if (reach(sdk, is_over)) {
        assert_int_equal(sdk->code, 3);
    }
}

static void reply_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    (void)client;
    assert_true(reply->error == 0 || reply->error == RT_ENOMEM || reply->error == RT_ECONN);
    refused += reply->error != 0;
    *(bool *)ctx = *(bool *)ctx || !reply->more;
}

static void ask(struct sdk *sdk, int (*request)(struct sdk *sdk, bool *answered))
{
    bool answered = false;

    if (granted(request(sdk, &answered))) {
        FIXTURE_UNTIL(sdk->f, answered);
    }
}

static int ask_show(struct sdk *sdk, bool *answered)
{
    return retether_show(sdk->client, BOX_CID, true, reply_cb, answered);
}

static int ask_tails(struct sdk *sdk, bool *answered)
{
    return retether_tails(sdk->client, BOX_CID, reply_cb, answered);
}

static int ask_create(struct sdk *sdk, bool *answered)
{
    return retether_create(sdk->client, "new", &(struct retether_made){.label = "label"}, reply_cb, answered);
}

static int ask_hosts(struct sdk *sdk, bool *answered)
{
    return retether_hosts(sdk->client, reply_cb, answered);
}

static bool hosts_request(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    static uint8_t buf[RT_FRAME_PAYLOAD_MAX];
    int size;

    (void)box;
    if (!rt_slice_equal(request->op, rt_slice_text("hosts"))) {
        return false;
    }
    reply.n_hosts = 1;
    reply.hosts[0].host = rt_slice_text("h0");
    reply.hosts[0].ver = rt_slice_text("0");
    size = rt_msg_encode(RT_MSG_REPLY, &reply, buf, sizeof(buf));
    assert_true(size > 0);
    link_send(link, (struct rt_frame){.type = RT_REPLY, .offset = id, .length = (uint32_t)size}, buf);
    return true;
}

static void session(struct sdk *sdk, bool exec)
{
    static const char *const argv[] = {"echo", "x", NULL};
    struct retether_attachment_callbacks callbacks = sdk_callbacks;
    const struct retether_exec_options how = {.size = sizeof(how), .argv = argv, .env = argv, .cwd = "/"};
    struct retether_attach_options options;
    char why[256];

    if (!granted(retether_client_new(&sdk->f->loop, "test", NULL, &sdk->client))) {
        return;
    }
    (void)granted(retether_client_add_agent(sdk->client, sdk->f->peer[0].address, why, sizeof(why)));
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    callbacks.ctx = sdk;
    if (granted(exec ? retether_exec(sdk->client, &options, &how, &callbacks, &sdk->att)
                     : retether_attach(sdk->client, &options, &callbacks, &sdk->att))) {
        talk(sdk);
    }
    if (!exec) {
        sdk->box->state = RT_SESSION_ENDED;
        sdk->box->tail[0] = "tail";
        sdk->box->tail_end[0] = 4;
        sdk->box->on_request = hosts_request;
        ask(sdk, ask_show);
        ask(sdk, ask_tails);
        ask(sdk, ask_create);
        ask(sdk, ask_hosts);
    }
    sdk_close(sdk);
    FIXTURE_UNTIL(sdk->f, sdk->closed);
}

/* One session with its n-th allocation failing. Returns
 * whether one did. */
static bool fails_at(size_t n, bool exec)
{
    void *state;
    struct sdk *sdk;
    bool failed;

    assert_int_equal(sdk_setup(&state), 0);
    sdk = state;
    sdk_close(sdk); /* it makes another, with the allocations counted */
    FIXTURE_UNTIL(sdk->f, sdk->closed);
    sdk->closed = false;
    fixture_grow(sdk->f);
    refused = 0;
    rt_alloc_fail_at(n);
    session(sdk, exec);
    failed = rt_alloc_stop();
    sdk->closed = true;
    assert_int_equal(sdk_teardown(&state), 0);
    return failed;
}

static void test_attach(void **state)
{
    size_t n = 1;

    (void)state;
    while (fails_at(n, false)) {
        n++;
    }
    assert_true(n > 20);
    assert_int_equal(refused, 0); /* none failed, nothing was refused */
}

static void test_exec(void **state)
{
    size_t n = 1;

    (void)state;
    while (fails_at(n, true)) {
        n++;
    }
    assert_true(n > 15);
    assert_int_equal(refused, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attach), cmocka_unit_test(test_exec)};

    /* Through the linker's wrapped names, like all others. */
    if (uv_replace_allocator(malloc, realloc, calloc, free) != 0) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
