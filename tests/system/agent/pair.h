/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_AGENT_PAIR_H
#define RETETHER_TESTS_SYSTEM_AGENT_PAIR_H

#include "tests/system/agent/daemon.h"
#include "tests/system/agent/peer.h"

#define PAIR_CHANNELS_MAX 32

/* A scripted guest and client of one session, with one or more attachments. The guest streams numbered bytes on stdout
 * of each within its limit, in pieces of every size; the client checks each byte and acknowledges. Whatever disturbs it
 * fails the test. */
struct pair {
    struct peer guest, client;
    unsigned n;     /* attachments; the client's channels are 1 to n */
    bool stalled;   /* the client does not read */
    size_t piece;   /* bytes of each DATA; 0: any size */
    uint64_t got;   /* client, all channels */
    uint64_t queue; /* sent by the guest and not yet with the client */
    uint64_t rng;
    struct {
        uint32_t guest;       /* channel of the guest's link */
        uint64_t sent, limit; /* guest */
        uint64_t got, acked;  /* client */
    } channel[PAIR_CHANNELS_MAX];
};

void pair_start(struct pair *pair, const struct daemon *daemon, const char *cid, unsigned n);
/* Streams for this long. */
void pair_run(struct pair *pair, unsigned ms);
/* Streams until at least so many bytes more have come through; fails after limit_ms. */
void pair_move(struct pair *pair, uint64_t bytes, unsigned limit_ms);
void pair_close(struct pair *pair);

#endif
