/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/options.h"

#include "session/base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* ---- what several commands have ---- */

const struct rt_option cli_agent = {
    "agent", 0, &rt_kind_endpoint,
    "an agent to ask, may be given several times (default: RETETHER_AGENTS, or " CLI_AGENT_DEFAULT ")", NULL};
const struct rt_option cli_tls = {"tls", 0, &rt_kind_directory,
                                  "certificates for agents on tls: cert.pem, key.pem, ca.pem, and crl.pem if there is "
                                  "one (default: RETETHER_TLS)",
                                  "RETETHER_TLS"};
const struct rt_option cli_timeout = {"timeout", 0, &rt_kind_duration,
                                      "for an answer, and for the first attach (default 10s)", NULL};
const struct rt_option cli_verbose = {"verbose", 'v', NULL, "say what the connections do", NULL};
const struct rt_option cli_show_help = {"help", 'h', NULL, "show this", NULL};
const struct rt_option cli_show_version = {"version", 0, NULL, "show the version", NULL};

const struct rt_option cli_json = {"json", 0, NULL, "print JSON, an object a line", NULL};
const struct rt_option cli_label = {"label", 0, &cli_kind_label, "kept with the session and shown by ls", NULL};
const struct rt_option cli_ring = {"ring", 0, &cli_kind_ring,
                                   "that the tether is to keep of each output stream, such as 64K or 4M", NULL};
const struct rt_option cli_vm = {"vm", 0, &cli_kind_vm, "bind the token to this virtual machine, as the agents name it",
                                 NULL};
const struct rt_option cli_interactive = {"interactive", 'i', NULL,
                                          "pass stdin on (without it the command's stdin is empty)", NULL};
const struct rt_option cli_tty = {"tty", 't', NULL, "give the command a terminal", NULL};
const struct rt_option cli_cwd = {"cwd", 0, &rt_kind_directory, "run it there", NULL};
const struct rt_option cli_sig_proxy = {"sig-proxy", 0, NULL,
                                        "pass SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 on; without it "
                                        "they end the attach only",
                                        NULL};
const struct rt_option cli_detach_keys = {"detach-keys", 0, &cli_kind_keys,
                                          "typed in a row they detach: RETETHER_DETACH_KEYS, or ctrl-p,ctrl-q when "
                                          "stdin is a terminal; none turns them off",
                                          "RETETHER_DETACH_KEYS"};
const struct rt_option cli_hold = {"hold", 0, &rt_kind_duration,
                                   "how long the container may be held up when this end does not keep up, before "
                                   "bytes are given up and told as a gap (default 30s; 0: never held up)",
                                   NULL};
const struct rt_option cli_allow_gap = {"allow-gap", 0, NULL,
                                        "output that was lost does not change a status of 0 (else it is 123)", NULL};
const struct rt_option cli_lost_timeout = {"lost-timeout", 0, &rt_kind_duration,
                                           "end with 124 once the container has been lost for so long (default: wait "
                                           "for ever)",
                                           NULL};
const struct rt_option cli_since_offset = {"since-offset", 0, &cli_kind_start,
                                           "begin at byte N of stdout (and M of stderr, 0 if not given), at the "
                                           "oldest byte kept, or now",
                                           NULL};
const struct rt_option cli_tail = {"tail", 'n', &cli_kind_lines, "begin with the last lines", NULL};
const struct rt_option cli_tail_bytes = {"tail-bytes", 0, &rt_kind_bytes, "begin with the last bytes", NULL};
const struct rt_option cli_no_stdin = {"no-stdin", 0, NULL, "only watch, as when stdin is closed or /dev/null", NULL};
const struct rt_option cli_process = {"process", 0, &cli_kind_process,
                                      "another process than the main one, as show lists them", NULL};

const struct rt_option *const cli_common[] = {&cli_agent,     &cli_tls,          &cli_timeout, &cli_verbose,
                                              &cli_show_help, &cli_show_version, NULL};
const struct rt_option *const cli_common_local[] = {&cli_show_help, &cli_show_version, NULL};

const struct cli_argument cli_cid = {&cli_kind_name, CLI_ONE,
                                     "CID is a container ID, or a beginning of one that fits no other.",
                                     "which container? retether ls lists them"};
const struct cli_argument cli_command_line = {&cli_kind_command, CLI_REST, NULL, "there is no command to run"};

/* ---- what was given ---- */

bool cli_is_among(const struct rt_option *const *options, const struct rt_option *option)
{
    while (*options != NULL && *options != option) {
        options++;
    }
    return *options != NULL;
}

const struct rt_option *const *cli_common_of(const struct cli_command *command)
{
    return command != NULL && command->local ? cli_common_local : cli_common;
}

void cli_list_options(const struct cli_command *command, const struct rt_option *list[CLI_OPTIONS_MAX + 1])
{
    static const struct rt_option *const none[] = {NULL};
    const struct rt_option *const *from[] = {command != NULL ? command->options : none, cli_common_of(command)};
    size_t n = 0;

    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; from[i][k] != NULL; k++) {
            assert(n < CLI_OPTIONS_MAX);
            list[n++] = from[i][k];
        }
    }
    list[n] = NULL;
}

/* Where there is no such command it takes what the program takes. */
static bool takes(const struct cli_command *command, const struct rt_option *option)
{
    return (command != NULL && cli_is_among(command->options, option)) || cli_is_among(cli_common_of(command), option);
}

static const struct cli_given *last(const struct cli_options *options, const struct rt_option *option)
{
    for (size_t i = options->n_given; i > 0; i--) {
        if (options->given[i - 1].option == option) {
            return &options->given[i - 1];
        }
    }
    return NULL;
}

bool cli_has(const struct cli_options *options, const struct rt_option *option)
{
    return last(options, option) != NULL;
}

const char *cli_value(const struct cli_options *options, const struct rt_option *option)
{
    const struct cli_given *given = last(options, option);

    return given != NULL ? given->value : NULL;
}

bool cli_read(const struct cli_options *options, const struct rt_option *option, void *out)
{
    const char *value = cli_value(options, option);

    return value != NULL && option->kind->read(value, out); /* it was good when it was given */
}

void cli_read_start(const struct cli_options *options, struct cli_start *start)
{
    (void)cli_read(options, &cli_since_offset, start);
    if (cli_read(options, &cli_tail, &start->at[0])) {
        start->from = RETETHER_FROM_LINES;
    }
    if (cli_read(options, &cli_tail_bytes, &start->at[0])) {
        start->from = RETETHER_FROM_BYTES;
    }
}

const struct cli_command *cli_command_named(const struct cli_command *const *commands, const char *name)
{
    while (*commands != NULL && strcmp((*commands)->name, name) != 0) {
        commands++;
    }
    return *commands;
}

/* ---- the command that goes on ---- */

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

        if (!takes(attach, given->option) || is_said_anew(given->option)) {
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
