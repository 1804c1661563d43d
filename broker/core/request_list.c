/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/owner.h"
#include "broker/core/request.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/units.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* REQUEST `list`: records, a page of the store's at a time. What does not fit is left out here, so a client that wants
 * few of a million is sent few, and neither it nor this agent holds more than a page.
 *
 * A list in pages ends early, and says where: the next REQUEST goes on there, at any agent. So a client that stands
 * still between two of them, a pager's, say, keeps nobody waiting. */

/* A list in pages ends after so long, whatever it has found. */
#define PAGE_MS 1000

/* ---- places: "since host member" ---- */

static size_t write_place(const struct rt_store_cursor *cursor, char out[RT_PLACE_MAX + 1])
{
    return (size_t)snprintf(out, RT_PLACE_MAX + 1, "%" PRIu64 " %s %s", cursor->since_ms, cursor->host, cursor->member);
}

/* Takes the bytes up to the next blank, or all; they must be printable. */
static bool take_word(struct rt_slice *rest, char *out, size_t cap)
{
    const uint8_t *blank = rest->size == 0 ? NULL : memchr(rest->data, ' ', rest->size);
    struct rt_slice word = {rest->data, blank == NULL ? rest->size : (size_t)(blank - rest->data)};

    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] <= ' ' || word.data[i] > '~') {
            return false;
        }
    }
    if (word.size >= cap) {
        return false;
    }
    rt_slice_copy(word, out, cap);
    rest->data += word.size + (blank != NULL);
    rest->size -= word.size + (blank != NULL);
    return true;
}

/* It comes from the client, who may have written it himself: a place is among the names that the client may list. */
static bool read_place(struct rt_slice text, const struct rt_key *key, struct rt_store_cursor *cursor)
{
    char since[24], lead[sizeof(cursor->member)];

    memset(cursor, 0, sizeof(*cursor));
    if (text.size == 0) {
        return true;
    }
    if (!take_word(&text, since, sizeof(since)) ||
        !rt_read_number(rt_slice_text(since), RT_COUNTER_MAX - 1, &cursor->since_ms) ||
        !take_word(&text, cursor->host, sizeof(cursor->host)) || cursor->host[0] == '\0' ||
        !take_word(&text, cursor->member, sizeof(cursor->member)) || text.size > 0) {
        return false;
    }
    (void)snprintf(lead, sizeof(lead), "%s/", key->tenant);
    return cursor->member[0] == '\0' || key->tenant[0] == '\0' || strncmp(cursor->member, lead, strlen(lead)) == 0;
}

/* ---- the list ---- */

bool rt_ag_ask_list_begin(struct rt_agent *agent, struct ag_ask *ask, const struct rt_request_msg *msg)
{
    ask->list = calloc(1, sizeof(*ask->list));
    if (ask->list == NULL) {
        rt_ag_ask_fail(agent, ask, RT_ENOMEM);
        return false;
    }
    if (!read_place(msg->after, &ask->key, &ask->cursor)) {
        rt_ag_ask_finish(agent, ask, RT_CLASS_INVALID, "after is no place of a list");
        return false;
    }
    ask->list->states = msg->states;
    ask->list->older = msg->older;
    ask->list->page = msg->page;
    ask->list->until = agent->now + PAGE_MS;
    rt_slice_copy(msg->label, ask->list->label, sizeof(ask->list->label));
    return true;
}

/* The next REPLY, of the records from `at` on. Returns how many it is about. */
static size_t fill(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply, size_t at)
{
    struct rt_reply_msg *out = agent->reply;
    size_t from = at;

    memset(out, 0, sizeof(*out));
    for (; at < reply->n_records && out->n_recs < AG_REPLY_RECORDS; at++) {
        rt_ag_owner_check(agent, &reply->records[at]);
        rt_ag_fill_record(agent, ask->link, &reply->records[at], &out->recs[out->n_recs]);
        out->n_recs += rt_ag_record_fits(agent, ask->list, &out->recs[out->n_recs]);
    }
    ask->list->told += out->n_recs;
    return at - from;
}

void rt_ag_ask_list_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    const struct ag_list *list = ask->list;
    struct rt_reply_msg *out = agent->reply;
    char place[RT_PLACE_MAX + 1];
    size_t at = 0;

    if (ask->local) {
        rt_ag_ask_list_own(agent, ask);
        return;
    }
    if (reply->error != 0) {
        rt_ag_ask_fail(agent, ask, reply->error == RT_ENOTFOUND ? RT_EUNAVAIL : reply->error);
        return;
    }
    ask->cursor = reply->cursor;
    do {
        at += fill(agent, ask, reply, at);
        out->more = at < reply->n_records || ask->cursor.host[0] != '\0';
        if (at == reply->n_records && out->more && list->page > 0 &&
            (list->told >= list->page || agent->now >= list->until)) {
            out->next = (struct rt_slice){(const uint8_t *)place, write_place(&ask->cursor, place)};
            out->more = false;
        }
        rt_ag_ask_send(agent, ask->link, ask->request, out);
        if (!out->more) {
            rt_ag_ask_free(agent, ask);
            return;
        }
    } while (at < reply->n_records);
    rt_ag_ask_more(agent, ask);
}
