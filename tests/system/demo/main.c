/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/demo/demo.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Load for this long, at least; the rates follow from the bytes. */
#define FLOW_MIN_S 5.0
#define PACE_MAX_MS 60000
#define DEFAULT_PACE_MS 1500
#define DRAW_MS 100
#define DEFAULT_MOVES 12
#define DEFAULT_KILLS 4
#define DEFAULT_BYTES (UINT64_C(64) << 20)

static const char usage_text[] =
    "usage: retether-demo [--moves N] [--kills N] [--bytes SIZE] [--pace MS] [--tls] [--json] [--keep]\n"
    "\n"
    "Starts a Redis with a replica, three agents, and a container that streams numbered bytes to an attached client "
    "and\n"
    "reads what that types; moves the container among the agents, kills agents, and checks every byte both ways.\n"
    "\n"
    "  --moves N      how often the container moves (default 12)\n"
    "  --kills N      how often an agent is killed (default 4)\n"
    "  --bytes SIZE   of both directions together, three quarters of them output (default 64M)\n"
    "  --pace MS      of load before each move and kill (default 1500); links that last less than a second are "
    "dialled\n"
    "                 again with a growing delay, which the blackouts then show\n"
    "  --tls          the client comes over TLS, with certificates of a CA made for it\n"
    "  --json         a JSON line for each event, the last one with the result\n"
    "  --keep         keep the logs, also when all went well\n";

double demo_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1000.0 + (double)now.tv_nsec / 1e6;
}

void demo_fail(struct demo *demo, const char *format, ...)
{
    va_list args;

    if (demo->failure[0] != '\0') {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(demo->failure, sizeof(demo->failure), format, args);
    va_end(args);
    demo->failure[strcspn(demo->failure, "\n")] = '\0';
    demo->phase = DEMO_OVER;
}

static bool count(const char *text, unsigned most, unsigned *value)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *value = (unsigned)number;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number <= most;
}

static bool parse(struct demo_options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"moves", required_argument, NULL, 'm'}, {"kills", required_argument, NULL, 'k'},
        {"bytes", required_argument, NULL, 'b'}, {"pace", required_argument, NULL, 'p'},
        {"tls", no_argument, NULL, 't'},         {"json", no_argument, NULL, 'j'},
        {"keep", no_argument, NULL, 'K'},        {NULL, 0, NULL, 0},
    };
    bool good = true;
    int option;

    *options = (struct demo_options){
        .moves = DEFAULT_MOVES, .kills = DEFAULT_KILLS, .bytes = DEFAULT_BYTES, .pace_ms = DEFAULT_PACE_MS};
    while (good && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'm':
            good = count(optarg, DEMO_MOVES_MAX, &options->moves);
            break;
        case 'k':
            good = count(optarg, DEMO_MOVES_MAX, &options->kills);
            break;
        case 'b':
            good = workload_read_size(optarg, &options->bytes);
            break;
        case 'p':
            good = count(optarg, PACE_MAX_MS, &options->pace_ms);
            break;
        case 't':
            options->tls = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'K':
            options->keep = true;
            break;
        default:
            good = false;
        }
    }
    return good && optind == argc;
}

/* Between two events there must be room for what is under way (DEMO_WINDOW). */
static bool plan(struct demo *demo)
{
    const struct demo_options *options = &demo->options;
    double flow_s = options->pace_ms / 1000.0 * (options->moves + options->kills + 1);
    uint64_t least;

    demo->events = options->moves + options->kills;
    least = 2 * DEMO_WINDOW * (demo->events + 1);
    if (options->bytes < least) {
        (void)fprintf(stderr, "demo: %u moves and %u kills need --bytes %" PRIu64 "M or more\n", options->moves,
                      options->kills, (least >> 20) + 1);
        return false;
    }
    flow_s = flow_s < FLOW_MIN_S ? FLOW_MIN_S : flow_s;
    demo->out_bytes = options->bytes / 4 * 3;
    demo->in_bytes = options->bytes / 4;
    demo->out_rate = (uint64_t)((double)demo->out_bytes / flow_s);
    demo->in_rate = (uint64_t)((double)demo->in_bytes / flow_s);
    demo->moves = calloc(options->moves + 1, sizeof(*demo->moves));
    demo->outages = calloc(options->kills + 1, sizeof(*demo->outages));
    demo->seed = ((uint64_t)getpid() << 32 ^ rt_process_now_ms()) | 1;
    return demo->moves != NULL && demo->outages != NULL;
}

static int start_container(struct demo *demo)
{
    char program[RT_PROCESS_PATH], bytes[32], in_bytes[32], rate[32], seed[16];
    const char *command[] = {program, "--out-bytes", bytes, "--in-bytes", in_bytes, "--in-bursts",
                             "50",    "--rate",      rate,  "--seed",     seed,     NULL};
    const char *tether[] = {"--first-hold", "60s", NULL};

    rt_process_program("workload", program);
    (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, demo->out_bytes);
    (void)snprintf(in_bytes, sizeof(in_bytes), "%" PRIu64, demo->in_bytes);
    (void)snprintf(rate, sizeof(rate), "%" PRIu64, demo->out_rate);
    (void)snprintf(seed, sizeof(seed), "%d", DEMO_SEED);
    return rt_cluster_vm_start(&demo->cluster, DEMO_CID, tether, command, &demo->vm);
}

static void draw_cb(uv_timer_t *timer)
{
    demo_draw(timer->data);
}

static void finish(struct demo *demo)
{
    demo_streams_close(demo);
    uv_close((uv_handle_t *)&demo->tick, NULL);
    uv_close((uv_handle_t *)&demo->draw, NULL);
    for (int i = 0; i < 2; i++) {
        uv_close((uv_handle_t *)&demo->signals[i], NULL);
    }
}

static void tick_cb(uv_timer_t *timer)
{
    struct demo *demo = timer->data;

    demo_step(demo);
    if (demo->phase == DEMO_OVER && !uv_is_closing((uv_handle_t *)timer)) {
        finish(demo);
    }
}

static void signal_cb(uv_signal_t *handle, int signum)
{
    demo_fail(handle->data, "stopped by signal %d", signum);
}

static void run(struct demo *demo)
{
    (void)uv_timer_init(&demo->loop, &demo->tick);
    (void)uv_timer_init(&demo->loop, &demo->draw);
    demo->tick.data = demo->draw.data = demo;
    for (int i = 0; i < 2; i++) {
        (void)uv_signal_init(&demo->loop, &demo->signals[i]);
        demo->signals[i].data = demo;
        (void)uv_signal_start(&demo->signals[i], signal_cb, i == 0 ? SIGINT : SIGTERM);
    }
    (void)uv_timer_start(&demo->tick, tick_cb, 1, 1);
    (void)uv_timer_start(&demo->draw, draw_cb, 1, DRAW_MS);
    (void)uv_run(&demo->loop, UV_RUN_DEFAULT);
}

static void by_hand(void)
{
    char tether[RT_PROCESS_PATH], agent[RT_PROCESS_PATH], cli[RT_PROCESS_PATH];

    rt_process_program("tether", tether);
    rt_process_program("retetherd", agent);
    rt_process_program("retether", cli);
    (void)printf("\nBy hand (more in README.md):\n"
                 "  mkdir -p /tmp/try && cd /tmp/try\n"
                 "  export RETETHER_AGENTS=unix:/tmp/try/client.sock RETETHER_GUEST_AGENT=unix:/tmp/try/guest.sock\n"
                 "  %s --state-dir /tmp/try/state --guests $RETETHER_GUEST_AGENT --clients $RETETHER_AGENTS \\\n"
                 "    --user \"$(id -u) = vch/local\" &\n"
                 "  %s run -it --name shell -- sh      # ctrl-p ctrl-q leaves it running\n"
                 "  %s attach shell\n"
                 "  %s show shell\n",
                 agent, cli, cli, cli);
}

static int demo_main(struct demo *demo)
{
    bool failed;

    (void)signal(SIGPIPE, SIG_IGN);
    demo->tether_log = -1;
    demo->attach_status = -2;
    demo->in_over = demo->out_over = demo->err_over = true;
    demo->live = !demo->options.json && isatty(STDOUT_FILENO) == 1;
    (void)uv_loop_init(&demo->loop);
    if (!demo->options.json) {
        (void)printf("Redis and a replica, three agents, a container, an attached client%s; %u moves, %u kills ...\n",
                     demo->options.tls ? " over TLS" : "", demo->options.moves, demo->options.kills);
    }
    demo->began_ms = demo_now_ms();
    workload_check_init(&demo->received, DEMO_SEED, WORKLOAD_BINARY, 0);
    rt_digest_start(&demo->sent_digest, 0);
    if (rt_cluster_start_in(&demo->cluster, DEMO_HOSTS, true, demo->options.tls ? rt_cluster_tls : NULL) != 0 ||
        start_container(demo) != 0) {
        demo_fail(demo, "the cluster does not start");
    } else {
        demo->in_over = demo->out_over = demo->err_over = false;
        if (demo_attach(demo) != 0) {
            demo_fail(demo, "the client does not start");
        }
        run(demo);
        demo_show_end(demo);
        if (demo->failure[0] == '\0') {
            demo_compare(demo);
        }
        if (demo->attach_status == -2) {
            rt_process_kill(demo->attach);
        }
    }
    demo_summary(demo);
    failed = demo->failure[0] != '\0';
    if (failed) {
        (void)fprintf(stderr, "demo: broken: %s\n", demo->failure);
    }
    rt_cluster_stop(&demo->cluster, failed || demo->options.keep);
    (void)uv_loop_close(&demo->loop);
    if (demo->tether_log >= 0) {
        (void)close(demo->tether_log);
    }
    if (!failed && !demo->options.json) {
        by_hand();
    }
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct demo demo;
    int status;

    if (!parse(&demo.options, argc, argv)) {
        (void)fputs(usage_text, stderr);
        return 2;
    }
    if (!plan(&demo)) {
        free(demo.moves);
        free(demo.outages);
        return 2;
    }
    status = demo_main(&demo);
    free(demo.moves);
    free(demo.outages);
    return status;
}
