/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/tls/bio.h"

#include <stdlib.h>
#include <string.h>

/* Least room of a buffer: a handshake's flight. */
#define OUT_MIN 4096

bool rt_tls_reserve(struct rt_tls_out *out, size_t more)
{
    size_t cap = out->size + more;
    uint8_t *data;

    if (cap <= out->cap) {
        return true;
    }
    cap = cap < OUT_MIN ? OUT_MIN : cap;
    data = realloc(out->data, cap);
    if (data == NULL) {
        return false;
    }
    out->data = data;
    out->cap = cap;
    return true;
}

void rt_tls_out_free(struct rt_tls_out *out)
{
    free(out->data);
    *out = (struct rt_tls_out){NULL, 0, 0};
}

static int read_in(BIO *bio, char *to, int room)
{
    struct rt_tls_pipe *pipe = BIO_get_data(bio);
    size_t n = room < 0 ? 0 : (size_t)room;

    BIO_clear_retry_flags(bio);
    n = n < pipe->in_size ? n : pipe->in_size;
    n = n < pipe->budget ? n : pipe->budget;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, pipe->in, n);
    pipe->in += n;
    pipe->in_size -= n;
    pipe->budget -= n;
    return (int)n;
}

static int write_out(BIO *bio, const char *from, int size)
{
    struct rt_tls_pipe *pipe = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (size <= 0) {
        return 0;
    }
    if (!rt_tls_reserve(&pipe->out, (size_t)size)) {
        return -1;
    }
    memcpy(pipe->out.data + pipe->out.size, from, (size_t)size);
    pipe->out.size += (size_t)size;
    return size;
}

static long control(BIO *bio, int command, long number, void *data)
{
    (void)bio;
    (void)number;
    (void)data;
    return command == BIO_CTRL_FLUSH; /* it is always done; what else there is we have not */
}

BIO_METHOD *rt_tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "retether");

    if (method != NULL && (BIO_meth_set_read(method, read_in) != 1 || BIO_meth_set_write(method, write_out) != 1 ||
                           BIO_meth_set_ctrl(method, control) != 1)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

BIO *rt_tls_bio_new(const BIO_METHOD *method, struct rt_tls_pipe *pipe)
{
    BIO *bio = BIO_new(method);

    if (bio != NULL) {
        BIO_set_data(bio, pipe);
        BIO_set_init(bio, 1);
    }
    return bio;
}
