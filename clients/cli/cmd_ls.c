/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows are collected and sorted by ID while they are few. More of them are printed as they come, host by host, in the
 * columns of the first of them, a page at a time; the next page is asked for when this one has been taken. With --sort
 * all are collected. */

/* Records of a page, and rows that are few. */
#define PAGE 500
/* Rows that are sorted, unless there is a limit below. */
#define SORTED_MAX 100000
/* Rows collected beyond a limit before those that are too many go. */
#define SLACK 1000

static const struct rt_option host = {"host", 0, &cli_kind_host, "only those that this host serves, or served last",
                                      NULL};
static const struct rt_option state = {"state", 0, &cli_kind_states, "only those in one of these states", NULL};
static const struct rt_option older = {"older", 0, &rt_kind_duration, "only those made so long ago, or longer", NULL};
static const struct rt_option label = {"label", 0, &cli_kind_label, "only those whose label has this in it", NULL};
static const struct rt_option limit = {"limit", 0, &cli_kind_limit, "so many at most", NULL};
static const struct rt_option sort = {"sort", 0, &cli_kind_sort,
                                      "by id, host, state, age (the youngest first), moves or epoch (the most first), "
                                      "or label; more than 500 are in the order of their hosts without it",
                                      NULL};

static struct {
    struct cli_text rows; /* retether_record, one behind the other, without what they point to */
    char after[512];      /* where the next page begins; "": the first */
    uint64_t limit;       /* UINT64_MAX: none */
    uint64_t printed;
    unsigned key;  /* enum cli_sort */
    bool local;    /* the store cannot be asked: what the agent serves */
    char host[65]; /* whose agent that is; "": not told yet */
    struct cli_table table;
} list;

static int by_id(const struct retether_record *a, const struct retether_record *b)
{
    int order = strcmp(a->container, b->container);

    /* An operator sees containers of several tenants that have the same ID. */
    return order != 0 ? order : strcmp(a->tenant, b->tenant);
}

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_records(const void *first, const void *second)
{
    const struct retether_record *a = first, *b = second;
    int order = 0;

    switch ((enum cli_sort)list.key) {
    case CLI_BY_HOST:
        order = strcmp(a->host, b->host);
        break;
    case CLI_BY_STATE:
        order = by_number(a->state, b->state);
        break;
    case CLI_BY_AGE:
        order = by_number(b->made_ms, a->made_ms);
        break;
    case CLI_BY_MOVES:
        order = by_number(b->moves, a->moves);
        break;
    case CLI_BY_EPOCH:
        order = by_number(b->epoch, a->epoch);
        break;
    case CLI_BY_LABEL:
        order = strcmp(a->label, b->label);
        break;
    case CLI_BY_ID:
    case CLI_SORTS:
        break;
    }
    return order != 0 ? order : by_id(a, b);
}

/* An empty table may be a mistyped name. */
static void tell_none(const struct cli_options *options)
{
    const char *on = cli_value(options, &host);
    bool prefix = options->word[0] != NULL && options->word[0][0] != '\0';

    if (list.local) {
        cli_say("the agent of %s serves none of these", list.host);
    } else if (cli_has(options, &state) || cli_has(options, &older) || cli_has(options, &label)) {
        cli_say("no container is like that");
    } else if (on != NULL) {
        cli_say("no container is, or was last, on a host \"%s\"%s%s; retether hosts lists them", on,
                prefix ? " with an ID that begins with " : "", prefix ? options->word[0] : "");
    } else if (prefix) {
        cli_say("no container has an ID that begins with \"%s\"", options->word[0]);
    } else {
        cli_say("no container is known");
    }
}

static size_t n_rows(void)
{
    return list.rows.size / sizeof(struct retether_record);
}

static void sort_rows(void)
{
    if (n_rows() > 1) {
        qsort(list.rows.data, n_rows(), sizeof(struct retether_record), compare_records);
    }
}

/* Those beyond so many go. */
static void cut_rows(uint64_t most)
{
    if (n_rows() > most) {
        list.rows.size = (size_t)most * sizeof(struct retether_record);
    }
}

/* Adds what was collected to the text, and forgets it. */
static void print_rows(struct cli_text *text, bool json)
{
    static char heads[] = "CONTAINER STATE HOST >AGE >MOVES >EPOCH >EXIT LABEL";

    text->failed = list.rows.failed;
    if (!json && list.table.columns == 0) {
        cli_table_init(&list.table, heads, cli_colours());
    }
    for (size_t i = 0; i < n_rows(); i++) {
        /* The pointers to arrays are not valid here. Neither form shows them. */
        const struct retether_record *record = (const struct retether_record *)(const void *)list.rows.data + i;

        if (json) {
            cli_record_json(text, record, false);
            cli_json_close(text);
        } else {
            cli_record_row(&list.table, record);
        }
    }
    if (!json) {
        cli_table_part(&list.table, text);
    }
    list.printed += n_rows();
    cli_text_free(&list.rows);
}

static int ask_list(struct cli_app *app, retether_reply_cb cb)
{
    struct retether_listing which = {.prefix = app->options->word[0],
                                     .host = cli_value(app->options, &host),
                                     .label = cli_value(app->options, &label),
                                     .local = list.local,
                                     /* What is sorted comes whole, whatever is printed of it. */
                                     .page = cli_has(app->options, &sort) || list.limit > PAGE ? PAGE : list.limit,
                                     .after = list.after};

    (void)cli_read(app->options, &state, &which.states);
    (void)cli_read(app->options, &older, &which.older_ms);
    return retether_list(app->client, &which, cb, app);
}

static const struct cli_request first, next;

/* Prints what was collected, up to the limit. False: that has ended the program. */
static bool flow(struct cli_app *app)
{
    struct cli_text text = {0};

    cut_rows(list.limit - list.printed);
    print_rows(&text, cli_has(app->options, &cli_json));
    return cli_text_write(app, &text);
}

/* Of rows that are to be sorted, those that are too many go, or end the program: false. */
static bool bound(struct cli_app *app)
{
    if (list.limit <= SORTED_MAX && n_rows() > list.limit + SLACK) {
        sort_rows();
        cut_rows(list.limit);
    } else if (n_rows() > SORTED_MAX + SLACK) {
        cli_fail(app, "these are too many to sort: add --limit, of %d at most, or leave out --sort", SORTED_MAX);
        return false;
    }
    return true;
}

/* All of a page has come; it is the last one. */
static void finish(struct cli_app *app, bool sorted)
{
    if (sorted || (list.printed == 0 && n_rows() <= PAGE)) {
        sort_rows();
    }
    if (list.printed + n_rows() == 0 && !cli_has(app->options, &cli_json)) {
        tell_none(app->options);
    }
    if (flow(app)) {
        free(list.table.cells);
        cli_finish(app, app->status);
    }
}

static void listed(struct cli_app *app, const struct retether_reply *reply)
{
    bool sorted = cli_has(app->options, &sort);

    if (reply->cls != RETETHER_OK) {
        list.local = true;
        cli_ask(app, &next);
        return;
    }
    if (reply->local[0] != '\0' && list.host[0] == '\0') {
        snprintf(list.host, sizeof(list.host), "%s", reply->local);
        cli_say("local view of %s: the session store cannot be asked, so what other hosts serve is missing",
                reply->local);
    }
    cli_text_add(&list.rows, (const char *)(const void *)reply->records, reply->n_records * sizeof(*reply->records));
    if (sorted && !bound(app)) {
        return;
    }
    if (reply->more) {
        /* Only an agent that knows no pages gives so much at once. */
        (void)(!sorted && n_rows() > SLACK && flow(app));
    } else if (reply->next == NULL || (!sorted && list.printed + n_rows() >= list.limit)) {
        finish(app, sorted);
    } else if (strcmp(reply->next, list.after) == 0) {
        cli_fail(app, "the agent's list does not go on; retether hosts shows the agents' versions");
    } else {
        snprintf(list.after, sizeof(list.after), "%s", reply->next);
        if (sorted || list.printed + n_rows() <= PAGE || flow(app)) {
            cli_ask(app, &next);
        }
    }
}

/* The store may be out when a list begins, and then the agent lists what it serves itself; within one it is waited for.
 */
static const struct cli_request first = {.ask = ask_list, .take = listed, .accepts = cli_is_put_off};
static const struct cli_request next = {.ask = ask_list, .take = listed};

static void run(struct cli_app *app)
{
    list.limit = UINT64_MAX;
    (void)cli_read(app->options, &limit, &list.limit);
    (void)cli_read(app->options, &sort, &list.key);
    if (app->options->word[0] != NULL) {
        snprintf(app->container, sizeof(app->container), "%s", app->options->word[0]);
    }
    cli_ask_briefly(app, &first);
}

static const struct cli_argument prefix = {&cli_kind_prefix, CLI_OPTIONAL, NULL, NULL};

const struct cli_command cli_ls = {
    .name = "ls",
    .summary = "all containers, or those whose ID begins so",
    .arguments = {&prefix},
    .options = {&host, &state, &older, &label, &limit, &sort, &cli_json},
    .about =
        "Lists containers, or those whose ID begins with PREFIX. When the session store cannot be asked, those that "
        "the agent serves: a local view, which is said.",
    .run = run,
};
