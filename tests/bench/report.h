/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_BENCH_REPORT_H
#define RETETHER_TESTS_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* What was measured: figures, each with a row for each contender, each with a sample for each round. */

/* More figures, contenders or samples than these are an error of the program. */
#define REPORT_FIGURES_MAX 256
#define REPORT_ROWS_MAX 6
#define REPORT_SAMPLES_MAX 32

struct report_row {
    char who[32];
    double samples[REPORT_SAMPLES_MAX]; /* sorted by report_finish() */
    unsigned n;
    double goal; /* the first row's median by this one's; 0: none */
};

struct report_figure {
    char part[16], name[64], unit[16];
    bool more;   /* is better */
    double goal; /* of the first row, in the figure's unit; 0: none */
    struct report_row rows[REPORT_ROWS_MAX];
    unsigned n_rows;
};

struct bench_report {
    struct report_figure figures[REPORT_FIGURES_MAX];
    unsigned n_figures;
};

/* The figure of this name, made when it is new. The first contender to be sampled is the one that is judged. */
struct report_figure *report_figure(struct bench_report *report, const char *part, const char *name, const char *unit,
                                    bool more);
void report_sample(struct report_figure *figure, const char *who, double value);
/* What the first row's median should be, by that of `who`. */
void report_goal(struct report_figure *figure, const char *who, double ratio);

void report_finish(struct bench_report *report);
double report_median(const struct report_row *row);
/* Of a sorted list; part in 0..1, nearest rank. */
double report_rank(const double *sorted, size_t n, double part);
void report_sort(double *values, size_t n);

/* For people; one JSON object; a bar chart DIR/PART.svg for each part. The last returns 0, or -1 with a text on stderr.
 */
void report_table(const struct bench_report *report, FILE *out);
void report_json(const struct bench_report *report, bool quick, FILE *out);
int report_svg(const struct bench_report *report, const char *dir);

#endif
