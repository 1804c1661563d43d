/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_CORE_CLIENT_STREAMS_H
#define RETETHER_TESTS_UNIT_SESSION_CORE_CLIENT_STREAMS_H

#include "session/core/attachment.h"
#include "session/core/msg_stream.h"

#include <stddef.h>
#include <stdint.h>

/* An attachment of that client and its streams, with the guest played by the test. */

struct fx;
struct fx_frame;
struct rt_refuse_msg;

#define FX_WANT 0x1f

struct rt_catt *fx_attach(struct fx *fx);
/* Takes a slot's output and decodes the ATTACH that must be in it. Returns its channel. */
uint32_t fx_take_attach(struct fx *fx, unsigned slot, struct rt_attach_msg *msg);
uint64_t fx_digest(const void *data, size_t size);
/* ATTACHED as a guest says it for all five streams: outputs from 0, nothing applied. */
struct rt_attached_msg fx_terms(void);
void fx_attached(struct fx *fx, unsigned slot, uint32_t channel, const struct rt_attached_msg *msg);
void fx_data(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t offset, const void *data,
             size_t size);
void fx_ack(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t consumed, uint64_t limit,
            uint64_t digest, uint8_t flags);
void fx_gap(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t from, uint64_t to);
void fx_fin(struct fx *fx, unsigned slot, uint32_t channel, unsigned stream, uint64_t offset);
void fx_stop(struct fx *fx, unsigned slot, uint32_t channel, uint64_t offset);
void fx_refuse(struct fx *fx, unsigned slot, uint32_t channel, const struct rt_refuse_msg *msg);
/* The dial of slot 0 succeeds, and the agent does not let the client in. */
void fx_refuse_link(struct fx *fx, uint64_t cls, uint64_t delay);
/* The item as bytes of control-up; returns its size. */
size_t fx_item(uint8_t *out, const struct rt_up_item *item);
/* The next event must be of this kind. */
struct rt_catt_event fx_event(struct rt_catt *att, enum rt_catt_event_kind kind);
void fx_quiet(struct rt_catt *att);
/* One agent, one attachment, live on channel 1; its first ACKs taken and checked. */
struct rt_catt *fx_live(struct fx *fx, unsigned agents);
/* Loses link 0, brings it back, takes the new ATTACH into msg. Returns its channel. */
uint32_t fx_cut(struct fx *fx, struct rt_attach_msg *msg);
/* Consumes all that can be read of a stream into buf; returns how much. */
size_t fx_read(struct fx *fx, struct rt_catt *att, unsigned stream, uint8_t *buf, size_t cap);
/* The one ACK of a stream in what was just taken; NULL: none. */
const struct fx_frame *fx_ack_of(const struct fx *fx, unsigned stream);
void fx_assert_ack(const struct fx *fx, unsigned stream, uint64_t consumed, uint64_t limit, uint64_t digest);

#endif
