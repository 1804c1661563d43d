/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/ticket.h"

#include "session/base/slice.h"

#include <string.h>

/* A chain of tickets. A guest joins, and is connected again and again; each WELCOME gives the child of the ticket that
 * was presented. Ancestors stand behind a ticket, parent first:
 *
 *     join token                        has no place in the chain
 *     t1   ()                           the first ticket
 *     t2   (t1)
 *     t3   (t2, t1)                     confirmed: the record says t3
 *     t4   (t3, t2, t1)                 given, never confirmed: its CONFIRM was lost
 *     t5   (t4, t3, t2, t1)             the guest came back with t4
 *     u3   (t2, t1)                     given to a copy that was made at t2
 *
 * Held against the record's t3: t5 DESCENDS from it, t2 is its ANCESTOR, and u3 DIVERGES.
 *
 * A ticket names 16 ancestors: t18 names t17 ... t2, and t1 is forgotten. With the store out nobody writes what is
 * confirmed: when t5 was the last one that the store had a part in, the record stays at t5 while the guest gets t6,
 * t7, ... (`unproven` 1, 2, ...). So from t22 on, whose parents alone would fill the place, the last of the 16 is t5.
 */

/* An incarnation is known to its guest only, and is held against what a hello says. */
bool rt_id_equal(const struct rt_id *a, const struct rt_id *b)
{
    return rt_same_secret(a->b, b->b, RT_ID_SIZE);
}

bool rt_key_equal(const struct rt_key *a, const struct rt_key *b)
{
    return strcmp(a->tenant, b->tenant) == 0 && strcmp(a->cid, b->cid) == 0;
}

static bool holds(const struct rt_id *list, size_t n, const struct rt_id *id)
{
    for (size_t i = 0; i < n; i++) {
        if (rt_id_equal(&list[i], id)) {
            return true;
        }
    }
    return false;
}

enum rt_relation rt_ticket_relation(const struct rt_id *t, const struct rt_id *t_ancestors, size_t n_t,
                                    const struct rt_id *c, const struct rt_id *c_ancestors, size_t n_c)
{
    if (rt_id_equal(t, c)) {
        return RT_SAME;
    }
    if (holds(t_ancestors, n_t, c)) {
        return RT_DESCENDS;
    }
    if (holds(c_ancestors, n_c, t)) {
        return RT_ANCESTOR;
    }
    return RT_DIVERGES;
}

size_t rt_ticket_ancestry(const struct rt_id *id, const struct rt_id *ancestors, size_t n,
                          struct rt_id out[RT_ANCESTORS_MAX])
{
    size_t kept = n < RT_ANCESTORS_MAX ? n : RT_ANCESTORS_MAX - 1;

    out[0] = *id;
    memcpy(&out[1], ancestors, kept * sizeof(*out));
    return kept + 1;
}

void rt_ticket_child(const struct rt_ticket *parent, const struct rt_id *id, uint64_t epoch, struct rt_ticket *child)
{
    memset(child, 0, sizeof(*child));
    child->key = parent->key;
    child->inc = parent->inc;
    child->life = parent->life;
    child->taken = parent->taken;
    memcpy(child->bound_to, parent->bound_to, sizeof(child->bound_to));
    child->id = *id;
    child->epoch = epoch;
    if (!parent->join) {
        child->n_ancestors = rt_ticket_ancestry(&parent->id, parent->ancestors, parent->n_ancestors, child->ancestors);
        /* The store is out for long, and the record stands at the ticket that the parent names last. The shift has
         * dropped that one; without it an honest guest would read as a copy. */
        if (parent->unproven >= RT_ANCESTORS_MAX && parent->n_ancestors == RT_ANCESTORS_MAX) {
            child->ancestors[RT_ANCESTORS_MAX - 1] = parent->ancestors[RT_ANCESTORS_MAX - 1];
        }
    }
}
