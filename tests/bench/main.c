/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* A busy machine is told: its figures are worth little. */
#define LOAD_MOST 0.5

static const struct part {
    const char *name;
    void (*run)(struct bench *bench);
} parts[] = {
    {"relay", bench_relay},        {"small", bench_small},         {"fair", bench_fair},
    {"latency", bench_latency},    {"handshake", bench_handshake}, {"blackout", bench_blackout},
    {"memory", bench_memory_part}, {"storm", bench_storm},         {"window", bench_window},
    {"store", bench_store},        {"load", bench_load},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

static struct bench bench;

static const char usage_text[] =
    "usage: rt-bench [relay|small|fair|latency|handshake|blackout|memory|storm|window|store|load|all]...\n"
    "                [--quick] [--json] [--svg DIR] [--rounds N] [--moves N] [--sessions N] [--hosts N]\n"
    "\n"
    "Measures tether, agent and client against HAProxy, socat and a pipe, side by side (docs/performance.md).\n"
    "\n"
    "  --quick       the smallest sample of each: shows that it works, not how fast\n"
    "  --json        one JSON object instead of the table\n"
    "  --svg DIR     also a bar chart of each part, DIR/PART.svg\n"
    "  --rounds N    of each comparison, 1 to 31 (default 5)\n"
    "  --moves N     of the blackout, 2 to 20000 (default 300)\n"
    "  --sessions N  of the load, up to 2000000 (default 20000)\n"
    "  --hosts N     of the load, 2 to 3000 (default 100)\n";

static bool count(const char *text, unsigned least, unsigned most, unsigned *value)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *value = (unsigned)number;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number >= least && number <= most;
}

static bool parse(struct bench_options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"quick", no_argument, NULL, 'q'},       {"json", no_argument, NULL, 'j'},
        {"svg", required_argument, NULL, 's'},   {"rounds", required_argument, NULL, 'r'},
        {"moves", required_argument, NULL, 'm'}, {"sessions", required_argument, NULL, 'n'},
        {"hosts", required_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
    };
    bool good = true;
    int option;

    while (good && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'q':
            options->quick = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 's':
            options->svg = optarg;
            break;
        case 'r':
            good = count(optarg, 1, REPORT_SAMPLES_MAX - 1, &options->rounds);
            break;
        case 'm':
            good = count(optarg, 2, 20000, &options->moves);
            break;
        case 'n':
            good = count(optarg, 1, 2000000, &options->sessions);
            break;
        case 'h':
            good = count(optarg, 2, 3000, &options->hosts);
            break;
        default:
            good = false;
        }
    }
    return good;
}

static bool chosen(const struct part *part, int argc, char **argv)
{
    bool found = argc == 0;

    for (int i = 0; i < argc; i++) {
        found = found || strcmp(argv[i], part->name) == 0 || strcmp(argv[i], "all") == 0;
    }
    return found;
}

static bool all_known(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        bool known = strcmp(argv[i], "all") == 0;

        for (size_t j = 0; j < PARTS; j++) {
            known = known || strcmp(argv[i], parts[j].name) == 0;
        }
        if (!known) {
            return false;
        }
    }
    return true;
}

static void prepare(void)
{
    struct rlimit files;
    double load = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (!bench_has("haproxy") || !bench_has("socat")) {
        bench_say("HAProxy and socat are not both here (./dev deps bench): fewer comparisons");
    }
    if (getloadavg(&load, 1) == 1 && load > LOAD_MOST) {
        bench_say("the machine is busy (load %.1f): trust ratios, not rates", load);
    }
    if (bench.options.svg != NULL && mkdir(bench.options.svg, 0755) != 0 && errno != EEXIST) {
        bench_die("%s: %s", bench.options.svg, strerror(errno));
    }
}

int main(int argc, char **argv)
{
    if (!parse(&bench.options, argc, argv) || !all_known(argc - optind, argv + optind)) {
        (void)fputs(usage_text, stderr);
        return 2;
    }
    prepare();
    for (size_t i = 0; i < PARTS; i++) {
        if (chosen(&parts[i], argc - optind, argv + optind)) {
            (void)fprintf(stderr, "%s\n", parts[i].name);
            parts[i].run(&bench);
        }
    }
    report_finish(&bench.report);
    if (bench.options.json) {
        report_json(&bench.report, bench.options.quick, stdout);
    } else {
        report_table(&bench.report, stdout);
    }
    return bench.options.svg != NULL && report_svg(&bench.report, bench.options.svg) != 0 ? 1 : 0;
}
