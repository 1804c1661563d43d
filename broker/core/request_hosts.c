/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/hosts.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/rights.h"
#include "migrate/core/store_op.h"
#include "session/base/slice.h"
#include "session/core/msg_request.h"

#include <string.h>

/* REQUEST `hosts`: the registry, a page of the store's for each REPLY. How many sessions a host has is of all tenants
 * together: whoever may not look at all of them is not told it, as he would see others come and go. */

static enum rt_host_state host_state(const struct rt_agent *agent, const char *host)
{
    switch (rt_ag_host_state(agent, host)) {
    case RT_WATCH_ALIVE:
        return RT_HOST_ALIVE;
    case RT_WATCH_DEAD:
        return RT_HOST_DEAD;
    case RT_WATCH_UNKNOWN:
    case RT_WATCH_WATCHING:
        break;
    }
    return RT_HOST_UNKNOWN;
}

void rt_ag_fill_host(const struct rt_agent *agent, const struct ag_link *link, const struct rt_store_host *in,
                     struct rt_registry_msg *out)
{
    out->host = rt_slice_text(in->host);
    out->n_addr = in->n_addr;
    for (size_t i = 0; i < in->n_addr; i++) {
        out->addr[i] = rt_slice_text(in->addr[i]);
    }
    out->ver = rt_slice_text(in->version);
    out->seq = in->seq;
    out->age = in->age_ms;
    out->state = host_state(agent, in->host);
    out->drains = in->drains;
    out->untold = !rt_ag_may(link, AG_MAY_ALL_TENANTS);
    out->sessions = out->untold ? 0 : in->sessions;
}

void rt_ag_name_host(const struct rt_agent *agent, const struct ag_link *link, const char *host,
                     struct rt_reply_msg *out)
{
    const struct ag_host *known = rt_ag_host(agent, host);

    if (host[0] == '\0' || strcmp(host, agent->config.host) == 0) {
        return;
    }
    if (known != NULL) {
        rt_ag_fill_host(agent, link, &known->row, &out->hosts[out->n_hosts]);
    } else {
        out->hosts[out->n_hosts].host = rt_slice_text(host);
    }
    out->n_hosts++;
}

/* The store is out: what is known here. */
static void hosts_known(struct rt_agent *agent, struct ag_ask *ask)
{
    size_t at = ask->host[0] == '\0' ? 0 : rt_ag_hosts_behind(agent, ask->host);

    do {
        struct rt_reply_msg *out = agent->reply;

        memset(out, 0, sizeof(*out));
        for (; at < agent->n_hosts && out->n_hosts < RT_HOSTS_PAGE; at++) {
            rt_ag_fill_host(agent, ask->link, &agent->hosts[at]->row, &out->hosts[out->n_hosts++]);
        }
        out->more = at < agent->n_hosts;
        rt_ag_ask_send(agent, ask->link, ask->request, out);
        if (out->more && ask->link->congested) { /* goes on behind this one */
            rt_slice_copy(out->hosts[out->n_hosts - 1].host, ask->host, sizeof(ask->host));
            ask->parked = true;
            return;
        }
    } while (at < agent->n_hosts);
    rt_ag_ask_free(agent, ask);
}

void rt_ag_ask_hosts_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply)
{
    struct rt_reply_msg *out = agent->reply;

    if (reply->error != 0) {
        hosts_known(agent, ask);
        return;
    }
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < reply->n_hosts && i < RT_HOSTS_PAGE; i++) {
        rt_ag_fill_host(agent, ask->link, &reply->hosts[i], &out->hosts[out->n_hosts++]);
    }
    out->more = reply->next[0] != '\0';
    rt_ag_ask_send(agent, ask->link, ask->request, out);
    if (!out->more) {
        rt_ag_ask_free(agent, ask);
        return;
    }
    memcpy(ask->host, reply->next, sizeof(ask->host));
    rt_ag_ask_more(agent, ask);
}
