/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/tails.h"

#include "clients/cli/stdio.h"
#include "clients/cli/terminal.h"
#include "session/base/file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fetch {
    cli_tails_cb done;
    void *ctx;
    bool first, once;
    struct cli_tails tails;
};

/* There is one at a time. */
static struct fetch fetch;

/* Writes a line to stderr at once, so that it stands in its place in the stream. */
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
        (void)rt_write_all(STDERR_FILENO, line, (size_t)n);
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

static bool accepts_none(const struct cli_app *app, const struct retether_reply *reply)
{
    (void)app;
    return reply->cls == RETETHER_NOT_FOUND || (fetch.once && reply->cls == RETETHER_RETRY_LATER);
}

static void take_part(struct cli_app *app, const struct retether_reply *reply)
{
    struct cli_tails *tails = &fetch.tails;

    if (reply->cls != RETETHER_OK) {
        fetch.done(app, NULL, fetch.ctx);
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
        tails->n_order = reply->n_order <= CLI_RUNS_MAX ? reply->n_order : 0;
        if (tails->n_order > 0) {
            memcpy(tails->order, reply->order, tails->n_order * sizeof(tails->order[0]));
        }
    } else {
        take(tails, reply);
    }
    if (!reply->more) {
        fetch.done(app, tails, fetch.ctx);
    }
}

static int ask_tails(struct cli_app *app, retether_reply_cb cb)
{
    return retether_tails(app->client, app->container, cb, app);
}

void cli_tails_fetch(struct cli_app *app, bool once, cli_tails_cb done, void *ctx)
{
    static const struct cli_request request = {.ask = ask_tails, .take = take_part, .accepts = accepts_none};

    memset(&fetch, 0, sizeof(fetch));
    fetch.done = done;
    fetch.ctx = ctx;
    fetch.first = true;
    fetch.once = once;
    cli_ask(app, &request);
}

/* The bytes from *at up to `to`, as far as they are there and not written yet. */
static int put(const struct cli_tails *tails, unsigned s, uint64_t to, uint64_t *at)
{
    static const int fds[2] = {STDOUT_FILENO, STDERR_FILENO};
    uint64_t start = tails->end[s] - tails->size[s];
    uint64_t from = *at;

    to = to < tails->end[s] ? to : tails->end[s];
    if (to <= from) {
        return 0;
    }
    *at = to;
    return rt_write_all(fds[s], tails->data[s] + (from - start), (size_t)(to - from));
}

/* The offset at which the known order of this stream's bytes begins. */
static uint64_t older_end(const struct cli_tails *tails, unsigned s)
{
    for (size_t i = 0; i < tails->n_order; i++) {
        if (tails->order[i].stream == RETETHER_STDOUT + s) {
            return tails->order[i].from;
        }
    }
    return tails->end[s];
}

int cli_tails_print(const struct cli_tails *tails, const uint64_t from[2], uint64_t *lost)
{
    uint64_t at[2];
    int rc = 0;

    for (unsigned s = 0; s < 2 && rc == 0; s++) {
        uint64_t start = tails->end[s] - tails->size[s];

        at[s] = from[s] > start ? from[s] : start;
        if (from[s] < start && lost == NULL) {
            cli_not_kept(RETETHER_STDOUT + s, start);
        } else if (from[s] < start) {
            cli_gap(RETETHER_STDOUT + s, from[s], start);
            *lost += start - from[s];
        }
        rc = put(tails, s, older_end(tails, s), &at[s]);
    }
    for (size_t i = 0; i < tails->n_order && rc == 0; i++) {
        unsigned s = tails->order[i].stream == RETETHER_STDERR;

        rc = put(tails, s, tails->order[i].to, &at[s]);
    }
    for (unsigned s = 0; s < 2 && rc == 0; s++) { /* what an agent left out of the order is not left out here */
        rc = put(tails, s, tails->end[s], &at[s]);
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
