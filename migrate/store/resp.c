/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/resp.h"

#include <string.h>

/* More digits than any number within the bounds has. */
#define DIGITS_MAX 19

void rt_resp_init(struct rt_resp *resp)
{
    memset(resp, 0, sizeof(*resp));
}

/* An element is complete; so may be the arrays that it ends. */
static void element_done(struct rt_resp *resp)
{
    resp->at = RT_RESP_TYPE;
    while (resp->depth > 0) {
        if (--resp->left[resp->depth - 1] > 0) {
            return;
        }
        resp->depth--;
    }
    resp->replies++;
    resp->bytes = 0;
    resp->nodes = 0;
}

static int open_array(struct rt_resp *resp)
{
    if (resp->negative != 0 || resp->number == 0) {
        element_done(resp);
        return 0;
    }
    resp->nodes += resp->number;
    if (resp->number > RT_RESP_NODES_MAX || resp->nodes > RT_RESP_NODES_MAX || resp->depth == RT_RESP_DEPTH_MAX) {
        return RT_ELIMIT;
    }
    resp->left[resp->depth++] = resp->number;
    resp->at = RT_RESP_TYPE;
    return 0;
}

static int line_done(struct rt_resp *resp)
{
    switch (resp->type) {
    case '*':
        return open_array(resp);
    case '$':
        if (resp->negative != 0) {
            element_done(resp);
            return 0;
        }
        if (resp->number > RT_RESP_BYTES_MAX) {
            return RT_ELIMIT;
        }
        resp->bulk = resp->number + 2;
        resp->at = RT_RESP_BULK;
        return 0;
    default:
        element_done(resp);
        return 0;
    }
}

static int start_line(struct rt_resp *resp, char c)
{
    resp->type = c;
    resp->negative = 0;
    resp->digits = 0;
    resp->number = 0;
    resp->line = 0;
    switch (c) {
    case '*':
    case '$':
    case ':':
        resp->at = RT_RESP_NUMBER;
        return 0;
    case '+':
    case '-':
        resp->at = RT_RESP_TEXT;
        return 0;
    default:
        return RT_EPROTO;
    }
}

static int number_byte(struct rt_resp *resp, char c)
{
    if (c == '-' && resp->digits == 0 && resp->negative == 0) {
        resp->negative = 1;
    } else if (c >= '0' && c <= '9' && resp->digits < DIGITS_MAX) {
        resp->number = resp->number * 10 + (uint64_t)(c - '0');
        resp->digits++;
    } else if (c == '\r' && resp->digits > 0) {
        /* Only -1, the null, is negative in a length. */
        if (resp->type != ':' && resp->negative != 0 && resp->number != 1) {
            return RT_EPROTO;
        }
        resp->at = RT_RESP_LF;
    } else {
        return RT_EPROTO;
    }
    return 0;
}

static int byte(struct rt_resp *resp, char c)
{
    switch (resp->at) {
    case RT_RESP_TYPE:
        return start_line(resp, c);
    case RT_RESP_NUMBER:
        return number_byte(resp, c);
    case RT_RESP_TEXT:
        if (c == '\r') {
            resp->at = RT_RESP_LF;
        } else if (c == '\n') {
            return RT_EPROTO;
        } else if (++resp->line > RT_RESP_LINE_MAX) {
            return RT_ELIMIT;
        }
        return 0;
    case RT_RESP_LF:
        return c == '\n' ? line_done(resp) : RT_EPROTO;
    case RT_RESP_BULK:
        break; /* not walked byte by byte */
    }
    return RT_EPROTO;
}

/* Skips what it can of a bulk string; its last two bytes must be CRLF. */
static int bulk(struct rt_resp *resp, const char *data, size_t size, size_t *used)
{
    size_t skip = resp->bulk > 2 ? (size_t)(resp->bulk - 2) : 0;

    if (skip > 0) {
        *used = skip < size ? skip : size;
        resp->bulk -= *used;
        return 0;
    }
    *used = 1;
    if (data[0] != (resp->bulk == 2 ? '\r' : '\n')) {
        return RT_EPROTO;
    }
    if (--resp->bulk == 0) {
        element_done(resp);
    }
    return 0;
}

int rt_resp_feed(struct rt_resp *resp, const char *data, size_t size)
{
    size_t at = 0;

    while (at < size) {
        size_t used = 1;
        int rc;

        uint64_t replies = resp->replies;
        if (resp->at == RT_RESP_BULK) {
            rc = bulk(resp, data + at, size - at, &used);
        } else {
            rc = byte(resp, data[at]);
        }
        if (rc != 0) {
            return rc;
        }
        at += used;
        resp->bytes = resp->replies == replies ? resp->bytes + used : 0;
        if (resp->bytes > RT_RESP_BYTES_MAX) {
            return RT_ELIMIT;
        }
    }
    return 0;
}
