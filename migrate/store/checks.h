/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_CHECKS_H
#define RETETHER_MIGRATE_STORE_CHECKS_H

#include "migrate/core/store_look.h"
#include "migrate/store/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is right and what is weak at a store, by what was found there. Pure; look.c asks. */

/* Of a number that could not be asked for. */
#define RT_FACT_UNKNOWN UINT64_MAX
/* A record of 1,024 bytes of fields and less stays in one piece. */
#define RT_LISTPACK_VALUE 1024

struct rt_store_facts {
    /* what the agent knows by itself */
    char place[RT_STORE_ENDPOINT_TEXT_MAX];
    bool is_local;                        /* on a unix socket: it is for one host, and has no replica */
    size_t n_sentinels, n_voices;         /* configured; that name this server */
    bool is_voted;                        /* a majority of them does */
    char denied[RT_CHECK_VALUE_MAX + 1];  /* what one of them does not allow, in its words; or "" */
    uint64_t replicas, tails_max;         /* that are known; bytes */
    bool is_online;                       /* it has taken our heartbeat: by then the functions are loaded */
    char refused[RT_CHECK_VALUE_MAX + 1]; /* NOPERM of what was used, in the server's words; "" */

    /* what INFO says; texts "" where it does not */
    char version[32], policy[32], aof[8], aof_status[16];
    uint64_t memory_max, connected;

    /* what CONFIG GET says */
    char fsync[16];
    uint64_t min_replicas, listpack;

    /* libraries of functions: ours, and all of retether; RT_FACT_UNKNOWN */
    uint64_t own, libraries;

    /* ACL DRYRUN: how many rights it has judged, and which are missing */
    uint64_t tried;
    char missing[RT_CHECK_VALUE_MAX + 1];
};

/* Nothing is known, but by the agent itself. */
void rt_store_facts_init(struct rt_store_facts *facts);
void rt_store_facts_info(struct rt_store_facts *facts, const char *info);
/* A name and a value as CONFIG GET answers; others are passed over. */
void rt_store_facts_setting(struct rt_store_facts *facts, const char *name, const char *value);

void rt_store_check(const struct rt_store_facts *facts, struct rt_store_look *look);
/* There is none, for this reason: what the other checks have found stays. */
void rt_store_check_out(struct rt_store_look *look, const char *why);

#endif
