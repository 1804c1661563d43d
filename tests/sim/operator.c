/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/sim/operator.h"

#include "migrate/core/claim.h"
#include "migrate/core/ticket.h"
#include "session/base/slice.h"
#include "session/core/client.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"
#include "tests/sim/agents.h"
#include "tests/sim/clients.h"
#include "tests/sim/event.h"
#include "tests/sim/faults.h"
#include "tests/sim/guests.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

/* A kicked guest comes back as from a broken link: no check knows of it. A revoked one is never let in again, its
 * clients are told, and those who attach meanwhile. Mostly its tenant makes the container anew, and starts it: as that
 * is another life, the container counts as one of several pasts. */

#define EVERY_US 1500000
#define REVOKES_PER_RUN 2
#define MOVES_BEFORE 5 /* of a run, before something ends for good */
#define CREATE_TRIES 20

static struct plan {
    int revokes;
    struct {
        bool due; /* it is to be made anew */
        int tries;
    } anew[SIM_CONTAINERS];
} plan;

static void ask(struct sim_client *c, const char *op, int container, uint64_t *request)
{
    char name[RT_WHOLE_NAME_MAX + 1];
    const struct rt_key *key = sim_key_of(container);
    struct rt_request_msg msg = {.op = rt_slice_text(op)};

    if (c == &sim.clients[SIM_OPERATOR]) {
        (void)snprintf(name, sizeof(name), "%s/%s", key->tenant, key->cid);
    } else {
        (void)snprintf(name, sizeof(name), "%s", key->cid);
    }
    msg.cid = rt_slice_text(name);
    if (rt_client_request(c->client, &msg, sim_ms(), request) != 0) {
        sim_fail("%s cannot be asked", op);
    }
    sim_client_pump((int)(c - sim.clients));
}

static void make_anew(int container);

static void make_anew_later(int container)
{
    if (plan.anew[container].tries++ < CREATE_TRIES) {
        sim_post((struct sim_event){.kind = EV_CALL, .call = make_anew, .arg = container},
                 300000 + sim_random(3000000));
    }
}

static void make_anew(int container)
{
    struct sim_client *c = &sim.clients[sim_random(SIM_CLIENTS)];

    if (sim.quiet || sim.dead_us[container] != 0) {
        plan.anew[container].due = false;
        return;
    }
    if (c->client == NULL || c->creates != 0 || c->stalled_until_us > sim.now_us) {
        make_anew_later(container);
        return;
    }
    c->created = container;
    ask(c, "create", container, &c->creates);
}

/* The new token's first guest, at any host. */
static void start(int container, const struct rt_slice *token)
{
    int host = sim_other_host((int)sim_random((uint64_t)sim.n_agents)), line, guest;
    struct rt_ticket ticket;

    if (rt_ticket_decode(token->data, token->size, &ticket) != 0 || !ticket.join ||
        !rt_key_equal(&ticket.key, sim_key_of(container)) || ticket.life <= sim.base[container]) {
        sim_fail("container %d is made anew with a token that is not its own, or may start what it could before",
                 container);
    }
    sim.base[container] = ticket.life;
    sim.dead_us[container] = 0;
    line = sim_new_line(container, -1, NULL);
    guest = line < 0 ? -1 : sim_new_guest(container, host, line);
    if (guest < 0) {
        return; /* no room: as a container that nobody starts */
    }
    sim_log("container %d is made anew, and started as guest %d on host %d", container, guest, host);
    sim_guest_pump(guest);
}

static void made_anew(int container, int error, const struct rt_reply_msg *reply)
{
    if (error == 0 && reply->c == RT_CLASS_OK) {
        plan.anew[container].due = false;
        start(container, &reply->tok);
    } else if (sim_store_record(container)->state != RT_SESSION_CREATED) {
        make_anew_later(container); /* else it was made, and its token is lost */
    }
}

bool sim_operator_reply(struct sim_client *c, uint64_t request, int error, const struct rt_reply_msg *reply)
{
    if (c == &sim.clients[SIM_OPERATOR]) {
        c->asked = 0;
        return true;
    }
    if (request != c->creates) {
        return false;
    }
    c->creates = 0;
    if (plan.anew[c->created].due) {
        made_anew(c->created, error, reply);
    }
    return true;
}

static void act(int arg)
{
    struct sim_client *c = &sim.clients[SIM_OPERATOR];
    int guest = sim_any_guest();
    const struct sim_guest *g = &sim.guests[guest < 0 ? 0 : guest];
    bool revoke = sim_chance(30) && plan.revokes < REVOKES_PER_RUN && sim.stats.moves >= MOVES_BEFORE;

    (void)arg;
    if (sim.quiet) {
        return;
    }
    if (guest >= 0 && c->asked == 0 && revoke && sim_draws(FAULT_REVOKE) && !g->exited) {
        plan.revokes++;
        sim.forked[g->container] = true;
        sim_log("fault: container %d is to be revoked", g->container);
        ask(c, "revoke", g->container, &c->asked);
        plan.anew[g->container].due = sim_chance(80);
        plan.anew[g->container].tries = 0;
        if (plan.anew[g->container].due) {
            make_anew_later(g->container);
        }
    } else if (guest >= 0 && c->asked == 0 && !revoke && sim_draws(FAULT_KICK)) {
        sim_log("fault: guest %d is to be kicked", guest);
        ask(c, "kick", g->container, &c->asked);
    }
    sim_post((struct sim_event){.kind = EV_CALL, .call = act}, sim_random(EVERY_US));
}

void sim_start_operator(void)
{
    memset(&plan, 0, sizeof(plan));
    sim_new_client(SIM_OPERATOR);
    sim_post((struct sim_event){.kind = EV_CALL, .call = act}, sim_random(EVERY_US));
}
