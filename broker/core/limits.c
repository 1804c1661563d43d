/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/limits.h"

#include "broker/core/machine.h"
#include "session/base/slice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What no tenant has more of than config.limits says, at this agent:
 *
 *     sessions    served here; and made here, while nobody has started them (made.c)
 *     clients     connections that were let in
 *     channels    of all its connections: attachments, attaches that wait, refusals that were not read
 *     waiting     attaches among them that wait for their container, and `show`s that do
 *     bytes       of those attaches; and queued to connections that are congested
 *     requests    in a second
 *
 * and no connection: channels, and requests in a second. Each is looked at before one more is made, so that who asks
 * for it is told LIMIT, and nobody else notices. Bytes are queued for whoever sends them. When a queue that grows has
 * brought its tenant over, the longest one of the tenant goes: its client reads least. Who only grew may be one that
 * reads, and that others, who have stopped, have left no room. A guest that comes is never turned away for its tenant's
 * sessions: it runs already.
 *
 * What all tenants share without a setting, no tenant has more than half of: so there is a place for others, whatever
 * one of them does.
 *
 * Requests: each REQUEST, and each ATTACH. Each connection and each tenant has a bucket of as many tokens as it may
 * make requests in a second, and that is filled in a second. `asked` is when it is full again, in milliseconds times
 * the rate: then a token is 1000, whatever the rate is. At 4 requests a second:
 *
 *     now = 50      full: asked <= 200
 *     a request     asked = 200 + 1000; three more: 4200, and the bucket is empty
 *     one more      asked + 1000 would be more than 4000 above now * 4: LIMIT
 *     now = 300     asked + 1000 = 5200, 4000 above 1200: there is one token again */

#define TOKEN UINT64_C(1000)

static const struct {
    const char *setting, *what;
} limits[RT_LIMITS] = {
    [RT_LIMIT_TENANT_SESSIONS] = {"limits.tenant_sessions", "sessions"},
    [RT_LIMIT_TENANT_CLIENTS] = {"limits.tenant_clients", "connections"},
    [RT_LIMIT_TENANT_CHANNELS] = {"limits.tenant_channels", "attachments"},
    [RT_LIMIT_TENANT_WAITING] = {"limits.tenant_waiting", "attachments and requests that wait for their container"},
    [RT_LIMIT_TENANT_BYTES] = {"limits.tenant_bytes", "bytes that wait"},
    [RT_LIMIT_TENANT_REQUESTS] = {"limits.tenant_requests", "requests in a second"},
    [RT_LIMIT_CLIENT_CHANNELS] = {"limits.client_channels", "attachments"},
    [RT_LIMIT_CLIENT_REQUESTS] = {"limits.client_requests", "requests in a second"},
};

static const struct {
    const char *name, *what;
    uint64_t all; /* of all tenants */
} shares[AG_SHARES] = {
    [AG_SHARE_HELD] = {"shared.waiting_bytes", "bytes of attachments that wait for their container",
                       RT_AGENT_HELD_BYTES_MAX},
    [AG_SHARE_LISTS] = {"shared.lists", "lists and searches under way", RT_AGENT_LISTS_MAX},
    [AG_SHARE_ENDS] = {"shared.ends", "ends of containers under way", RT_ENDS_MAX},
};

static uint64_t full_at(const struct rt_agent *agent, enum rt_limit limit)
{
    return agent->now * agent->config.limits[limit];
}

static bool unused(const struct rt_agent *agent, const struct ag_tenant *tenant)
{
    for (size_t i = 0; i < AG_TENANT_LIMITS; i++) {
        if (tenant->has[i] > 0) {
            return false;
        }
    }
    for (size_t i = 0; i < AG_SHARES; i++) {
        if (tenant->shares[i] > 0) {
            return false;
        }
    }
    return tenant->asked <= full_at(agent, RT_LIMIT_TENANT_REQUESTS);
}

static void forget(struct rt_agent *agent, struct ag_tenant *tenant)
{
    HASH_DELETE(hh, agent->tenants, tenant);
    free(tenant);
}

/* For one that comes another one that has nothing goes: so there are never more than have had something at a time. */
static void forget_another(struct rt_agent *agent, const struct ag_tenant *but)
{
    struct ag_tenant *tenant = agent->tenants;

    while (tenant != NULL && (tenant == but || !unused(agent, tenant))) {
        tenant = tenant->hh.next;
    }
    if (tenant != NULL) {
        forget(agent, tenant);
    }
}

struct ag_tenant *rt_ag_tenant_find(const struct rt_agent *agent, const char *name)
{
    struct ag_tenant *tenant;

    HASH_FIND(hh, agent->tenants, name, strlen(name), tenant);
    return tenant;
}

struct ag_tenant *rt_ag_tenant(struct rt_agent *agent, const char *name)
{
    size_t size = strlen(name);
    struct ag_tenant *tenant = rt_ag_tenant_find(agent, name);

    if (tenant != NULL) {
        return tenant;
    }
    tenant = calloc(1, sizeof(*tenant));
    if (tenant == NULL) {
        return NULL;
    }
    rt_slice_copy(rt_slice_text(name), tenant->name, sizeof(tenant->name));
    HASH_ADD_KEYPTR(hh, agent->tenants, tenant->name, size, tenant);
    if (tenant->hh.tbl == NULL) {
        free(tenant);
        return NULL;
    }
    forget_another(agent, tenant);
    return tenant;
}

bool rt_ag_account_over(struct rt_agent *agent, struct ag_account *account, enum rt_limit limit, struct ag_over *over)
{
    struct rt_agent_event event = {.kind = RT_AGENT_LIMIT, .link = account->link};
    bool of_tenant = limit < AG_TENANT_LIMITS;

    over->which = limits[limit].setting;
    over->delay = 0;
    over->most = agent->config.limits[limit];
    (void)snprintf(over->text, sizeof(over->text), "%s%s has %llu %s at this agent, the most it may have (%s)",
                   of_tenant ? "tenant " : "this connection", of_tenant ? account->tenant->name : "",
                   (unsigned long long)over->most, limits[limit].what, limits[limit].setting);
    ++*(of_tenant ? &account->tenant->over[limit] : &account->over[limit - AG_TENANT_LIMITS]);
    agent->stats.over[limit]++;
    rt_ag_event(agent, &event, "", "", over->text);
    return false;
}

bool rt_ag_tenant_room(struct rt_agent *agent, struct ag_account *account, enum rt_limit limit, uint64_t by,
                       struct ag_over *over)
{
    const struct ag_tenant *tenant = account->tenant;
    uint64_t most = agent->config.limits[limit];

    return tenant == NULL || most == 0 || tenant->has[limit] + by <= most ||
           rt_ag_account_over(agent, account, limit, over);
}

const char *rt_ag_share_name(enum ag_share share, uint64_t *most)
{
    *most = shares[share].all / 2;
    return shares[share].name;
}

bool rt_ag_share_room(struct rt_agent *agent, struct ag_tenant *tenant, rt_link_id link, enum ag_share share,
                      uint64_t by, struct ag_over *over)
{
    struct rt_agent_event event = {.kind = RT_AGENT_LIMIT, .link = link};
    uint64_t most = shares[share].all / 2;

    if (tenant == NULL || tenant->shares[share] + by <= most) {
        return true;
    }
    *over = (struct ag_over){.which = shares[share].name, .most = most};
    (void)snprintf(over->text, sizeof(over->text), "tenant %s has %llu %s, half of what this agent has for all (%s)",
                   tenant->name, (unsigned long long)most, shares[share].what, shares[share].name);
    tenant->shares_over[share]++;
    rt_ag_event(agent, &event, "", "", over->text);
    return false;
}

struct ag_account *rt_ag_account_open(struct rt_agent *agent, rt_link_id link, const char *tenant, struct ag_over *over)
{
    struct ag_account *account = calloc(1, sizeof(*account));

    over->text[0] = '\0';
    if (account == NULL) {
        return NULL;
    }
    account->link = link;
    if (tenant[0] != '\0') {
        account->tenant = rt_ag_tenant(agent, tenant);
        if (account->tenant == NULL || !rt_ag_tenant_room(agent, account, RT_LIMIT_TENANT_CLIENTS, 1, over)) {
            free(account);
            return NULL;
        }
        account->tenant->has[RT_LIMIT_TENANT_CLIENTS]++;
    }
    return account;
}

void rt_ag_account_close(struct ag_account *account, uint32_t channels)
{
    if (account != NULL && account->tenant != NULL) {
        account->tenant->has[RT_LIMIT_TENANT_CHANNELS] -= channels;
        account->tenant->has[RT_LIMIT_TENANT_BYTES] -= account->jammed;
        account->tenant->has[RT_LIMIT_TENANT_CLIENTS]--;
    }
    free(account);
}

bool rt_ag_channel_room(struct rt_agent *agent, struct ag_account *account, uint32_t has, struct ag_over *over)
{
    if (has >= agent->config.limits[RT_LIMIT_CLIENT_CHANNELS]) {
        return rt_ag_account_over(agent, account, RT_LIMIT_CLIENT_CHANNELS, over);
    }
    return rt_ag_tenant_room(agent, account, RT_LIMIT_TENANT_CHANNELS, 1, over);
}

/* Whether the bucket has a token; `asked` is brought up to now. */
static bool has_token(const struct rt_agent *agent, uint64_t *asked, enum rt_limit limit)
{
    uint64_t now = full_at(agent, limit);

    if (*asked < now) {
        *asked = now;
    }
    return agent->config.limits[limit] == 0 || *asked + TOKEN - now <= TOKEN * agent->config.limits[limit];
}

/* The bucket is empty: until it has a token. */
static bool ask_later(struct rt_agent *agent, struct ag_account *account, uint64_t asked, enum rt_limit limit,
                      struct ag_over *over)
{
    uint64_t most = agent->config.limits[limit];

    (void)rt_ag_account_over(agent, account, limit, over);
    over->delay = (asked + TOKEN - TOKEN * most - full_at(agent, limit) + most - 1) / most;
    return false;
}

bool rt_ag_may_ask(struct rt_agent *agent, struct ag_account *account, struct ag_over *over)
{
    struct ag_tenant *tenant = account->tenant;

    if (!has_token(agent, &account->asked, RT_LIMIT_CLIENT_REQUESTS)) {
        return ask_later(agent, account, account->asked, RT_LIMIT_CLIENT_REQUESTS, over);
    }
    if (tenant != NULL && !has_token(agent, &tenant->asked, RT_LIMIT_TENANT_REQUESTS)) {
        return ask_later(agent, account, tenant->asked, RT_LIMIT_TENANT_REQUESTS, over);
    }
    if (agent->config.limits[RT_LIMIT_CLIENT_REQUESTS] > 0) {
        account->asked += TOKEN;
    }
    if (tenant != NULL && agent->config.limits[RT_LIMIT_TENANT_REQUESTS] > 0) {
        tenant->asked += TOKEN;
    }
    return true;
}

bool rt_ag_account_jammed(const struct rt_agent *agent, const struct ag_account *account)
{
    uint64_t most = agent->config.limits[RT_LIMIT_TENANT_BYTES];

    return most > 0 && account->tenant != NULL && account->tenant->has[RT_LIMIT_TENANT_BYTES] > most;
}

bool rt_ag_account_jam(struct rt_agent *agent, struct ag_account *account, uint32_t queued)
{
    bool grows = queued > account->jammed;
    uint64_t *has;

    if (account->tenant == NULL) {
        return true;
    }
    has = &account->tenant->has[RT_LIMIT_TENANT_BYTES];
    *has += queued;
    *has -= account->jammed;
    account->jammed = queued;
    return !grows || !rt_ag_account_jammed(agent, account);
}

uint64_t rt_ag_asked(const struct rt_agent *agent, uint64_t asked, enum rt_limit limit)
{
    uint64_t now = full_at(agent, limit);

    return asked > now ? (asked - now + TOKEN - 1) / TOKEN : 0;
}

const char *rt_ag_limit_name(enum rt_limit limit)
{
    return limits[limit].setting;
}

struct rt_refuse_msg rt_ag_over_refusal(const struct ag_over *over)
{
    return (struct rt_refuse_msg){
        .c = RT_CLASS_LIMIT, .m = rt_slice_text(over->text), .which = rt_slice_text(over->which), .max = over->most};
}

void rt_ag_limits_free(struct rt_agent *agent)
{
    struct ag_tenant *tenant = agent->tenants;

    HASH_CLEAR(hh, agent->tenants); /* the table: each is freed below */
    while (tenant != NULL) {
        struct ag_tenant *next = tenant->hh.next;

        free(tenant);
        tenant = next;
    }
}
