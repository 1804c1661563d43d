/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "session/base/timer.h"

#include <stdlib.h>
#include <string.h>

/* What the machine sends in one call, gathered for one write to each link; and its timer. */

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
        batch = malloc(sizeof(*batch));
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

void rt_shell_report_queued(struct rt_shell *shell, struct rt_conn *conn)
{
    if (conn->id != 0) {
        rt_agent_queued(shell->agent, conn->id, rt_link_queued(&conn->link), rt_shell_now(shell));
    }
}

static void flush(struct rt_shell *shell)
{
    /* Telling the machine of a queue may make it send more: what it sends is added at the end of this list. */
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
            rt_shell_report_queued(shell, conn);
        }
    }
    shell->arena_used = 0;
}

static void tick_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;

    shell->timer_at = RT_NEVER;
    rt_agent_tick(shell->agent, rt_shell_now(shell));
    rt_shell_settle(shell);
}

/* When the deadline has moved away, the timer stays as it is: it fires once too early, and finds nothing due. */
void rt_shell_settle(struct rt_shell *shell)
{
    uint64_t now = rt_shell_now(shell), at;

    flush(shell);
    at = rt_agent_deadline(shell->agent);
    if (at < shell->timer_at && shell->phase < RT_SHELL_CLOSING) {
        shell->timer_at = at;
        (void)uv_timer_start(&shell->timer, tick_cb, at > now ? at - now : 0, 0);
    }
}
