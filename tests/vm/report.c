/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/report.h"

#include <inttypes.h>
#include <stdio.h>

#define WIDTH 960
#define HEIGHT 420
#define LEFT 70
#define RIGHT 20
#define TOP 60
#define BOTTOM 50
#define TICKS 5

void vm_case_add(struct vm_case *c, const struct vm_migration *migration, double blackout_ms)
{
    if (c->moves < VM_CASE_MOVES_MAX) {
        c->marks[c->moves].stopped_ms = migration->stopped_ms;
        c->marks[c->moves].resumed_ms = migration->resumed_ms;
        c->marks[c->moves].flowing_ms = migration->resumed_ms + blackout_ms;
    }
    c->moves++;
    c->downtime_ms = migration->downtime_ms > c->downtime_ms ? migration->downtime_ms : c->downtime_ms;
    c->blackout_ms = blackout_ms > c->blackout_ms ? blackout_ms : c->blackout_ms;
}

void vm_case_say(const struct vm_case *c)
{
    (void)printf("vm: %s: %u moves, downtime %.0f ms, blackout on top %.1f ms, %" PRIu64 " bytes out, %" PRIu64
                 " in, %" PRIu64 " + %" PRIu64 " replayed, 0 lost, 0 repeated\n",
                 c->name, c->moves, c->downtime_ms, c->blackout_ms, c->out, c->in, c->replayed_out, c->replayed_in);
}

struct plot {
    FILE *file;
    double from_ms, to_ms, bytes;
};

static double x_of(const struct plot *plot, double at_ms)
{
    return LEFT + (at_ms - plot->from_ms) / (plot->to_ms - plot->from_ms) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct plot *plot, double bytes)
{
    return HEIGHT - BOTTOM - bytes / plot->bytes * (HEIGHT - TOP - BOTTOM);
}

static void draw_axes(const struct plot *plot, const char *title)
{
    (void)fprintf(
        plot->file,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
        "font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        "<text x=\"%d\" y=\"22\" font-size=\"16\">%s</text>\n"
        "<text x=\"%d\" y=\"44\" fill=\"#555\">bytes at the attached client; red: the VM stands still between "
        "hosts, orange: it runs, until its bytes come again</text>\n",
        WIDTH, HEIGHT, LEFT, title, LEFT);
    for (int i = 0; i <= TICKS; i++) {
        double ms = (plot->to_ms - plot->from_ms) * i / TICKS, bytes = plot->bytes * i / TICKS;

        (void)fprintf(plot->file,
                      "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f MB</text>\n"
                      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f s</text>\n",
                      LEFT, WIDTH - RIGHT, y_of(plot, bytes), y_of(plot, bytes), LEFT - 6, y_of(plot, bytes) + 4,
                      bytes / 1e6, x_of(plot, plot->from_ms + ms), HEIGHT - BOTTOM + 20, ms / 1000);
    }
}

static void draw_band(const struct plot *plot, double from_ms, double to_ms, const char *colour)
{
    double x = x_of(plot, from_ms), width = x_of(plot, to_ms) - x;

    (void)fprintf(plot->file, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", x, TOP,
                  width < 1 ? 1 : width, HEIGHT - TOP - BOTTOM, colour);
}

void vm_case_draw(const struct vm_case *c, const struct vm_stream *stream, const char *path)
{
    struct plot plot = {.bytes = (double)stream->received.offset};
    size_t n = stream->n_points;

    if (path == NULL || n < 2) {
        return;
    }
    plot.from_ms = stream->points[0].at_ms;
    plot.to_ms = stream->points[n - 1].at_ms;
    plot.file = fopen(path, "we");
    if (plot.file == NULL) {
        (void)fprintf(stderr, "vm: cannot write %s\n", path);
        return;
    }
    draw_axes(&plot, c->name);
    for (unsigned i = 0; i < c->moves && i < VM_CASE_MOVES_MAX; i++) {
        draw_band(&plot, c->marks[i].resumed_ms, c->marks[i].flowing_ms, "#fd9");
        draw_band(&plot, c->marks[i].stopped_ms, c->marks[i].resumed_ms, "#e44");
    }
    (void)fprintf(plot.file, "<polyline fill=\"none\" stroke=\"#036\" stroke-width=\"2\" points=\"");
    for (size_t i = 0; i < n; i++) {
        double before = i > 0 ? (double)stream->points[i - 1].bytes : 0;

        /* steps: nothing came in between */
        (void)fprintf(plot.file, "%.1f,%.1f %.1f,%.1f ", x_of(&plot, stream->points[i].at_ms), y_of(&plot, before),
                      x_of(&plot, stream->points[i].at_ms), y_of(&plot, (double)stream->points[i].bytes));
    }
    (void)fprintf(plot.file, "\"/>\n</svg>\n");
    if (fclose(plot.file) != 0) {
        (void)fprintf(stderr, "vm: cannot write %s\n", path);
    }
}
