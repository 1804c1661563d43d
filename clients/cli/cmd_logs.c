/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/stream.h"

static const struct rt_option follow = {"follow", 'f', NULL, "go on with what comes, until the container ends", NULL};

static struct cli_stream stream;

static void found(struct cli_app *app, const struct retether_record *record)
{
    struct retether_attach_options options;

    if (cli_stream_open(&stream, app, CLI_STREAM_LOGS, record)) {
        cli_stream_options(&stream, &options);
        options.hold_ms = 0;
        options.rows = options.cols = 0;
        stream.until_head = !cli_has(app->options, &follow);
        cli_stream_attach(&stream, &options, NULL);
    }
}

const struct cli_command cli_logs = {
    .name = "logs",
    .summary = "print its output, also after its end",
    .arguments = {&cli_cid},
    .options = {&follow, &cli_tail, &cli_tail_bytes, &cli_lost_timeout},
    .about = "Prints a container's output from the oldest byte kept; after its end, the last 64 KiB of each stream. "
             "Both in the order in which they were written, as far as that is remembered; what is older comes first, "
             "stdout before stderr. Never holds the container up.",
    .found = found,
};
