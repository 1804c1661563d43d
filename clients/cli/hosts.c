/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/hosts.h"
#include "clients/cli/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cli_text rows; /* struct retether_host, one behind the other */
static struct cli_table table;
static struct cli_text text;

bool cli_hosts_answered(struct cli_app *app, const struct retether_reply *reply)
{
    const struct retether_reply none = {.cls = RETETHER_RETRY_LATER,
                                        .text = "the agent has heard of no host yet, or its session store is out"};
    bool empty = app->ask != NULL && reply->error == 0 && reply->cls == RETETHER_OK && reply->n_hosts == 0;

    return cli_answered(app, empty ? &none : reply);
}

static const char *host_state(const struct retether_host *host)
{
    switch (host->state) {
    case RETETHER_HOST_ALIVE:
        return "alive";
    case RETETHER_HOST_DEAD:
        return "dead";
    case RETETHER_HOST_UNKNOWN:
        break;
    }
    return "unknown";
}

void cli_addresses_json(struct cli_text *out, const struct retether_host *host)
{
    cli_json_begin(out, "addresses", '[');
    for (size_t i = 0; host != NULL && i < host->n_addresses; i++) {
        cli_json_text(out, NULL, host->address[i]);
    }
    cli_json_end(out, ']');
}

void cli_host_json(struct cli_text *out, const struct retether_host *host)
{
    cli_json_open(out);
    cli_json_text(out, "host", host->name);
    cli_json_text(out, "state", host_state(host));
    cli_json_number(out, "age_ms", host->age_ms);
    cli_json_number(out, "sessions", host->sessions);
    cli_json_text(out, "version", host->version);
    cli_json_number(out, "sequence", host->sequence);
    cli_addresses_json(out, host);
    cli_json_close(out);
}

void cli_host_row(struct cli_table *out, const struct retether_host *host)
{
    char cell[4 * (RETETHER_ADDRESS_MAX + 1) + 1] = "";
    size_t used = 0;

    cli_table_add(out, CLI_PLAIN, host->name);
    cli_table_add(out,
                  host->state == RETETHER_HOST_ALIVE  ? CLI_GREEN
                  : host->state == RETETHER_HOST_DEAD ? CLI_RED
                                                      : CLI_PLAIN,
                  host_state(host));
    cli_age_text(host->age_ms, cell, sizeof(cell));
    cli_table_add(out, CLI_PLAIN, cell);
    cli_table_addf(out, "%" PRIu64, host->sessions);
    cli_table_add(out, CLI_PLAIN, host->version);
    cell[0] = '\0';
    for (size_t i = 0; i < host->n_addresses && used < sizeof(cell); i++) {
        used += (size_t)snprintf(cell + used, sizeof(cell) - used, "%s%s", i > 0 ? " " : "", host->address[i]);
    }
    cli_table_add(out, CLI_PLAIN, cell);
}

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
