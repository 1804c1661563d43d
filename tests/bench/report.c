/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/report.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

struct report_figure *report_figure(struct bench_report *report, const char *part, const char *name, const char *unit,
                                    bool more)
{
    struct report_figure *figure;

    for (unsigned i = 0; i < report->n_figures; i++) {
        figure = &report->figures[i];
        if (strcmp(figure->part, part) == 0 && strcmp(figure->name, name) == 0) {
            return figure;
        }
    }
    assert(report->n_figures < REPORT_FIGURES_MAX);
    figure = &report->figures[report->n_figures++];
    (void)snprintf(figure->part, sizeof(figure->part), "%s", part);
    (void)snprintf(figure->name, sizeof(figure->name), "%s", name);
    (void)snprintf(figure->unit, sizeof(figure->unit), "%s", unit);
    figure->more = more;
    return figure;
}

static struct report_row *row_of(struct report_figure *figure, const char *who)
{
    struct report_row *row;

    for (unsigned i = 0; i < figure->n_rows; i++) {
        if (strcmp(figure->rows[i].who, who) == 0) {
            return &figure->rows[i];
        }
    }
    assert(figure->n_rows < REPORT_ROWS_MAX);
    row = &figure->rows[figure->n_rows++];
    (void)snprintf(row->who, sizeof(row->who), "%s", who);
    return row;
}

void report_sample(struct report_figure *figure, const char *who, double value)
{
    struct report_row *row = row_of(figure, who);

    assert(row->n < REPORT_SAMPLES_MAX);
    row->samples[row->n++] = value;
}

void report_goal(struct report_figure *figure, const char *who, double ratio)
{
    for (unsigned i = 0; i < figure->n_rows; i++) {
        if (strcmp(figure->rows[i].who, who) == 0) {
            figure->rows[i].goal = ratio;
        }
    }
}

static int compare(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

void report_sort(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare);
}

double report_rank(const double *sorted, size_t n, double part)
{
    size_t at = (size_t)(part * (double)n);

    return n == 0 ? 0 : sorted[at < n ? at : n - 1];
}

void report_finish(struct bench_report *report)
{
    for (unsigned i = 0; i < report->n_figures; i++) {
        for (unsigned j = 0; j < report->figures[i].n_rows; j++) {
            report_sort(report->figures[i].rows[j].samples, report->figures[i].rows[j].n);
        }
    }
}

double report_median(const struct report_row *row)
{
    if (row->n == 0) {
        return 0;
    }
    return row->n % 2 == 1 ? row->samples[row->n / 2] : (row->samples[row->n / 2 - 1] + row->samples[row->n / 2]) / 2;
}

/* Four digits that count. */
static const char *number(double value, char out[32])
{
    (void)snprintf(out, 32, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3, value);
    return out;
}

static const char *verdict(bool more, double value, double goal)
{
    return (more ? value >= goal : value <= goal) ? "met" : "missed";
}

static void table_row(const struct report_figure *figure, unsigned at, FILE *out)
{
    const struct report_row *row = &figure->rows[at], *first = &figure->rows[0];
    double median = report_median(row);
    char text[3][32];

    (void)fprintf(out, "  %-18s %9s   %9s .. %-9s", row->who, number(median, text[0]), number(row->samples[0], text[1]),
                  number(row->samples[row->n - 1], text[2]));
    if (at == 0 && figure->goal > 0) {
        (void)fprintf(out, "           goal %s, %s", number(figure->goal, text[0]),
                      verdict(figure->more, median, figure->goal));
    } else if (at > 0 && median > 0) {
        double ratio = report_median(first) / median;

        (void)fprintf(out, "  %5.2f x", ratio);
        if (row->goal > 0) {
            (void)fprintf(out, "  goal %.2f x, %s", row->goal, verdict(figure->more, ratio, row->goal));
        }
    }
    (void)fputc('\n', out);
}

void report_table(const struct bench_report *report, FILE *out)
{
    const char *part = "";

    for (unsigned i = 0; i < report->n_figures; i++) {
        const struct report_figure *figure = &report->figures[i];

        if (strcmp(part, figure->part) != 0) {
            part = figure->part;
            (void)fprintf(out, "\n==== %s: median, least .. most; retether's median by the others'\n", part);
        }
        (void)fprintf(out, "%s (%s%s)\n", figure->name, figure->unit, figure->more ? ", more is better" : "");
        for (unsigned j = 0; j < figure->n_rows; j++) {
            table_row(figure, j, out);
        }
    }
}

static void json_row(const struct report_row *row, double judged, FILE *out)
{
    double median = report_median(row);

    (void)fprintf(out, "{\"who\":\"%s\",\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"samples\":[", row->who, median,
                  row->samples[0], row->samples[row->n - 1]);
    for (unsigned i = 0; i < row->n; i++) {
        (void)fprintf(out, "%s%.6g", i > 0 ? "," : "", row->samples[i]);
    }
    (void)fputs("],\"ratio\":", out);
    if (median > 0) {
        (void)fprintf(out, "%.6g", judged / median);
    } else {
        (void)fputs("null", out);
    }
    (void)fprintf(out, row->goal > 0 ? ",\"goal\":%.6g}" : ",\"goal\":null}", row->goal);
}

void report_json(const struct bench_report *report, bool quick, FILE *out)
{
    struct utsname host;
    double load = 0;

    (void)getloadavg(&load, 1);
    (void)uname(&host);
    (void)fprintf(out, "{\"version\":1,\"quick\":%s,\"kernel\":\"%s\",\"machine\":\"%s\",\"cpus\":%ld,\"load\":%.2f,",
                  quick ? "true" : "false", host.release, host.machine, sysconf(_SC_NPROCESSORS_ONLN), load);
    (void)fputs("\"figures\":[", out);
    for (unsigned i = 0; i < report->n_figures; i++) {
        const struct report_figure *figure = &report->figures[i];

        (void)fprintf(out, "%s\n{\"part\":\"%s\",\"name\":\"%s\",\"unit\":\"%s\",\"more_is_better\":%s,",
                      i > 0 ? "," : "", figure->part, figure->name, figure->unit, figure->more ? "true" : "false");
        (void)fprintf(out, figure->goal > 0 ? "\"goal\":%.6g,\"rows\":[" : "\"goal\":null,\"rows\":[", figure->goal);
        for (unsigned j = 0; j < figure->n_rows; j++) {
            (void)fputs(j > 0 ? "," : "", out);
            json_row(&figure->rows[j], report_median(&figure->rows[0]), out);
        }
        (void)fputs("]}", out);
    }
    (void)fputs("]}\n", out);
}

/* ---- charts ---- */

#define SVG_BAR 16
#define SVG_LEFT 150
#define SVG_WIDTH 720

static void svg_figure(const struct report_figure *figure, unsigned *y, FILE *out)
{
    double most = 0;
    char text[32];

    for (unsigned j = 0; j < figure->n_rows; j++) {
        double value = figure->rows[j].samples[figure->rows[j].n - 1];

        most = value > most ? value : most;
    }
    *y += 2 * SVG_BAR;
    (void)fprintf(out, "<text x=\"8\" y=\"%u\" font-weight=\"bold\">%s (%s%s)</text>\n", *y, figure->name, figure->unit,
                  figure->more ? ", more is better" : "");
    *y += SVG_BAR / 2;
    for (unsigned j = 0; j < figure->n_rows; j++) {
        const struct report_row *row = &figure->rows[j];
        double scale = most > 0 ? (SVG_WIDTH - SVG_LEFT - 90) / most : 0, median = report_median(row);

        (void)fprintf(out, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>\n", SVG_LEFT - 6, *y + 12, row->who);
        (void)fprintf(out, "<rect x=\"%d\" y=\"%u\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", SVG_LEFT, *y + 2,
                      median * scale, SVG_BAR - 4, j == 0 ? "#2a6f97" : "#b0b8c0");
        (void)fprintf(out, "<path d=\"M%.1f %u H%.1f\" stroke=\"#222\"/>\n", SVG_LEFT + row->samples[0] * scale,
                      *y + SVG_BAR / 2, SVG_LEFT + row->samples[row->n - 1] * scale);
        (void)fprintf(out, "<text x=\"%.1f\" y=\"%u\">%s</text>\n", SVG_LEFT + row->samples[row->n - 1] * scale + 6,
                      *y + 12, number(median, text));
        *y += SVG_BAR;
    }
}

static int svg_part(const struct bench_report *report, unsigned first, unsigned end, const char *dir)
{
    char path[512];
    unsigned y = 0, rows = 0;
    FILE *out;

    for (unsigned i = first; i < end; i++) {
        rows += report->figures[i].n_rows;
    }
    (void)snprintf(path, sizeof(path), "%s/%s.svg", dir, report->figures[first].part);
    out = fopen(path, "we");
    if (out == NULL) {
        (void)fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
        return -1;
    }
    (void)fprintf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" font-family=\"sans-serif\" "
                  "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                  SVG_WIDTH, rows * SVG_BAR + (end - first) * (SVG_BAR * 5 / 2) + SVG_BAR);
    for (unsigned i = first; i < end; i++) {
        svg_figure(&report->figures[i], &y, out);
    }
    (void)fputs("</svg>\n", out);
    return fclose(out) == 0 ? 0 : -1;
}

int report_svg(const struct bench_report *report, const char *dir)
{
    for (unsigned first = 0, end; first < report->n_figures; first = end) {
        for (end = first + 1; end < report->n_figures; end++) {
            if (strcmp(report->figures[end].part, report->figures[first].part) != 0) {
                break;
            }
        }
        if (svg_part(report, first, end, dir) != 0) {
            return -1;
        }
    }
    return 0;
}
