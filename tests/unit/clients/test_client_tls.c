/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"
#include "session/core/msg_request.h"
#include "session/transport/listener.h"
#include "tests/lib/certs/certs.h"
#include "tests/unit/clients/fixture.h"

#include <unistd.h>

/* A client before agents over TLS that say whose they are: what their certificate says, or something else. Both have
 * the keys of each other's tickets, as all agents of a cluster do. */

#define HOSTS 2

static const struct rt_tls_ticket_key ticket_key = {.name = "one", .mac = {1}, .cipher = {1}};

struct door;

struct guest_of { /* a connection that was accepted */
    struct rt_link link;
    struct door *door;
    struct guest_of *next;
    bool over;
};

/* One numeric address; which agent is there, and what it says, changes. */
struct door {
    struct fixture *f;
    struct rt_listener listener;
    char address[64];
    struct certs_ca ca;
    struct rt_tls agents[HOSTS]; /* of host1, host2 */
    struct rt_buf_pool pool;
    unsigned at;      /* which of them is there */
    const char *says; /* its host, in WELCOME */
    struct guest_of *first;
    unsigned n, welcomes, requests;
    bool closed;
};

static struct door door;

static struct {
    struct retether_client *client;
    unsigned answers;
    int error;
    bool closed;
    unsigned up, down;
    char reason[128]; /* of the newest link that ended */
} app;

/* ---- the agent ---- */

static void say(struct rt_link *link, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t bytes[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    size_t size = rt_msg_put(head, kind, msg, bytes, sizeof(bytes));
    uv_buf_t piece = uv_buf_init((char *)bytes, (unsigned)size);

    assert_true(size > 0);
    assert_int_equal(rt_link_writev(link, NULL, &piece, 1), 0);
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    size_t used = 0;
    struct rt_frame frame;

    (void)buf;
    while (size - used >= RT_FRAME_HEADER) {
        rt_frame_get(data + used, &frame);
        if (frame.length > size - used - RT_FRAME_HEADER) {
            break;
        }
        used += RT_FRAME_HEADER + frame.length;
        if (frame.type == RT_HELLO) {
            door.welcomes++;
            say(link, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME,
                &(struct rt_welcome_msg){.v = 1, .host = rt_slice_text(door.says)});
        } else if (frame.type == RT_REQUEST) {
            door.requests++;
            say(link, (struct rt_frame){.type = RT_REPLY, .offset = frame.offset}, RT_MSG_REPLY,
                &(struct rt_reply_msg){.c = RT_CLASS_OK});
        }
    }
    return used;
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct guest_of *guest = link->data;

    (void)reason;
    (void)text;
    guest->over = true;
    door.n--;
    rt_listener_release(&door.listener);
}

static void accept_cb(struct rt_listener *listener, int fd, const struct rt_listener_peer *peer)
{
    static const struct rt_link_ops ops = {.on_data = data_cb, .on_close = close_cb};
    struct guest_of *guest = calloc(1, sizeof(*guest));
    struct rt_link_setup setup = {
        .loop = &door.f->loop,
        .pool = &door.pool,
        .ops = &ops,
        .wire = {.ops = &rt_wire_tls, .context = &door.agents[door.at], .side = RT_WIRE_ACCEPTED}};

    (void)listener;
    (void)peer;
    assert_non_null(guest);
    guest->link.data = guest;
    guest->next = door.first;
    door.first = guest;
    door.n++;
    assert_int_equal(rt_link_open(&guest->link, fd, &setup), 0);
}

static void closed_door_cb(struct rt_listener *listener)
{
    (void)listener;
    door.closed = true;
}

static const struct rt_listener_ops door_ops = {.on_accept = accept_cb, .on_close = closed_door_cb};

/* Ends all connections, as a host does that dies. */
static void cut(void)
{
    for (struct guest_of *guest = door.first; guest != NULL; guest = guest->next) {
        if (!guest->over) {
            rt_link_close(&guest->link, RT_LINK_NOW, RT_OK, "cut");
        }
    }
    FIXTURE_UNTIL(door.f, door.n == 0);
}

/* ---- certificates ---- */

static const char *in_dir(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", door.f->dir, name);
    return path;
}

static void issue(const char *uri)
{
    (void)unlink(in_dir("cert.pem"));
    (void)unlink(in_dir("key.pem"));
    certs_issue_uri(&door.ca, uri, in_dir("cert.pem"), in_dir("key.pem"));
}

static int setup(void **state)
{
    struct rt_listener_config config = {.max_open = 16};
    struct rt_tls_directory directory;
    char uri[64], why[256] = "";

    memset(&door, 0, sizeof(door));
    memset(&app, 0, sizeof(app));
    if (fixture_setup(state) != 0) {
        return -1;
    }
    door.f = *state;
    rt_buf_pool_init(&door.pool);
    certs_ca_init(&door.ca, "CA", NULL);
    certs_ca_append(&door.ca, in_dir("ca.pem"));
    for (unsigned i = 0; i < HOSTS; i++) {
        struct rt_tls_settings settings = {.ticket_keys = &ticket_key, .n_ticket_keys = 1};

        (void)snprintf(uri, sizeof(uri), "spiffe://lab/retether/agent/host%u", i + 1);
        issue(uri);
        assert_int_equal(rt_tls_directory(&directory, door.f->dir, &settings, why, sizeof(why)), 0);
        rt_tls_init(&door.agents[i]);
        assert_int_equal(rt_tls_load(&door.agents[i], &settings, why, sizeof(why)), 0);
    }
    issue("spiffe://lab/retether/vch/acme");
    assert_int_equal(rt_endpoint_parse(&config.endpoint, "tls:127.0.0.1:0", why, sizeof(why)), 0);
    assert_int_equal(rt_listener_open(&door.listener, &door.f->loop, &config, &door_ops, why, sizeof(why)), 0);
    rt_endpoint_print(&door.listener.config.endpoint, door.address, sizeof(door.address));
    return 0;
}

static void closed_cb(void *ctx)
{
    (void)ctx;
    app.closed = true;
}

static int teardown(void **state)
{
    struct guest_of *guest;

    retether_client_close(app.client, closed_cb, NULL);
    FIXTURE_UNTIL(door.f, app.closed);
    cut();
    rt_listener_close(&door.listener);
    FIXTURE_UNTIL(door.f, door.closed);
    while ((guest = door.first) != NULL) {
        door.first = guest->next;
        free(guest);
    }
    for (unsigned i = 0; i < HOSTS; i++) {
        rt_tls_close(&door.agents[i]);
    }
    certs_ca_close(&door.ca);
    rt_buf_pool_close(&door.pool);
    for (const char *const *name = (const char *const[]){"cert.pem", "key.pem", "ca.pem", NULL}; *name != NULL;
         name++) {
        (void)unlink(in_dir(*name));
    }
    return fixture_teardown(state);
}

/* ---- the application ---- */

static void link_cb(struct retether_client *client, const char *address, const char *reason, void *ctx)
{
    (void)client;
    (void)ctx;
    assert_string_equal(address, door.address);
    if (reason == NULL) {
        app.up++;
    } else {
        app.down++;
        (void)snprintf(app.reason, sizeof(app.reason), "%s", reason);
    }
}

static void answer_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    (void)client;
    (void)ctx;
    app.answers++;
    app.error = reply->error;
}

static void open_app(void)
{
    const struct retether_client_callbacks callbacks = {.size = sizeof(callbacks), .link = link_cb};
    const struct retether_tls_options tls = {.size = sizeof(tls), .directory = door.f->dir};
    char why[256] = "";

    assert_int_equal(retether_client_new(&door.f->loop, "test", &callbacks, &app.client), 0);
    if (retether_client_tls(app.client, &tls, why, sizeof(why)) != 0 ||
        retether_client_add_agent(app.client, door.address, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
}

/* Asks for the hosts; what comes of it. */
static int ask(void)
{
    unsigned before = app.answers;

    assert_int_equal(retether_hosts(app.client, answer_cb, NULL), 0);
    FIXTURE_UNTIL(door.f, app.answers > before);
    return app.error;
}

static void is_at(unsigned host, const char *says)
{
    door.at = host - 1;
    door.says = says;
}

/* Whoever has one host's certificate, and says that it is another, is asked nothing. */
static void test_another_host(void **state)
{
    (void)state;
    open_app();
    is_at(2, "host1");
    assert_int_equal(ask(), RT_ECONN);
    assert_true(door.welcomes > 0);
    assert_int_equal(door.requests, 0);
    assert_string_equal(app.reason, "the agent says that it is of another host than its certificate");
    is_at(2, "host2");
    assert_int_equal(ask(), 0);
    assert_int_equal(door.requests, 1);
    cut();
    is_at(2, "host1"); /* its own session says nothing for it */
    assert_int_equal(ask(), RT_ECONN);
    assert_int_equal(door.requests, 1);
}

/* An address goes from one host to another: what it resumes there is the first one's session, which the second can
 * open, too. It has to show its own certificate then, and is asked, without a failure that anybody sees. */
static void test_floating_address(void **state)
{
    unsigned welcomes;

    (void)state;
    open_app();
    is_at(1, "host1");
    assert_int_equal(ask(), 0);
    cut();
    assert_int_equal(ask(), 0);
    assert_int_equal(door.agents[0].resumed, 1);
    cut();
    is_at(2, "host2");
    welcomes = door.welcomes;
    assert_int_equal(ask(), 0);
    assert_int_equal(door.welcomes, welcomes + 2);
    assert_int_equal(door.agents[1].resumed, 1);
    assert_int_equal(door.agents[1].whole, 1);
    assert_int_equal(app.client->tls.n_sessions, 1);
    assert_string_equal(app.client->tls.sessions[0].peer.name, "host2");
    cut();
    assert_int_equal(ask(), 0);
    assert_int_equal(door.agents[1].resumed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_another_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_floating_address, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
