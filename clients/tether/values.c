/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/values.h"

#include "session/base/units.h"

#include <arpa/inet.h>
#include <string.h>

static bool read_part(const char *text, size_t size, uint64_t max, uint64_t *value)
{
    return rt_read_number((struct rt_slice){(const uint8_t *)text, size}, max, value);
}

bool tether_read_size(const char *text, void *out)
{
    unsigned *rows_cols = out;
    size_t size = strcspn(text, "x");
    uint64_t row, col;

    if (text[size] == '\0' || !read_part(text, size, UINT16_MAX, &row) ||
        !read_part(text + size + 1, strlen(text + size + 1), UINT16_MAX, &col) || row == 0 || col == 0) {
        return false;
    }
    rows_cols[0] = (unsigned)row;
    rows_cols[1] = (unsigned)col;
    return true;
}

bool tether_read_link(const char *text, void *out)
{
    struct tether_link *link = out;
    const char *address = strchr(text, '=');
    const char *slash = address != NULL ? strchr(address, '/') : NULL;
    char dotted[INET_ADDRSTRLEN];
    uint64_t prefix;
    size_t name;

    if (slash == NULL) {
        return false;
    }
    name = (size_t)(address++ - text);
    if (name == 0 || name >= sizeof(link->name) || strcspn(text, "/ \t") < name ||
        (size_t)(slash - address) >= sizeof(dotted) || !read_part(slash + 1, strlen(slash + 1), 32, &prefix) ||
        prefix < 1) {
        return false;
    }
    memset(link, 0, sizeof(*link));
    memcpy(link->name, text, name);
    memcpy(dotted, address, (size_t)(slash - address));
    dotted[slash - address] = '\0';
    link->mask.s_addr = htonl(UINT32_MAX << (32 - prefix));
    return inet_pton(AF_INET, dotted, &link->address) == 1;
}
