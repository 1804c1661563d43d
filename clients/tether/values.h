/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_VALUES_H
#define RETETHER_CLIENTS_TETHER_VALUES_H

#include "session/base/error.h"
#include "session/base/options.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>

#define TETHER_WHY_MAX RT_OPTION_WHY_MAX

/* Into an unsigned[2], "24x80": rows and columns, 1 to 65535. Returns false for what is no size. */
bool tether_read_size(const char *text, void *out);

/* An interface and its IPv4 address. */
struct tether_link {
    char name[IF_NAMESIZE];
    struct in_addr address, mask;
};

/* Into a struct tether_link, "eth0=169.254.10.2/16"; the prefix is 1 to 32. Returns false for what is no link. */
bool tether_read_link(const char *text, void *out);

#endif
