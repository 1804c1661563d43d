/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/relay.h"

#include "tests/unit/session_transport/link_end.h"

#include <sys/socket.h>

#define PIECE_MAX 4096

void relay_open(struct relay *relay, size_t step)
{
    for (int i = 0; i < 2; i++) {
        int fds[2];
        pair_of(fds);
        relay->ends[i] = fds[0];
        relay->fds[i] = fds[1];
        nonblocking(fds[1]);
        relay->moved[i] = 0;
        relay->cut_at[i] = relay->flip_at[i] = SIZE_MAX;
    }
    relay->step = step;
}

void relay_cut(struct relay *relay)
{
    for (int i = 0; i < 2; i++) {
        if (relay->fds[i] >= 0) {
            (void)close(relay->fds[i]);
            relay->fds[i] = -1;
        }
    }
}

static bool pass(struct relay *relay, int way)
{
    uint8_t piece[PIECE_MAX];
    size_t want = relay->step < sizeof(piece) ? relay->step : sizeof(piece),
           left = relay->cut_at[way] - relay->moved[way];
    ssize_t got;

    if (relay->fds[way] < 0 || left == 0) {
        relay_cut(relay);
        return false;
    }
    got = read(relay->fds[way], piece, want < left ? want : left);
    if (got <= 0) {
        if (got == 0) {
            relay_cut(relay);
        }
        return false;
    }
    if (relay->flip_at[way] >= relay->moved[way] && relay->flip_at[way] < relay->moved[way] + (size_t)got) {
        piece[relay->flip_at[way] - relay->moved[way]] ^= 1;
    }
    relay->moved[way] += (size_t)got;
    (void)!write(relay->fds[1 - way], piece, (size_t)got); /* what is small has room, or nobody is there */
    return true;
}

bool relay_turn(struct relay *relay)
{
    bool there = pass(relay, 0), back = pass(relay, 1);

    return there || back;
}
