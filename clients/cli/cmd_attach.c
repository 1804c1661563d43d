/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/stream.h"

static struct cli_stream stream;

static void found(struct cli_app *app, const struct retether_record *record)
{
    struct retether_attach_options options;
    uint64_t process = 0;

    if (!cli_stream_open(&stream, app, CLI_STREAM_ATTACH, record)) {
        return;
    }
    (void)cli_read(app->options, &cli_process, &process);
    stream.process = (uint32_t)process;
    stream.input = !cli_has(app->options, &cli_no_stdin);
    if (stream.input && cli_stdin_is_empty()) {
        stream.input = false;
        if (app->options->verbose) {
            cli_say("stdin is closed or /dev/null, so this attach only watches %s", app->container);
        }
    }
    cli_stream_options(&stream, &options);
    cli_stream_attach(&stream, &options, NULL);
}

const struct cli_command cli_attach = {
    .name = "attach",
    .summary = "connect this terminal with a container",
    .arguments = {&cli_cid},
    .options = {&cli_no_stdin, &cli_since_offset, &cli_tail, &cli_tail_bytes, &cli_process, &cli_sig_proxy,
                CLI_STREAM_OPTIONS},
    .about = "Connects stdin, stdout and stderr with a container's, wherever it runs, and stays connected when it "
             "moves. Begins with what comes from now on.",
    .more = "With a terminal at both ends ctrl-C and all other keys go to the container. An attach that is "
            "interrupted prints the command that goes on where it stopped, and how much input was not taken.\n"
            "\n"
            "Exit status: the container's, 128 + n when signal n ended it, 126 or 127 when its command could not be "
            "run; 0 after a detach; 123 when it would be 0, but output was lost; 124 after --lost-timeout; 125 when "
            "retether itself failed; 128 + n when signal n ended the attach.",
    .found = found,
};
