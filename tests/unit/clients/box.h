/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_BOX_H
#define RETETHER_TESTS_UNIT_CLIENTS_BOX_H

#include "session/core/digest.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"
#include "tests/unit/clients/fixture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The container "web" behind the agents of a fixture, as clients see it: processes with output that the test writes,
 * attachments, input that is taken or not. Written from docs/protocol.md; it checks every offset and digest that a
 * client tells, and may be attached to through any of the agents. */

#define BOX_CID "web"
#define BOX_PROCS 2
#define BOX_ATTS 4
#define BOX_BYTES (3 * 1024 * 1024) /* of one stream */

struct box_out {
    uint8_t data[BOX_BYTES];
    uint64_t size, base; /* [base, size) is kept */
    bool fin;
};

struct box_proc {
    bool made, tty, exited, no_input;
    bool awaited; /* what it is to run has not come whole */
    uint64_t code, sig;
    struct box_out out[3]; /* stdout, stderr, control-up */
};

struct box_in {
    uint64_t applied;
    struct rt_digest digest;
    bool fin, closed;
    uint64_t received; /* beyond what is applied it is dropped */
    uint8_t data[BOX_BYTES];
};

struct box_att {
    bool made;
    uint8_t id[RT_ID_SIZE];
    uint64_t proc, want, tries, hold, rows, cols, resumes;
    bool once, take;
    struct link *link; /* NULL: not bound */
    unsigned serial;   /* the link's, when it was bound */
    uint32_t channel;
    struct {
        uint64_t sent, limit, acked;
        bool fin_sent, fin_acked;
    } out[3];
    struct box_in in[2]; /* stdin, control-down */
};

struct box {
    struct fixture *f;
    struct box_proc proc[BOX_PROCS];
    struct box_att att[BOX_ATTS];
    size_t n_atts;
    uint64_t life;
    bool stalled;              /* applies no input */
    bool deaf;                 /* answers no ATTACH: they are kept as frames */
    uint64_t refuse;           /* the next ATTACHs are refused as this class */
    unsigned refusals;         /* so many times */
    const char *words;         /* of those; NULL: "as the test wants" */
    uint64_t code, sig;        /* with ENDED */
    unsigned made, runs;       /* processes that exec has made; those that were told what to run */
    unsigned detached;         /* DETACHs */
    uint64_t refused_cls;      /* of the newest REFUSE that came from a client */
    uint8_t what[RT_EXEC_MAX]; /* of the newest exec, as it comes */
    size_t what_size;
    char text[BOX_BYTES]; /* of argv of the newest exec, and items: "exec a b;", "signal 15;", "resize 3x4;" */
    /* requests */
    enum rt_session_state state; /* in its record; RT_SESSION_NONE: there is none */
    uint64_t tail_code, tail_sig, tail_end[2];
    const char *tail[2];
    struct rt_slice tail_order;
    bool tail_lost, tail_cut;
    const char *tail_keeper; /* who has them, and cannot be dialled */
    uint64_t later;          /* so many requests are refused as RETRY_LATER */
    unsigned requests;
    unsigned removed; /* requests `remove` */
    /* May be NULL. Returns whether it has answered. */
    bool (*on_request)(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request);
};

/* Puts it behind all agents of the fixture. Static: one a program. */
struct box *box_open(struct fixture *f);

void box_write(struct box *box, unsigned proc, unsigned stream, const void *data, size_t size);
/* Gives up what is below offset. */
void box_forget(struct box *box, unsigned proc, unsigned stream, uint64_t offset);
void box_fin(struct box *box, unsigned proc, unsigned stream);
/* All streams end, and control-up tells. */
void box_exit(struct box *box, unsigned proc, unsigned code, unsigned sig);
/* The container has ended: its record says so, and each attach is told. */
void box_ended(struct box *box);
void box_resized(struct box *box, unsigned proc, unsigned rows, unsigned cols);
/* Takes input again. */
void box_take(struct box *box);
/* The process closes its stdin. */
void box_close_input(struct box *box, struct box_att *att);
/* Sends what may go. */
void box_pump(struct box *box);
/* The only attachment to a process; NULL when there is none. */
struct box_att *box_att(struct box *box, unsigned proc);
bool box_bound(struct box *box, unsigned proc);

#endif
