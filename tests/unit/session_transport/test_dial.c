/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_transport/dial_ends.h"

#include "session/transport/dialled.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Listeners and dialers against each other, and against bare sockets. */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

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
        TEST(test_dialled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
