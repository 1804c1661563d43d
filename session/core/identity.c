/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/identity.h"

#include "session/base/text.h"

#include <stdio.h>
#include <string.h>

#define SCHEME "spiffe://"
#define PREFIX "/retether/"

static const struct {
    const char *word;
    size_t name_max; /* 0: it has no name */
} roles[RT_IDENTITY_ROLES] = {
    [RT_IDENTITY_VCH] = {"vch", RT_TENANT_MAX},
    [RT_IDENTITY_VIEWER] = {"viewer", RT_TENANT_MAX},
    [RT_IDENTITY_OPERATOR] = {"operator", 0},
    [RT_IDENTITY_AGENT] = {"agent", RT_HOST_MAX},
};

_Static_assert(RT_TENANT_MAX <= RT_IDENTITY_NAME_MAX && RT_HOST_MAX <= RT_IDENTITY_NAME_MAX, "any name fits");

bool rt_domain_valid(struct rt_slice domain)
{
    for (size_t i = 0; i < domain.size; i++) {
        uint8_t c = domain.data[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return domain.size > 0 && domain.size <= RT_DOMAIN_MAX;
}

static bool take(struct rt_slice *from, const char *text)
{
    size_t size = strlen(text);

    if (from->size < size || memcmp(from->data, text, size) != 0) {
        return false;
    }
    from->data += size;
    from->size -= size;
    return true;
}

/* What stands up to the next '/'. */
static struct rt_slice part(struct rt_slice of)
{
    const uint8_t *slash = of.size == 0 ? NULL : memchr(of.data, '/', of.size);

    if (slash != NULL) {
        of.size = (size_t)(slash - of.data);
    }
    return of;
}

/* Behind PREFIX. Returns NULL, or what is wrong. */
static const char *parse_role(struct rt_identity *identity, struct rt_slice rest)
{
    struct rt_slice word = part(rest);
    unsigned role = 0;

    while (role < RT_IDENTITY_ROLES && !rt_slice_equal(word, rt_slice_text(roles[role].word))) {
        role++;
    }
    if (role == RT_IDENTITY_ROLES) {
        return "no role of retether";
    }
    (void)take(&rest, roles[role].word);
    identity->role = (enum rt_identity_role)role;
    if (roles[role].name_max == 0) {
        return rest.size == 0 ? NULL : "something behind a role that has no name";
    }
    /* A name keeps to the rule of container IDs: so it has no '/', and is neither "." nor "..". */
    if (!take(&rest, "/") || rest.size > roles[role].name_max || !rt_cid_valid(rest)) {
        return "no name that a tenant or a host may have";
    }
    rt_slice_copy(rest, identity->name, sizeof(identity->name));
    return NULL;
}

int rt_identity_parse(struct rt_identity *identity, const struct rt_slice *uris, size_t n, const char *domain,
                      char *why, size_t why_size)
{
    char text[RT_IDENTITY_TEXT_MAX];
    struct rt_slice rest;
    const char *wrong;

    memset(identity, 0, sizeof(*identity));
    if (n != 1) {
        return rt_fail(RT_EAUTH, why, why_size, n == 0 ? "no URI that says who it is" : "more than one URI");
    }
    rest = uris[0];
    if (!take(&rest, SCHEME)) {
        wrong = "no identity";
    } else if (!rt_slice_equal(part(rest), rt_slice_text(domain))) {
        wrong = "another domain";
    } else {
        (void)take(&rest, domain);
        wrong = take(&rest, PREFIX) ? parse_role(identity, rest) : "no identity of retether";
    }
    if (wrong == NULL) {
        return 0;
    }
    memset(identity, 0, sizeof(*identity));
    (void)rt_text_copy(uris[0], text, sizeof(text));
    return rt_fail(RT_EAUTH, why, why_size, "%s: %s", wrong, text);
}

bool rt_identity_domain(struct rt_slice uri, char *out)
{
    struct rt_slice domain;

    if (!take(&uri, SCHEME)) {
        return false;
    }
    domain = part(uri);
    if (!rt_domain_valid(domain)) {
        return false;
    }
    rt_slice_copy(domain, out, RT_DOMAIN_MAX + 1);
    return true;
}

bool rt_identity_equal(const struct rt_identity *a, const struct rt_identity *b)
{
    return a->role == b->role && strcmp(a->name, b->name) == 0;
}

void rt_identity_label(const struct rt_identity *identity, char *out)
{
    (void)snprintf(out, RT_IDENTITY_LABEL_MAX, "%s%s%s", roles[identity->role].word,
                   identity->name[0] == '\0' ? "" : "/", identity->name);
}

void rt_identity_print(const struct rt_identity *identity, const char *domain, char *out)
{
    char label[RT_IDENTITY_LABEL_MAX];

    rt_identity_label(identity, label);
    (void)snprintf(out, RT_IDENTITY_TEXT_MAX, SCHEME "%s" PREFIX "%s", domain, label);
}
