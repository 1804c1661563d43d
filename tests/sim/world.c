/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/world.h"

#include "broker/core/agent.h"
#include "tests/sim/event.h"
#include "tests/sim/faults.h"
#include "tests/sim/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Virtual time: randomness, the heap of events, the log. */

struct sim_world sim;

uint64_t sim_random(uint64_t below)
{
    sim.rng ^= sim.rng << 13;
    sim.rng ^= sim.rng >> 7;
    sim.rng ^= sim.rng << 17;
    return below ? (sim.rng * UINT64_C(0x2545F4914F6CDD1D) >> 11) % below : 0;
}

void sim_random_bytes(void *ctx, void *out, size_t size)
{
    uint8_t *p = out;

    (void)ctx;
    for (size_t i = 0; i < size; i++) {
        p[i] = (uint8_t)sim_random(256);
    }
}

bool sim_chance(unsigned percent)
{
    return sim_random(100) < percent;
}

uint64_t sim_ms(void)
{
    return 1000000 + sim.now_us / 1000;
}

void sim_log(const char *format, ...)
{
    va_list args;

    if (!sim.options.verbose) {
        return;
    }
    printf("%9.3f ms  ", (double)sim.now_us / 1000.0);
    va_start(args, format);
    vprintf(format, args); /* NOLINT(clang-analyzer-valist.Uninitialized): see sim_fail() */
    va_end(args);
    putchar('\n');
}

static void print_options(void)
{
    uint64_t other = sim.options.faults ^ sim_faults_on();

    if (sim.options.agents) {
        fprintf(stderr, " --agents %llu", (unsigned long long)sim.options.agents);
    }
    for (int i = 0; i < SIM_FAULTS; i++) {
        if (other >> i & 1) {
            fprintf(stderr, " --%s '%s'", sim_draws((enum sim_fault)i) ? "fault" : "without", sim_fault_kinds[i].name);
        }
    }
}

void sim_fail(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "sim: seed %llu at %.3f ms, event %llu: ", (unsigned long long)sim.options.seed,
            (double)sim.now_us / 1000.0, (unsigned long long)sim.stats.events);
    va_start(args, format);
    /* Two programs are built of this file, and clang-tidy's second look at it does not know va_start any more. */
    vfprintf(stderr, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(args);
    fprintf(stderr, "\nsim: replay with: ./dev sim --seed %llu", (unsigned long long)sim.options.seed);
    print_options();
    fprintf(stderr, " -v\n");
    exit(1);
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

static void put(struct sim_event event)
{
    size_t i = sim.n_heap++;

    if (sim.n_heap > sim.cap_heap) {
        sim.cap_heap = sim.cap_heap ? sim.cap_heap * 2 : 1024;
        sim.heap = realloc(sim.heap, sim.cap_heap * sizeof(*sim.heap));
        if (sim.heap == NULL) {
            sim_fail("the simulation is out of memory");
        }
    }
    while (i > 0 && before(&event, &sim.heap[(i - 1) / 2])) {
        sim.heap[i] = sim.heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim.heap[i] = event;
}

void sim_post(struct sim_event event, uint64_t delay_us)
{
    event.at_us = sim.now_us + delay_us;
    event.seq = sim.seq++;
    put(event);
}

void sim_hold(struct sim_event event, uint64_t until_us)
{
    event.at_us = until_us;
    put(event);
}

bool sim_pop(struct sim_event *event)
{
    struct sim_event last;
    size_t i = 0, child;

    if (sim.n_heap == 0) {
        return false;
    }
    *event = sim.heap[0];
    last = sim.heap[--sim.n_heap];
    while ((child = 2 * i + 1) < sim.n_heap) {
        if (child + 1 < sim.n_heap && before(&sim.heap[child + 1], &sim.heap[child])) {
            child++;
        }
        if (before(&last, &sim.heap[child])) {
            break;
        }
        sim.heap[i] = sim.heap[child];
        i = child;
    }
    sim.heap[i] = last;
    return true;
}

void sim_clear(void)
{
    for (size_t i = 0; i < sim.n_heap; i++) {
        free(sim.heap[i].bytes);
        free(sim.heap[i].extra);
    }
    free(sim.heap);
    for (int i = 0; i <= SIM_GUESTS; i++) {
        sim_free_guest(i);
    }
    for (int i = 0; i <= SIM_OPERATOR; i++) {
        sim_free_client(i);
    }
    for (int i = 0; i < sim.n_agents; i++) {
        rt_agent_free(sim.agents[i].agent);
        free(sim.agents[i].ends);
    }
    for (int i = 0; i < sim.top_conn; i++) {
        free(sim.conns[i].to[0].rx);
        free(sim.conns[i].to[1].rx);
    }
    for (int i = 0; i < SIM_LINES; i++) {
        for (int s = 0; s < 2; s++) {
            free(sim.lines[i].data[s]);
        }
    }
    sim_store_reset();
}
