/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

#include <stdio.h>
#include <string.h>

static const struct rt_option host = {"host", 0, &cli_kind_host, "only those that this host serves, or served last",
                                      NULL};

/* By ID, then by tenant: an operator sees containers of several tenants that have the same ID. */
static int compare_records(const void *a, const void *b)
{
    const struct retether_record *first = a;
    const struct retether_record *second = b;
    int order = strcmp(first->container, second->container);

    return order != 0 ? order : strcmp(first->tenant, second->tenant);
}

/* An empty table may be a mistyped name. */
static void tell_none(const struct cli_options *options, const char *local)
{
    const char *on = cli_value(options, &host);
    bool prefix = options->word[0] != NULL && options->word[0][0] != '\0';

    if (local[0] != '\0') {
        cli_say("the agent of %s serves none of these", local);
    } else if (on != NULL) {
        cli_say("no container is, or was last, on a host \"%s\"%s%s; retether hosts lists them", on,
                prefix ? " with an ID that begins with " : "", prefix ? options->word[0] : "");
    } else if (prefix) {
        cli_say("no container has an ID that begins with \"%s\"", options->word[0]);
    } else {
        cli_say("no container is known");
    }
}

/* The row's pointers to arrays are no longer valid here, as the reply owned them. Neither form shows them. */
static void add_record(const void *row, struct cli_table *table, struct cli_text *json)
{
    if (json != NULL) {
        cli_record_json(json, row, false);
    } else {
        cli_record_row(table, row);
    }
}

static struct cli_list list = {
    .row_size = sizeof(struct retether_record), .compare = compare_records, .add = add_record};

static void listed(struct cli_app *app, const struct retether_reply *reply);

static int ask_local(struct cli_app *app, retether_reply_cb cb)
{
    return retether_list_local(app->client, app->options->word[0], cli_value(app->options, &host), cb, app);
}

static void listed(struct cli_app *app, const struct retether_reply *reply)
{
    static const struct cli_request of_agent = {.ask = ask_local, .take = listed};
    static char heads[] = "CONTAINER STATE HOST >AGE >MOVES >EPOCH >EXIT LABEL";

    if (reply->cls != RETETHER_OK) {
        cli_ask(app, &of_agent);
        return;
    }
    if (reply->local[0] != '\0' && list.rows.size == 0) {
        cli_say("local view of %s: the session store cannot be asked, so what other hosts serve is missing",
                reply->local);
    }
    if (!reply->more && list.rows.size + reply->n_records == 0 && !cli_has(app->options, &cli_json)) {
        tell_none(app->options, reply->local);
    }
    cli_list_take(&list, app, heads, reply->records, reply->n_records, reply->more);
}

static int ask_list(struct cli_app *app, retether_reply_cb cb)
{
    return retether_list(app->client, app->options->word[0], cli_value(app->options, &host), cb, app);
}

static void run(struct cli_app *app)
{
    static const struct cli_request request = {.ask = ask_list, .take = listed, .accepts = cli_is_put_off};

    if (app->options->word[0] != NULL) {
        snprintf(app->container, sizeof(app->container), "%s", app->options->word[0]);
    }
    cli_ask_briefly(app, &request);
}

static const struct cli_argument prefix = {&cli_kind_prefix, CLI_OPTIONAL, NULL, NULL};

const struct cli_command cli_ls = {
    .name = "ls",
    .summary = "all containers, or those whose ID begins so",
    .arguments = {&prefix},
    .options = {&host, &cli_json},
    .about =
        "Lists containers, or those whose ID begins with PREFIX. When the session store cannot be asked, those that "
        "the agent serves: a local view, which is said.",
    .run = run,
};
