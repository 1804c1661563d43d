/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

static void found(struct cli_app *app, const struct retether_record *record)
{
    struct cli_text text = {0};

    if (cli_has(app->options, &cli_json)) {
        cli_record_json(&text, record, true);
    } else {
        cli_record_page(&text, record, cli_colours());
    }
    cli_text_flush(app, &text);
}

const struct cli_command cli_show = {
    .name = "show",
    .summary = "one container, in detail",
    .arguments = {&cli_cid},
    .options = {&cli_json},
    .about = "Shows a container: state, host, epoch, moves; of each process's streams what is kept; of each attachment "
             "how far it is.",
    .found = found,
    .needs_record = true,
};
