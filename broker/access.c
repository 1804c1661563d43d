/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/access.h"

#include "session/base/slice.h"

#include <string.h>

/* Bytes of a user's or a group's name; useradd(8) allows 32. */
#define NAME_MAX_SIZE 64

static const struct {
    const char *word;
    enum rt_client_role as;
    bool tenant; /* follows */
} roles[] = {{"vch", RT_CLIENT_VCH, true}, {"viewer", RT_CLIENT_VIEWER, true}, {"operator", RT_CLIENT_OPERATOR, false}};

/* Text from `from` up to `to`, without the blanks at both ends. */
static struct rt_slice trim(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t')) {
        from++;
    }
    while (from < to && (to[-1] == ' ' || to[-1] == '\t')) {
        to--;
    }
    return (struct rt_slice){(const uint8_t *)from, (size_t)(to - from)};
}

/* False: it is no role, or lacks its tenant, or has one too many. */
static bool parse_role(struct rt_access_rule *rule, struct rt_slice text)
{
    const uint8_t *slash = text.size == 0 ? NULL : memchr(text.data, '/', text.size);
    struct rt_slice word = {text.data, slash == NULL ? text.size : (size_t)(slash - text.data)};
    struct rt_slice tenant = {NULL, 0};

    if (slash != NULL) {
        tenant = (struct rt_slice){slash + 1, text.size - word.size - 1};
    }
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (rt_slice_equal(word, rt_slice_text(roles[i].word))) {
            rule->as = roles[i].as;
            rt_slice_copy(tenant, rule->tenant, sizeof(rule->tenant));
            return roles[i].tenant == (slash != NULL) &&
                   (slash == NULL || (tenant.size <= RT_TENANT_MAX && rt_cid_valid(tenant)));
        }
    }
    return false;
}

int rt_access_parse(struct rt_access_rule *rule, const char *text, const struct rt_access_names *names, char *why,
                    size_t why_size)
{
    const char *equals = strchr(text, '=');
    struct rt_slice whom;
    char name[NAME_MAX_SIZE + 1];
    bool group;

    memset(rule, 0, sizeof(*rule));
    if (equals == NULL) {
        return rt_fail(RT_ECONFIG, why, why_size, "\"%s\" is no rule: wants USER = ROLE, @GROUP = ROLE or * = ROLE",
                       text);
    }
    if (!parse_role(rule, trim(equals + 1, text + strlen(text)))) {
        return rt_fail(RT_ECONFIG, why, why_size,
                       "\"%s\": no role behind the =; wants vch/TENANT, viewer/TENANT or operator", text);
    }
    whom = trim(text, equals);
    group = whom.size > 0 && whom.data[0] == '@';
    whom.data += group;
    whom.size -= group;
    if (whom.size == 0 || whom.size > NAME_MAX_SIZE) {
        return rt_fail(RT_ECONFIG, why, why_size, "\"%s\": no %s before the =", text, group ? "group" : "user");
    }
    rt_slice_copy(whom, name, sizeof(name));
    rule->whom = group ? RT_ACCESS_GROUP : strcmp(name, "*") == 0 ? RT_ACCESS_ANY : RT_ACCESS_USER;
    if ((rule->whom == RT_ACCESS_GROUP && !names->group(name, &rule->id.gid)) ||
        (rule->whom == RT_ACCESS_USER && !names->user(name, &rule->id.uid))) {
        return rt_fail(RT_ECONFIG, why, why_size, "there is no %s \"%s\" on this machine", group ? "group" : "user",
                       name);
    }
    return 0;
}

bool rt_access_by_group(const struct rt_access *access)
{
    for (size_t i = 0; i < access->n; i++) {
        if (access->rules[i].whom == RT_ACCESS_GROUP) {
            return true;
        }
    }
    return false;
}

static bool is_member(const gid_t *gids, size_t n_gids, gid_t gid)
{
    for (size_t i = 0; i < n_gids; i++) {
        if (gids[i] == gid) {
            return true;
        }
    }
    return false;
}

const struct rt_access_rule *rt_access_find(const struct rt_access *access, uid_t uid, const gid_t *gids, size_t n_gids)
{
    for (size_t i = 0; i < access->n; i++) {
        const struct rt_access_rule *rule = &access->rules[i];

        if (rule->whom == RT_ACCESS_ANY || (rule->whom == RT_ACCESS_USER && rule->id.uid == uid) ||
            (rule->whom == RT_ACCESS_GROUP && is_member(gids, n_gids, rule->id.gid))) {
            return rule;
        }
    }
    return NULL;
}
