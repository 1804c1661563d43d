/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_TRANSPORT_DIALLED_H
#define RETETHER_SESSION_TRANSPORT_DIALLED_H

#include "session/transport/dialer.h"
#include "session/transport/link.h"

/* A link to an endpoint, from its dialling to its end. Caller-allocated; the memory is given back by the link's
 * on_close, which comes exactly once, also when the link was never open.
 *
 *     DIALLING --on_open--> OPEN, as link.h says --> on_close
 *        '-- not reached, or closed before ------------' */

struct rt_dialled {
    struct rt_link link; /* data is the caller's; on_data and on_drain come behind on_open */
    struct rt_dialer dialer;
    struct rt_link_setup setup;
    void (*on_open)(struct rt_link *link);
    enum { RT_DIALLED_DIALLING, RT_DIALLED_GIVEN_UP, RT_DIALLED_OPEN } phase;
    int reason; /* of who gave it up */
};

/* timeout_ms as rt_dialer_start(). Nothing is called from within. */
void rt_dialled_start(struct rt_dialled *dialled, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                      const struct rt_link_setup *setup, void (*on_open)(struct rt_link *link));
/* As rt_link_close(); on_open does not come any more. */
void rt_dialled_close(struct rt_dialled *dialled, enum rt_link_how how, int reason, const char *text);

#endif
