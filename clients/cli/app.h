/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_APP_H
#define RETETHER_CLIENTS_CLI_APP_H

#include "clients/cli/options.h"
#include "clients/cli/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* One run of the program: a loop, a client, and what is known of the agents that were tried. */

/* Agents whose last failure is remembered for the error text. */
#define CLI_TRIES_MAX 8
#define CLI_REASON_MAX 192

struct cli_try {
    char address[RETETHER_ADDRESS_MAX + 1];
    char reason[CLI_REASON_MAX]; /* "" while it is connected */
};

struct cli_app;

/* A request that may be made twice. It is made again while the answer is RETRY_LATER (an agent that has just started, a
 * store that is out), for as long as the option --timeout says. */
struct cli_request {
    /* Makes it with this callback and the app for its context. Returns what the request function returned. */
    int (*ask)(struct cli_app *app, retether_reply_cb cb);
    /* Takes the answer, or a part of it. */
    void (*take)(struct cli_app *app, const struct retether_reply *reply);
    /* Whether a refusal will do now: it is given to take() too. NULL: none does. */
    bool (*accepts)(const struct cli_app *app, const struct retether_reply *reply);
    /* It is for the hosts, and no host at all is no answer yet: an agent that has not heard the store knows not even
     * itself. */
    bool hosts;
    /* What may have been done all the same when no answer comes, and what to do. NULL: it changes nothing, or makes a
     * session. */
    const char *unknown;
};

struct cli_app {
    uv_loop_t loop;
    const struct cli_options *options;
    struct retether_client *client; /* owned; NULL once it is over */
    uv_timer_t timer;               /* of the request under way, or until it is made again */
    int status;                     /* exit status */
    bool over;
    /* The command's. on_end is called once, before the client is closed: the command closes its handles there. */
    void *data;
    void (*on_end)(struct cli_app *app, int status);

    struct cli_try tries[CLI_TRIES_MAX];
    size_t n_tries;

    const struct cli_request *request;
    bool asking;                          /* for it, and nothing of the answer has come */
    uint64_t ask_until_ms, find_until_ms; /* of the loop's clock */
    uint64_t pause_ms;                    /* before the next time */
    char later[CLI_REASON_MAX];           /* why it was refused last; "": never */
    char limit[CLI_REASON_MAX];           /* which limit a creation has met behind that */
    bool creating;                        /* what is asked makes a session, and has not been answered */
    bool reached;                         /* an agent was connected to, so it may have been asked */

    const struct cli_request *create; /* that follows when it is known what was there before */
    bool replaces;                    /* an ended container */
    int replaced_status;              /* of that one */

    char container[RETETHER_CONTAINER_MAX + 2 + 64]; /* as typed; of found() whole, if it is known */
};

/* Returns 0, or the exit status after it has said why. */
int cli_app_open(struct cli_app *app, const struct cli_options *options);
/* Runs the loop until cli_finish(), and everything is closed. Returns the exit status. */
int cli_app_run(struct cli_app *app);

/* Ends the program with this exit status. Later calls do nothing. */
void cli_finish(struct cli_app *app, int status);

/* Writes the text to stdout, and frees it. False: that failed, and has ended the program. Whatever waits for an agent
 * waits meanwhile, however slowly it is read. */
bool cli_text_write(struct cli_app *app, struct cli_text *text);
/* The same, then ends the program: with app->status, which is 0 unless the command has set
 * it, or with CLI_EXIT_FAILED when that failed. */
void cli_text_flush(struct cli_app *app, struct cli_text *text);

/* "retether: TEXT" on stderr. */
__attribute__((format(printf, 1, 2))) void cli_say(const char *format, ...);
/* As cli_say(), then ends with CLI_EXIT_FAILED. */
__attribute__((format(printf, 2, 3))) void cli_fail(struct cli_app *app, const char *format, ...);
/* Says what a refusal means and what to do next. cli_fail_class() then ends the program. */
void cli_say_class(struct cli_app *app, unsigned cls, const char *text);
void cli_fail_class(struct cli_app *app, unsigned cls, const char *text);

/* Without an answer it is told why not, and the program ends. */
void cli_ask(struct cli_app *app, const struct cli_request *request);
/* The same; a second later cli_is_put_off() says of a refusal that it will do. */
void cli_ask_briefly(struct cli_app *app, const struct cli_request *request);
bool cli_is_put_off(const struct cli_app *app, const struct retether_reply *reply);
/* Looks up the container that was typed first, by a unique beginning of its ID, for the command's found(). */
void cli_find(struct cli_app *app);

/* Attaches to the container's main process without any stream, for what the callbacks tell. signals: to send it some,
 * soon: it gives up after the time that --timeout says. */
void cli_watch(struct cli_app *app, const struct retether_attachment_callbacks *callbacks, bool signals);

/* How create and run make a session. */

/* Looks whether app->container has ended, which its creation replaces; then asks to create it. */
void cli_create_over(struct cli_app *app, const struct cli_request *create);
/* Asks for app->container, with the options of the command. */
int cli_ask_create(struct cli_app *app, retether_reply_cb cb);
/* Once it has been created: what was replaced, if anything. */
void cli_tell_replaced(const struct cli_app *app);

#endif
