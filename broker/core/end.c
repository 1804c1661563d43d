/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/end.h"

#include "broker/core/agent.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/send.h"
#include "broker/core/store.h"
#include "session/base/error.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/order.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* Ends that are on their way, by the life that ended. For example, life 7 of a container has ended while the store was
 * out, and its end is kept on this host's disk. Then the store is back, and says of the record:
 *
 *     no record             lost with the store: the kept end counts (rt_ag_kept_beyond())
 *     running, life 7       the store lacks the end: the kept end counts
 *     created, life 7       created anew over what had ended: that is a new container, without an end
 *     running, life 8       started again: nothing of life 7 counts any more
 *     ended, life 7         the store has an end of its own: that one counts */

void rt_ag_end_free(struct rt_agent *agent, struct ag_end *end)
{
    rt_list_remove(&end->node);
    free(end->tail[0]);
    free(end->tail[1]);
    free(end->ord);
    end->tenant->shares[AG_SHARE_ENDS]--;
    free(end);
    agent->n_ends--;
}

struct ag_end *rt_ag_end_new(struct rt_agent *agent, const char *tenant, rt_link_id link)
{
    struct ag_tenant *of = agent->n_ends >= RT_ENDS_MAX ? NULL : rt_ag_tenant(agent, tenant);
    struct ag_over over;
    struct ag_end *end;

    if (of == NULL || (link != 0 && !rt_ag_share_room(agent, of, link, AG_SHARE_ENDS, 1, &over))) {
        return NULL;
    }
    end = calloc(1, sizeof(*end));
    if (end != NULL) {
        end->tenant = of;
        of->shares[AG_SHARE_ENDS]++;
        end->begun = end->heard = agent->now;
        end->id = ++agent->last_end;
        end->delay = AG_STORE_RETRY_MS;
        agent->n_ends++;
    }
    return end;
}

void rt_ag_end_order(struct ag_end *end, struct rt_slice ord)
{
    const uint64_t size[2] = {end->size[0], end->size[1]};

    end->end.ord = (struct rt_slice){NULL, 0};
    end->ord = rt_order_unpack(ord, size, NULL) > 0 ? malloc(ord.size) : NULL;
    if (end->ord != NULL) {
        memcpy(end->ord, ord.data, ord.size);
        end->end.ord = (struct rt_slice){end->ord, ord.size};
    }
}

void rt_ag_end_answer(struct rt_agent *agent, struct ag_link *link, enum rt_end_how how)
{
    link->end_ready = false;
    link->end_due = (uint8_t)(how + 1U);
    rt_ag_end_drained(agent, link);
}

void rt_ag_end_drained(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_frame frame = {.type = RT_END_OK};
    struct rt_end_ok_msg msg = {.how = link->end_due - 1U};

    if (link->end_due == 0 || link->congested) {
        return;
    }
    if (msg.how == RT_END_LATER) {
        msg.delay = AG_STORE_RETRY_MS;
    }
    link->end_due = 0;
    (void)rt_ag_send_msg(agent, link, &frame, RT_MSG_END_OK, &msg);
}

struct ag_end *rt_ag_end_at(const struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    struct rt_list *node;

    for (node = agent->ends.next; node != &agent->ends; node = node->next) {
        struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);
        if (end->life == life && rt_key_equal(&end->key, key)) {
            return end;
        }
    }
    return NULL;
}

const struct ag_end *rt_ag_kept(const struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    const struct ag_end *newest = NULL;
    struct rt_list *node;

    for (node = agent->ends.next; node != &agent->ends; node = node->next) {
        const struct ag_end *end = RT_LIST_OF(node, struct ag_end, node);
        if (end->disk == AG_DISK_KEPT && (life == 0 || end->life == life) && rt_key_equal(&end->key, key) &&
            (newest == NULL || end->life > newest->life)) {
            newest = end;
        }
    }
    return newest;
}

const struct ag_end *rt_ag_kept_beyond(const struct rt_agent *agent, const struct rt_key *key,
                                       const struct rt_record *rule)
{
    if (rule != NULL && (rule->state == RT_SESSION_CREATED || rule->state == RT_SESSION_ENDED)) {
        return NULL; /* created anew: until its first claim the record has the number of the last container's life */
    }
    return rt_ag_kept(agent, key, rule == NULL ? 0 : rule->life);
}
