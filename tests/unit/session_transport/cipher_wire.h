/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_TRANSPORT_CIPHER_WIRE_H
#define RETETHER_TESTS_UNIT_SESSION_TRANSPORT_CIPHER_WIRE_H

#include "session/transport/wire.h"

#include <stdint.h>

/* A wire that is not plain: bytes are turned over (XOR) on a plain wire below. In the handshake each side says
 * CIPHER_MARK and one byte, its number; by that the other side knows it as CIPHER_PEER "NUMBER". Who dialled speaks
 * first. */

#define CIPHER_PEER "spiffe://lab/retether/vch/peer-"
#define CIPHER_KEY 0x5c
#define CIPHER_MARK 0x11

struct cipher_context {
    uint8_t number; /* ours */
    bool no_memory; /* open fails */
};

extern const struct rt_wire_ops cipher_wire;

#endif
