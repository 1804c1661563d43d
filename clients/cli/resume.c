/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/resume.h"

#include <inttypes.h>
#include <string.h>

/* Characters that mean nothing to a shell, wherever they stand in a word behind its first option. */
#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,+@%-"

/* One word: as it is, or in single quotes, where only a single quote needs help (POSIX, Shell Command Language 2.2.2).
 */
static void add_word(struct cli_text *out, const char *word)
{
    if (word[0] != '\0' && word[strspn(word, PLAIN)] == '\0') {
        cli_text_add(out, word, strlen(word));
        return;
    }
    cli_text_add(out, "'", 1);
    while (*word != '\0') {
        size_t size = strcspn(word, "'");

        cli_text_add(out, word, size);
        word += size;
        if (*word == '\'') {
            cli_text_add(out, "'\\''", 4);
            word++;
        }
    }
    cli_text_add(out, "'", 1);
}

static void add_option(struct cli_text *out, const char *name, const char *value)
{
    if (value != NULL) {
        cli_text_printf(out, " --%s ", name);
        add_word(out, value);
    }
}

void cli_resume_text(const struct cli_options *options, const struct cli_resume *from, struct cli_text *out)
{
    bool logs = options->command == CLI_LOGS; /* never holds the container up */

    cli_text_printf(out, "retether attach %s", from->container);
    for (size_t i = 0; options->agents_given && i < options->n_agents; i++) {
        add_option(out, "agent", options->agents[i]);
    }
    add_option(out, "timeout", options->timeout_text);
    if (options->verbose) {
        cli_text_printf(out, " --verbose");
    }
    if (!options->input) {
        cli_text_printf(out, " --no-stdin");
    }
    add_option(out, "hold", logs ? "0" : options->hold_text);
    add_option(out, "detach-keys", options->keys_text);
    add_option(out, "lost-timeout", options->lost_timeout_text);
    if (options->allow_gap) {
        cli_text_printf(out, " --allow-gap");
    }
    if (options->sig_proxy) {
        cli_text_printf(out, " --sig-proxy");
    }
    if (from->process != 0) {
        cli_text_printf(out, " --process %" PRIu32, from->process);
    }
    cli_text_printf(out, " --since-offset %" PRIu64, from->offset[0]);
    if (!from->tty && from->offset[1] > 0) {
        cli_text_printf(out, ",%" PRIu64, from->offset[1]);
    }
}
