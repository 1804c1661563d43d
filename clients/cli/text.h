/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_TEXT_H
#define RETETHER_CLIENTS_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the program prints of itself: text that grows, numbers and names for people, JSON for programs. */

struct cli_text {
    char *data; /* owned, NUL-terminated; NULL while empty */
    size_t size, cap;
    bool failed; /* without memory: nothing more was added */
    bool comma;  /* JSON: a value stands before */
};

void cli_text_add(struct cli_text *text, const char *data, size_t size);
__attribute__((format(printf, 2, 3))) void cli_text_printf(struct cli_text *text, const char *format, ...);
void cli_text_free(struct cli_text *text);

/* "0 B", "512 B", "1.0 KiB", "12 MiB". */
void cli_size_text(uint64_t bytes, char *out, size_t size);
/* Rounded down: one unit below a minute, then two: "350 ms", "12 s", "1 min 59 s", "5 h 20 min", "2 d". */
void cli_age_text(uint64_t ms, char *out, size_t size);
/* Milliseconds from then to now, 0 when that is in the future: clocks differ. */
uint64_t cli_since(uint64_t then_ms);

/* A name for a container that was given none: "brave-otter-7k2f". seed: random. */
void cli_random_name(const uint8_t seed[8], char *out, size_t size);

/* One object a line. name NULL: an element of an array. */
void cli_json_open(struct cli_text *text);
void cli_json_close(struct cli_text *text); /* with the line's end */
void cli_json_text(struct cli_text *text, const char *name, const char *value);
void cli_json_number(struct cli_text *text, const char *name, uint64_t value);
void cli_json_bool(struct cli_text *text, const char *name, bool value);
/* RFC 3339; null when 0. */
void cli_json_time(struct cli_text *text, const char *name, uint64_t ms);
void cli_json_null(struct cli_text *text, const char *name);
void cli_json_number_or_null(struct cli_text *text, const char *name, bool known, uint64_t value);
/* null when "". */
void cli_json_text_or_null(struct cli_text *text, const char *name, const char *value);
/* "code" and "signal", of which one is null; both when it has not ended. */
void cli_json_exit(struct cli_text *text, bool ended, unsigned code, unsigned signum);
void cli_json_begin(struct cli_text *text, const char *name, char bracket); /* '{' or '[' */
void cli_json_end(struct cli_text *text, char bracket);                     /* '}' or ']' */

#endif
