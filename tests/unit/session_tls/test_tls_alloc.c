/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/alloc/allocfail.h"
#include "tests/unit/session_tls/tls_end.h"

/* Each allocation of a wire's life, and of a load, fails once; what OpenSSL and libuv allocate is not among them. */

#define TOTAL 100000

static size_t on_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct secure *secure = link->data;

    (void)buf;
    check_payload(&secure->end, data, size);
    secure->end.got_all = secure->end.seen == TOTAL;
    return size;
}

static const struct rt_link_ops sink_ops = {.on_data = on_data, .on_close = on_close};

static void open_sink(struct world *world, struct secure *end, int fd, struct rt_tls *tls, enum rt_wire_side side)
{
    struct rt_link_setup setup = {.loop = &world->fixture->loop,
                                  .pool = &pool,
                                  .ops = &sink_ops,
                                  .wire = {.ops = &rt_wire_tls, .context = tls, .side = side}};

    end->end.link.data = end;
    assert_int_equal(rt_link_open(&end->end.link, fd, &setup), 0);
}

/* A write before the handshake and one behind it. Returns whether all has come. */
static bool session(struct world *world, const uint8_t *bytes)
{
    struct secure client = {0}, agent = {0};
    bool half = false;
    int fds[2];

    pair_of(fds);
    open_sink(world, &client, fds[0], &world->client, RT_WIRE_DIALLED);
    open_sink(world, &agent, fds[1], &world->agent, RT_WIRE_ACCEPTED);
    for (size_t at = 0; at < TOTAL && !client.end.closed; at += TOTAL / 2) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)(bytes + at), TOTAL / 2);
        int err = rt_link_writev(&client.end.link, NULL, &buf, 1);
        assert_true(err == 0 || err == RT_ENOMEM || err == RT_ECONN);
        while (!agent.end.closed && client.end.link.state == RT_LINK_OPEN && agent.end.seen < at + TOTAL / 2) {
            (void)uv_run(&world->fixture->loop, UV_RUN_ONCE);
        }
        half = agent.end.seen == TOTAL;
    }
    if (!agent.end.closed) { /* a client that has failed waits for that */
        rt_link_close(&agent.end.link, RT_LINK_NOW, 0, "done");
    }
    if (!client.end.closed) {
        rt_link_close(&client.end.link, RT_LINK_NOW, 0, "done");
    }
    while (!client.end.closed || !agent.end.closed) {
        (void)uv_run(&world->fixture->loop, UV_RUN_ONCE);
    }
    return half;
}

static void test_session(void **state)
{
    struct world world;
    uint8_t *bytes = malloc(TOTAL);
    size_t n = 1;

    world_open(&world, *state);
    assert_non_null(bytes);
    for (size_t i = 0; i < TOTAL; i++) {
        bytes[i] = byte_at(i);
    }
    for (;; n++) {
        bool all, failed;
        rt_alloc_fail_at(n);
        all = session(&world, bytes);
        failed = rt_alloc_stop();
        assert_true(all || failed);
        if (!failed) {
            break;
        }
    }
    assert_true(n > 10);
    free(bytes);
    world_close(&world);
}

static void test_load(void **state)
{
    struct world world;
    struct rt_tls_settings settings;

    world_open(&world, *state);
    settings = settings_of(*state, "agent");
    settings.crl_file = in_dir(*state, "crl.pem");
    certs_crl_append(&world.ca, NULL, 0, -60, 3600, settings.crl_file);
    for (size_t n = 1;; n++) {
        struct rt_tls tls;
        char why[256];
        int rc;
        rt_tls_init(&tls);
        rt_alloc_fail_at(n);
        rc = rt_tls_load(&tls, &settings, why, sizeof(why));
        if (!rt_alloc_stop()) {
            assert_int_equal(rc, 0);
            rt_tls_close(&tls);
            assert_int_equal(n, 6); /* the input, and four files */
            break;
        }
        assert_int_equal(rc, RT_ENOMEM);
        assert_null(tls.ctx);
        rt_tls_close(&tls);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_session), TEST(test_load)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
