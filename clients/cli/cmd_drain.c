/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <inttypes.h>
#include <stdio.h>

/* Its agent is asked this often how many containers are left. */
#define LOOK_MS 1000

static const struct rt_option off = {"off", 0, NULL, "the host makes new containers again", NULL};
static const struct rt_option wait_option = {
    "wait", 0, NULL, "until no container is left there; for as long as --timeout says, or for ever", NULL};

static enum retether_drain what;
static uint64_t until_ms; /* of the loop's clock */
static uint64_t told;     /* containers that were told last */
static bool told_unsure, told_gone;

static int ask_drain(struct cli_app *app, retether_reply_cb cb)
{
    return retether_drain(app->client, app->options->word[0], what, cb, app);
}

static void drained(struct cli_app *app, const struct retether_reply *reply);

/* What is not there is a host, and no container: that is said here. */
static bool accepts_unknown(const struct cli_app *app, const struct retether_reply *reply)
{
    (void)app;
    return reply->cls == RETETHER_NOT_FOUND;
}

static const struct cli_request look = {.ask = ask_drain, .take = drained, .accepts = accepts_unknown};
static const struct cli_request drains = {
    .ask = ask_drain, .take = drained, .accepts = accepts_unknown, .unknown = "it may drain from now on; ask again"};
static const struct cli_request drains_no_more = {
    .ask = ask_drain, .take = drained, .accepts = accepts_unknown, .unknown = "it may drain no more; ask again"};

static void look_cb(uv_timer_t *timer)
{
    what = RETETHER_DRAIN_LOOK;
    cli_ask(timer->data, &look);
}

static void say_left(const struct retether_host *host)
{
    told = host->sessions;
    told_unsure = host->sessions_unsure;
    cli_say("%s %s; containers there: %" PRIu64 "%s", host->name, host->draining ? "drains" : "does not drain",
            host->sessions,
            host->sessions_unsure ? ", and perhaps some that have not dialled its agent again yet" : "");
}

static void look_again(struct cli_app *app)
{
    (void)uv_timer_start(&app->timer, look_cb, LOOK_MS, 0);
}

/* The host's agent could not be asked. It may just be started anew: who waits goes on. */
static void unreachable(struct cli_app *app, bool waits)
{
    if (!waits || uv_now(&app->loop) >= until_ms) {
        cli_fail(app, "the agent of %s cannot be reached from here", app->options->word[0]);
        return;
    }
    if (!told_gone) {
        cli_say("the agent of %s cannot be reached now; waiting for it", app->options->word[0]);
    }
    told_gone = true;
    look_again(app);
}

static void print(struct cli_app *app, const struct retether_host *host)
{
    struct cli_text text = {0};

    cli_json_open(&text);
    cli_json_text(&text, "host", host->name);
    cli_json_bool(&text, "draining", host->draining);
    cli_json_number(&text, "sessions", host->sessions);
    cli_json_bool(&text, "unsure", host->sessions_unsure);
    cli_json_close(&text);
    cli_text_flush(app, &text);
}

static void drained(struct cli_app *app, const struct retether_reply *reply)
{
    const struct retether_host *host = reply->hosts;
    bool waits = cli_has(app->options, &wait_option), first = what != RETETHER_DRAIN_LOOK, left;

    if (reply->cls == RETETHER_NOT_FOUND) {
        cli_fail(app, "there is no host \"%s\"; retether hosts lists them", app->options->word[0]);
        return;
    }
    if (reply->n_hosts != 1) {
        unreachable(app, waits && !first);
        return;
    }
    left = host->sessions > 0 || host->sessions_unsure;
    if (first || told_gone || host->sessions != told || (told_unsure && !host->sessions_unsure)) {
        say_left(host);
    }
    told_gone = false;
    if (waits && !host->draining) {
        cli_fail(app, "somebody has ended that %s drains", host->name);
    } else if (waits && left && uv_now(&app->loop) < until_ms) {
        look_again(app);
    } else {
        app->status = waits && left ? CLI_EXIT_LATER : 0;
        if (cli_has(app->options, &cli_json)) {
            print(app, host);
        } else {
            cli_finish(app, app->status);
        }
    }
}

static void run(struct cli_app *app)
{
    what = cli_has(app->options, &off) ? RETETHER_DRAIN_OFF : RETETHER_DRAIN_ON;
    until_ms = cli_has(app->options, &cli_timeout) ? uv_now(&app->loop) + app->options->timeout_ms : UINT64_MAX;
    if (what == RETETHER_DRAIN_OFF && cli_has(app->options, &wait_option)) {
        cli_fail(app, "--off and --wait do not go together");
        return;
    }
    cli_ask(app, what == RETETHER_DRAIN_ON ? &drains : &drains_no_more);
}

static const struct cli_argument host_word = {&cli_kind_host, CLI_ONE, "NAME is a host, as retether hosts lists them.",
                                              "which host? retether hosts lists them"};

const struct cli_command cli_drain = {
    .name = "drain",
    .summary = "empty a host: no new containers there (operators)",
    .arguments = {&host_word},
    .options = {&off, &wait_option, &cli_json},
    .about =
        "Has a host drained, for operators: its agent makes no new containers, also behind a restart of it, and "
        "clients rather ask the agents of others. What runs there is served as before, and so is whoever comes: "
        "the machines are to be moved by who runs them. How many containers are left is told on stderr.\n"
        "\n"
        "With --wait it ends with 0 when none is left, and with 122 when there still are some after --timeout. One "
        "whose machine has lost its connection counts for 30 s, and for as long an agent that has just started "
        "may not know of all.",
    .run = run,
};
