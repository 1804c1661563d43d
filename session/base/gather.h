/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_GATHER_H
#define RETETHER_SESSION_BASE_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When to leave a pipe alone so that the kernel gathers small writes, as network cards do (interrupt moderation). A
 * process that writes 64 bytes at a time would cost a read, a frame, a write and a wake-up for each, at the tether, at
 * the agent and at the client. A lone write is read at once, so an echo does not wait.
 *
 *     ms
 *     0    64, 64, ... 64 bytes: the 16th read within the millisecond     PROMPT -> GATHERING, alone until 1
 *     1    38,000 bytes in one read, more than those 16 brought           stays, alone until 2
 *     2    700 bytes: less than those 16, the burst is over               -> PROMPT: read as it comes
 */

/* For how long a pipe is left alone, in ms: the finest step of the loop's timers. */
#define RT_GATHER_MS 1
/* Small reads within one ms that begin it. */
#define RT_GATHER_READS 16
/* So many make one of those when something goes the other way before each: these may be the turns of an echo. It needs
 * more than 20 us for one, whatever lies between. */
#define RT_GATHER_TURNS 4
/* A read of as many bytes or more is none of a small write. */
#define RT_GATHER_SMALL 4096
/* A gathered read of as many bytes or more ends it: the pipe may have been full, and its writer have waited. */
#define RT_GATHER_MUCH 131072

enum rt_gather_phase { RT_GATHER_PROMPT, RT_GATHER_GATHERING };

/* Of one pipe; all zero at first. */
struct rt_gather {
    enum rt_gather_phase phase;
    bool turned;    /* since the last read something went the other way */
    unsigned turns; /* PROMPT: small reads within the millisecond `ms`, in RT_GATHER_TURNS each or one */
    uint64_t ms;
    size_t bytes; /* what these reads brought */
};

/* All that the pipe had was read, size bytes (0: nothing); now in ms. Returns whether to leave it alone for
 * RT_GATHER_MS. */
bool rt_gather_read(struct rt_gather *gather, size_t size, uint64_t now);
/* Something went the other way. */
void rt_gather_turn(struct rt_gather *gather);

#endif
