/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client.h"

#include "session/base/list.h"
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/base/timer.h"
#include "session/core/attachment.h"
#include "session/core/client_att.h"
#include "session/core/client_link.h"
#include "session/core/client_machine.h"
#include "session/core/client_request.h"
#include "session/core/pings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct rt_client *rt_client_new(const struct rt_client_config *config)
{
    struct rt_client *client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return NULL;
    }
    client->config = *config;
    client->config.name[RT_HOST_MAX] = '\0';
    client->random = config->seed;
    rt_list_init(&client->atts);
    rt_list_init(&client->requests);
    rt_list_init(&client->ready);
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        rt_list_init(&client->links[i].control);
        rt_list_init(&client->links[i].data);
    }
    return client;
}

void rt_client_free(struct rt_client *client)
{
    if (client == NULL) {
        return;
    }
    while (!rt_list_empty(&client->atts)) {
        rt_catt_free(RT_LIST_OF(client->atts.next, struct rt_catt, all));
    }
    rt_creq_free_all(client);
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        free(client->links[i].closings);
    }
    free(client);
}

void rt_client_refer(struct rt_client *client, int *slot, int to)
{
    if (to >= 0) {
        client->links[to].refs++;
    }
    if (*slot >= 0) {
        struct rt_clink *old = &client->links[*slot];
        assert(old->refs > 0);
        if (--old->refs == 0) {
            old->unused_since = client->now;
        }
    }
    *slot = to;
}

static bool link_has_addr(const struct rt_clink *link, struct rt_slice addr)
{
    for (size_t i = 0; i < link->n_addr; i++) {
        if (rt_slice_equal(rt_slice_text(link->addr[i]), addr)) {
            return true;
        }
    }
    return false;
}

static int find_agent(const struct rt_client *client, struct rt_slice host, const struct rt_slice *addr, size_t n_addr)
{
    int found = RT_NO_SLOT; /* two addresses of one host may have been given: rather the live one */
    for (int i = 0; host.size > 0 && i < RT_CLIENT_AGENTS_MAX; i++) {
        const struct rt_clink *link = &client->links[i];
        if (link->n_addr > 0 && rt_slice_equal(rt_slice_text(link->host), host) &&
            (found == RT_NO_SLOT || link->state == RT_CLINK_LIVE)) {
            found = i;
        }
    }
    if (found != RT_NO_SLOT) {
        return found;
    }
    /* An address counts with its host only: two may name the same path, each on a machine of its own. */
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        for (size_t k = 0; k < n_addr; k++) {
            if (addr[k].size > 0 && link_has_addr(&client->links[i], addr[k]) &&
                (host.size == 0 || client->links[i].host[0] == '\0')) {
                return i;
            }
        }
    }
    return RT_NO_SLOT;
}

/* A slot for one more agent: a free one, else the longest unused that nothing names, learnt ones first. */
static int make_slot(struct rt_client *client)
{
    int best = RT_NO_SLOT;
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        const struct rt_clink *link = &client->links[i];
        if (link->n_addr == 0) {
            if (i >= client->n_links) {
                client->n_links = i + 1;
            }
            return i;
        }
        if (link->refs > 0) {
            continue;
        }
        const struct rt_clink *other = best >= 0 ? &client->links[best] : NULL;
        if (other == NULL || (other->configured && !link->configured) ||
            (other->configured == link->configured && link->unused_since < other->unused_since)) {
            best = i;
        }
    }
    if (best == RT_NO_SLOT) {
        return RT_NO_SLOT;
    }
    struct rt_clink *link = &client->links[best];
    rt_clink_down(client, best, "replaced by another agent");
    link->n_addr = 0;
    link->host[0] = '\0';
    link->configured = false;
    link->failures = 0;
    link->refused = 0;
    link->backoff = 0;
    link->retry_at = 0;
    link->addr_turn = 0;
    return best;
}

/* What an agent says of another replaces what was learnt before; an address given by the application stays first. */
static void set_addresses(struct rt_clink *link, const struct rt_slice *addr, size_t n_addr)
{
    size_t n = link->configured ? 1 : 0;
    for (size_t i = 0; i < n_addr && n < RT_ADDRS_MAX; i++) {
        if (addr[i].size == 0 || addr[i].size > RT_ADDR_MAX) {
            continue;
        }
        if (link->configured && rt_slice_equal(rt_slice_text(link->addr[0]), addr[i])) {
            continue;
        }
        (void)rt_text_copy(addr[i], link->addr[n++], sizeof(link->addr[0]));
    }
    if (n > 0) {
        link->n_addr = n;
    }
}

int rt_client_learn(struct rt_client *client, struct rt_slice host, const struct rt_slice *addr, size_t n_addr)
{
    int slot = find_agent(client, host, addr, n_addr);
    bool dialable = false;
    for (size_t i = 0; i < n_addr; i++) {
        dialable = dialable || (addr[i].size > 0 && addr[i].size <= RT_ADDR_MAX);
    }
    if (slot == RT_NO_SLOT && dialable) {
        slot = make_slot(client);
        if (slot >= 0) {
            client->links[slot].unused_since = client->now;
        }
    }
    if (slot == RT_NO_SLOT) {
        return RT_NO_SLOT;
    }
    if (host.size > 0) {
        (void)rt_text_copy(host, client->links[slot].host, sizeof(client->links[slot].host));
    }
    set_addresses(&client->links[slot], addr, n_addr);
    return slot;
}

int rt_client_add_agent(struct rt_client *client, const char *addr)
{
    struct rt_slice slice = rt_slice_text(addr);
    if (slice.size == 0 || slice.size > RT_ADDR_MAX) {
        return RT_EINVAL;
    }
    int slot = find_agent(client, rt_slice_text(""), &slice, 1);
    if (slot == RT_NO_SLOT) {
        slot = make_slot(client);
    }
    if (slot == RT_NO_SLOT) {
        return RT_ELIMIT;
    }
    struct rt_clink *link = &client->links[slot];
    if (link->n_addr == 0) {
        link->unused_since = client->now;
    }
    if (!link->configured) {
        rt_slice_copy(slice, link->addr[0], sizeof(link->addr[0]));
        link->n_addr = link->n_addr > 0 ? link->n_addr : 1;
        link->configured = true;
    }
    return 0;
}

int rt_client_candidate(const struct rt_client *client, int except, unsigned turn)
{
    int best = RT_NO_SLOT;
    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        int slot = (int)((turn + i) % RT_CLIENT_AGENTS_MAX);
        const struct rt_clink *link = &client->links[slot];
        if (link->n_addr == 0 || slot == except || link->state == RT_CLINK_LIVE) {
            continue;
        }
        if (best == RT_NO_SLOT || link->retry_at < client->links[best].retry_at) {
            best = slot;
        }
    }
    return best;
}

void rt_clink_down(struct rt_client *client, int slot, const char *hangup)
{
    struct rt_clink *link = &client->links[slot];
    if (link->state == RT_CLINK_DOWN) {
        return;
    }
    if (link->state == RT_CLINK_LIVE && client->now - link->since >= RT_CLIENT_STABLE_MS) {
        link->backoff = 0;
    }
    if (link->state != RT_CLINK_LIVE) {
        link->addr_turn++;
    }
    link->hangup = hangup;
    link->state = RT_CLINK_DOWN;
    link->since = client->now;
    link->retry_at = client->now + rt_backoff(&link->backoff, RT_REDIAL_MIN_MS, RT_REDIAL_MAX_MS, &client->random);
    if (link->failures < UINT16_MAX) {
        link->failures++;
    }
    link->n_closings = 0;
    for (struct rt_list *node = client->atts.next; node != &client->atts; node = node->next) {
        rt_catt_link_down(RT_LIST_OF(node, struct rt_catt, all), slot);
    }
    rt_creq_link_down(client, slot);
}

bool rt_client_next(struct rt_client *client, struct rt_client_action *action, uint64_t now)
{
    rt_client_at(client, now);
    for (int i = 0; i < client->n_links; i++) {
        struct rt_clink *link = &client->links[i];
        if (link->hangup != NULL) {
            *action = (struct rt_client_action){.kind = RT_CLIENT_HANGUP, .agent = (unsigned)i, .reason = link->hangup};
            link->hangup = NULL;
            return true;
        }
        if (link->state == RT_CLINK_DOWN && link->refs > 0 && client->now >= link->retry_at) {
            *action = (struct rt_client_action){.kind = RT_CLIENT_DIAL, .agent = (unsigned)i};
            memcpy(action->addr, link->addr[link->addr_turn % link->n_addr], sizeof(action->addr));
            link->state = RT_CLINK_DIALING;
            link->since = client->now;
            return true;
        }
    }
    return false;
}

void rt_client_connected(struct rt_client *client, unsigned agent, uint64_t now)
{
    assert(agent < RT_CLIENT_AGENTS_MAX);
    rt_client_at(client, now);
    struct rt_clink *link = &client->links[agent];
    if (link->state != RT_CLINK_DIALING) {
        return;
    }
    link->state = RT_CLINK_HELLO;
    link->since = client->now;
    link->due = RT_CLINK_DUE_HELLO;
    rt_pings_clear(&link->pinged);
    link->suspect = false;
    link->next_channel = 1;
}

void rt_client_lost(struct rt_client *client, unsigned agent, uint64_t now)
{
    assert(agent < RT_CLIENT_AGENTS_MAX);
    rt_client_at(client, now);
    client->links[agent].hangup = NULL;
    rt_clink_down(client, (int)agent, NULL);
}

static uint64_t link_deadline(const struct rt_clink *link)
{
    uint64_t idle = link->refs == 0 ? link->unused_since + RT_CLIENT_IDLE_MS : RT_NEVER;
    switch (link->state) {
    case RT_CLINK_DOWN:
        return link->refs > 0 ? link->retry_at : RT_NEVER;
    case RT_CLINK_DIALING:
        return RT_NEVER;
    case RT_CLINK_HELLO:
        return link->since + RT_HANDSHAKE_TIMEOUT_MS;
    case RT_CLINK_LIVE:
        return link->ping_at < idle ? link->ping_at : idle;
    }
    return RT_NEVER;
}

uint64_t rt_client_deadline(const struct rt_client *client)
{
    uint64_t deadline = rt_timers_at(&client->timers);
    for (int i = 0; i < client->n_links; i++) {
        uint64_t at = link_deadline(&client->links[i]);
        if (at < deadline) {
            deadline = at;
        }
    }
    return deadline;
}

/* What silences one link may have silenced them all (the client's machine slept): each that nobody pings just now has
 * to prove itself, all at the same time. Else whoever is attached would find one after the other dead, 3 s each. */
static void suspect_all(struct rt_client *client)
{
    for (int i = 0; i < client->n_links; i++) {
        struct rt_clink *link = &client->links[i];
        if (link->state != RT_CLINK_LIVE || link->suspect) {
            continue;
        }
#ifdef RT_MUTANT_SILENT_ALONE
        continue;
#endif
        link->suspect = true;
        if (link->channels == 0 && link->missed < 2) {
            link->missed = 0;
            link->ping_at = client->now;
        }
    }
}

static void link_tick(struct rt_client *client, int slot)
{
    struct rt_clink *link = &client->links[slot];
    if (client->now < link_deadline(link)) {
        return;
    }
    if (link->state == RT_CLINK_HELLO) {
        rt_clink_down(client, slot, "no welcome within 5 s");
    } else if (link->state == RT_CLINK_LIVE && link->refs == 0 &&
               client->now - link->unused_since >= RT_CLIENT_IDLE_MS) {
        rt_clink_down(client, slot, "unused");
        link->failures = 0;
        link->backoff = 0;
    } else if (link->state == RT_CLINK_LIVE) {
        if (++link->missed >= RT_PINGS_MISSED_MAX) {
            rt_clink_down(client, slot, "silent");
            return;
        }
        if (link->missed > 1 && !link->suspect) { /* a ping has had no answer */
            suspect_all(client);
        }
        link->ping_at = client->now + rt_clink_interval(link);
        link->due |= RT_CLINK_DUE_PING;
    }
}

void rt_client_tick(struct rt_client *client, uint64_t now)
{
    rt_client_at(client, now);
    for (int i = 0; i < client->n_links; i++) {
        link_tick(client, i);
    }
    for (struct rt_timer *timer; (timer = rt_timer_due(&client->timers, client->now)) != NULL;) {
        if (timer->kind == RT_CLIENT_TIMER_ATT) {
            rt_catt_tick(RT_LIST_OF(timer, struct rt_catt, timer));
        } else {
            rt_creq_due(client, RT_LIST_OF(timer, struct rt_creq, timer));
        }
    }
}
