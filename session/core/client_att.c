/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client_att.h"

#include "session/base/error.h"
#include "session/base/number.h"
#include "session/base/random.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/client.h"
#include "session/core/client_link.h"
#include "session/core/client_machine.h"
#include "session/core/client_stream.h"
#include "session/core/protocol.h"
#include "session/core/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Where an attachment asks (docs/architecture.md, "The client's machine"). Its container is at agent a, which is
 * `home`; b is live as well. The container moves to c, of which the client has not heard. Milliseconds:
 *
 *       0   the link to a is lost with a's host: SEEKING. b is live and is ASKED at once; a is dialled again
 *       2   b says MOVED: at c, by a claim that is newer than the one known. c is `home` now, b was asked in vain
 *       2   c is dialled, and waited for alone while its first dial lasts, for RT_CLIENT_ALT_MS at most
 *       4   the link to c is live: ASKED there
 *       5   ATTACHED: LIVE
 *
 * When b knows nothing yet it holds the ATTACH, for 500 ms the first time, and says MOVED as soon as it hears of c.
 * When it hears nothing it says RETRY_LATER, and the next agent of the round is asked. When the link to a is back
 * before any answer, b's channel is taken back and a is asked: a restarted agent has its guest sooner than anybody has
 * news. A MOVED by a claim that is not newer is an old word: it brings a back-off, else two agents that each believe
 * the other could send a client to and fro. */

static struct rt_catt **bucket(struct rt_client *client, int slot, uint32_t channel)
{
    return &client->hash[(channel * 61U + (unsigned)slot) % RT_CLIENT_HASH];
}

struct rt_catt *rt_catt_find(struct rt_client *client, int slot, uint32_t channel)
{
    for (struct rt_catt *att = *bucket(client, slot, channel); att != NULL; att = att->hash_next) {
        if (att->link == slot && att->channel == channel) {
            return att;
        }
    }
    return NULL;
}

void rt_catt_hash(struct rt_catt *att)
{
    struct rt_catt **head = bucket(att->client, att->link, att->channel);
    att->hash_next = *head;
    *head = att;
}

/* Off its link, without a word. */
void rt_catt_leave(struct rt_catt *att)
{
    if (att->link == RT_NO_SLOT) {
        return;
    }
    if (att->channel != 0) {
        struct rt_catt **at = bucket(att->client, att->link, att->channel);
        while (*at != att) {
            at = &(*at)->hash_next;
        }
        *at = att->hash_next;
    }
    rt_list_remove(&att->control);
    rt_list_remove(&att->data);
    att->client->links[att->link].channels--;
    att->channel = 0;
    rt_client_refer(att->client, &att->link, RT_NO_SLOT);
}

/* Off its link, telling the other side; there is room for it since ask(). */
static void close_channel(struct rt_catt *att, struct rt_closing closing)
{
    if (att->link != RT_NO_SLOT && att->channel != 0) {
        struct rt_clink *link = &att->client->links[att->link];
        assert(link->n_closings < link->cap_closings);
        closing.channel = att->channel;
        link->closings[link->n_closings++] = closing;
    }
    rt_catt_leave(att);
}

void rt_catt_wake(struct rt_catt *att)
{
    rt_list_push(&att->client->ready, &att->ready);
}

void rt_catt_move(struct rt_catt *att, enum rt_catt_state to)
{
    static const unsigned from[] = {
        [RT_CATT_SEEKING] = ~(1U << RT_CATT_OVER),
        [RT_CATT_ASKED] = 1 << RT_CATT_SEEKING | 1 << RT_CATT_ASKED,
        [RT_CATT_LIVE] = 1 << RT_CATT_ASKED,
        [RT_CATT_OVER] = ~0U,
    };
    assert((from[to] >> att->state & 1) != 0);
    att->state = to;
}

void rt_catt_over(struct rt_catt *att, const struct rt_catt_event *event)
{
    rt_catt_leave(att);
    rt_client_refer(att->client, &att->home, RT_NO_SLOT);
    rt_client_refer(att->client, &att->alt, RT_NO_SLOT);
    rt_catt_move(att, RT_CATT_OVER);
    att->final = *event; /* not told when EXITED was: what ended whole cannot fail any more */
    rt_timer_clear(&att->client->timers, &att->timer);
    rt_catt_wake(att);
}

void rt_catt_fail(struct rt_catt *att, uint64_t cls, const char *text)
{
    struct rt_catt_event event = {.kind = RT_CATT_FAILED, .cls = cls};
    rt_slice_copy(rt_slice_text(text[0] != '\0' ? text : rt_class_name(cls)), event.text, sizeof(event.text));
    close_channel(att, (struct rt_closing){.type = RT_DETACH});
    rt_catt_over(att, &event);
}

void rt_catt_fail_memory(struct rt_catt *att)
{
    rt_catt_fail(att, RT_CLASS_LIMIT, "memory");
}

void rt_catt_rewound(struct rt_catt *att, uint64_t stream, uint64_t from, uint64_t to)
{
    struct rt_catt_event event = {.kind = RT_CATT_REWOUND, .stream = stream, .from = from, .to = to};
    close_channel(att, (struct rt_closing){.type = RT_REFUSE, .cls = RT_CLASS_REWOUND});
    rt_catt_over(att, &event);
}

/* Room for the channel's end is made before there is a channel. */
static bool reserve_closing(struct rt_clink *link)
{
    size_t need = link->n_closings + link->channels + 1;
    if (need <= link->cap_closings) {
        return true;
    }
    size_t cap = link->cap_closings < 8 ? 8 : link->cap_closings * 2;
    struct rt_closing *more = realloc(link->closings, cap * sizeof(*more));
    if (more == NULL) {
        return false;
    }
    link->closings = more;
    link->cap_closings = cap;
    return true;
}

static void ask(struct rt_catt *att, int slot)
{
    struct rt_client *client = att->client;
    struct rt_clink *link = &client->links[slot];
    if (link->next_channel > UINT32_MAX - 2 * RT_CLIENT_ATTS_MAX) {
        rt_clink_down(client, slot, "channel numbers are used up");
        return;
    }
    if (!reserve_closing(link)) {
        rt_catt_fail_memory(att);
        return;
    }
    rt_client_refer(client, &att->link, slot);
    if (link->channels++ == 0 && link->state == RT_CLINK_LIVE) { /* the shorter interval starts here, not in the past */
        link->missed = 0;
        link->ping_at = rt_min(link->ping_at, client->now + RT_PING_BUSY_MS);
    }
    rt_catt_move(att, RT_CATT_ASKED);
    att->since = client->now;
    att->ask_at = client->now + RT_CLIENT_ASK_MS;
    att->turn = (unsigned)slot + 1;
    rt_list_push(&link->control, &att->control);
    rt_catt_wake_at(att, att->ask_at);
}

_Static_assert(RT_CLIENT_AGENTS_MAX <= 64, "a bit for each slot");

static bool in_vain(const struct rt_catt *att, int slot)
{
    return (att->in_vain >> slot & 1) != 0;
}

void rt_catt_in_vain(struct rt_catt *att, int slot, bool yes)
{
    if (slot == RT_NO_SLOT) {
        return;
    }
    att->in_vain &= ~(UINT64_C(1) << slot);
    att->in_vain |= (uint64_t)yes << slot;
}

/* An agent that is live, also as far as its pings tell, and has not been asked in this round, in turn; RT_NO_SLOT when
 * there is none. */
static int live_other(const struct rt_catt *att)
{
    for (unsigned i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        int slot = (int)((att->turn + i) % RT_CLIENT_AGENTS_MAX);
        const struct rt_clink *link = &att->client->links[slot];
        if (link->state == RT_CLINK_LIVE && !in_vain(att, slot)) {
            return slot;
        }
    }
    return RT_NO_SLOT;
}

/* An agent that a claim has just named, or whose link was just lost, is waited for alone while its first dial is under
 * way, but for asking another that is live when it was lost. */
static bool home_is_fresh(const struct rt_catt *att)
{
    if (att->home == RT_NO_SLOT || in_vain(att, att->home)) {
        return false;
    }
    return att->client->links[att->home].failures == 0 && att->client->now - att->home_since < RT_CLIENT_ALT_MS;
}

static bool home_is_redialled(const struct rt_catt *att)
{
    if (att->home == RT_NO_SLOT || in_vain(att, att->home)) {
        return false;
    }
    const struct rt_clink *home = &att->client->links[att->home];
    return home->failures == 1 && att->client->now - home->since < RT_CLIENT_ALT_MS;
}

/* Before the first ATTACHED: when every known agent refuses this client for good there is nothing to wait for. */
static bool all_refused(struct rt_catt *att)
{
    const struct rt_clink *refusing = NULL;
    for (int i = 0; i < RT_CLIENT_AGENTS_MAX; i++) {
        const struct rt_clink *link = &att->client->links[i];
        if (link->n_addr > 0 && link->refused == 0) {
            return false;
        }
        if (link->refused != 0) {
            refusing = link;
        }
    }
    if (refusing == NULL || att->attached) {
        return false;
    }
    rt_catt_fail(att, refusing->refused, refusing->refused_text);
    return true;
}

static void dial_another(struct rt_catt *att)
{
    struct rt_client *client = att->client;
    if (att->alt != RT_NO_SLOT) {
        const struct rt_clink *alt = &client->links[att->alt];
        bool trying = alt->state != RT_CLINK_DOWN && client->now - alt->since < RT_CLIENT_ALT_MS;
        if (trying || (alt->state == RT_CLINK_DOWN && alt->failures == 0)) {
            return;
        }
    }
    int slot = rt_client_candidate(client, att->home, att->turn);
    rt_client_refer(client, &att->alt, slot);
    if (slot != RT_NO_SLOT) {
        att->turn = (unsigned)slot + 1;
    }
}

/* The next live agent of this round; when there is none, another is dialled, and a new round begins. */
static int elsewhere(struct rt_catt *att)
{
    int slot = live_other(att);
    if (slot != RT_NO_SLOT) {
        rt_client_refer(att->client, &att->alt, RT_NO_SLOT);
        return slot;
    }
    if (!home_is_redialled(att)) {
        dial_another(att);
    }
    att->in_vain = 0;
    return live_other(att);
}

void rt_catt_seek(struct rt_catt *att)
{
    struct rt_client *client = att->client;
    int slot = RT_NO_SLOT;
    att->seek_at = client->now < att->not_before ? att->not_before : client->now + RT_CLIENT_ALT_MS;
    if (client->now >= att->not_before) {
        if (att->home != RT_NO_SLOT && !in_vain(att, att->home) && rt_clink_live(&client->links[att->home])) {
            slot = att->home;
        } else if (!home_is_fresh(att)) {
            slot = elsewhere(att);
        }
    }
    if (slot != RT_NO_SLOT) {
        ask(att, slot);
    } else if (!all_refused(att)) {
        rt_catt_wake_at(att, att->seek_at);
    }
}

/* Back to SEEKING. Returns the wait that its back-off asks for. */
static uint64_t back_off(struct rt_catt *att)
{
    struct rt_client *client = att->client;
    if (att->state == RT_CATT_LIVE) {
        if (att->shown == RT_CATT_UP) {
            att->shown = RT_CATT_BROKEN;
        }
        rt_catt_wake(att);
    }
    if (client->now - att->since >= RT_CLIENT_STABLE_MS || att->progress) {
        att->backoff = 0;
    }
    att->progress = false;
    rt_catt_move(att, RT_CATT_SEEKING);
    return rt_backoff(&att->backoff, RT_REDIAL_MIN_MS, RT_REDIAL_MAX_MS, &client->random);
}

void rt_catt_again(struct rt_catt *att, uint64_t delay)
{
    uint64_t wait = back_off(att);
    att->not_before = att->client->now + rt_max(delay, wait);
    rt_catt_seek(att);
}

void rt_catt_again_elsewhere(struct rt_catt *att)
{
    uint64_t wait = back_off(att);
    att->not_before = att->client->now + (wait <= RT_BACKOFF_FREE_MS ? 0 : wait);
    rt_catt_seek(att);
}

bool rt_catt_faulted(struct rt_catt *att, uint64_t cls, uint64_t stream, uint64_t at)
{
    bool before = att->fault.cls == cls && att->fault.stream == stream && att->fault.at == at;
    att->fault.cls = cls;
    att->fault.stream = stream;
    att->fault.at = at;
    return before;
}

void rt_catt_fault(struct rt_catt *att, uint64_t cls, uint64_t stream, uint64_t at)
{
    bool twice = rt_catt_faulted(att, cls, stream, at);
    close_channel(att, (struct rt_closing){.type = RT_REFUSE, .cls = cls});
    if (twice || (!att->attached && cls != RT_CLASS_JUMP)) {
        rt_catt_fail(att, cls, "the guest breaks the protocol");
    } else {
        rt_catt_again(att, 0);
    }
}

void rt_catt_link_up(struct rt_catt *att, int slot)
{
    if (att->state == RT_CATT_ASKED && att->home == slot && att->link != slot) {
        close_channel(att, (struct rt_closing){.type = RT_REFUSE, .cls = RT_CLASS_LOST});
        rt_catt_in_vain(att, slot, false);
        rt_client_refer(att->client, &att->alt, RT_NO_SLOT);
        ask(att, slot);
    } else if (att->state == RT_CATT_SEEKING) {
        if (att->home == slot) {
            rt_catt_in_vain(att, slot, false);
        }
        rt_catt_seek(att);
    }
}

void rt_catt_link_down(struct rt_catt *att, int slot)
{
    if (att->link == slot) {
        rt_catt_leave(att);
        rt_catt_in_vain(att, slot, false);
        rt_catt_again(att, 0);
    } else if (att->state == RT_CATT_SEEKING) {
        rt_catt_seek(att);
    }
}

static void give_up(struct rt_catt *att)
{
    uint64_t cls = att->last.cls != RT_CLASS_OK ? att->last.cls : RT_CLASS_LOST;
    rt_catt_fail(att, cls, att->last.text[0] != '\0' ? att->last.text : "not attached in time");
}

void rt_catt_wake_at(struct rt_catt *att, uint64_t at)
{
    if (at != RT_NEVER && (!att->timer.set || at < att->timer.at)) {
        rt_timer_set(&att->client->timers, &att->timer, at);
    }
}

uint64_t rt_catt_deadline(const struct rt_catt *att)
{
    uint64_t at = att->give_up_at;
    if (att->state == RT_CATT_SEEKING) {
        at = rt_min(at, att->seek_at);
    }
    if (att->state == RT_CATT_ASKED) {
        at = rt_min(at, att->ask_at);
    }
    for (int i = 0; att->state == RT_CATT_LIVE && i < 3; i++) {
        at = rt_min(at, att->rx[i].ack_at);
    }
    return at;
}

void rt_catt_tick(struct rt_catt *att)
{
    uint64_t now = att->client->now;
    if (now >= att->give_up_at) {
        give_up(att);
    } else if (att->state == RT_CATT_SEEKING && now >= att->seek_at) {
        rt_catt_seek(att);
    } else if (att->state == RT_CATT_ASKED && now >= att->ask_at) {
        rt_catt_in_vain(att, att->link, true);
        close_channel(att, (struct rt_closing){.type = RT_REFUSE, .cls = RT_CLASS_LOST});
        rt_catt_again(att, 0);
    }
}

void rt_catt_detach(struct rt_catt *att)
{
    if (att->state != RT_CATT_OVER) {
        close_channel(att, (struct rt_closing){.type = RT_DETACH});
    }
    rt_catt_over(att, &(struct rt_catt_event){.kind = RT_CATT_FAILED});
}
