/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/demo/demo.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR 40
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define GREEN "\033[32m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

void demo_size(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit < 3) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* One line of the picture, in place of what was there. */
__attribute__((format(printf, 2, 3))) static void line(struct demo *demo, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)fputs("\033[K\n", stdout);
    demo->lines++;
}

static void bar(struct demo *demo, const char *name, uint64_t done, uint64_t all)
{
    int filled = all == 0 ? 0 : (int)(done * BAR / all);
    char is[32], of[32];

    demo_size(done, is);
    demo_size(all, of);
    line(demo, "  %-4s %s%.*s%s%.*s%s  %s of %s", name, GREEN, filled, "########################################", DIM,
         BAR - filled, "........................................", PLAIN, is, of);
}

static void draw_hosts(struct demo *demo)
{
    char text[256] = "";

    for (unsigned i = 0; i < DEMO_HOSTS; i++) {
        const struct rt_cluster_host *host = &demo->cluster.hosts[i];
        bool serves = strcmp(demo->serving, host->name) == 0, dead = host->pid == 0;
        size_t used = strlen(text);

        (void)snprintf(text + used, sizeof(text) - used, "   %s[%s%s]%s",
                       dead     ? RED
                       : serves ? BOLD GREEN
                                : DIM,
                       host->name,
                       dead     ? " killed"
                       : serves ? " serves"
                                : "       ",
                       PLAIN);
    }
    line(demo, "%s", text);
}

static void draw_moves(struct demo *demo)
{
    for (unsigned i = 0; i < DEMO_RECENT; i++) {
        unsigned first = demo->n_moves > DEMO_RECENT ? demo->n_moves - DEMO_RECENT : 0;

        if (first + i < demo->n_moves) {
            const struct demo_move *move = &demo->moves[first + i];
            char at[32];

            demo_size(move->offset, at);
            line(demo, "  move %-4u h%u -> h%u  %-6s at %-10s blackout %8.1f ms%s", first + i + 1, move->from, move->to,
                 demo_styles[move->style], at, move->blackout_ms,
                 move->source_killed ? "  (and the old agent was killed)" : "");
        } else {
            line(demo, "%s", "");
        }
    }
}

void demo_draw(struct demo *demo)
{
    static const char *const phases[] = {"starting", "flowing", "the VM is stunned", "cut, waiting for bytes",
                                         "ending",   "over"};
    char offset[32];

    if (!demo->live) {
        return;
    }
    (void)printf(demo->lines > 0 ? "\033[%uA\r" : "\033[?25l", demo->lines);
    demo->lines = 0;
    line(demo, "%sretether demo%s  %.1f s   %u of %u moves, %u of %u agent kills", BOLD, PLAIN,
         (demo_now_ms() - demo->began_ms) / 1000.0, demo->n_moves, demo->options.moves, demo->kills_done,
         demo->options.kills);
    line(demo, "%s", "");
    draw_hosts(demo);
    demo_size(demo->received.offset, offset);
    line(demo, "  container %s%s%s  epoch %" PRIu64 "  offset %s  %s", BOLD, DEMO_CID, PLAIN, demo->epoch, offset,
         phases[demo->phase]);
    bar(demo, "out", demo->received.offset, demo->out_bytes);
    bar(demo, "in", demo->sent, demo->in_bytes);
    line(demo, "%s", "");
    draw_moves(demo);
    if (demo->n_outages > 0) {
        line(demo, "  agents killed: %u, the last on h%u; bytes again %.1f ms after the last serving one",
             demo->kills_done, demo->last_killed, demo->outages[demo->n_outages - 1]);
    } else {
        line(demo, "  agents killed: %u", demo->kills_done);
    }
    (void)fflush(stdout);
}

void demo_show_move(struct demo *demo, const struct demo_move *move)
{
    if (demo->options.json) {
        (void)printf("{\"event\":\"move\",\"n\":%u,\"from\":\"h%u\",\"to\":\"h%u\",\"style\":\"%s\",\"epoch\":%" PRIu64
                     ",\"offset\":%" PRIu64 ",\"source_killed\":%s,\"blackout_ms\":%.3f}\n",
                     demo->n_moves, move->from, move->to, demo_styles[move->style], demo->epoch, move->offset,
                     move->source_killed ? "true" : "false", move->blackout_ms);
    } else if (!demo->live) {
        (void)printf("%6.1f s  move %u of %u: h%u -> h%u (%s) at offset %" PRIu64 ", epoch %" PRIu64
                     ", blackout %.1f ms\n",
                     (demo_now_ms() - demo->began_ms) / 1000.0, demo->n_moves, demo->options.moves, move->from,
                     move->to, demo_styles[move->style], move->offset, demo->epoch, move->blackout_ms);
    }
    (void)fflush(stdout);
}

/* outage_ms 0: it served nothing; below 0: told with the move. */
void demo_show_kill(struct demo *demo, unsigned host, bool serving, double outage_ms)
{
    if (demo->options.json) {
        (void)printf("{\"event\":\"kill\",\"n\":%u,\"host\":\"h%u\",\"serving\":%s,\"outage_ms\":%.3f}\n",
                     demo->kills_done, host, serving ? "true" : "false", outage_ms < 0 ? 0 : outage_ms);
    } else if (!demo->live) {
        (void)printf("%6.1f s  kill %u of %u: the agent of h%u, which %s", (demo_now_ms() - demo->began_ms) / 1000.0,
                     demo->kills_done, demo->options.kills, host, serving ? "serves the container" : "serves nothing");
        if (outage_ms > 0) {
            (void)printf("; restarted, bytes again after %.1f ms", outage_ms);
        }
        (void)fputs("\n", stdout);
    }
    (void)fflush(stdout);
}

void demo_show_end(struct demo *demo)
{
    if (demo->live) {
        demo_draw(demo);
        (void)fputs("\033[?25h\n", stdout);
        (void)fflush(stdout);
        demo->live = false;
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The value that `share` of them do not exceed; 0 of none. */
static double percentile(const double *sorted, unsigned n, double share)
{
    unsigned i = (unsigned)(share * n);

    return n == 0 ? 0 : sorted[i < n ? i : n - 1];
}

static unsigned blackouts(const struct demo *demo, int style, double *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < demo->n_moves; i++) {
        if (style < 0 || demo->moves[i].style == (enum demo_style)style) {
            out[n++] = demo->moves[i].blackout_ms;
        }
    }
    qsort(out, n, sizeof(*out), by_value);
    return n;
}

static void summary_json(const struct demo *demo, double *sorted)
{
    unsigned n = blackouts(demo, -1, sorted);

    (void)printf("{\"event\":\"demo\",\"ok\":%s,\"moves\":%u,\"kills\":%u,\"kills_serving\":%u,\"out_bytes\":%" PRIu64
                 ",\"in_bytes\":%" PRIu64 ",\"replayed_bytes\":%" PRIu64 ",\"replayed_out\":%" PRIu64
                 ",\"replayed_in\":%" PRIu64 ",\"lost_bytes\":%" PRIu64 ",\"repeated_bytes\":%" PRIu64
                 ",\"interrupted_out\":%" PRIu64 ",\"interrupted_in\":%" PRIu64 ",\"xxh64_out\":\"%016" PRIx64
                 "\",\"xxh64_in\":\"%016" PRIx64 "\",\"seconds\":%.1f",
                 demo->failure[0] == '\0' ? "true" : "false", demo->n_moves, demo->kills_done, demo->kills_serving,
                 demo->received.offset, demo->sent, demo->resent_out + demo->resent_in, demo->resent_out,
                 demo->resent_in, demo->received.verdict == WORKLOAD_LOST ? demo->received.amount : 0,
                 demo->received.verdict == WORKLOAD_REPEATED ? demo->received.amount : 0, demo->interrupted[0],
                 demo->interrupted[1], rt_digest_value(&demo->received.digest), rt_digest_value(&demo->sent_digest),
                 (demo_now_ms() - demo->began_ms) / 1000.0);
    (void)printf(",\"blackout_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}", percentile(sorted, n, 0.5),
                 percentile(sorted, n, 0.99), percentile(sorted, n, 1));
    for (int style = 0; style < DEMO_STYLES; style++) {
        n = blackouts(demo, style, sorted);
        (void)printf(",\"blackout_%s_ms\":{\"n\":%u,\"p50\":%.3f,\"max\":%.3f}", demo_styles[style], n,
                     percentile(sorted, n, 0.5), percentile(sorted, n, 1));
    }
    qsort(demo->outages, demo->n_outages, sizeof(*demo->outages), by_value);
    (void)printf(",\"kill_outage_ms\":{\"n\":%u,\"p50\":%.3f,\"max\":%.3f}}\n", demo->n_outages,
                 percentile(demo->outages, demo->n_outages, 0.5), percentile(demo->outages, demo->n_outages, 1));
}

void demo_summary(struct demo *demo)
{
    double *sorted = calloc(demo->n_moves + 1, sizeof(*sorted));
    unsigned n;

    if (sorted == NULL) {
        return;
    }
    if (demo->options.json) {
        summary_json(demo, sorted);
    } else if (demo->failure[0] == '\0') {
        n = blackouts(demo, -1, sorted);
        (void)printf("demo: %u moves, %u agent kills, %" PRIu64 " bytes out, %" PRIu64 " bytes in, %" PRIu64
                     " replayed, 0 lost, 0 repeated, blackout p50 %.1f ms p99 %.1f ms\n",
                     demo->n_moves, demo->kills_done, demo->received.offset, demo->sent,
                     demo->resent_out + demo->resent_in, percentile(sorted, n, 0.5), percentile(sorted, n, 0.99));
    }
    free(sorted);
}
