/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_HOSTS_H
#define RETETHER_CLIENTS_CLI_HOSTS_H

#include "clients/cli/table.h"

/* As cli_answered(), of a request for the hosts: no host at all is no answer yet. An agent that has not heard the store
 * knows not even itself. */
bool cli_hosts_answered(struct cli_app *app, const struct retether_reply *reply);

/* A host, for programs and for people. */
/* host NULL: none. */
void cli_addresses_json(struct cli_text *out, const struct retether_host *host);
void cli_host_json(struct cli_text *out, const struct retether_host *host);
void cli_host_row(struct cli_table *out, const struct retether_host *host);

#endif
