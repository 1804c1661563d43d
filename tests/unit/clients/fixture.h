/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_FIXTURE_H
#define RETETHER_TESTS_UNIT_CLIENTS_FIXTURE_H

#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

/* Scripted agents on the test's loop, for clients and for tethers: unix sockets in a private directory, frames made and
 * read with session/core's codec. What an agent is told by itself: HELLO is welcomed, PING answered. All else goes to
 * `on_frame`, or is kept until peer_expect() takes it. Allocates nothing once it is set up, so that allocations may
 * fail around it; rt_test_skew() lets the clock of the library under test run ahead. */

#define FX_PEERS 2
#define FX_LINKS 6
#define FX_KEPT 64
#define FX_KEPT_BYTES 4096 /* of a payload that is kept */
#define FX_IN_BYTES (4 * 65556)
#define FX_OUT_BYTES (4 * 1024 * 1024)
/* No test waits longer for anything. */
#define FX_LIMIT_MS 60000
#define FX_TICK_MS 5

struct fixture;
struct peer;

struct link { /* a connection that a peer has accepted */
    struct fixture *f;
    struct peer *peer; /* NULL: free */
    uv_poll_t poll;
    int fd;
    bool open, deaf; /* deaf: nothing is read of it */
    unsigned serial; /* another for each connection: the memory is used again */
    uint8_t in[FX_IN_BYTES];
    size_t in_size;
    uint8_t out[FX_OUT_BYTES];
    size_t out_at, out_size;
};

struct peer { /* an agent; its host is h0, h1 */
    struct fixture *f;
    char host[12], address[108];
    int fd; /* listening; -1: not */
    uv_poll_t poll;
    /* behaviour */
    bool silent;     /* HELLO is not answered */
    uint64_t refuse; /* HELLO is refused as this class, once */
    bool alone;      /* names no other agent */
    uint64_t life, epoch;
    /* counts */
    unsigned accepted, hellos, pings;
};

struct kept {
    struct link *link;
    struct rt_frame head;
    uint8_t payload[FX_KEPT_BYTES];
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t tick;
    unsigned ticks;
    char dir[64];
    struct peer peer[FX_PEERS];
    struct link link[FX_LINKS];
    struct kept kept[FX_KEPT];
    size_t n_kept;
    /* May be NULL. Returns whether the frame has been dealt with; else it is kept. */
    bool (*on_frame)(struct fixture *f, struct link *link, const struct rt_frame *head, const uint8_t *payload);
    void *data;
};

/* A setup and a teardown for cmocka: *state is the fixture. The teardown fails when a handle is left on the loop. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs the loop once, at most for a tick. Fails after FX_LIMIT_MS of one wait; fixture_begin() starts another. */
void fixture_begin(struct fixture *f);
void fixture_step(struct fixture *f);
#define FIXTURE_UNTIL(f, condition)                                                                                    \
    do {                                                                                                               \
        fixture_begin(f);                                                                                              \
        while (!(condition)) {                                                                                         \
            fixture_step(f);                                                                                           \
        }                                                                                                              \
    } while (0)
/* Whatever is under way on the loop now has happened after this. */
void fixture_settle(struct fixture *f);

/* libuv ends the program when the table of its watchers cannot grow: for tests of failing allocations it grows before.
 */
void fixture_grow(struct fixture *f);

/* What uv_now() says to everything linked to the test runs ahead by this. */
void rt_test_skew(uint64_t ms);

/* ---- agents ---- */

void peer_listen(struct peer *peer);
void peer_deafen(struct peer *peer); /* stops listening; links stay */
/* Ends every connection of this agent. */
void peer_cut(struct peer *peer);
/* One that is welcomed, or NULL. */
struct link *peer_link(struct peer *peer);

void link_send(struct link *link, struct rt_frame head, const void *payload);
/* The length comes from the message. */
void link_send_map(struct link *link, struct rt_frame head, enum rt_msg_kind kind, const void *msg);
void link_ack(struct link *link, uint32_t channel, unsigned stream, uint64_t consumed, uint64_t limit, uint64_t digest,
              uint8_t flags);
void link_gap(struct link *link, uint32_t channel, unsigned stream, uint64_t from, uint64_t to);
/* On channel 0 the link ends too. */
void link_refuse(struct link *link, uint32_t channel, const struct rt_refuse_msg *msg);
void link_close(struct link *link);

/* Waits for a frame of this type and takes it, with all that was kept before. */
struct kept peer_expect(struct fixture *f, enum rt_frame_type type);
/* Whether one has come; it stays. */
bool peer_has(const struct fixture *f, enum rt_frame_type type);

/* Reads a map, or fails. */
void fixture_decode(enum rt_msg_kind kind, const uint8_t *payload, size_t size, void *msg);
uint64_t fixture_digest(const void *data, size_t size);

#endif
