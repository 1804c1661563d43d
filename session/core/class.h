/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLASS_H
#define RETETHER_SESSION_CORE_CLASS_H

#include <stdint.h>

/* What a refusal says, and what a record says of its session. */

enum rt_class {
    RT_CLASS_OK,
    RT_CLASS_RETRY_LATER,
    RT_CLASS_MOVED,
    RT_CLASS_STALE,
    RT_CLASS_REWOUND,
    RT_CLASS_FORKED,
    RT_CLASS_SUPERSEDED,
    RT_CLASS_BAD_AUTH,
    RT_CLASS_NOT_FOUND,
    RT_CLASS_ENDED,
    RT_CLASS_UNKNOWN_ATTACHMENT,
    RT_CLASS_STOLEN,
    RT_CLASS_VERSION,
    RT_CLASS_LIMIT,
    RT_CLASS_PROTOCOL,
    RT_CLASS_LOST,
    RT_CLASS_JUMP,
    RT_CLASS_DENIED,
    RT_CLASS_INVALID,
    RT_CLASS_AMBIGUOUS,
    RT_CLASSES,
};

/* "RETRY_LATER" and so on, or "?". */
const char *rt_class_name(uint64_t cls);

enum rt_session_state {
    RT_SESSION_NONE,
    RT_SESSION_CREATED,
    RT_SESSION_RUNNING,
    RT_SESSION_MOVING,
    RT_SESSION_LOST,
    RT_SESSION_ENDED,
};

const char *rt_session_state_name(uint64_t state);

#endif
