/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/machine.h"

#include "broker/core/agent.h"
#include "session/base/slice.h"

#include <string.h>

size_t rt_ag_key_name(const struct rt_key *key, char name[sizeof(struct rt_key)])
{
    size_t tenant = strlen(key->tenant) + 1, cid = strlen(key->cid) + 1;

    memcpy(name, key->tenant, tenant);
    memcpy(name + tenant, key->cid, cid);
    return tenant + cid;
}

struct rt_key rt_ag_key_of(const char *name)
{
    struct rt_key key = {.tenant = ""};
    const char *cid = strchr(name, '\0') + 1;

    memcpy(key.tenant, name, (size_t)(cid - name));
    memcpy(key.cid, cid, strlen(cid));
    return key;
}

uint64_t rt_ag_wall(const struct rt_agent *agent)
{
    return agent->config.io.wall_ms(agent->config.io.ctx);
}

uint64_t rt_ag_store_ms(const struct rt_agent *agent)
{
    return agent->store_ms == 0 ? 0 : agent->store_ms + (agent->now - agent->touch.last);
}

void rt_ag_event(struct rt_agent *agent, struct rt_agent_event *event, const char *from, const char *to,
                 const char *reason)
{
    rt_slice_copy(rt_slice_text(from), event->from, sizeof(event->from));
    rt_slice_copy(rt_slice_text(to), event->to, sizeof(event->to));
    rt_slice_copy(rt_slice_text(reason), event->reason, sizeof(event->reason));
    agent->config.io.event(agent->config.io.ctx, event);
}

void rt_ag_flush(struct rt_agent *agent)
{
    rt_link_id id = agent->run_link;

    if (id != 0) {
        agent->run_link = 0;
        agent->config.io.send(agent->config.io.ctx, id, agent->run, agent->run_size, true);
    }
}
