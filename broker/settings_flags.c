/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/settings.h"

#include "broker/core/agent.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The command line: flags made from the table, and what the settings are in the end. */

#define SETTINGS_MAX 64

enum { FLAG_CONFIG = 256, FLAG_CHECK, FLAG_VERSION, FLAG_HELP, FLAG_SETTING };

static const struct option own_flags[] = {
    {"config", required_argument, NULL, FLAG_CONFIG},
    {"check-config", no_argument, NULL, FLAG_CHECK},
    {"version", no_argument, NULL, FLAG_VERSION},
    {"help", no_argument, NULL, FLAG_HELP},
};
#define OWN_FLAGS (sizeof own_flags / sizeof own_flags[0])

static void make_flags(struct option out[OWN_FLAGS + SETTINGS_MAX + 1])
{
    memset(out, 0, sizeof(struct option) * (OWN_FLAGS + SETTINGS_MAX + 1));
    memcpy(out, own_flags, sizeof own_flags);
    for (size_t i = 0; i < rt_settings_count && i < SETTINGS_MAX; i++) {
        out[OWN_FLAGS + i] = (struct option){rt_settings_table[i].flag, required_argument, NULL, FLAG_SETTING + (int)i};
    }
}

static int set_defaults(struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    memset(settings, 0, sizeof *settings);
    for (size_t i = 0; i < rt_settings_count; i++) {
        if (rt_settings_table[i].value != NULL &&
            rt_setting_set(&rt_settings_table[i], settings, rt_settings_table[i].value, why, RT_SETTING_WHY_MAX) != 0) {
            return RT_ECONFIG;
        }
    }
    return 0;
}

/* What has no value of its own is worked out from the others. */
static int compute(struct rt_settings *settings, char why[RT_SETTING_WHY_MAX])
{
    const struct rt_setting *name = rt_setting_by_key("host", "name");
    char host[RT_HOST_MAX + 2] = "", text[RT_SETTING_WHY_MAX / 2];

    if (settings->host_name[0] == '\0') {
        (void)gethostname(host, sizeof host - 1);
        if (rt_setting_set(name, settings, host, text, sizeof text) != 0) {
            (void)snprintf(why, RT_SETTING_WHY_MAX, "the machine's name does not do as host.name: %s", text);
            return RT_ECONFIG;
        }
    }
    if (settings->keys[0] == '\0' && (size_t)snprintf(settings->keys, sizeof settings->keys, "%s/keys",
                                                      settings->state_dir) >= sizeof settings->keys) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "state_dir: the path is too long");
        return RT_ECONFIG;
    }
    if (settings->guests.n == 0 && settings->clients.n == 0) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "neither listen.guests nor listen.clients has an endpoint");
        return RT_ECONFIG;
    }
    if (settings->max_guests + settings->max_clients > RT_AGENT_LINKS_MAX) {
        (void)snprintf(why, RT_SETTING_WHY_MAX,
                       "listen.max_guests and listen.max_clients together are %" PRIu64 ", at most %d are possible",
                       settings->max_guests + settings->max_clients, RT_AGENT_LINKS_MAX);
        return RT_ECONFIG;
    }
    return 0;
}

static int take_setting(struct rt_settings *settings, size_t index, bool *fixed, const char *text,
                        char why[RT_SETTING_WHY_MAX])
{
    const struct rt_setting *setting = &rt_settings_table[index];
    char reason[RT_SETTING_WHY_MAX - 64];

    if (!fixed[index]) {
        rt_setting_clear(setting, settings);
        fixed[index] = true;
    }
    if (rt_setting_set(setting, settings, text, reason, sizeof reason) != 0) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "--%s: %s", setting->flag, reason);
        return RT_ECONFIG;
    }
    return 0;
}

int rt_settings_read(struct rt_settings *settings, enum rt_settings_verb *verb, int argc, char **argv,
                     char why[RT_SETTING_WHY_MAX])
{
    struct option flags[OWN_FLAGS + SETTINGS_MAX + 1];
    bool fixed[SETTINGS_MAX] = {false};
    const char *path = NULL;
    int flag;

    *verb = RT_SETTINGS_RUN;
    make_flags(flags);
    if (set_defaults(settings, why) != 0) {
        return RT_ECONFIG;
    }
    optind = 1;
    opterr = 0;
    while ((flag = getopt_long(argc, argv, ":", flags, NULL)) != -1) {
        if (flag == FLAG_CONFIG) {
            path = optarg;
        } else if (flag == FLAG_CHECK) {
            *verb = RT_SETTINGS_CHECK;
        } else if (flag == FLAG_VERSION || flag == FLAG_HELP) {
            *verb = flag == FLAG_HELP ? RT_SETTINGS_HELP : RT_SETTINGS_VERSION;
            return 0;
        } else if (flag == ':') {
            (void)snprintf(why, RT_SETTING_WHY_MAX, "%.100s: the value is missing", argv[optind - 1]);
            return RT_ECONFIG;
        } else if (flag < FLAG_SETTING) {
            (void)snprintf(why, RT_SETTING_WHY_MAX, "%.100s: there is no such flag; see retetherd --help",
                           argv[optind - 1]);
            return RT_ECONFIG;
        } else if (take_setting(settings, (size_t)(flag - FLAG_SETTING), fixed, optarg, why) != 0) {
            return RT_ECONFIG;
        }
    }
    if (optind < argc) {
        (void)snprintf(why, RT_SETTING_WHY_MAX, "%.100s: retetherd takes flags only", argv[optind]);
        return RT_ECONFIG;
    }
    if (path != NULL && rt_settings_file(settings, path, fixed, why) != 0) {
        return RT_ECONFIG;
    }
    return compute(settings, why);
}
