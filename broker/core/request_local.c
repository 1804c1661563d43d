/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/end.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/served.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/timer.h"
#include "session/core/msg_request.h"

#include <stdlib.h>
#include <string.h>

/* REQUEST `list` with `local`: what this agent serves, and whose ends lie on its disk, asked of no store. In the order
 * of the names; each page is looked for anew behind the last name of the one before, so that nothing is kept between
 * them but that name.
 *
 * What it costs is bounded, and is the asker's own: the sessions of its tenant stand together (served.h), and are found
 * without a look at others'. A page is at most so many records, and looks; and so many pages are made in a millisecond,
 * for all that ask, by turns. Those that are left wait:
 *
 *     at 0 ms   requests 1 to 6 come, each of 40 sessions    pages 1a 2a 3a 4a
 *     at 1 ms   the timer                                    5a 6a 1b 2b
 *     at 2 ms                                                3b 4b 5b 6b, and so on
 */

/* Sessions that one page looks at: an operator's list by a prefix finds few among many. */
#define LOOKS_MAX 256
#define PAGES_MAX 4
#define TURN_MS 1

static bool fits(const struct ag_ask *ask, const struct rt_key *key)
{
    return (ask->key.tenant[0] == '\0' || strcmp(ask->key.tenant, key->tenant) == 0) &&
           strncmp(key->cid, ask->key.cid, strlen(ask->key.cid)) == 0 && rt_ag_key_compare(key, &ask->found[0]) > 0;
}

/* Whether neither this one nor any that follows it is asked for: those of a tenant that begin alike stand together. */
static bool is_behind(const struct ag_ask *ask, const struct rt_key *key)
{
    return ask->key.tenant[0] != '\0' && !fits(ask, key);
}

/* Takes the key into the page if it is one of its lowest, once. */
static void take(const struct ag_ask *ask, const struct rt_key *key, struct rt_key page[AG_REPLY_RECORDS], size_t *n)
{
    size_t at = *n;
    int order = 1;

    if (!fits(ask, key)) {
        return;
    }
    while (at > 0 && (order = rt_ag_key_compare(key, &page[at - 1])) < 0) {
        at--;
    }
    if ((at > 0 && order == 0) || at == AG_REPLY_RECORDS) {
        return;
    }
    *n += *n < AG_REPLY_RECORDS;
    memmove(&page[at + 1], &page[at], (*n - at - 1) * sizeof(page[0]));
    page[at] = *key;
}

/* Where the page begins among those that are served: behind the page before, or at the first that may fit. */
static size_t first(const struct rt_agent *agent, const struct ag_ask *ask)
{
    bool begun = rt_ag_key_compare(&ask->key, &ask->found[0]) <= 0;
    size_t at = rt_ag_served_from(agent, begun ? &ask->found[0] : &ask->key);

    if (begun && at < agent->stats.served) {
        const struct rt_key key = rt_ag_session_key(agent->served[at]);
        at += rt_ag_key_compare(&key, &ask->found[0]) == 0;
    }
    return at;
}

/* Fills the next page. Returns whether there may be more behind it. */
static bool next_page(const struct rt_agent *agent, struct ag_ask *ask, struct rt_key page[AG_REPLY_RECORDS], size_t *n)
{
    struct rt_key last = ask->found[0];
    size_t at = first(agent, ask), looks = 0;

    *n = 0;
    if (ask->host[0] != '\0' && strcmp(ask->host, agent->config.host) != 0) {
        return false;
    }
    for (; at < agent->stats.served && *n < AG_REPLY_RECORDS && looks < LOOKS_MAX; at++, looks++) {
        last = rt_ag_session_key(agent->served[at]);
        if (is_behind(ask, &last)) {
            at = agent->stats.served;
            break;
        }
        take(ask, &last, page, n);
    }
    for (struct rt_list *node = agent->ends.next; node != &agent->ends; node = node->next) {
        const struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);
        if (end->disk == AG_DISK_KEPT && (at == agent->stats.served || rt_ag_key_compare(&end->key, &last) <= 0)) {
            take(ask, &end->key, page, n);
        }
    }
    ask->found[0] = *n == AG_REPLY_RECORDS ? page[*n - 1] : last;
    return *n == AG_REPLY_RECORDS || at < agent->stats.served;
}

static void send_page(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_store_record *records = malloc(AG_REPLY_RECORDS * sizeof(*records));
    struct rt_key page[AG_REPLY_RECORDS];
    struct rt_reply_msg *out = agent->reply;
    size_t n;

    if (records == NULL) {
        rt_ag_ask_fail(agent, ask, RT_ENOMEM);
        return;
    }
    memset(out, 0, sizeof(*out));
    out->more = next_page(agent, ask, page, &n);
    out->local = rt_slice_text(agent->config.host);
    for (size_t i = 0; i < n; i++) {
        if (rt_ag_own_record(agent, &page[i], &records[i])) {
            rt_ag_fill_record(agent, ask->link, &records[i], &out->recs[out->n_recs]);
            out->n_recs += rt_ag_record_fits(agent, ask->list, &out->recs[out->n_recs]);
        }
    }
    rt_ag_ask_send(agent, ask->link, ask->request, out);
    free(records);
    if (!out->more) {
        rt_ag_ask_free(agent, ask);
    } else if (ask->link->congested) {
        ask->parked = true;
    } else {
        rt_list_push(&agent->locals, &ask->in_session);
    }
}

static void turn(struct rt_agent *agent)
{
    struct rt_list *node;

    while (agent->local_pages < PAGES_MAX && (node = rt_list_pop(&agent->locals)) != NULL) {
        agent->local_pages++;
        send_page(agent, RT_LIST_OF(node, struct ag_ask, in_session));
    }
    if (agent->local_pages > 0 && !agent->local_timer.set) {
        rt_timer_set(&agent->timers, &agent->local_timer, agent->now + TURN_MS);
    }
}

void rt_ag_ask_list_own(struct rt_agent *agent, struct ag_ask *ask)
{
    rt_list_push(&agent->locals, &ask->in_session);
    turn(agent);
}

void rt_ag_locals_timer(struct rt_agent *agent)
{
    agent->local_pages = 0;
    turn(agent);
}
