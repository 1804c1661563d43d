/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/vmotion.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Reads and writes of one direction before other handles get their turn. */
#define ROUNDS_MAX 8
/* Connections accepted in one go. */
#define ACCEPT_MAX 64

enum phase { RELAYING, SETTLING, HUNG, CLOSING };

/* side[0] is the guest, side[1] the agent; direction d reads side[d] and writes side[1 - d]. */
struct side {
    uv_poll_t poll;
    int fd; /* owned, -1 when closed */
    int events;
};

struct half {
    char *buf; /* owned, VMOTION_BUFFER bytes, or NULL until the first byte */
    size_t from, until;
    bool eof;
    bool broken;    /* the receiver takes no more */
    uint64_t quota; /* bytes still to deliver before the end of a move, or VMOTION_NEVER */
};

struct vmotion_pair {
    struct vmotion *v;
    struct vmotion_pair *prev, *next;
    enum phase phase;
    enum vmotion_mode mode; /* SETTLING: how it ends */
    struct side side[2];
    struct half half[2];
    uv_timer_t timer; /* SETTLING */
    unsigned open_handles;
};

static void side_cb(uv_poll_t *poll, int status, int events);

static size_t readable(int fd)
{
    int size = 0;

    if (fd < 0 || ioctl(fd, FIONREAD, &size) != 0 || size < 0) {
        return 0;
    }
    return (size_t)size;
}

static void stand_in_closed(struct vmotion *v)
{
    if (--v->open_handles == 0 && v->on_close != NULL) {
        v->on_close(v);
    }
}

static void pair_closed_cb(uv_handle_t *handle)
{
    struct vmotion_pair *pair = handle->data;
    struct vmotion *v = pair->v;

    if (--pair->open_handles > 0) {
        return;
    }
    if (pair->prev != NULL) {
        pair->prev->next = pair->next;
    } else {
        v->pairs = pair->next;
    }
    if (pair->next != NULL) {
        pair->next->prev = pair->prev;
    }
    free(pair->half[0].buf);
    free(pair->half[1].buf);
    free(pair);
    stand_in_closed(v);
}

static void close_side(struct side *side)
{
    if (side->fd >= 0) {
        uv_close((uv_handle_t *)&side->poll, pair_closed_cb);
        (void)close(side->fd);
        side->fd = -1;
    }
}

static void leave_phase(struct vmotion_pair *pair, enum phase next)
{
    struct vmotion *v = pair->v;
    enum phase old = pair->phase;

    pair->phase = next;
    switch (old) {
    case RELAYING:
        v->stats.live--;
        break;
    case SETTLING:
        v->stats.live--;
        if (--v->settling == 0 && v->on_settled != NULL) {
            v->on_settled(v);
        }
        break;
    case HUNG:
        v->stats.hung--;
        break;
    case CLOSING:
        break;
    }
}

static void close_pair(struct vmotion_pair *pair)
{
    if (pair->phase == CLOSING) {
        return;
    }
    close_side(&pair->side[0]);
    close_side(&pair->side[1]);
    uv_close((uv_handle_t *)&pair->timer, pair_closed_cb);
    leave_phase(pair, CLOSING);
}

static void count_held(struct vmotion_pair *pair)
{
    for (int d = 0; d < 2; d++) {
        pair->v->stats.lost[d] += pair->half[d].until - pair->half[d].from;
        pair->half[d].from = pair->half[d].until = 0;
    }
}

/* What the sender of that direction has sent and will never be read. Once a side, when it is closed. */
static void count_unread(struct vmotion_pair *pair, int d)
{
    pair->v->stats.lost[d] += readable(pair->side[d].fd);
}

/* Reads away what is there, so that the close is an EOF and no reset. */
static void drain(int fd)
{
    char buf[4096];

    for (int i = 0; i < 1024 && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0; i++) {
    }
}

/* The connection ends by the stand-in's will. */
static void end_pair(struct vmotion_pair *pair, enum vmotion_mode mode)
{
    if (pair->phase == HUNG || pair->phase == CLOSING) {
        return;
    }
    count_held(pair);
    if (mode == VMOTION_HANG) {
        (void)uv_timer_stop(&pair->timer);
        pair->v->stats.hung++;
        for (int s = 0; s < 2; s++) {
            (void)uv_poll_start(&pair->side[s].poll, UV_DISCONNECT, side_cb);
        }
        leave_phase(pair, HUNG);
        return;
    }
    count_unread(pair, 0);
    count_unread(pair, 1);
    if (mode == VMOTION_EOF) {
        drain(pair->side[0].fd);
        drain(pair->side[1].fd);
    }
    close_pair(pair);
}

/* The peer of a hung side has closed it, or the old host gives up. */
static void hung_gone(struct vmotion_pair *pair, int s)
{
    count_unread(pair, s);
    if (pair->side[1 - s].fd >= 0) {
        close_side(&pair->side[s]);
    } else {
        close_pair(pair);
    }
}

static void watch(struct vmotion_pair *pair)
{
    bool stalled = pair->v->stalled && pair->phase == RELAYING;

    for (int s = 0; s < 2; s++) {
        const struct half *in = &pair->half[s], *out = &pair->half[1 - s];
        struct side *side = &pair->side[s];
        int events = 0;

        if (!stalled && !in->eof && !in->broken && in->quota > 0 && in->from == in->until) {
            events |= UV_READABLE;
        }
        if (!stalled && !out->broken && out->quota > 0 && out->from < out->until) {
            events |= UV_WRITABLE;
        }
        if (events == side->events) {
            continue;
        }
        side->events = events;
        if (events == 0) {
            (void)uv_poll_stop(&side->poll);
        } else {
            (void)uv_poll_start(&side->poll, events, side_cb);
        }
    }
}

/* Fills the empty buffer. False when there is nothing to read now. */
static bool fill(struct vmotion_pair *pair, int d)
{
    struct half *half = &pair->half[d];
    ssize_t n;

    if (half->buf == NULL) {
        half->buf = malloc(VMOTION_BUFFER);
        if (half->buf == NULL) {
            half->eof = true;
            return false;
        }
    }
    n = recv(pair->side[d].fd, half->buf, VMOTION_BUFFER, MSG_DONTWAIT);
    if (n > 0) {
        half->from = 0;
        half->until = (size_t)n;
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        half->eof = true;
    }
    return false;
}

/* Delivers what is allowed. False when the receiver takes no more now, or nothing more is allowed; *cut when a cut is
 * due. */
static bool deliver(struct vmotion_pair *pair, int d, bool *cut)
{
    struct vmotion *v = pair->v;
    struct half *half = &pair->half[d];
    size_t size = half->until - half->from;
    ssize_t n;

    size = half->quota < size ? (size_t)half->quota : size;
    size = v->cut_left[d] < size ? (size_t)v->cut_left[d] : size;
    if (size == 0) {
        *cut = v->cut_left[d] == 0;
        return false;
    }
    n = send(pair->side[1 - d].fd, half->buf + half->from, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            half->broken = true; /* what the peer has sent before it closed is still to be relayed the other way */
            half->from = half->until;
        }
        return false;
    }
    half->from += (size_t)n;
    v->stats.bytes[d] += (uint64_t)n;
    half->quota -= half->quota == VMOTION_NEVER ? 0 : (uint64_t)n;
    if (v->cut_left[d] != VMOTION_NEVER) {
        v->cut_left[d] -= (uint64_t)n;
        *cut = v->cut_left[d] == 0;
    }
    return !*cut && half->quota > 0 && (size_t)n == size;
}

static void pump(struct vmotion_pair *pair, int d)
{
    struct vmotion *v = pair->v;
    struct half *half = &pair->half[d];
    bool cut = false;

    for (int i = 0; i < ROUNDS_MAX && !half->broken && half->quota > 0; i++) {
        if (half->from == half->until && (half->eof || !fill(pair, d))) {
            break;
        }
        if (!deliver(pair, d, &cut)) {
            break;
        }
    }
    if (cut) {
        enum vmotion_mode mode = v->cut_mode[d];
        v->cut_left[d] = VMOTION_NEVER;
        v->stats.cuts++;
        end_pair(pair, mode);
    }
}

static bool half_settled(const struct half *half)
{
    return half->quota == 0 || half->broken || (half->eof && half->from == half->until);
}

/* Moves what can be moved, then decides whether the connection goes on. */
static void step(struct vmotion_pair *pair)
{
    const struct half *up = &pair->half[0], *down = &pair->half[1];

    for (int d = 0; d < 2 && (pair->phase == RELAYING || pair->phase == SETTLING); d++) {
        pump(pair, d);
    }
    if (pair->phase == SETTLING && half_settled(up) && half_settled(down)) {
        end_pair(pair, pair->mode);
    } else if (pair->phase == RELAYING &&
               ((up->eof && up->from == up->until) || (down->eof && down->from == down->until))) {
        close_pair(pair);
    }
    if (pair->phase == RELAYING || pair->phase == SETTLING) {
        watch(pair);
    }
}

static void side_cb(uv_poll_t *poll, int status, int events)
{
    struct vmotion_pair *pair = poll->data;

    (void)events;
    if (pair->phase == HUNG) {
        hung_gone(pair, poll == &pair->side[1].poll);
        return;
    }
    if (status != 0) {
        pair->side[0].events = pair->side[1].events = 0; /* libuv has stopped the watcher: start it anew */
    }
    step(pair);
}

static void settle_cb(uv_timer_t *timer)
{
    struct vmotion_pair *pair = timer->data;

    end_pair(pair, pair->mode);
}

static int unix_address(struct sockaddr_un *addr, const char *path)
{
    memset(addr, 0, sizeof(*addr));
    addr->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(addr->sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(addr->sun_path, path, strlen(path));
    return 0;
}

/* A connected socket to the agent, or -1. */
static int dial(const char *path)
{
    struct sockaddr_un addr;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && (unix_address(&addr, path) != 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void open_pair(struct vmotion *v, int guest)
{
    int agent = dial(v->hosts[v->on].path);
    struct vmotion_pair *pair = agent < 0 ? NULL : calloc(1, sizeof(*pair));

    if (pair == NULL) {
        v->stats.refused++;
        (void)close(guest);
        if (agent >= 0) {
            (void)close(agent);
        }
        return;
    }
    pair->v = v;
    pair->side[0].fd = guest;
    pair->side[1].fd = agent;
    for (int s = 0; s < 2; s++) {
        int err = uv_poll_init(v->loop, &pair->side[s].poll, pair->side[s].fd);
        assert(err == 0);
        (void)err;
        pair->side[s].poll.data = pair;
        pair->half[s].quota = VMOTION_NEVER;
    }
    (void)uv_timer_init(v->loop, &pair->timer);
    pair->timer.data = pair;
    pair->open_handles = 3;
    v->open_handles++;
    pair->next = v->pairs;
    if (pair->next != NULL) {
        pair->next->prev = pair;
    }
    v->pairs = pair;
    v->stats.conns++;
    v->stats.live++;
    watch(pair);
}

static void accept_cb(uv_poll_t *poll, int status, int events)
{
    struct vmotion *v = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        int fd = accept4(v->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        open_pair(v, fd);
    }
}

void vmotion_init(struct vmotion *v, uv_loop_t *loop)
{
    void *data = v->data;
    void (*on_settled)(struct vmotion *) = v->on_settled;
    void (*on_close)(struct vmotion *) = v->on_close;

    memset(v, 0, sizeof(*v));
    v->data = data;
    v->on_settled = on_settled;
    v->on_close = on_close;
    v->loop = loop;
    v->fd = -1;
    v->cut_left[0] = v->cut_left[1] = VMOTION_NEVER;
}

static int find_host(const struct vmotion *v, const char *name)
{
    for (unsigned i = 0; i < v->n_hosts; i++) {
        if (strcmp(v->hosts[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -ENOENT;
}

int vmotion_add_host(struct vmotion *v, const char *name, const char *agent_path)
{
    if (find_host(v, name) >= 0) {
        return -EEXIST;
    }
    if (v->n_hosts == VMOTION_HOSTS_MAX) {
        return -ENOSPC;
    }
    if (strlen(name) >= sizeof(v->hosts[0].name) || strlen(agent_path) >= sizeof(v->hosts[0].path)) {
        return -ENAMETOOLONG;
    }
    memcpy(v->hosts[v->n_hosts].name, name, strlen(name) + 1);
    memcpy(v->hosts[v->n_hosts].path, agent_path, strlen(agent_path) + 1);
    v->n_hosts++;
    return 0;
}

int vmotion_start(struct vmotion *v, const char *guest_path)
{
    struct sockaddr_un addr;
    int err = unix_address(&addr, guest_path);

    if (err != 0) {
        return err;
    }
    if (v->n_hosts == 0) {
        return -EINVAL;
    }
    v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (v->fd < 0) {
        return -errno;
    }
    (void)unlink(guest_path);
    if (bind(v->fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(v->fd, 4096) != 0) {
        err = -errno;
    } else {
        err = uv_poll_init(v->loop, &v->listener, v->fd);
    }
    if (err != 0) {
        (void)close(v->fd);
        v->fd = -1;
        return err;
    }
    memcpy(v->path, guest_path, strlen(guest_path) + 1);
    v->listener.data = v;
    v->open_handles = 1;
    return uv_poll_start(&v->listener, UV_READABLE, accept_cb);
}

static void listener_closed_cb(uv_handle_t *handle)
{
    stand_in_closed(handle->data);
}

void vmotion_close(struct vmotion *v)
{
    if (v->fd < 0) {
        return;
    }
    (void)unlink(v->path);
    uv_close((uv_handle_t *)&v->listener, listener_closed_cb);
    (void)close(v->fd);
    v->fd = -1;
    for (struct vmotion_pair *pair = v->pairs; pair != NULL; pair = pair->next) {
        close_pair(pair);
    }
}

int vmotion_on(struct vmotion *v, const char *name)
{
    int host = find_host(v, name);

    if (host < 0) {
        return host;
    }
    v->on = (unsigned)host;
    return 0;
}

/* Lets the connection deliver all but what may be lost of what is in flight now. */
static void settle(struct vmotion_pair *pair, enum vmotion_mode mode, const uint64_t lose[2])
{
    for (int d = 0; d < 2; d++) {
        struct half *half = &pair->half[d];
        uint64_t flying = half->until - half->from + readable(pair->side[d].fd);
        half->quota = flying > lose[d] ? flying - lose[d] : 0;
    }
    pair->mode = mode;
    pair->phase = SETTLING;
    pair->v->settling++;
    (void)uv_timer_start(&pair->timer, settle_cb, VMOTION_SETTLE_MS, 0);
}

int vmotion_move(struct vmotion *v, const char *name, enum vmotion_mode mode, const uint64_t lose[2])
{
    int err = vmotion_on(v, name);

    if (err != 0) {
        return err;
    }
    v->stats.moves++;
    v->settling++; /* so that connections which end at once settle together */
    for (struct vmotion_pair *pair = v->pairs; pair != NULL; pair = pair->next) {
        if (pair->phase == RELAYING) {
            settle(pair, mode, lose);
            step(pair);
        }
    }
    if (--v->settling == 0 && v->on_settled != NULL) {
        v->on_settled(v);
    }
    return 0;
}

void vmotion_cut_after(struct vmotion *v, enum vmotion_dir dir, uint64_t n, enum vmotion_mode mode)
{
    v->cut_left[dir] = n;
    v->cut_mode[dir] = mode;
}

static void watch_all(struct vmotion *v)
{
    for (struct vmotion_pair *pair = v->pairs; pair != NULL; pair = pair->next) {
        if (pair->phase == RELAYING) {
            watch(pair);
        }
    }
}

void vmotion_stall(struct vmotion *v)
{
    v->stalled = true;
    (void)uv_poll_stop(&v->listener);
    watch_all(v);
}

void vmotion_resume(struct vmotion *v)
{
    v->stalled = false;
    if (v->fd >= 0) {
        (void)uv_poll_start(&v->listener, UV_READABLE, accept_cb);
    }
    watch_all(v);
}

void vmotion_release(struct vmotion *v)
{
    for (struct vmotion_pair *pair = v->pairs; pair != NULL; pair = pair->next) {
        if (pair->phase == HUNG && pair->side[1].fd >= 0) {
            hung_gone(pair, 1);
        }
    }
}
