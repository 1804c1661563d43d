/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/gather.h"

static void begin(struct rt_gather *gather, enum rt_gather_phase phase, uint64_t now)
{
    gather->phase = phase;
    if (phase == RT_GATHER_PROMPT) {
        gather->ms = now;
        gather->turns = 0;
        gather->bytes = 0;
    }
}

bool rt_gather_read(struct rt_gather *gather, size_t size, uint64_t now)
{
    if (gather->phase == RT_GATHER_GATHERING) {
        if (size < gather->bytes || size >= RT_GATHER_MUCH) {
            begin(gather, RT_GATHER_PROMPT, now);
        }
    } else if (size >= RT_GATHER_SMALL || now != gather->ms) {
        begin(gather, RT_GATHER_PROMPT, now);
    }
    if (gather->phase == RT_GATHER_PROMPT && size > 0 && size < RT_GATHER_SMALL) {
        gather->bytes += size;
        gather->turns += gather->turned ? 1 : RT_GATHER_TURNS;
        if (gather->turns >= RT_GATHER_READS * RT_GATHER_TURNS) {
            begin(gather, RT_GATHER_GATHERING, now);
        }
    }
    gather->turned = false;
    return gather->phase == RT_GATHER_GATHERING;
}

void rt_gather_turn(struct rt_gather *gather)
{
    gather->turned = true;
}
