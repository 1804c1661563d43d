/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_TRANSPORT_LINK_END_H
#define RETETHER_TESTS_UNIT_SESSION_TRANSPORT_LINK_END_H

#include "session/core/identity.h"
#include "session/transport/buf.h"
#include "session/transport/link.h"
#include "tests/unit/session_transport/fixture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A link at each end of a socket pair, or a link and a bare descriptor. Frames of this test: length u32, then bytes of
 * one numbered sequence, so that any byte lost, repeated or moved shows. */

struct end {
    struct rt_link link;
    struct fixture *fixture;

    bool whole_frames; /* consume only whole frames, else all */
    bool echo;
    struct end *pass_to; /* send on, by reference */
    uint64_t seen;       /* payload bytes */
    uint64_t frames;
    size_t biggest_tail;

    unsigned drains, closes;
    bool closed;
    bool got_all;
    uint64_t want; /* payload bytes until got_all */
    int reason;
    char text[RT_LINK_TEXT_MAX];
};

/* One over a wire with a handshake. */
struct secure {
    struct end end; /* first: data of the link */
    unsigned readies;
    bool ready;
    char peer[RT_IDENTITY_TEXT_MAX];
    uint64_t seen_then; /* received when on_ready came */
};

extern struct rt_buf_pool pool;
extern const struct rt_link_ops ops;

uint8_t byte_at(uint64_t i);
void check_payload(struct end *end, const uint8_t *data, size_t size);
void on_close(struct rt_link *link, int reason, const char *text);
/* A plain link on `pool`. */
int open_link(struct fixture *fixture, struct rt_link *link, int fd, const struct rt_link_ops *with);
void open_end(struct fixture *fixture, struct end *end, int fd);
void open_on(struct fixture *fixture, struct secure *secure, int fd, const struct rt_wire_setup *wire);
void write_out(struct secure *secure, const void *bytes, size_t size);
/* A few turns of the loop, without waiting. */
void turn(const struct fixture *fixture);
void pair_of(int fds[2]);
void tcp_pair_of(int fds[2]);
void close_end(struct fixture *fixture, struct end *end);
void nonblocking(int fd);
/* `total` bytes of the sequence in frames of `size`; returns bytes, to be freed. */
uint8_t *make_frames(size_t total, size_t size, size_t *bytes);
void setup_pool(void);
void close_pool(void);

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
