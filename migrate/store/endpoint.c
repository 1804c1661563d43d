/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/endpoint.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct scheme {
    const char *text;
    enum { FORM_SOCKET, FORM_SERVER, FORM_SENTINELS, FORM_CLUSTER } form;
    bool tls;
} schemes[] = {
    {"redis+unix://", FORM_SOCKET, false},
    {"redis://", FORM_SERVER, false},
    {"rediss://", FORM_SERVER, true},
    {"sentinel://", FORM_SENTINELS, false},
    {"sentinel+tls://", FORM_SENTINELS, true},
    {"redis-cluster://", FORM_CLUSTER, false},
    {"redis-cluster+tls://", FORM_CLUSTER, true},
};

struct parse {
    const struct scheme *scheme;
    struct rt_store_endpoint *list;
    size_t n;
    char *why;
    size_t why_size;
};

static const struct scheme *scheme_of(const char *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncmp(text, schemes[i].text, strlen(schemes[i].text)) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

/* Takes the endpoint into the list. */
static int add(struct parse *parse, const struct rt_store_endpoint *endpoint)
{
    for (size_t i = 0; i < parse->n; i++) {
        if (strcmp(parse->list[i].text, endpoint->text) == 0) {
            return rt_fail(RT_EEXIST, parse->why, parse->why_size, "%s is there twice", endpoint->text);
        }
    }
    if (parse->n == RT_ENDPOINTS_MAX) {
        return rt_fail(RT_ELIMIT, parse->why, parse->why_size, "a store has %d addresses at most", RT_ENDPOINTS_MAX);
    }
    parse->list[parse->n++] = *endpoint;
    return 0;
}

static int parse_socket(struct parse *parse, const char *path)
{
    struct rt_store_endpoint endpoint = {.tls = false};
    char text[RT_STORE_ENDPOINT_TEXT_MAX], why[RT_STORE_ENDPOINT_TEXT_MAX];

    if (path[0] != '/' || snprintf(text, sizeof(text), "unix:%s", path) >= (int)sizeof(text) ||
        rt_endpoint_parse(&endpoint.at, text, why, sizeof(why)) != 0) {
        return rt_fail(RT_EINVAL, parse->why, parse->why_size, "wants redis+unix:///PATH, of %zu bytes at most",
                       sizeof(endpoint.at.addr.un.sun_path) - 1);
    }
    (void)snprintf(endpoint.text, sizeof(endpoint.text), "%s%s", parse->scheme->text, path);
    return add(parse, &endpoint);
}

static bool has_port(const struct rt_endpoint *at)
{
    return at->size == 0 || (at->addr.any.sa_family == AF_INET ? at->addr.in4.sin_port : at->addr.in6.sin6_port) != 0;
}

/* The `size` bytes at `text` are HOST:PORT; name: the Sentinels', or "". */
static int parse_host(struct parse *parse, const char *text, size_t size, const char *name, size_t name_size)
{
    struct rt_store_endpoint endpoint = {.tls = parse->scheme->tls, .cluster = parse->scheme->form == FORM_CLUSTER};
    char item[RT_STORE_ENDPOINT_TEXT_MAX], why[RT_STORE_ENDPOINT_TEXT_MAX];
    bool bracket = text[0] == '[';
    size_t end = size;

    /* As tls: is written, which alone may have a name; that it is TLS stands apart. */
    if (snprintf(item, sizeof(item), "tls:%.*s", (int)size, text) >= (int)sizeof(item) ||
        snprintf(endpoint.text, sizeof(endpoint.text), "%s%.*s%s%.*s", parse->scheme->text, (int)name_size, name,
                 name_size > 0 ? "@" : "", (int)size, text) >= (int)sizeof(endpoint.text) ||
        rt_endpoint_parse(&endpoint.at, item, why, sizeof(why)) != 0 || !has_port(&endpoint.at)) {
        return rt_fail(RT_EINVAL, parse->why, parse->why_size,
                       "\"%.*s\": wants HOST:PORT, HOST being a name, an IPv4 address, or an IPv6 address in brackets",
                       (int)size, text);
    }
    endpoint.at.kind = RT_ENDPOINT_TCP;
    while (text[end - 1] != ':') {
        end--;
    }
    (void)snprintf(endpoint.host, sizeof(endpoint.host), "%.*s", (int)(end - 1 - (bracket ? 2 : 0)), text + bracket);
    memcpy(endpoint.master, name, name_size);
    return add(parse, &endpoint);
}

/* HOST:PORT,HOST:PORT,... */
static int parse_hosts(struct parse *parse, const char *text, const char *name, size_t name_size)
{
    size_t size = strcspn(text, ",");
    int rc = parse_host(parse, text, size, name, name_size);

    while (rc == 0 && text[size] != '\0') {
        text += size + 1;
        size = strcspn(text, ",");
        rc = parse_host(parse, text, size, name, name_size);
    }
    return rc;
}

static int parse_sentinels(struct parse *parse, const char *text)
{
    const char *at = strchr(text, '@');
    size_t name = at != NULL ? (size_t)(at - text) : 0;

    if (name == 0 || name > RT_MASTER_NAME_MAX || strchr(at + 1, '@') != NULL || memchr(text, ':', name) != NULL) {
        return rt_fail(
            RT_EINVAL, parse->why, parse->why_size,
            "wants %sNAME@HOST:PORT,HOST:PORT,...: NAME, of %d bytes at most, is what the Sentinels call the "
            "primary; user and password go into store.sentinel_password_file",
            parse->scheme->text, RT_MASTER_NAME_MAX);
    }
    return parse_hosts(parse, at + 1, text, name);
}

static int no_secret(struct parse *parse)
{
    return rt_fail(RT_EINVAL, parse->why, parse->why_size,
                   "an address has neither user nor password, which others would see: they go into "
                   "store.password_file");
}

int rt_store_endpoint_parse(const char *text, struct rt_store_endpoint list[RT_ENDPOINTS_MAX], size_t *n, char *why,
                            size_t why_size)
{
    struct parse parse = {scheme_of(text), list, *n, why, why_size};
    bool secret = strchr(text, '@') != NULL; /* it may have a password */
    int rc;

    if (parse.scheme == NULL) {
        return rt_fail(
            RT_EINVAL, why, why_size,
            "\"%.80s\" is no store: wants redis://HOST:PORT, rediss://HOST:PORT, redis+unix:///PATH, "
            "sentinel://NAME@HOST:PORT,..., sentinel+tls://NAME@HOST:PORT,..., redis-cluster://HOST:PORT,... "
            "or redis-cluster+tls://HOST:PORT,...",
            secret ? "..." : text);
    }
    text += strlen(parse.scheme->text);
    switch (parse.scheme->form) {
    case FORM_SOCKET:
        rc = parse_socket(&parse, text);
        break;
    case FORM_SENTINELS:
        rc = parse_sentinels(&parse, text);
        break;
    case FORM_CLUSTER:
        rc = secret ? no_secret(&parse) : parse_hosts(&parse, text, "", 0);
        break;
    default:
        rc = secret ? no_secret(&parse) : parse_host(&parse, text, strlen(text), "", 0);
        break;
    }
    *n = rc == 0 ? parse.n : *n;
    return rc;
}

int rt_store_endpoints_parse(const char *const *texts, size_t n_texts, struct rt_store_endpoint list[RT_ENDPOINTS_MAX],
                             size_t *n, char *why, size_t why_size)
{
    int rc = 0;

    *n = 0;
    for (size_t i = 0; i < n_texts && rc == 0; i++) {
        rc = rt_store_endpoint_parse(texts[i], list, n, why, why_size);
    }
    for (size_t i = 1; i < *n && rc == 0; i++) {
        bool names_others = list[0].master[0] != '\0' || list[0].cluster;

        if (strcmp(list[i].master, list[0].master) != 0 || list[i].cluster != list[0].cluster ||
            (names_others && list[i].tls != list[0].tls)) {
            rc = rt_fail(RT_ECONFIG, why, why_size,
                         "%s and %s do not go together: wants servers, or the Sentinels of one primary, or nodes of "
                         "one cluster, all of them with TLS or none",
                         list[0].text, list[i].text);
        }
    }
    return rc;
}

int rt_store_endpoint_of(const char *host, const char *port, bool tls, struct rt_store_endpoint *endpoint)
{
    struct rt_store_endpoint list[RT_ENDPOINTS_MAX];
    char text[RT_STORE_ENDPOINT_TEXT_MAX], why[RT_STORE_ENDPOINT_TEXT_MAX];
    bool v6 = strchr(host, ':') != NULL;
    size_t n = 0;
    int size = snprintf(text, sizeof(text), "%s%s%s%s:%s", tls ? "rediss://" : "redis://", v6 ? "[" : "", host,
                        v6 ? "]" : "", port);

    if (size >= (int)sizeof(text) || rt_store_endpoint_parse(text, list, &n, why, sizeof(why)) != 0) {
        return RT_EINVAL;
    }
    *endpoint = list[0];
    return 0;
}
