/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/disk.h"

#include "broker/core/agent.h"
#include "session/base/error.h"
#include "tests/sim/agents.h"
#include "tests/sim/event.h"
#include "tests/sim/faults.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* One thing after the other, in the order asked; a write has had its effect half-way, and its agent may be killed
 * before and after that. */

struct job {
    bool keeps;
    bool revoked; /* its key and life, else an end */
    uint32_t id;
    int error;
    uint64_t us; /* it takes */
    struct rt_store_op end;
};

static void queue(int agent, const struct job *job)
{
    struct sim_agent *a = &sim.agents[agent];
    struct sim_event event = {.kind = EV_DISK, .index = agent, .gen = a->gen, .side = 0};
    struct job *copy = malloc(sizeof(*copy));
    uint64_t at = a->disk_free_us > sim.now_us ? a->disk_free_us : sim.now_us;

    if (copy == NULL) {
        sim_fail("out of memory");
    }
    *copy = *job;
    copy->us = sim.now_us < a->disk_slow_until_us ? 20000 + sim_random(3000000) : 200 + sim_random(2000);
    a->disk_free_us = at + copy->us;
    event.extra = copy;
    sim_post(event, at + copy->us / 2 - sim.now_us);
}

int sim_disk_keep(int agent, uint32_t id, const struct rt_store_op *end)
{
    struct job job = {.keeps = true, .id = id, .end = *end};

    job.end.tail[0].size = job.end.tail[1].size = job.end.end.ord.size = 0; /* the model looks at the status only */
    queue(agent, &job);
    return 0;
}

void sim_disk_drop(int agent, const struct rt_key *key, uint64_t life)
{
    struct job job = {.end.key = *key, .end.life = life};

    queue(agent, &job);
}

void sim_disk_keep_revoked(int agent, const struct rt_key *key, uint64_t life)
{
    struct job job = {.keeps = true, .revoked = true, .end.key = *key, .end.life = life};

    queue(agent, &job);
}

void sim_disk_drop_revoked(int agent, const struct rt_key *key, uint64_t life)
{
    struct job job = {.revoked = true, .end.key = *key, .end.life = life};

    queue(agent, &job);
}

uint64_t sim_disk_revoked(const struct sim_agent *a, int container)
{
    uint64_t highest = 0;

    for (int k = 0; k < SIM_REVOKED_FILES; k++) {
        highest = a->revoked_files[container][k] > highest ? a->revoked_files[container][k] : highest;
    }
    return highest;
}

/* The file of this life comes or goes. Returns whether there is a change. */
static bool change_revoked(struct sim_agent *a, const struct job *job)
{
    for (int i = 0; i < SIM_KEYS; i++) {
        for (int k = 0; k < SIM_REVOKED_FILES && rt_key_equal(sim_key_of(i), &job->end.key); k++) {
            uint64_t *life = &a->revoked_files[i][k];

            if (*life != (job->keeps ? 0 : job->end.life)) {
                continue;
            }
            *life = job->keeps ? job->end.life : 0;
            if (!job->keeps && sim_disk_revoked(a, i) < job->end.life) {
                sim_fail("host%d removes that %llu of container %d is revoked, and has nothing newer",
                         (int)(a - sim.agents), (unsigned long long)job->end.life, i);
            }
            return true;
        }
    }
    return false;
}

static int write_revoked(struct sim_agent *a, const struct job *job)
{
    if (a->disk_fails > 0) {
        a->disk_fails--;
        sim.stats.faults[FAULT_DISK_FAILS]++;
        return RT_EIO;
    }
    if (!change_revoked(a, job)) {
        sim_fail("host%d has too many files of what is revoked", (int)(a - sim.agents));
    }
    return 0;
}

static void forget(struct sim_agent *a, const struct rt_store_op *end)
{
    for (size_t i = a->n_ends; i-- > 0;) {
        if (rt_key_equal(&a->ends[i].key, &end->key) && a->ends[i].life == end->life) {
            a->ends[i] = a->ends[--a->n_ends];
        }
    }
}

static int write_end(struct sim_agent *a, const struct rt_store_op *end)
{
    if (a->disk_fails > 0) {
        a->disk_fails--;
        sim.stats.faults[FAULT_DISK_FAILS]++;
        return RT_EIO;
    }
    forget(a, end);
    if (a->n_ends == SIM_ENDS) {
        return RT_ELIMIT;
    }
    if (a->ends == NULL) {
        a->ends = calloc(SIM_ENDS, sizeof(*a->ends));
    }
    if (a->ends == NULL) {
        sim_fail("out of memory");
    }
    a->ends[a->n_ends++] = *end;
    return 0;
}

void sim_disk_event(const struct sim_event *event)
{
    struct sim_agent *a = &sim.agents[event->index];
    struct sim_event back = *event;
    struct job *job = event->extra;

    if (a->gen != event->gen || a->agent == NULL) {
        if (job->keeps) {
            sim.stats.faults[FAULT_DISK_KILLED]++;
        }
        return;
    }
    if (event->side == 1) {
        if (job->revoked) {
            rt_agent_revoked_reply(a->agent, &job->end.key, job->end.life, job->error, sim_ms());
        } else {
            rt_agent_disk_reply(a->agent, job->id, job->error, sim_ms());
        }
        sim_agent_timer(event->index);
    } else if (!job->keeps) {
        if (job->revoked) {
            (void)change_revoked(a, job);
        } else {
            forget(a, &job->end);
        }
    } else {
        job->error = job->revoked ? write_revoked(a, job) : write_end(a, &job->end);
        sim.stats.faults[FAULT_DISK_SLOW] += job->us >= 20000;
        back.side = 1;
        back.extra = malloc(sizeof(*job));
        if (back.extra == NULL) {
            sim_fail("out of memory");
        }
        memcpy(back.extra, job, sizeof(*job));
        sim_post(back, job->us / 2);
    }
}

void sim_disk_slow(int agent)
{
    sim.agents[agent].disk_slow_until_us = sim.now_us + 1000000 + sim_random(5000000);
    sim_log("fault: the disk of host%d is slow", agent);
}

bool sim_disk_waits(int agent)
{
    const struct sim_agent *a = &sim.agents[agent];

    return a->disk_free_us <= sim.now_us && sim.now_us < a->disk_slow_until_us;
}

void sim_disk_fail(int agent)
{
    sim.agents[agent].disk_fails = 1 + (int)sim_random(3);
    sim_log("fault: the disk of host%d fails", agent);
}

void sim_disk_heal(int agent)
{
    sim.agents[agent].disk_slow_until_us = 0;
    sim.agents[agent].disk_fails = 0;
}

void sim_disk_gone(int agent)
{
    for (size_t i = 0; i < sim.agents[agent].n_ends; i++) {
        for (int k = 0; k < SIM_KEYS; k++) {
            struct rt_key key;

            sim_key(k, &key);
            if (rt_key_equal(&key, &sim.agents[agent].ends[i].key)) {
                sim_store_end_gone(k);
            }
        }
    }
}

void sim_disk_killed(int agent)
{
    sim.agents[agent].disk_free_us = 0;
}
