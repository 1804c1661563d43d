/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

#include <stdlib.h>
#include <string.h>

static struct cli_text rows; /* struct retether_host, one behind the other */
static struct cli_table table;
static struct cli_text text;

static int compare_hosts(const void *a, const void *b)
{
    const struct retether_host *first = a;
    const struct retether_host *second = b;

    return strcmp(first->name, second->name);
}

static void print_hosts(struct cli_app *app)
{
    struct retether_host *hosts = (void *)rows.data;
    size_t n = rows.size / sizeof(*hosts);

    if (n > 0) {
        qsort(hosts, n, sizeof(*hosts), compare_hosts);
    }
    for (size_t i = 0; i < n; i++) {
        if (cli_has(app->options, &cli_json)) {
            cli_host_json(&text, &hosts[i]);
        } else {
            cli_host_row(&table, &hosts[i]);
        }
    }
    cli_table_flush(&table, app, &text, &rows);
}

static void hosts_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;

    (void)client;
    if (!cli_hosts_answered(app, reply)) {
        return;
    }
    for (size_t i = 0; i < reply->n_hosts; i++) {
        cli_text_add(&rows, (const char *)&reply->hosts[i], sizeof(reply->hosts[i]));
    }
    if (reply->more) {
        cli_asked(app, 0);
    } else {
        print_hosts(app);
    }
}

static void ask_hosts(struct cli_app *app)
{
    cli_asked(app, retether_hosts(app->client, hosts_cb, app));
}

static void run(struct cli_app *app)
{
    static char heads[] = "HOST STATE >HEARTBEAT >SESSIONS VERSION ADDRESSES";

    cli_table_init(&table, heads, cli_colours());
    cli_ask(app, ask_hosts);
}

const struct cli_command cli_hosts = {
    .name = "hosts",
    .summary = "the agents",
    .options = CLI_OPTIONS(&cli_json),
    .about = "Lists the agents: whether they are alive (as the agent that is asked judges), when they were last heard, "
             "and what they serve.",
    .run = run,
};
