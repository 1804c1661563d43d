/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/limits.h"
#include "clients/cli/record.h"
#include "session/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* "TENANT/CID", which is clear for every role. */
static char whole_name[RETETHER_TENANT_MAX + RETETHER_CONTAINER_MAX + 2];

/* The record goes out at once, as its limits may have to be asked of a host that cannot be reached. In JSON both are
 * one object, which is kept here until they are known. */
static struct cli_text text;
static struct cli_limit limits[RETETHER_LIMITS_MAX];
static size_t n_limits;

/* Adds the limits, as far as they are known. */
static void complete(const struct cli_app *app)
{
    char heads[] = CLI_LIMIT_HEADS;
    struct cli_table table;

    qsort(limits, n_limits, sizeof(limits[0]), cli_limit_compare);
    if (cli_has(app->options, &cli_json)) {
        cli_json_begin(&text, "limits", '[');
        for (size_t i = 0; i < n_limits; i++) {
            cli_json_begin(&text, NULL, '{');
            cli_limit_json(&text, &limits[i]);
            cli_json_end(&text, '}');
        }
        cli_json_end(&text, ']');
        cli_json_close(&text);
    } else if (n_limits > 0) {
        cli_table_init(&table, heads, cli_colours());
        for (size_t i = 0; i < n_limits; i++) {
            cli_limit_row(&table, &limits[i]);
        }
        cli_text_printf(&text, "\n");
        cli_table_print(&table, &text);
    }
}

static void told(struct cli_app *app, const struct retether_reply *reply)
{
    if (reply->cls != RETETHER_OK) {
        cli_say("its limits are not known: %s", reply->text[0] != '\0' ? reply->text : retether_class_name(reply->cls));
    } else if (reply->n_hosts > 0) {
        cli_limits_take(limits, reply, reply->hosts[0].name);
        n_limits = reply->n_limits;
    }
    if (reply->n_hosts > 1) {
        cli_say("%s serves %s, and its agent cannot be reached from here: the limits are those of %s",
                reply->hosts[1].name, app->container, reply->hosts[0].name);
    }
    complete(app);
    cli_text_flush(app, &text);
}

/* Limits are beside the record, which is told without them too. */
static bool accepts_any(const struct cli_app *app, const struct retether_reply *reply)
{
    (void)app;
    (void)reply;
    return true;
}

/* No answer came, and it has been said why. */
static void ended(struct cli_app *app, int status)
{
    (void)status;
    if (text.size > 0) {
        complete(app);
        (void)rt_write_all(STDOUT_FILENO, text.data, text.size);
        cli_text_free(&text);
    }
}

static int ask_limits(struct cli_app *app, retether_reply_cb cb)
{
    return retether_limits(app->client, whole_name, cb, app);
}

static void found(struct cli_app *app, const struct retether_record *record)
{
    static const struct cli_request request = {.ask = ask_limits, .take = told, .accepts = accepts_any};

    (void)snprintf(whole_name, sizeof(whole_name), "%s/%s", record->tenant, record->container);
    if (cli_has(app->options, &cli_json)) {
        cli_record_json(&text, record, true);
        app->on_end = ended;
    } else {
        cli_record_page(&text, record, cli_colours());
        if (!cli_text_write(app, &text)) {
            return;
        }
    }
    cli_ask(app, &request);
}

const struct cli_command cli_show = {
    .name = "show",
    .summary = "one container, in detail",
    .arguments = {&cli_cid},
    .options = {&cli_json},
    .about = "Shows a container: state, host, epoch, moves; of each process's streams what is kept; of each attachment "
             "how far it is; what its guest and its tenant may have at its agent, and have.",
    .found = found,
    .needs_record = true,
};
