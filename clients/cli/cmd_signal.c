/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"

#include <stdio.h>

/* An attachment without streams on the main process, until the signal has arrived. */

/* How long after the exit of the process the word that the signal has arrived may still come. */
#define WORD_MS 500

static const struct cli_argument signal_argument = {&cli_kind_signal, CLI_ONE, "SIGNAL: TERM, SIGTERM or 15.",
                                                    "which signal?"};

static struct {
    struct cli_app *app;
    unsigned signum;
    bool live;  /* it was attached, and the signal sent */
    bool ended; /* as looked up */
} sending;

static void fail_unknown(const char *why)
{
    cli_fail(sending.app, "it is not known whether the signal came (%s); retether show %s tells how it stands", why,
             sending.app->container);
}

static void unanswered_cb(uv_timer_t *timer)
{
    (void)timer;
    fail_unknown("no agent has answered in time");
}

static void rewound_cb(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx)
{
    (void)att;
    (void)ctx;
    fail_unknown(rewound->anew ? "the container was started anew"
                               : "the container was set back, perhaps by a reverted snapshot");
}

static void attached_cb(struct retether_attachment *att, const struct retether_attached *attached, void *ctx)
{
    int rc = retether_signal(att, sending.signum);

    sending.live = true;
    (void)attached;
    (void)ctx;
    (void)uv_timer_start(&sending.app->timer, unanswered_cb, sending.app->options->timeout_ms, 0);
    if (rc != RT_OK) {
        cli_fail(sending.app, "the signal cannot be sent to %s: %s", sending.app->container, rt_strerror(rc));
    }
}

static void applied_cb(struct retether_attachment *att, void *ctx)
{
    (void)att;
    (void)ctx;
    cli_finish(sending.app, 0);
}

static void has_ended(const char *when)
{
    cli_fail(sending.app, "%s %s; retether wait %s prints its status", sending.app->container, when,
             sending.app->container);
}

static void no_word_cb(uv_timer_t *timer)
{
    (void)timer;
    has_ended("has ended, perhaps before the signal came");
}

/* The signal may have ended the process. Then the news of the exit may come before the word that the signal arrived. */
static void exited_cb(struct retether_attachment *att, unsigned code, unsigned signum, void *ctx)
{
    (void)att;
    (void)code;
    (void)ctx;
    if (signum == sending.signum) {
        cli_finish(sending.app, 0);
    } else {
        (void)uv_timer_start(&sending.app->timer, no_word_cb, WORD_MS, 0);
    }
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    (void)att;
    (void)code;
    (void)ctx;
    if (cls == RETETHER_ENDED && sending.live && signum == sending.signum) {
        cli_finish(sending.app, 0); /* the process died of it, and its machine was gone before the word came */
    } else if (cls == RETETHER_ENDED || (sending.ended && !sending.live)) {
        has_ended(sending.live ? "has ended, perhaps before the signal came" : "has ended");
    } else if (sending.live) {
        fail_unknown(text[0] != '\0' ? text : retether_class_name(cls));
    } else {
        cli_fail_class(sending.app, cls, text);
    }
}

static void found(struct cli_app *app, const struct retether_record *record)
{
    struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                      .attached = attached_cb,
                                                      .applied = applied_cb,
                                                      .exited = exited_cb,
                                                      .rewound = rewound_cb,
                                                      .failed = failed_cb};

    sending.app = app;
    (void)signal_argument.kind->read(app->options->word[1], &sending.signum); /* it was good when it was given */
    sending.ended = record != NULL && record->state == RETETHER_STATE_ENDED;
    cli_watch(app, &callbacks, true);
}

const struct cli_command cli_signal = {
    .name = "signal",
    .summary = "send it a signal",
    .arguments = {&cli_cid, &signal_argument},
    .about = "Sends a signal to a container's main process, exactly once.",
    .found = found,
};
