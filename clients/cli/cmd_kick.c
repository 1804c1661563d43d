/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <stdio.h>

/* "TENANT/CID": an operator's names. */
static char whole_name[RETETHER_TENANT_MAX + RETETHER_CONTAINER_MAX + 2];

static void kicked(struct cli_app *app, const struct retether_reply *reply)
{
    if (reply->n_hosts > 0) {
        cli_fail(app, "%s serves %s, and its agent cannot be reached from here", reply->hosts[0].name, app->container);
    } else {
        cli_finish(app, 0);
    }
}

static int ask_kick(struct cli_app *app, retether_reply_cb cb)
{
    return retether_kick(app->client, whole_name, cb, app);
}

static void found(struct cli_app *app, const struct retether_record *record)
{
    static const struct cli_request request = {
        .ask = ask_kick, .take = kicked, .unknown = "its guest may have been kicked; kick it again"};

    (void)snprintf(whole_name, sizeof(whole_name), "%s/%s", record->tenant, record->container);
    cli_ask(app, &request);
}

const struct cli_command cli_kick = {
    .name = "kick",
    .summary = "drop its guest's connection (operators)",
    .arguments = {&cli_cid},
    .about = "Drops the connection between a container's guest and its agent, for operators. The guest comes back at "
             "once; attaches go on where they were.",
    .found = found,
    .needs_record = true,
};
