/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_link.h"

#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/base/text.h"
#include "session/core/client_machine.h"
#include "session/core/protocol.h"

#include <assert.h>

/* The agents that are known, and which of them may be asked. */

void rt_clink_move(struct rt_client *client, struct rt_clink *link, enum rt_clink_state to)
{
    static const unsigned from[] = {
        [RT_CLINK_DOWN] = ~(1U << RT_CLINK_DOWN), [RT_CLINK_DIALING] = 1 << RT_CLINK_DOWN,
        [RT_CLINK_HELLO] = 1 << RT_CLINK_DIALING, [RT_CLINK_LIVE] = 1 << RT_CLINK_HELLO | 1 << RT_CLINK_SUSPECT,
        [RT_CLINK_SUSPECT] = 1 << RT_CLINK_LIVE,
    };

    assert((from[to] >> link->state & 1) != 0);
    if (!rt_clink_live(link) || to < RT_CLINK_LIVE) {
        link->since = client->now;
    }
    link->state = to;
}

uint64_t rt_clink_interval(const struct rt_clink *link)
{
    return link->channels > 0 || link->state == RT_CLINK_SUSPECT ? RT_PING_BUSY_MS : RT_PING_IDLE_MS;
}

/* Nobody is told: what has gone is noted, and rt_client_settle() carries it to who asked there. The back-off starts
 * anew after a link that was stable. After one that never was live the host's next address is tried: this one may be
 * wrong. */
void rt_clink_down(struct rt_client *client, int slot, const char *hangup)
{
    struct rt_clink *link = &client->links[slot];
    if (link->state == RT_CLINK_DOWN) {
        return;
    }
    if (rt_clink_live(link) && client->now - link->since >= RT_CLIENT_STABLE_MS) {
        link->backoff = 0;
    }
    if (!rt_clink_live(link)) {
        link->addr_turn++;
    }
    link->hangup = hangup;
    rt_clink_move(client, link, RT_CLINK_DOWN);
    link->retry_at = client->now + rt_backoff(&link->backoff, RT_REDIAL_MIN_MS, RT_REDIAL_MAX_MS, &client->random);
    if (link->failures < UINT16_MAX) {
        link->failures++;
    }
    client->gone |= UINT64_C(1) << slot;
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
            (found == RT_NO_SLOT || rt_clink_live(link))) {
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
    client->gone &= ~(UINT64_C(1) << best); /* nobody asked there */
    link->n_addr = 0;
    link->host[0] = '\0';
    link->configured = false;
    link->drains = false;
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

/* The one that may be dialled sooner; of two that may be now, one that does not drain. */
static bool is_better(const struct rt_client *client, const struct rt_clink *link, const struct rt_clink *than)
{
    if (link->retry_at <= client->now && than->retry_at <= client->now && link->drains != than->drains) {
        return than->drains;
    }
    return link->retry_at < than->retry_at;
}

int rt_client_candidate(const struct rt_client *client, int except, unsigned turn)
{
    int best = RT_NO_SLOT;
    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        int slot = (int)((turn + i) % RT_CLIENT_AGENTS_MAX);
        const struct rt_clink *link = &client->links[slot];
        if (link->n_addr == 0 || slot == except || rt_clink_live(link)) {
            continue;
        }
        if (best == RT_NO_SLOT || is_better(client, link, &client->links[best])) {
            best = slot;
        }
    }
    return best;
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
