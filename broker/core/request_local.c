/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/end.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/core/msg_request.h"

#include <stdlib.h>
#include <string.h>

/* REQUEST `list` with `local`: what this agent serves, and whose ends lie on its disk, asked of no store. In the order
 * of the names; each page is looked for anew behind the last name of the one before, so that nothing is kept between
 * them but that name. */

/* By tenant, then by ID. */
static int compare(const struct rt_key *a, const struct rt_key *b)
{
    int order = strcmp(a->tenant, b->tenant);

    return order != 0 ? order : strcmp(a->cid, b->cid);
}

static bool fits(const struct ag_ask *ask, const struct rt_key *key)
{
    return (ask->key.tenant[0] == '\0' || strcmp(ask->key.tenant, key->tenant) == 0) &&
           strncmp(key->cid, ask->key.cid, strlen(ask->key.cid)) == 0 && compare(key, &ask->found[0]) > 0;
}

/* Takes the key into the page if it is one of its lowest, once. */
static void take(const struct ag_ask *ask, const struct rt_key *key, struct rt_key page[AG_REPLY_RECORDS], size_t *n)
{
    size_t at = *n;
    int order = 1;

    if (!fits(ask, key)) {
        return;
    }
    while (at > 0 && (order = compare(key, &page[at - 1])) < 0) {
        at--;
    }
    if ((at > 0 && order == 0) || at == AG_REPLY_RECORDS) {
        return;
    }
    *n += *n < AG_REPLY_RECORDS;
    memmove(&page[at + 1], &page[at], (*n - at - 1) * sizeof(page[0]));
    page[at] = *key;
}

static size_t next_page(struct rt_agent *agent, const struct ag_ask *ask, struct rt_key page[AG_REPLY_RECORDS])
{
    struct ag_session *session, *next;
    size_t n = 0;

    if (ask->host[0] != '\0' && strcmp(ask->host, agent->config.host) != 0) {
        return 0;
    }
    HASH_ITER(hh, agent->sessions, session, next)
    {
        if (session->guest != NULL) {
            struct rt_key key = rt_ag_session_key(session);
            take(ask, &key, page, &n);
        }
    }
    for (struct rt_list *node = agent->ends.next; node != &agent->ends; node = node->next) {
        const struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);
        if (end->disk == AG_DISK_KEPT) {
            take(ask, &end->key, page, &n);
        }
    }
    return n;
}

void rt_ag_ask_list_own(struct rt_agent *agent, struct ag_ask *ask)
{
    struct rt_store_record *records = malloc(AG_REPLY_RECORDS * sizeof(*records));
    struct rt_key page[AG_REPLY_RECORDS];
    struct rt_reply_msg *out = agent->reply;

    if (records == NULL) {
        rt_ag_ask_fail(agent, ask, RT_ENOMEM);
        return;
    }
    do {
        size_t n = next_page(agent, ask, page);
        memset(out, 0, sizeof(*out));
        out->local = rt_slice_text(agent->config.host);
        for (size_t i = 0; i < n; i++) {
            if (rt_ag_own_record(agent, &page[i], &records[i])) {
                rt_ag_fill_record(agent, ask->link, &records[i], &out->recs[out->n_recs]);
                out->n_recs += rt_ag_record_fits(agent, ask->list, &out->recs[out->n_recs]);
            }
        }
        out->more = n == AG_REPLY_RECORDS;
        rt_ag_ask_send(agent, ask->link, ask->request, out);
        if (out->more) {
            ask->found[0] = page[n - 1];
        }
    } while (out->more && !ask->link->congested);
    ask->parked = out->more;
    if (!ask->parked) {
        rt_ag_ask_free(agent, ask);
    }
    free(records);
}
