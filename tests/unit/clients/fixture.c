/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/fixture.h"

#include "session/core/digest.h"
#include "session/core/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- time ---- */

static uint64_t skew;

/* The linker's names (ld(1), --wrap). */
uint64_t __real_uv_now(const uv_loop_t *loop);
uint64_t __wrap_uv_now(const uv_loop_t *loop);

uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
    return __real_uv_now(loop) + skew;
}

void rt_test_skew(uint64_t ms)
{
    skew += ms;
}

/* ---- the loop ---- */

#define FX_FDS 512 /* no test has more */

static void tick_cb(uv_timer_t *timer)
{
    struct fixture *f = timer->data;

    f->ticks++;
}

void fixture_begin(struct fixture *f)
{
    f->ticks = 0;
}

void fixture_step(struct fixture *f)
{
    (void)uv_run(&f->loop, UV_RUN_ONCE);
    if (f->ticks > FX_LIMIT_MS / FX_TICK_MS) {
        fail_msg("what is waited for does not happen");
    }
}

void fixture_settle(struct fixture *f)
{
    FIXTURE_UNTIL(f, f->ticks >= 3);
}

void fixture_grow(struct fixture *f)
{
    int fds[2];
    uv_poll_t poll;
    int high;

    assert_int_equal(pipe(fds), 0);
    high = fcntl(fds[0], F_DUPFD_CLOEXEC, FX_FDS);
    assert_true(high >= FX_FDS);
    assert_int_equal(uv_poll_init(&f->loop, &poll, high), 0);
    (void)uv_poll_start(&poll, UV_READABLE, NULL);
    uv_close((uv_handle_t *)&poll, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    close(high);
    close(fds[0]);
    close(fds[1]);
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    (void)signal(SIGPIPE, SIG_IGN);
    skew = 0;
    snprintf(f->dir, sizeof(f->dir), "/tmp/retether-clients-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(uv_loop_init(&f->loop), 0);
    (void)uv_timer_init(&f->loop, &f->tick);
    f->tick.data = f;
    (void)uv_timer_start(&f->tick, tick_cb, FX_TICK_MS, FX_TICK_MS);
    for (unsigned i = 0; i < FX_PEERS; i++) {
        struct peer *peer = &f->peer[i];

        peer->f = f;
        peer->fd = -1;
        peer->life = 5;
        peer->epoch = 1;
        snprintf(peer->host, sizeof(peer->host), "h%u", i);
        snprintf(peer->address, sizeof(peer->address), "unix:%.64s/h%u", f->dir, i);
    }
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    int rc;

    for (unsigned i = 0; i < FX_PEERS; i++) {
        peer_cut(&f->peer[i]);
        peer_deafen(&f->peer[i]);
    }
    uv_close((uv_handle_t *)&f->tick, NULL);
    for (unsigned i = 0; i < 1000 && uv_run(&f->loop, UV_RUN_NOWAIT) != 0; i++) {
    }
    rc = uv_loop_close(&f->loop);
    if (rc != 0) {
        uv_print_all_handles(&f->loop, stderr);
    }
    (void)rmdir(f->dir);
    free(f);
    skew = 0;
    return rc;
}

/* ---- links ---- */

static void link_closed_cb(uv_handle_t *handle)
{
    struct link *link = handle->data;

    link->peer = NULL;
}

void link_close(struct link *link)
{
    if (!link->open) {
        return;
    }
    link->open = false;
    uv_close((uv_handle_t *)&link->poll, link_closed_cb);
    close(link->fd);
    for (size_t i = 0; i < link->f->n_kept; i++) { /* a link that comes later is another */
        if (link->f->kept[i].link == link) {
            link->f->kept[i].link = NULL;
        }
    }
}

static void link_poll_cb(uv_poll_t *poll, int status, int events);

static void flush(struct link *link)
{
    while (link->open && link->out_at < link->out_size) {
        ssize_t n = send(link->fd, link->out + link->out_at, link->out_size - link->out_at, MSG_NOSIGNAL);

        if (n <= 0) {
            if (errno != EAGAIN) {
                link_close(link);
            }
            break;
        }
        link->out_at += (size_t)n;
    }
    if (link->out_at == link->out_size) {
        link->out_at = link->out_size = 0;
    }
    if (link->open) {
        (void)uv_poll_start(&link->poll, (link->deaf ? 0 : UV_READABLE) | (link->out_size > 0 ? UV_WRITABLE : 0),
                            link_poll_cb);
    }
}

void link_send(struct link *link, struct rt_frame head, const void *payload)
{
    if (link == NULL || !link->open) {
        return; /* as on a connection that has just ended */
    }
    assert_true(link->out_size + RT_FRAME_HEADER + head.length <= sizeof(link->out));
    rt_frame_put(link->out + link->out_size, &head);
    link->out_size += RT_FRAME_HEADER;
    if (head.length > 0) {
        memcpy(link->out + link->out_size, payload, head.length);
        link->out_size += head.length;
    }
    flush(link);
}

void link_send_map(struct link *link, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t buf[RT_FRAME_PAYLOAD_MAX];
    int size = rt_msg_encode(kind, msg, buf, sizeof(buf));

    assert_true(size > 0);
    head.length = (uint32_t)size;
    link_send(link, head, buf);
}

void link_ack(struct link *link, uint32_t channel, unsigned stream, uint64_t consumed, uint64_t limit, uint64_t digest,
              uint8_t flags)
{
    uint8_t payload[RT_ACK_PAYLOAD];
    struct rt_frame head = {.length = RT_ACK_PAYLOAD,
                            .type = RT_ACK,
                            .flags = flags,
                            .stream = (uint16_t)stream,
                            .channel = channel,
                            .offset = consumed};

    rt_put_u64(payload, limit);
    rt_put_u64(payload + 8, digest);
    link_send(link, head, payload);
}

void link_gap(struct link *link, uint32_t channel, unsigned stream, uint64_t from, uint64_t to)
{
    uint8_t payload[RT_GAP_PAYLOAD];
    struct rt_frame head = {
        .length = RT_GAP_PAYLOAD, .type = RT_GAP, .stream = (uint16_t)stream, .channel = channel, .offset = from};

    rt_put_u64(payload, to);
    link_send(link, head, payload);
}

void link_refuse(struct link *link, uint32_t channel, const struct rt_refuse_msg *msg)
{
    link_send_map(link, (struct rt_frame){.type = RT_REFUSE, .channel = channel}, RT_MSG_REFUSE, msg);
    if (channel == 0) {
        link_close(link);
    }
}

static void welcome(struct link *link, bool guest)
{
    struct peer *peer = link->peer;
    struct rt_welcome_msg msg = {.v = RT_PROTOCOL_VERSION, .host = rt_slice_text(peer->host)};

    peer->hellos++;
    if (peer->silent) {
        return;
    }
    if (peer->refuse != RT_CLASS_OK) {
        const struct rt_refuse_msg refuse = {.c = peer->refuse, .m = rt_slice_text("not here"), .delay = 1};

        peer->refuse = RT_CLASS_OK;
        link_refuse(link, 0, &refuse);
        return;
    }
    if (guest) {
        msg.life = peer->life;
        msg.tkt = rt_slice_text("ticket");
    }
    for (unsigned i = 0; !guest && !peer->alone && i < FX_PEERS; i++) {
        struct rt_host_msg *agent = &msg.agents[msg.n_agents++];

        agent->host = rt_slice_text(link->f->peer[i].host);
        agent->addr[agent->n_addr++] = rt_slice_text(link->f->peer[i].address);
    }
    link_send_map(link, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &msg);
}

static void keep(struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    struct fixture *f = link->f;
    struct kept *kept;

    if (f->n_kept == FX_KEPT) { /* the oldest goes */
        memmove(f->kept, f->kept + 1, --f->n_kept * sizeof(f->kept[0]));
    }
    kept = &f->kept[f->n_kept++];
    kept->link = link;
    kept->head = *head;
    memcpy(kept->payload, payload, head->length < sizeof(kept->payload) ? head->length : sizeof(kept->payload));
}

static void take_frame(struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    struct fixture *f = link->f;
    static struct rt_hello_msg hello;

    if (head->type == RT_PING) {
        link->peer->pings++;
        link_send(link, (struct rt_frame){.type = RT_PONG, .offset = head->offset}, NULL);
        return;
    }
    if (head->type == RT_HELLO) {
        fixture_decode(RT_MSG_HELLO, payload, head->length, &hello);
        if (hello.epoch > 0) {
            link->peer->epoch = hello.epoch;
        }
        keep(link, head, payload);
        welcome(link, rt_slice_equal(hello.role, rt_slice_text("guest")));
        return;
    }
    if (f->on_frame == NULL || !f->on_frame(f, link, head, payload)) {
        keep(link, head, payload);
    }
}

static void take_frames(struct link *link)
{
    size_t used = 0;

    while (link->open && link->in_size - used >= RT_FRAME_HEADER) {
        struct rt_frame head;
        const char *why;

        rt_frame_get(link->in + used, &head);
        if (rt_frame_check(&head, RT_WAY_ANY, &why) != RT_OK) {
            fail_msg("a frame breaks the protocol: %s", why);
        }
        if (link->in_size - used < RT_FRAME_HEADER + head.length) {
            break;
        }
        take_frame(link, &head, link->in + used + RT_FRAME_HEADER);
        used += RT_FRAME_HEADER + head.length;
    }
    link->in_size -= used;
    memmove(link->in, link->in + used, link->in_size);
}

static void link_poll_cb(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;

    if (status < 0) {
        link_close(link);
        return;
    }
    if ((events & UV_READABLE) != 0) {
        ssize_t n = recv(link->fd, link->in + link->in_size, sizeof(link->in) - link->in_size, 0);

        if (n <= 0 && !(n < 0 && errno == EAGAIN)) {
            link_close(link);
            return;
        }
        if (n > 0) {
            link->in_size += (size_t)n;
            take_frames(link);
        }
    }
    flush(link);
}

/* ---- agents ---- */

static void accept_cb(uv_poll_t *poll, int status, int events)
{
    struct peer *peer = poll->data;
    struct fixture *f = peer->f;
    struct link *link = NULL;
    int fd = accept4(peer->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)status;
    (void)events;
    if (fd < 0) {
        return;
    }
    for (unsigned i = 0; i < FX_LINKS && link == NULL; i++) {
        link = f->link[i].peer == NULL ? &f->link[i] : NULL;
    }
    if (link == NULL) { /* the last ones are still being closed */
        close(fd);
        return;
    }
    peer->accepted++;
    link->f = f;
    link->peer = peer;
    link->fd = fd;
    link->open = true;
    link->serial++;
    link->deaf = false;
    link->in_size = link->out_at = link->out_size = 0;
    assert_int_equal(uv_poll_init(&f->loop, &link->poll, fd), 0);
    link->poll.data = link;
    (void)uv_poll_start(&link->poll, UV_READABLE, link_poll_cb);
}

void peer_listen(struct peer *peer)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", peer->address + 5);
    (void)unlink(peer->address + 5);
    peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(peer->fd >= 0);
    assert_int_equal(bind(peer->fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(peer->fd, 8), 0);
    assert_int_equal(uv_poll_init(&peer->f->loop, &peer->poll, peer->fd), 0);
    peer->poll.data = peer;
    (void)uv_poll_start(&peer->poll, UV_READABLE, accept_cb);
}

void peer_deafen(struct peer *peer)
{
    if (peer->fd >= 0) {
        uv_close((uv_handle_t *)&peer->poll, NULL);
        close(peer->fd);
        (void)unlink(peer->address + 5);
        peer->fd = -1;
    }
}

void peer_cut(struct peer *peer)
{
    for (unsigned i = 0; i < FX_LINKS; i++) {
        if (peer->f->link[i].peer == peer) {
            link_close(&peer->f->link[i]);
        }
    }
}

struct link *peer_link(struct peer *peer)
{
    for (unsigned i = 0; i < FX_LINKS; i++) {
        if (peer->f->link[i].peer == peer && peer->f->link[i].open) {
            return &peer->f->link[i];
        }
    }
    return NULL;
}

/* ---- what has come ---- */

static struct kept *find(const struct fixture *f, enum rt_frame_type type)
{
    for (size_t i = 0; i < f->n_kept; i++) {
        if (f->kept[i].head.type == type) {
            return (struct kept *)&f->kept[i];
        }
    }
    return NULL;
}

bool peer_has(const struct fixture *f, enum rt_frame_type type)
{
    return find(f, type) != NULL;
}

struct kept peer_expect(struct fixture *f, enum rt_frame_type type)
{
    struct kept *found;
    struct kept out;
    size_t n;

    FIXTURE_UNTIL(f, find(f, type) != NULL);
    found = find(f, type);
    out = *found;
    n = (size_t)(found - f->kept) + 1;
    f->n_kept -= n;
    memmove(f->kept, f->kept + n, f->n_kept * sizeof(f->kept[0]));
    return out;
}

void fixture_decode(enum rt_msg_kind kind, const uint8_t *payload, size_t size, void *msg)
{
    char why[RT_TEXT_MAX] = "";

    if (rt_msg_decode(kind, payload, size, msg, why, sizeof(why)) != RT_OK) {
        fail_msg("%s", why);
    }
}

uint64_t fixture_digest(const void *data, size_t size)
{
    struct rt_digest digest;

    rt_digest_start(&digest, 0);
    rt_digest_extend(&digest, data, size);
    return rt_digest_value(&digest);
}
