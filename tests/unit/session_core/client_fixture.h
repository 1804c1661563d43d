/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_CORE_CLIENT_FIXTURE_H
#define RETETHER_TESTS_UNIT_SESSION_CORE_CLIENT_FIXTURE_H

#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A client machine in virtual time, with agents and guests played by the test: frames are made and read by hand. */

#define FX_FRAMES 512
#define FX_SLOTS 8
#define FX_BUF (4 * 65556)

struct rt_client;
struct rt_reply_msg;
struct rt_request_msg;

struct fx_frame {
    struct rt_frame head;
    const uint8_t *payload; /* in fx.out, until the next take */
};

struct fx {
    struct rt_client *client;
    uint64_t now;
    struct {
        bool dialing, up;
        char addr[RT_ADDR_MAX + 1], host[RT_HOST_MAX + 1];
        bool given;
        unsigned dials, hangups;
        uint64_t dialed_at;
        const char *reason;
        char disproved[RT_HOST_MAX + 1]; /* with the newest hangup */
    } slot[FX_SLOTS];
    uint8_t out[FX_BUF];
    struct fx_frame frames[FX_FRAMES];
    size_t n_frames;
    unsigned replies, pings;
    int reply_error;
    uint64_t reply_id, reply_class;
};

void fx_random(void *ctx, void *out, size_t size);
void fx_on_reply(void *ctx, uint64_t request, int error, const struct rt_reply_msg *reply);
/* Runs the actions, as a shell does after every call. */
void fx_next(struct fx *fx);
/* All that the client has to send on a slot but pings, parsed. */
size_t fx_take(struct fx *fx, unsigned slot);
/* The n-th frame of a type among those taken, NULL when there are fewer. */
const struct fx_frame *fx_frame(const struct fx *fx, uint8_t type, size_t n);
void fx_send(struct fx *fx, unsigned slot, struct rt_frame head, const void *payload);
void fx_send_map(struct fx *fx, unsigned slot, struct rt_frame head, enum rt_msg_kind kind, const void *msg);
/* Virtual time goes on, stopping at each deadline; when `answer`, links that are up answer their pings. Bounded: no
 * busy loop. */
void fx_run(struct fx *fx, uint64_t ms, bool answer);
void fx_open(struct fx *fx, unsigned agents);
void fx_close(struct fx *fx);
/* The dial of a slot fails. */
void fx_lost(struct fx *fx, unsigned slot);
/* The dial succeeds and the agent h<slot> welcomes. */
void fx_up(struct fx *fx, unsigned slot);
/* Valid until the next call. */
const struct rt_request_msg *fx_request(const char *op);

#endif
