/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_CALLER_H
#define RETETHER_TESTS_UNIT_CLIENTS_CALLER_H

#include "session/core/digest.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "tests/unit/clients/fixture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The guest half's other side: an agent with one client of it. It attaches to the main process (attachment 0) and to
 * one of its own (attachment 1, on a terminal of 5 x 6), takes all output and checks its offsets, sends input, and
 * answers END. Allocates nothing. */

#define CALLER_BYTES (256 * 1024)
#define CALLER_ATTS 4

struct caller_att {
    bool made, bound, ever, closed; /* closed: the process takes no stdin */
    uint8_t id[RT_ID_SIZE];
    uint64_t proc, tries;
    struct {
        uint8_t data[CALLER_BYTES];
        size_t size;
        uint64_t fin; /* UINT64_MAX: not yet */
    } out[3];
    struct {
        uint8_t data[CALLER_BYTES];
        size_t size, acked, sent;
        bool fin, fin_sent;
    } in[2]; /* stdin, control-down */
    struct rt_up_item exit;
    struct rt_attached_msg attached;
};

struct caller {
    struct fixture *f;
    struct link *link; /* NULL: no guest */
    struct caller_att att[CALLER_ATTS];
    bool no_attach; /* does not attach by itself at CONFIRM */
    bool exec_tty;  /* of attachment 1's process */
    bool slow_end;  /* END is not answered: RT_END_LATER */
    bool ended;
    struct rt_end_msg end;
    size_t tail_size[2];
    unsigned confirms, reports, attaches;
    uint64_t refused_cls; /* of the newest REFUSE that the guest has sent */
};

/* Behind the first agent. Static: one a program. */
struct caller *caller_open(struct fixture *f);
/* Attaches, new or again. */
void caller_attach(struct caller *c, unsigned n);
void caller_input(struct caller *c, unsigned n, const void *data, size_t size);
void caller_input_end(struct caller *c, unsigned n);
void caller_item(struct caller *c, unsigned n, const struct rt_down_item *item);
/* Whether stdout of attachment n contains it. */
bool caller_has(const struct caller *c, unsigned n, const char *text);
bool caller_exited(const struct caller *c, unsigned n);

#endif
