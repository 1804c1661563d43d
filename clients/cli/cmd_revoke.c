/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <stdio.h>

/* "TENANT/CID": an operator's names. */
static char whole_name[RETETHER_TENANT_MAX + RETETHER_CONTAINER_MAX + 2];

static void revoked(struct cli_app *app, const struct retether_reply *reply)
{
    (void)reply;
    cli_finish(app, 0);
}

static int ask_revoke(struct cli_app *app, retether_reply_cb cb)
{
    return retether_revoke(app->client, whole_name, cb, app);
}

static void found(struct cli_app *app, const struct retether_record *record)
{
    static const struct cli_request request = {
        .ask = ask_revoke, .take = revoked, .unknown = "it may have been revoked; revoke it again"};

    (void)snprintf(whole_name, sizeof(whole_name), "%s/%s", record->tenant, record->container);
    cli_ask(app, &request);
}

const struct cli_command cli_revoke = {
    .name = "revoke",
    .summary = "turn its guest away for good (operators)",
    .arguments = {&cli_cid},
    .about = "Makes a container's token and tickets worthless at every agent, for operators. Its guest is turned away "
             "for good. Its ID may be created anew at once.",
    .found = found,
    .needs_record = true,
};
