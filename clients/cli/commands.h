/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_COMMANDS_H
#define RETETHER_CLIENTS_CLI_COMMANDS_H

#include "clients/cli/app.h"

/* What each command starts; the loop does the rest. */
void cli_attach(struct cli_app *app);
void cli_run(struct cli_app *app);
void cli_exec(struct cli_app *app);
void cli_logs(struct cli_app *app);
void cli_create(struct cli_app *app);
void cli_wait(struct cli_app *app);
void cli_signal(struct cli_app *app);
void cli_resolve(struct cli_app *app);
void cli_ls(struct cli_app *app);
void cli_show(struct cli_app *app);
void cli_moves(struct cli_app *app);
void cli_hosts(struct cli_app *app);

/* create, run --name: looks whether app->container has ended, which its creation replaces; then asks to create it. */
void cli_create_over(struct cli_app *app, cli_ask_cb create);
/* Once it has been created: what was replaced, if anything. */
void cli_tell_replaced(const struct cli_app *app);

/* Runs the command to its end. Returns the program's exit status. Once a process. */
int cli_command_run(const struct cli_options *options);

#endif
