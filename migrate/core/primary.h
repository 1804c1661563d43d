/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_CORE_PRIMARY_H
#define RETETHER_MIGRATE_CORE_PRIMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which server is the primary, from what the Sentinels say. Each Sentinel is asked again and again, and names a place
 * with its configuration epoch, which grows by one with every failover that a majority of Sentinels has agreed to. One
 * Sentinel may be wrong: it is on the wrong side of a cut, has lost its file, or lies. So
 *
 * - what a majority of all configured Sentinels says, place and epoch alike, is a *vote*, and counts at once;
 * - without a vote the place that was chosen before stays for as long as it is *held*: its server answers, and says
 *   itself that it is the primary;
 * - without a vote and without a place that is held there is a *guess*: the newest epoch that anybody names, once all
 *   were heard or have failed. A guess that was tried in vain gives way to the next one;
 * - an epoch that is older than the one chosen counts only when it was said without a break for RT_PRIMARY_OLDER_MS: a
 *   Sentinel that was started with an old file learns better in a second or two, and an operator who has set the
 *   Sentinels up anew means it.
 *
 * Three Sentinels; P fails over to Q, and S1 is cut off with P. Milliseconds:
 *
 *          0   S1, S2, S3: P at 1. Vote: P
 *       5000   S1: P at 1, S2: Q at 2, S3: P at 1. Vote: P still
 *       5300   S3: Q at 2. Vote: Q
 *       9000   S2 stops. S1: P at 1, S3: Q at 2. No vote; Q is held, and stays
 *      12000   Q stops, too. No vote, nothing held. Guess: Q at 2, tried in vain; P at 1 is older: it is guessed from
 *              22000 on
 *
 * That a majority names a place does not say that no other one is about to be promoted: a Sentinel names P until a
 * failover is over, which may begin 30 s after P was cut off. So a Sentinel also says whether it sees the primary
 * *alive*. When a majority has seen it so for RT_PRIMARY_SURE_MS without a break, it is *sure*: no failover was under
 * way at the beginning of that time, nor is one now. */

#define RT_SENTINELS_MAX 8
#define RT_PRIMARY_PLACE_MAX 159 /* longer ones are not heard */
/* What a Sentinel said so long ago counts no more. */
#define RT_PRIMARY_FRESH_MS 3000
#define RT_PRIMARY_OLDER_MS 10000
#define RT_PRIMARY_SURE_MS 10000

/* What one Sentinel says. */
struct rt_primary_voice {
    enum { RT_VOICE_AWAITED, RT_VOICE_HEARD, RT_VOICE_FAILED } state;
    uint64_t at; /* when it was heard */
    uint64_t epoch;
    char place[RT_PRIMARY_PLACE_MAX + 1];
    bool refuted; /* what it names was guessed, and tried in vain */
    bool alive;   /* it sees that one alive, and has since alive_at, in every answer */
    uint64_t alive_at;
    uint64_t replicas; /* that it knows of, connected or not */
};

/* An answer of a Sentinel. */
struct rt_primary_answer {
    const char *place;
    uint64_t epoch;
    bool alive;
    uint64_t replicas;
};

struct rt_primary { /* zeroed, then rt_primary_init() */
    size_t n;
    struct rt_primary_voice voices[RT_SENTINELS_MAX];
    char place[RT_PRIMARY_PLACE_MAX + 1]; /* chosen; "": none yet */
    uint64_t epoch;
    bool held;
    uint64_t replicas; /* that a majority knew of at least, when one was heard last */
    /* of an older epoch: what is said, since when */
    char older[RT_PRIMARY_PLACE_MAX + 1];
    uint64_t older_since;
};

/* n: how many Sentinels are configured, 1 to RT_SENTINELS_MAX. */
void rt_primary_init(struct rt_primary *primary, size_t n);
/* Sentinel i has answered. A place that is too long is as no answer. */
void rt_primary_said(struct rt_primary *primary, size_t i, const struct rt_primary_answer *answer, uint64_t now);
/* Sentinel i cannot be asked, or knows of no primary. */
void rt_primary_failed(struct rt_primary *primary, size_t i);
/* The server at the place that was chosen says that it is the primary. */
void rt_primary_held(struct rt_primary *primary);
/* It does not, or cannot be reached. */
void rt_primary_lost(struct rt_primary *primary);
/* Chooses; returns whether the place is another one than before. */
bool rt_primary_choose(struct rt_primary *primary, uint64_t now);
/* How many Sentinels name, now, the place and the epoch that were chosen. */
size_t rt_primary_voices(const struct rt_primary *primary, uint64_t now);
/* A majority does. */
bool rt_primary_voted(const struct rt_primary *primary, uint64_t now);
/* And it has seen that one alive for RT_PRIMARY_SURE_MS. */
bool rt_primary_sure(const struct rt_primary *primary, uint64_t now);

#endif
