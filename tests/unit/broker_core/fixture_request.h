/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_BROKER_CORE_FIXTURE_REQUEST_H
#define RETETHER_TESTS_UNIT_BROKER_CORE_FIXTURE_REQUEST_H

#include "tests/unit/broker_core/fixture.h"

#include <stdint.h>

/* Requests of clients, and sessions to ask for. */

extern struct rt_reply_msg reply; /* the last that want() took; large */

struct rt_request_msg ask(const char *op, const char *cid);
void request(struct fx *fx, int client, uint64_t id, struct rt_request_msg msg);
/* The next reply must be to this request, and of this class. */
void want(struct fx *fx, int client, uint64_t id, enum rt_class cls);
/* The store has it as running on this host. */
void running(struct fx *fx, const char *tenant, const char *cid, const char *host);

#endif
