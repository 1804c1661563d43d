/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <stdio.h>
#include <string.h>

/* For shells: what may come next on a command line. The scripts in completion/ ask for it. */

/* What the words before the last one say of it. */
struct place {
    const struct cli_command *const *commands;
    const struct cli_command *command; /* NULL: its name comes next */
    size_t n;                          /* arguments behind the command's name */
    const struct rt_option *option;    /* its value comes next; or NULL */
    bool words;                        /* no options come any more */
    bool foreign;                      /* another program completes it, or there is no such command */
};

static struct cli_text text;

/* IDs that are offered, or a few more: nobody reads more. */
#define IDS_MAX 1000

static void offer(struct cli_text *out, const char *begun, const char *lead, const char *word, const char *what)
{
    char whole[RETETHER_CONTAINER_MAX + 1];

    snprintf(whole, sizeof(whole), "%s%s", lead, word);
    if (strncmp(whole, begun, strlen(begun)) == 0) {
        cli_text_printf(out, "%s\t%s\n", whole, what);
    }
}

static void take_word(struct place *place, const char *word)
{
    if (place->command == NULL && strcmp(word, "help") == 0) {
        return; /* a command comes behind it too */
    }
    if (place->command == NULL) {
        place->command = cli_command_named(place->commands, word);
        place->foreign = place->command == NULL;
    } else if (place->command->arguments[place->n] == NULL || place->command->arguments[place->n]->count == CLI_REST) {
        place->foreign = true;
    } else {
        place->n++;
    }
}

/* words: all but the last. */
static struct place find_place(const struct cli_command *const *commands, char **words)
{
    const struct rt_option *list[CLI_OPTIONS_MAX + 1];
    struct rt_args args = {.options = list, .argv = words};
    struct place place = {.commands = commands};
    char why[CLI_WHY_MAX];

    cli_list_options(NULL, list);
    while (!place.foreign) {
        switch (rt_args_next(&args, why)) {
        case RT_ARG_OVER:
            place.words = args.words;
            return place;
        case RT_ARG_WORD:
            take_word(&place, args.value);
            cli_list_options(place.command, list);
            break;
        case RT_ARG_BAD:
            place.option = args.option->kind != NULL ? args.option : NULL;
            break;
        case RT_ARG_OPTION:
        case RT_ARG_UNKNOWN:
            break;
        }
    }
    return place;
}

static void offer_options(const struct cli_command *command, const char *begun, struct cli_text *out)
{
    const struct rt_option *list[CLI_OPTIONS_MAX + 1];

    cli_list_options(command, list);
    for (size_t i = 0; list[i] != NULL; i++) {
        offer(out, begun, "--", list[i]->name, list[i]->help);
    }
}

static void offer_commands(const struct cli_command *const *commands, const char *begun, struct cli_text *out)
{
    for (; *commands != NULL; commands++) {
        if ((*commands)->summary != NULL) {
            offer(out, begun, "", (*commands)->name, (*commands)->summary);
        }
    }
}

static void offer_actions(const struct cli_action *action, const char *begun, struct cli_text *out)
{
    for (; action->name != NULL; action++) {
        offer(out, begun, "", action->name, action->usage);
    }
}

static void offer_signals(const char *begun, struct cli_text *out)
{
    char name[24];

    for (unsigned signum = 1; signum < CLI_SIGNALS_END; signum++) {
        cli_signal_name(signum, name, sizeof(name));
        if (strncmp(name, "SIG", 3) == 0) {
            offer(out, begun, "", name + 3, "signal");
        }
    }
}

/* Of an option with a few words to choose from. */
static void offer_values(const struct rt_kind *kind, const char *begun, struct cli_text *out)
{
    for (unsigned state = RETETHER_CREATED; kind == &cli_kind_states && state <= RETETHER_STATE_ENDED; state++) {
        offer(out, begun, "", retether_state_name(state), "state");
    }
    for (unsigned key = 0; kind == &cli_kind_sort && cli_sort_name(key) != NULL; key++) {
        offer(out, begun, "", cli_sort_name(key), "order");
    }
}

bool cli_complete_word(const struct cli_command *const *commands, char **words, struct cli_text *out)
{
    const struct cli_argument *argument;
    struct place place;
    size_t last = 0;
    char *begun;

    while (words[last + 1] != NULL) {
        last++;
    }
    begun = words[last];
    words[last] = NULL;
    place = find_place(commands, words);
    words[last] = begun;
    if (place.option != NULL) {
        offer_values(place.option->kind, begun, out);
        return false;
    }
    if (place.foreign) {
        return false;
    }
    if (begun[0] == '-' && !place.words) {
        offer_options(place.command, begun, out);
        return false;
    }
    if (place.command == NULL) {
        offer_commands(commands, begun, out);
        return false;
    }
    if (place.command->actions != NULL && place.n == 0) {
        offer_actions(place.command->actions, begun, out);
        return false;
    }
    argument = place.command->arguments[place.n];
    if (argument != NULL && argument->kind == &cli_kind_signal) {
        offer_signals(begun, out);
    }
    return argument == &cli_cid || (argument != NULL && argument->kind == &cli_kind_prefix);
}

static void listed(struct cli_app *app, const struct retether_reply *reply)
{
    for (size_t i = 0; i < reply->n_records; i++) {
        offer(&text, "", "", reply->records[i].container, retether_state_name(reply->records[i].state));
    }
    if (!reply->more) {
        cli_text_flush(app, &text);
    }
}

static int ask(struct cli_app *app, retether_reply_cb cb)
{
    char **words = app->options->argv;

    while (words[1] != NULL) {
        words++;
    }
    return retether_list(app->client, &(struct retether_listing){.prefix = words[0], .page = IDS_MAX}, cb, app);
}

static void run(struct cli_app *app)
{
    static const struct cli_request request = {.ask = ask, .take = listed};

    if (cli_complete_word(app->options->commands, app->options->argv, &text)) {
        cli_ask(app, &request);
    } else {
        cli_text_flush(app, &text);
    }
}

const struct cli_command cli_complete = {
    .name = "complete",
    .arguments = {&cli_command_line},
    .about = "For shells: prints what may stand for the last word of a command line, a candidate a line, and behind a "
             "tab what it is for. Nothing: it may be anything, such as a file.",
    .run = run,
};
