/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_TEXT_H
#define RETETHER_CLIENTS_TETHER_TEXT_H

#include "session/base/error.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define TETHER_WHY_MAX 320

/* Puts a sentence into `why`, cut if need be, and returns the code. */
__attribute__((format(printf, 3, 4))) int tether_fail(int code, char why[TETHER_WHY_MAX], const char *format, ...);

/* "1500ms", "30s", "5m", "2h"; a bare 0 needs no unit. RT_EINVAL otherwise. */
RT_MUST_CHECK int tether_read_duration(const char *text, uint64_t *ms);
/* "24x80": rows and columns, 1 to 65535. RT_EINVAL otherwise. */
RT_MUST_CHECK int tether_read_size(const char *text, unsigned *rows, unsigned *cols);
/* "65536", "64K", "1M" (powers of 1024). RT_EINVAL otherwise. */
RT_MUST_CHECK int tether_read_bytes(const char *text, size_t *bytes);

/* An interface and its IPv4 address. */
struct tether_link {
    char name[IF_NAMESIZE];
    struct in_addr address, mask;
};

/* "eth0=169.254.10.2/16"; the prefix is 1 to 32. RT_EINVAL otherwise. */
RT_MUST_CHECK int tether_read_link(const char *text, struct tether_link *link);

/* The whole of a file, NUL-terminated, and how many bytes it has. RT_EIO with errno, or RT_ELIMIT when it does not fit
 * into size - 1 bytes. */
RT_MUST_CHECK int tether_read_file(const char *path, char *out, size_t size, size_t *used);

#endif
