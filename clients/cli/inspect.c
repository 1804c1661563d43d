/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ls, show, moves, hosts, resolve. */

struct cli_rows {
    void *data; /* owned */
    size_t n, cap;
    bool failed; /* without memory */
};

static void rows_add(struct cli_rows *rows, const void *row, size_t size)
{
    if (rows->n == rows->cap) {
        size_t cap = rows->cap > 0 ? rows->cap * 2 : 64;
        void *more = realloc(rows->data, cap * size);

        if (more == NULL) {
            rows->failed = true;
            return;
        }
        rows->data = more;
        rows->cap = cap;
    }
    memcpy((char *)rows->data + rows->n++ * size, row, size);
}

static void rows_sort(const struct cli_rows *rows, size_t size, int (*compare)(const void *a, const void *b))
{
    if (rows->n > 0) {
        qsort(rows->data, rows->n, size, compare);
    }
}

static void rows_free(struct cli_rows *rows)
{
    free(rows->data);
    memset(rows, 0, sizeof(*rows));
}

static struct {
    struct cli_text text;
    struct cli_table table;
    struct retether_record record; /* resolve: without its arrays */
    /* ls, hosts: all rows of the answer, which come by host and in parts */
    struct cli_rows rows;
} inspect;

static bool colours(void)
{
    const char *none = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && (none == NULL || none[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* Prints what the rows were made into. */
static void flush_rows(struct cli_app *app)
{
    if (!app->options->json) {
        cli_table_print(&inspect.table, &inspect.text, "");
    }
    inspect.text.failed = inspect.text.failed || inspect.rows.failed;
    rows_free(&inspect.rows);
    cli_text_flush(app, &inspect.text, 0);
}

/* ---- ls ---- */

/* By ID; an operator sees the same one of several tenants. */
static int compare_records(const void *a, const void *b)
{
    const struct retether_record *first = a;
    const struct retether_record *second = b;
    int order = strcmp(first->container, second->container);

    return order != 0 ? order : strcmp(first->tenant, second->tenant);
}

/* An empty table may be a mistyped name. */
static void tell_none(const struct cli_options *options)
{
    bool prefix = options->container != NULL && options->container[0] != '\0';

    if (options->host != NULL) {
        cli_say("no container is, or was last, on a host \"%s\"%s%s; retether hosts lists them", options->host,
                prefix ? " with an ID that begins with " : "", prefix ? options->container : "");
    } else if (prefix) {
        cli_say("no container has an ID that begins with \"%s\"", options->container);
    } else {
        cli_say("no container is known");
    }
}

/* Rows are kept without their arrays, which are the reply's: neither form shows them. */
static void print_list(struct cli_app *app)
{
    const struct retether_record *records = inspect.rows.data;

    rows_sort(&inspect.rows, sizeof(*records), compare_records);
    for (size_t i = 0; i < inspect.rows.n; i++) {
        if (app->options->json) {
            cli_record_json(&inspect.text, &records[i], false);
        } else {
            cli_record_row(&inspect.table, &records[i]);
        }
    }
    if (inspect.rows.n == 0 && !app->options->json) {
        tell_none(app->options);
    }
    flush_rows(app);
}

static void listed(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;

    (void)client;
    if (!cli_answered(app, reply)) {
        return;
    }
    for (size_t i = 0; i < reply->n_records; i++) {
        rows_add(&inspect.rows, &reply->records[i], sizeof(reply->records[i]));
    }
    if (reply->more) {
        cli_asked(app, 0); /* the time for the next part */
    } else {
        print_list(app);
    }
}

static void ask_list(struct cli_app *app)
{
    cli_asked(app, retether_list(app->client, app->options->container, app->options->host, listed, app));
}

void cli_ls(struct cli_app *app)
{
    static char heads[] = "CONTAINER STATE HOST >AGE >MOVES >EPOCH >EXIT LABEL";

    cli_table_init(&inspect.table, heads, colours());
    if (app->options->container != NULL) {
        snprintf(app->container, sizeof(app->container), "%s", app->options->container);
    }
    cli_ask(app, ask_list);
}

/* ---- show, moves ---- */

static void shown(struct cli_app *app, const char *container, const struct retether_record *record)
{
    (void)container;
    if (app->options->json) {
        cli_record_json(&inspect.text, record, true);
    } else {
        cli_record_page(&inspect.text, record, colours());
    }
    cli_text_flush(app, &inspect.text, 0);
}

void cli_show(struct cli_app *app)
{
    cli_find(app, shown);
}

static void moved(struct cli_app *app, const char *container, const struct retether_record *record)
{
    (void)container;
    if (app->options->json) {
        cli_moves_json(&inspect.text, record);
    } else {
        cli_moves_page(&inspect.text, record, colours());
    }
    cli_text_flush(app, &inspect.text, 0);
}

void cli_moves(struct cli_app *app)
{
    cli_find(app, moved);
}

/* ---- hosts ---- */

/* An agent that has not heard the store yet knows not even itself. */
static bool hosts_answered(struct cli_app *app, const struct retether_reply *reply)
{
    const struct retether_reply none = {.cls = RETETHER_RETRY_LATER,
                                        .text = "the agent has heard of no host yet, or its session store is out"};
    bool empty = app->ask != NULL && reply->error == 0 && reply->cls == RETETHER_OK && reply->n_hosts == 0;

    return cli_answered(app, empty ? &none : reply);
}

static int compare_hosts(const void *a, const void *b)
{
    const struct retether_host *first = a;
    const struct retether_host *second = b;

    return strcmp(first->name, second->name);
}

static void print_hosts(struct cli_app *app)
{
    const struct retether_host *hosts = inspect.rows.data;

    rows_sort(&inspect.rows, sizeof(*hosts), compare_hosts);
    for (size_t i = 0; i < inspect.rows.n; i++) {
        if (app->options->json) {
            cli_host_json(&inspect.text, &hosts[i]);
        } else {
            cli_host_row(&inspect.table, &hosts[i]);
        }
    }
    flush_rows(app);
}

static void hosts_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;

    (void)client;
    if (!hosts_answered(app, reply)) {
        return;
    }
    for (size_t i = 0; i < reply->n_hosts; i++) {
        rows_add(&inspect.rows, &reply->hosts[i], sizeof(reply->hosts[i]));
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

void cli_hosts(struct cli_app *app)
{
    static char heads[] = "HOST STATE >HEARTBEAT >SESSIONS VERSION ADDRESSES";

    cli_table_init(&inspect.table, heads, colours());
    cli_ask(app, ask_hosts);
}

/* ---- resolve ---- */

static void print_resolved(struct cli_app *app, const struct retether_host *host)
{
    const struct retether_record *record = &inspect.record;
    struct cli_text *text = &inspect.text;
    size_t n = host != NULL ? host->n_addresses : 0;

    if (app->options->json) {
        cli_json_open(text);
        cli_json_text(text, "container", record->container);
        cli_json_text(text, "state", retether_state_name(record->state));
        if (record->host[0] != '\0') {
            cli_json_text(text, "host", record->host);
        } else {
            cli_json_null(text, "host");
        }
        cli_json_number(text, "life", record->life);
        cli_json_number(text, "epoch", record->epoch);
        cli_json_begin(text, "addresses", '[');
        for (size_t i = 0; i < n; i++) {
            cli_json_text(text, NULL, host->address[i]);
        }
        cli_json_end(text, ']');
        cli_json_close(text);
    } else {
        cli_text_printf(text, "%s  %s  %s", record->container, retether_state_name(record->state),
                        record->host[0] != '\0' ? record->host : "-");
        for (size_t i = 0; i < n; i++) {
            cli_text_printf(text, "  %s", host->address[i]);
        }
        cli_text_printf(text, "\n");
    }
    cli_text_flush(app, text, 0);
}

static void resolve_hosts_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;

    (void)client;
    if (reply->error == 0 && reply->n_hosts == 0 && !reply->more && uv_now(&app->loop) >= app->find_until_ms) {
        print_resolved(app, NULL); /* it is known where, though not how to get there */
        return;
    }
    if (!hosts_answered(app, reply)) {
        return;
    }
    for (size_t i = 0; i < reply->n_hosts; i++) {
        if (strcmp(reply->hosts[i].name, inspect.record.host) == 0) {
            print_resolved(app, &reply->hosts[i]);
            return;
        }
    }
    if (reply->more) {
        cli_asked(app, 0);
    } else {
        print_resolved(app, NULL);
    }
}

static void ask_resolve_hosts(struct cli_app *app)
{
    cli_asked(app, retether_hosts(app->client, resolve_hosts_cb, app));
}

static void resolved(struct cli_app *app, const char *container, const struct retether_record *record)
{
    (void)container;
    inspect.record = *record;
    inspect.record.n_history = inspect.record.n_processes = inspect.record.n_attachments = 0;
    if (record->host[0] == '\0') {
        print_resolved(app, NULL);
    } else {
        cli_ask(app, ask_resolve_hosts);
    }
}

void cli_resolve(struct cli_app *app)
{
    cli_find(app, resolved);
}
