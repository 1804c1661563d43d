/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_ATTACK_HONEST_H
#define RETETHER_TESTS_SYSTEM_ATTACK_HONEST_H

#include <stdint.h>
#include <sys/types.h>

/* Sessions of honest users, beside all that attackers do: a container that streams and reads, and a `retether attach`
 * that feeds it and keeps what it says. Every byte of both directions is checked at the end. Calls assert. */

#define HONEST_SESSIONS 2
#define HONEST_CID "honest-1"

/* On host 0; the first attached over the unix socket, the second over TLS. */
void honest_start(void);
/* Until more has come through in each of them. */
void honest_go_on(void);
/* Ends all input, and checks what came at both ends. */
void honest_check(void);

#endif
