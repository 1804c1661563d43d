/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/settings.h"

#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The configuration file. libconfuse reads it; its options are made from the table, and each value is checked where it
 * stands, so that what is wrong has a line. */

#define SECTIONS_MAX 12
#define OPTIONS_MAX 24

/* What libconfuse's callbacks, which have no context, work on. One file is read at a time, at the start. */
static struct {
    struct rt_settings *settings;
    const bool *fixed;
    unsigned *taken; /* values of each setting, indexed as the table */
    char *why;
    const char *path;
} reading;

__attribute__((format(printf, 2, 0))) static void error_cb(cfg_t *cfg, const char *format, va_list args)
{
    char text[384];

    if (reading.why[0] != '\0') {
        return; /* the first one is what is wrong; the others follow from it */
    }
    (void)vsnprintf(text, sizeof(text), format, args);
    (void)snprintf(reading.why, RT_SETTING_WHY_MAX, "%s:%d: %s", reading.path, cfg == NULL ? 0 : cfg->line, text);
}

/* The place of a section's options in the file's structure. */
static const char *section_of(cfg_t *cfg)
{
    const char *name = cfg_name(cfg);

    return name == NULL || strcmp(name, "root") == 0 ? "" : name;
}

/* One value of the file. What a flag overrides must be right too, but changes nothing. */
static int take(cfg_t *cfg, const struct rt_setting *setting, const char *value)
{
    size_t index = (size_t)(setting - rt_settings_table);
    struct rt_settings scratch, *out = reading.settings;
    char text[384];

    if (reading.fixed[index]) {
        scratch = *reading.settings;
        rt_setting_clear(setting, &scratch);
        out = &scratch;
    } else if (reading.taken[index] == 0) {
        rt_setting_clear(setting, out);
    }
    reading.taken[index]++;
    if (rt_setting_set(setting, out, value, text, sizeof(text)) != 0) {
        cfg_error(cfg, "%s: %s", setting->key, text);
        return -1;
    }
    return 0;
}

/* Called for each value, once it has a place and before it is stored there. libconfuse itself lets the later of two
 * settings win: it empties a list at each equals sign. So a first place, when values were taken already, is a second
 * setting. */
static int value_cb(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    const struct rt_setting *setting = rt_setting_by_key(section_of(cfg), cfg_opt_name(opt));

    if (setting == NULL) { /* libconfuse takes "section|name", from outside the section, for a name */
        cfg_error(cfg, "no such option '%s'", cfg_opt_name(opt));
        return -1;
    }
    if (reading.taken[setting - rt_settings_table] > 0 && cfg_opt_size(opt) == 1) {
        cfg_error(cfg, "%s: set twice", setting->key);
        return -1;
    }
    *(const char **)result = value;
    return take(cfg, setting, value);
}

struct tree {
    struct {
        char name[32];
        cfg_opt_t options[OPTIONS_MAX + 1];
        size_t n;
    } sections[SECTIONS_MAX]; /* [0]: outside of all */
    size_t n;
};

static void add_option(struct tree *tree, const struct rt_setting *setting)
{
    static const cfg_opt_t text = CFG_STR_CB("", NULL, CFGF_NODEFAULT, value_cb),
                           list = CFG_STR_LIST_CB("", NULL, CFGF_NODEFAULT, value_cb);
    const char *dot = strchr(setting->key, '.');
    size_t size = dot == NULL ? 0 : (size_t)(dot - setting->key), at = 0;
    cfg_opt_t *option;

    while (at < tree->n &&
           (strncmp(tree->sections[at].name, setting->key, size) != 0 || tree->sections[at].name[size] != '\0')) {
        at++;
    }
    assert(at < SECTIONS_MAX && size < sizeof(tree->sections[at].name));
    if (at == tree->n) {
        memcpy(tree->sections[at].name, setting->key, size);
        tree->n++;
    }
    assert(tree->sections[at].n < OPTIONS_MAX);
    option = &tree->sections[at].options[tree->sections[at].n++];
    *option = setting->type == RT_SETTING_LIST ? list : text;
    option->name = setting->key + size + (dot == NULL ? 0 : 1);
}

static void build(struct tree *tree)
{
    static const cfg_opt_t end = CFG_END();

    memset(tree, 0, sizeof(*tree));
    tree->n = 1;
    for (size_t i = 0; i < rt_settings_count; i++) {
        add_option(tree, &rt_settings_table[i]);
    }
    for (size_t i = 1; i < tree->n; i++) {
        cfg_opt_t section = CFG_SEC(tree->sections[i].name, tree->sections[i].options, CFGF_NONE);

        tree->sections[i].options[tree->sections[i].n] = end;
        assert(tree->sections[0].n < OPTIONS_MAX);
        tree->sections[0].options[tree->sections[0].n++] = section;
    }
    tree->sections[0].options[tree->sections[0].n] = end;
}

/* A setting's name as libconfuse writes it: section|name. */
static void name_of(const struct rt_setting *setting, char out[64])
{
    (void)snprintf(out, 64, "%s", setting->key);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '.' ? '|' : *c;
    }
}

/* Lists that the file sets to {}: no value of theirs was seen, or they had been set before. */
static int check_empty(cfg_t *cfg)
{
    for (size_t i = 0; i < rt_settings_count; i++) {
        char name[64];
        cfg_opt_t *option;

        name_of(&rt_settings_table[i], name);
        option = cfg_getopt(cfg, name);
        if (rt_settings_table[i].type != RT_SETTING_LIST || option == NULL || (option->flags & CFGF_MODIFIED) == 0 ||
            cfg_opt_size(option) > 0) {
            continue;
        }
        if (reading.taken[i] > 0) {
            (void)snprintf(reading.why, RT_SETTING_WHY_MAX, "%s: %s: set twice", reading.path,
                           rt_settings_table[i].key);
            return RT_ECONFIG;
        }
        if (!reading.fixed[i]) {
            rt_setting_clear(&rt_settings_table[i], reading.settings);
        }
    }
    return 0;
}

static int parse(cfg_t *cfg, const char *path)
{
    int rc;

    (void)cfg_set_error_function(cfg, error_cb);
    errno = 0;
    rc = cfg_parse(cfg, path);
    if (rc == CFG_FILE_ERROR && reading.why[0] == '\0') {
        (void)snprintf(reading.why, RT_SETTING_WHY_MAX, "%s: %s", path, strerror(errno));
    } else if (rc != CFG_SUCCESS && reading.why[0] == '\0') {
        (void)snprintf(reading.why, RT_SETTING_WHY_MAX, "%s: it cannot be read", path);
    }
    if (rc != CFG_SUCCESS || reading.why[0] != '\0') {
        return RT_ECONFIG;
    }
    return check_empty(cfg);
}

int rt_settings_file(struct rt_settings *settings, const char *path, const bool *fixed, char why[RT_SETTING_WHY_MAX])
{
    struct tree tree;
    unsigned *taken = calloc(rt_settings_count, sizeof(*taken));
    cfg_t *cfg;
    int rc = RT_ENOMEM;

    why[0] = '\0';
    build(&tree);
    cfg = cfg_init(tree.sections[0].options, CFGF_NONE);
    if (cfg == NULL || taken == NULL) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "%s", rt_strerror(RT_ENOMEM));
    } else {
        reading.settings = settings;
        reading.fixed = fixed;
        reading.taken = taken;
        reading.why = why;
        reading.path = path;
        rc = parse(cfg, path);
        memset(&reading, 0, sizeof(reading));
    }
    if (cfg != NULL) {
        cfg_free(cfg);
    }
    free(taken);
    return rc;
}
