/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_ENDPOINT_H
#define RETETHER_SESSION_BASE_ENDPOINT_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/un.h>

/* Where to listen or to connect: `unix:PATH`, `tcp:ADDR:PORT`, `tcp:[V6ADDR]:PORT`, `tls:` likewise, `vsock:CID:PORT`.
 * Addresses are numbers, but `tls:NAME:PORT` may have a host's name, for dialling: nothing here asks a resolver. An
 * empty CID (`vsock::7400`) means any, for listening. Port 0 of TCP and TLS lets the kernel choose. */

/* Bytes, NUL included, that hold any printed endpoint. */
#define RT_ENDPOINT_TEXT_MAX 128
/* Bytes of a host's name; a longer one is refused. */
#define RT_ENDPOINT_NAME_MAX 96

enum rt_endpoint_kind { RT_ENDPOINT_UNIX, RT_ENDPOINT_TCP, RT_ENDPOINT_TLS /* over TCP */, RT_ENDPOINT_VSOCK };

struct rt_endpoint {
    enum rt_endpoint_kind kind;
    char name[RT_ENDPOINT_NAME_MAX + 1]; /* TLS: a host's, to be looked up; else "" */
    uint16_t port;                       /* with a name */
    socklen_t size;                      /* bytes of addr; 0 with a name */
    union {
        struct sockaddr any;
        struct sockaddr_un un;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
        struct sockaddr_vm vm;
    } addr;
};

/* Returns 0, or RT_EINVAL with `why` filled ("tcp:foo:80: \"foo\" is not a numeric address ..."). */
RT_MUST_CHECK int rt_endpoint_parse(struct rt_endpoint *endpoint, const char *text, char *why, size_t why_size);

/* Prints in the form that rt_endpoint_parse reads, cut to size. */
void rt_endpoint_print(const struct rt_endpoint *endpoint, char *out, size_t size);

/* TCP and TLS only, false for the other kinds: 127.0.0.0/8, ::1; 169.254.0.0/16, fe80::/10; also where mapped into
 * IPv6. */
bool rt_endpoint_is_loopback(const struct rt_endpoint *endpoint);
bool rt_endpoint_is_link_local(const struct rt_endpoint *endpoint);

/* Whether it has an IP address: TCP and TLS. */
bool rt_endpoint_is_ip(const struct rt_endpoint *endpoint);

/* The path of a unix endpoint, "" for an unnamed one or another kind. */
const char *rt_endpoint_path(const struct rt_endpoint *endpoint);

/* Translates an errno (positive) or a libuv code (negative), for the files of this folder. */
int rt_transport_code(int error);

#endif
