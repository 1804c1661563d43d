/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_ERROR_H
#define RETETHER_SESSION_BASE_ERROR_H

#include <stddef.h>

/* Every function that can fail returns 0 or one of these (all negative). libuv's, Redis's and OpenSSL's own codes are
 * translated where they are called and go no further. */
#define RT_ERRORS(X)                                                                                                   \
    X(RT_ENOMEM, -1, "out of memory")                                                                                  \
    X(RT_EINVAL, -2, "invalid argument")                                                                               \
    X(RT_EPROTO, -3, "protocol error")                                                                                 \
    X(RT_ELIMIT, -4, "a limit is reached")                                                                             \
    X(RT_EAUTH, -5, "not proved or not allowed")                                                                       \
    X(RT_EEXPIRED, -6, "expired")                                                                                      \
    X(RT_ENOTFOUND, -7, "not found")                                                                                   \
    X(RT_ESTATE, -8, "not possible in this state")                                                                     \
    X(RT_EIO, -9, "input/output error")                                                                                \
    X(RT_ETIMEDOUT, -10, "timed out")                                                                                  \
    X(RT_ECANCELED, -11, "canceled")                                                                                   \
    X(RT_ECONN, -12, "connection lost")                                                                                \
    X(RT_EEXIST, -14, "exists already")                                                                                \
    X(RT_ECONFIG, -15, "invalid configuration")                                                                        \
    X(RT_EUNAVAIL, -16, "the session store is not available")                                                          \
    X(RT_EUNKNOWN, -17, "no answer came: it is not known whether it was done")

enum rt_error {
    RT_OK = 0,
#define RT_ERROR_ENUM(name, code, text) name = code,
    RT_ERRORS(RT_ERROR_ENUM)
#undef RT_ERROR_ENUM
};

/* The text of a code, without a trailing dot. Never NULL. */
const char *rt_strerror(int code);

#define RT_MUST_CHECK __attribute__((warn_unused_result))

/* Puts a sentence into `why`, cut if need be, and returns the code. */
int rt_fail(int code, char *why, size_t size, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
