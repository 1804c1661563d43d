/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_transport/dial_ends.h"

/* Names are dialled: looked up, and the addresses that are found tried in turn. */

/* What a name is found to be, and how often that was given back. */
static struct {
    uv_getaddrinfo_cb cb;
    int status;
    struct addrinfo list[3];
    struct sockaddr_in addrs[3];
    size_t n;
    unsigned released;
    char name[64], port[8];
} found;

static void found_cb(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    assert_int_equal(status, 0);
    uv_freeaddrinfo(list);
    found.cb(req, found.status, found.n == 0 ? NULL : found.list);
}

static int get(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb cb, const char *name, const char *port,
               const struct addrinfo *hints)
{
    found.cb = cb;
    (void)snprintf(found.name, sizeof(found.name), "%s", name);
    (void)snprintf(found.port, sizeof(found.port), "%s", port);
    return uv_getaddrinfo(loop, req, found_cb, "127.0.0.1", port, hints); /* comes from a thread, as any */
}

static void give_back(struct addrinfo *list)
{
    assert_ptr_equal(list, found.list);
    found.released++;
}

static const struct rt_dialer_names names = {.get = get, .release = give_back};

static void finds(const struct rt_endpoint *const *endpoints, size_t n)
{
    memset(&found, 0, sizeof(found));
    for (size_t i = 0; i < n; i++) {
        found.addrs[i] = endpoints[i]->addr.in4;
        found.list[i].ai_addr = (struct sockaddr *)&found.addrs[i];
        found.list[i].ai_addrlen = sizeof(found.addrs[i]);
        found.list[i].ai_next = i + 1 < n ? &found.list[i + 1] : NULL;
    }
    found.n = n;
}

static int dial_name(struct fixture *fixture, struct call *call)
{
    struct rt_endpoint named = fixture_endpoint("tls:esx17.example:7401");

    memset(call, 0, sizeof(*call));
    call->dialer.data = call;
    call->dialer.names = &names;
    rt_dialer_start(&call->dialer, &fixture->loop, &named, 0, on_dial);
    fixture_run(fixture, &call->done);
    assert_int_equal(call->calls, 1);
    return call->status;
}

/* Its addresses are tried in turn, until one answers. */
static void test_names(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint dead, alive;
    struct server server;
    struct call call;

    serve(fixture, &server, fixture_endpoint("tls:127.0.0.1:0"), 4);
    dead = server.listener.config.endpoint;
    stop(fixture, &server);
    serve(fixture, &server, fixture_endpoint("tls:127.0.0.1:0"), 4);
    alive = server.listener.config.endpoint;
    finds((const struct rt_endpoint *[]){&dead, &dead, &alive}, 3);
    assert_int_equal(dial_name(fixture, &call), 0);
    fixture_run(fixture, &server.accepted);
    assert_string_equal(found.name, "esx17.example");
    assert_string_equal(found.port, "7401");
    assert_int_equal(found.released, 1);
    (void)close(call.fd);
    finds((const struct rt_endpoint *[]){&dead, &dead}, 2);
    assert_int_equal(dial_name(fixture, &call), RT_ECONN);
    assert_string_equal(call.text, "connect to tls:esx17.example:7401: Connection refused");
    finds(NULL, 0);
    found.status = UV_EAI_NONAME;
    assert_int_equal(dial_name(fixture, &call), RT_ECONN);
    assert_string_equal(call.text, "connect to tls:esx17.example:7401: unknown node or service");
    assert_int_equal(found.released, 0);
    stop(fixture, &server);
}

/* Given up while it is looked up, and dialled where nothing looks names up. */
static void test_names_given_up(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint named = fixture_endpoint("tls:esx17.example:7401"), alive;
    struct server server;
    struct call call;

    serve(fixture, &server, fixture_endpoint("tls:127.0.0.1:0"), 4);
    alive = server.listener.config.endpoint;
    finds((const struct rt_endpoint *[]){&alive}, 1);
    memset(&call, 0, sizeof(call));
    call.dialer.data = &call;
    call.dialer.names = &names;
    rt_dialer_start(&call.dialer, &fixture->loop, &named, 0, on_dial);
    rt_dialer_cancel(&call.dialer);
    assert_false(call.done);
    fixture_run(fixture, &call.done);
    assert_int_equal(call.status, RT_ECANCELED);
    assert_int_equal(found.released, 1);
    assert_int_equal(dial(fixture, &call, named, 0), RT_EINVAL);
    assert_false(server.accepted);
    stop(fixture, &server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_names_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
