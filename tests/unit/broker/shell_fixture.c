/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker/shell_fixture.h"

#include "session/base/slice.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "tests/lib/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct rt_shell shell;
struct rt_settings fx_settings;
char fx_dir[40], fx_guest[64], fx_client[64];
void (*fx_other)(void);
const struct rt_service *const *fx_services;

void fx_add(struct rt_setting_list *list, const char *format, ...)
{
    va_list args;

    assert_true(list->n < RT_SETTING_ITEMS_MAX);
    va_start(args, format);
    (void)vsnprintf(list->item[list->n++], sizeof(list->item[0]), format, args);
    va_end(args);
}

int fx_setup(void **state)
{
    static const struct rt_service *const sessions[] = {&rt_sessions, NULL};

    (void)state;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return -1;
    }
    fx_other = NULL;
    fx_services = sessions;
    (void)snprintf(fx_dir, sizeof(fx_dir), "/tmp/rt-shell-XXXXXX");
    if (mkdtemp(fx_dir) == NULL) {
        return -1;
    }
    (void)snprintf(fx_guest, sizeof(fx_guest), "%s/guest.sock", fx_dir);
    (void)snprintf(fx_client, sizeof(fx_client), "%s/client.sock", fx_dir);
    memset(&fx_settings, 0, sizeof(fx_settings));
    (void)snprintf(fx_settings.host_name, sizeof(fx_settings.host_name), "hosta");
    (void)snprintf(fx_settings.state_dir, sizeof(fx_settings.state_dir), "%s/state", fx_dir);
    (void)snprintf(fx_settings.keys, sizeof(fx_settings.keys), "%s/keys", fx_dir);
    fx_add(&fx_settings.guests, "unix:%s", fx_guest);
    fx_add(&fx_settings.clients, "unix:%s", fx_client);
    fx_add(&fx_settings.store, "redis+unix://%s/nobody.sock", fx_dir);
    fx_settings.store_timeout_ms = 1000;
    fx_settings.access =
        (struct rt_access){.rules = {{.whom = RT_ACCESS_ANY, .as = RT_CLIENT_VCH, .tenant = "local"}}, .n = 1};
    fx_settings.max_guests = fx_settings.max_clients = 4096;
    fx_settings.max_ends = 4;
    fx_settings.log_level = RT_LOG_ERROR;
    fx_settings.log_format = RT_LOG_TEXT;
    return 0;
}

int fx_teardown(void **state)
{
    (void)state;
    rt_test_remove_tree(fx_dir);
    return 0;
}

char *fx_path(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", fx_dir, name);
    return path;
}

void fx_write(const char *name, const void *data, size_t size, unsigned mode)
{
    int fd = open(fx_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t)size);
    assert_int_equal(close(fd), 0);
}

void fx_start(void)
{
    rt_shell_start(&shell, &fx_settings, fx_services);
    assert_int_equal(shell.phase, RT_SHELL_RUNNING);
}

static bool has_ended(void *ctx)
{
    (void)ctx;
    return uv_loop_alive(&shell.loop) == 0;
}

void fx_refused(void)
{
    rt_shell_start(&shell, &fx_settings, fx_services);
    fx_until(has_ended, NULL);
    assert_int_equal(rt_shell_run(&shell), 1);
    assert_int_equal(rt_shell_connections(&shell), 0);
    assert_int_equal(access(fx_guest, F_OK), -1); /* no socket is left behind */
    assert_int_equal(access(fx_client, F_OK), -1);
}

void fx_stop(int exit_code)
{
    rt_shell_stop(&shell, exit_code);
    fx_until(has_ended, NULL);
    assert_int_equal(rt_shell_run(&shell), exit_code);
    assert_int_equal(rt_shell_connections(&shell), 0);
    assert_int_equal(shell.n_ops, 0);
    assert_int_equal(shell.n_finds, 0);
    assert_int_equal(access(fx_client, F_OK), -1);
}

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void fx_turn(void)
{
    struct pollfd wait = {.fd = uv_backend_fd(&shell.loop), .events = POLLIN};

    (void)poll(&wait, 1, uv_backend_timeout(&shell.loop) == 0 ? 0 : 1);
    (void)uv_run(&shell.loop, UV_RUN_NOWAIT);
    if (fx_other != NULL) {
        fx_other();
    }
}

void fx_until(bool (*done)(void *ctx), void *ctx)
{
    uint64_t end = clock_ms() + FX_HANG_MS;

    while (!done(ctx)) {
        assert_true(clock_ms() < end);
        fx_turn();
    }
}

void fx_turn_for(unsigned ms)
{
    uint64_t end = clock_ms() + ms;

    while (clock_ms() < end) {
        fx_turn();
    }
}

void fx_connect(struct fx_peer *peer, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    peer->eof = false;
    peer->size = 0;
    peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

void fx_close(struct fx_peer *peer)
{
    if (peer->fd >= 0) {
        (void)close(peer->fd);
    }
    peer->fd = -1;
}

void fx_send(struct fx_peer *peer, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = send(peer->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            fx_turn();
            continue;
        }
        if (n < 0) {
            return; /* the agent has closed: who waits for that sees it */
        }
        at += n;
        size -= (size_t)n;
    }
}

size_t fx_hello(uint8_t *out, size_t cap)
{
    struct rt_hello_msg hello = {.vmin = 1, .vmax = 1, .role = rt_slice_text("client"), .name = rt_slice_text("test")};
    struct rt_frame frame = {.type = RT_HELLO};
    int size = rt_msg_encode(RT_MSG_HELLO, &hello, out + RT_FRAME_HEADER, cap - RT_FRAME_HEADER);

    assert_true(size > 0);
    frame.length = (uint32_t)size;
    rt_frame_put(out, &frame);
    return RT_FRAME_HEADER + (size_t)size;
}

static void take_in(struct fx_peer *peer)
{
    ssize_t n = recv(peer->fd, peer->in + peer->size, sizeof(peer->in) - peer->size, MSG_DONTWAIT);

    if (n > 0) {
        peer->size += (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        peer->eof = true;
    }
}

static bool is_closed(void *ctx)
{
    struct fx_peer *peer = ctx;

    take_in(peer);
    return peer->eof;
}

void fx_until_closed(struct fx_peer *peer)
{
    fx_until(is_closed, peer);
}

struct search {
    struct fx_peer *peer;
    enum rt_frame_type type;
    struct rt_frame *frame;
    size_t at;
};

/* The newest whole frame of that type among what has come. */
static bool has_frame(void *ctx)
{
    struct search *search = ctx;
    const struct fx_peer *peer = search->peer;
    bool found = false;

    take_in(search->peer);
    for (size_t at = 0; at + RT_FRAME_HEADER <= peer->size;) {
        struct rt_frame frame;

        rt_frame_get(peer->in + at, &frame);
        if (at + RT_FRAME_HEADER + frame.length > peer->size) {
            break;
        }
        if (frame.type == search->type) {
            *search->frame = frame;
            search->at = at + RT_FRAME_HEADER;
            found = true;
        }
        at += RT_FRAME_HEADER + frame.length;
    }
    return found;
}

size_t fx_until_frame(struct fx_peer *peer, enum rt_frame_type type, struct rt_frame *frame)
{
    struct search search = {.peer = peer, .type = type, .frame = frame};

    fx_until(has_frame, &search);
    return search.at;
}

static bool has_frame_or_end(void *ctx)
{
    const struct search *search = ctx;

    return has_frame(ctx) || search->peer->eof;
}

bool fx_frame_or_end(struct fx_peer *peer, enum rt_frame_type type)
{
    struct rt_frame frame = {.type = 0};
    struct search search = {.peer = peer, .type = type, .frame = &frame};

    fx_until(has_frame_or_end, &search);
    return frame.type == type;
}

void fx_client_up(struct fx_peer *peer)
{
    uint8_t hello[RT_SHORT_MAX];
    size_t size = fx_hello(hello, sizeof(hello));
    struct rt_frame frame;

    fx_connect(peer, fx_client);
    fx_send(peer, hello, size);
    (void)fx_until_frame(peer, RT_WELCOME, &frame);
}

void fx_assert_alive(struct fx_peer *client)
{
    uint8_t ping[RT_FRAME_HEADER];
    struct rt_frame frame = {.type = RT_PING};

    client->size = 0;
    rt_frame_put(ping, &frame);
    fx_send(client, ping, sizeof(ping));
    (void)fx_until_frame(client, RT_PONG, &frame);
}
