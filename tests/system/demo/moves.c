/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/demo/demo.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The scenario. Its events are spread evenly over the output's offsets, so that there is load at each of them:
 *
 *   STARTING --first byte--> FLOWING --offset of a move--> STUNNED --cut--> RECOVERING --DEMO_WINDOW bytes--> FLOWING
 *                               |  --offset of a kill, serving agent-----------^
 *                               +--all events done--> ENDING --client ended--> OVER
 *
 * STUNNED: the stand-in neither relays nor accepts, as in the last milliseconds of a live migration, so that bytes are
 * under way both ways when the connection ends. Every tenth move hangs silently instead of ending. Of five kills one
 * hits an agent that serves nothing, and one the old host's agent in the moment of the next move. A dead agent is
 * started again after a while. */

#define STUN_MIN_MS 15
#define STUN_SPAN_MS 20
#define RESTART_MIN_MS 30
#define RESTART_SPAN_MS 200
#define SETTLE_MS 300
#define HANG_EVERY 10
#define KILL_GROUP 5

const char *const demo_styles[DEMO_STYLES] = {"reset", "eof", "hang"};

/* xorshift64 by George Marsaglia */
static unsigned random_below(struct demo *demo, unsigned n)
{
    demo->seed ^= demo->seed << 13;
    demo->seed ^= demo->seed >> 7;
    demo->seed ^= demo->seed << 17;
    return (unsigned)((demo->seed >> 11) % n);
}

void demo_losses(struct demo *demo)
{
    char answer[RT_CLUSTER_ANSWER];
    const char *names[2] = {" lost-up=", " lost-down="};

    if (rt_cluster_vm_command(demo->vm, "stats", answer) != 0) {
        demo_fail(demo, "the vMotion stand-in does not answer");
        return;
    }
    for (int d = 0; d < 2; d++) {
        const char *at = strstr(answer, names[d]);
        uint64_t lost = at == NULL ? 0 : strtoull(at + strlen(names[d]), NULL, 10);

        demo->interrupted[d] += lost - demo->lost[d] >= DEMO_LOSS_MIN;
        demo->lost[d] = lost;
    }
}

static void kill_agent(struct demo *demo, unsigned host, uint64_t now)
{
    demo->kills_done++;
    demo->last_killed = host;
    demo->kills_serving += host == demo->vm->on;
    rt_cluster_agent_kill(&demo->cluster, host);
    demo->restart_ms[host] = now + RESTART_MIN_MS + random_below(demo, RESTART_SPAN_MS);
    demo_draw(demo); /* it may be back before the next picture */
}

static void recover(struct demo *demo)
{
    demo->cut_ms = demo_now_ms();
    demo->cut_offset = demo->received.offset;
    demo->silence_ms = 0;
    demo->phase = DEMO_RECOVERING;
}

/* Event i is a kill when the share of kills grows there. */
static bool is_kill(const struct demo *demo, unsigned i)
{
    return (uint64_t)(i + 1) * demo->options.kills / demo->events > (uint64_t)i * demo->options.kills / demo->events;
}

static void begin_kill(struct demo *demo, uint64_t now)
{
    unsigned kind = demo->kills_done % KILL_GROUP, on = demo->vm->on;

    demo->event++;
    if (kind == 2 && demo->event < demo->events && !is_kill(demo, demo->event)) {
        demo->kill_source = true; /* the next event is a move */
    } else if (kind == 4) {
        unsigned host = (on + 1 + random_below(demo, DEMO_HOSTS - 1)) % DEMO_HOSTS;

        kill_agent(demo, host, now);
        demo_show_kill(demo, host, false, 0);
    } else {
        demo->killing = true;
        kill_agent(demo, on, now);
        recover(demo);
    }
}

static void begin_move(struct demo *demo, uint64_t now)
{
    struct demo_move *move = &demo->moves[demo->n_moves];
    unsigned n = demo->n_moves;

    demo->event++;
    demo->killing = false;
    *move = (struct demo_move){.from = demo->vm->on};
    move->to = (move->from + 1 + random_below(demo, DEMO_HOSTS - 1)) % DEMO_HOSTS;
    move->style = n % HANG_EVERY == 2 ? DEMO_HANG : n % 2 == 0 ? DEMO_RESET : DEMO_EOF;
    demo_losses(demo); /* also what the connection before this one lost late */
    if (rt_cluster_vm_command(demo->vm, "stall", NULL) != 0) {
        demo_fail(demo, "the vMotion stand-in does not answer");
    }
    demo->phase = DEMO_STUNNED;
    demo->phase_until_ms = now + STUN_MIN_MS + random_below(demo, STUN_SPAN_MS);
}

static void cut(struct demo *demo, uint64_t now)
{
    struct demo_move *move = &demo->moves[demo->n_moves];

    move->source_killed = demo->kill_source;
    if (demo->kill_source) {
        demo->kill_source = false;
        kill_agent(demo, move->from, now);
        demo_show_kill(demo, move->from, true, -1);
    }
    move->offset = demo->received.offset;
    if (rt_cluster_vm_move(&demo->cluster, demo->vm, move->to, demo_styles[move->style]) != 0 ||
        rt_cluster_vm_command(demo->vm, "resume", NULL) != 0) {
        demo_fail(demo, "the vMotion stand-in does not answer");
    }
    recover(demo);
}

static void recovered(struct demo *demo)
{
    if (demo->killing) {
        demo->killing = false;
        demo->outages[demo->n_outages++] = demo->silence_ms;
        demo_show_kill(demo, demo->vm->on, true, demo->silence_ms);
    } else {
        struct demo_move *move = &demo->moves[demo->n_moves++];

        move->blackout_ms = demo->silence_ms;
        demo_show_move(demo, move);
    }
    demo->phase = DEMO_FLOWING;
}

static void restart_agents(struct demo *demo, uint64_t now)
{
    for (unsigned i = 0; i < DEMO_HOSTS; i++) {
        struct rt_cluster_host *host = &demo->cluster.hosts[i];
        int status;

        if (demo->restart_ms[i] != 0 && now >= demo->restart_ms[i]) {
            demo->restart_ms[i] = 0;
            demo->settled_ms = now + SETTLE_MS;
            if (rt_cluster_agent_start(&demo->cluster, i) != 0) {
                demo_fail(demo, "cannot start the agent of %s", host->name);
            }
        } else if (demo->restart_ms[i] == 0 && host->pid > 0) {
            status = rt_process_wait(host->pid, 0);
            if (status != RT_PROCESS_LATE) {
                host->pid = 0;
                demo_fail(demo, "the agent of %s ended by itself with status %d; its log: %s", host->name, status,
                          host->log);
            }
        }
    }
}

/* What it had to say has come when its stderr has ended. */
static void check_attach(struct demo *demo)
{
    if (demo->attach_status == -2) {
        int status = rt_process_wait(demo->attach, 0);

        demo->attach_status = status == RT_PROCESS_LATE ? -2 : status;
    }
    if (demo->attach_status != -2 && demo->err_over && demo->phase < DEMO_ENDING && demo->event < demo->events) {
        demo_fail(demo, "the attached client ended early with status %d: %.*s", demo->attach_status, DEMO_QUOTE,
                  demo_said(demo));
    }
}

static void flow(struct demo *demo, uint64_t now)
{
    uint64_t due = demo->out_bytes / (demo->events + 1) * (demo->event + 1);

    if (demo->event == demo->events) {
        demo_losses(demo);
        demo->phase = DEMO_ENDING;
    } else if (demo->received.offset >= due) {
        if (is_kill(demo, demo->event)) {
            begin_kill(demo, now);
        } else if (demo->restart_ms[0] + demo->restart_ms[1] + demo->restart_ms[2] == 0 && now >= demo->settled_ms) {
            begin_move(demo, now); /* to a host whose agent runs */
        }
    }
}

void demo_step(struct demo *demo)
{
    uint64_t now = rt_process_now_ms();

    demo_read_log(demo);
    check_attach(demo);
    restart_agents(demo, now);
    demo_type(demo);
    if (demo->phase != DEMO_OVER && demo_now_ms() - demo->last_read_ms > DEMO_STUCK_MS) {
        demo_fail(demo, "nothing came for %d s at offset %" PRIu64, DEMO_STUCK_MS / 1000, demo->received.offset);
    }
    switch (demo->phase) {
    case DEMO_STARTING:
        if (demo->received.offset > 0) {
            demo->phase = DEMO_FLOWING;
        }
        break;
    case DEMO_FLOWING:
        flow(demo, now);
        break;
    case DEMO_STUNNED:
        if (now >= demo->phase_until_ms) {
            cut(demo, now);
        }
        break;
    case DEMO_RECOVERING:
        if (demo->received.offset - demo->cut_offset >= DEMO_WINDOW) {
            recovered(demo);
        }
        break;
    case DEMO_ENDING:
        if (demo->attach_status != -2 && demo->out_over && demo->err_over && demo->exited) {
            demo->phase = DEMO_OVER;
        }
        break;
    case DEMO_OVER:
        break;
    }
}

static void log_line(struct demo *demo)
{
    const char *live = strstr(demo->log_line, "\"to\":\"live\""), *epoch = strstr(demo->log_line, "\"epoch\":");
    const char *host = strstr(demo->log_line, "\"host\":\""), *resent = strstr(demo->log_line, "\"resent\":");

    demo->exited = demo->exited || strstr(demo->log_line, "\"to\":\"exited\"") != NULL;
    if (resent != NULL) {
        demo->resent_out = strtoull(resent + strlen("\"resent\":"), NULL, 10);
    }
    if (live != NULL && epoch != NULL && host != NULL) {
        demo->epoch = strtoull(epoch + 8, NULL, 10);
        (void)snprintf(demo->serving, sizeof(demo->serving), "%.*s", (int)strcspn(host + 8, "\""), host + 8);
    }
}

void demo_read_log(struct demo *demo)
{
    char *end;
    ssize_t n;

    if (demo->tether_log < 0) {
        demo->tether_log = open(demo->vm->log, O_RDONLY | O_CLOEXEC);
    }
    while (demo->tether_log >= 0 && (n = read(demo->tether_log, demo->log_line + demo->log_size,
                                              sizeof(demo->log_line) - 1 - demo->log_size)) > 0) {
        demo->log_size += (size_t)n;
        while ((end = memchr(demo->log_line, '\n', demo->log_size)) != NULL) {
            size_t used = (size_t)(end - demo->log_line) + 1;

            *end = '\0';
            log_line(demo);
            demo->log_size -= used;
            memmove(demo->log_line, demo->log_line + used, demo->log_size);
        }
        if (demo->log_size == sizeof(demo->log_line) - 1) {
            demo->log_size = 0;
        }
    }
}
