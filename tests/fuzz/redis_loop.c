/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/redis_world.h"

#include <arpa/inet.h>
#include <string.h>

/* Handles of a store: a timer for each connection, the heart, and the Sentinels, and an idle for each connection. */
#define HANDLES_MAX (2 * REDIS_CONNS + 2)
/* Timers that go off in one step: far above what one can bring about. */
#define RINGS_MAX 10000

int __wrap_uv_timer_init(uv_loop_t *loop, uv_timer_t *timer);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_stop(uv_timer_t *timer);
int __wrap_uv_idle_init(uv_loop_t *loop, uv_idle_t *idle);
int __wrap_uv_idle_start(uv_idle_t *idle, uv_idle_cb cb);
int __wrap_uv_idle_stop(uv_idle_t *idle);
uint64_t __wrap_uv_now(const uv_loop_t *loop);
void __wrap_uv_close(uv_handle_t *handle, uv_close_cb cb);
void __wrap_rt_dialled_start(struct rt_dialled *dialled, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                             const struct rt_link_setup *setup, void (*on_open)(struct rt_link *link));
void __wrap_rt_dialled_close(struct rt_dialled *dialled, enum rt_link_how how, int reason, const char *text);
int __wrap_rt_link_writev(struct rt_link *link, struct rt_buf *owner, const uv_buf_t *bufs, unsigned n);
size_t __wrap_rt_link_queued(const struct rt_link *link);
void __wrap_rt_random_fill(void *ctx, void *out, size_t size);
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb cb, uv_after_work_cb after);
int __wrap_rt_login_read(struct rt_login *login, const char *path, char *why, size_t why_size);

struct handle {
    void *at; /* NULL: free */
    uv_timer_cb ring;
    uv_idle_cb idle;
    uv_close_cb closed;
    uint64_t due, repeat;
    bool active;
};

static struct handle handles[HANDLES_MAX];
static struct redis_dial dials[REDIS_DIALS];
static uint64_t now;
static uint8_t randoms;

void redis_loop_reset(void)
{
    memset(handles, 0, sizeof(handles));
    for (unsigned i = 0; i < REDIS_DIALS; i++) {
        dials[i].at = NULL;
    }
    now = 1000;
    randoms = 0;
}

/* Of NULL: a free one. */
static struct handle *handle_of(const void *at)
{
    unsigned i = 0;
    while (i < HANDLES_MAX && handles[i].at != at) {
        i++;
    }
    FUZZ_CHECK(i < HANDLES_MAX);
    return &handles[i];
}

int __wrap_uv_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
    (void)loop;
    *handle_of(NULL) = (struct handle){.at = timer};
    return 0;
}

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    struct handle *handle = handle_of(timer);
    if (handle->closed != NULL) {
        return UV_EINVAL;
    }
    handle->ring = cb;
    handle->due = now + timeout;
    handle->repeat = repeat;
    handle->active = true;
    return 0;
}

int __wrap_uv_timer_stop(uv_timer_t *timer)
{
    handle_of(timer)->active = false;
    return 0;
}

int __wrap_uv_idle_init(uv_loop_t *loop, uv_idle_t *idle)
{
    (void)loop;
    *handle_of(NULL) = (struct handle){.at = idle};
    return 0;
}

int __wrap_uv_idle_start(uv_idle_t *idle, uv_idle_cb cb)
{
    struct handle *handle = handle_of(idle);
    if (handle->closed == NULL) { /* as libuv: one that closes stays still */
        handle->idle = cb;
        handle->active = true;
    }
    return 0;
}

int __wrap_uv_idle_stop(uv_idle_t *idle)
{
    handle_of(idle)->active = false;
    return 0;
}

uint64_t __wrap_uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return now;
}

void __wrap_uv_close(uv_handle_t *handle, uv_close_cb cb)
{
    struct handle *known = handle_of(handle);
    FUZZ_CHECK(known->closed == NULL && cb != NULL);
    known->closed = cb;
    known->active = false;
}

/* Never the same twice within one input. */
void __wrap_rt_random_fill(void *ctx, void *out, size_t size)
{
    (void)ctx;
    fuzz_random(&randoms, out, size);
}

void __wrap_rt_dialled_start(struct rt_dialled *dialled, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                             const struct rt_link_setup *setup, void (*on_open)(struct rt_link *link))
{
    unsigned i = 0;
    FUZZ_CHECK((endpoint->size > 0 || endpoint->name[0] != '\0') && timeout_ms > 0);
    while (i < REDIS_DIALS && dials[i].at != NULL) {
        i++;
    }
    FUZZ_CHECK(i < REDIS_DIALS);
    dialled->setup = *setup;
    dialled->on_open = on_open;
    dials[i].at = dialled;
    dials[i].phase = DIAL_UNDER_WAY;
    dials[i].sentinel = endpoint->kind == RT_ENDPOINT_TCP && ntohs(endpoint->addr.in4.sin_port) == 26379;
    dials[i].n_asked = 0;
}

/* A thread that is done at once, with a file that is as it should be. */
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb cb, uv_after_work_cb after)
{
    (void)loop;
    cb(work);
    after(work, 0);
    return 0;
}

int __wrap_rt_login_read(struct rt_login *login, const char *path, char *why, size_t why_size)
{
    (void)why;
    FUZZ_CHECK(strcmp(path, "login") == 0 && why_size > 0);
    *login = (struct rt_login){.user = "agent", .password = "secret"};
    return 0;
}

static struct redis_dial *dial_of(const void *at)
{
    unsigned i = 0;
    while (i < REDIS_DIALS && dials[i].at != at) {
        i++;
    }
    FUZZ_CHECK(at != NULL && i < REDIS_DIALS);
    return &dials[i];
}

void __wrap_rt_dialled_close(struct rt_dialled *dialled, enum rt_link_how how, int reason, const char *text)
{
    struct redis_dial *dial = dial_of(dialled);
    FUZZ_CHECK(how == RT_LINK_NOW && text != NULL);
    if (dial->phase != DIAL_CLOSING) { /* the first reason counts */
        dial->phase = DIAL_CLOSING;
        dial->reason = reason;
    }
}

int __wrap_rt_link_writev(struct rt_link *link, struct rt_buf *owner, const uv_buf_t *bufs, unsigned n)
{
    struct redis_dial *dial = dial_of((const char *)link - offsetof(struct rt_dialled, link));
    FUZZ_CHECK(dial->phase != DIAL_UNDER_WAY && owner == NULL && n == 1 && bufs->len > 0);
    if (dial->phase == DIAL_CLOSING) {
        return RT_ECONN;
    }
    redis_server_read(dial, bufs->base, bufs->len);
    return 0;
}

size_t __wrap_rt_link_queued(const struct rt_link *link)
{
    FUZZ_CHECK(link != NULL);
    return 0;
}

struct redis_dial *redis_loop_dial(struct rt_store *store, unsigned conn)
{
    struct rt_sentinel *one = store->sentinels.one;
    struct rt_redis *redis[REDIS_CONNS] = {&store->only.commands, &store->pubsub, &store->only.ends, &one[0].ask,
                                           &one[0].hints,         &one[1].ask,    &one[1].hints};
    return redis[conn]->stream == NULL ? NULL : dial_of(redis[conn]->stream);
}

void redis_loop_connected(struct redis_dial *dial)
{
    dial->phase = DIAL_OPEN;
    dial->at->on_open(&dial->at->link);
}

void redis_loop_lost(struct redis_dial *dial)
{
    dial->phase = DIAL_CLOSING;
    dial->reason = RT_ECONN;
}

static void close_one(struct redis_dial *dial)
{
    struct rt_dialled *at = dial->at;
    dial->at = NULL;
    at->setup.ops->on_close(&at->link, dial->reason, "closed by the peer");
}

void redis_loop_turn(void)
{
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        if (handles[i].active && handles[i].idle != NULL) {
            handles[i].idle(handles[i].at);
        }
    }
    for (unsigned i = 0; i < REDIS_DIALS; i++) {
        if (dials[i].at != NULL && dials[i].phase == DIAL_CLOSING) {
            close_one(&dials[i]);
        }
    }
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        if (handles[i].at != NULL && handles[i].closed != NULL) {
            struct handle handle = handles[i];
            handles[i] = (struct handle){.at = NULL};
            handle.closed(handle.at);
        }
    }
}

static struct handle *next_timer(void)
{
    struct handle *next = NULL;
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        if (handles[i].active && handles[i].ring != NULL && (next == NULL || handles[i].due < next->due)) {
            next = &handles[i];
        }
    }
    return next;
}

bool redis_loop_pass(uint64_t ms)
{
    struct handle *timer = next_timer();
    uint64_t until = ms == 0 && timer != NULL && timer->due > now ? timer->due : now + ms;
    bool any = timer != NULL;
    for (unsigned i = 0; timer != NULL && timer->due <= until; i++) {
        FUZZ_CHECK(i < RINGS_MAX); /* or the loop would spin */
        now = timer->due > now ? timer->due : now;
        timer->active = timer->repeat > 0;
        timer->due = now + timer->repeat;
        timer->ring(timer->at);
        redis_loop_turn();
        timer = next_timer();
    }
    now = until;
    return any;
}

static void receive(struct redis_dial *dial, const char *data, size_t size)
{
    uint8_t *copy;
    if (size == 0 || dial->phase != DIAL_OPEN) {
        return;
    }
    copy = malloc(size); /* of its own, so that a read past its end shows */
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    FUZZ_CHECK(dial->at->setup.ops->on_data(&dial->at->link, NULL, copy, size) == size);
    free(copy);
}

void redis_loop_receive(struct redis_dial *dial, const char *data, size_t size, size_t cut)
{
    cut = cut < size ? cut : size;
    receive(dial, data, cut);
    receive(dial, data + cut, size - cut);
}

static void check_redis(const struct rt_redis *redis)
{
    FUZZ_CHECK(redis->calls.n <= RT_REDIS_CALLS_MAX && redis->out_size <= RT_REDIS_QUEUE_MAX);
    FUZZ_CHECK(redis->state != RT_REDIS_READY || redis->doomed || redis->stream != NULL);
    FUZZ_CHECK(redis->state == RT_REDIS_STOPPED || redis->stream == NULL || dial_of(redis->stream) != NULL);
    FUZZ_CHECK(redis->places.next < redis->places.n || (redis->places.next == 0 && redis->places.n == 0));
    FUZZ_CHECK(redis->guard.depth <= RT_RESP_DEPTH_MAX && redis->guard.nodes <= RT_RESP_NODES_MAX);
    if (redis->state == RT_REDIS_WAITING && redis->places.n == 0) {
        return; /* nobody is to be dialled */
    }
    if (redis->state != RT_REDIS_STOPPED && (redis->state != RT_REDIS_READY || redis->calls.first != NULL)) {
        FUZZ_CHECK(handle_of(&redis->timer)->active || handle_of(&redis->flusher)->active); /* or nothing would go on */
    }
}

void redis_loop_check(const struct rt_store *store)
{
    check_redis(&store->only.commands);
    check_redis(&store->pubsub);
    check_redis(&store->only.ends);
    for (size_t i = 0; i < store->sentinels.primary.n; i++) {
        check_redis(&store->sentinels.one[i].ask);
        check_redis(&store->sentinels.one[i].hints);
    }
    for (size_t i = 1; i < store->n_names; i++) {
        FUZZ_CHECK(strcmp(store->names[i - 1], store->names[i]) < 0);
    }
    FUZZ_CHECK(store->tails.sweep != RT_TAILS_IDLE || store->tails.cutting == 0);
}

void redis_loop_check_over(void)
{
    for (unsigned i = 0; i < HANDLES_MAX; i++) {
        FUZZ_CHECK(handles[i].at == NULL);
    }
    for (unsigned i = 0; i < REDIS_DIALS; i++) {
        FUZZ_CHECK(dials[i].at == NULL);
    }
}
