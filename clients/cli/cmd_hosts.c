/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/limits.h"
#include "clients/cli/record.h"

#include <stdio.h>
#include <string.h>

static const struct rt_option limits = {
    "limits", 0, NULL, "what the agent that is asked gives this client and its tenant at most, and has given", NULL};

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

/* ---- --limits ---- */

static void add_limit(const void *row, struct cli_table *table, struct cli_text *json)
{
    if (json != NULL) {
        cli_json_open(json);
        cli_limit_json(json, row);
        cli_json_close(json);
    } else {
        cli_limit_row(table, row);
    }
}

static struct cli_list limit_list = {
    .row_size = sizeof(struct cli_limit), .compare = cli_limit_compare, .add = add_limit};

static void limits_listed(struct cli_app *app, const struct retether_reply *reply)
{
    static char heads[] = CLI_LIMIT_HEADS;
    static struct cli_limit rows[RETETHER_LIMITS_MAX];
    static char host[sizeof(rows[0].host)];

    if (reply->n_hosts > 0) {
        (void)snprintf(host, sizeof(host), "%s", reply->hosts[0].name);
    }
    cli_limits_take(rows, reply, host);
    if (reply->text[0] != '\0') {
        cli_say("%s", reply->text);
    }
    cli_list_take(&limit_list, app, heads, rows, reply->n_limits, reply->more);
}

static int ask_limits(struct cli_app *app, retether_reply_cb cb)
{
    return retether_limits(app->client, NULL, cb, app);
}

static void run(struct cli_app *app)
{
    static const struct cli_request hosts = {.ask = ask_hosts, .take = listed, .hosts = true},
                                    of_one = {.ask = ask_limits, .take = limits_listed};

    cli_ask(app, cli_has(app->options, &limits) ? &of_one : &hosts);
}

const struct cli_command cli_hosts = {
    .name = "hosts",
    .summary = "the agents",
    .options = {&limits, &cli_json},
    .about = "Lists the agents: whether they are alive (as the agent that is asked judges), when they were last heard, "
             "and what they serve. With --limits: how full the limits of the agent that is asked are; for an operator "
             "those of all tenants, and of the agent itself.",
    .run = run,
};
