/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_ENDPOINT_H
#define RETETHER_MIGRATE_STORE_ENDPOINT_H

#include "session/base/endpoint.h"

#include <stddef.h>

/* Where a store may be found:
 *
 *     redis://HOST:PORT                       rediss:// with TLS
 *     redis+unix:///PATH
 *     sentinel://NAME@HOST:PORT,HOST:PORT,... sentinel+tls:// with TLS to the Sentinels and to the servers they name
 *     redis-cluster://HOST:PORT,HOST:PORT,... redis-cluster+tls:// with TLS to all nodes; some of them are named here
 *
 * HOST is an IPv4 address, an IPv6 address in brackets, or a name, which is looked up at each dial. Neither user nor
 * password stand in an address: it is seen in logs and in the list of processes. */

/* Endpoints of one store, the Sentinels, or nodes of a cluster, of a list counted one by one. One more is RT_ELIMIT. */
#define RT_ENDPOINTS_MAX 8
#define RT_MASTER_NAME_MAX 64
#define RT_STORE_ENDPOINT_TEXT_MAX 192

struct rt_store_endpoint {
    struct rt_endpoint at; /* a unix socket or TCP; TCP may have a name */
    bool tls;
    bool cluster;                          /* a node of a cluster, which names the others */
    char host[RT_ENDPOINT_NAME_MAX + 1];   /* without brackets: who the server has to be, with TLS; "" of a socket */
    char master[RT_MASTER_NAME_MAX + 1];   /* a Sentinel's: the name that it is asked for; "" of a Redis */
    char text[RT_STORE_ENDPOINT_TEXT_MAX]; /* as above, of this one alone */
};

/* Appends to list[*n] what text names. Returns 0, or RT_EINVAL, RT_ELIMIT, RT_EEXIST (it is in the list), and says why
 * without what a password may be; then *n is as it was. */
RT_MUST_CHECK int rt_store_endpoint_parse(const char *text, struct rt_store_endpoint list[RT_ENDPOINTS_MAX], size_t *n,
                                          char *why, size_t why_size);

/* All endpoints of one store: servers, or the Sentinels of one primary, or nodes of one cluster, these two all with TLS
 * or none. Returns as above, or RT_ECONFIG when they are not that. */
RT_MUST_CHECK int rt_store_endpoints_parse(const char *const *texts, size_t n_texts,
                                           struct rt_store_endpoint list[RT_ENDPOINTS_MAX], size_t *n, char *why,
                                           size_t why_size);

/* A server's endpoint from an address or a name and a port, as a Sentinel or a node of a cluster gives them. Returns 0
 * or RT_EINVAL. */
RT_MUST_CHECK int rt_store_endpoint_of(const char *host, const char *port, bool tls,
                                       struct rt_store_endpoint *endpoint);

#endif
