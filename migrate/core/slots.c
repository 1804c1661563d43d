/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/slots.h"

#include <string.h>

/* Slots. */

/* CRC-16/XMODEM: polynomial 0x1021, from 0, not reflected. */
static uint16_t crc16(const char *data, size_t size)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < size; i++) {
        crc ^= (uint16_t)((uint8_t)data[i] << 8);
        for (int bit = 0; bit < 8; bit++) {
            crc = (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
        }
    }
    return crc;
}

uint16_t rt_slot_of(const char *key, size_t size)
{
    const char *open = size > 0 ? memchr(key, '{', size) : NULL;
    const char *close = open != NULL ? memchr(open, '}', size - (size_t)(open - key)) : NULL;

    if (close != NULL && close > open + 1) {
        return crc16(open + 1, (size_t)(close - open) - 1) % RT_SLOTS;
    }
    return crc16(key, size) % RT_SLOTS;
}

/* Places. */

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == ':' ||
           c == '-' || c == '_';
}

bool rt_slot_place_valid(const struct rt_slot_place *place)
{
    const char *c = place->host;

    while (is_host_char(*c)) {
        c++;
    }
    return place->port != 0 && c > place->host && *c == '\0';
}

static bool is_same(const struct rt_slot_place *a, const struct rt_slot_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The map. */

void rt_slot_map_clear(struct rt_slot_map *map)
{
    memset(map, 0, sizeof(*map));
    memset(map->owner, RT_SLOT_NOBODY, sizeof(map->owner));
}

int rt_slot_map_find(const struct rt_slot_map *map, const struct rt_slot_place *place)
{
    for (size_t i = 0; i < map->n; i++) {
        if (is_same(&map->nodes[i].place, place)) {
            return (int)i;
        }
    }
    return -1;
}

/* A node as a replica of `primary`; RT_SLOT_NOBODY: as a primary. */
static int add(struct rt_slot_map *map, const struct rt_slot_place *place, unsigned primary)
{
    int at = rt_slot_map_find(map, place);

    if (!rt_slot_place_valid(place)) {
        return RT_EPROTO;
    }
    if (at >= 0) {
        return map->nodes[at].primary == (primary == RT_SLOT_NOBODY ? (unsigned)at : primary) ? at : RT_EPROTO;
    }
    if (map->n == RT_SLOT_NODES_MAX) {
        return RT_ELIMIT;
    }
    at = (int)map->n++;
    map->nodes[at].place = *place;
    map->nodes[at].primary = (uint8_t)(primary == RT_SLOT_NOBODY ? (unsigned)at : primary);
    return at;
}

int rt_slot_map_primary(struct rt_slot_map *map, const struct rt_slot_place *place)
{
    return add(map, place, RT_SLOT_NOBODY);
}

static bool is_primary(const struct rt_slot_map *map, unsigned node)
{
    return node < map->n && map->nodes[node].primary == node;
}

int rt_slot_map_replica(struct rt_slot_map *map, const struct rt_slot_place *place, unsigned primary)
{
    int rc = is_primary(map, primary) ? add(map, place, primary) : RT_EPROTO;

    return rc < 0 ? rc : (unsigned)rc == primary ? RT_EPROTO : 0;
}

static void give(struct rt_slot_map *map, size_t slot, unsigned primary)
{
    map->n_owned += map->owner[slot] == RT_SLOT_NOBODY;
    map->owner[slot] = (uint8_t)primary;
}

int rt_slot_map_range(struct rt_slot_map *map, uint64_t first, uint64_t last, unsigned primary)
{
    if (first > last || last >= RT_SLOTS || !is_primary(map, primary)) {
        return RT_EPROTO;
    }
    for (uint64_t slot = first; slot <= last; slot++) {
        if (map->owner[slot] != RT_SLOT_NOBODY) {
            return RT_EPROTO;
        }
        give(map, slot, primary);
    }
    return 0;
}

int rt_slot_map_moved(struct rt_slot_map *map, uint16_t slot, const struct rt_slot_place *place)
{
    int at = rt_slot_map_find(map, place);

    if (slot >= RT_SLOTS) {
        return RT_EPROTO;
    }
    if (at >= 0) { /* a replica that has been promoted */
        map->nodes[at].primary = (uint8_t)at;
    } else {
        at = add(map, place, RT_SLOT_NOBODY);
    }
    if (at >= 0) {
        give(map, slot, (unsigned)at);
    }
    return at < 0 ? at : 0;
}

size_t rt_slot_map_replicas(const struct rt_slot_map *map, unsigned primary)
{
    size_t n = 0;

    for (size_t i = 0; i < map->n; i++) {
        n += i != primary && map->nodes[i].primary == primary;
    }
    return n;
}

/* Error replies. */

/* Digits up to `most`, then the text behind them; NULL: there are none, or they say more. */
static const char *number(const char *text, unsigned most, unsigned *value)
{
    const char *at = text;

    *value = 0;
    while (*at >= '0' && *at <= '9') {
        *value = *value * 10 + (unsigned)(*at - '0');
        if (*value > most) {
            return NULL;
        }
        at++;
    }
    return at > text ? at : NULL;
}

/* " 3999 host:port"; the host may have colons of its own, or be missing. */
static bool read_redirect(const char *text, const struct rt_slot_place *asked, uint16_t *slot,
                          struct rt_slot_place *place)
{
    const char *colon, *end;
    unsigned value, port;

    text = *text == ' ' ? number(text + 1, RT_SLOTS - 1, &value) : NULL;
    if (text == NULL || *text != ' ') {
        return false;
    }
    text++;
    colon = strrchr(text, ':');
    end = colon != NULL ? number(colon + 1, UINT16_MAX, &port) : NULL;
    if (end == NULL || *end != '\0' || (size_t)(colon - text) > RT_SLOT_HOST_MAX) {
        return false;
    }
    *slot = (uint16_t)value;
    *place = *asked;
    place->port = (uint16_t)port;
    if (colon > text) {
        memset(place->host, 0, sizeof(place->host));
        memcpy(place->host, text, (size_t)(colon - text));
    }
    return rt_slot_place_valid(place);
}

enum rt_slot_said rt_slot_said(const char *error, const struct rt_slot_place *asked, uint16_t *slot,
                               struct rt_slot_place *place)
{
    static const struct {
        const char *word;
        enum rt_slot_said said;
    } words[] = {
        {"MOVED", RT_SLOT_SAID_MOVED},
        {"ASK", RT_SLOT_SAID_ASK},
        {"TRYAGAIN", RT_SLOT_SAID_AGAIN},
        {"CLUSTERDOWN", RT_SLOT_SAID_DOWN},
    };
    size_t size = strcspn(error, " ");

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        bool is_redirect = i < 2;

        if (strlen(words[i].word) == size && strncmp(error, words[i].word, size) == 0) {
            return !is_redirect || read_redirect(error + size, asked, slot, place) ? words[i].said : RT_SLOT_SAID_OTHER;
        }
    }
    return RT_SLOT_SAID_OTHER;
}

/* Turns. */

static uint64_t pause_of(const struct rt_slot_turns *turns)
{
    return turns->pause != 0 ? turns->pause : RT_SLOT_ASK_MS;
}

void rt_slot_turns_doubt(struct rt_slot_turns *turns)
{
    uint64_t soonest = turns->asked_ever ? turns->asked + pause_of(turns) : 0;

    turns->due = turns->due < soonest ? turns->due : soonest;
}

uint64_t rt_slot_turns_due(const struct rt_slot_turns *turns)
{
    return turns->asking ? RT_SLOT_NEVER : turns->due;
}

size_t rt_slot_turns_ask(struct rt_slot_turns *turns, size_t n, uint64_t now)
{
    size_t node = turns->next < n ? turns->next : 0;

    turns->asking = turns->asked_ever = true;
    turns->asked = now;
    turns->due = now + RT_SLOT_OLD_MS;
    turns->next = node + 1;
    return node;
}

void rt_slot_turns_answered(struct rt_slot_turns *turns, bool has_map, bool changed, bool whole)
{
    uint64_t pause = pause_of(turns);

    turns->asking = false;
    if (has_map && (whole || changed)) {
        turns->pause = 0;
    }
    if (!has_map || !whole) {
        rt_slot_turns_doubt(turns);
        turns->pause = changed ? 0 : 2 * pause < RT_SLOT_OLD_MS ? 2 * pause : RT_SLOT_OLD_MS;
    }
}
