/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

#include <string.h>

static struct retether_record record; /* without its arrays */

static void print_resolved(struct cli_app *app, const struct retether_host *host)
{
    struct cli_text text = {0};
    size_t n = host != NULL ? host->n_addresses : 0;

    if (cli_has(app->options, &cli_json)) {
        cli_json_open(&text);
        cli_json_text(&text, "container", record.container);
        cli_json_text(&text, "state", retether_state_name(record.state));
        cli_json_text_or_null(&text, "host", record.host);
        cli_json_number(&text, "life", record.life);
        cli_json_number(&text, "epoch", record.epoch);
        cli_addresses_json(&text, host);
        cli_json_text_or_null(&text, "local", record.local);
        cli_json_close(&text);
    } else {
        cli_text_printf(&text, "%s  %s  %s", record.container, retether_state_name(record.state),
                        record.host[0] != '\0' ? record.host : "-");
        for (size_t i = 0; i < n; i++) {
            cli_text_printf(&text, "  %s", host->address[i]);
        }
        cli_text_printf(&text, "\n");
    }
    cli_text_flush(app, &text);
}

/* The host is known, if not its addresses. */
static bool accepts_none(const struct cli_app *app, const struct retether_reply *reply)
{
    return reply->n_hosts == 0 && !reply->more && uv_now(&app->loop) >= app->find_until_ms;
}

static void listed(struct cli_app *app, const struct retether_reply *reply)
{
    for (size_t i = 0; i < reply->n_hosts; i++) {
        if (strcmp(reply->hosts[i].name, record.host) == 0) {
            print_resolved(app, &reply->hosts[i]);
            return;
        }
    }
    if (!reply->more) {
        print_resolved(app, NULL);
    }
}

static int ask_hosts(struct cli_app *app, retether_reply_cb cb)
{
    return retether_hosts(app->client, cb, app);
}

static void found(struct cli_app *app, const struct retether_record *looked_up)
{
    static const struct cli_request request = {
        .ask = ask_hosts, .take = listed, .accepts = accepts_none, .hosts = true};

    record = *looked_up;
    record.n_history = record.n_processes = record.n_attachments = 0;
    if (record.host[0] == '\0') {
        print_resolved(app, NULL);
    } else {
        cli_ask(app, &request);
    }
}

const struct cli_command cli_resolve = {
    .name = "resolve",
    .summary = "where it is",
    .arguments = {&cli_cid},
    .options = {&cli_json},
    .about = "Prints a container's whole ID, its state, the host that serves it, and that agent's addresses.",
    .found = found,
    .needs_record = true,
};
