/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_SLOTS_H
#define RETETHER_MIGRATE_CORE_SLOTS_H

#include "session/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which server of a Redis cluster has which key. Pure. A key is in one of RT_SLOTS slots; each slot has one primary,
 * and may be moved to another one at any time. The map is what some node said, and nobody's word is final: a node that
 * has not the slot says who has it (MOVED), and the map is asked for anew, from another node each time.
 *
 * Three primaries A, B, C; D is B's replica. Milliseconds:
 *
 *          0   the map, from A: 0-5460 A, 5461-10922 B, 10923-16383 C
 *        100   a claim in slot 7000 goes to B, which is dead: lost. The map is asked for, from C: as before
 *        350   asked again, from D: as before. So on, after 500, 1000, 2000, 2500 ms, while a primary cannot be
 *              reached
 *       5100   D is promoted. From A: 5461-10922 D. The claim is told that it timed out; asked again, it goes to D
 *       9000   slot 42 is moved to C, key by key. Of a key that it has no more A says ASK: the call goes to C,
 *              once, behind ASKING. The map stays
 *       9500   A says MOVED 42 C: so it is in the map from now on. The map is asked for, as more may have gone */

#define RT_SLOTS 16384
/* Primaries and replicas. A cluster of more nodes is refused (RT_ELIMIT). */
#define RT_SLOT_NODES_MAX 64
#define RT_SLOT_HOST_MAX 253
#define RT_SLOT_NOBODY 255
/* The map is asked for no sooner than this after it was asked for, and no later than that: well before a store counts
 * as whole again (RT_STORE_WHOLE_MS) whoever still asks a primary that was replaced has to know. */
#define RT_SLOT_ASK_MS 250
#define RT_SLOT_OLD_MS 2500
/* A call goes on to so many other nodes. Then its asker is told: two nodes that each name the other are no road. */
#define RT_SLOT_HOPS_MAX 5

struct rt_slot_place {
    char host[RT_SLOT_HOST_MAX + 1]; /* a name or an address, as the node says it */
    uint16_t port;
};

struct rt_slot_map { /* rt_slot_map_clear() */
    size_t n;
    struct {
        struct rt_slot_place place;
        uint8_t primary; /* whose replica it is; itself: it is a primary */
    } nodes[RT_SLOT_NODES_MAX];
    uint8_t owner[RT_SLOTS]; /* a node, or RT_SLOT_NOBODY */
    size_t n_owned;          /* slots that have one */
};

/* The slot of a key: of what stands between its first { and the next }, or, where that is nothing, of all of it. */
uint16_t rt_slot_of(const char *key, size_t size);

/* Whether it can be a place: a port, and a host of letters, digits, dots, colons, - and _. */
bool rt_slot_place_valid(const struct rt_slot_place *place);

void rt_slot_map_clear(struct rt_slot_map *map);
/* Adds a primary; one that is there keeps its number. Returns the number; RT_EPROTO: no place, or the place of a
 * replica; RT_ELIMIT. */
RT_MUST_CHECK int rt_slot_map_primary(struct rt_slot_map *map, const struct rt_slot_place *place);
/* Adds a replica of that one. Returns 0; RT_EPROTO: no place, or that of a primary or of another one's replica, or
 * there is no such primary; RT_ELIMIT. */
RT_MUST_CHECK int rt_slot_map_replica(struct rt_slot_map *map, const struct rt_slot_place *place, unsigned primary);
/* Gives it the slots from first to last. Returns 0; RT_EPROTO: there are no such slots, or one has an owner, or there
 * is no such primary. */
RT_MUST_CHECK int rt_slot_map_range(struct rt_slot_map *map, uint64_t first, uint64_t last, unsigned primary);
/* MOVED: this slot is there now; a replica that is named is a primary from now on. Returns 0; RT_EPROTO: no slot, or no
 * place; RT_ELIMIT. */
RT_MUST_CHECK int rt_slot_map_moved(struct rt_slot_map *map, uint16_t slot, const struct rt_slot_place *place);
/* The number of a node, or -1. */
int rt_slot_map_find(const struct rt_slot_map *map, const struct rt_slot_place *place);
/* How many replicas the map knows of it. */
size_t rt_slot_map_replicas(const struct rt_slot_map *map, unsigned primary);

/* What a node's error reply says about where to go on.
 *
 *     MOVED 3999 10.0.0.2:6379   another one has the slot
 *     ASK 3999 10.0.0.2:6379     this key, this once, there: behind ASKING
 *     TRYAGAIN ...               some of the keys are here, some there, or nowhere: while the slot moves
 *     CLUSTERDOWN ...            nobody has the slot, or the node is on the smaller side of a cut */
enum rt_slot_said { RT_SLOT_SAID_OTHER, RT_SLOT_SAID_MOVED, RT_SLOT_SAID_ASK, RT_SLOT_SAID_AGAIN, RT_SLOT_SAID_DOWN };

/* Reads it. asked: who said it; a reply that names a port alone means the same host. RT_SLOT_SAID_OTHER: it is none of
 * these, or makes no sense. slot and place are of MOVED and ASK. */
enum rt_slot_said rt_slot_said(const char *error, const struct rt_slot_place *asked, uint16_t *slot,
                               struct rt_slot_place *place);

/* When the map is asked for, and whom. */
struct rt_slot_turns { /* zeroed: at once */
    bool asking;
    bool asked_ever;
    uint64_t asked; /* when it was last asked for */
    uint64_t due;   /* when it is next */
    uint64_t pause; /* in which it is not; 0: RT_SLOT_ASK_MS. Doubles while a map is awaited that is another one */
    size_t next;    /* node that is asked then */
};

/* There is reason to doubt the map: a MOVED, a CLUSTERDOWN, a node that was lost. */
void rt_slot_turns_doubt(struct rt_slot_turns *turns);
/* The time at which to ask; RT_SLOT_NEVER while an answer is awaited. */
#define RT_SLOT_NEVER UINT64_MAX
uint64_t rt_slot_turns_due(const struct rt_slot_turns *turns);
/* Asks now, one of n nodes: which. The same is asked again only when all others were. */
size_t rt_slot_turns_ask(struct rt_slot_turns *turns, size_t n, uint64_t now);
/* Answered with a map, or not. changed: with another one than was known. whole: each slot has an owner, and each owner
 * can be reached. */
void rt_slot_turns_answered(struct rt_slot_turns *turns, bool has_map, bool changed, bool whole);

#endif
