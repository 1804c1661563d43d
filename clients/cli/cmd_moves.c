/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"
#include "session/base/clock.h"

#include <inttypes.h>

static void print_page(struct cli_text *text, const struct retether_record *record)
{
    char heads[] = "AT >AGO HOST >EPOCH >LIFE";
    struct cli_table table;
    char cell[48];

    cli_table_init(&table, heads, cli_colours());
    for (size_t i = 0; i < record->n_history; i++) {
        const struct retether_move *move = &record->history[i];

        rt_time_text(move->at_ms, cell, sizeof(cell));
        cli_table_add(&table, CLI_PLAIN, cell);
        cli_ago_text(move->at_ms, cell, sizeof(cell));
        cli_table_add(&table, CLI_PLAIN, cell);
        cli_table_add(&table, CLI_PLAIN, move->host);
        cli_table_addf(&table, "%" PRIu64, move->epoch);
        cli_table_addf(&table, "%" PRIu64, move->life);
    }
    cli_table_print(&table, text);
}

static void found(struct cli_app *app, const struct retether_record *record)
{
    struct cli_text text = {0};

    if (cli_has(app->options, &cli_json)) {
        cli_moves_json(&text, record);
    } else {
        print_page(&text, record);
    }
    cli_text_flush(app, &text);
}

const struct cli_command cli_moves = {
    .name = "moves",
    .summary = "where it has been",
    .arguments = {&cli_cid},
    .options = {&cli_json},
    .about = "Lists where a container was served, oldest first (the last 16).",
    .found = found,
    .needs_record = true,
};
