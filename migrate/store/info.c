/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rt_info_text(const char *info, const char *field, char *out, size_t cap)
{
    size_t length = strlen(field);

    while (info != NULL) {
        if (strncmp(info, field, length) == 0 && info[length] == ':') {
            snprintf(out, cap, "%.*s", (int)strcspn(info + length + 1, "\r\n"), info + length + 1);
            return true;
        }
        info = strchr(info, '\n');
        info = info != NULL ? info + 1 : NULL;
    }
    return false;
}

uint64_t rt_info_number(const char *info, const char *field, uint64_t otherwise)
{
    char text[24], *end;
    uint64_t value;

    if (!rt_info_text(info, field, text, sizeof(text)) || text[0] < '0' || text[0] > '9') {
        return otherwise;
    }
    value = strtoull(text, &end, 10);
    return *end == '\0' ? value : otherwise;
}
