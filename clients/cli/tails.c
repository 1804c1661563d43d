/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/tails.h"

#include "clients/cli/stdio.h"
#include "clients/cli/terminal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fetch {
    cli_tails_cb done;
    void *ctx;
    char container[RETETHER_CONTAINER_MAX + 1];
    bool first, once;
    struct cli_tails tails;
};

/* One a program. */
static struct fetch fetch;

int cli_status(unsigned code, unsigned signal)
{
    return signal != 0 ? (int)(128 + signal) : (int)code;
}

/* In its place in the stream. */
__attribute__((format(printf, 1, 2))) static void put_line(const char *format, ...)
{
    char line[128];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line) - 2, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof(line) - 2) {
        n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\n", cli_terminal_is_raw() ? "\r" : "");
        (void)cli_write_all(STDERR_FILENO, line, (size_t)n);
    }
}

void cli_gap(unsigned stream, uint64_t from, uint64_t to)
{
    put_line("[gap: %" PRIu64 " bytes lost at %" PRIu64 "%s]", to - from, from,
             stream == RETETHER_STDERR ? " of stderr" : "");
}

void cli_not_kept(unsigned stream, uint64_t size)
{
    put_line("[the first %" PRIu64 " bytes%s are not kept any more]", size,
             stream == RETETHER_STDERR ? " of stderr" : "");
}

static void take(struct cli_tails *tails, const struct retether_reply *reply)
{
    unsigned s = reply->stream == RETETHER_STDERR;
    size_t room = CLI_TAIL_MAX - tails->size[s];
    size_t size = reply->size < room ? reply->size : room;

    if (size > 0) {
        memcpy(tails->data[s] + tails->size[s], reply->data, size);
        tails->size[s] += size;
    }
}

static void tails_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_app *app = ctx;
    struct cli_tails *tails = &fetch.tails;

    (void)client;
    if (reply->error == 0 && (reply->cls == RETETHER_NOT_FOUND || (fetch.once && reply->cls == RETETHER_RETRY_LATER))) {
        (void)uv_timer_stop(&app->timer);
        app->ask = NULL;
        fetch.done(app, NULL, fetch.ctx);
        return;
    }
    if (!cli_answered(app, reply)) {
        return;
    }
    if (fetch.first) {
        fetch.first = false;
        tails->code = reply->code;
        tails->signal = reply->signal;
        tails->lost = reply->lost;
        tails->cut = reply->cut;
        if (reply->n_hosts > 0) {
            snprintf(tails->kept_at, sizeof(tails->kept_at), "%s", reply->hosts[0].name);
        }
        tails->end[0] = reply->end[0];
        tails->end[1] = reply->end[1];
    } else {
        take(tails, reply);
    }
    if (reply->more) {
        cli_asked(app, 0); /* the time for the next part */
    } else {
        fetch.done(app, tails, fetch.ctx);
    }
}

static void ask_tails(struct cli_app *app)
{
    cli_asked(app, retether_tails(app->client, fetch.container, tails_cb, app));
}

static void begin(struct cli_app *app, const char *container, cli_tails_cb done, void *ctx, bool once)
{
    memset(&fetch, 0, sizeof(fetch));
    fetch.done = done;
    fetch.ctx = ctx;
    fetch.first = true;
    fetch.once = once;
    snprintf(fetch.container, sizeof(fetch.container), "%s", container);
    cli_ask(app, ask_tails);
}

void cli_tails_fetch(struct cli_app *app, const char *container, cli_tails_cb done, void *ctx)
{
    begin(app, container, done, ctx, false);
}

void cli_tails_look(struct cli_app *app, const char *container, cli_tails_cb done, void *ctx)
{
    begin(app, container, done, ctx, true);
}

int cli_tails_print(const struct cli_tails *tails, const uint64_t from[2], uint64_t *lost)
{
    static const int fds[2] = {STDOUT_FILENO, STDERR_FILENO};
    int rc = 0;

    for (unsigned s = 0; s < 2 && rc == 0; s++) {
        uint64_t start = tails->end[s] - tails->size[s];
        size_t skip = 0;

        if (from[s] < start && lost == NULL) {
            cli_not_kept(RETETHER_STDOUT + s, start);
        } else if (from[s] < start) {
            cli_gap(RETETHER_STDOUT + s, from[s], start);
            *lost += start - from[s];
        } else if (from[s] < tails->end[s]) {
            skip = (size_t)(from[s] - start);
        } else {
            skip = tails->size[s];
        }
        rc = cli_write_all(fds[s], tails->data[s] + skip, tails->size[s] - skip);
    }
    return rc;
}

uint64_t cli_tails_start(const struct cli_tails *tails, unsigned stream, enum retether_from from, uint64_t n)
{
    unsigned s = stream == RETETHER_STDERR;
    const uint8_t *data = tails->data[s];
    size_t at = tails->size[s];

    if (from == RETETHER_FROM_BYTES) {
        return n < tails->size[s] ? tails->end[s] - n : tails->end[s] - tails->size[s];
    }
    if (from != RETETHER_FROM_LINES) {
        return 0;
    }
    if (n == 0) {
        return tails->end[s];
    }
    /* A newline that ends the stream ends the last line, and begins none. */
    for (at = at > 0 ? at - 1 : 0; at > 0; at--) {
        if (data[at - 1] == '\n' && n-- == 1) {
            break;
        }
    }
    return tails->end[s] - (tails->size[s] - at);
}
