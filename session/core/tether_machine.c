/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/tether_machine.h"

#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "session/core/tether_proc.h"

#include <assert.h>

/* What all files of the tether's machine stand on. */

void rt_tether_move(struct rt_tether *t, enum rt_tether_state to)
{
    static const unsigned from[] = {
        [RT_TETHER_DOWN] = 1 << RT_TETHER_DIALING | 1 << RT_TETHER_HELLO | 1 << RT_TETHER_LIVE,
        [RT_TETHER_DIALING] = 1 << RT_TETHER_DOWN | 1 << RT_TETHER_REFUSED,
        [RT_TETHER_HELLO] = 1 << RT_TETHER_DIALING,
        [RT_TETHER_LIVE] = 1 << RT_TETHER_HELLO,
        [RT_TETHER_REFUSED] = 1 << RT_TETHER_DOWN | 1 << RT_TETHER_REFUSED,
        [RT_TETHER_IS_OVER] = ~0U,
    };

    assert((from[to] >> t->state & 1) != 0);
    t->state = to;
}

void rt_tether_move_end(struct rt_tether *t, enum rt_ending to)
{
    static const unsigned from[] = {
        [RT_ENDING_TAIL_OUT] = ~0U,
        [RT_ENDING_TAIL_ERR] = 1 << RT_ENDING_TAIL_OUT,
        [RT_ENDING_LAST] = 1 << RT_ENDING_TAIL_ERR,
        [RT_ENDING_ASKED] = 1 << RT_ENDING_LAST,
        [RT_ENDING_SAFE] = ~(1U << RT_ENDING_NONE), /* an agent may know it from another link */
    };

    assert((from[to] >> t->ending & 1) != 0);
    t->ending = to;
}

struct rt_proc *rt_tether_proc(const struct rt_tether *t, uint32_t id)
{
    for (size_t i = 0; i < RT_PROCS_MAX; i++) {
        if (t->procs[i] != NULL && t->procs[i]->id == id) {
            return t->procs[i];
        }
    }
    for (size_t i = 0; i < t->n_finished; i++) {
        if (t->finished[i]->id == id) {
            return t->finished[i];
        }
    }
    return NULL;
}

struct rt_att *rt_tether_next_att(const struct rt_tether *t, const struct rt_proc *proc, const struct rt_att *last)
{
    for (size_t i = last == NULL ? 0 : (size_t)(last - t->atts) + 1; i < t->n_atts; i++) {
        if (t->atts[i].state != RT_ATT_FREE && t->atts[i].proc == proc->id) {
            return &t->atts[i];
        }
    }
    return NULL;
}
