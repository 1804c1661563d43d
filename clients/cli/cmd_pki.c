/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/actions.h"
#include "clients/cli/commands.h"
#include "clients/cli/pki/pki.h"
#include "session/base/clock.h"
#include "session/base/units.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* Exit statuses of show. */
#define EXIT_BAD 1  /* the certificate will not do */
#define EXIT_SOON 2 /* it should be renewed */

#define DAY_MS 86400000

static bool read_days(const char *text, void *out)
{
    const uint64_t *days = out;

    return rt_read_number(rt_slice_text(text), PKI_DAYS_MAX, out) && *days > 0;
}

static const struct rt_kind kind_action = {"ACTION", "init, issue, revoke or show", rt_read_text};
static const struct rt_kind kind_path = {"PATH", "a path", rt_read_text};
static const struct rt_kind kind_role = {"ROLE", "a role, or a certificate", rt_read_text};
static const struct rt_kind kind_name = {"NAME", "a name", rt_read_text};
static const struct rt_kind kind_domain = {"DOMAIN", "a domain", rt_read_text};
static const struct rt_kind kind_days = {"DAYS", "days from 1 to 3650", read_days};

static const struct rt_option domain = {
    "domain", 0, &kind_domain, "init: what all agents and clients of the CA belong to, such as lab.example", NULL};
static const struct rt_option out = {"out", 0, &rt_kind_directory,
                                     "issue: where the certificate is to be (default: ROLE-NAME in the CA's directory)",
                                     NULL};
static const struct rt_option days = {"days", 0, &kind_days, "issue: how long it is good (default 90)", NULL};

static void do_init(struct cli_app *app)
{
    const char *name = cli_value(app->options, &domain);
    const char *dir = app->options->word[1];
    char why[PKI_WHY_MAX] = "";

    if (name == NULL) {
        cli_fail(app, "which domain? --domain lab.example names what all agents and clients belong to");
    } else if (pki_init(dir, name, why) != RT_OK) {
        cli_fail(app, "%s", why);
    } else {
        cli_done(app, "made a CA for %s in %s; ca-key.pem there makes certificates for every role: keep it", name, dir);
    }
}

static void do_issue(struct cli_app *app)
{
    struct pki_request request = {.ca = app->options->word[1],
                                  .role = app->options->word[2],
                                  .name = app->options->word[3],
                                  .out = cli_value(app->options, &out),
                                  .days = PKI_DAYS_DEFAULT};
    char why[PKI_WHY_MAX] = "", path[PATH_MAX];

    (void)cli_read(app->options, &days, &request.days);
    if (pki_issue(&request, path, sizeof(path), why) != RT_OK) {
        cli_fail(app, "%s", why);
    } else {
        cli_done(app, "%s", path);
    }
}

static void do_revoke(struct cli_app *app)
{
    const char *dir = app->options->word[1];
    char why[PKI_WHY_MAX] = "", serial[PKI_SERIAL_MAX];

    if (pki_revoke(dir, app->options->word[2], serial, why) != RT_OK) {
        cli_fail(app, "%s", why);
    } else {
        cli_done(app, "revoked %s; copy %s/crl.pem into the certificate directory of each agent, then SIGHUP", serial,
                 dir);
    }
}

/* ---- show ---- */

static uint64_t days_left(const struct pki_view *view, uint64_t now_ms)
{
    return view->to_ms > now_ms ? (view->to_ms - now_ms) / DAY_MS : 0;
}

static void answer_json(struct cli_text *text, const char *name, enum pki_answer answer)
{
    if (answer == PKI_UNKNOWN) {
        cli_json_null(text, name);
    } else {
        cli_json_bool(text, name, answer == PKI_YES);
    }
}

static void print_json(struct cli_text *text, const struct pki_view *view, uint64_t now_ms)
{
    bool agent = strcmp(view->role, "agent") == 0, store = strcmp(view->role, "store") == 0;

    cli_json_open(text);
    cli_json_text(text, "file", view->path);
    cli_json_text_or_null(text, "identity", view->identity);
    cli_json_text_or_null(text, "role", view->role);
    cli_json_text_or_null(text, "tenant", agent || store ? "" : view->name);
    cli_json_text_or_null(text, "host", agent ? view->name : "");
    cli_json_text_or_null(text, "names", store ? view->name : "");
    cli_json_text(text, "subject", view->subject);
    cli_json_text(text, "issuer", view->issuer);
    cli_json_text(text, "serial", view->serial);
    cli_json_time(text, "valid_from", view->from_ms);
    cli_json_time(text, "valid_to", view->to_ms);
    cli_json_number(text, "days_left", days_left(view, now_ms));
    cli_json_text(text, "key", view->key);
    answer_json(text, "key_fits", view->key_fits);
    answer_json(text, "trusted", view->trusted);
    answer_json(text, "revoked", view->revoked);
    cli_json_begin(text, "problems", '[');
    for (size_t i = 0; i < view->n_problems; i++) {
        cli_json_text(text, NULL, view->problem[i]);
    }
    cli_json_end(text, ']');
    cli_json_close(text);
}

static void print_line(struct cli_text *text, const char *name, const char *value)
{
    if (value[0] != '\0') {
        cli_text_printf(text, "%-9s %s\n", name, value);
    }
}

static void print_page(struct cli_text *text, const struct pki_view *view, uint64_t now_ms)
{
    static const char *const yes_no[] = {[PKI_UNKNOWN] = "", [PKI_NO] = "no", [PKI_YES] = "yes"};
    char from[48], to[48];

    rt_time_text(view->from_ms, from, sizeof(from));
    rt_time_text(view->to_ms, to, sizeof(to));
    print_line(text, "identity", view->identity);
    print_line(text, "role", view->role);
    print_line(text,
               strcmp(view->role, "agent") == 0   ? "host"
               : strcmp(view->role, "store") == 0 ? "names"
                                                  : "tenant",
               view->name);
    print_line(text, "subject", view->subject);
    print_line(text, "issuer", view->issuer);
    print_line(text, "serial", view->serial);
    print_line(text, "key", view->key);
    cli_text_printf(text, "valid     %s to %s, %" PRIu64 " days left\n", from, to, days_left(view, now_ms));
    print_line(text, "key fits", yes_no[view->key_fits]);
    print_line(text, "trusted", yes_no[view->trusted]);
    print_line(text, "revoked", yes_no[view->revoked]);
}

static void do_show(struct cli_app *app)
{
    uint64_t now_ms = rt_wall_ms();
    static struct pki_view view;
    struct cli_text text = {0};
    char why[PKI_WHY_MAX] = "";
    bool json = cli_has(app->options, &cli_json);
    bool soon;

    if (pki_look(app->options->word[1], now_ms, &view, why) != RT_OK) {
        cli_fail(app, "%s", why);
        return;
    }
    if (json) {
        print_json(&text, &view, now_ms);
    } else {
        print_page(&text, &view, now_ms);
    }
    soon = view.to_ms > now_ms && days_left(&view, now_ms) < PKI_DAYS_WARN;
    app->status = view.n_problems > 0 ? EXIT_BAD : soon ? EXIT_SOON : 0;
    for (size_t i = 0; i < view.n_problems; i++) {
        cli_say("%s: %s", view.path, view.problem[i]);
    }
    if (soon) {
        cli_say("%s: it ends in less than %d days: issue it anew", view.path, PKI_DAYS_WARN);
    }
    cli_text_flush(app, &text);
}

static const struct cli_action actions[] = {
    {"init", "DIR --domain DOMAIN", 1, 1, {&domain}, do_init},
    {"issue", "DIR ROLE [NAME]", 2, 3, {&out, &days}, do_issue},
    {"revoke", "DIR CERT|SERIAL", 2, 2, {NULL}, do_revoke},
    {"show", "FILE|DIR", 1, 1, {&cli_json}, do_show},
    {0},
};

static const struct cli_argument action_word = {&kind_action, CLI_ONE, NULL, "init, issue, revoke or show?"};
static const struct cli_argument path_word = {&kind_path, CLI_ONE, NULL, "which directory?"};
static const struct cli_argument role_word = {&kind_role, CLI_OPTIONAL, NULL, NULL};
static const struct cli_argument name_word = {&kind_name, CLI_OPTIONAL, NULL, NULL};

const struct cli_command cli_pki = {
    .name = "pki",
    .summary = "certificates for a lab",
    .arguments = {&action_word, &path_word, &role_word, &name_word},
    .options = {&domain, &out, &days, &cli_json},
    .about = "Makes a CA for a lab, and directories of certificates as --tls takes them. It asks no agent.\n"
             "\n"
             "  retether pki init DIR --domain DOMAIN   make a CA: ca.pem, ca-key.pem\n"
             "  retether pki issue DIR agent HOST       for the agent whose host.name it is\n"
             "  retether pki issue DIR vch TENANT       for a client of that tenant\n"
             "  retether pki issue DIR viewer TENANT    for one who only looks\n"
             "  retether pki issue DIR operator         for one who runs the cluster\n"
             "  retether pki issue DIR store NAME,...   for a Redis or a Sentinel\n"
             "  retether pki revoke DIR CERT|SERIAL     it counts no longer: crl.pem\n"
             "  retether pki show FILE|DIR              what it says, and whether it will do\n"
             "\n"
             "issue makes a directory with cert.pem, key.pem, ca.pem and, if there is one, crl.pem, and prints its "
             "path. Given the directory of a certificate for the same name again, it renews both key and certificate "
             "at once; an agent reads them at SIGHUP.",
    .more = "show ends with 0, with 2 when fewer than 14 days are left, and with 1 when the certificate will not do: "
            "it has expired, names nobody that retether knows, key.pem belongs to another, ca.pem has not signed it, "
            "crl.pem has it.",
    .actions = actions,
    .run = cli_act,
    .local = true,
};
