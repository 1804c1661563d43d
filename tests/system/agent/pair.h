/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_AGENT_PAIR_H
#define RETETHER_TESTS_SYSTEM_AGENT_PAIR_H

#include "tests/system/agent/daemon.h"
#include "tests/system/agent/peer.h"

/* A scripted guest and client of one session. The guest streams numbered bytes on stdout within its limit, the client
 * checks each and acknowledges. Whatever disturbs it fails the test. */
struct pair {
    struct peer guest, client;
    uint32_t guest_channel;
    uint64_t sent, limit; /* guest */
    uint64_t got, acked;  /* client */
};

void pair_start(struct pair *pair, const struct daemon *daemon, const char *cid);
/* Streams for this long. */
void pair_run(struct pair *pair, unsigned ms);
/* Streams until at least so many bytes more have come through; fails after limit_ms. */
void pair_move(struct pair *pair, uint64_t bytes, unsigned limit_ms);
void pair_close(struct pair *pair);

#endif
