/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/listen_item.h"

#include "broker/names.h"
#include "session/base/slice.h"
#include "session/base/units.h"

#include <stdio.h>
#include <string.h>

/* Where to listen, as the settings say it: an endpoint, and whom a unix socket's file lets in. */

/* Bytes of an endpoint, and of a group's name; a longer one is cut, and is none then. */
#define PART_MAX 255
/* Nobody but the agent's own user, unless the settings say so. */
#define MODE_DEFAULT 0600
/* Of a virtual machine's socket: the directory that it stands in says who may come. */
#define MODE_VM 0666

/* One to four octal digits, no bit but the permissions. */
static bool read_mode(struct rt_slice text, unsigned *mode)
{
    *mode = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '7') {
            return false;
        }
        *mode = *mode << 3 | (unsigned)(text.data[i] - '0');
    }
    return text.size > 0 && text.size <= 4 && *mode <= 0777;
}

static bool take(struct rt_slice *from, const char *word)
{
    size_t size = strlen(word);

    if (from->size < size || memcmp(from->data, word, size) != 0) {
        return false;
    }
    from->data += size;
    from->size -= size;
    return true;
}

/* "mode=0660" or "group=NAME", each at most once. */
static int read_option(struct rt_listen_item *item, struct rt_slice option, bool *has_mode, const char *text, char *why,
                       size_t why_size)
{
    char name[PART_MAX + 1];
    struct rt_slice value = option;

    if (!*has_mode && take(&value, "mode=")) {
        *has_mode = true;
        return read_mode(value, &item->mode)
                   ? 0
                   : rt_fail(RT_ECONFIG, why, why_size, "%s: a mode is octal, from 0 to 0777", text);
    }
    if (!item->has_group && take(&value, "group=")) {
        item->has_group = true;
        rt_slice_copy(value, name, sizeof(name));
        return rt_group_id(name, &item->gid)
                   ? 0
                   : rt_fail(RT_ECONFIG, why, why_size, "%s: there is no group \"%s\" on this machine", text, name);
    }
    return rt_fail(RT_ECONFIG, why, why_size,
                   "%s: behind a comma stands mode=OCTAL or group=NAME, each once; a path has no comma", text);
}

/* "DIR" or "DIR:PORT". */
static int parse_vms(struct rt_listen_item *item, char *where, char *why, size_t why_size)
{
    char text[PART_MAX + 8];
    char *colon = strrchr(where, ':');
    uint64_t port = RT_GUEST_PORT;

    if (colon != NULL) {
        *colon++ = '\0';
        if (!rt_read_number(rt_slice_text(colon), UINT32_MAX - 1, &port)) {
            return rt_fail(RT_ECONFIG, why, why_size, "\"%s\" is not a vSocket port (a number below 4294967295)",
                           colon);
        }
    }
    if (where[0] != '/') {
        return rt_fail(RT_ECONFIG, why, why_size, "vm:%s: wants vm:DIRECTORY or vm:DIRECTORY:PORT, from the root on",
                       where);
    }
    item->is_vms = true;
    item->mode = MODE_VM;
    item->port = (uint32_t)port;
    (void)snprintf(text, sizeof(text), "unix:%s", where);
    return rt_endpoint_parse(&item->endpoint, text, why, why_size);
}

int rt_listen_item_parse(struct rt_listen_item *item, const char *text, char *why, size_t why_size)
{
    char endpoint[PART_MAX + 1];
    bool is_vms = strncmp(text, "vm:", 3) == 0;
    const char *comma = is_vms || strncmp(text, "unix:", 5) == 0 ? strchr(text, ',') : NULL;
    bool has_mode = false;
    int rc = 0;

    *item = (struct rt_listen_item){.mode = MODE_DEFAULT};
    (void)snprintf(endpoint, sizeof(endpoint), "%.*s", comma == NULL ? PART_MAX : (int)(comma - text), text);
    if ((is_vms ? parse_vms(item, endpoint + 3, why, why_size)
                : rt_endpoint_parse(&item->endpoint, endpoint, why, why_size)) != 0) {
        return RT_ECONFIG;
    }
    if (item->endpoint.name[0] != '\0') {
        return rt_fail(RT_ECONFIG, why, why_size, "%s: a listener has a numeric address", text);
    }
    while (rc == 0 && comma != NULL) {
        const char *from = comma + 1;

        comma = strchr(from, ',');
        rc = read_option(
            item, (struct rt_slice){(const uint8_t *)from, comma == NULL ? strlen(from) : (size_t)(comma - from)},
            &has_mode, text, why, why_size);
    }
    return rc;
}
