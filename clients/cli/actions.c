/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of what cli_done() says, in which a path fits; it is cut there. */
#define DONE_MAX 5120

static const struct cli_action *find(struct cli_app *app)
{
    const struct cli_action *actions = app->options->command->actions;
    const char *name = app->options->word[0];
    struct cli_text names = {0};

    for (const struct cli_action *action = actions; action->name != NULL; action++) {
        if (strcmp(action->name, name) == 0) {
            cli_text_free(&names);
            return action;
        }
        cli_text_printf(&names, "%s%s", action != actions ? ", " : "", action->name);
    }
    cli_fail(app, "%s does not know \"%s\"; it is one of: %s", app->options->command->name, name,
             names.data != NULL ? names.data : "");
    cli_text_free(&names);
    return NULL;
}

void cli_act(struct cli_app *app)
{
    const struct cli_options *options = app->options;
    const char *command = options->command->name;
    const struct cli_action *action = find(app);
    size_t n = 0;

    if (action == NULL) {
        return;
    }
    while (n + 1 < CLI_WORDS_MAX && options->word[n + 1] != NULL) {
        n++;
    }
    if (n < action->least || n > action->most) {
        cli_fail(app, "%s (usage: retether %s %s %s)",
                 n < action->least ? "an argument is missing" : "too many arguments", command, action->name,
                 action->usage);
        return;
    }
    for (size_t i = 0; i < options->n_given; i++) {
        if (cli_is_among(options->command->options, options->given[i].option) &&
            !cli_is_among(action->options, options->given[i].option)) {
            cli_fail(app, "%s %s takes no --%s", command, action->name, options->given[i].option->name);
            return;
        }
    }
    action->run(app);
}

void cli_done(struct cli_app *app, const char *format, ...)
{
    struct cli_text text = {0};
    char line[DONE_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    cli_text_printf(&text, "%s\n", line);
    cli_text_flush(app, &text);
}
