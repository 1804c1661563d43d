/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_RECORD_H
#define RETETHER_CLIENTS_CLI_RECORD_H

#include "clients/cli/table.h"
#include "clients/cli/text.h"

/* Records and hosts, for programs and for people. docs/cli.md has the schema. */

/* Without its end: cli_json_close(). */
void cli_record_json(struct cli_text *text, const struct retether_record *record, bool detail);
void cli_moves_json(struct cli_text *text, const struct retether_record *record);

void cli_record_row(struct cli_table *table, const struct retether_record *record);
void cli_record_page(struct cli_text *text, const struct retether_record *record, bool colours);
/* How long ago that was, by this machine's clock; "-" for 0. */
void cli_ago_text(uint64_t then, char *out, size_t size);

/* host NULL: none. */
void cli_addresses_json(struct cli_text *out, const struct retether_host *host);
void cli_host_json(struct cli_text *out, const struct retether_host *host);
void cli_host_row(struct cli_table *out, const struct retether_host *host);

#endif
