/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_CORE_TETHER_CLIENTS_H
#define RETETHER_TESTS_UNIT_SESSION_CORE_TETHER_CLIENTS_H

#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/tether.h"
#include "tests/unit/session_core/tether_fixture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The clients of that tether: attachments, what they receive and acknowledge, and what they type. */

/* An output stream as a client receives it. */
struct tx_rx {
    uint64_t next; /* all below is consumed */
    uint64_t from; /* of the digest */
    uint64_t limit;
    unsigned gaps;
    uint64_t gap_from, gap_to; /* the last */
    bool fin;
};

/* A stable 16-byte id. */
struct rt_slice tx_id(uint8_t n);
struct rt_attach_msg tx_new(uint8_t id, uint64_t try_no);
void tx_attach(struct tx *tx, uint32_t channel, const struct rt_attach_msg *msg);
/* Takes the output; ATTACHED must be in it. */
void tx_attached(struct tx *tx, uint32_t channel, struct rt_attached_msg *msg);
/* Takes the output; a refusal of the channel must be in it, of this class. */
struct rt_refuse_msg tx_refused(struct tx *tx, uint32_t channel, enum rt_class cls);
/* An ATTACH on a channel of its own (from 1001 on) is refused with this class and a text. */
void tx_attach_refused(struct tx *tx, struct rt_attach_msg msg, enum rt_class cls);
/* A new attachment with these terms, bound; its ATTACHED taken. */
void tx_bind(struct tx *tx, uint32_t channel, const struct rt_attach_msg *msg);
/* The same with this hold, and an id of the channel's number. hold 0: an observer, which has no input either. */
void tx_hold(struct tx *tx, uint32_t channel, uint64_t hold);
/* Acknowledges control-up up to its head. */
void tx_ack_control(struct tx *tx, uint32_t channel, uint32_t proc);
/* The items of control-up that a take brought on a channel, decoded. Returns how many; the last one in `up`. */
unsigned tx_up_items(const struct tx *tx, uint32_t channel, struct rt_up_item *up);
void tx_end_ok(struct tx *tx, enum rt_end_how how, uint64_t delay);
uint64_t tx_digest(unsigned stream, uint64_t from, uint64_t to);
void tx_ack_raw(struct tx *tx, uint32_t channel, unsigned stream, uint64_t consumed, uint64_t limit, uint64_t digest,
                uint8_t flags);
struct tx_rx tx_rx(uint64_t start);
/* Consumes what the frames taken bring of a stdout or stderr, checking every byte. Returns how many bytes came. */
uint64_t tx_consume(struct tx *tx, uint32_t channel, unsigned stream, struct tx_rx *rx);
/* Says what was consumed, and that `window` bytes more are welcome. */
void tx_ack(struct tx *tx, uint32_t channel, unsigned stream, struct tx_rx *rx, uint64_t window);
/* Takes and acknowledges until nothing more comes. */
void tx_drain(struct tx *tx, uint32_t channel, unsigned stream, struct tx_rx *rx);
void tx_data(struct tx *tx, uint32_t channel, unsigned stream, uint64_t offset, const void *data, size_t size);
void tx_fin(struct tx *tx, uint32_t channel, unsigned stream, uint64_t offset);
void tx_detach(struct tx *tx, uint32_t channel);
/* The newest ACK of an input stream among the frames taken; NULL: none. */
const struct tx_frame *tx_in_ack(const struct tx *tx, uint32_t channel, unsigned stream);
uint64_t tx_bytes_digest(const void *data, size_t size);
/* A resume from these cursors; `in` offsets are what was acknowledged and written of stdin. Control streams at 0. */
struct rt_attach_msg tx_resume(uint8_t id, uint64_t try_no, const struct tx_rx *out, const struct tx_rx *err,
                               uint64_t acked, uint64_t head);
/* A new attachment with a process of its own; and that told, on its channel, to run a word. */
struct rt_attach_msg tx_new_observer(uint8_t id, uint64_t try_no);
struct rt_attach_msg tx_new_exec(uint8_t id, uint64_t try_no);
void tx_run_word(struct tx *tx, uint32_t channel, const char *word);
/* Both, bound to the channel. Returns the process. */
uint32_t tx_exec(struct tx *tx, uint32_t channel, uint8_t id, uint64_t hold);
/* An item of control-down as its bytes. */
size_t tx_item(uint8_t *out, const struct rt_down_item *item);
struct rt_tether_view tx_view(const struct tx *tx);

#endif
