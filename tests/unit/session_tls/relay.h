/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_TLS_RELAY_H
#define RETETHER_TESTS_UNIT_SESSION_TLS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whoever stands between two ends: passes bytes on in small pieces, changes one, or cuts the line. Way 0 leads from the
 * first end to the second. */
struct relay {
    int fds[2]; /* owned; -1 when cut */
    int ends[2];
    size_t step;       /* bytes at once */
    size_t moved[2];   /* bytes, each way */
    size_t cut_at[2];  /* the line is cut when so many have passed that way */
    size_t flip_at[2]; /* this byte is changed */
};

/* ends[] are for the two ends to own. */
void relay_open(struct relay *relay, size_t step);
/* Passes on one piece each way. Returns whether there was any. */
bool relay_turn(struct relay *relay);
void relay_cut(struct relay *relay);

#endif
