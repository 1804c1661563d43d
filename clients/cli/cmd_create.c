/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/stdio.h"
#include "clients/cli/tails.h"
#include "clients/cli/text.h"
#include "migrate/core/token_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void created(struct cli_app *app, const struct retether_reply *reply)
{
    struct cli_text text = {0};
    char token[RETETHER_TOKEN_SIZE + 32];
    char ring[32] = "";
    uint64_t bytes = 0;

    cli_tell_replaced(app);
    if (reply->token != NULL && cli_read(app->options, &cli_ring, &bytes)) {
        snprintf(ring, sizeof(ring), RT_TOKEN_RING "%" PRIu64, bytes);
    }
    /* The ring stands behind the token, where the tether reads it. */
    snprintf(token, sizeof(token), "%s%s", reply->token != NULL ? reply->token : "", ring);
    if (cli_has(app->options, &cli_json)) {
        cli_json_open(&text);
        cli_json_text(&text, "container", app->container);
        cli_json_text(&text, "token", token);
        cli_json_close(&text);
    } else {
        cli_text_printf(&text, "%s\n", token);
    }
    cli_text_flush(app, &text);
}

static void run(struct cli_app *app)
{
    static const struct cli_request request = {.ask = cli_ask_create, .take = created};

    snprintf(app->container, sizeof(app->container), "%s", app->options->word[0]);
    cli_create_over(app, &request);
}

static const struct cli_argument new_cid = {
    &cli_kind_cid, CLI_ONE,
    "CID: a letter or digit, then up to 127 letters, digits, and _ . - . That of a container that has ended may be "
    "used "
    "again; its exit status and output are replaced, and that is told on stderr.",
    "what is its ID to be?"};

const struct cli_command cli_create = {
    .name = "create",
    .summary = "make a session and print its join token",
    .arguments = {&new_cid},
    .options = {&cli_label, &cli_ring, &cli_vm, &cli_json},
    .about = "Makes a session for a container and prints the join token with which its tether proves itself:\n"
             "\n"
             "  RETETHER_TOKEN=$(retether create web) tether --cid web -- COMMAND\n"
             "\n",
    .run = run,
};
