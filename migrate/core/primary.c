/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/primary.h"

#include <assert.h>
#include <string.h>

static bool is_fresh(const struct rt_primary_voice *voice, uint64_t now)
{
    return voice->state == RT_VOICE_HEARD && now - voice->at < RT_PRIMARY_FRESH_MS;
}

static bool names(const struct rt_primary_voice *voice, const char *place, uint64_t epoch, uint64_t now)
{
    return is_fresh(voice, now) && voice->epoch == epoch && strcmp(voice->place, place) == 0;
}

static size_t count(const struct rt_primary *primary, const char *place, uint64_t epoch, uint64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < primary->n; i++) {
        n += names(&primary->voices[i], place, epoch, now);
    }
    return n;
}

static bool is_majority(const struct rt_primary *primary, size_t n)
{
    return 2 * n > primary->n;
}

/* What a majority says, or NULL. */
static const struct rt_primary_voice *vote(const struct rt_primary *primary, uint64_t now)
{
    for (size_t i = 0; i < primary->n; i++) {
        const struct rt_primary_voice *voice = &primary->voices[i];

        if (is_fresh(voice, now) && is_majority(primary, count(primary, voice->place, voice->epoch, now))) {
            return voice;
        }
    }
    return NULL;
}

/* The newest epoch of those that were not tried in vain; of equal ones the first. NULL: there is none. */
static const struct rt_primary_voice *newest(const struct rt_primary *primary, uint64_t now)
{
    const struct rt_primary_voice *best = NULL;

    for (size_t i = 0; i < primary->n; i++) {
        const struct rt_primary_voice *voice = &primary->voices[i];

        if (is_fresh(voice, now) && !voice->refuted && (best == NULL || voice->epoch > best->epoch)) {
            best = voice;
        }
    }
    return best;
}

static const struct rt_primary_voice *guess(struct rt_primary *primary, uint64_t now)
{
    const struct rt_primary_voice *best;

    for (size_t i = 0; i < primary->n; i++) {
        if (primary->voices[i].state == RT_VOICE_AWAITED) {
            return NULL;
        }
    }
    best = newest(primary, now);
    for (size_t i = 0; best == NULL && i < primary->n; i++) { /* all were tried: begin again */
        primary->voices[i].refuted = false;
    }
    return best != NULL ? best : newest(primary, now);
}

/* Whether it may replace what was chosen: it is not of an older epoch, or has been said for long enough. */
static bool may_replace(struct rt_primary *primary, const struct rt_primary_voice *voice, uint64_t now)
{
    if (primary->place[0] == '\0' || voice->epoch >= primary->epoch) {
        return true;
    }
    if (strcmp(primary->older, voice->place) != 0) {
        memcpy(primary->older, voice->place, sizeof(primary->older));
        primary->older_since = now;
    }
    return now - primary->older_since >= RT_PRIMARY_OLDER_MS;
}

void rt_primary_init(struct rt_primary *primary, size_t n)
{
    assert(n > 0 && n <= RT_SENTINELS_MAX);
    memset(primary, 0, sizeof(*primary));
    primary->n = n;
}

void rt_primary_said(struct rt_primary *primary, size_t i, const struct rt_primary_answer *answer, uint64_t now)
{
    struct rt_primary_voice *voice = &primary->voices[i];
    size_t size = strlen(answer->place);
    bool is_other = voice->epoch != answer->epoch || strcmp(voice->place, answer->place) != 0;

    if (size == 0 || size > RT_PRIMARY_PLACE_MAX) {
        rt_primary_failed(primary, i);
        return;
    }
    if (is_other) {
        voice->refuted = false;
    }
    if (is_other || !voice->alive || !is_fresh(voice, now)) {
        voice->alive_at = now;
    }
    voice->alive = answer->alive;
    voice->state = RT_VOICE_HEARD;
    voice->at = now;
    voice->epoch = answer->epoch;
    voice->replicas = answer->replicas;
    memset(voice->place, 0, sizeof(voice->place));
    memcpy(voice->place, answer->place, size);
}

void rt_primary_failed(struct rt_primary *primary, size_t i)
{
    primary->voices[i].state = RT_VOICE_FAILED;
}

void rt_primary_held(struct rt_primary *primary)
{
    primary->held = true;
}

void rt_primary_lost(struct rt_primary *primary)
{
    primary->held = false;
    for (size_t i = 0; i < primary->n; i++) {
        primary->voices[i].refuted |= strcmp(primary->voices[i].place, primary->place) == 0;
    }
}

static bool choose(struct rt_primary *primary, uint64_t now)
{
    const struct rt_primary_voice *voice = vote(primary, now);
    bool is_other;

    if (voice == NULL && !primary->held) {
        voice = guess(primary, now);
    }
    if (voice == NULL || voice->epoch >= primary->epoch) {
        primary->older[0] = '\0';
    }
    if (voice == NULL || !may_replace(primary, voice, now)) {
        return false;
    }
    is_other = strcmp(primary->place, voice->place) != 0;
    memcpy(primary->place, voice->place, sizeof(primary->place));
    primary->epoch = voice->epoch;
    primary->older[0] = '\0';
    primary->held = primary->held && !is_other;
    return is_other;
}

size_t rt_primary_voices(const struct rt_primary *primary, uint64_t now)
{
    return count(primary, primary->place, primary->epoch, now);
}

bool rt_primary_voted(const struct rt_primary *primary, uint64_t now)
{
    return is_majority(primary, rt_primary_voices(primary, now));
}

/* How many of those that name the primary know of so many replicas, or of more. */
static size_t know_of(const struct rt_primary *primary, uint64_t replicas, uint64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < primary->n; i++) {
        const struct rt_primary_voice *voice = &primary->voices[i];

        n += names(voice, primary->place, primary->epoch, now) && voice->replicas >= replicas;
    }
    return n;
}

/* One that knows of too many, or of too few, changes nothing; without a majority the number stays. */
static void count_replicas(struct rt_primary *primary, uint64_t now)
{
    uint64_t most = 0;

    if (!rt_primary_voted(primary, now)) {
        return;
    }
    for (size_t i = 0; i < primary->n; i++) {
        uint64_t replicas = primary->voices[i].replicas;

        most = replicas > most && is_majority(primary, know_of(primary, replicas, now)) ? replicas : most;
    }
    primary->replicas = most;
}

bool rt_primary_choose(struct rt_primary *primary, uint64_t now)
{
    bool is_other = choose(primary, now);

    count_replicas(primary, now);
    return is_other;
}

bool rt_primary_sure(const struct rt_primary *primary, uint64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < primary->n; i++) {
        const struct rt_primary_voice *voice = &primary->voices[i];

        n += names(voice, primary->place, primary->epoch, now) && voice->alive &&
             now - voice->alive_at >= RT_PRIMARY_SURE_MS;
    }
    return is_majority(primary, n);
}
