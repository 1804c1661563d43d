/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/tails.h"
#include "clients/cli/text.h"

#include <stdio.h>
#include <string.h>

/* An attachment without streams on the main process. */

/* While nobody serves the container, agents are asked this often whether it has been lost for its lease. */
#define LOOK_MS 5000

struct waiting {
    struct cli_app *app;
    bool live; /* it is served */
};

static struct waiting waiting;

static void print_status(unsigned code, unsigned signum)
{
    struct cli_text text = {0};

    if (cli_has(waiting.app->options, &cli_json)) {
        cli_json_open(&text);
        cli_json_text(&text, "container", waiting.app->container);
        cli_json_number(&text, "status", (uint64_t)cli_status(code, signum));
        cli_json_exit(&text, true, code, signum);
        cli_json_close(&text);
    } else {
        cli_text_printf(&text, "%d\n", cli_status(code, signum));
    }
    cli_text_flush(waiting.app, &text);
}

static void fail_lost(void)
{
    cli_fail(
        waiting.app,
        "%s is lost: its machine has not come back, so there is no status; if it comes back after all, retether wait "
        "%s prints it",
        waiting.app->container, waiting.app->container);
}

static void tails_cb(struct cli_app *app, const struct cli_tails *tails, void *ctx)
{
    (void)ctx;
    if (tails == NULL) {
        cli_fail(app, "%s has ended, and its status is not kept any more", waiting.app->container);
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
        (void)!retether_tails(waiting.app->client, waiting.app->container, looked_cb, NULL);
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
             rewound->anew ? "%s was started anew; wait again"
                           : "%s was set back, perhaps by a reverted snapshot; wait again",
             waiting.app->container);
}

static void failed_cb(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                      void *ctx)
{
    (void)att;
    (void)ctx;
    (void)code;
    (void)signum;
    if (cls == RETETHER_ENDED) { /* the record of its end says whether there is a status */
        cli_tails_fetch(waiting.app, false, tails_cb, NULL);
    } else {
        cli_fail_class(waiting.app, cls, text);
    }
}

static void found(struct cli_app *app, const struct retether_record *record)
{
    struct retether_attachment_callbacks callbacks = {.size = sizeof(callbacks),
                                                      .attached = attached_cb,
                                                      .interrupted = interrupted_cb,
                                                      .resumed = resumed_cb,
                                                      .exited = exited_cb,
                                                      .rewound = rewound_cb,
                                                      .failed = failed_cb};

    waiting.app = app;
    /* A stored end is final. An attach would be held, for a guest that may come back with the rest of its output. */
    if (record != NULL && record->state == RETETHER_STATE_ENDED) {
        print_status(record->code, record->signal);
        return;
    }
    if (record == NULL) {
        cli_say(
            "\"%s\" could not be looked up, as the session store cannot be asked: waiting for a container of exactly "
            "this name",
            app->container);
    }
    (void)uv_timer_start(&app->timer, look_cb, LOOK_MS, LOOK_MS);
    cli_watch(app, &callbacks, false);
}

const struct cli_command cli_wait = {
    .name = "wait",
    .summary = "wait for its end and print its status",
    .arguments = {&cli_cid},
    .options = {&cli_json},
    .about = "Waits until a container has ended and prints its exit status. A container that is lost has none: that "
             "is said, with exit status 125.",
    .found = found,
};
