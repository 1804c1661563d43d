/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_CREATE_H
#define RETETHER_CLIENTS_CLI_CREATE_H

#include "clients/cli/app.h"

/* How create and run make a session. */

/* Looks whether app->container has ended, which its creation replaces; then asks to create it. */
void cli_create_over(struct cli_app *app, cli_ask_cb create);
/* Asks for app->container, with the options of the command. */
void cli_ask_create(struct cli_app *app, retether_reply_cb created);
/* Once it has been created: what was replaced, if anything. */
void cli_tell_replaced(const struct cli_app *app);

#endif
