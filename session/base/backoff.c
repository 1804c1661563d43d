/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/random.h"

/* splitmix64: each state, also one that differs in a single bit, gives another number. */
uint64_t rt_jitter(uint64_t *state, uint64_t below)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return below > 0 ? z % below : 0;
}

uint64_t rt_backoff(uint64_t *pause_ms, uint64_t min_ms, uint64_t max_ms, uint64_t *state)
{
    uint64_t pause = *pause_ms;

    *pause_ms = pause > max_ms / 2 ? max_ms : pause * 2;
    *pause_ms = *pause_ms < min_ms ? min_ms : *pause_ms;
    return pause - rt_jitter(state, pause / 2 + 1);
}
