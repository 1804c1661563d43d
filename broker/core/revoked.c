/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/revoked.h"

#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "broker/core/store.h"
#include "migrate/core/store_op.h"
#include "session/base/timer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A container is revoked at life 7 while host A serves it:
 *
 *     an operator, through host B    the store notes that no life up to 12 is served, 12 being its time, and tells all
 *     A hears of it                  the guest's link is closed, who is attached is told DENIED
 *     the guest dials B              its ticket is of life 7: BAD_AUTH, whether the store answers or not
 *     its VM starts anew             its join token may start life 1 and above: BAD_AUTH
 *     create, by its tenant          the new token may start life 14 and above: served
 *     the store comes back empty     A and B both tell it 12
 *     the store is out, B starts     B has 12 on its disk: BAD_AUTH for the ticket of life 7
 */

static struct ag_revoked *find(struct rt_agent *agent, const struct rt_key *key)
{
    struct ag_revoked *revoked;
    char name[sizeof(*key)];
    size_t size = rt_ag_key_name(key, name);

    HASH_FIND(hh, agent->revoked, name, size, revoked);
    return revoked;
}

/* Some time from now, if the disk is not asked before. */
static void disk_later(struct rt_agent *agent)
{
    rt_timer_set(&agent->timers, &agent->revoked_timer, agent->now + AG_REVOKED_DISK_MS);
}

/* Has the disk keep what it has not got. */
static void disk_pump(struct rt_agent *agent)
{
    uint32_t most = agent->revoked_fails ? 1 : AG_REVOKED_WRITING_MAX;
    struct rt_list *node;

    while (agent->revoked_writing < most && (node = rt_list_pop(&agent->revoked_unkept)) != NULL) {
        struct ag_revoked *revoked = RT_LIST_OF(node, struct ag_revoked, unkept);
        const struct rt_key key = rt_ag_key_of(revoked->name);

        if (agent->config.io.keep_revoked(agent->config.io.ctx, &key, revoked->life) != 0) {
            rt_list_push(&agent->revoked_unkept, node);
            disk_later(agent);
            return;
        }
        revoked->writing = true;
        agent->revoked_writing++;
    }
}

static void disk_drop(struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    agent->config.io.drop_revoked(agent->config.io.ctx, key, life);
}

/* There is a file of this life: of a container the newest one stays, and none of one that was forgotten meanwhile. */
static void on_disk(struct rt_agent *agent, struct ag_revoked *revoked, const struct rt_key *key, uint64_t life)
{
    uint64_t kept = revoked == NULL ? 0 : revoked->kept;

    if (revoked == NULL || life < kept) {
        disk_drop(agent, key, life);
    } else if (life > kept) {
        revoked->kept = life;
        if (kept != 0) {
            disk_drop(agent, key, kept);
        }
    }
}

static void forget_oldest(struct rt_agent *agent)
{
    struct ag_revoked *revoked = agent->revoked;
    const struct rt_key key = rt_ag_key_of(revoked->name);

    assert(revoked->hh.prev == NULL);
    if (revoked->kept != 0) {
        disk_drop(agent, &key, revoked->kept);
    }
    HASH_DELETE(hh, agent->revoked, revoked);
    rt_list_remove(&revoked->again);
    rt_list_remove(&revoked->unkept);
    free(revoked);
}

/* NULL: no memory. */
static struct ag_revoked *make(struct rt_agent *agent, const struct rt_key *key)
{
    char name[sizeof(*key)];
    size_t size = rt_ag_key_name(key, name);
    struct ag_revoked *revoked = calloc(1, sizeof(*revoked) + size);

    if (revoked == NULL) {
        return NULL;
    }
    if (HASH_COUNT(agent->revoked) >= RT_AGENT_REVOKED_MAX) {
        forget_oldest(agent);
    }
    memcpy(revoked->name, name, size);
    HASH_ADD_KEYPTR(hh, agent->revoked, revoked->name, size, revoked);
    if (revoked->hh.tbl == NULL) {
        free(revoked);
        return NULL;
    }
    return revoked;
}

uint64_t rt_ag_revoked(struct rt_agent *agent, const struct rt_key *key)
{
    const struct ag_revoked *revoked = find(agent, key);

    return revoked == NULL ? 0 : revoked->life;
}

bool rt_ag_is_revoked(struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    const struct ag_revoked *revoked = find(agent, key);

    return revoked != NULL && life <= revoked->life;
}

bool rt_ag_session_revoked(struct rt_agent *agent, const struct ag_session *session)
{
    const struct rt_key key = rt_ag_session_key(session);

    return rt_ag_is_revoked(agent, &key, session->life);
}

/* What is known of it then; NULL: nothing, or there is no memory for it. */
static struct ag_revoked *learn(struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    struct ag_revoked *revoked = find(agent, key);
    struct ag_session *session;

    if (life <= (revoked == NULL ? 0 : revoked->life)) {
        return revoked;
    }
    if (revoked == NULL) {
        revoked = make(agent, key);
    }
    if (revoked == NULL) {
        return NULL; /* the next look at its record tells it again */
    }
    revoked->life = life;
    session = rt_ag_session_find(agent, key);
    if (session != NULL) {
        rt_ag_session_fact(agent, session, AG_SESSION_REVOKED);
    }
    return revoked;
}

/* Behind those that wait, unless the disk writes an older one at the moment: then when that has come to something. */
static void keep(struct rt_agent *agent, struct ag_revoked *revoked)
{
    if (revoked->kept < revoked->life && !revoked->writing) {
        rt_list_push(&agent->revoked_unkept, &revoked->unkept);
    }
}

void rt_ag_revoked_note(struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    struct ag_revoked *revoked = life == 0 ? NULL : learn(agent, key, life);

    if (revoked != NULL) {
        keep(agent, revoked);
        if (!agent->revoked_fails) { /* else with the timer */
            disk_pump(agent);
        }
    }
}

void rt_ag_revoked_kept(struct rt_agent *agent, const struct rt_key *key, uint64_t life)
{
    struct ag_revoked *revoked = life == 0 ? NULL : learn(agent, key, life);

    if (revoked != NULL) {
        on_disk(agent, revoked, key, life);
    }
}

void rt_ag_revoked_written(struct rt_agent *agent, const struct rt_key *key, uint64_t life, int error)
{
    struct ag_revoked *revoked = find(agent, key);

    agent->revoked_writing--;
    agent->revoked_fails = error != 0;
    if (error == 0) {
        on_disk(agent, revoked, key, life);
    }
    if (revoked != NULL) {
        revoked->writing = false;
        keep(agent, revoked);
    }
    if (error == 0) {
        disk_pump(agent);
    } else {
        disk_later(agent);
    }
}

void rt_ag_revoked_timer(struct rt_agent *agent)
{
    disk_pump(agent);
}

static void pump(struct rt_agent *agent)
{
    struct rt_list *node;

    while (agent->store_up && agent->revoked_flight < AG_REVOKED_FLIGHT_MAX &&
           (node = rt_list_pop(&agent->revoked_again)) != NULL) {
        struct ag_revoked *revoked = RT_LIST_OF(node, struct ag_revoked, again);
        struct rt_store_op op = {.kind = RT_STORE_REVOKE, .key = rt_ag_key_of(revoked->name), .life = revoked->life};
        struct ag_op about = {.to = AG_FOR_REVOKED, .key = op.key};

        if (rt_ag_store(agent, &op, &about) == 0) {
            rt_list_push(&agent->revoked_again, node); /* with the next heartbeat */
            return;
        }
        agent->revoked_flight++;
    }
}

void rt_ag_revoked_again(struct rt_agent *agent, bool fresh)
{
    struct ag_revoked *revoked, *next;

    if (fresh) {
        HASH_ITER(hh, agent->revoked, revoked, next)
        {
            if (!rt_listed(&revoked->again)) {
                rt_list_push(&agent->revoked_again, &revoked->again);
            }
        }
    }
    pump(agent);
}

void rt_ag_revoked_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply)
{
    struct ag_revoked *revoked = find(agent, &op->key);

    agent->revoked_flight--;
    if (reply->error == 0) {
        rt_ag_revoked_note(agent, &op->key, reply->outcome.life);
        pump(agent);
    } else if (revoked != NULL && !rt_listed(&revoked->again)) {
        rt_list_push(&agent->revoked_again, &revoked->again); /* with the next heartbeat */
    }
}

void rt_ag_revoked_free(struct rt_agent *agent)
{
    struct ag_revoked *revoked = agent->revoked;

    HASH_CLEAR(hh, agent->revoked); /* the table: each is freed below */
    rt_list_init(&agent->revoked_again);
    rt_list_init(&agent->revoked_unkept);
    while (revoked != NULL) {
        struct ag_revoked *next = revoked->hh.next;

        free(revoked);
        revoked = next;
    }
}
