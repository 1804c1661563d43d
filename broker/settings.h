/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_SETTINGS_H
#define RETETHER_BROKER_SETTINGS_H

#include "broker/access.h"
#include "broker/core/agent.h"
#include "broker/log.h"
#include "broker/passed.h"
#include "session/base/error.h"
#include "session/base/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The agent's settings: one table gives each its place in the configuration file, its flag, default, text and check.
 * A flag wins over the file, the file over the default. */

/* Items that any list has room for, and of a list of listeners; one more is an error. */
#define RT_SETTING_ITEMS_MAX RT_ACCESS_RULES_MAX
#define RT_SETTING_LISTENERS_MAX 8
/* Bytes of a text or an item; a longer one is an error. */
#define RT_SETTING_TEXT_MAX 255
#define RT_SETTING_WHY_MAX 512

struct rt_setting_list {
    size_t n;
    bool given; /* by a flag or the file, also as an empty one */
    char item[RT_SETTING_ITEMS_MAX][RT_SETTING_TEXT_MAX + 1];
};

struct rt_settings {
    char host_name[RT_SETTING_TEXT_MAX + 1];
    struct rt_setting_list advertise;
    struct rt_setting_list guests, clients;
    struct rt_passed passed; /* sockets of items of guests and clients that whoever started us has made */
    char guests_map[RT_SETTING_TEXT_MAX + 1];
    struct rt_setting_list users;
    struct rt_access access; /* read from users */
    uint64_t operators_read; /* 1: yes */
    struct rt_setting_list store;
    char store_tls[RT_SETTING_TEXT_MAX + 1]; /* directory of certificates, or "" */
    char store_password_file[RT_SETTING_TEXT_MAX + 1], store_sentinel_password_file[RT_SETTING_TEXT_MAX + 1];
    char redis_server[RT_SETTING_TEXT_MAX + 1];
    char state_dir[RT_SETTING_TEXT_MAX + 1];
    char keys[RT_SETTING_TEXT_MAX + 1];
    char tls[RT_SETTING_TEXT_MAX + 1]; /* directory of certificates, or "" */
    char run_as[RT_SETTING_TEXT_MAX + 1];
    uint64_t sandbox; /* 1: on */
    uint64_t store_timeout_ms;
    uint64_t ticket_ttl_ms; /* 0: never */
    uint64_t max_guests, max_clients, max_ends;
    uint64_t handshakes, peer_handshakes;
    uint64_t limits[RT_LIMITS];
    uint64_t store_tails, store_tails_host; /* bytes */
    uint64_t log_level;                     /* enum rt_log_level */
    uint64_t log_format;                    /* enum rt_log_format */
};

enum rt_setting_type {
    RT_SETTING_TEXT,
    RT_SETTING_LIST,
    RT_SETTING_DURATION, /* milliseconds */
    RT_SETTING_NUMBER,
    RT_SETTING_CHOICE,
};

struct rt_setting {
    const char *key;      /* "section.name" or "name" */
    const char *flag;     /* without the dashes */
    const char *argument; /* as --help writes it */
    enum rt_setting_type type;
    size_t offset; /* in struct rt_settings */
    uint64_t min, max;
    const char *const *choices; /* NULL-terminated; the value is the index */
    const char *value;          /* default as text; NULL: empty, or computed */
    const char *computed;       /* what the default is when it is computed, for people */
    const char *help;
    /* NULL or a check of one text or item. Returns 0, or a negative code with `why`. */
    int (*check)(const char *text, char *why, size_t why_size);
};

extern const struct rt_setting rt_settings_table[];
extern const size_t rt_settings_count;

enum rt_settings_verb { RT_SETTINGS_RUN, RT_SETTINGS_CHECK, RT_SETTINGS_HELP, RT_SETTINGS_VERSION };

/* Reads flags, the file that --config names, what sockets were passed, and fills in what is left. Before the process
 * has opened anything. Returns 0, or RT_ECONFIG with `why`, which names the file and the line, or the flag. */
RT_MUST_CHECK int rt_settings_read(struct rt_settings *settings, enum rt_settings_verb *verb, int argc, char **argv,
                                   char why[RT_SETTING_WHY_MAX]);

/* One value from text: lists get it appended. RT_ECONFIG with `why`. */
RT_MUST_CHECK int rt_setting_set(const struct rt_setting *setting, struct rt_settings *settings, const char *text,
                                 char *why, size_t why_size);
/* Empties a text or a list. */
void rt_setting_clear(const struct rt_setting *setting, struct rt_settings *settings);
/* section "": outside of all. NULL: there is none. */
const struct rt_setting *rt_setting_by_key(const char *section, const char *name);

/* Reads a file into the settings; those in `fixed` (indexed as the table) keep what they have. */
RT_MUST_CHECK int rt_settings_file(struct rt_settings *settings, const char *path, const bool *fixed,
                                   char why[RT_SETTING_WHY_MAX]);

/* What --help prints. */
void rt_settings_help(struct rt_help *out);

#endif
