/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/text.h"

#include "session/base/clock.h"
#include "session/base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROW_MIN 1024

/* Room for size bytes and a NUL behind what is there; NULL: there is no memory. */
static char *reserve(struct cli_text *text, size_t size)
{
    if (!text->failed && text->size + size + 1 > text->cap) {
        size_t cap = text->cap * 2 > text->size + size + GROW_MIN ? text->cap * 2 : text->size + size + GROW_MIN;
        char *more = realloc(text->data, cap);

        text->failed = more == NULL;
        if (more != NULL) {
            text->data = more;
            text->cap = cap;
        }
    }
    return text->failed ? NULL : text->data + text->size;
}

void cli_text_add(struct cli_text *text, const char *data, size_t size)
{
    char *room = reserve(text, size);

    if (room != NULL) {
        if (size > 0) {
            memcpy(room, data, size);
        }
        room[size] = '\0';
        text->size += size;
    }
}

void cli_text_printf(struct cli_text *text, const char *format, ...)
{
    char line[2048];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0) {
        cli_text_add(text, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
    }
}

void cli_text_free(struct cli_text *text)
{
    free(text->data);
    memset(text, 0, sizeof(*text));
}

/* ---- numbers and names for people ---- */

void cli_size_text(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;

    /* What would be printed as 1024 of a unit is printed as 1.0 of the next. */
    while (value >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    if (unit > 0 && value < 9.95) {
        snprintf(out, size, "%.1f %s", value, units[unit]);
    } else {
        snprintf(out, size, "%.0f %s", value, units[unit]);
    }
}

void cli_age_text(uint64_t ms, char *out, size_t size)
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    enum { SECONDS = 3, LAST };
    size_t i = 0;
    uint64_t rest;

    while (i < LAST && ms < units[i].ms) {
        i++;
    }
    rest = ms % units[i].ms;
    if (i < SECONDS && rest >= units[i + 1].ms) {
        snprintf(out, size, "%" PRIu64 " %s %" PRIu64 " %s", ms / units[i].ms, units[i].name, rest / units[i + 1].ms,
                 units[i + 1].name);
    } else {
        snprintf(out, size, "%" PRIu64 " %s", ms / units[i].ms, units[i].name);
    }
}

uint64_t cli_since(uint64_t then_ms)
{
    uint64_t now = rt_wall_ms();

    return now > then_ms ? now - then_ms : 0;
}

void cli_random_name(const uint8_t seed[8], char *out, size_t size)
{
    static const char *const kinds[] = {"amber", "brave", "brisk", "calm",  "clear", "crisp", "eager", "early",
                                        "fair",  "fleet", "fresh", "glad",  "green", "happy", "keen",  "kind",
                                        "late",  "light", "lucky", "merry", "mild",  "neat",  "noble", "quick",
                                        "quiet", "rapid", "ready", "sharp", "sunny", "swift", "vivid", "warm"};
    static const char *const beings[] = {"adder", "badger", "beaver", "bison", "crane",  "curlew", "dingo",  "eagle",
                                         "egret", "falcon", "ferret", "finch", "gecko",  "heron",  "ibis",   "jackal",
                                         "koala", "lark",   "lemur",  "lynx",  "marten", "newt",   "ocelot", "otter",
                                         "owl",   "puffin", "raven",  "seal",  "stoat",  "swan",   "tern",   "vole"};
    static const char digits[] = "23456789abcdefghjkmnpqrstuvwxyz";

    snprintf(out, size, "%s-%s-%c%c%c%c", kinds[seed[0] % 32], beings[seed[1] % 32], digits[seed[2] % 31],
             digits[seed[3] % 31], digits[seed[4] % 31], digits[seed[5] % 31]);
}

/* ---- JSON ---- */

static void add_string(struct cli_text *text, const char *value)
{
    size_t most = RT_TEXT_JSON_MAX * strlen(value) + 2;
    char *room = reserve(text, most);

    if (room != NULL) {
        text->size += rt_text_quote(value, room, most);
        text->data[text->size] = '\0';
    }
}

static void add_name(struct cli_text *text, const char *name)
{
    if (text->comma) {
        cli_text_add(text, ",", 1);
    }
    text->comma = true;
    if (name != NULL) {
        add_string(text, name);
        cli_text_add(text, ":", 1);
    }
}

void cli_json_open(struct cli_text *text)
{
    cli_text_add(text, "{", 1);
    text->comma = false;
}

void cli_json_close(struct cli_text *text)
{
    cli_text_add(text, "}\n", 2);
    text->comma = false;
}

void cli_json_text(struct cli_text *text, const char *name, const char *value)
{
    add_name(text, name);
    add_string(text, value);
}

void cli_json_number(struct cli_text *text, const char *name, uint64_t value)
{
    add_name(text, name);
    cli_text_printf(text, "%" PRIu64, value);
}

void cli_json_bool(struct cli_text *text, const char *name, bool value)
{
    add_name(text, name);
    cli_text_printf(text, "%s", value ? "true" : "false");
}

void cli_json_null(struct cli_text *text, const char *name)
{
    add_name(text, name);
    cli_text_add(text, "null", 4);
}

void cli_json_text_or_null(struct cli_text *text, const char *name, const char *value)
{
    if (value[0] == '\0') {
        cli_json_null(text, name);
    } else {
        cli_json_text(text, name, value);
    }
}

void cli_json_number_or_null(struct cli_text *text, const char *name, bool known, uint64_t value)
{
    if (known) {
        cli_json_number(text, name, value);
    } else {
        cli_json_null(text, name);
    }
}

void cli_json_exit(struct cli_text *text, bool ended, unsigned code, unsigned signum)
{
    cli_json_number_or_null(text, "code", ended && signum == 0, code);
    cli_json_number_or_null(text, "signal", ended && signum != 0, signum);
}

void cli_json_time(struct cli_text *text, const char *name, uint64_t ms)
{
    char at[48];

    if (ms == 0) {
        cli_json_null(text, name);
        return;
    }
    rt_time_text(ms, at, sizeof(at));
    cli_json_text(text, name, at);
}

void cli_json_begin(struct cli_text *text, const char *name, char bracket)
{
    add_name(text, name);
    cli_text_add(text, &bracket, 1);
    text->comma = false;
}

void cli_json_end(struct cli_text *text, char bracket)
{
    cli_text_add(text, &bracket, 1);
    text->comma = true;
}
