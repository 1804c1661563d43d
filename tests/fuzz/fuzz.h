/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_FUZZ_FUZZ_H
#define RETETHER_TESTS_FUZZ_FUZZ_H

#include "session/base/slice.h"
#include "session/core/frame.h"
#include "session/core/msg.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The entry points that libFuzzer calls. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input. */
#define FUZZ_CHECK(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* An input that is read as choices, from its front. At its end every choice is 0: each is made such that 0 is what an
 * honest peer would do. */
struct fuzz_in {
    const uint8_t *data;
    size_t size;
};

uint8_t fuzz_byte(struct fuzz_in *in);
/* Mostly below 224; also any number of 16 bits, and larger ones with few bits set. */
uint64_t fuzz_number(struct fuzz_in *in);
/* The next bytes as they are, as many as the next byte says if there are so many. */
struct rt_slice fuzz_bytes(struct fuzz_in *in);

/* For a machine's `random`: never the same twice within one input. ctx: the uint8_t that counts. */
void fuzz_random(void *ctx, void *out, size_t size);

/* A folder of this process's own, in memory where there is such a place. It goes with the process, unless a check
 * fails.
 */
const char *fuzz_folder(void);

#define FUZZ_FRAME_MAX ((size_t)RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)

/* The bytes on their way to a machine, as its shell keeps them: what it has not used comes before what follows. */
struct fuzz_pipe {
    uint8_t before[RT_FRAME_HEADER]; /* a machine may write here */
    uint8_t bytes[3 * FUZZ_FRAME_MAX];
    size_t size;
};

void fuzz_pipe_reset(struct fuzz_pipe *pipe);
/* Puts bytes behind those that were left. Until fuzz_pipe_used() a read behind them is an error. */
void fuzz_pipe_add(struct fuzz_pipe *pipe, const uint8_t *data, size_t size);
/* The machine has used so many of pipe->size. */
void fuzz_pipe_used(struct fuzz_pipe *pipe, size_t used);

/* A header with room for its payload behind it. */
struct fuzz_frame {
    struct rt_frame head;
    uint8_t bytes[FUZZ_FRAME_MAX];
};

/* Any frame: its fields and payload are chosen, its length is right where its type has one. Returns its size. */
size_t fuzz_frame_any(struct fuzz_in *in, struct fuzz_frame *frame);
/* With a map as its payload; 0 when that cannot be encoded. */
size_t fuzz_frame_map(struct fuzz_frame *frame, enum rt_msg_kind kind, const void *msg);
/* With what frame->bytes has behind the header. */
size_t fuzz_frame_end(struct fuzz_frame *frame);

/* After an input, when its machine is freed: nothing large was left (what is small the leak check finds). */
void fuzz_pool_check(void);

/* What a machine sends: whole frames that keep all rules. */
void fuzz_check_frames(const uint8_t *data, size_t size);

#endif
