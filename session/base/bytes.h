/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_BASE_BYTES_H
#define RETETHER_SESSION_BASE_BYTES_H

#include <stdint.h>

/* Numbers as bytes, the highest first. */

static inline uint16_t rt_get_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

static inline uint32_t rt_get_u32(const uint8_t *in)
{
    return (uint32_t)rt_get_u16(in) << 16 | rt_get_u16(in + 2);
}

static inline uint64_t rt_get_u64(const uint8_t *in)
{
    return (uint64_t)rt_get_u32(in) << 32 | rt_get_u32(in + 4);
}

static inline void rt_put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)(value & 0xff);
}

static inline void rt_put_u32(uint8_t *out, uint32_t value)
{
    rt_put_u16(out, (uint16_t)(value >> 16));
    rt_put_u16(out + 2, (uint16_t)(value & 0xffff));
}

static inline void rt_put_u64(uint8_t *out, uint64_t value)
{
    rt_put_u32(out, (uint32_t)(value >> 32));
    rt_put_u32(out + 4, (uint32_t)(value & UINT32_MAX));
}

#endif
