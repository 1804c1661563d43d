/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_RESP_H
#define RETETHER_MIGRATE_STORE_RESP_H

#include "session/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* A guard before the reply parser, which believes every header: a `*100000000` of 12 bytes makes it reserve 780 MB. The
 * guard walks the same bytes first, keeps nothing of them, and refuses what goes beyond a bound. Pure. RESP2 only. */

/* Bytes of one reply, elements declared in one reply, depth of arrays. Beyond: RT_ELIMIT, the connection is dropped. */
#define RT_RESP_BYTES_MAX ((size_t)4 << 20)
#define RT_RESP_NODES_MAX 65536u
#define RT_RESP_DEPTH_MAX 6u
/* A header or a simple string; errors of functions are the longest of them. */
#define RT_RESP_LINE_MAX 4096u

struct rt_resp {
    enum { RT_RESP_TYPE, RT_RESP_NUMBER, RT_RESP_TEXT, RT_RESP_LF, RT_RESP_BULK } at;
    char type;        /* of the line under way */
    uint8_t negative; /* its number is */
    uint32_t digits;  /* of its number */
    uint32_t line;    /* bytes of the line so far */
    uint64_t number;
    uint64_t bulk; /* bytes of a bulk string, CRLF included, still to come */
    uint64_t bytes;
    uint64_t nodes;
    size_t depth;
    uint64_t left[RT_RESP_DEPTH_MAX]; /* elements still to come in each open array */
    uint64_t replies;                 /* complete so far */
};

void rt_resp_init(struct rt_resp *resp);

/* Walks size bytes more. Returns 0, RT_EPROTO (no RESP2) or RT_ELIMIT. After an error the guard is of no more use. */
RT_MUST_CHECK int rt_resp_feed(struct rt_resp *resp, const char *data, size_t size);

#endif
