/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client.h"

#include "session/base/list.h"
#include "session/base/number.h"
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
#include <stdio.h>
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
    for (struct rt_list *node; (node = rt_list_pop(&client->atts)) != NULL;) {
        rt_catt_free(RT_LIST_OF(node, struct rt_catt, all));
    }
    rt_creq_free_all(client);
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        free(client->links[i].closings);
    }
    free(client);
}

/* The only place from which a link that has gone is carried to who asked there. */
static void settle(struct rt_client *client)
{
    for (int slot = 0; client->gone != 0; slot = (slot + 1) % RT_CLIENT_AGENTS_MAX) {
        if ((client->gone >> slot & 1) == 0) {
            continue;
        }
        client->gone &= ~(UINT64_C(1) << slot);
        for (struct rt_list *node = client->atts.next; node != &client->atts; node = node->next) {
            rt_catt_link_down(RT_LIST_OF(node, struct rt_catt, all), slot);
        }
        rt_creq_link_down(client, slot);
    }
}

bool rt_client_next(struct rt_client *client, struct rt_client_action *action, uint64_t now)
{
    rt_client_at(client, now);
    settle(client);
    for (int i = 0; i < client->n_links; i++) {
        struct rt_clink *link = &client->links[i];
        if (link->hangup != NULL) {
            *action = (struct rt_client_action){.kind = RT_CLIENT_HANGUP, .agent = (unsigned)i, .reason = link->hangup};
            if (link->disproved) {
                memcpy(action->host, link->proved, sizeof(action->host));
            }
            link->hangup = NULL;
            link->disproved = false;
            return true;
        }
        if (link->state == RT_CLINK_DOWN && link->refs > 0 && client->now >= link->retry_at) {
            *action = (struct rt_client_action){.kind = RT_CLIENT_DIAL, .agent = (unsigned)i};
            memcpy(action->addr, link->addr[link->addr_turn % link->n_addr], sizeof(action->addr));
            memcpy(action->host, link->host, sizeof(action->host));
            action->given = link->configured && link->addr_turn % link->n_addr == 0;
            link->guessed = action->given && link->host[0] != '\0';
            rt_clink_move(client, link, RT_CLINK_DIALING);
            return true;
        }
    }
    return false;
}

void rt_client_connected(struct rt_client *client, unsigned agent, const char *proved, uint64_t now)
{
    assert(agent < RT_CLIENT_AGENTS_MAX);
    rt_client_at(client, now);
    struct rt_clink *link = &client->links[agent];
    if (link->state != RT_CLINK_DIALING) {
        return;
    }
    rt_clink_move(client, link, RT_CLINK_HELLO);
    (void)snprintf(link->proved, sizeof(link->proved), "%s", proved != NULL ? proved : "");
    link->disproved = false;
    link->due = RT_CLINK_DUE_HELLO;
    rt_pings_clear(&link->pinged);
    link->next_channel = 1;
    link->n_closings = 0;
}

void rt_client_lost(struct rt_client *client, unsigned agent, uint64_t now)
{
    assert(agent < RT_CLIENT_AGENTS_MAX);
    rt_client_at(client, now);
    client->links[agent].hangup = NULL;
    rt_clink_down(client, (int)agent, NULL);
    settle(client);
}

size_t rt_client_input(struct rt_client *client, unsigned agent, const uint8_t *data, size_t size, uint64_t now)
{
    assert(agent < RT_CLIENT_AGENTS_MAX);
    rt_client_at(client, now);
    size_t used = rt_clink_input(client, (int)agent, data, size);
    settle(client);
    return used;
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
    case RT_CLINK_SUSPECT:
        return rt_min(link->ping_at, idle);
    }
    return RT_NEVER;
}

uint64_t rt_client_deadline(const struct rt_client *client)
{
    uint64_t deadline = rt_timers_at(&client->timers);
    for (int i = 0; i < client->n_links; i++) {
        deadline = rt_min(deadline, link_deadline(&client->links[i]));
    }
    return deadline;
}

/* What silences one link may have silenced them all (the client's machine slept): each that nobody pings just now has
 * to prove itself, all at the same time. Else whoever is attached would find one after the other dead, 3 s each. */
static void suspect_all(struct rt_client *client)
{
    for (int i = 0; i < client->n_links; i++) {
        struct rt_clink *link = &client->links[i];
        if (link->state != RT_CLINK_LIVE) {
            continue;
        }
        rt_clink_move(client, link, RT_CLINK_SUSPECT);
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
    } else if (rt_clink_live(link) && link->refs == 0 && client->now - link->unused_since >= RT_CLIENT_IDLE_MS) {
        rt_clink_down(client, slot, "unused");
        link->failures = 0;
        link->backoff = 0;
    } else if (rt_clink_live(link)) {
        if (++link->missed >= RT_PINGS_MISSED_MAX) {
            rt_clink_down(client, slot, "silent");
            return;
        }
        if (link->missed > 1 && link->state == RT_CLINK_LIVE) { /* a ping has had no answer */
            suspect_all(client);
        }
        link->ping_at = client->now + rt_clink_interval(link);
        link->due |= RT_CLINK_DUE_PING;
    }
}

static void att_tick(struct rt_catt *att)
{
    if (att->state == RT_CATT_LIVE && att->client->now < att->give_up_at) {
        rt_rx_tick(att);
    } else {
        rt_catt_tick(att);
    }
    if (att->state != RT_CATT_OVER) {
        assert(rt_catt_deadline(att) > att->client->now); /* what is due has been done */
        rt_catt_wake_at(att, rt_catt_deadline(att));
    }
}

void rt_client_tick(struct rt_client *client, uint64_t now)
{
    rt_client_at(client, now);
    for (int i = 0; i < client->n_links; i++) {
        link_tick(client, i);
    }
    settle(client);
    for (struct rt_timer *timer; (timer = rt_timer_due(&client->timers, client->now)) != NULL;) {
        if (timer->kind == RT_CLIENT_TIMER_ATT) {
            att_tick(RT_LIST_OF(timer, struct rt_catt, timer));
        } else {
            rt_creq_due(client, RT_LIST_OF(timer, struct rt_creq, timer));
        }
    }
    settle(client);
}

static struct rt_catt *make(struct rt_client *client, const struct rt_attach_options *options)
{
    struct rt_catt *att = calloc(1, sizeof(*att));
    if (att == NULL) {
        return NULL;
    }
    att->client = client;
    att->options = *options;
    att->want = options->want | 1U << RT_CONTROL_UP; /* this machine reads it */
    memcpy(att->id, options->id, sizeof(att->id));
    att->home = att->alt = att->link = RT_NO_SLOT;
    att->since = client->now;
    att->seek_at = att->ask_at = att->not_found_at = RT_NEVER;
    att->wait_ms = RT_CLIENT_WAIT_MIN_MS;
    att->give_up_at = options->give_up_ms == 0 ? RT_NEVER : client->now + options->give_up_ms;
    for (unsigned s = RT_STDOUT; s <= RT_CONTROL_UP; s++) {
        bool is_control = s == RT_CONTROL_UP;

        rt_receiver_init(rt_catt_rx(att, s), is_control ? RT_CLIENT_CONTROL_WINDOW : RT_CLIENT_WINDOW,
                         is_control ? RT_CLIENT_CONTROL_WINDOW : RT_CLIENT_WINDOW_MAX);
    }
    rt_tx_begin(&att->tx[0]);
    rt_tx_begin(&att->tx[1]);
    return att;
}

int rt_client_attach(struct rt_client *client, const struct rt_attach_options *options, uint64_t now,
                     struct rt_catt **att)
{
    static const uint8_t zero[RT_ID_SIZE];
    bool named = memcmp(options->id, zero, RT_ID_SIZE) != 0;
    rt_client_at(client, now);
    if (memchr(options->cid, '\0', sizeof(options->cid)) == NULL || !rt_whole_name_valid(rt_slice_text(options->cid)) ||
        options->want >> RT_STREAMS != 0 || options->from > RT_FROM_LINES || options->n >= RT_COUNTER_MAX ||
        options->n_err >= RT_COUNTER_MAX || options->proc > RT_PROC_MAX || options->hold_ms >= RT_COUNTER_MAX ||
        options->rows > RT_CELLS_MAX || options->cols > RT_CELLS_MAX || (!named && options->steal)) {
        return RT_EINVAL;
    }
    if (client->n_atts == RT_CLIENT_ATTS_MAX) {
        return RT_ELIMIT;
    }
    struct rt_catt *made = make(client, options);
    if (made == NULL) {
        return RT_ENOMEM;
    }
    if (!named) {
        client->config.random(client->config.ctx, made->id, RT_ID_SIZE);
    }
    rt_list_push(&client->atts, &made->all);
    client->n_atts++;
    rt_catt_wake_at(made, made->give_up_at);
    rt_catt_seek(made);
    settle(client);
    *att = made;
    return 0;
}

void rt_catt_free(struct rt_catt *att)
{
    if (att == NULL) {
        return;
    }
    rt_catt_detach(att);
    rt_list_remove(&att->ready);
    rt_list_remove(&att->all);
    att->client->n_atts--;
    for (int i = 0; i < 3; i++) {
        rt_receiver_close(&att->rx[i]);
    }
    rt_order_clear(&att->order);
    for (int i = 0; i < 2; i++) {
        rt_ring_close(&att->tx[i].ring);
    }
    free(att);
}
