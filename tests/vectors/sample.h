/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VECTORS_SAMPLE_H
#define RETETHER_TESTS_VECTORS_SAMPLE_H

#include "session/core/msg.h"

/* The struct that message-<kind>-full.hex holds: every member set, no two neighbours alike. */
const void *rt_sample(enum rt_msg_kind kind);

#endif
