/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_ACCESS_H
#define RETETHER_BROKER_ACCESS_H

#include "broker/core/agent.h"
#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As whom a local user comes to a unix socket for clients: the setting access.users, a list of rules. The first one
 * that fits counts; whom none fits is turned away. Pure: names are resolved by the caller's functions, once.
 *
 *     USER = ROLE       a name, or a number         alice = vch/acme     1001 = viewer/acme
 *     @GROUP = ROLE     any of the user's groups    @wheel = operator    @27 = vch/acme
 *     * = ROLE          everybody                   * = viewer/acme
 *
 * ROLE is vch/TENANT, viewer/TENANT or operator. A tenant is [A-Za-z0-9][A-Za-z0-9_.-]{0,63}. */

/* Rules; one more is an error in the settings. */
#define RT_ACCESS_RULES_MAX 32

struct rt_access_rule {
    enum { RT_ACCESS_USER, RT_ACCESS_GROUP, RT_ACCESS_ANY } whom;
    union {
        uid_t uid;
        gid_t gid;
    } id;
    enum rt_client_role as;
    char tenant[RT_TENANT_MAX + 1]; /* an operator's is "" */
};

struct rt_access {
    struct rt_access_rule rules[RT_ACCESS_RULES_MAX];
    size_t n;
};

/* What names stand for. False: there is none of that name. */
struct rt_access_names {
    bool (*user)(const char *text, uid_t *uid);
    bool (*group)(const char *text, gid_t *gid);
};

/* Reads one rule. Returns 0, or RT_ECONFIG with `why`. */
RT_MUST_CHECK int rt_access_parse(struct rt_access_rule *rule, const char *text, const struct rt_access_names *names,
                                  char *why, size_t why_size);

/* Whether there is a rule that the groups of a user matter for. */
bool rt_access_by_group(const struct rt_access *access);

/* The rule for a user with these groups, or NULL. */
const struct rt_access_rule *rt_access_find(const struct rt_access *access, uid_t uid, const gid_t *gids,
                                            size_t n_gids);

#endif
