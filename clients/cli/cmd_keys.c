/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/actions.h"
#include "clients/cli/commands.h"
#include "clients/cli/table.h"
#include "migrate/seal/keyring.h"
#include "session/base/units.h"

#include <inttypes.h>
#include <string.h>

/* The key ring's file; what is read of it is wiped before the program ends. */

static bool read_id(const char *text, void *out)
{
    const uint64_t *id = out;

    return rt_read_number(rt_slice_text(text), UINT32_MAX, out) && *id > 0;
}

static const struct rt_kind kind_action = {"ACTION", "new, activate, remove or list", rt_read_text};
static const struct rt_kind kind_id = {"ID", "the number of a key as list shows it", read_id};

static struct rt_keyring ring;

static const char *path_of(const struct cli_app *app)
{
    return app->options->word[1];
}

/* The number that stands behind the file. */
static uint32_t id_of(const struct cli_app *app)
{
    uint64_t id = 0;

    (void)read_id(app->options->word[2], &id); /* it was good when it was given */
    return (uint32_t)id;
}

static void fail_missing(struct cli_app *app)
{
    cli_fail(app, "%s has no key %" PRIu32 "; retether keys list %s shows those it has", path_of(app), id_of(app),
             path_of(app));
}

/* Returns false, having told why. */
static bool load(struct cli_app *app)
{
    int rc = rt_keyring_load(&ring, path_of(app));

    if (rc == RT_ENOTFOUND) {
        cli_fail(app, "%s; retether keys new %s makes it, as an agent does that starts without", ring.why,
                 path_of(app));
    } else if (rc != RT_OK) {
        cli_fail(app, "%s", ring.why);
    }
    return rc == RT_OK;
}

/* Returns false, having told why. */
static bool save(struct cli_app *app)
{
    if (rt_keyring_save(&ring, path_of(app)) != RT_OK) {
        cli_fail(app, "%s", ring.why);
        return false;
    }
    return true;
}

static void do_new(struct cli_app *app)
{
    uint32_t id = 0;
    int rc = rt_keyring_create(&ring, path_of(app));

    if (rc == RT_OK) {
        cli_done(app, "made %s with key 1, which seals; copy it to every host before its agent starts", path_of(app));
    } else if (rc != RT_EEXIST) {
        cli_fail(app, "%s", ring.why);
    } else if (load(app)) {
        rc = rt_keyring_grow(&ring, &id);
        if (rc != RT_OK) {
            cli_fail(app, "%s has %d keys, as many as it may: take one out with retether keys remove", path_of(app),
                     RT_KEYRING_MAX);
        } else if (save(app)) {
            cli_done(app,
                     "added key %" PRIu32 ", which does not seal yet: copy %s to every host, SIGHUP each agent, then "
                     "retether keys activate %s %" PRIu32,
                     id, path_of(app), path_of(app), id);
        }
    }
}

static void do_activate(struct cli_app *app)
{
    uint32_t id = id_of(app);

    if (!load(app)) {
        return;
    }
    if (ring.active == id) {
        cli_done(app, "key %" PRIu32 " seals already", id);
    } else if (rt_keyring_activate(&ring, id) != RT_OK) {
        fail_missing(app);
    } else if (save(app)) {
        cli_done(app, "key %" PRIu32 " seals: copy %s to every host, SIGHUP each agent", id, path_of(app));
    }
}

static void do_remove(struct cli_app *app)
{
    uint32_t id = id_of(app);
    int rc;

    if (!load(app)) {
        return;
    }
    rc = rt_keyring_remove(&ring, id);
    if (rc == RT_ESTATE) {
        cli_fail(app, "key %" PRIu32 " seals: first make another one do that, with retether keys activate", id);
    } else if (rc != RT_OK) {
        fail_missing(app);
    } else if (save(app)) {
        cli_done(app, "took key %" PRIu32 " out: copy %s to every host, SIGHUP each agent", id, path_of(app));
    }
}

/* ---- list ---- */

struct row {
    uint32_t id;
    bool active;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *first = a;
    const struct row *second = b;

    return (first->id > second->id) - (first->id < second->id);
}

static void add_row(const void *row, struct cli_table *table, struct cli_text *json)
{
    const struct row *key = row;

    if (json != NULL) {
        cli_json_open(json);
        cli_json_number(json, "id", key->id);
        cli_json_bool(json, "active", key->active);
        cli_json_close(json);
    } else {
        cli_table_addf(table, "%" PRIu32, key->id);
        cli_table_add(table, CLI_PLAIN, key->active ? "yes" : "");
    }
}

static void do_list(struct cli_app *app)
{
    static char heads[] = ">ID ACTIVE";
    static struct cli_list list = {.row_size = sizeof(struct row), .compare = compare_rows, .add = add_row};
    struct row rows[RT_KEYRING_MAX];

    if (!load(app)) {
        return;
    }
    for (size_t i = 0; i < ring.n_keys; i++) {
        rows[i] = (struct row){ring.keys[i].id, ring.keys[i].id == ring.active};
    }
    cli_list_take(&list, app, heads, rows, ring.n_keys, false);
}

static const struct cli_action actions[] = {
    {"new", "FILE", 1, 1, {NULL}, do_new},
    {"activate", "FILE ID", 2, 2, {NULL}, do_activate},
    {"remove", "FILE ID", 2, 2, {NULL}, do_remove},
    {"list", "FILE", 1, 1, {&cli_json}, do_list},
    {0},
};

static void run(struct cli_app *app)
{
    rt_keyring_init(&ring);
    cli_act(app);
    rt_keyring_close(&ring);
}

static const struct cli_argument action_word = {&kind_action, CLI_ONE, NULL, "new, activate, remove or list?"};
static const struct cli_argument file_word = {
    &rt_kind_file, CLI_ONE, NULL, "which file? An agent's is STATE_DIR/keys, or what its setting keys says"};
static const struct cli_argument id_word = {&kind_id, CLI_OPTIONAL, NULL, NULL};

const struct cli_command cli_keys = {
    .name = "keys",
    .summary = "the key ring of the cluster",
    .arguments = {&action_word, &file_word, &id_word},
    .options = {&cli_json},
    .about = "Changes the file with the keys under which the agents of a cluster seal tokens. It asks no agent.\n"
             "\n"
             "  retether keys new FILE           add a key that does not seal yet\n"
             "  retether keys activate FILE ID   from now on this key seals\n"
             "  retether keys remove FILE ID     take it out, and all that it has sealed\n"
             "  retether keys list FILE          their numbers, and which one seals\n"
             "\n"
             "To change keys, without one guest that is refused: new; copy FILE to every host, SIGHUP each agent; "
             "activate; copy, SIGHUP. Once the guests have tickets under the new key: remove the old one; copy, "
             "SIGHUP.",
    .more =
        "FILE keeps its owner and mode, but not its comments; it is replaced whole or not at all. Run it as root or "
        "as the agent's user.",
    .actions = actions,
    .run = run,
    .local = true,
};
