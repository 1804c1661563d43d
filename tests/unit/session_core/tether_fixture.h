/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_CORE_TETHER_FIXTURE_H
#define RETETHER_TESTS_UNIT_SESSION_CORE_TETHER_FIXTURE_H

#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A tether machine in virtual time. The test plays the agent, its clients and the container's processes: frames are
 * made and read by hand. The byte at an offset of an output stream is always tx_byte(stream, offset). */

#define TX_CAP ((size_t)2 * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)) /* the least that a shell may give */
#define TX_OUT (24 * TX_CAP)
#define TX_FRAMES 4096
#define TX_RING ((size_t)65536)
#define TX_WANT 0x1f
#define TX_SIGS 64
#define TX_INITIAL RT_INITIAL_CREDIT
#define TX_WINDOW 32768

struct tx_frame {
    struct rt_frame head;
    const uint8_t *payload; /* in tx.out, until the next take */
};

struct tx {
    struct rt_tether *tether;
    struct rt_tether_config config;
    uint64_t now;
    uint8_t randoms; /* each use of randomness gives other bytes */
    bool dialing, up;
    bool starts_wait; /* START is answered by the test */
    bool drain;       /* its WELCOMEs say that the record has ended */
    unsigned start_code;
    unsigned dials, hangups, starts, sigs, resizes, stdin_ends, closes, overs;
    const char *reason;
    struct {
        uint32_t proc;
        unsigned sig;
    } sig[TX_SIGS];
    uint32_t start_proc, close_proc;
    bool start_tty, start_in;
    unsigned rows, cols;      /* of the last START or RESIZE */
    char argv0[64];           /* of the last exec'd START */
    size_t word;              /* the same: bytes of its second argument, which are tx_word_byte()s */
    size_t out_cap;           /* per call of rt_tether_output() */
    uint64_t written[128][2]; /* per process and stream, by tx_produce() */
    uint8_t out[TX_OUT];
    size_t out_size;
    struct tx_frame frames[TX_FRAMES];
    size_t n_frames;
};

#define tx_deadline(tx) rt_tether_deadline((tx)->tether)

uint8_t tx_byte(unsigned stream, uint64_t offset);
uint8_t tx_word_byte(size_t i);
/* Runs the actions, as a shell does after every call. */
void tx_next(struct tx *tx);
/* Reads tx.out into frames; each must keep the rules. */
void tx_parse(struct tx *tx);
/* All that the tether has to send, parsed. */
size_t tx_take(struct tx *tx);
/* The n-th frame of a type and channel among those taken, NULL when there are fewer. */
const struct tx_frame *tx_frame(const struct tx *tx, uint8_t type, uint32_t channel, size_t n);
size_t tx_count(const struct tx *tx, uint8_t type);
void tx_decode(const struct tx_frame *frame, enum rt_msg_kind kind, void *msg);
void tx_send(struct tx *tx, struct rt_frame head, const void *payload);
void tx_send_map(struct tx *tx, struct rt_frame head, enum rt_msg_kind kind, const void *msg);
void tx_refuse(struct tx *tx, uint32_t channel, const struct rt_refuse_msg *msg);
void tx_tick(struct tx *tx, uint64_t at);
/* Virtual time goes on, stopping at each deadline; when `answer`, the agent is heard each time. No deadline may stay in
 * the past once it was answered: the shell would spin. */
void tx_run(struct tx *tx, uint64_t ms, bool answer);
struct rt_tether_config tx_config(struct tx *tx);
/* A tether that has just started its process and dials. */
void tx_open(struct tx *tx, const struct rt_tether_config *config);
void tx_close(struct tx *tx);
/* The dial succeeds; decodes the hello. */
void tx_connect(struct tx *tx, struct rt_hello_msg *hello);
void tx_welcome(struct tx *tx, uint64_t life, const char *ticket);
/* Dialling -> LIVE; CONFIRM and REPORT are taken. */
void tx_up(struct tx *tx);
void tx_live(struct tx *tx, const struct rt_tether_config *config);
void tx_lost(struct tx *tx);
/* The link is reset and comes back. */
void tx_cut(struct tx *tx);

#endif
