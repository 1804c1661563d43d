/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/limits.h"
#include "clients/cli/record.h"

#include <stdio.h>
#include <string.h>

static const struct rt_option limits = {
    "limits", 0, NULL, "what the agent that is asked gives this client and its tenant at most, and has given", NULL};

static const struct rt_option store = {"store", 0, NULL,
                                       "what the agent that is asked has found at its session store (operators)", NULL};

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

/* ---- --store ---- */

/* In the order in which the agent tells them. */
struct check {
    size_t place;
    char host[sizeof(((struct retether_host *)0)->name)];
    struct retether_check check;
};

static int compare_checks(const void *a, const void *b)
{
    const struct check *first = a, *second = b;

    return first->place < second->place ? -1 : first->place > second->place;
}

static void add_check(const void *data, struct cli_table *table, struct cli_text *json)
{
    static const char *const states[] = {
        [RETETHER_CHECK_UNKNOWN] = "unknown", [RETETHER_CHECK_OK] = "ok", [RETETHER_CHECK_WEAK] = "weak"};
    static const enum cli_colour colours[] = {
        [RETETHER_CHECK_UNKNOWN] = CLI_DIM, [RETETHER_CHECK_OK] = CLI_GREEN, [RETETHER_CHECK_WEAK] = CLI_YELLOW};
    const struct check *row = data;
    const struct retether_check *check = &row->check;

    if (json != NULL) {
        cli_json_open(json);
        cli_json_text(json, "host", row->host);
        cli_json_text(json, "check", check->name);
        cli_json_text(json, "state", states[check->state]);
        cli_json_text(json, "value", check->value);
        cli_json_text_or_null(json, "risk", check->risk);
        cli_json_text_or_null(json, "mend", check->mend);
        cli_json_number(json, "age_ms", check->age_ms);
        cli_json_close(json);
        return;
    }
    cli_table_add(table, CLI_PLAIN, check->name);
    cli_table_add(table, colours[check->state], states[check->state]);
    cli_table_add(table, CLI_PLAIN, check->value);
    cli_table_add(table, CLI_PLAIN, check->risk[0] != '\0' ? check->risk : "-");
    cli_table_add(table, CLI_PLAIN, check->mend[0] != '\0' ? check->mend : "-");
}

static struct cli_list check_list = {.row_size = sizeof(struct check), .compare = compare_checks, .add = add_check};

static void checks_listed(struct cli_app *app, const struct retether_reply *reply)
{
    static char heads[] = "CHECK STATE VALUE RISK MEND";
    static struct check rows[RETETHER_CHECKS_MAX];
    static size_t place;

    for (size_t i = 0; i < reply->n_checks; i++) {
        rows[i].place = place++;
        rows[i].check = reply->checks[i];
        (void)snprintf(rows[i].host, sizeof(rows[i].host), "%s", reply->n_hosts > 0 ? reply->hosts[0].name : "");
    }
    if (reply->text[0] != '\0') {
        cli_say("%s", reply->text);
    }
    cli_list_take(&check_list, app, heads, rows, reply->n_checks, reply->more);
}

static int ask_store(struct cli_app *app, retether_reply_cb cb)
{
    return retether_store(app->client, cb, app);
}

static void run(struct cli_app *app)
{
    static const struct cli_request hosts = {.ask = ask_hosts, .take = listed, .hosts = true},
                                    of_one = {.ask = ask_limits, .take = limits_listed},
                                    of_store = {.ask = ask_store, .take = checks_listed};

    cli_ask(app, cli_has(app->options, &store) ? &of_store : cli_has(app->options, &limits) ? &of_one : &hosts);
}

const struct cli_command cli_hosts = {
    .name = "hosts",
    .summary = "the agents",
    .options = {&limits, &store, &cli_json},
    .about = "Lists the agents: whether they are alive (as the agent that is asked judges), when they were last heard, "
             "and what they serve. With --limits: how full the limits of the agent that is asked are; for an operator "
             "those of all tenants, and of the agent itself. With --store, for operators: the store of the agent that "
             "is asked, what is weak there, what that may lead to, and what to change.",
    .run = run,
};
