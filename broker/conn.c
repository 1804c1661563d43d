/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Links: accepting, receiving, and gathering what the machine sends. */

static struct rt_conn *conn_of(const struct rt_shell *shell, rt_link_id id)
{
    struct rt_conn *conn = shell->conns[id % RT_AGENT_LINKS_MAX];

    return conn != NULL && conn->id == id ? conn : NULL;
}

static void write_pieces(struct rt_conn *conn, struct rt_buf *owner, const uv_buf_t *iov, unsigned n)
{
    if (rt_link_writev(&conn->link, owner, iov, n) == RT_ELIMIT) {
        rt_link_close(&conn->link, RT_LINK_NOW, RT_ELIMIT, "reads too slowly");
    }
}

static void write_batch(struct rt_shell *shell, struct rt_batch *batch)
{
    if (batch->n > 0 && batch->conn != NULL) {
        write_pieces(batch->conn, shell->input, batch->iov, batch->n);
    }
    batch->n = 0;
}

static struct rt_batch *batch_of(struct rt_shell *shell, struct rt_conn *conn)
{
    struct rt_batch *batch = conn->batch;

    if (batch != NULL) {
        return batch;
    }
    batch = shell->spare;
    if (batch != NULL) {
        shell->spare = batch->next;
        shell->n_spare--;
    } else {
        batch = malloc(sizeof *batch);
        if (batch == NULL) {
            return NULL;
        }
    }
    batch->next = NULL;
    batch->conn = conn;
    batch->n = 0;
    conn->batch = batch;
    *shell->dirty_end = batch;
    shell->dirty_end = &batch->next;
    return batch;
}

static void free_batch(struct rt_shell *shell, struct rt_batch *batch)
{
    if (shell->n_spare == RT_SHELL_BATCHES_FREE_MAX) {
        free(batch);
        return;
    }
    batch->next = shell->spare;
    shell->spare = batch;
    shell->n_spare++;
}

void rt_shell_free_batches(struct rt_shell *shell)
{
    while (shell->spare != NULL) {
        struct rt_batch *batch = shell->spare;
        shell->spare = batch->next;
        free(batch);
    }
    shell->n_spare = 0;
}

/* A copy of size bytes that lives until the flush. What lies in the arena is written first when it is full. */
static const uint8_t *arena_copy(struct rt_shell *shell, const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (shell->arena_used + size > RT_SHELL_ARENA) {
        for (struct rt_batch *batch = shell->dirty; batch != NULL; batch = batch->next) {
            write_batch(shell, batch);
        }
        shell->arena_used = 0;
    }
    copy = shell->arena + shell->arena_used;
    memcpy(copy, data, size);
    shell->arena_used += size;
    return copy;
}

/* A piece of the arena stays under RT_LINK_COPY_MAX, so that a link never keeps a reference for it. */
static void append(struct rt_shell *shell, struct rt_batch *batch, const uint8_t *data, size_t size, bool in_input)
{
    uv_buf_t *last = batch->n == 0 ? NULL : &batch->iov[batch->n - 1];

    if (last != NULL && batch->last_in_input == in_input && (const uint8_t *)last->base + last->len == data &&
        (in_input || last->len + size < RT_LINK_COPY_MAX)) {
        last->len += size;
        return;
    }
    if (batch->n == RT_LINK_IOV_MAX) {
        write_batch(shell, batch);
    }
    batch->iov[batch->n++] = (uv_buf_t){.base = (char *)(uintptr_t)data, .len = size};
    batch->last_in_input = in_input;
}

void rt_shell_send(void *ctx, rt_link_id id, const uint8_t *data, size_t size, bool in_input)
{
    struct rt_shell *shell = ctx;
    struct rt_conn *conn = conn_of(shell, id);
    struct rt_batch *batch;

    if (conn == NULL || size == 0) {
        return;
    }
    batch = batch_of(shell, conn);
    if (batch == NULL || (!in_input && size >= RT_LINK_COPY_MAX)) {
        uv_buf_t piece = {.base = (char *)(uintptr_t)data, .len = size};

        if (batch != NULL) {
            write_batch(shell, batch);
        }
        write_pieces(conn, in_input ? shell->input : NULL, &piece, 1);
        return;
    }
    append(shell, batch, in_input ? data : arena_copy(shell, data, size), size, in_input);
}

void rt_shell_hang_up(void *ctx, rt_link_id id, const char *reason)
{
    struct rt_shell *shell = ctx;
    struct rt_conn *conn = conn_of(shell, id);

    if (conn == NULL) {
        return;
    }
    if (conn->batch != NULL) {
        write_batch(shell, conn->batch);
        conn->batch->conn = NULL;
        conn->batch = NULL;
    }
    shell->conns[id % RT_AGENT_LINKS_MAX] = NULL;
    conn->id = 0;
    rt_link_close(&conn->link, RT_LINK_AFTER, 0, reason);
}

/* Also what has not changed: the machine counts what it sends until it is told anew. */
static void report_queued(struct rt_shell *shell, struct rt_conn *conn)
{
    if (conn->id != 0) {
        rt_agent_queued(shell->agent, conn->id, rt_link_queued(&conn->link), rt_shell_now(shell));
    }
}

/* The kernel takes more only when much of what it has was read, which may be a megabyte: what it has is looked at too.
 */
void rt_shell_look_at_queues(struct rt_shell *shell)
{
    for (struct rt_conn *conn = shell->conns_first; conn != NULL; conn = conn->next) {
        uint64_t handed = rt_link_sent_total(&conn->link);
        size_t unread;

        if (conn->id == 0 || rt_link_queued(&conn->link) == 0) {
            conn->queues = false;
            continue;
        }
        unread = rt_link_unread(&conn->link);
        if (conn->queues && (handed > conn->handed || unread < conn->unread)) {
            rt_agent_taken(shell->agent, conn->id, rt_shell_now(shell));
        }
        conn->queues = true;
        conn->handed = handed;
        conn->unread = unread;
    }
}

void rt_shell_flush(struct rt_shell *shell)
{
    /* Telling the machine of a queue may make it send more: that comes in at the list's end. */
    while (shell->dirty != NULL) {
        struct rt_batch *batch = shell->dirty;
        struct rt_conn *conn = batch->conn;

        shell->dirty = batch->next;
        if (shell->dirty == NULL) {
            shell->dirty_end = &shell->dirty;
        }
        write_batch(shell, batch);
        if (conn != NULL) {
            conn->batch = NULL;
        }
        free_batch(shell, batch);
        if (conn != NULL) {
            report_queued(shell, conn);
        }
    }
    shell->arena_used = 0;
}

static size_t data_cb(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct rt_conn *conn = link->data;
    struct rt_shell *shell = conn->shell;
    size_t used;

    if (conn->id == 0) {
        return size;
    }
    shell->input = buf;
    used = rt_agent_input(shell->agent, conn->id, data, size, rt_shell_now(shell));
    rt_shell_settle(shell);
    shell->input = NULL;
    return used;
}

static void drain_cb(struct rt_link *link)
{
    struct rt_conn *conn = link->data;

    report_queued(conn->shell, conn);
    rt_shell_settle(conn->shell);
}

static void close_cb(struct rt_link *link, int reason, const char *text)
{
    struct rt_conn *conn = link->data;
    struct rt_shell *shell = conn->shell;

    (void)reason;
    if (conn->id != 0) {
        shell->conns[conn->id % RT_AGENT_LINKS_MAX] = NULL;
        rt_agent_closed(shell->agent, conn->id, text, rt_shell_now(shell));
        rt_shell_settle(shell);
    }
    rt_listener_release(conn->listener);
    *(conn->prev != NULL ? &conn->prev->next : &shell->conns_first) = conn->next;
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    shell->n_conns--;
    free(conn);
    rt_shell_progress(shell);
}

static const struct rt_link_ops link_ops = {.on_data = data_cb, .on_drain = drain_cb, .on_close = close_cb};

static struct rt_conn *adopt(struct rt_shell *shell, struct rt_shell_listener *at, int fd, const struct rt_peer *peer)
{
    struct rt_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL) {
        return NULL;
    }
    conn->shell = shell;
    conn->listener = &at->listener;
    conn->link.data = conn;
    conn->id = rt_agent_opened(shell->agent, peer, rt_shell_now(shell));
    if (conn->id == 0) {
        free(conn);
        return NULL;
    }
    shell->conns[conn->id % RT_AGENT_LINKS_MAX] = conn;
    if (rt_link_open_fd(&conn->link, &shell->loop, &shell->pool, fd, &link_ops) != 0) {
        shell->conns[conn->id % RT_AGENT_LINKS_MAX] = NULL;
        rt_agent_closed(shell->agent, conn->id, "not a stream socket", rt_shell_now(shell));
        free(conn);
        return NULL;
    }
    conn->link.high_water = RT_LINK_HIGH_WATER;
    conn->next = shell->conns_first;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    shell->conns_first = conn;
    shell->n_conns++;
    return conn;
}

/* For its part of the places: a vSocket's CID, a user at this listener, a TCP address. */
static void identify(const struct rt_shell *shell, const struct rt_shell_listener *at,
                     const struct rt_listener_peer *who, struct rt_peer *peer)
{
    const char *port = strrchr(who->text, ':');

    if (who->kind == RT_ENDPOINT_VSOCK) {
        (void)snprintf(peer->identity, sizeof peer->identity, "vsock:%lu", (unsigned long)who->cid);
    } else if (who->kind == RT_ENDPOINT_UNIX) {
        (void)snprintf(peer->identity, sizeof peer->identity, "unix:%ld uid %lu", (long)(at - shell->listeners),
                       (unsigned long)who->uid);
    } else {
        (void)snprintf(peer->identity, sizeof peer->identity, "%.*s",
                       port == NULL ? RT_IDENTITY_MAX : (int)(port - who->text), who->text);
    }
    peer->lone = who->kind == RT_ENDPOINT_VSOCK || (who->kind == RT_ENDPOINT_TCP && !who->loopback);
}

static void accept_cb(struct rt_listener *listener, int fd, const struct rt_listener_peer *who)
{
    struct rt_shell *shell = listener->data;
    struct rt_shell_listener *at = (struct rt_shell_listener *)(void *)listener;
    struct rt_peer peer = {.role = at->role};

    identify(shell, at, who, &peer);
    if (at->role == RT_PEER_CLIENT) {
        (void)snprintf(peer.tenant, sizeof peer.tenant, "local");
    }
    (void)snprintf(peer.name, sizeof peer.name, "%s %s", at->role == RT_PEER_GUEST ? "guest" : "client", who->text);
    if (adopt(shell, at, fd, &peer) == NULL) {
        rt_log_note(&shell->log, RT_LOG_WARN, RT_LOG_LISTENER, "listener", rt_shell_now(shell),
                    "%s: turned away, there are too many connections", peer.name);
        (void)close(fd);
        rt_listener_release(listener);
    }
    rt_shell_settle(shell);
}

static const struct rt_listener_ops listener_ops = {.on_accept = accept_cb};

/* The directory of a unix socket, made when it is missing. */
static void make_dir(const struct rt_endpoint *endpoint)
{
    char dir[RT_ENDPOINT_TEXT_MAX];
    char *slash;

    (void)snprintf(dir, sizeof dir, "%s", rt_endpoint_path(endpoint));
    slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
        (void)mkdir(dir, 0755); /* what is wrong with it, bind(2) says */
    }
}

static int listen_on(struct rt_shell *shell, const char *text, enum rt_peer_role role)
{
    struct rt_shell_listener *at = &shell->listeners[shell->n_listeners];
    struct rt_listener_config config = {.mode = (unsigned)shell->settings.socket_mode};
    uint64_t now = rt_shell_now(shell);
    char why[RT_SETTING_WHY_MAX];
    int rc = rt_endpoint_parse(&config.endpoint, text, why, sizeof why);

    config.max_open = 2 * RT_AGENT_LINKS_MAX; /* the machine has the limits; here those that are closing count too */
    config.max_fd = shell->max_fd;
    if (rc == 0) {
        make_dir(&config.endpoint);
        at->listener.data = shell;
        at->role = role;
        rc = rt_listener_open(&at->listener, &shell->loop, &config, &listener_ops, why, sizeof why);
    }
    if (rc != 0 && config.endpoint.kind == RT_ENDPOINT_VSOCK && rc == RT_EINVAL) {
        rt_log_note(&shell->log, RT_LOG_WARN, RT_LOG_LISTENER, "listener", now,
                    "%s; going on without it (is the vsock module loaded?)", why);
        return 0;
    }
    if (rc != 0) {
        rt_log_note(&shell->log, RT_LOG_ERROR, RT_LOG_LISTENER, "listener", now, "%s", why);
        return rc;
    }
    shell->n_listeners++;
    rt_endpoint_print(&at->listener.config.endpoint, why, sizeof why);
    rt_log_note(&shell->log, RT_LOG_INFO, RT_LOG_LISTENER, "listener", now, "%s for %s", why,
                role == RT_PEER_GUEST ? "guests" : "clients");
    if (role == RT_PEER_CLIENT && shell->settings.advertise.n == 0 && shell->addr.n < RT_ADDRS_MAX &&
        strlen(why) <= RT_ADDR_MAX) {
        (void)snprintf(shell->addr.item[shell->addr.n++], sizeof shell->addr.item[0], "%.*s", RT_SETTING_TEXT_MAX, why);
    }
    return 0;
}

int rt_shell_listen(struct rt_shell *shell)
{
    const struct rt_settings *settings = &shell->settings;
    int rc = 0;

    if (settings->advertise.n > 0) {
        shell->addr = settings->advertise;
    }
    for (size_t i = 0; rc == 0 && i < settings->guests.n; i++) {
        rc = listen_on(shell, settings->guests.item[i], RT_PEER_GUEST);
    }
    for (size_t i = 0; rc == 0 && i < settings->clients.n; i++) {
        rc = listen_on(shell, settings->clients.item[i], RT_PEER_CLIENT);
    }
    return rc;
}

void rt_shell_unlisten(struct rt_shell *shell)
{
    for (size_t i = 0; i < shell->n_listeners; i++) {
        rt_listener_close(&shell->listeners[i].listener);
    }
}

void rt_shell_close_conns(struct rt_shell *shell)
{
    for (struct rt_conn *conn = shell->conns_first; conn != NULL; conn = conn->next) {
        rt_link_close(&conn->link, RT_LINK_NOW, RT_ECANCELED, "the agent ends");
    }
}
