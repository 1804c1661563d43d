/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_REQUEST_H
#define RETETHER_SESSION_CORE_CLIENT_REQUEST_H

#include "session/base/list.h"
#include "session/base/timer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Requests without an answer. */

#define RT_REQUEST_DIALS_MAX 8 /* failed dials of every known agent after which a request is RT_ECONN */
/* Links that may be lost under a request that changes nothing; then it is RT_ECONN, as it may be what agents die of. */
#define RT_REQUEST_LOST_MAX 8
#define RT_REQUEST_MAX 1024    /* bytes of an encoded request */
#define RT_REQUEST_LED_MS 3000 /* for the agent that an answer names; then that answer has to do */

struct rt_client;

/* WAITS (a link) --written--> SENT --a part of its answer--> ANSWERED. Both to WAITS: it goes elsewhere. */
enum rt_creq_phase { RT_CREQ_WAITS, RT_CREQ_SENT, RT_CREQ_ANSWERED };

struct rt_creq {
    struct rt_list all;
    struct rt_timer timer; /* its deadline */
    uint64_t id;
    int slot; /* where it is or will be sent */
    int lost; /* where it was lost last */
    unsigned n_lost;
    enum rt_creq_phase phase;
    bool create;
    bool changes;                    /* while it is not answered, nobody knows whether it was done */
    bool tails, kick, drain, limits; /* may be led, as a create may: go where an answer sends them */
    bool led;                        /* it has gone there */
    uint8_t *kept;                   /* owned; that answer */
    size_t kept_size;
    size_t size;
    uint8_t payload[]; /* the encoded map */
};

void rt_creq_link_up(struct rt_client *client, int slot);
void rt_creq_link_down(struct rt_client *client, int slot);
/* Its deadline has come. */
void rt_creq_due(struct rt_client *client, struct rt_creq *req);
size_t rt_creq_put(struct rt_client *client, int slot, uint8_t *out, size_t cap);
void rt_creq_reply(struct rt_client *client, int slot, uint64_t id, const uint8_t *payload, size_t size);
void rt_creq_free_all(struct rt_client *client);

#endif
