/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_SEAL_KEYRING_H
#define RETETHER_MIGRATE_SEAL_KEYRING_H

#include "migrate/seal/crypto.h"
#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* The cluster's key ring: who holds it can make tokens for every session. All agents hold the same one.
 *
 * The file, of mode 0600, at most RT_KEYRING_FILE_MAX bytes:
 *
 *     # anything after a # is a comment; empty lines are skipped
 *     key 1 8f2c… active           the word, the key's id (1 to 4294967295), 64 hex digits, the mark
 *     key 2 03b7…
 *
 * The one key that is marked seals, all open. A lone key needs no mark. To change keys, append the new one without the
 * mark, bring the file to every host and have its agent load it; then move the mark, and do the same: so nobody seals
 * under a key that somebody else has not got. `retether keys` writes the file; docs/operations.md has the steps. */

/* Keys of a ring; a file with more is refused. */
#define RT_KEYRING_MAX 16
#define RT_KEYRING_FILE_MAX 4096

struct rt_keyring {
    struct {
        uint32_t id;
        uint8_t secret[RT_SECRET_SIZE];
    } keys[RT_KEYRING_MAX];
    size_t n_keys;
    uint32_t active;       /* id of the key that seals, 0 when the ring is empty */
    char why[RT_TEXT_MAX]; /* the last failure, for people */
};

/* An empty ring: it seals and opens nothing. */
void rt_keyring_init(struct rt_keyring *ring);

/* Erases the secrets; the ring is empty then. */
void rt_keyring_close(struct rt_keyring *ring);

/* The first key of a ring is its active one, until another is. RT_ELIMIT: full. RT_EEXIST: the id is there. RT_EINVAL:
 * id 0. */
RT_MUST_CHECK int rt_keyring_add(struct rt_keyring *ring, uint32_t id, const uint8_t secret[RT_SECRET_SIZE]);

/* NULL: no such key. */
const uint8_t *rt_keyring_find(const struct rt_keyring *ring, uint32_t id);

/* From now on the key of this id seals. RT_ENOTFOUND: there is none. */
RT_MUST_CHECK int rt_keyring_activate(struct rt_keyring *ring, uint32_t id);

/* Adds a new key, whose id is one above the highest. RT_ELIMIT: full. */
RT_MUST_CHECK int rt_keyring_grow(struct rt_keyring *ring, uint32_t *id);

/* Takes a key out, with which all that is sealed under it is worth nothing. RT_ENOTFOUND; RT_ESTATE: it is the active
 * one. */
RT_MUST_CHECK int rt_keyring_remove(struct rt_keyring *ring, uint32_t id);

/* Replaces the ring by the file's. On failure the ring stays as it was and `why` names path and reason: RT_ENOTFOUND;
 * RT_EAUTH when others than its owner may read or write it, or it is neither this user's nor root's; RT_ECONFIG for its
 * text; RT_EIO. */
RT_MUST_CHECK int rt_keyring_load(struct rt_keyring *ring, const char *path);

/* Makes the file with one new key, whole or not at all, and the ring with it. RT_EEXIST when there is a file, which is
 * left alone: load it. Else as for load. */
RT_MUST_CHECK int rt_keyring_create(struct rt_keyring *ring, const char *path);

/* Puts the ring in the place of the file, whole or not at all; owner and mode of the file stay, comments do not.
 * RT_EIO, RT_ENOTFOUND, RT_ENOMEM with `why`. */
RT_MUST_CHECK int rt_keyring_save(struct rt_keyring *ring, const char *path);

#endif
