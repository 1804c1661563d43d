/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/app.h"

#include "clients/cli/terminal.h"
#include "session/base/file.h"
#include "session/base/text.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The pause before a request is made again. */
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 500
/* How long a container is looked up when its record is not needed. After that its name is taken as typed; and a list is
 * asked of the agent alone. */
#define FIND_MS 1000

/* ---- saying ---- */

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args)
{
    char raw[1024];
    char text[1024];
    char line[1100];
    int n;

    (void)vsnprintf(raw, sizeof(raw), format, args);
    /* Arguments are told back as they were typed, or as a script has put them together. */
    (void)rt_text_copy(rt_slice_text(raw), text, sizeof(text));
    /* On a raw terminal the cursor is wherever the container left it, and a newline only moves it down. */
    n = snprintf(line, sizeof(line), cli_terminal_is_raw() ? "\r\nretether: %s\r\n" : "retether: %s\n", text);
    if (n > 0) {
        /* One write, so that lines of several programs do not mix. There is nobody to tell when it fails. */
        ssize_t written = write(STDERR_FILENO, line, (size_t)n);
        (void)written;
    }
}

void cli_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
}

void cli_fail(struct cli_app *app, const char *format, ...)
{
    va_list args;

    if (app->over) {
        return;
    }
    va_start(args, format);
    say(format, args);
    va_end(args);
    cli_finish(app, CLI_EXIT_FAILED);
}

static void say_tries(const struct cli_app *app)
{
    for (size_t i = 0; i < app->n_tries; i++) {
        cli_say("  %s: %s", app->tries[i].address,
                app->tries[i].reason[0] != '\0' ? app->tries[i].reason : "connected, but no answer in time");
    }
}

bool cli_text_write(struct cli_app *app, struct cli_text *text)
{
    bool failed = text->failed;
    int rc = failed ? 0 : rt_write_all(STDOUT_FILENO, text->data, text->size);

    cli_text_free(text);
    uv_update_time(&app->loop); /* that took as long as the reader wanted */
    if (failed) {
        cli_fail(app, "%s", rt_strerror(RT_ENOMEM));
    } else if (rc == EPIPE) {
        cli_finish(app, 128 + SIGPIPE);
    } else if (rc != 0) {
        cli_fail(app, "cannot write the output: %s", strerror(rc));
    }
    return !failed && rc == 0;
}

void cli_text_flush(struct cli_app *app, struct cli_text *text)
{
    if (cli_text_write(app, text)) {
        cli_finish(app, app->status);
    }
}

/* Ends because what changes something went to an agent, and no answer came. */
static void fail_unknown(struct cli_app *app)
{
    if (app->over) {
        return;
    }
    if (!app->creating && app->request->unknown != NULL) {
        cli_say("no answer came: %s", app->request->unknown);
        say_tries(app);
        cli_finish(app, CLI_EXIT_FAILED);
        return;
    }
    cli_say("no answer came: it is not known whether %s was made", app->container);
    say_tries(app);
    cli_fail(app, "retether show %s tells; if it is there, its token is lost: take another ID", app->container);
}

/* Whether an agent was there, and one of us did not believe the other. */
static bool is_distrust(const struct cli_app *app)
{
    for (size_t i = 0; i < app->n_tries; i++) {
        if (strncmp(app->tries[i].reason, "handshake: ", 11) == 0 || strncmp(app->tries[i].reason, "TLS ", 4) == 0) {
            return true;
        }
    }
    return false;
}

/* Ends because no agent could be reached: which were tried, why they did not answer, and what to do. */
static void fail_unreachable(struct cli_app *app)
{
    if (app->over) {
        return;
    }
    cli_say("no agent answers");
    say_tries(app);
    if (is_distrust(app)) {
        cli_fail(app, "--tls (or RETETHER_TLS) names a directory of certificates; retether pki show DIR judges it");
    } else if (!app->options->agents_given && app->options->agents_text != NULL &&
               app->options->agents_text[0] == '\0') {
        cli_fail(app, "start one with \"retetherd\", or name one with --agent or RETETHER_AGENTS");
    } else {
        cli_fail(app, "is \"retetherd\" running there? --agent (or RETETHER_AGENTS) names another");
    }
}

void cli_say_class(struct cli_app *app, unsigned cls, const char *text)
{
    const char *name = app->container;

    switch (cls) {
    case RETETHER_NOT_FOUND:
        cli_say("there is no container \"%s\"; retether ls lists them", name);
        break;
    case RETETHER_AMBIGUOUS:
        cli_say("\"%s\" fits several containers: %s; type more of it", name, text);
        break;
    case RETETHER_DENIED:
    case RETETHER_BAD_AUTH:
        cli_say("not allowed: %s", text);
        break;
    case RETETHER_RETRY_LATER:
        cli_say("not possible now: %s; try again in a while", text);
        break;
    case RETETHER_LOST:
    case RETETHER_MOVED:
        cli_say("no agent serves %s now; retether show %s says where it was last", name, name);
        break;
    case RETETHER_STOLEN:
        cli_say("another client has taken this attachment over; retether attach %s makes a new one", name);
        break;
    case RETETHER_LIMIT:
    case RETETHER_INVALID:
        cli_say("%s", text[0] != '\0' ? text : retether_class_name(cls));
        break;
    default:
        cli_say("%s%s%s", retether_class_name(cls), text[0] != '\0' ? ": " : "", text);
        break;
    }
}

void cli_fail_class(struct cli_app *app, unsigned cls, const char *text)
{
    if (!app->over) {
        cli_say_class(app, cls, text);
        cli_finish(app, cls == RETETHER_RETRY_LATER ? CLI_EXIT_LATER : CLI_EXIT_FAILED);
    }
}

/* ---- agents ---- */

/* The reason of a failed dial begins with the address, which the caller prints already. */
static const char *without_address(const char *reason, const char *address)
{
    static const char lead[] = "connect to ";
    size_t size = strlen(address);

    if (strncmp(reason, lead, sizeof(lead) - 1) == 0 && strncmp(reason + sizeof(lead) - 1, address, size) == 0 &&
        strncmp(reason + sizeof(lead) - 1 + size, ": ", 2) == 0) {
        return reason + sizeof(lead) - 1 + size + 2;
    }
    return reason;
}

static void link_cb(struct retether_client *client, const char *address, const char *reason, void *ctx)
{
    struct cli_app *app = ctx;
    struct cli_try *try = NULL;

    (void)client;
    reason = reason != NULL ? without_address(reason, address) : NULL;
    for (size_t i = 0; i < app->n_tries && try == NULL; i++) {
        if (strcmp(app->tries[i].address, address) == 0) {
            try = &app->tries[i];
        }
    }
    if (try == NULL && app->n_tries < CLI_TRIES_MAX) {
        try = &app->tries[app->n_tries++];
        snprintf(try->address, sizeof(try->address), "%s", address);
    }
    app->reached = app->reached || reason == NULL;
    if (try != NULL) {
        snprintf(try->reason, sizeof(try->reason), "%s", reason != NULL ? reason : "");
    }
    if (app->options->verbose) {
        cli_say("agent %s: %s", address, reason != NULL ? reason : "connected");
    }
}

int cli_app_open(struct cli_app *app, const struct cli_options *options)
{
    const struct retether_client_callbacks callbacks = {.size = sizeof(callbacks), .link = link_cb, .ctx = app};
    const struct retether_tls_options tls = {.size = sizeof(tls), .directory = cli_value(options, &cli_tls)};
    char name[RETETHER_TEXT_MAX];
    char why[CLI_WHY_MAX] = "";
    int rc;

    memset(app, 0, sizeof(*app));
    app->options = options;
    rc = uv_loop_init(&app->loop);
    if (rc != 0) {
        cli_say("%s", uv_strerror(rc));
        return CLI_EXIT_FAILED;
    }
    (void)uv_timer_init(&app->loop, &app->timer);
    app->timer.data = app;
    snprintf(name, sizeof(name), "retether %s", options->command->name);
    rc = retether_client_new(&app->loop, name, &callbacks, &app->client);
    if (rc != RT_OK) {
        cli_fail(app, "%s", rt_strerror(rc));
    }
    if (rc == RT_OK && tls.directory != NULL) {
        rc = retether_client_tls(app->client, &tls, why, sizeof(why));
        if (rc != RT_OK) {
            cli_fail(app, "%s", why);
        }
    }
    for (size_t i = 0; i < options->n_agents && rc == RT_OK; i++) {
        rc = retether_client_add_agent(app->client, options->agents[i], why, sizeof(why));
        if (rc != RT_OK) {
            cli_fail(app, "%s", why);
        }
    }
    if (rc != RT_OK) {
        return cli_app_run(app);
    }
    return 0;
}

void cli_finish(struct cli_app *app, int status)
{
    struct retether_client *client = app->client;

    if (app->over) {
        return;
    }
    app->over = true;
    app->status = status;
    if (app->on_end != NULL) {
        app->on_end(app, status);
    }
    app->client = NULL;
    uv_close((uv_handle_t *)&app->timer, NULL);
    if (client != NULL) {
        retether_client_close(client, NULL, NULL);
    }
}

int cli_app_run(struct cli_app *app)
{
    (void)uv_run(&app->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&app->loop);
    return app->status;
}

/* ---- requests ---- */

/* Ends because the request was refused until its time was over. */
static void fail_later(struct cli_app *app)
{
    char time[32];

    if (app->over) {
        return;
    }
    cli_age_text(app->options->timeout_ms, time, sizeof(time));
    cli_say("not possible for %s: %s", time, app->later);
    if (app->creating) {
        cli_say("retether show %s tells whether it was made all the same", app->container);
    }
    cli_say("can the agent reach its Redis, and has that room? The log of retetherd tells; a longer --timeout waits "
            "longer, --agent asks another agent");
    cli_finish(app, CLI_EXIT_LATER);
}

static void timeout_cb(uv_timer_t *timer)
{
    struct cli_app *app = timer->data;

    if (app->asking && app->later[0] != '\0') {
        fail_later(app);
    } else if (app->reached && (app->creating || (app->asking && app->request->unknown != NULL))) {
        fail_unknown(app);
    } else {
        fail_unreachable(app);
    }
}

/* Takes what a request function returned: starts the time for the answer, or ends the program. */
static void asked(struct cli_app *app, int rc)
{
    uint64_t now = uv_now(&app->loop);
    uint64_t left = app->options->timeout_ms;

    if (app->asking) {
        left = app->ask_until_ms > now ? app->ask_until_ms - now : 0;
    }
    if (app->over) {
        return;
    }
    if (rc == RT_EINVAL) {
        cli_fail(app, "an argument is too long for a request to an agent; retether %s --help says what is taken",
                 app->options->command->name);
    } else if (rc != RT_OK) {
        cli_fail(app, "%s", rt_strerror(rc));
    } else {
        (void)uv_timer_start(&app->timer, timeout_cb, left, 0);
    }
}

static void reply_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx);

static void again_cb(uv_timer_t *timer)
{
    struct cli_app *app = timer->data;

    asked(app, app->request->ask(app, reply_cb));
}

/* The request was refused as RETRY_LATER: it is made again, or its time is over. */
static void ask_again(struct cli_app *app, const char *why)
{
    snprintf(app->later, sizeof(app->later), "%s", why);
    if (app->options->verbose) {
        cli_say("not now: %s", why);
    }
    if (uv_now(&app->loop) + app->pause_ms >= app->ask_until_ms) {
        fail_later(app);
        return;
    }
    (void)uv_timer_start(&app->timer, again_cb, app->pause_ms, 0);
    app->pause_ms = app->pause_ms * 2 < PAUSE_MAX_MS ? app->pause_ms * 2 : PAUSE_MAX_MS;
}

static void made_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;

    (void)client;
    (void)uv_timer_stop(&app->timer);
    if (reply->error != 0 || (reply->cls != RETETHER_OK && reply->cls != RETETHER_NOT_FOUND)) {
        cli_say("%s", app->limit);
        cli_fail(app, "retether show %s tells whether this command made it when the answer was \"%s\"", app->container,
                 app->later);
    } else if (reply->n_records == 1 && reply->records[0].state == RETETHER_CREATED) {
        cli_fail(app, "%s; if it is not yours, this command made it when the answer was \"%s\": take another ID",
                 app->limit, app->later);
    } else {
        cli_fail_class(app, RETETHER_LIMIT, app->limit);
    }
}

/* A creation was refused as RETRY_LATER, and then as LIMIT. When the store answers too late, the session may have been
 * made all the same: then it is there, nobody has started it, and nobody has its token. Else it is a limit as any. */
static void look_made(struct cli_app *app, const char *why)
{
    snprintf(app->limit, sizeof(app->limit), "%s", why);
    app->asking = false;
    asked(app, retether_show(app->client, app->container, false, made_cb, app));
}

/* Returns false when it is none: then the request is made again, or it has been told why not. */
static bool is_answer(struct cli_app *app, const struct retether_reply *reply)
{
    if (reply->error == RT_ECONN || reply->error == RT_ETIMEDOUT) {
        fail_unreachable(app);
    } else if (reply->error == RT_EUNKNOWN) {
        fail_unknown(app);
    } else if (reply->error != 0) {
        cli_fail(
            app,
            "the agent sent an answer that cannot be read (%s); retether hosts shows the agents' versions, retether "
            "--version that of this program",
            rt_strerror(reply->error));
    } else if (reply->cls == RETETHER_RETRY_LATER && app->asking) {
        ask_again(app, reply->text);
    } else if (reply->cls == RETETHER_LIMIT && app->creating && app->later[0] != '\0') {
        look_made(app, reply->text);
    } else if (reply->cls != RETETHER_OK) {
        cli_fail_class(app, reply->cls, reply->text);
    }
    return reply->error == 0 && reply->cls == RETETHER_OK;
}

static void reply_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    static const struct retether_reply no_hosts = {
        .cls = RETETHER_RETRY_LATER, .text = "the agent has heard of no host yet, or its session store is out"};
    struct cli_app *app = ctx;
    const struct cli_request *request = app->request;
    bool answered = reply->error == 0 && request->accepts != NULL && request->accepts(app, reply);

    (void)client;
    (void)uv_timer_stop(&app->timer);
    if (!answered) {
        bool empty = app->asking && reply->error == 0 && reply->cls == RETETHER_OK && reply->n_hosts == 0;

        answered = is_answer(app, request->hosts && empty ? &no_hosts : reply);
    }
    if (answered) {
        app->asking = app->creating = false;
        if (reply->more) {
            asked(app, RT_OK); /* the next part has as long again */
        }
        request->take(app, reply);
    }
}

void cli_ask(struct cli_app *app, const struct cli_request *request)
{
    app->request = request;
    app->asking = true;
    app->ask_until_ms = uv_now(&app->loop) + app->options->timeout_ms;
    app->pause_ms = PAUSE_MIN_MS;
    app->later[0] = '\0';
    asked(app, request->ask(app, reply_cb));
}

void cli_ask_briefly(struct cli_app *app, const struct cli_request *request)
{
    app->find_until_ms = uv_now(&app->loop) + (app->options->timeout_ms < FIND_MS ? app->options->timeout_ms : FIND_MS);
    cli_ask(app, request);
}

/* ---- the container that was typed ---- */

bool cli_is_put_off(const struct cli_app *app, const struct retether_reply *reply)
{
    uint64_t now = uv_now(&app->loop);
    bool last = now >= app->find_until_ms || now + app->pause_ms >= app->ask_until_ms;

    return reply->cls == RETETHER_RETRY_LATER && last;
}

static bool accepts_none(const struct cli_app *app, const struct retether_reply *reply)
{
    return !app->options->command->needs_record && cli_is_put_off(app, reply);
}

static void take_found(struct cli_app *app, const struct retether_reply *reply)
{
    const struct cli_command *command = app->options->command;

    if (reply->cls != RETETHER_OK) {
        command->found(app, NULL);
    } else if (reply->n_records == 0) {
        cli_fail_class(app, RETETHER_NOT_FOUND, "");
    } else {
        const struct retether_record *record = &reply->records[0];
        bool with_tenant = strchr(app->options->word[0], '/') != NULL; /* as operators may type it */

        snprintf(app->container, sizeof(app->container), "%s%s%s", with_tenant ? record->tenant : "",
                 with_tenant ? "/" : "", record->container);
        command->found(app, record);
    }
}

static int ask_find(struct cli_app *app, retether_reply_cb cb)
{
    return retether_show(app->client, app->container, true, cb, app);
}

void cli_find(struct cli_app *app)
{
    static const struct cli_request request = {.ask = ask_find, .take = take_found, .accepts = accepts_none};

    snprintf(app->container, sizeof(app->container), "%s", app->options->word[0]);
    cli_ask_briefly(app, &request);
}

void cli_watch(struct cli_app *app, const struct retether_attachment_callbacks *callbacks, bool signals)
{
    struct retether_attach_options options;
    struct retether_attachment *att; /* the client's, which closes it */
    int rc;

    retether_attach_defaults(&options, sizeof(options));
    options.container = app->container;
    options.input = options.output = false;
    options.control = signals;
    options.hold_ms = 0;
    if (signals) {
        options.give_up_ms = app->options->timeout_ms;
    }
    rc = retether_attach(app->client, &options, callbacks, &att);
    if (rc != RT_OK) {
        cli_fail(app, "cannot attach to %s: %s", app->container, rt_strerror(rc));
    }
}

/* ---- create ---- */

static void looked_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;
    const struct retether_record *record = reply->records;

    (void)client;
    (void)uv_timer_stop(&app->timer);
    if (reply->error == 0 && reply->cls == RETETHER_OK && reply->n_records == 1 &&
        record->state == RETETHER_STATE_ENDED) {
        app->replaces = true;
        app->replaced_status = cli_status(record->code, record->signal);
    }
    /* Also when it could not be looked up: the create fails for the same reason, and says it. */
    cli_ask(app, app->create);
}

void cli_create_over(struct cli_app *app, const struct cli_request *create)
{
    app->create = create;
    asked(app, retether_show(app->client, app->container, false, looked_cb, app));
}

int cli_ask_create(struct cli_app *app, retether_reply_cb cb)
{
    struct retether_made made = {.label = cli_value(app->options, &cli_label), .vm = cli_value(app->options, &cli_vm)};

    (void)cli_read(app->options, &cli_ring, &made.ring);
    app->creating = true; /* without an answer nobody knows whether it was made, and that is told */
    return retether_create(app->client, app->container, &made, cb, app);
}

/* A create replaces nothing but an ended container. So when it succeeded, it replaced the one that was seen before. */
void cli_tell_replaced(const struct cli_app *app)
{
    if (app->replaces) {
        cli_say("replaces the ended container %s (status %d); its output is gone", app->container,
                app->replaced_status);
    }
}
