/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/dialer.h"
#include "session/transport/dialled.h"
#include "session/transport/listener.h"

#include "tests/unit/session_transport/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FDS_MAX 64

/* Listeners and dialers against each other, and against bare sockets. */

struct server {
    struct rt_listener listener;
    int fds[FDS_MAX];
    unsigned n;
    struct rt_listener_peer peer; /* the last one */
    bool accepted, closed;
};

struct call {
    struct rt_dialer dialer;
    bool done;
    unsigned calls;
    int status, fd;
    char text[RT_DIALER_TEXT_MAX];
};

static void on_accept(struct rt_listener *listener, int fd, const struct rt_listener_peer *peer)
{
    struct server *server = listener->data;

    assert_true(server->n < FDS_MAX);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    server->fds[server->n++] = fd;
    server->peer = *peer;
    server->accepted = true;
}

static void on_close(struct rt_listener *listener)
{
    struct server *server = listener->data;

    assert_false(server->closed);
    server->closed = true;
}

static const struct rt_listener_ops ops = {.on_accept = on_accept, .on_close = on_close};

static int try_serve(struct fixture *fixture, struct server *server, struct rt_endpoint endpoint, unsigned max_open,
                     char *why, size_t why_size)
{
    struct rt_listener_config config = {.endpoint = endpoint, .mode = 0640, .max_open = max_open};

    memset(server, 0, sizeof(*server));
    server->listener.data = server;
    return rt_listener_open(&server->listener, &fixture->loop, &config, &ops, why, why_size);
}

static void serve(struct fixture *fixture, struct server *server, struct rt_endpoint endpoint, unsigned max_open)
{
    char why[256] = "";

    if (try_serve(fixture, server, endpoint, max_open, why, sizeof(why)) != 0) {
        fail_msg("%s", why);
    }
}

static void stop(struct fixture *fixture, struct server *server)
{
    rt_listener_close(&server->listener);
    rt_listener_close(&server->listener);
    fixture_run(fixture, &server->closed);
    while (server->n > 0) {
        (void)close(server->fds[--server->n]);
        rt_listener_release(&server->listener);
    }
}

static void on_dial(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    struct call *call = dialer->data;

    call->done = true;
    call->calls++;
    call->status = status;
    call->fd = fd;
    (void)snprintf(call->text, sizeof(call->text), "%s", text);
}

static void start(struct fixture *fixture, struct call *call, struct rt_endpoint endpoint, uint64_t timeout_ms)
{
    memset(call, 0, sizeof(*call));
    call->dialer.data = call;
    rt_dialer_start(&call->dialer, &fixture->loop, &endpoint, timeout_ms, on_dial);
    assert_false(call->done);
}

static int dial(struct fixture *fixture, struct call *call, struct rt_endpoint endpoint, uint64_t timeout_ms)
{
    start(fixture, call, endpoint, timeout_ms);
    fixture_run(fixture, &call->done);
    fixture_sleep(fixture, 5);
    assert_int_equal(call->calls, 1);
    assert_int_equal(call->status == 0, call->fd >= 0);
    return call->status;
}

static void meet(struct fixture *fixture, struct rt_endpoint endpoint, struct server *server)
{
    struct call call;
    char byte = 0;

    serve(fixture, server, endpoint, 4);
    if (dial(fixture, &call, server->listener.config.endpoint, 0) != 0) {
        fail_msg("%s", call.text);
    }
    fixture_run(fixture, &server->accepted);
    assert_true((fcntl(call.fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(call.fd, "x", 1), 1);
    assert_int_equal(read(server->fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    (void)close(call.fd);
}

static void test_unix(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "a.sock");
    struct server server;
    struct stat info;
    char text[64];

    meet(fixture, where, &server);
    assert_int_equal(server.peer.kind, RT_ENDPOINT_UNIX);
    assert_int_equal(server.peer.pid, getpid());
    assert_int_equal(server.peer.uid, getuid());
    assert_int_equal(server.peer.gid, getgid());
    (void)snprintf(text, sizeof(text), "unix pid %ld uid %lu", (long)getpid(), (unsigned long)getuid());
    assert_string_equal(server.peer.text, text);
    assert_int_equal(stat(rt_endpoint_path(&where), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    stop(fixture, &server);
    assert_int_equal(stat(rt_endpoint_path(&where), &info), -1);
}

static void test_tcp(void **state)
{
    struct fixture *fixture = *state;
    struct server server;

    meet(fixture, fixture_endpoint("tcp:127.0.0.1:0"), &server);
    assert_int_equal(server.peer.kind, RT_ENDPOINT_TCP);
    assert_non_null(strstr(server.peer.text, "tcp:127.0.0.1:"));
    stop(fixture, &server);
}

static void test_tcp6(void **state)
{
    struct fixture *fixture = *state;
    struct server server;
    char why[256];

    if (try_serve(fixture, &server, fixture_endpoint("tcp:[::1]:0"), 1, why, sizeof(why)) != 0) {
        skip(); /* no IPv6 here */
    }
    stop(fixture, &server);
    meet(fixture, fixture_endpoint("tcp:[::1]:0"), &server);
    assert_non_null(strstr(server.peer.text, "tcp:[::1]:"));
    stop(fixture, &server);
}

/* Bind and listen only: what connects to a vSocket would leave the machine. */
static void test_vsock_listens(void **state)
{
    struct fixture *fixture = *state;
    struct server server;
    char why[256] = "";
    int err = try_serve(fixture, &server, fixture_endpoint("vsock::47400"), 1, why, sizeof(why));

    if (err != 0) {
        assert_non_null(strstr(why, "listen on vsock::47400: "));
        skip(); /* no vSocket module here */
    }
    stop(fixture, &server);
}

static void test_stale_socket(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "s.sock");
    struct server first, second;
    struct stat info;
    char why[256] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    /* Left behind: replaced. */
    assert_int_equal(bind(fd, &where.addr.any, where.size), 0);
    (void)close(fd);
    serve(fixture, &first, where, 4);
    /* Answering: refused, and untouched. */
    assert_int_equal(try_serve(fixture, &second, where, 4, why, sizeof(why)), RT_EEXIST);
    assert_non_null(strstr(why, "somebody answers there"));
    assert_non_null(strstr(why, rt_endpoint_path(&where)));
    assert_int_equal(stat(rt_endpoint_path(&where), &info), 0);
    /* Another socket has taken the place: the first leaves that alone when it goes. */
    assert_int_equal(unlink(rt_endpoint_path(&where)), 0);
    serve(fixture, &second, where, 4);
    stop(fixture, &first);
    assert_int_equal(stat(rt_endpoint_path(&where), &info), 0);
    stop(fixture, &second);
    assert_int_equal(stat(rt_endpoint_path(&where), &info), -1);
}

static void test_listen_errors(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint file = fixture_unix(fixture, "file"), nowhere = fixture_unix(fixture, "no/such.sock");
    struct server server, other;
    char why[256] = "";
    int fd = open(rt_endpoint_path(&file), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(try_serve(fixture, &server, file, 1, why, sizeof(why)), RT_EEXIST);
    assert_non_null(strstr(why, "no socket"));
    assert_int_equal(access(rt_endpoint_path(&file), F_OK), 0);
    assert_int_equal(try_serve(fixture, &server, nowhere, 1, why, sizeof(why)), RT_EIO);
    assert_non_null(strstr(why, "No such file"));
    serve(fixture, &server, fixture_endpoint("tcp:127.0.0.1:0"), 1);
    assert_int_equal(try_serve(fixture, &other, server.listener.config.endpoint, 1, why, sizeof(why)), RT_EEXIST);
    assert_non_null(strstr(why, "in use"));
    stop(fixture, &server);
}

/* More than max_open: closed at once. A release makes room. */
static void test_cap(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "cap.sock");
    struct server server;
    struct call calls[4];
    char byte;

    serve(fixture, &server, where, 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dial(fixture, &calls[i], where, 0), 0);
    }
    fixture_sleep(fixture, 20);
    assert_int_equal(server.n, 2);
    assert_int_equal(server.listener.refused, 1);
    assert_int_equal(read(calls[2].fd, &byte, 1), 0);
    (void)close(server.fds[--server.n]);
    rt_listener_release(&server.listener);
    assert_int_equal(dial(fixture, &calls[3], where, 0), 0);
    fixture_sleep(fixture, 20);
    assert_int_equal(server.n, 2);
    assert_int_equal(server.listener.accepted, 3);
    for (int i = 0; i < 4; i++) {
        (void)close(calls[i].fd);
    }
    stop(fixture, &server);
}

/* Out of descriptors: nobody is dropped, nothing spins, and it goes on when there are some again. */
static void test_no_descriptors(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "emfile.sock");
    struct server server;
    struct rlimit limit, few;
    int fds[3];

    serve(fixture, &server, where, 8);
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)fds[2] + 2; /* one more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(connect(fds[i], &where.addr.any, where.size), 0);
    }
    fixture_sleep(fixture, 250);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(server.n, 1);
    assert_in_range(server.listener.pauses, 1, 4);
    fixture_sleep(fixture, UINT64_C(2) * RT_LISTENER_PAUSE_MS);
    assert_int_equal(server.n, 3);
    assert_int_equal(server.listener.refused, 0);
    for (int i = 0; i < 3; i++) {
        (void)close(fds[i]);
    }
    stop(fixture, &server);
}

static void test_refused(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "nobody.sock"), tcp = fixture_endpoint("tcp:127.0.0.1:0");
    struct server server;
    struct call call;
    int fd;

    assert_int_equal(dial(fixture, &call, where, 0), RT_ECONN);
    assert_non_null(strstr(call.text, "connect to unix:"));
    assert_non_null(strstr(call.text, "No such file"));
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &where.addr.any, where.size), 0);
    assert_int_equal(dial(fixture, &call, where, 0), RT_ECONN);
    assert_non_null(strstr(call.text, "refused"));
    (void)close(fd);
    serve(fixture, &server, tcp, 1);
    tcp = server.listener.config.endpoint;
    stop(fixture, &server);
    assert_int_equal(dial(fixture, &call, tcp, 0), RT_ECONN);
    assert_non_null(strstr(call.text, "refused"));
}

/* A TCP listener whose queue is full: the kernel drops the SYN and nobody answers. */
struct deaf {
    int listener;
    int fds[4];
    struct rt_endpoint endpoint;
};

static void deaf_open(struct deaf *deaf)
{
    deaf->endpoint = fixture_endpoint("tcp:127.0.0.1:0");
    deaf->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(deaf->listener, &deaf->endpoint.addr.any, deaf->endpoint.size), 0);
    assert_int_equal(listen(deaf->listener, 0), 0);
    assert_int_equal(getsockname(deaf->listener, &deaf->endpoint.addr.any, &deaf->endpoint.size), 0);
    for (size_t i = 0; i < 4; i++) {
        deaf->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(deaf->fds[i], &deaf->endpoint.addr.any, deaf->endpoint.size);
    }
}

static void deaf_close(struct deaf *deaf)
{
    for (size_t i = 0; i < 4; i++) {
        (void)close(deaf->fds[i]);
    }
    (void)close(deaf->listener);
}

static void test_timed_out(void **state)
{
    struct fixture *fixture = *state;
    struct deaf deaf;
    struct call call;
    uint64_t begin;

    deaf_open(&deaf);
    uv_update_time(&fixture->loop);
    begin = uv_now(&fixture->loop);
    assert_int_equal(dial(fixture, &call, deaf.endpoint, 80), RT_ETIMEDOUT);
    assert_in_range(uv_now(&fixture->loop) - begin, 80, 1000);
    assert_non_null(strstr(call.text, "no answer in time"));
    deaf_close(&deaf);
}

static void test_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct deaf deaf;
    struct call call = {0};

    rt_dialer_cancel(&call.dialer); /* never started */
    deaf_open(&deaf);
    start(fixture, &call, deaf.endpoint, 0);
    fixture_sleep(fixture, 10);
    rt_dialer_cancel(&call.dialer);
    rt_dialer_cancel(&call.dialer);
    assert_false(call.done);
    fixture_run(fixture, &call.done);
    assert_int_equal(call.status, RT_ECANCELED);
    assert_int_equal(call.fd, -1);
    rt_dialer_cancel(&call.dialer); /* over */
    fixture_sleep(fixture, 10);
    assert_int_equal(call.calls, 1);
    deaf_close(&deaf);
}

/* Cancelled before the loop has seen that it is connected. */
static void test_cancelled_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "c.sock");
    struct server server;
    struct call call;

    serve(fixture, &server, where, 1);
    start(fixture, &call, where, 0);
    rt_dialer_cancel(&call.dialer);
    fixture_run(fixture, &call.done);
    assert_int_equal(call.status, RT_ECANCELED);
    stop(fixture, &server);
}

static void redial_cb(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    struct call *call = dialer->data;

    (void)text;
    if (++call->calls < 3) {
        struct rt_endpoint endpoint = dialer->endpoint;
        rt_dialer_start(dialer, dialer->timer.loop, &endpoint, 0, redial_cb);
        return;
    }
    call->status = status;
    call->fd = fd;
    call->done = true;
}

static void test_again_from_the_callback(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint where = fixture_unix(fixture, "nobody.sock");
    struct call call = {0};

    call.dialer.data = &call;
    rt_dialer_start(&call.dialer, &fixture->loop, &where, 0, redial_cb);
    fixture_run(fixture, &call.done);
    assert_int_equal(call.calls, 3);
    assert_int_equal(call.status, RT_ECONN);
}

/* ---- names ---- */

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

/* A link that is dialled. */

struct caller {
    struct rt_dialled dialled;
    bool open, got, closed;
    int reason;
    char text[RT_DIALER_TEXT_MAX];
};

static void on_open(struct rt_link *link)
{
    struct caller *caller = link->data;

    assert_false(caller->open || caller->closed);
    caller->open = true;
}

static size_t on_link_data(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct caller *caller = link->data;

    (void)buf;
    (void)data;
    assert_true(caller->open);
    caller->got = true;
    return size;
}

static void on_link_close(struct rt_link *link, int reason, const char *text)
{
    struct caller *caller = link->data;

    assert_false(caller->closed);
    caller->closed = true;
    caller->reason = reason;
    (void)snprintf(caller->text, sizeof(caller->text), "%s", text);
}

static void call_link(struct fixture *fixture, struct rt_buf_pool *pool, struct caller *caller,
                      struct rt_endpoint endpoint)
{
    static const struct rt_link_ops link_ops = {.on_data = on_link_data, .on_close = on_link_close};
    struct rt_link_setup setup = {.loop = &fixture->loop, .pool = pool, .ops = &link_ops};

    memset(caller, 0, sizeof(*caller));
    caller->dialled.link.data = caller;
    rt_dialled_start(&caller->dialled, &endpoint, 0, &setup, on_open);
    assert_false(caller->open || caller->closed);
}

/* One end, whatever becomes of it: nobody is there; closed while dialling, twice; open, then closed by either side. */
static void test_dialled(void **state)
{
    struct fixture *fixture = *state;
    struct rt_endpoint endpoint = fixture_unix(fixture, "dialled");
    struct rt_buf_pool pool;
    struct server server;
    struct caller caller;

    rt_buf_pool_init(&pool);
    call_link(fixture, &pool, &caller, endpoint);
    fixture_run(fixture, &caller.closed);
    assert_false(caller.open);
    assert_int_equal(caller.reason, RT_ECONN);
    assert_non_null(strstr(caller.text, "dialled: No such file"));

    serve(fixture, &server, endpoint, 4);
    call_link(fixture, &pool, &caller, endpoint);
    rt_dialled_close(&caller.dialled, RT_LINK_NOW, RT_ESTATE, "not any more");
    rt_dialled_close(&caller.dialled, RT_LINK_NOW, RT_EINVAL, "again");
    fixture_run(fixture, &caller.closed);
    assert_false(caller.open);
    assert_int_equal(caller.reason, RT_ESTATE);

    for (int here = 0; here < 2; here++) {
        server.accepted = false;
        call_link(fixture, &pool, &caller, endpoint);
        fixture_run(fixture, &caller.open);
        fixture_run(fixture, &server.accepted);
        assert_int_equal(write(server.fds[server.n - 1], "x", 1), 1);
        fixture_run(fixture, &caller.got);
        if (here) {
            rt_dialled_close(&caller.dialled, RT_LINK_AFTER, 0, "enough");
        } else {
            (void)shutdown(server.fds[server.n - 1], SHUT_RDWR);
        }
        fixture_run(fixture, &caller.closed);
        assert_int_equal(caller.reason, here ? 0 : RT_ECONN);
        assert_string_equal(caller.text, here ? "enough" : "closed by the peer");
    }
    stop(fixture, &server);
    rt_buf_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unix),
        TEST(test_tcp),
        TEST(test_tcp6),
        TEST(test_vsock_listens),
        TEST(test_stale_socket),
        TEST(test_listen_errors),
        TEST(test_cap),
        TEST(test_no_descriptors),
        TEST(test_refused),
        TEST(test_timed_out),
        TEST(test_cancelled),
        TEST(test_cancelled_at_once),
        TEST(test_again_from_the_callback),
        TEST(test_names),
        TEST(test_names_given_up),
        TEST(test_dialled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
