/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DURATION_MAX_MS (UINT64_C(10) * 365 * 24 * 3600 * 1000)

int tether_fail(int code, char why[TETHER_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, TETHER_WHY_MAX, format, args);
    va_end(args);
    return code;
}

static int read_number(const char *text, uint64_t *value, const char **rest)
{
    char *end;

    if (text[0] < '0' || text[0] > '9') {
        return RT_EINVAL;
    }
    errno = 0;
    *value = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0 ? RT_OK : RT_EINVAL;
}

int tether_read_duration(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const char *rest;
    uint64_t value;

    if (read_number(text, &value, &rest) != 0) {
        return RT_EINVAL;
    }
    if (value == 0 && rest[0] == '\0') {
        *ms = 0;
        return RT_OK;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(rest, units[i].unit) == 0 && value <= DURATION_MAX_MS / units[i].ms) {
            *ms = value * units[i].ms;
            return RT_OK;
        }
    }
    return RT_EINVAL;
}

int tether_read_size(const char *text, unsigned *rows, unsigned *cols)
{
    uint64_t row, col;
    const char *rest;

    if (read_number(text, &row, &rest) != 0 || rest[0] != 'x' || read_number(rest + 1, &col, &rest) != 0 ||
        rest[0] != '\0' || row == 0 || col == 0 || row > UINT16_MAX || col > UINT16_MAX) {
        return RT_EINVAL;
    }
    *rows = (unsigned)row;
    *cols = (unsigned)col;
    return RT_OK;
}

int tether_read_bytes(const char *text, size_t *bytes)
{
    const char *rest;
    uint64_t value;
    unsigned shift;

    if (read_number(text, &value, &rest) != 0 || (rest[0] != '\0' && rest[1] != '\0')) {
        return RT_EINVAL;
    }
    switch (rest[0]) {
    case '\0':
        shift = 0;
        break;
    case 'K':
    case 'k':
        shift = 10;
        break;
    case 'M':
    case 'm':
        shift = 20;
        break;
    default:
        return RT_EINVAL;
    }
    if (value > (uint64_t)SIZE_MAX >> shift) {
        return RT_EINVAL;
    }
    *bytes = (size_t)(value << shift);
    return RT_OK;
}

int tether_read_link(const char *text, struct tether_link *link)
{
    const char *address = strchr(text, '=');
    const char *slash = address != NULL ? strchr(address, '/') : NULL;
    char dotted[INET_ADDRSTRLEN];
    const char *rest;
    uint64_t prefix;
    size_t name;

    if (slash == NULL) {
        return RT_EINVAL;
    }
    name = (size_t)(address++ - text);
    if (name == 0 || name >= sizeof(link->name) || strcspn(text, "/ \t") < name ||
        (size_t)(slash - address) >= sizeof(dotted) || read_number(slash + 1, &prefix, &rest) != 0 || *rest != '\0' ||
        prefix < 1 || prefix > 32) {
        return RT_EINVAL;
    }
    memset(link, 0, sizeof(*link));
    memcpy(link->name, text, name);
    memcpy(dotted, address, (size_t)(slash - address));
    dotted[slash - address] = '\0';
    link->mask.s_addr = htonl(UINT32_MAX << (32 - prefix));
    return inet_pton(AF_INET, dotted, &link->address) == 1 ? RT_OK : RT_EINVAL;
}

int tether_read_file(const char *path, char *out, size_t size, size_t *used)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = 0;
    ssize_t n;

    *used = 0;
    if (fd < 0) {
        return RT_EIO;
    }
    do {
        n = read(fd, out + *used, size - *used);
        error = errno;
        *used += n > 0 ? (size_t)n : 0;
    } while (*used < size && (n > 0 || (n < 0 && error == EINTR)));
    close(fd);
    if (*used == size) {
        return RT_ELIMIT;
    }
    out[*used] = '\0';
    errno = error;
    return n < 0 ? RT_EIO : RT_OK;
}
