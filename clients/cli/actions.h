/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_ACTIONS_H
#define RETETHER_CLIENTS_CLI_ACTIONS_H

#include "clients/cli/app.h"

/* A command whose first argument names one of several things that it does: "retether pki issue ...". */

struct cli_action {
    const char *name;
    const char *usage;                      /* its arguments: "DIR ROLE [NAME]" */
    size_t least, most;                     /* so many, besides its name */
    const struct rt_option *const *options; /* of the command's, those that it takes; NULL-terminated */
    void (*run)(struct cli_app *app);
};

/* Runs the one that was named, or fails when there is none, or it does not take what was given. actions ends with one
 * that has no name. */
void cli_act(struct cli_app *app, const struct cli_action *actions);

/* Ends the program with a line on stdout that says what was done. */
__attribute__((format(printf, 2, 3))) void cli_done(struct cli_app *app, const char *format, ...);

#endif
