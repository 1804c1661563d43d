/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_SIZED_H
#define RETETHER_CLIENTS_LIB_SIZED_H

#include "session/base/error.h"

#include <stddef.h>

/* Structs that a program fills and that grow at their end with later versions. Each begins with a size_t: its size as
 * the program was compiled.
 *
 *     a program of today, a library of tomorrow: the fields that the program does not know are zero, as of old
 *     a program of tomorrow, a library of today: what the library does not know has to be zero, else RT_EINVAL
 *
 * So a new field lies behind the whole struct of the version before, never in its padding: the size has to grow with
 * it. */

/* A larger size is no size. */
#define RT_SIZED_MAX 4096

/* Copies the program's struct `in` to `out`, which has `known` bytes here. least: bytes of the struct's first version.
 */
RT_MUST_CHECK int rt_sized_take(void *out, size_t known, const void *in, size_t least);
/* Fills the program's struct `out` of `size` bytes from `full`, which has `known` bytes here; what is beyond is zero.
 */
void rt_sized_give(void *out, size_t size, const void *full, size_t known);

#endif
