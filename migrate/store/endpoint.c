/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/endpoint.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int parse_port(const char *text, in_port_t *port)
{
    unsigned value = 0;

    if (*text == '\0' || strlen(text) > 5) {
        return RT_EINVAL;
    }
    for (; *text; text++) {
        if (*text < '0' || *text > '9') {
            return RT_EINVAL;
        }
        value = value * 10 + (unsigned)(*text - '0');
    }
    if (value == 0 || value > UINT16_MAX) {
        return RT_EINVAL;
    }
    *port = htons((uint16_t)value);
    return 0;
}

int rt_store_endpoint_tcp(const char *host, const char *port, struct rt_store_endpoint *endpoint)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&endpoint->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&endpoint->addr;
    in_port_t number;

    memset(endpoint, 0, sizeof *endpoint);
    endpoint->kind = RT_STORE_ENDPOINT_TCP;
    if (parse_port(port, &number)) {
        return RT_EINVAL;
    }
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = number;
        snprintf(endpoint->text, sizeof endpoint->text, "tcp:%s:%s", host, port);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = number;
        snprintf(endpoint->text, sizeof endpoint->text, "tcp:[%s]:%s", host, port);
        return 0;
    }
    return RT_EINVAL;
}

/* "HOST:PORT" or "[HOST]:PORT", size bytes of text. */
static int parse_address(const char *text, size_t size, struct rt_store_endpoint *endpoint)
{
    char copy[RT_STORE_ENDPOINT_TEXT_MAX];
    char *host = copy;
    char *colon;

    if (size >= sizeof copy) {
        return RT_EINVAL;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    colon = strrchr(copy, ':');
    if (!colon) {
        return RT_EINVAL;
    }
    *colon = '\0';
    if (host[0] == '[') {
        if (colon == copy || colon[-1] != ']') {
            return RT_EINVAL;
        }
        host++;
        colon[-1] = '\0';
    } else if (strchr(host, ':')) {
        return RT_EINVAL; /* IPv6 without brackets: where the port starts is a guess */
    }
    return rt_store_endpoint_tcp(host, colon + 1, endpoint);
}

static int parse_sentinels(const char *text, struct rt_store_endpoint *list, size_t *n)
{
    const char *at = strchr(text, '@');
    size_t name = at ? (size_t)(at - text) : 0;
    size_t count = *n;

    if (name == 0 || name > RT_MASTER_NAME_MAX) {
        return RT_EINVAL;
    }
    at++;
    for (;;) {
        size_t size = strcspn(at, ",");
        struct rt_store_endpoint *endpoint = &list[count];

        if (count == RT_ENDPOINTS_MAX) {
            return RT_ELIMIT;
        }
        if (parse_address(at, size, endpoint)) {
            return RT_EINVAL;
        }
        endpoint->kind = RT_STORE_ENDPOINT_SENTINEL;
        memcpy(endpoint->master, text, name);
        endpoint->master[name] = '\0';
        snprintf(endpoint->text, sizeof endpoint->text, "sentinel:%.*s@%.*s", (int)name, text, (int)size, at);
        count++;
        if (at[size] == '\0') {
            *n = count;
            return 0;
        }
        at += size + 1;
    }
}

int rt_store_endpoint_parse(const char *text, struct rt_store_endpoint list[RT_ENDPOINTS_MAX], size_t *n)
{
    struct rt_store_endpoint *endpoint = &list[*n];
    int rc = RT_EINVAL;

    if (*n >= RT_ENDPOINTS_MAX) {
        return RT_ELIMIT;
    }
    if (strncmp(text, "sentinel:", 9) == 0) {
        return parse_sentinels(text + 9, list, n);
    }
    if (strncmp(text, "tcp:", 4) == 0) {
        rc = parse_address(text + 4, strlen(text + 4), endpoint);
    } else if (strncmp(text, "unix:", 5) == 0 && text[5] != '\0' && strlen(text + 5) < sizeof endpoint->path) {
        memset(endpoint, 0, sizeof *endpoint);
        endpoint->kind = RT_STORE_ENDPOINT_UNIX;
        snprintf(endpoint->path, sizeof endpoint->path, "%s", text + 5);
        snprintf(endpoint->text, sizeof endpoint->text, "%s", text);
        rc = 0;
    }
    if (rc == 0) {
        ++*n;
    }
    return rc;
}
