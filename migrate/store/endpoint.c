/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/endpoint.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_reachable(const struct rt_endpoint *at)
{
    return at->kind == RT_ENDPOINT_UNIX ||
           (at->kind == RT_ENDPOINT_TCP &&
            (at->addr.any.sa_family == AF_INET ? at->addr.in4.sin_port : at->addr.in6.sin6_port) != 0);
}

/* As rt_endpoint_parse(), but a store is on a unix socket or at a port that is known. */
static int parse(const char *text, struct rt_store_endpoint *endpoint)
{
    char why[RT_ENDPOINT_TEXT_MAX];

    memset(endpoint, 0, sizeof(*endpoint));
    if (strlen(text) >= sizeof(endpoint->text) || rt_endpoint_parse(&endpoint->at, text, why, sizeof(why)) != 0 ||
        !is_reachable(&endpoint->at)) {
        return RT_EINVAL;
    }
    snprintf(endpoint->text, sizeof(endpoint->text), "%s", text);
    return 0;
}

int rt_store_endpoint_tcp(const char *host, const char *port, struct rt_store_endpoint *endpoint)
{
    char text[RT_STORE_ENDPOINT_TEXT_MAX];
    bool v6 = strchr(host, ':') != NULL;
    int size = snprintf(text, sizeof(text), "tcp:%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);

    return size >= (int)sizeof(text) ? RT_EINVAL : parse(text, endpoint);
}

static int parse_sentinels(const char *text, struct rt_store_endpoint *list, size_t *n)
{
    const char *at = strchr(text, '@');
    size_t name = at != NULL ? (size_t)(at - text) : 0;
    size_t count = *n;

    if (name == 0 || name > RT_MASTER_NAME_MAX) {
        return RT_EINVAL;
    }
    at++;
    for (;;) {
        size_t size = strcspn(at, ",");
        struct rt_store_endpoint *endpoint = &list[count];
        char tcp[RT_STORE_ENDPOINT_TEXT_MAX];

        if (count == RT_ENDPOINTS_MAX) {
            return RT_ELIMIT;
        }
        if (size >= sizeof(tcp) - 4) {
            return RT_EINVAL;
        }
        snprintf(tcp, sizeof(tcp), "tcp:%.*s", (int)size, at);
        if (parse(tcp, endpoint) != 0) {
            return RT_EINVAL;
        }
        memcpy(endpoint->master, text, name);
        endpoint->master[name] = '\0';
        snprintf(endpoint->text, sizeof(endpoint->text), "sentinel:%.*s@%.*s", (int)name, text, (int)size, at);
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
    if (*n >= RT_ENDPOINTS_MAX) {
        return RT_ELIMIT;
    }
    if (strncmp(text, "sentinel:", 9) == 0) {
        return parse_sentinels(text + 9, list, n);
    }
    if (parse(text, &list[*n]) != 0) {
        return RT_EINVAL;
    }
    ++*n;
    return 0;
}
