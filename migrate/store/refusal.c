/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/refusal.h"

#include <stddef.h>
#include <string.h>

static const struct rt_refusal refusals[] = {
    {.code = "READONLY"},
    {.code = "BUSY"},
    {.code = "MOVED",
     .what = "it is one of several primaries of a Redis cluster: name that as redis-cluster://HOST:PORT,..."},
    {.code = "ASK"},
    {.code = "TRYAGAIN"},
    {.code = "CLUSTERDOWN", .doubtful = true, .what = "its cluster is down: see CLUSTER INFO there"},
    {.code = "MASTERDOWN", .doubtful = true},
    {.code = "LOADING", .doubtful = true, .what = "it reads its data from its disk: wait"},
    {.code = "NOREPLICAS",
     .doubtful = true,
     .what = "not enough replicas (min-replicas-to-write): bring one back, or add one; two are recommended"},
    {.code = "MISCONF",
     .doubtful = true,
     .what = "it cannot write to its disk (MISCONF): make room there, and see the log of that redis-server"},
};

const struct rt_refusal *rt_refusal_of(const redisReply *error)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strncmp(error->str, refusals[i].code, strlen(refusals[i].code)) == 0) {
            return &refusals[i];
        }
    }
    return NULL;
}
