/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VECTORS_VECTOR_H
#define RETETHER_TESTS_VECTORS_VECTOR_H

#include "session/base/error.h"
#include "session/core/frame.h"
#include "session/core/msg.h"

/* Reads the files that README.md beside this describes. */

/* A frame with the longest payload. */
#define RT_VECTOR_SIZE_MAX (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)

enum rt_vector_expect { RT_VECTOR_OK, RT_VECTOR_ACCEPT, RT_VECTOR_REJECT };

struct rt_vector {
    char path[256];
    char what[16]; /* "frame" or "message" */
    char name[24]; /* frame type or message kind, "-" for a frame of no type */
    enum rt_vector_expect expect;
    char why[96]; /* REJECT: a part of the error's text */
    uint8_t bytes[RT_VECTOR_SIZE_MAX];
    size_t size;
};

/* RT_EIO when the file cannot be read, RT_EPROTO when it breaks the format; both printed on stderr. */
RT_MUST_CHECK int rt_vector_load(struct rt_vector *vector, const char *path);

/* Calls each with every vector of the folder, in the order of names. Returns how many, or a negative code. */
RT_MUST_CHECK int rt_vector_each(const char *folder, void (*each)(const struct rt_vector *vector, void *data),
                                 void *data);

/* The kind of that name ("end_ok"), or RT_MSG_KINDS. */
enum rt_msg_kind rt_vector_kind(const char *name);
const char *rt_vector_kind_name(enum rt_msg_kind kind);

/* The kind of map that a frame of that type carries, or RT_MSG_KINDS. */
enum rt_msg_kind rt_vector_payload(uint8_t type);

#endif
