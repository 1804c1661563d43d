/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_NAMES_H
#define RETETHER_BROKER_NAMES_H

#include "broker/access.h"

#include <stdbool.h>
#include <sys/types.h>

/* Users and groups of this machine. A number needs no entry, so these work where there is no /etc/passwd too. They may
 * ask the network (nsswitch.conf): they are called while the settings are read, and never by the loop. */

/* By name or number. False: there is none. */
bool rt_user_id(const char *text, uid_t *uid);
bool rt_group_id(const char *text, gid_t *gid);
extern const struct rt_access_names rt_access_names; /* both */

#endif
