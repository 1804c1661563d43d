/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/chaos.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Containers that are made, say their number and end, one after the other: what their tethers were told is safe is to
 * be found for as long as the store was not emptied. */

#define PAUSE_MS 300
#define ASK_MS 30000

static int status_of(unsigned n)
{
    return (int)(n % 100) + 1;
}

static void name(unsigned n, char cid[16])
{
    (void)snprintf(cid, 16, "short-%u", n);
}

static void enter(struct chaos *chaos, enum chaos_short_phase phase)
{
    chaos->phase = phase;
    chaos->short_at = rt_process_now_ms();
}

static void create(struct chaos *chaos)
{
    char cid[16];
    const char *const argv[] = {"retether", "create", "--timeout", "5s", cid, NULL};
    struct rt_process_spec spec;
    int out[2];

    name(chaos->n_shorts, cid);
    if (pipe2(out, O_CLOEXEC) != 0) {
        chaos_fail(chaos, "pipe: %s", strerror(errno));
        return;
    }
    rt_process_spec_init(&spec, argv);
    rt_cluster_cli_env(&chaos->cluster, &spec);
    spec.out = out[1];
    chaos->creates = rt_process_start(&spec);
    (void)close(out[1]);
    chaos->create_out = out[0];
    chaos->token_size = 0;
    enter(chaos, CHAOS_SHORT_CREATING);
}

/* A create whose answer was lost has made the session perhaps: the next one has another name. */
static void created(struct chaos *chaos)
{
    int status = rt_process_wait(chaos->creates, 0);
    char script[48], cid[16];
    const char *const command[] = {"sh", "-c", script, NULL};
    ssize_t n;

    if (status == RT_PROCESS_LATE) {
        return;
    }
    n = read(chaos->create_out, chaos->token, sizeof(chaos->token) - 1);
    (void)close(chaos->create_out);
    if (status != 0 || n <= 0) {
        chaos->n_shorts++;
        enter(chaos, CHAOS_SHORT_NONE);
        return;
    }
    chaos->token[n] = '\0';
    chaos->token[strcspn(chaos->token, "\n")] = '\0';
    name(chaos->n_shorts, cid);
    (void)snprintf(script, sizeof(script), "echo i am %u; exit %d", chaos->n_shorts, status_of(chaos->n_shorts));
    if (rt_cluster_vm_start_with(&chaos->cluster, cid, chaos->token, NULL, command, &chaos->short_vm) != 0) {
        chaos_fail(chaos, "%s cannot be started", cid);
    }
    enter(chaos, CHAOS_SHORT_RUNS);
}

static void await(struct chaos *chaos)
{
    int status = rt_process_wait(chaos->short_vm->tether, 0);

    if (status == RT_PROCESS_LATE) {
        if (rt_process_now_ms() > chaos->short_at + CHAOS_LIMIT_MS) {
            chaos_fail(chaos, "%s does not end", chaos->short_vm->cid);
        }
        return;
    }
    if (status != status_of(chaos->n_shorts)) {
        chaos_fail(chaos, "%s: the tether ended with %d", chaos->short_vm->cid, status);
    }
    chaos->short_vm->tether = 0;
    rt_cluster_vm_kill(chaos->short_vm);
    chaos->cluster.n_vms--; /* it was the last */
    chaos->ended[chaos->n_shorts++] = true;
    chaos->n_ended++;
    enter(chaos, CHAOS_SHORT_NONE);
}

void chaos_shorts_step(struct chaos *chaos)
{
    switch (chaos->phase) {
    case CHAOS_SHORT_NONE:
        if (chaos->moving && chaos->n_shorts < CHAOS_SHORTS_MAX && rt_process_now_ms() >= chaos->short_at + PAUSE_MS) {
            create(chaos);
        }
        break;
    case CHAOS_SHORT_CREATING:
        created(chaos);
        break;
    case CHAOS_SHORT_RUNS:
        await(chaos);
        break;
    }
}

void chaos_shorts_finish(struct chaos *chaos)
{
    chaos->moving = false;
    while (chaos->phase != CHAOS_SHORT_NONE && chaos->failure[0] == '\0') {
        chaos_run(chaos, 0);
    }
}

static void want(struct chaos *chaos, const char *verb, const char *cid, const char *text)
{
    const char *const argv[] = {"retether", verb, cid, NULL};
    struct rt_process_run run;

    if (rt_cluster_cli(&chaos->cluster, argv, NULL, 0, ASK_MS, &run) == 0 &&
        (run.status != 0 || strcmp(run.out, text) != 0)) {
        chaos_fail(chaos, "%s %s: status %d, \"%.40s\", \"%.100s\"", verb, cid, run.status, run.out, run.err);
    }
    rt_process_run_free(&run);
}

void chaos_shorts_check(struct chaos *chaos)
{
    char cid[16], text[32];

    for (unsigned n = 0; n < chaos->n_shorts && chaos->failure[0] == '\0'; n++) {
        if (!chaos->ended[n]) {
            continue;
        }
        name(n, cid);
        (void)snprintf(text, sizeof(text), "%d\n", status_of(n));
        want(chaos, "wait", cid, text);
        (void)snprintf(text, sizeof(text), "i am %u\n", n);
        want(chaos, "logs", cid, text);
        if (n % 8 == 0) {
            chaos_run(chaos, 0);
        }
    }
}
