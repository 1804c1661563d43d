/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_ACTIONS_H
#define RETETHER_CLIENTS_CLI_ACTIONS_H

#include "clients/cli/app.h"

/* Does what the first argument names, of the command's actions; or fails when there is none, or it does not take what
 * was given. */
void cli_act(struct cli_app *app);

/* Ends the program with a line on stdout that says what was done. */
__attribute__((format(printf, 2, 3))) void cli_done(struct cli_app *app, const char *format, ...);

#endif
