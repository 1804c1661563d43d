/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include "session/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r"

struct config {
    struct tether_options *options;
    tether_set *set;
    const char *path;
    unsigned line;
    const char *seen[TETHER_KEYS_MAX]; /* keys that may stand once */
    size_t n_seen;
};

/* Without the blanks at both ends; writes into the text. */
static char *trim(char *text)
{
    size_t size;

    text += strspn(text, BLANKS);
    size = strlen(text);
    while (size > 0 && strchr(BLANKS, text[size - 1]) != NULL) {
        size--;
    }
    text[size] = '\0';
    return text;
}

static int once(struct config *config, const char *key, char why[TETHER_WHY_MAX])
{
    if (strcmp(key, "module") == 0 || strcmp(key, "link") == 0 || strcmp(key, "argument") == 0) {
        return RT_OK;
    }
    for (size_t i = 0; i < config->n_seen; i++) {
        if (strcmp(config->seen[i], key) == 0) {
            return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "\"%s\" stands here twice", key);
        }
    }
    if (config->n_seen < TETHER_KEYS_MAX) {
        config->seen[config->n_seen++] = key;
    }
    return RT_OK;
}

/* The command and its arguments, in options->argv. */
static int take_command(struct tether_options *options, const char *key, const char *value, char why[TETHER_WHY_MAX])
{
    bool command = strcmp(key, "command") == 0;

    if (command && value[0] == '\0') {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "\"command\" names no program");
    }
    if (!command && options->argc == 0) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "\"argument\" stands before \"command\"");
    }
    if (options->argc == TETHER_ARGV_MAX) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "more than %d arguments", TETHER_ARGV_MAX - 1);
    }
    options->argv[options->argc++] = value;
    return RT_OK;
}

static int take_line(struct config *config, char *line, char why[TETHER_WHY_MAX])
{
    char *key = trim(line);
    char *value = key + strcspn(key, BLANKS);
    int rc;

    if (key[0] == '\0' || key[0] == '#') {
        return RT_OK;
    }
    if (value[0] != '\0') {
        *value++ = '\0';
        value += strspn(value, BLANKS);
    }
    if ((rc = once(config, key, why)) != RT_OK) {
        return rc;
    }
    if (strcmp(key, "command") == 0 || strcmp(key, "argument") == 0) {
        return take_command(config->options, key, value, why);
    }
    return config->set(config->options, key, value, why);
}

int tether_config_read(struct tether_options *options, const char *path, tether_set *set, char why[TETHER_WHY_MAX])
{
    struct config config = {.options = options, .path = path, .set = set};
    char *text = options->config;
    char inner[TETHER_WHY_MAX] = "";
    size_t used;
    int rc = rt_read_file(path, text, sizeof(options->config), &used);

    if (rc == RT_EIO) {
        return rt_fail(rc, why, TETHER_WHY_MAX, "cannot read the configuration %s: %s", path, strerror(errno));
    }
    if (rc != RT_OK) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "%s is larger than %zu bytes", path,
                       sizeof(options->config) - 1);
    }
    if (strlen(text) != used) {
        return rt_fail(RT_EINVAL, why, TETHER_WHY_MAX, "%s is not a text: it holds a zero byte", path);
    }
    while (rc == RT_OK && text != NULL) {
        char *line = strsep(&text, "\n");

        config.line++;
        rc = take_line(&config, line, inner);
    }
    return rc == RT_OK ? rc : rt_fail(rc, why, TETHER_WHY_MAX, "%s:%u: %s", config.path, config.line, inner);
}
