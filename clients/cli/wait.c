/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/tails.h"
#include "clients/cli/text.h"

#include <stdio.h>
#include <string.h>

/* wait and signal: an attachment without streams on the main process. */

/* While nobody serves the container, agents are asked this often whether it has been lost for its lease. */
#define LOOK_MS 5000
/* After the end of the process, until a signal counts as not arrived. */
#define WORD_MS 500

struct waiting {
    struct cli_app *app;
    struct retether_attachment *att; /* owned */
    uv_timer_t timer;
    bool open;
    bool live;  /* it is served; signal: it was, and the signal sent */
    bool ended; /* as looked up */
    char container[RETETHER_CONTAINER_MAX + 1];
};

static struct waiting waiting;

static void end_cb(struct cli_app *app, int status)
{
    (void)app;
    (void)status;
    if (waiting.open) {
        uv_close((uv_handle_t *)&waiting.timer, NULL);
    }
}

static void print_status(unsigned code, unsigned signum)
{
    struct cli_text text = {0};

    if (waiting.app->options->json) {
        cli_json_open(&text);
        cli_json_text(&text, "container", waiting.container);
        cli_json_number(&text, "status", (uint64_t)cli_status(code, signum));
        if (signum != 0) {
            cli_json_null(&text, "code");
            cli_json_number(&text, "signal", signum);
        } else {
            cli_json_number(&text, "code", code);
            cli_json_null(&text, "signal");
        }
        cli_json_close(&text);
    } else {
        cli_text_printf(&text, "%d\n", cli_status(code, signum));
    }
    cli_text_flush(waiting.app, &text, 0);
}

static void fail_lost(void)
{
    cli_fail(waiting.app,
             "%s is lost: its machine has not come back, so there is no status; should it come back after all, wait "
             "again",
             waiting.container);
}

/* ---- wait ---- */

static void tails_cb(struct cli_app *app, const struct cli_tails *tails, void *ctx)
{
    (void)ctx;
    if (tails == NULL) {
        cli_fail(app, "%s has ended, and its status is not kept any more", waiting.container);
    } else if (tails->lost) {
        fail_lost();
    } else {
        print_status(tails->code, tails->signal);
    }
}

static void looked_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    (void)client;
    (void)ctx;
    if (reply->error == 0 && reply->cls == RETETHER_OK && reply->lost && !waiting.live) {
        fail_lost();
    }
}

static void look_cb(uv_timer_t *timer)
{
    (void)timer;
    if (!waiting.live) {
        (void)!retether_tails(waiting.app->client, waiting.container, looked_cb, NULL);
    }
}

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    (void)att;
    (void)attached;
    (void)ctx;
    waiting.live = true;
}

static void interrupted_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    (void)ctx;
    waiting.live = false;
}

static void resumed_cb(struct retether_attachment *att, const char *host, void *ctx)
{
    (void)att;
    (void)host;
    (void)ctx;
    waiting.live = true;
}

static void exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *ctx)
{
    (void)att;
    (void)ctx;
    print_status(code, signum);
}

static void rewound_cb(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx)
{
    (void)att;
    (void)ctx;
    cli_fail(waiting.app,
             rewound->anew ? "%s was started anew; wait again" : "%s was set back (a reverted snapshot?); wait again",
             waiting.container);
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    (void)att;
    (void)ctx;
    (void)code;
    (void)signum;
    if (cls == RETETHER_ENDED) { /* the tails tell a status from a loss */
        cli_tails_fetch(waiting.app, waiting.container, tails_cb, NULL);
    } else {
        cli_fail_class(waiting.app, cls, text);
    }
}

static void begin(struct cli_app *app, const char *container)
{
    waiting.app = app;
    snprintf(waiting.container, sizeof(waiting.container), "%s", container);
    app->on_end = end_cb;
    (void)uv_timer_init(&app->loop, &waiting.timer);
    waiting.open = true;
}

static void wait_found(struct cli_app *app, const char *container, const struct retether_record *record)
{
    struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                      .attached = attached_cb,
                                                      .interrupted = interrupted_cb,
                                                      .resumed = resumed_cb,
                                                      .exited = exited_cb,
                                                      .rewound = rewound_cb,
                                                      .failed = failed_cb};
    struct retether_attach_options options;
    int rc;

    (void)record;
    begin(app, container);
    (void)uv_timer_start(&waiting.timer, look_cb, LOOK_MS, LOOK_MS);
    retether_attach_defaults(&options, sizeof(options));
    options.container = waiting.container;
    options.input = options.output = false;
    options.hold_ms = 0;
    rc = retether_attach(app->client, &options, &callbacks, &waiting.att);
    if (rc != RT_OK) {
        cli_fail(app, "%s: %s", container, rt_strerror(rc));
    }
}

void cli_wait(struct cli_app *app)
{
    cli_find(app, wait_found);
}

/* ---- signal ---- */

static void signal_attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    int rc = retether_signal(att, waiting.app->options->signum);

    waiting.live = true;
    (void)attached;
    (void)ctx;
    if (rc != RT_OK) {
        cli_fail(waiting.app, "%s takes no signal: %s", waiting.container, rt_strerror(rc));
    }
}

static void signal_applied_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    (void)ctx;
    cli_finish(waiting.app, 0);
}

static void has_ended(const char *when)
{
    cli_fail(waiting.app, "%s %s; retether wait %s prints its status", waiting.container, when, waiting.container);
}

static void no_word_cb(uv_timer_t *timer)
{
    (void)timer;
    has_ended("has ended, perhaps before the signal came");
}

/* The end may be the signal's doing, and overtake the word that it has arrived. */
static void signal_exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *ctx)
{
    (void)att;
    (void)code;
    (void)ctx;
    if (signum == waiting.app->options->signum) {
        cli_finish(waiting.app, 0);
    } else {
        (void)uv_timer_start(&waiting.timer, no_word_cb, WORD_MS, 0);
    }
}

static void signal_failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code,
                             unsigned signum, void *ctx)
{
    (void)att;
    (void)code;
    (void)ctx;
    if (cls == RETETHER_ENDED && waiting.live && signum == waiting.app->options->signum) {
        cli_finish(waiting.app, 0); /* its machine went before the word came */
    } else if (cls == RETETHER_ENDED || (waiting.ended && !waiting.live)) {
        has_ended(waiting.live ? "has ended, perhaps before the signal came" : "has ended");
    } else {
        cli_fail_class(waiting.app, cls, text);
    }
}

static void signal_found(struct cli_app *app, const char *container, const struct retether_record *record)
{
    struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                      .attached = signal_attached_cb,
                                                      .applied = signal_applied_cb,
                                                      .exited = signal_exited_cb,
                                                      .rewound = rewound_cb,
                                                      .failed = signal_failed_cb};
    struct retether_attach_options options;
    int rc;

    begin(app, container);
    waiting.ended = record != NULL && record->state == RETETHER_STATE_ENDED;
    retether_attach_defaults(&options, sizeof(options));
    options.container = waiting.container;
    options.input = options.output = false;
    options.hold_ms = 0;
    options.give_up_ms = app->options->timeout_ms;
    rc = retether_attach(app->client, &options, &callbacks, &waiting.att);
    if (rc != RT_OK) {
        cli_fail(app, "%s: %s", container, rt_strerror(rc));
    }
}

void cli_signal(struct cli_app *app)
{
    cli_find(app, signal_found);
}
