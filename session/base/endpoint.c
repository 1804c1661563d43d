/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/endpoint.h"

#include "session/base/units.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    const char *text; /* whole, for the message */
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int fail(const struct parse *parse, const char *format, ...)
{
    va_list args;
    int used = snprintf(parse->why, parse->why_size, "%.140s: ", parse->text);

    if (used >= 0 && (size_t)used < parse->why_size) {
        va_start(args, format);
        (void)vsnprintf(parse->why + used, parse->why_size - (size_t)used, format, args);
        va_end(args);
    }
    return RT_EINVAL;
}

static bool number(const char *text, size_t size, uint64_t max, uint64_t *value)
{
    return rt_read_number((struct rt_slice){(const uint8_t *)text, size}, max, value);
}

static int parse_unix(struct rt_endpoint *endpoint, const struct parse *parse, const char *path)
{
    size_t size = strlen(path);

    if (size == 0) {
        return fail(parse, "the path is missing (unix:PATH)");
    }
    if (size >= sizeof(endpoint->addr.un.sun_path)) {
        return fail(parse, "the path has %zu bytes, a unix socket's may have %zu", size,
                    sizeof(endpoint->addr.un.sun_path) - 1);
    }
    endpoint->kind = RT_ENDPOINT_UNIX;
    endpoint->addr.un.sun_family = AF_UNIX;
    memcpy(endpoint->addr.un.sun_path, path, size + 1);
    endpoint->size = sizeof(endpoint->addr.un);
    return 0;
}

/* "ADDR" or "ADDR%ZONE", the zone being an interface's name or number. */
static int parse_v6(struct rt_endpoint *endpoint, const struct parse *parse, char *host)
{
    char *zone = strchr(host, '%');
    uint64_t index = 0;

    if (zone != NULL) {
        *zone++ = '\0';
        if (!number(zone, strlen(zone), UINT32_MAX, &index)) {
            index = if_nametoindex(zone);
        }
        if (index == 0) {
            return fail(parse, "there is no network interface \"%s\"", zone);
        }
    }
    if (inet_pton(AF_INET6, host, &endpoint->addr.in6.sin6_addr) != 1) {
        return fail(parse, "\"%s\" is not an IPv6 address", host);
    }
    endpoint->addr.in6.sin6_family = AF_INET6;
    endpoint->addr.in6.sin6_scope_id = (uint32_t)index;
    endpoint->size = sizeof(endpoint->addr.in6);
    return 0;
}

/* Letters, digits, '-' and '_' in labels between dots (RFC 1123 section 2.1), the last of which is no number: so no
 * address that is mistyped is taken for a name. */
static bool is_name(const char *text)
{
    const char *label = text;
    bool letter = false;

    for (const char *c = text; *c != '\0'; c++) {
        bool digit = *c >= '0' && *c <= '9', dot = *c == '.';

        if (dot && c == label) {
            return false;
        }
        if (!dot && !digit && *c != '-' && *c != '_' && (*c < 'a' || *c > 'z') && (*c < 'A' || *c > 'Z')) {
            return false;
        }
        letter = !dot && (letter || !digit);
        label = dot ? c + 1 : label;
    }
    return letter && text[0] != '-';
}

/* TCP and TLS. */
static int parse_ip(struct rt_endpoint *endpoint, const struct parse *parse, const char *rest)
{
    char host[RT_ENDPOINT_NAME_MAX + 1];
    const char *colon = strrchr(rest, ':');
    bool bracket = rest[0] == '[';
    uint64_t port = 0;
    size_t size;
    int err = 0;

    if (colon == NULL || colon == rest) {
        return fail(parse, "wants %.3s:ADDRESS:PORT", parse->text);
    }
    if (!number(colon + 1, strlen(colon + 1), UINT16_MAX, &port)) {
        return fail(parse, "\"%s\" is not a port (0 to 65535)", colon + 1);
    }
    size = (size_t)(colon - rest);
    if (bracket) {
        if (size < 3 || rest[size - 1] != ']') {
            return fail(parse, "wants %.3s:[ADDRESS]:PORT", parse->text);
        }
        rest++;
        size -= 2;
    }
    if (size >= sizeof(host)) {
        return fail(parse, "the address is too long");
    }
    memcpy(host, rest, size);
    host[size] = '\0';
    if (bracket) {
        err = parse_v6(endpoint, parse, host);
        endpoint->addr.in6.sin6_port = htons((uint16_t)port);
        return err;
    }
    if (strchr(host, ':') != NULL) {
        return fail(parse, "an IPv6 address goes in brackets: %.3s:[ADDRESS]:PORT", parse->text);
    }
    if (inet_pton(AF_INET, host, &endpoint->addr.in4.sin_addr) != 1) {
        if (endpoint->kind != RT_ENDPOINT_TLS) {
            return fail(parse, "\"%s\" is not a numeric address (names are not resolved)", host);
        }
        if (!is_name(host) || port == 0) {
            return fail(parse, "\"%s\" is neither a numeric address nor a host's name with a port", host);
        }
        memcpy(endpoint->name, host, size + 1);
        endpoint->port = (uint16_t)port;
        return 0;
    }
    endpoint->addr.in4.sin_family = AF_INET;
    endpoint->addr.in4.sin_port = htons((uint16_t)port);
    endpoint->size = sizeof(endpoint->addr.in4);
    return 0;
}

static int parse_vsock(struct rt_endpoint *endpoint, const struct parse *parse, const char *rest)
{
    const char *colon = strchr(rest, ':');
    uint64_t cid = (uint64_t)VMADDR_CID_ANY, port = 0;

    if (colon == NULL) {
        return fail(parse, "wants vsock:CID:PORT, or vsock::PORT for any CID");
    }
    if (colon != rest && !number(rest, (size_t)(colon - rest), UINT32_MAX - 1, &cid)) {
        return fail(parse, "\"%.*s\" is not a CID (a number below 4294967295)", (int)(colon - rest), rest);
    }
    if (!number(colon + 1, strlen(colon + 1), UINT32_MAX - 1, &port)) {
        return fail(parse, "\"%s\" is not a vSocket port (a number below 4294967295)", colon + 1);
    }
    endpoint->kind = RT_ENDPOINT_VSOCK;
    endpoint->addr.vm.svm_family = AF_VSOCK;
    endpoint->addr.vm.svm_cid = (unsigned)cid;
    endpoint->addr.vm.svm_port = (unsigned)port;
    endpoint->size = sizeof(endpoint->addr.vm);
    return 0;
}

int rt_endpoint_parse(struct rt_endpoint *endpoint, const char *text, char *why, size_t why_size)
{
    struct parse parse = {text, why, why_size};

    memset(endpoint, 0, sizeof(*endpoint));
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(endpoint, &parse, text + 5);
    }
    if (strncmp(text, "tcp:", 4) == 0 || strncmp(text, "tls:", 4) == 0) {
        endpoint->kind = text[1] == 'c' ? RT_ENDPOINT_TCP : RT_ENDPOINT_TLS;
        return parse_ip(endpoint, &parse, text + 4);
    }
    if (strncmp(text, "vsock:", 6) == 0) {
        return parse_vsock(endpoint, &parse, text + 6);
    }
    return fail(&parse, "wants unix:PATH, tcp:ADDRESS:PORT, tls:ADDRESS:PORT or vsock:CID:PORT");
}

static void print_v6(const struct sockaddr_in6 *addr, const char *kind, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?", zone[IF_NAMESIZE + 1] = "", name[IF_NAMESIZE];

    (void)inet_ntop(AF_INET6, &addr->sin6_addr, host, sizeof(host));
    if (addr->sin6_scope_id != 0) {
        if (if_indextoname(addr->sin6_scope_id, name) != NULL) {
            (void)snprintf(zone, sizeof(zone), "%%%s", name);
        } else {
            (void)snprintf(zone, sizeof(zone), "%%%" PRIu32, addr->sin6_scope_id);
        }
    }
    (void)snprintf(out, size, "%s:[%s%s]:%u", kind, host, zone, ntohs(addr->sin6_port));
}

void rt_endpoint_print(const struct rt_endpoint *endpoint, char *out, size_t size)
{
    const char *kind = endpoint->kind == RT_ENDPOINT_TLS ? "tls" : "tcp";
    char host[INET_ADDRSTRLEN] = "?";

    switch (endpoint->kind) {
    case RT_ENDPOINT_UNIX:
        (void)snprintf(out, size, "unix:%s", rt_endpoint_path(endpoint));
        break;
    case RT_ENDPOINT_TCP:
    case RT_ENDPOINT_TLS:
        if (endpoint->name[0] != '\0') {
            (void)snprintf(out, size, "%s:%s:%u", kind, endpoint->name, endpoint->port);
            break;
        }
        if (endpoint->addr.any.sa_family == AF_INET6) {
            print_v6(&endpoint->addr.in6, kind, out, size);
            break;
        }
        (void)inet_ntop(AF_INET, &endpoint->addr.in4.sin_addr, host, sizeof(host));
        (void)snprintf(out, size, "%s:%s:%u", kind, host, ntohs(endpoint->addr.in4.sin_port));
        break;
    case RT_ENDPOINT_VSOCK:
        if (endpoint->addr.vm.svm_cid == VMADDR_CID_ANY) {
            (void)snprintf(out, size, "vsock::%u", endpoint->addr.vm.svm_port);
        } else {
            (void)snprintf(out, size, "vsock:%u:%u", endpoint->addr.vm.svm_cid, endpoint->addr.vm.svm_port);
        }
        break;
    }
}

bool rt_endpoint_is_ip(const struct rt_endpoint *endpoint)
{
    return endpoint->kind == RT_ENDPOINT_TCP || endpoint->kind == RT_ENDPOINT_TLS;
}

/* The IPv4 address of an endpoint in host order, also one mapped into IPv6. */
static bool ipv4_of(const struct rt_endpoint *endpoint, uint32_t *address)
{
    const struct in6_addr *v6 = &endpoint->addr.in6.sin6_addr;

    if (!rt_endpoint_is_ip(endpoint)) {
        return false;
    }
    if (endpoint->addr.any.sa_family == AF_INET) {
        *address = ntohl(endpoint->addr.in4.sin_addr.s_addr);
        return true;
    }
    if (IN6_IS_ADDR_V4MAPPED(v6)) {
        memcpy(address, v6->s6_addr + 12, sizeof(*address));
        *address = ntohl(*address);
        return true;
    }
    return false;
}

bool rt_endpoint_is_loopback(const struct rt_endpoint *endpoint)
{
    uint32_t address;

    if (ipv4_of(endpoint, &address)) {
        return address >> 24 == 127;
    }
    return rt_endpoint_is_ip(endpoint) && IN6_IS_ADDR_LOOPBACK(&endpoint->addr.in6.sin6_addr);
}

bool rt_endpoint_is_link_local(const struct rt_endpoint *endpoint)
{
    uint32_t address;

    if (ipv4_of(endpoint, &address)) {
        return address >> 16 == (169u << 8 | 254u);
    }
    return rt_endpoint_is_ip(endpoint) && IN6_IS_ADDR_LINKLOCAL(&endpoint->addr.in6.sin6_addr);
}

const char *rt_endpoint_path(const struct rt_endpoint *endpoint)
{
    return endpoint->kind == RT_ENDPOINT_UNIX ? endpoint->addr.un.sun_path : "";
}

int rt_transport_code(int error)
{
    switch (abs(error)) {
    case 0:
        return RT_OK;
    case ENOMEM:
    case ENOBUFS:
        return RT_ENOMEM;
    case EMFILE:
    case ENFILE:
        return RT_ELIMIT;
    case EACCES:
    case EPERM:
        return RT_EAUTH;
    case EADDRINUSE:
    case EEXIST:
        return RT_EEXIST;
    case EINVAL:
    case EAFNOSUPPORT:
    case ENOTSOCK:
    case EADDRNOTAVAIL:
        return RT_EINVAL;
    case ETIMEDOUT:
        return RT_ETIMEDOUT;
    case ECANCELED:
        return RT_ECANCELED;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EAGAIN:
    case ENOENT:
    case ENODEV:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENOTCONN:
        return RT_ECONN;
    default:
        return RT_EIO;
    }
}
