/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
    /* splitmix64 by Sebastiano Vigna, public domain */
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static void binary_block(uint64_t seed, uint64_t number, uint8_t out[WORKLOAD_BLOCK])
{
    uint64_t state = mix(seed ^ mix(number));

    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    for (int i = 8; i < WORKLOAD_BLOCK; i += 8) {
        state = mix(state);
        memcpy(out + i, &state, 8);
    }
}

static void text_block(uint64_t seed, uint64_t number, uint8_t out[WORKLOAD_BLOCK])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567", digits[] = "0123456789abcdef";
    uint64_t state = mix(seed ^ mix(number));

    for (int i = 0; i < 16; i++) {
        out[i] = (uint8_t)digits[(number >> (60 - 4 * i)) & 15];
    }
    out[16] = ' ';
    for (int i = 17; i < WORKLOAD_BLOCK - 1; i++) {
        if ((i - 17) % 12 == 0) {
            state = mix(state);
        }
        out[i] = (uint8_t)letters[state & 31];
        state >>= 5;
    }
    out[WORKLOAD_BLOCK - 1] = '\n';
}

void workload_fill(uint64_t seed, enum workload_form form, uint64_t offset, void *out, size_t size)
{
    uint8_t block[WORKLOAD_BLOCK], *to = out;

    while (size > 0) {
        size_t skip = (size_t)(offset % WORKLOAD_BLOCK), n = WORKLOAD_BLOCK - skip;

        if (form == WORKLOAD_TEXT) {
            text_block(seed, offset / WORKLOAD_BLOCK, block);
        } else {
            binary_block(seed, offset / WORKLOAD_BLOCK, block);
        }
        n = n < size ? n : size;
        memcpy(to, block + skip, n);
        to += n;
        offset += n;
        size -= n;
    }
}

void workload_check_init(struct workload_check *check, uint64_t seed, enum workload_form form, uint64_t offset)
{
    memset(check, 0, sizeof(*check));
    check->seed = seed;
    check->form = form;
    check->offset = offset;
    rt_digest_start(&check->digest, offset);
}

void workload_check_skip(struct workload_check *check, uint64_t offset)
{
    check->offset = offset;
    rt_digest_start(&check->digest, offset);
}

static void take_sample(struct workload_check *check, const uint8_t *data, size_t size)
{
    size_t room = sizeof(check->sample) - check->sample_size;
    size_t n = size < room ? size : room;

    memcpy(check->sample + check->sample_size, data, n);
    check->sample_size += n;
}

bool workload_check_feed(struct workload_check *check, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint8_t want[4096];

    if (check->verdict != WORKLOAD_GOOD) {
        take_sample(check, bytes, size);
        return false;
    }
    while (size > 0) {
        size_t n = size < sizeof(want) ? size : sizeof(want), good = 0;

        workload_fill(check->seed, check->form, check->offset, want, n);
        if (memcmp(want, bytes, n) != 0) {
            while (want[good] == bytes[good]) {
                good++;
            }
            check->verdict = WORKLOAD_CHANGED;
            check->wrong_at = check->offset + good;
            take_sample(check, bytes + good, size - good);
            return false;
        }
        rt_digest_extend(&check->digest, bytes, n);
        check->offset += n;
        bytes += n;
        size -= n;
    }
    return true;
}

/* The number that a whole block at `data` claims, and whether the rest of it fits. */
static bool block_number(const struct workload_check *check, const uint8_t *data, uint64_t *number)
{
    uint8_t want[WORKLOAD_BLOCK];
    char digits[17];

    *number = 0;
    if (check->form == WORKLOAD_TEXT) {
        memcpy(digits, data, 16);
        digits[16] = '\0';
        *number = strtoull(digits, NULL, 16);
    } else {
        for (int i = 0; i < 8; i++) {
            *number = *number << 8 | data[i];
        }
    }
    workload_fill(check->seed, check->form, *number * WORKLOAD_BLOCK, want, sizeof(want));
    return memcmp(want, data, sizeof(want)) == 0;
}

void workload_check_explain(struct workload_check *check, char *why, size_t size)
{
    uint64_t number;

    for (size_t i = 0; check->verdict == WORKLOAD_CHANGED && i + WORKLOAD_BLOCK <= check->sample_size; i++) {
        if (block_number(check, check->sample + i, &number)) {
            uint64_t is = number * WORKLOAD_BLOCK, seems = check->wrong_at + i;

            if (is != seems) {
                check->verdict = is > seems ? WORKLOAD_LOST : WORKLOAD_REPEATED;
                check->amount = is > seems ? is - seems : seems - is;
            }
            break;
        }
    }
    switch (check->verdict) {
    case WORKLOAD_GOOD:
        (void)snprintf(why, size, "good up to offset %" PRIu64, check->offset);
        break;
    case WORKLOAD_LOST:
        (void)snprintf(why, size, "%" PRIu64 " bytes lost at offset %" PRIu64, check->amount, check->wrong_at);
        break;
    case WORKLOAD_REPEATED:
        (void)snprintf(why, size, "%" PRIu64 " bytes repeated at offset %" PRIu64, check->amount, check->wrong_at);
        break;
    case WORKLOAD_CHANGED:
        (void)snprintf(why, size, "bytes changed at offset %" PRIu64, check->wrong_at);
        break;
    }
}

bool workload_read_size(const char *text, uint64_t *value)
{
    static const char units[] = "KMG";
    const char *unit;
    char *end;

    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    *value = strtoull(text, &end, 10);
    if (end[0] == '\0') {
        return true;
    }
    unit = strchr(units, end[0]);
    if (unit == NULL || end[1] != '\0' || *value > UINT64_MAX >> 40) {
        return false;
    }
    *value <<= 10 * (unit - units + 1);
    return true;
}

/* The number behind the next `word`, after which *text then points. */
static bool number_after(const char **text, const char *word, int base, uint64_t *value)
{
    const char *at = strstr(*text, word);
    char *end;

    if (at == NULL) {
        return false;
    }
    *value = strtoull(at + strlen(word), &end, base);
    *text = end;
    return end > at + strlen(word);
}

bool workload_read_report(const char *text, struct workload_report *report)
{
    const char *last = NULL;

    for (const char *at = text; (at = strstr(at, "workload: out ")) != NULL; at++) {
        last = at;
    }
    return last != NULL && number_after(&last, "out ", 10, &report->out) &&
           number_after(&last, "xxh64 ", 16, &report->out_hash) && number_after(&last, "in ", 10, &report->in) &&
           number_after(&last, "xxh64 ", 16, &report->in_hash) &&
           number_after(&last, "longest pause ", 10, &report->pause_ms);
}
