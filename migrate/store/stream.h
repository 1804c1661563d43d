/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_STREAM_H
#define RETETHER_MIGRATE_STORE_STREAM_H

#include "migrate/store/endpoint.h"
#include "migrate/store/login.h"
#include "session/transport/dialled.h"

/* One dial of a connection to a server, and what comes of it, with memory of its own: it may still be closing while the
 * next one is dialled.
 *
 *     the file of the login is read, on a thread --> the name is looked up --> dialled --on_open--> ... --> on_end
 *        '--------------------------------------- it fails: on_end ----------------------------------------'
 *
 * on_gone comes last, after rt_stream_forget() alone without an on_end before. */

struct rt_stream_ops {
    /* What is written now goes out behind the handshake of TLS. */
    void (*on_open)(void *owner);
    void (*on_data)(void *owner, const char *data, size_t size);
    void (*on_end)(void *owner, const char *why);
    void (*on_gone)(void *owner);
};

struct rt_stream_setup {
    uv_loop_t *loop;
    struct rt_buf_pool *pool;
    const struct rt_store_endpoint *endpoint; /* copied */
    const char *login_file;                   /* NULL: none is read. Lives until on_gone */
    struct rt_wire_setup secure;              /* ops and context, of an endpoint with TLS */
    uint64_t timeout_ms;                      /* of the dial */
    const struct rt_stream_ops *ops;
    void *owner;
};

struct rt_stream {
    struct rt_dialled at;
    struct rt_stream_setup setup;
    struct rt_store_endpoint endpoint;
    bool forgotten, reading;
    uv_work_t work; /* while it is reading, this and the rest are the thread's */
    struct rt_login login;
    int error;
    char why[RT_STORE_ENDPOINT_TEXT_MAX];
};

/* NULL: no memory. Calls nothing from within. */
struct rt_stream *rt_stream_start(const struct rt_stream_setup *setup);
/* Gives it up: nothing comes but on_gone, later. */
void rt_stream_forget(struct rt_stream *stream);

#endif
