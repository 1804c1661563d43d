/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_EVENT_H
#define RETETHER_TESTS_SIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens next, in the order of virtual time. */

enum sim_event_kind {
    EV_TIMER,
    EV_BYTES,
    EV_CLOSED,
    EV_APP,
    EV_FAULT,
    EV_DIALED,
    EV_STORE_REPLY,
    EV_NEWS,
    EV_DISK,
    EV_CALL
};
enum sim_node_kind { NODE_GUEST, NODE_CLIENT, NODE_AGENT };

struct sim_event {
    uint64_t at_us;
    uint64_t seq; /* ties: in the order made */
    enum sim_event_kind kind;
    enum sim_node_kind node;
    int index;
    uint32_t gen; /* of the node or connection it is for: dropped when that is gone */
    int conn, side;
    uint8_t *bytes; /* owned */
    size_t size;
    void *extra; /* owned */
    void (*call)(int arg);
    int arg;
};

void sim_post(struct sim_event event, uint64_t delay_us);
/* Puts off an event that was popped; it stays before all that were made after it and come at the same time. */
void sim_hold(struct sim_event event, uint64_t until_us);
bool sim_pop(struct sim_event *event);
void sim_clear(void);

#endif
