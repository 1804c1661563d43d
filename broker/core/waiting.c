/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/request.h"
#include "broker/core/send.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* REQUESTs that have come and are not begun with. Before one is, the place of its answer is kept free. So at most
 * AG_LINK_REPLIES_MAX bytes of answers are on their way to a link that does not read, however many requests come. */

/* A REQUEST that waits until its link has drained, or has room for another answer. */
struct ag_waiting {
    struct rt_list node; /* ag_link.requests */
    uint64_t request;
    uint32_t room;
    size_t size;
    uint8_t payload[];
};

/* Pages that waited until the link had drained. */
static void pages_drained(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_list *node = link->client->asks.next, *next;

    for (; node != &link->client->asks; node = next) {
        struct ag_ask *ask = RT_LIST_OF(node, struct ag_ask, in_link);
        next = node->next;
        if (ask->parked) {
            rt_ag_ask_more(agent, ask);
        }
    }
}

/* In the order in which they came, as long as their answers have room. */
void rt_ag_requests_drained(struct rt_agent *agent, struct ag_link *link)
{
    pages_drained(agent, link);
    while (!link->congested && !rt_list_empty(&link->client->requests)) {
        struct ag_waiting *first = RT_LIST_OF(link->client->requests.next, struct ag_waiting, node);
        struct rt_request_msg msg;
        char why[RT_TEXT_MAX];

        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed has been taken out of the list */
        if (link->client->replies + first->room > AG_LINK_REPLIES_MAX) {
            break;
        }
        rt_list_remove(&first->node);
        link->client->n_asks--;
        if (rt_msg_decode(RT_MSG_REQUEST, first->payload, first->size, &msg, why, sizeof(why)) == 0) { /* as before */
            rt_ag_request_start(agent, link, first->request, &msg);
        }
        free(first);
    }
}

void rt_ag_asks_free(struct rt_agent *agent, struct ag_link *link)
{
    struct rt_list *node;

    while (!rt_list_empty(&link->client->asks)) {
        rt_ag_ask_free(agent, RT_LIST_OF(link->client->asks.next, struct ag_ask, in_link));
    }
    while ((node = rt_list_pop(&link->client->requests)) != NULL) {
        link->client->n_asks--;
        free(RT_LIST_OF(node, struct ag_waiting, node));
    }
}

/* Answers at once, for what cannot wait; such answers are counted, and a peer that does not read them is closed. */
static void answer_now(struct rt_agent *agent, struct ag_link *link, uint64_t request, enum rt_class cls,
                       const char *text)
{
    size_t before = link->queued;

    rt_ag_request_refuse(agent, link, request, cls, text);
    rt_ag_answered(agent, link, link->queued - before);
}

void rt_ag_request(struct rt_agent *agent, struct ag_link *link, uint64_t request, const uint8_t *data, size_t size)
{
    struct rt_request_msg msg;
    struct ag_waiting *waiting;
    struct ag_over over;
    char why[RT_TEXT_MAX];
    uint32_t room;

    if (!rt_ag_may_ask(agent, link->client->account, &over)) {
        answer_now(agent, link, request, RT_CLASS_LIMIT, over.text);
        return;
    }
    if (rt_msg_decode(RT_MSG_REQUEST, data, size, &msg, why, sizeof(why)) != 0) {
        answer_now(agent, link, request, RT_CLASS_INVALID, why);
        return;
    }
    if (link->client->n_asks >= AG_LINK_ASKS_MAX) {
        answer_now(agent, link, request, RT_CLASS_LIMIT, "too many requests without an answer on this link");
        return;
    }
    room = rt_ag_request_room(msg.op);
    if (!link->congested && rt_list_empty(&link->client->requests) &&
        link->client->replies + room <= AG_LINK_REPLIES_MAX) {
        rt_ag_request_start(agent, link, request, &msg);
        return;
    }
    waiting = malloc(sizeof(*waiting) + size);
    if (waiting == NULL) {
        answer_now(agent, link, request, RT_CLASS_RETRY_LATER, rt_strerror(RT_ENOMEM));
        return;
    }
    *waiting = (struct ag_waiting){.request = request, .room = room, .size = size};
    memcpy(waiting->payload, data, size);
    rt_list_push(&link->client->requests, &waiting->node);
    link->client->n_asks++;
}
