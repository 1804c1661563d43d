/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/session.h"

#include "broker/core/agent.h"
#include "broker/core/end.h"
#include "broker/core/limits.h"
#include "broker/core/link.h"
#include "broker/core/machine.h"
#include "broker/core/served.h"
#include "broker/core/store.h"
#include "migrate/core/claim.h"
#include "migrate/core/store_op.h"
#include "session/base/error.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/digest.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"

#include <stdlib.h>
#include <string.h>

/* An entry of what this agent remembers of a session: the guest that serves it here, or else the newest claim that was
 * heard of; and who waits for it. It is forgotten when nothing holds it and what it knows is a lease old. It must not
 * speak for longer, as it may be wrong: a store that rolled back has let the session go another way.
 *
 * A guest moves from host A to host B. The entry at A, in milliseconds; 7/4 is life 7, epoch 4:
 *
 *          0   the guest's link is lost: moving, written under 7/4; lost_at = 2000
 *        300   news: B has claimed 7/5. Nothing more is written; who waits here is told MOVED to B
 *      30300   nobody asked since: forgotten
 *
 * Nobody takes the guest up:
 *
 *          0   moving, written under 7/4; lost_at = 2000
 *       2000   lost, written under 7/4: from now on the lease of a second start runs
 *      30000   forgotten; the record stays
 *
 * The guest's link is lost while its take is under way, so the record names A at 7/4 while nobody serves it there, an
 * *orphan*:
 *
 *          0   the take's answer comes: lost_at = 2000
 *        300   news: B has claimed 7/5. If B did so before the store lost that record, the record says 7/4, A: lost is
 *              written under 7/4, as nobody else would. If B did so just now, the store refuses that */

static unsigned key_hash(const struct rt_agent *agent, const struct rt_key *key)
{
    uint64_t seed = agent->config.seed ^ XXH64(key->tenant, strlen(key->tenant), agent->config.seed);

    return (unsigned)XXH64(key->cid, strlen(key->cid), seed);
}

struct rt_key rt_ag_session_key(const struct ag_session *session)
{
    return rt_ag_key_of(session->name);
}

struct ag_session *rt_ag_session_find(struct rt_agent *agent, const struct rt_key *key)
{
    struct ag_session *session;
    char name[sizeof(struct rt_key)];
    size_t size = rt_ag_key_name(key, name);

    HASH_FIND_BYHASHVALUE(hh, agent->sessions, name, size, key_hash(agent, key), session);
    return session;
}

/* Makes room for one more among `most`: the entry that was not used for longest is forgotten. False: all are in use. */
static bool make_room(struct rt_agent *agent, uint32_t most)
{
    struct rt_list *oldest = agent->n_sessions < most ? NULL : rt_list_pop(&agent->idle);
    struct ag_session *session;

    if (oldest != NULL) {
        session = RT_LIST_OF(oldest, struct ag_session, fact.node);
        session->known_at = 0;
        rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    }
    return agent->n_sessions < most || oldest != NULL;
}

static struct ag_session *find_or_make(struct rt_agent *agent, const struct rt_key *key, uint32_t most)
{
    struct ag_session *session = rt_ag_session_find(agent, key);
    char name[sizeof(struct rt_key)];
    size_t size = rt_ag_key_name(key, name);

    if (session != NULL || !make_room(agent, most)) {
        return session;
    }
    session = calloc(1, sizeof(*session) + size);
    if (session == NULL) {
        return NULL;
    }
    memcpy(session->name, name, size);
    session->host = "";
    session->timer.kind = AG_TIMER_SESSION;
    session->fact.of = AG_OF_SESSION;
    rt_list_init(&session->held);
    rt_list_init(&session->asks);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, agent->sessions, session->name, size, key_hash(agent, key), session);
    if (session->hh.tbl == NULL) {
        free(session);
        return NULL;
    }
    agent->n_sessions++;
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED); /* forgotten, unless its maker holds it by then */
    return session;
}

struct ag_session *rt_ag_session_get(struct rt_agent *agent, const struct rt_key *key)
{
    return find_or_make(agent, key, RT_AGENT_SESSIONS_MAX);
}

struct ag_session *rt_ag_session_await(struct rt_agent *agent, const struct rt_key *key)
{
    return find_or_make(agent, key, RT_AGENT_SESSIONS_MAX - AG_SESSIONS_RESERVED);
}

void rt_ag_session_free(struct rt_agent *agent, struct ag_session *session)
{
    HASH_DELETE(hh, agent->sessions, session);
    agent->n_sessions--;
    rt_list_remove(&session->fact.node);
    rt_list_remove(&session->retake);
    rt_timer_clear(&agent->timers, &session->timer);
    free(session->rule);
    free(session->report);
    free(session->past);
    free(session->abroad);
    free(session);
}

void rt_ag_session_fact(struct rt_agent *agent, struct ag_session *session, unsigned what)
{
    if (session->fact.what == 0) {
        rt_list_remove(&session->fact.node); /* of agent.idle: it is not forgotten before this is carried out */
    }
    ag_fact(agent, &session->fact, what);
}

uint32_t rt_ag_session_store(struct rt_agent *agent, struct ag_session *session, struct rt_store_op *op,
                             struct ag_op *about)
{
    uint32_t id;

    about->session = session;
    id = rt_ag_store(agent, op, about);
    session->n_ops += id != 0;
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    return id;
}

const struct ag_end *rt_ag_session_kept(const struct rt_agent *agent, const struct ag_session *session, uint64_t life)
{
    struct rt_key key = rt_ag_session_key(session);

    return rt_ag_kept(agent, &key, life);
}

bool rt_ag_session_known(const struct rt_agent *agent, const struct ag_session *session)
{
    return session->guest != NULL || (session->known_at != 0 && agent->now - session->known_at < RT_LEASE_MS);
}

static void earliest(uint64_t *at, uint64_t deadline)
{
    if (deadline != 0 && deadline < *at) {
        *at = deadline;
    }
}

void rt_ag_session_settle(struct rt_agent *agent, struct ag_session *session)
{
    bool used = session->guest != NULL || session->n_ops > 0 || !rt_list_empty(&session->held) ||
                !rt_list_empty(&session->asks) || session->lost_at != 0 || session->write_at != 0;
    uint64_t at = RT_NEVER;

    if (session->fact.what != 0) {
        return; /* more has happened meanwhile: settled with that */
    }
    earliest(&at, session->lost_at);
    earliest(&at, session->take_at);
    earliest(&at, session->report_at);
    earliest(&at, session->audit_at);
    earliest(&at, session->write_at);
    if (!used && !rt_ag_session_known(agent, session)) {
        rt_ag_session_free(agent, session);
        return;
    }
    if (!used) {
        rt_list_push(&agent->idle, &session->fact.node);
        earliest(&at, session->known_at + RT_LEASE_MS);
    }
    if (at == RT_NEVER) {
        rt_timer_clear(&agent->timers, &session->timer);
    } else {
        rt_timer_set(&agent->timers, &session->timer, at);
    }
}

void rt_ag_session_heard(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                         const char *host)
{
    uint64_t was_life = session->life, was_epoch = session->epoch;

    /* A record that names this host is this agent's own word: no news. */
    if (strcmp(host, agent->config.host) == 0) {
        return;
    }
    if (rt_ag_session_note(agent, session, life, epoch, host)) {
        bool orphan = session->orphan && session->lost_at != 0;

        agent->stats.moves++;
        session->lost_at = session->write_at = 0;
        if (orphan) {
            /* These news may come late, from before the store lost the record: then the record names this host, and
             * nobody else would ever write it lost. If they do not, the store refuses the write. */
            rt_ag_session_write_state(agent, session, RT_SESSION_LOST, was_life, was_epoch);
        }
        rt_ag_session_fact(agent, session, AG_SESSION_HEARD | AG_SESSION_MOVED | AG_SESSION_KNOWN);
    }
}

bool rt_ag_session_note(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                        const char *host)
{
    bool known = rt_ag_session_known(agent, session);
    char *abroad = NULL;

    if (known && ag_newer(session->life, session->epoch, life, epoch)) {
        return false;
    }
    if (life == session->life && epoch == session->epoch && strcmp(host, session->host) == 0) {
        session->known_at = agent->now;
        return !known;
    }
    /* Another host claims the very life and epoch that are served here: two copies were given one life. The store has
     * decided between them, and its word counts; but not before it has answered the take of the copy that is here. */
    if (session->guest != NULL && !session->claimed && life == session->life && epoch == session->epoch) {
        return false;
    }
    if (strcmp(host, agent->config.host) != 0) {
        abroad = strdup(host);
        if (abroad == NULL) {
            return false; /* without memory: as if it had not been heard */
        }
    }
    free(session->abroad);
    session->abroad = abroad;
    session->host = abroad == NULL ? agent->config.host : abroad;
    session->life = life;
    session->epoch = epoch;
    session->known_at = agent->now;
    free(session->rule);
    session->rule = NULL;
    session->taken = false;
    return true;
}

void rt_ag_session_event(struct rt_agent *agent, enum rt_agent_event_kind kind, const struct ag_session *session,
                         const struct ag_link *link, const char *from, const char *to, const char *reason)
{
    struct rt_agent_event event = {.kind = kind,
                                   .link = link == NULL ? 0 : link->id,
                                   .key = rt_ag_session_key(session),
                                   .life = session->life,
                                   .epoch = session->epoch};

    rt_ag_event(agent, &event, from, to, reason);
}

static const char *const state_texts[] = {"none", "created", "running", "moving", "lost", "ended"};

void rt_ag_session_state(struct rt_agent *agent, struct ag_session *session, enum rt_session_state state,
                         const char *reason)
{
    if (session->state != (uint8_t)state) {
        rt_ag_session_event(agent, RT_AGENT_SESSION_STATE, session, session->guest, state_texts[session->state],
                            state_texts[state], reason);
        session->state = (uint8_t)state;
    }
}

static void note_unwritten(struct ag_session *session, enum rt_session_state state, uint64_t life, uint64_t epoch,
                           uint64_t write_at)
{
    session->unwritten = (uint8_t)state;
    session->unwritten_life = life;
    session->unwritten_epoch = epoch;
    session->write_at = write_at;
}

void rt_ag_session_write_state(struct rt_agent *agent, struct ag_session *session, enum rt_session_state state,
                               uint64_t life, uint64_t epoch)
{
    struct rt_store_op op = {
        .kind = RT_STORE_STATE, .key = rt_ag_session_key(session), .state = state, .life = life, .epoch = epoch};
    struct ag_op about = {.to = AG_FOR_STATE, .state = (uint8_t)state, .life = life, .epoch = epoch};

    note_unwritten(session, state, life, epoch, 0);
    if (rt_ag_session_store(agent, session, &op, &about) == 0) {
        session->write_at = agent->now + AG_STORE_RETRY_MS;
    }
}

struct rt_slice rt_ag_session_past(const struct ag_session *session)
{
    return session == NULL ? (struct rt_slice){NULL, 0} : (struct rt_slice){session->past, session->past_size};
}

void rt_ag_session_past_note(struct rt_agent *agent, const struct rt_key *key, struct rt_slice past)
{
    struct ag_session *session = rt_ag_session_find(agent, key);
    uint8_t *copy;

    if (session == NULL || past.size == 0 || past.size > RT_PAST_MAX) {
        return;
    }
    copy = session->past;
    if (past.size != session->past_size) {
        copy = malloc(past.size);
        if (copy == NULL) {
            return; /* the older past is better than none */
        }
        free(session->past);
    }
    memcpy(copy, past.data, past.size);
    session->past = copy;
    session->past_size = (uint16_t)past.size;
}

void rt_ag_session_part(struct rt_agent *agent, struct ag_session *session)
{
    struct ag_link *link = session->guest;

    rt_ag_served_remove(agent, session);
    rt_ag_tenant(agent, session->name)->has[RT_LIMIT_TENANT_SESSIONS]--;
    agent->stats.provisional -= !session->claimed;
    session->claimed = false;
    session->guest = NULL;
    session->take_at = session->report_at = session->audit_at = 0;
    rt_list_remove(&session->retake);
    link->session = NULL;
    link->name = NULL;
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
}

void rt_ag_session_guest_gone(struct rt_agent *agent, struct ag_session *session)
{
    if (session->rule != NULL && session->state != RT_SESSION_ENDED && session->report_dirty) {
        rt_ag_session_write_report(agent, session);
    }
    rt_ag_session_part(agent, session);
    session->known_at = session->gone_at = agent->now;
    if (rt_ag_session_kept(agent, session, session->life) != NULL) {
        rt_ag_session_state(agent, session, RT_SESSION_ENDED, "its end is on this host's disk");
    }
    /* Without a rule another host has claimed the session, and tells of it. What has ended stays ended. Where no take
     * was answered, one may have had its effect all the same: moving is written, and the store refuses that if not. */
    if (session->rule != NULL && session->state != RT_SESSION_ENDED) {
        rt_ag_session_state(agent, session, RT_SESSION_MOVING, "the guest is gone");
        if (agent->stopping) {
            rt_ag_session_write_state(agent, session, RT_SESSION_MOVING, session->life, session->epoch);
        } else {
            note_unwritten(session, RT_SESSION_MOVING, session->life, session->epoch, agent->now + RT_MOVING_AFTER_MS);
        }
        session->lost_at = agent->now + RT_LOST_AFTER_MS;
        session->orphan = false;
    }
}

void rt_ag_session_orphan(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch)
{
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    if (session->guest != NULL || rt_ag_session_kept(agent, session, life) != NULL) {
        return; /* served here, or ended: not lost */
    }
    (void)rt_ag_session_note(agent, session, life, epoch, agent->config.host);
    if (session->life != life || session->epoch != epoch) {
        /* A newer claim is known, so the store has fallen back. Whoever serves under that claim takes the record again,
         * which heals it. If nobody does, nobody else would ever write it lost. */
        rt_ag_session_write_state(agent, session, RT_SESSION_LOST, life, epoch);
    } else {
        session->orphan = true;
        if (session->lost_at == 0) {
            session->lost_at = agent->now + RT_LOST_AFTER_MS;
        }
    }
}

void rt_ag_session_write_report(struct rt_agent *agent, struct ag_session *session)
{
    struct rt_store_op op = {.kind = RT_STORE_REPORT, .key = rt_ag_session_key(session)};
    struct ag_op about = {.to = AG_FOR_REPORT};

    session->report_at = 0;
    if (!session->claimed) {
        return; /* the store refuses it before the take: claimed() writes it then */
    }
    op.life = about.life = session->life;
    op.epoch = about.epoch = session->epoch;
    op.report.data = session->report;
    op.report.size = session->report_size;
    session->report_dirty = false;
    session->report_next = agent->now + AG_REPORT_INTERVAL_MS;
    if (rt_ag_session_store(agent, session, &op, &about) == 0) {
        session->report_dirty = true;
        session->report_at = session->report_next;
    }
}

void rt_ag_session_report_again(struct rt_agent *agent, struct ag_session *session)
{
    if (session->guest != NULL && session->report_size > 0 && session->report_at == 0) {
        session->report_dirty = true;
        session->report_at = agent->now + AG_REPORT_INTERVAL_MS;
        rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
    }
}

void rt_ag_session_report(struct rt_agent *agent, struct ag_session *session, const uint8_t *data, size_t size)
{
    uint8_t small[RT_REPORT_MAX], *copy;

    size = rt_ag_report_shorten(agent, data, size, small);
    if (size == 0 || (size == session->report_size && memcmp(small, session->report, size) == 0)) {
        return;
    }
    copy = size == session->report_size ? session->report : realloc(session->report, size);
    if (copy == NULL) {
        return; /* without memory: the guest reports again within a second of its next change */
    }
    memcpy(copy, small, size);
    session->report = copy;
    session->report_size = (uint16_t)size;
    session->report_dirty = true;
    if (agent->now >= session->report_next) {
        rt_ag_session_write_report(agent, session);
    } else if (session->report_at == 0) {
        session->report_at = session->report_next;
    }
    rt_ag_session_fact(agent, session, AG_SESSION_CHANGED);
}

static char *bound_to(const struct ag_rule *rule)
{
    return (char *)(rule->ancestors + rule->n_ancestors);
}

struct ag_rule *rt_ag_rule_new(const struct rt_claim *claim, const struct rt_claim_outcome *outcome)
{
    struct rt_record record;
    struct ag_rule *rule;
    size_t text;

    memset(&record, 0, sizeof(record));
    rt_claim_apply(&record, claim, outcome);
    text = strlen(record.bound_to) + 1;
    rule = malloc(sizeof(*rule) + record.n_ancestors * sizeof(rule->ancestors[0]) + text);
    if (rule != NULL) {
        rule->inc = record.inc;
        rule->ticket = record.ticket;
        rule->nonce = record.nonce;
        rule->n_ancestors = (uint8_t)record.n_ancestors;
        rule->ended = record.state == RT_SESSION_ENDED;
        memcpy(rule->ancestors, record.ancestors, record.n_ancestors * sizeof(rule->ancestors[0]));
        memcpy(bound_to(rule), record.bound_to, text);
    }
    return rule;
}

void rt_ag_session_rule(const struct ag_session *session, struct rt_record *record)
{
    const struct ag_rule *rule = session->rule;

    memset(record, 0, sizeof(*record));
    record->exists = true;
    record->state = rule->ended ? RT_SESSION_ENDED : RT_SESSION_RUNNING;
    record->life = session->life;
    record->epoch = session->epoch;
    record->inc = rule->inc;
    record->ticket = rule->ticket;
    record->nonce = rule->nonce;
    record->n_ancestors = rule->n_ancestors;
    memcpy(record->ancestors, rule->ancestors, rule->n_ancestors * sizeof(rule->ancestors[0]));
    rt_slice_copy(rt_slice_text(session->host), record->host, sizeof(record->host));
    rt_slice_copy(rt_slice_text(bound_to(rule)), record->bound_to, sizeof(record->bound_to));
}

/* A claim of what is served already, for a store that may have lost it. The guest's ticket proves it, also where the
 * guest began with a join token. A store that has the record finds the claim repeated, and changes nothing. */
void rt_ag_claim_again(const struct rt_agent *agent, const struct ag_session *session, struct rt_claim *claim)
{
    struct rt_record record;

    rt_ag_session_rule(session, &record);
    memset(claim, 0, sizeof(*claim));
    claim->key = rt_ag_session_key(session);
    claim->inc = record.inc;
    claim->life = record.life;
    claim->epoch = record.epoch;
    claim->nonce = record.nonce;
    claim->ticket = record.ticket;
    claim->next = record.ticket;
    claim->n_ancestors = record.n_ancestors;
    memcpy(claim->ancestors, record.ancestors, sizeof(claim->ancestors));
    memcpy(claim->host, record.host, sizeof(claim->host));
    memcpy(claim->proof, record.bound_to, sizeof(claim->proof));
    claim->taken = session->taken;
    claim->store_whole = rt_ag_whole(agent);
}
