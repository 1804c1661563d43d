/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_FUNCTIONS_H
#define RETETHER_MIGRATE_STORE_FUNCTIONS_H

/* functions.lua as the build embedded it: what FUNCTION LOAD is given; and the digest of its code, which is in the
 * names of its functions. */
extern const char rt_store_functions_lua[];
extern const char rt_store_functions_version[];

#endif
