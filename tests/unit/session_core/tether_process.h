/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_SESSION_CORE_TETHER_PROCESS_H
#define RETETHER_TESTS_UNIT_SESSION_CORE_TETHER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The processes of that tether's container: what they write, read, and how they end. */

struct tx;

/* The process writes size bytes; returns how many found room. */
/* As the shell does: asks for space where there is none. NULL: the process must wait. */
uint8_t *tx_space(struct tx *tx, uint32_t proc, unsigned stream, size_t *room);
size_t tx_produce(struct tx *tx, uint32_t proc, unsigned stream, size_t size);
/* The same with bytes of the test's own. */
void tx_text(struct tx *tx, uint32_t proc, unsigned stream, const char *text);
bool tx_blocked(struct tx *tx, uint32_t proc, unsigned stream);
/* The process reads up to size bytes of its stdin. */
size_t tx_read(struct tx *tx, uint32_t proc, uint8_t *buf, size_t size);
/* Both pipes end and the process with them. */
void tx_exit(struct tx *tx, uint32_t proc, unsigned code);

#endif
