/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/registry.h"

#include "broker/core/agent.h"
#include "migrate/core/watch.h"
#include "tests/sim/agents.h"
#include "tests/sim/event.h"
#include "tests/sim/store.h"
#include "tests/sim/store_model.h"
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* The registry: a row for each host, whose sequence its agent raises once a second while it is in touch with the store;
 * pages of it in the order of the names; and the notices of who comes. Rows are never removed but by a flush: a host
 * that is dead is one whose sequence stands still. */

static int by_name(const void *a, const void *b)
{
    return strcmp(sim_host_name(*(const int *)a), sim_host_name(*(const int *)b));
}

static void row_of(int about, struct rt_store_host *row)
{
    memset(row, 0, sizeof(*row));
    sim_agent_name(about, row->host);
    sim_agent_addr(about, row->addr[0]);
    row->n_addr = 1;
    row->seq = sim_db.rows[about].seq;
    row->instance.b[0] = sim_db.rows[about].instance;
}

/* A heartbeat of each agent a second; one that stands still or is out of touch misses it. */
static void beat(int agent)
{
    struct sim_agent *a = &sim.agents[agent];
    struct rt_store_news touch = {.kind = RT_STORE_TOUCH, .store_ms = sim_db_ms()};

    sim_post((struct sim_event){.kind = EV_CALL, .call = beat, .arg = agent}, UINT64_C(1000) * RT_HEARTBEAT_MS);
    if (a->agent == NULL || !a->store_up || sim_db.out || sim.now_us < a->paused_until_us) {
        return;
    }
    sim_db.rows[agent].there = true;
    sim_db.rows[agent].seq++;
    sim_db_news(agent, &touch, sim_db.latency_us);
}

void sim_registry_reset(void)
{
    for (int i = 0; i < sim.n_agents; i++) {
        sim_db.order[i] = i;
        sim_post((struct sim_event){.kind = EV_CALL, .call = beat, .arg = i},
                 sim_random(UINT64_C(1000) * RT_HEARTBEAT_MS));
    }
    qsort(sim_db.order, (size_t)sim.n_agents, sizeof(sim_db.order[0]), by_name);
}

void sim_registry_flush(void)
{
    memset(sim_db.rows, 0, sizeof(sim_db.rows));
}

void sim_registry_up(int agent, uint64_t delay_us)
{
    struct rt_store_news touch = {.kind = RT_STORE_TOUCH, .store_ms = sim_db_ms()};
    struct rt_store_news come = {.kind = RT_STORE_HOST};

    sim_db.rows[agent].there = true;
    sim_db.rows[agent].instance = (uint8_t)sim.agents[agent].gen;
    sim_db.rows[agent].seq++;
    sim_db_news(agent, &touch, delay_us);
    row_of(agent, &come.row);
    sim_db_publish(&come, agent);
}

/* The first in the order of the names that is not before this one. */
static int from_name(const char *name)
{
    int low = 0, high = sim.n_agents;

    while (low < high) {
        int middle = low + (high - low) / 2;

        if (strcmp(sim_host_name(sim_db.order[middle]), name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void sim_registry_run(const struct rt_store_op *op, struct rt_store_reply *reply, struct rt_store_host *rows)
{
    for (int i = from_name(op->host); i < sim.n_agents; i++) {
        int about = sim_db.order[i], order = strcmp(sim_host_name(about), op->host);

        if (op->kind == RT_STORE_HOST_ROW && order != 0) {
            return;
        }
        if (!sim_db.rows[about].there || (op->kind == RT_STORE_HOST_ROW ? order != 0 : order <= 0)) {
            continue;
        }
        if (reply->n_hosts == RT_HOSTS_PAGE) {
            memcpy(reply->next, rows[RT_HOSTS_PAGE - 1].host, sizeof(reply->next));
            return;
        }
        row_of(about, &rows[reply->n_hosts++]);
    }
}
