/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_GUESTS_H
#define RETETHER_TESTS_SIM_GUESTS_H

#include "session/core/protocol.h"
#include "tests/sim/clients.h"
#include "tests/sim/commands.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guests, and what the processes in them have written and taken, past by past. */

#define SIM_GUESTS 6 /* instances: originals, clones, restarted copies */
#define SIM_LINES 24 /* pasts: each revert, clone or restart begins another */
#define SIM_APPLIED ((size_t)SIM_CLIENTS * SIM_ATTS * 16)

struct rt_tether;

struct sim_log { /* everything that one past of a container's process wrote */
    bool used;
    int container;
    uint8_t *data[2]; /* owned; stdout, stderr */
    size_t size[2], cap[2];
};

struct sim_applied { /* what one past's process took from one attachment */
    uint8_t id[RT_ID_SIZE];
    uint64_t count;
};

struct sim_hold { /* of one attachment at a guest, as seen from outside */
    uint8_t id[RT_ID_SIZE];
    uint64_t us; /* for which it has stopped the process since it had caught up */
    uint64_t goal[2];
};

struct sim_done { /* what the processes of one past have done */
    bool started;
    struct sim_applied applied[SIM_APPLIED];
    size_t n_applied;
    struct sim_command commands[SIM_COMMANDS];
    size_t n_commands;
};

struct sim_guest {
    bool used, running, paused;
    bool touched; /* its machine was called since the last check */
    uint32_t gen;
    int container, line, host, conn;
    uint64_t base;            /* the lowest life that its token may start */
    struct rt_tether *tether; /* owned */
    uint64_t timer_us, paused_until_us;
    bool exits, exited;
    bool superseded; /* it was told so, and has not been served since */
    bool hung;       /* when the faults ended a link of its was dead, and one end had not been told */
    struct sim_done done;
    bool stopped[2]; /* the process found no room for its output */
    struct sim_hold holds[RT_ATTS_MAX];
    uint64_t looked_us, dark_us; /* last looked at its holds; without an agent since */
    /* snapshot */
    struct rt_tether *saved; /* owned */
    size_t saved_size[2];
    struct sim_done saved_done;
};

#define SIM_CODE 7 /* what a process exits with, and the number of its past */

int sim_new_guest(int container, int host, int line);
int sim_new_line(int container, int from_line, const size_t *size);
void sim_guest_pump(int guest);
void sim_guest_app(int guest);
/* Where a process writes to; NULL: it must wait. */
uint8_t *sim_space(struct sim_guest *g, uint32_t proc, unsigned stream, size_t *size);
void sim_guest_exit(int guest);
void sim_guest_move(int guest, int host, unsigned tell);
bool sim_guest_save(int guest);
bool sim_guest_revert(int guest);
int sim_guest_clone(int guest, int host);
void sim_guest_kill(int guest);
/* What it has, a ticket or else its token, is of a life that the store has revoked. */
bool sim_guest_revoked(int guest);
void sim_free_guest(int guest);
struct rt_tether *sim_copy_tether(const struct rt_tether *from);

#endif
