/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_SEAL_SEAL_H
#define RETETHER_MIGRATE_SEAL_SEAL_H

#include "migrate/core/ticket.h"
#include "migrate/seal/keyring.h"

/* Sealed tokens: join tokens and tickets that only holders of the key ring can make or read. seal.c has the layout. */

/* Seals under the ring's active key, whose id goes into the token in the place of ticket->key_id. Returns the token's
 * bytes (at most RT_TOKEN_MAX), or RT_ESTATE for an empty ring, RT_ELIMIT, RT_EPROTO as rt_ticket_encode(), RT_EIO,
 * RT_ENOMEM. */
RT_MUST_CHECK int rt_seal(const struct rt_keyring *ring, const struct rt_ticket *ticket, uint8_t *out, size_t cap);

/* Opens a token. Returns 0; RT_EPROTO when it is none of this version; RT_ENOTFOUND when the ring has no key of the
 * token's key id; RT_EAUTH when it was not sealed under that key, or has been changed since; RT_EEXPIRED when wall_ms
 * has reached its expiry, with the ticket filled in. On any other error the ticket is all zeros. */
RT_MUST_CHECK int rt_unseal(const struct rt_keyring *ring, const uint8_t *token, size_t size, uint64_t wall_ms,
                            struct rt_ticket *ticket);

/* The ring as the pure agent's sealer. The ring must outlive it. */
struct rt_sealer rt_keyring_sealer(struct rt_keyring *ring);

#endif
