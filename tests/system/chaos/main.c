/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/chaos.h"
#include "tests/system/chaos/faults.h"

#include "session/base/random.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SECONDS 60
#define DEFAULT_SESSIONS 20
/* Between two faults, so that what comes behind one is not taken for the next one's. */
#define REST_MS 500

static const char usage_text[] =
    "usage: retether-chaos [--seconds N] [--seed N] [--sessions N] [--fault NAME] [--json]\n"
    "\n"
    "Three agents, a Redis with two replicas under three Sentinels, containers that stream both ways, move, start and\n"
    "end. Breaks the store and the agents: each fault alone, then two at a time; checks every byte, every end that "
    "was\n"
    "called safe, and the table.\n"
    "\n"
    "  --seconds N    go on with mixtures until so much time is over (default 60); each fault is done once in any "
    "case\n"
    "  --seed N       the order and the choice of everything (default: another one each time, which is printed)\n"
    "  --sessions N   containers that stay (default 20)\n"
    "  --fault NAME   only this one, again and again\n"
    "  --json         a JSON line for each fault, the last one with the result\n"
    "\n"
    "Exit status: 0 nothing was lost, 1 something was, 2 wrong options.\n"
    "Faults:";

struct chaos chaos_only;

void chaos_fail(struct chaos *chaos, const char *format, ...)
{
    va_list args;

    if (chaos->failure[0] != '\0') {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(chaos->failure, sizeof(chaos->failure), format, args);
    va_end(args);
}

uint64_t chaos_random(struct chaos *chaos, uint64_t n)
{
    return rt_jitter(&chaos->random, n);
}

static void usage(FILE *file)
{
    (void)fputs(usage_text, file);
    for (size_t i = 0; i < chaos_n_faults; i++) {
        (void)fprintf(file, " %s", chaos_faults[i].name);
    }
    (void)fputs("\n", file);
}

static bool count(const char *text, uint64_t most, uint64_t *value)
{
    char *end;

    *value = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *value <= most;
}

static const struct chaos_fault *find(const char *name)
{
    for (size_t i = 0; i < chaos_n_faults; i++) {
        if (strcmp(chaos_faults[i].name, name) == 0) {
            return &chaos_faults[i];
        }
    }
    return NULL;
}

static bool parse(struct chaos *chaos, int argc, char **argv)
{
    static const struct option names[] = {
        {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'S'},
        {"sessions", required_argument, NULL, 'n'},
        {"fault", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    uint64_t value = 0;
    bool good = true;
    int option;

    chaos->seconds = DEFAULT_SECONDS;
    chaos->n_sessions = DEFAULT_SESSIONS;
    chaos->seed = rt_process_now_ms();
    while (good && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 's':
            good = count(optarg, 86400, &value);
            chaos->seconds = (unsigned)value;
            break;
        case 'S':
            good = count(optarg, UINT64_MAX, &chaos->seed);
            break;
        case 'n':
            good = count(optarg, CHAOS_SESSIONS_MAX, &value) && value > 0;
            chaos->n_sessions = (size_t)value;
            break;
        case 'f':
            chaos->only = find(optarg);
            good = chaos->only != NULL;
            break;
        case 'j':
            chaos->json = true;
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            good = false;
        }
    }
    return good && optind == argc;
}

/* The second one, if there is one, begins while the first is under way. */
static void strike(struct chaos *chaos, const struct chaos_fault *first, const struct chaos_fault *second)
{
    const struct chaos_fault *faults[] = {first, second};
    bool empties = first->empties || (second != NULL && second->empties);
    struct chaos_strike on[2] = {{0}};
    uint64_t ms;

    if (empties) { /* what has ended is asked for while it is there */
        chaos_shorts_finish(chaos);
        chaos_shorts_check(chaos);
        chaos->moving = true;
    }
    for (size_t i = 0; i < 2 && faults[i] != NULL; i++) {
        faults[i]->begin(chaos, &on[i]);
        chaos_run(chaos, second == NULL ? first->ms : chaos_random(chaos, faults[i]->ms) + 1);
    }
    for (size_t i = second != NULL ? 2 : 1; i-- > 0;) { /* the second may have stopped the first one's server */
        if (faults[i]->mend != NULL) {
            faults[i]->mend(chaos, &on[i]);
        }
    }
    chaos_servers_check(chaos);
    if (empties) { /* what ended meanwhile may be gone as well */
        chaos_run(chaos, REST_MS);
        memset(chaos->ended, 0, sizeof(chaos->ended));
    }
    ms = chaos_settle(chaos);
    chaos->slowest_ms = ms > chaos->slowest_ms ? ms : chaos->slowest_ms;
    chaos->n_faults += second != NULL ? 2 : 1;
    if (chaos->failure[0] == '\0') {
        chaos_report_fault(chaos, faults, ms);
    }
    chaos_history_read(chaos);
    chaos_run(chaos, REST_MS);
}

/* Each alone, in an order that the seed gives. */
static void each(struct chaos *chaos)
{
    size_t order[CHAOS_FAULTS_MAX] = {0};

    for (size_t i = 0; i < chaos_n_faults; i++) {
        order[i] = i;
    }
    for (size_t i = chaos_n_faults - 1; i > 0; i--) {
        size_t j = (size_t)chaos_random(chaos, i + 1), was = order[i];

        order[i] = order[j];
        order[j] = was;
    }
    for (size_t i = 0; i < chaos_n_faults && chaos->failure[0] == '\0'; i++) {
        strike(chaos, &chaos_faults[order[i]], NULL);
    }
}

static void break_things(struct chaos *chaos)
{
    uint64_t until = rt_process_now_ms() + chaos->seconds * UINT64_C(1000);

    chaos->moving = true;
    if (chaos->only == NULL) {
        each(chaos);
    } else {
        strike(chaos, chaos->only, NULL);
    }
    while (rt_process_now_ms() < until && chaos->failure[0] == '\0') {
        const struct chaos_fault *first = &chaos_faults[chaos_random(chaos, chaos_n_faults)];
        const struct chaos_fault *second = &chaos_faults[chaos_random(chaos, chaos_n_faults)];

        strike(chaos, chaos->only != NULL ? chaos->only : first, chaos->only != NULL ? NULL : second);
    }
    if (chaos->failure[0] == '\0') {
        chaos_shorts_finish(chaos);
        chaos_shorts_check(chaos);
        chaos_sessions_end(chaos);
        chaos_history(chaos);
    }
}

static int chaos_main(struct chaos *chaos)
{
    bool failed;

    chaos->random = chaos->seed;
    if (!chaos->json) {
        (void)printf("seed %" PRIu64 ": three agents, a primary, two replicas, three Sentinels, %zu containers ...\n",
                     chaos->seed, chaos->n_sessions);
        (void)fflush(stdout);
    }
    if (rt_cluster_start_in(&chaos->cluster, CHAOS_HOSTS, true, chaos_store_start) != 0 ||
        chaos_sessions_start(chaos) != 0) {
        chaos_fail(chaos, "the cluster does not start");
    } else {
        break_things(chaos);
    }
    failed = chaos->failure[0] != '\0';
    chaos_sessions_kill(chaos);
    proxy_stop(&chaos->proxy);
    rt_cluster_stop(&chaos->cluster, failed);
    chaos_store_stop(chaos);
    chaos_report(chaos);
    if (failed) {
        (void)fprintf(stderr, "chaos: broken, seed %" PRIu64 ": %s\n", chaos->seed, chaos->failure);
    }
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (!parse(&chaos_only, argc, argv)) {
        usage(stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return chaos_main(&chaos_only);
}
