/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_MSG_STREAM_H
#define RETETHER_SESSION_CORE_MSG_STREAM_H

#include "session/base/slice.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Messages from end to end, between a client and a guest: attaching, and the items of the control streams. */

enum rt_attach_from { RT_FROM_OLDEST, RT_FROM_NOW, RT_FROM_OFFSET, RT_FROM_BYTES, RT_FROM_LINES };

struct rt_attach_out { /* one output stream as the client has it */
    uint64_t s, c, d, df;
};

struct rt_attach_in { /* one input stream as the client has it */
    uint64_t s, a, h;
};

struct rt_attach_msg {
    struct rt_slice cid, id;
    uint64_t try_no; /* key "try" */
    bool make;       /* one that is not known is made */
    bool take;       /* whoever has it loses it */
    bool exec, tty;  /* one that is made gets a process of its own; on a terminal */
    uint64_t p, want, from, n, ne, hold;
    bool once;
    struct rt_attach_out out[3];
    size_t n_out;
    struct rt_attach_in in[2];
    size_t n_in;
    uint64_t rows, cols, klife, kepoch, wait;
};

struct rt_attached_out {
    uint64_t s, c, head;
};

struct rt_attached_in {
    uint64_t s, a, d;
    bool closed;
};

struct rt_attached_msg {
    uint64_t life, epoch, p, st;
    bool tty;
    struct rt_attached_out out[3];
    size_t n_out;
    struct rt_attached_in in[2];
    size_t n_in;
    uint64_t code, sig;
};

/* Whether each of n rows, which begin with their stream, is of another one of `streams` (bit per stream) that is not in
 * *seen; notes it there. */
static inline bool rt_rows_fit(const void *rows, size_t n, size_t row_size, unsigned streams, unsigned *seen)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t stream;

        memcpy(&stream, (const char *)rows + i * row_size, sizeof(stream));
        if (stream >= RT_STREAMS || ((streams & ~*seen) >> stream & 1) == 0) {
            return false;
        }
        *seen |= 1U << stream;
    }
    return true;
}

enum rt_item_up { RT_ITEM_EXITED = 1, RT_ITEM_RESIZED };
enum rt_item_down { RT_ITEM_RESIZE = 1, RT_ITEM_SIGNAL, RT_ITEM_RUN };

struct rt_up_item { /* control-up */
    uint64_t t;     /* enum rt_item_up */
    uint64_t code, sig, out, err, rows, cols;
};

struct rt_down_item { /* control-down */
    uint64_t t;       /* enum rt_item_down */
    uint64_t sig, rows, cols;
    struct rt_slice b; /* RUN: the next piece of a struct rt_exec_msg */
    bool last;
};

struct rt_exec_msg { /* what to run; large: 128 KiB */
    size_t n_argv, n_env;
    struct rt_slice cwd;
    struct rt_slice argv[RT_ARGS_MAX];
    struct rt_slice env[RT_ARGS_MAX];
};

#endif
