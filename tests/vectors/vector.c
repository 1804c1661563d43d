/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vectors/vector.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SIZE 4096

static const char *const kind_names[RT_MSG_KINDS] = {
    [RT_MSG_HELLO] = "hello",
    [RT_MSG_WELCOME] = "welcome",
    [RT_MSG_REPORT] = "report",
    [RT_MSG_REFUSE] = "refuse",
    [RT_MSG_END] = "end",
    [RT_MSG_END_OK] = "end_ok",
    [RT_MSG_ATTACH] = "attach",
    [RT_MSG_ATTACHED] = "attached",
    [RT_MSG_UP_ITEM] = "up_item",
    [RT_MSG_EXEC] = "exec",
    [RT_MSG_DOWN_ITEM] = "down_item",
    [RT_MSG_REQUEST] = "request",
    [RT_MSG_REPLY] = "reply",
    [RT_MSG_RECORD] = "record",
};

const char *rt_vector_kind_name(enum rt_msg_kind kind)
{
    return kind_names[kind];
}

enum rt_msg_kind rt_vector_kind(const char *name)
{
    unsigned kind = 0;
    while (kind < RT_MSG_KINDS && strcmp(kind_names[kind], name) != 0) {
        kind++;
    }
    return (enum rt_msg_kind)kind;
}

enum rt_msg_kind rt_vector_payload(uint8_t type)
{
    static const struct {
        uint8_t type;
        enum rt_msg_kind kind;
    } payloads[] = {
        {RT_HELLO, RT_MSG_HELLO},       {RT_WELCOME, RT_MSG_WELCOME}, {RT_REPORT, RT_MSG_REPORT},
        {RT_REFUSE, RT_MSG_REFUSE},     {RT_REQUEST, RT_MSG_REQUEST}, {RT_REPLY, RT_MSG_REPLY},
        {RT_END, RT_MSG_END},           {RT_END_OK, RT_MSG_END_OK},   {RT_ATTACH, RT_MSG_ATTACH},
        {RT_ATTACHED, RT_MSG_ATTACHED},
    };
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        if (payloads[i].type == type) {
            return payloads[i].kind;
        }
    }
    return RT_MSG_KINDS;
}

/* "frame ACK ok", "message end reject trailing bytes" */
static int parse_head(struct rt_vector *vector, const char *line)
{
    char expect[16];
    int why = 0;
    if (sscanf(line, "%15s %23s %15s %n", vector->what, vector->name, expect, &why) != 3) {
        return RT_EPROTO;
    }
    if (strcmp(expect, "ok") == 0) {
        vector->expect = RT_VECTOR_OK;
    } else if (strcmp(expect, "accept") == 0) {
        vector->expect = RT_VECTOR_ACCEPT;
    } else if (strcmp(expect, "reject") == 0 && line[why] != '\0') {
        vector->expect = RT_VECTOR_REJECT;
        (void)snprintf(vector->why, sizeof(vector->why), "%s", line + why);
    } else {
        return RT_EPROTO;
    }
    return 0;
}

/* "a3" or "c0*4096" */
static int parse_byte(struct rt_vector *vector, const char *word)
{
    char *end;
    unsigned long byte = strtoul(word, &end, 16);
    unsigned long times = 1;
    if (end != word + 2) {
        return RT_EPROTO;
    }
    if (*end == '*') {
        times = strtoul(end + 1, &end, 10);
    }
    if (*end != '\0' || times > sizeof(vector->bytes) - vector->size) {
        return RT_EPROTO;
    }
    memset(vector->bytes + vector->size, (int)byte, times);
    vector->size += times;
    return 0;
}

static int parse_line(struct rt_vector *vector, char *line)
{
    line[strcspn(line, "#\n")] = '\0';
    if (line[strspn(line, " ")] == '\0') {
        return 0;
    }
    if (vector->what[0] == '\0') {
        return parse_head(vector, line);
    }
    char *rest;
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (parse_byte(vector, word) != 0) {
            return RT_EPROTO;
        }
    }
    return 0;
}

int rt_vector_load(struct rt_vector *vector, const char *path)
{
    char line[LINE_SIZE];
    memset(vector, 0, sizeof(*vector));
    (void)snprintf(vector->path, sizeof(vector->path), "%s", path);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        return RT_EIO;
    }
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof(line), file) != NULL) {
        rc = parse_line(vector, line);
    }
    (void)fclose(file);
    if (rc == 0 && vector->what[0] == '\0') {
        rc = RT_EPROTO;
    }
    if (rc != 0) {
        (void)fprintf(stderr, "%s: not a vector\n", path);
    }
    return rc;
}

static int is_vector(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return size > 4 && strcmp(entry->d_name + size - 4, ".hex") == 0;
}

int rt_vector_each(const char *folder, void (*each)(const struct rt_vector *vector, void *data), void *data)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_vector, alphasort);
    if (count < 0) {
        perror(folder);
        return RT_EIO;
    }
    struct rt_vector *vector = malloc(sizeof(*vector));
    int rc = vector == NULL ? RT_ENOMEM : 0;
    for (int i = 0; i < count; i++) {
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (rc == 0) {
            rc = rt_vector_load(vector, path);
        }
        if (rc == 0) {
            each(vector, data);
        }
        free(entries[i]);
    }
    free(entries);
    free(vector);
    return rc == 0 ? count : rc;
}
