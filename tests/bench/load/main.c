/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "tests/bench/load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a tether with one process and one attachment reports. */
static void make_report(void)
{
    struct rt_id id = id_of(0, 4);
    struct rt_report_msg msg = {.n_procs = 1, .procs = {{.st = 1, .n_base = 3, .n_head = 3, .head = {70000, 900, 20}}}};
    int size;

    msg.n_atts = 1;
    msg.atts[0] = (struct rt_report_att){
        .id = {id.b, sizeof(id.b)}, .bound = true, .n_cons = 3, .cons = {70000, 900, 20}, .n_app = 2, .hold = 30000};
    size = rt_msg_encode(RT_MSG_REPORT, &msg, load.report, sizeof(load.report));
    if (size < 0) {
        die("a report cannot be encoded");
    }
    load.report_size = (size_t)size;
}

static void stdin_cb(uv_poll_t *poll, int status, int events)
{
    char byte;

    (void)events;
    if (status != 0 || read(STDIN_FILENO, &byte, 1) <= 0) {
        *(bool *)poll->data = true;
    }
}

static void live_on(void)
{
    bool over = false;
    uv_poll_t poll;

    (void)puts("ready");
    (void)fflush(stdout);
    poll.data = &over;
    if (uv_poll_init(&load.loop, &poll, STDIN_FILENO) != 0 || uv_poll_start(&poll, UV_READABLE, stdin_cb) != 0) {
        die("stdin cannot be watched");
    }
    while (!over) {
        (void)uv_run(&load.loop, UV_RUN_ONCE);
    }
}

static bool number(const char *text, unsigned most, unsigned *value)
{
    char *end;
    unsigned long parsed = strtoul(text, &end, 10);

    *value = (unsigned)parsed;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && parsed >= 1 && parsed <= most;
}

static bool is_closed(void)
{
    return load.n_open == 0;
}

static void prepare(void)
{
    char endpoint[160];

    (void)snprintf(endpoint, sizeof(endpoint), "redis+unix://%s", load.socket);
    load.endpoint = strdup(endpoint);
    load.hosts = calloc(load.n_hosts, sizeof(*load.hosts));
    load.sessions = calloc(load.n_sessions, sizeof(*load.sessions));
    load.watch = redisConnectUnix(load.socket);
    if (load.endpoint == NULL || load.hosts == NULL || load.sessions == NULL || load.watch == NULL ||
        load.watch->err != 0 || uv_loop_init(&load.loop) != 0 || uv_timer_init(&load.loop, &load.ticker) != 0) {
        die("%s: cannot begin", load.socket);
    }
    for (unsigned i = 0; i < load.n_hosts; i++) {
        (void)snprintf(load.hosts[i].name, sizeof(load.hosts[i].name), "load-%04u", i);
    }
    make_report();
    load.tick_ns = now_ns();
    (void)uv_timer_start(&load.ticker, tick_cb, LOAD_TICK_MS, LOAD_TICK_MS);
}

int main(int argc, char **argv)
{
    unsigned seed = 0;

    if (argc != 6 || !number(argv[2], LOAD_HOSTS_MAX, &load.n_hosts) || load.n_hosts < 2 ||
        !number(argv[3], LOAD_SESSIONS_MAX, &load.n_sessions) || load.n_sessions < load.n_hosts ||
        !number(argv[4], 3600, &load.seconds) || !number(argv[5], UINT32_MAX, &seed)) {
        (void)fprintf(stderr, "usage: bench-load SOCKET HOSTS SESSIONS SECONDS SEED\n");
        return 2;
    }
    load.socket = argv[1];
    load.seed = seed;
    prepare();
    phase_fill();
    phase_come();
    phase_idle();
    phase_list();
    phase_move();
    live_on();
    load.auditing = false;
    for (unsigned i = 0; i < load.n_hosts; i++) {
        close_host(&load.hosts[i]);
    }
    run(is_closed, 0);
    redisFree(load.watch);
    free((void *)(uintptr_t)load.endpoint);
    free(load.hosts);
    free(load.sessions);
    return 0;
}
