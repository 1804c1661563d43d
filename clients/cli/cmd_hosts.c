/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

#include <string.h>

static int compare_hosts(const void *a, const void *b)
{
    const struct retether_host *first = a;
    const struct retether_host *second = b;

    return strcmp(first->name, second->name);
}

static void add_host(const void *row, struct cli_table *table, struct cli_text *json)
{
    if (json != NULL) {
        cli_host_json(json, row);
    } else {
        cli_host_row(table, row);
    }
}

static struct cli_list list = {.row_size = sizeof(struct retether_host), .compare = compare_hosts, .add = add_host};

static void listed(struct cli_app *app, const struct retether_reply *reply)
{
    static char heads[] = "HOST STATE >HEARTBEAT >SESSIONS VERSION ADDRESSES";

    cli_list_take(&list, app, heads, reply->hosts, reply->n_hosts, reply->more);
}

static int ask_hosts(struct cli_app *app, retether_reply_cb cb)
{
    return retether_hosts(app->client, cb, app);
}

static void run(struct cli_app *app)
{
    static const struct cli_request request = {.ask = ask_hosts, .take = listed, .hosts = true};

    cli_ask(app, &request);
}

const struct cli_command cli_hosts = {
    .name = "hosts",
    .summary = "the agents",
    .options = {&cli_json},
    .about = "Lists the agents: whether they are alive (as the agent that is asked judges), when they were last heard, "
             "and what they serve.",
    .run = run,
};
