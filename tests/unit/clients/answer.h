/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_ANSWER_H
#define RETETHER_TESTS_UNIT_CLIENTS_ANSWER_H

#include "tests/unit/clients/sdk.h"

/* What an application is answered to one request. */

struct answer {
    unsigned parts, last; /* callbacks; those without `more` */
    int error;
    unsigned cls;
    char text[RETETHER_TEXT_MAX + 1], token[RETETHER_TOKEN_SIZE];
    size_t records, hosts, checks, bytes, n_order;
    struct retether_record record; /* the first; its arrays are copied below */
    struct retether_move move;
    struct retether_process process;
    struct retether_holder holder;
    struct retether_host host;
    struct retether_limit limit; /* the first of a part, as the next one */
    struct retether_check check;
    uint64_t end[2];
    unsigned code, signum;
    uint64_t offset;
    bool lost;
    char data[256];
    struct sdk *sdk;
};

extern struct retether_run runs[8]; /* the order of the tails that came last */

void reply_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx);
/* Until the last part is there, and nothing comes after it. */
void wait_answer(struct answer *answer);

#endif
