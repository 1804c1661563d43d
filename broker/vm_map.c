/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/vm_map.h"

#include "session/base/file.h"
#include "session/base/slice.h"
#include "session/base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/vm_sockets.h>

/* Below this a CID is the hypervisor's, this machine's own, or the host's. */
#define CID_FIRST 3

struct rt_vm_cid {
    uint32_t cid;
    unsigned line;
    char name[RT_VM_MAX + 1];
};

static int fail(const char *path, unsigned line, const char *what, char why[RT_TEXT_MAX])
{
    return rt_fail(RT_ECONFIG, why, RT_TEXT_MAX, "%.120s:%u: %s", path, line, what);
}

/* NULL or what is wrong with the line. *empty: it says nothing. */
static const char *parse_line(char *line, struct rt_vm_cid *out, bool *empty)
{
    char *rest = NULL, *cid, *name;
    uint64_t number;

    line[strcspn(line, "#")] = '\0';
    cid = strtok_r(line, " \t\r", &rest);
    *empty = cid == NULL;
    if (*empty) {
        return NULL;
    }
    name = strtok_r(NULL, " \t\r", &rest);
    if (name == NULL || strtok_r(NULL, " \t\r", &rest) != NULL) {
        return "expected: CID NAME";
    }
    if (!rt_read_number(rt_slice_text(cid), VMADDR_CID_ANY - 1, &number) || number < CID_FIRST) {
        return "the CID is not a number from 3 to 4294967294";
    }
    if (!rt_vm_valid(rt_slice_text(name))) {
        return "a virtual machine's name is a letter or digit, then up to 59 letters, digits, and _ . -";
    }
    out->cid = (uint32_t)number;
    memcpy(out->name, name, strlen(name) + 1);
    return NULL;
}

static int by_cid(const void *a, const void *b)
{
    const struct rt_vm_cid *x = a, *y = b;

    return x->cid < y->cid ? -1 : x->cid > y->cid;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct rt_vm_cid *)a)->name, ((const struct rt_vm_cid *)b)->name);
}

/* Sorts; of two lines that are the same by `order` the later one is at fault. */
static int sort(struct rt_vm_map *map, int (*order)(const void *, const void *), const char *what, const char *path,
                char why[RT_TEXT_MAX])
{
    if (map->n > 1) {
        qsort(map->by_cid, map->n, sizeof(*map->by_cid), order);
    }
    for (size_t i = 1; i < map->n; i++) {
        const struct rt_vm_cid *a = &map->by_cid[i - 1], *b = &map->by_cid[i];

        if (order(a, b) == 0) {
            return fail(path, a->line > b->line ? a->line : b->line, what, why);
        }
    }
    return 0;
}

/* text is NUL-terminated and is cut up. */
static int parse(struct rt_vm_map *map, const char *path, char *text, size_t size, char why[RT_TEXT_MAX])
{
    int rc;

    if (strlen(text) != size) {
        return fail(path, 1, "this is not a text file", why);
    }
    for (unsigned number = 1; text != NULL; number++) {
        struct rt_vm_cid one = {.line = number};
        bool empty;
        const char *wrong = parse_line(strsep(&text, "\n"), &one, &empty);

        if (wrong == NULL && !empty && map->n == RT_VM_MAP_MAX) {
            wrong = "too many virtual machines";
        }
        if (wrong != NULL) {
            return fail(path, number, wrong, why);
        }
        if (!empty) {
            map->by_cid[map->n++] = one;
        }
    }
    rc = sort(map, by_name, "this virtual machine has another CID above", path, why);
    return rc != 0 ? rc : sort(map, by_cid, "this CID is another virtual machine's above", path, why);
}

int rt_vm_map_load(struct rt_vm_map *map, const char *path, char why[RT_TEXT_MAX])
{
    static const struct rt_file_rule rule = {.barred = S_IWGRP | S_IWOTH, .lets = "write to it: chmod go-w"};
    char *text = malloc(RT_VM_MAP_BYTES_MAX + 1);
    size_t size = 0;
    int rc;

    map->n = 0;
    map->by_cid = calloc(RT_VM_MAP_MAX, sizeof(*map->by_cid));
    if (text == NULL || map->by_cid == NULL) {
        rc = rt_fail(RT_ENOMEM, why, RT_TEXT_MAX, "%.120s: %s", path, rt_strerror(RT_ENOMEM));
    } else {
        rc = rt_read_ruled(path, &rule, text, RT_VM_MAP_BYTES_MAX + 1, &size, why, RT_TEXT_MAX);
        rc = rc != 0 ? rc : parse(map, path, text, size, why);
    }
    free(text);
    if (rc != 0) {
        rt_vm_map_free(map);
    }
    return rc;
}

const char *rt_vm_map_find(const struct rt_vm_map *map, uint32_t cid)
{
    const struct rt_vm_cid key = {.cid = cid};
    const struct rt_vm_cid *found =
        map->n == 0 ? NULL : bsearch(&key, map->by_cid, map->n, sizeof(*map->by_cid), by_cid);

    return found == NULL ? NULL : found->name;
}

void rt_vm_map_free(struct rt_vm_map *map)
{
    free(map->by_cid);
    *map = (struct rt_vm_map){.n = 0};
}
