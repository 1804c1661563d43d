/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/resume.h"

#include "session/base/text.h"

#include <inttypes.h>
#include <string.h>

/* Characters that no shell treats specially within an argument. */
#define PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:,+@%-"

/* One word: as it is, or in single quotes, where only a single quote needs help (POSIX, Shell Command Language 2.2.2).
 * What would steer the terminal on which this is shown comes as '?'. */
static void add_word(struct cli_text *out, const char *word)
{
    if (word[0] != '\0' && word[strspn(word, PLAIN)] == '\0') {
        cli_text_add(out, word, strlen(word));
        return;
    }
    cli_text_add(out, "'", 1);
    while (*word != '\0') {
        uint32_t point;
        size_t size = rt_text_char((const uint8_t *)word, strlen(word), &point);

        if (point == '\'') {
            cli_text_add(out, "'\\''", 4);
        } else if (point == '\n' || rt_text_plain(point)) {
            cli_text_add(out, word, size);
        } else {
            cli_text_add(out, "?", 1);
        }
        word += size;
    }
    cli_text_add(out, "'", 1);
}

/* Options that are not repeated as given: the printed command says by itself where to begin, of which process, and
 * with which input and signals. */
static bool is_said_anew(const struct rt_option *option)
{
    return option == &cli_since_offset || option == &cli_tail || option == &cli_tail_bytes || option == &cli_process ||
           option == &cli_no_stdin || option == &cli_sig_proxy;
}

void cli_resume_text(const struct cli_options *options, const struct cli_resume *from, struct cli_text *out)
{
    const struct cli_command *attach = cli_command_named(options->commands, "attach");

    cli_text_printf(out, "retether attach %s", from->container);
    for (size_t i = 0; i < options->n_given; i++) {
        const struct cli_given *given = &options->given[i];

        if (!cli_takes(attach, given->option) || is_said_anew(given->option)) {
            continue;
        }
        cli_text_printf(out, " --%s", given->option->name);
        if (given->value != NULL) {
            cli_text_add(out, " ", 1);
            add_word(out, given->value);
        }
    }
    cli_text_printf(out, "%s%s%s", from->input ? "" : " --no-stdin", from->observer ? " --hold 0" : "",
                    from->sig_proxy ? " --sig-proxy" : "");
    if (from->process != 0) {
        cli_text_printf(out, " --process %" PRIu32, from->process);
    }
    cli_text_printf(out, " --since-offset %" PRIu64, from->offset[0]);
    if (!from->tty && from->offset[1] > 0) {
        cli_text_printf(out, ",%" PRIu64, from->offset[1]);
    }
}
