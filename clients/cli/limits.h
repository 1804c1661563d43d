/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_LIMITS_H
#define RETETHER_CLIENTS_CLI_LIMITS_H

#include "clients/cli/table.h"
#include "clients/cli/text.h"

/* What somebody may have at an agent, and has: rows for programs and for people. docs/cli.md has the schema. */

struct cli_limit {
    /* The agent that has answered: the first part of the answer names it. */
    char host[sizeof(((struct retether_host *)0)->name)];
    struct retether_limit limit;
};

#define CLI_LIMIT_HEADS "HOST SETTING TENANT >HAS >MOST >REFUSED"

/* Fills a row for each limit of this part of the answer. */
void cli_limits_take(struct cli_limit *rows, const struct retether_reply *reply, const char *host);
/* Those of no tenant come first. */
int cli_limit_compare(const void *a, const void *b);
void cli_limit_json(struct cli_text *text, const struct cli_limit *row);
void cli_limit_row(struct cli_table *table, const struct cli_limit *row);

#endif
