/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/seal/keyring.h"

#include <string.h>

void rt_keyring_init(struct rt_keyring *ring)
{
    memset(ring, 0, sizeof(*ring));
}

void rt_keyring_close(struct rt_keyring *ring)
{
    rt_crypto_wipe(ring, sizeof(*ring));
}

int rt_keyring_add(struct rt_keyring *ring, uint32_t id, const uint8_t secret[RT_SECRET_SIZE])
{
    if (id == 0) {
        return RT_EINVAL;
    }
    if (rt_keyring_find(ring, id) != NULL) {
        return RT_EEXIST;
    }
    if (ring->n_keys == RT_KEYRING_MAX) {
        return RT_ELIMIT;
    }
    if (ring->n_keys == 0) {
        ring->active = id;
    }
    ring->keys[ring->n_keys].id = id;
    memcpy(ring->keys[ring->n_keys].secret, secret, RT_SECRET_SIZE);
    ring->n_keys++;
    return 0;
}

const uint8_t *rt_keyring_find(const struct rt_keyring *ring, uint32_t id)
{
    for (size_t i = 0; i < ring->n_keys; i++) {
        if (ring->keys[i].id == id) {
            return ring->keys[i].secret;
        }
    }
    return NULL;
}

int rt_keyring_activate(struct rt_keyring *ring, uint32_t id)
{
    if (rt_keyring_find(ring, id) == NULL) {
        return RT_ENOTFOUND;
    }
    ring->active = id;
    return 0;
}

int rt_keyring_remove(struct rt_keyring *ring, uint32_t id)
{
    size_t i = 0;

    while (i < ring->n_keys && ring->keys[i].id != id) {
        i++;
    }
    if (i == ring->n_keys) {
        return RT_ENOTFOUND;
    }
    if (id == ring->active) {
        return RT_ESTATE;
    }
    ring->n_keys--;
    memmove(&ring->keys[i], &ring->keys[i + 1], (ring->n_keys - i) * sizeof(ring->keys[0]));
    rt_crypto_wipe(&ring->keys[ring->n_keys], sizeof(ring->keys[0]));
    return 0;
}
