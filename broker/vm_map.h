/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_VM_MAP_H
#define RETETHER_BROKER_VM_MAP_H

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stddef.h>
#include <stdint.h>

/* Which virtual machine has which vSocket CID on this host: a file that who starts the machines writes, a line for
 * each,
 *
 *     # CID  NAME
 *     3      web
 *     4      8f14e45f-ceea-467f-a0e6-1d9b3c8f2b7a
 */

/* Lines with a CID, and bytes; a larger file is an error. */
#define RT_VM_MAP_MAX 16384
#define RT_VM_MAP_BYTES_MAX ((size_t)2 * 1024 * 1024)

struct rt_vm_map {
    size_t n;
    struct rt_vm_cid *by_cid; /* owned; in order */
};

/* Whole, or not at all: RT_ECONFIG, RT_ENOMEM or as rt_read_ruled(), with `why`, which names the file and the line.
 * Others than its user may not write to the file. */
RT_MUST_CHECK int rt_vm_map_load(struct rt_vm_map *map, const char *path, char why[RT_TEXT_MAX]);
/* The machine's name; NULL: it is nobody's. */
const char *rt_vm_map_find(const struct rt_vm_map *map, uint32_t cid);
void rt_vm_map_free(struct rt_vm_map *map);

#endif
