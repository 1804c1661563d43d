/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_BIND_H
#define RETETHER_SESSION_CORE_CLIENT_BIND_H

#include <stddef.h>
#include <stdint.h>

/* ATTACH and its answers. */

struct rt_catt;

/* Writes ATTACH if it fits, and makes the channel; 0 when it does not fit. */
size_t rt_catt_put_attach(struct rt_catt *att, uint8_t *out, size_t cap);
void rt_catt_on_attached(struct rt_catt *att, const uint8_t *payload, size_t size);
/* REFUSE on an attachment's channel. */
void rt_catt_refused(struct rt_catt *att, const uint8_t *payload, size_t size);

#endif
