/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_WORKLOAD_STREAM_H
#define RETETHER_TESTS_LIB_WORKLOAD_STREAM_H

#include "session/core/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stream in which each byte is known from its offset, so that any piece of it can be checked by itself: blocks of 64
 * bytes that begin with their number and go on with what the number and the seed give. Two forms:
 *
 *   binary  8 bytes number (big-endian), 56 bytes of all values
 *   text    16 hex digits, a space, 46 characters of a-z2-7, a newline: a line is a block */

#define WORKLOAD_BLOCK 64
/* Bytes kept after a wrong one, to tell lost and repeated bytes from changed ones. */
#define WORKLOAD_SAMPLE 256

enum workload_form { WORKLOAD_BINARY, WORKLOAD_TEXT };

/* Writes the bytes [offset, offset + size) of the stream. */
void workload_fill(uint64_t seed, enum workload_form form, uint64_t offset, void *out, size_t size);

enum workload_verdict { WORKLOAD_GOOD, WORKLOAD_LOST, WORKLOAD_REPEATED, WORKLOAD_CHANGED };

struct workload_check {
    uint64_t seed;
    enum workload_form form;
    uint64_t offset; /* of the next byte */
    struct rt_digest digest;
    enum workload_verdict verdict;
    uint64_t wrong_at; /* offset of the first wrong byte */
    uint64_t amount;   /* bytes lost or repeated there */
    uint8_t sample[WORKLOAD_SAMPLE];
    size_t sample_size;
};

void workload_check_init(struct workload_check *check, uint64_t seed, enum workload_form form, uint64_t offset);
/* False from the first wrong byte on. */
bool workload_check_feed(struct workload_check *check, const void *data, size_t size);
/* A gap was told: the next byte has this offset. The digest starts anew. */
void workload_check_skip(struct workload_check *check, uint64_t offset);
/* One line about what is wrong; to be asked when no more comes. */
void workload_check_explain(struct workload_check *check, char *why, size_t size);

/* What the program says at its end, see workload_main.c. */
struct workload_report {
    uint64_t out, out_hash, in, in_hash, pause_ms;
};

/* Finds the newest report in the text. False: there is none. */
bool workload_read_report(const char *text, struct workload_report *report);

/* "4096", "64K", "256M", "1G" (powers of 1024). False: neither. */
bool workload_read_size(const char *text, uint64_t *value);

#endif
