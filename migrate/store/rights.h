/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_RIGHTS_H
#define RETETHER_MIGRATE_STORE_RIGHTS_H

#include "migrate/store/args.h"

#include <stdbool.h>
#include <stddef.h>

/* The rights that an agent needs at the store: those of its ACL in docs/operations.md, and no others. Each is tried
 * with ACL DRYRUN, which runs nothing. Pure. */

#define RT_RIGHTS_MAX 48

/* How many there are, at most RT_RIGHTS_MAX: the last ones are of a cluster. */
size_t rt_rights(bool is_cluster);
/* As an ACL has it: "+hset", "+client|setname". */
const char *rt_right_name(size_t i);
/* ACL DRYRUN of what needs it. */
void rt_right_try(size_t i, const char *user, struct rt_redis_args *args);
/* Adds what is missing, by the server's answer to that, to a list with blanks between; once, and "..." where there is
 * no more room. */
void rt_right_missing(size_t i, const char *answer, char *list, size_t cap);

#endif
