/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_ENDPOINT_H
#define RETETHER_MIGRATE_STORE_ENDPOINT_H

#include "session/base/endpoint.h"

#include <stddef.h>

/* Where a store may be found. No name is ever looked up: addresses are numeric. */

/* Endpoints of one store, the Sentinels of a list counted one by one. One more is RT_ELIMIT. */
#define RT_ENDPOINTS_MAX 8
#define RT_MASTER_NAME_MAX 64
#define RT_STORE_ENDPOINT_TEXT_MAX 160

struct rt_store_endpoint {
    struct rt_endpoint at;
    char master[RT_MASTER_NAME_MAX + 1];   /* a Sentinel's: the name that it is asked for; "" of a Redis */
    char text[RT_STORE_ENDPOINT_TEXT_MAX]; /* for the log */
};

/* Appends to list[*n] what text names: "unix:PATH", "tcp:HOST:PORT", or "sentinel:NAME@HOST:PORT,HOST:PORT,..."; HOST
 * is an IPv4 address or an IPv6 address in brackets. Returns 0, RT_EINVAL or RT_ELIMIT; then *n is as it was. */
RT_MUST_CHECK int rt_store_endpoint_parse(const char *text, struct rt_store_endpoint list[RT_ENDPOINTS_MAX], size_t *n);

/* A tcp endpoint from an address and a port as a Sentinel gives them. Returns 0 or RT_EINVAL. */
RT_MUST_CHECK int rt_store_endpoint_tcp(const char *host, const char *port, struct rt_store_endpoint *endpoint);

#endif
