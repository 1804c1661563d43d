/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_ASK_H
#define RETETHER_BROKER_CORE_ASK_H

#include "broker/core/machine.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/base/list.h"
#include "session/base/slice.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stdint.h>

/* A REQUEST on its way from its first operation on the store to its last REPLY: what all of them share. */

struct ag_link;
struct ag_list;
struct ag_session;
struct rt_record_msg;
struct rt_reply_msg;

enum ag_what {
    ASK_CREATE,
    ASK_REMOVE,
    ASK_SHOW,
    ASK_LIST,
    ASK_HOSTS,
    ASK_TAILS,
    ASK_KICK,
    ASK_REVOKE,
    ASK_DRAIN,
    ASK_LIMITS,
    ASK_STORE,
    ASK_KINDS
};

struct ag_ask { /* a REQUEST without its answer */
    struct rt_list in_link;
    struct rt_list in_session; /* show: of what it waits for; drain: agent.drain_asks; list: agent.locals */
    struct rt_timer timer;
    struct ag_fact fact; /* the store could not be asked */
    struct ag_link *link;
    struct ag_session *session; /* show with wait: told when somebody serves it */
    uint64_t request;
    uint32_t op;
    uint8_t what;  /* enum ag_what */
    uint8_t drain; /* enum rt_drain */
    bool prefix, parked, expired;
    bool counts;  /* create: as one session of its link's tenant, until it is answered */
    bool awaited; /* show: the take of what is served here has been waited for */
    bool listed;  /* list, show: as one of its tenant's searches, from its first FIND on */
    bool waits;   /* show: as one of its tenant's that wait, from the first time on */
    bool local;   /* list: of what this agent can tell without the store */
    struct rt_key key;
    char host[RT_HOST_MAX + 1];
    char vm[RT_VM_MAX + 1]; /* create: to which the token is bound, or "" */
    struct rt_store_cursor cursor;
    uint32_t room; /* bytes of its link's `replies` */
    /* of a search for one record by prefix or across tenants; of a local list found[0] is the last one looked at */
    uint32_t n_found;
    struct rt_key found[5];
    struct rt_store_record *record; /* owned */
    struct ag_list *list;           /* owned; of list */
};

/* What a list is to have, and how far it is. */
struct ag_list {
    uint64_t states, older, page; /* of the REQUEST */
    char label[RT_LABEL_MAX + 1]; /* that a record's has in it */
    uint64_t told;                /* records */
    uint64_t until;               /* a list in pages ends then with what it has */
};

void rt_ag_request_refuse(struct rt_agent *agent, struct ag_link *link, uint64_t request, enum rt_class cls,
                          const char *text);
void rt_ag_ask_free(struct rt_agent *agent, struct ag_ask *ask);
/* Who has asked, for the log. */
void rt_ag_by_whom(const struct ag_ask *ask, char reason[RT_TEXT_MAX]);
/* Starts the ask's next store operation; when there is none, that is a fact. A FIND of a tenant that has too many ends
 * the ask. */
void rt_ag_ask_store(struct rt_agent *agent, struct ag_ask *ask, struct rt_store_op *op);
void rt_ag_ask_send(struct rt_agent *agent, struct ag_link *link, uint64_t request, const struct rt_reply_msg *reply);
/* The ask is over, with an error. */
void rt_ag_ask_finish(struct rt_agent *agent, struct ag_ask *ask, enum rt_class cls, const char *text);
void rt_ag_ask_fail(struct rt_agent *agent, struct ag_ask *ask, int error);
/* The same; but NOT_FOUND is not said by a store that is not whole, and so may only have lost the record, nor by one
 * that may not be the primary (doubtful). */
void rt_ag_ask_missing(struct rt_agent *agent, struct ag_ask *ask, int error, bool doubtful);
/* Asks for its next page: behind ask->cursor, or of hosts behind ask->host. */
void rt_ag_ask_page(struct rt_agent *agent, struct ag_ask *ask);
/* The same, once its link can take the answer. */
void rt_ag_ask_more(struct rt_agent *agent, struct ag_ask *ask);
/* "tenant/cid" or "cid" as the peer named it. RT_EINVAL; qualified false: an operator's plain name. */
int rt_ag_key(const struct ag_link *link, struct rt_slice name, struct rt_key *key, bool *qualified);

/* record.c: fills `out` from the store's record, and from what this agent knows better because it serves the session.
 * `out` points into the record. */
/* As this client is told it. out is one of the records of agent->reply. */
void rt_ag_fill_record(struct rt_agent *agent, const struct ag_link *link, const struct rt_store_record *in,
                       struct rt_record_msg *out);
/* Whether a list is to have it. */
bool rt_ag_record_fits(const struct rt_agent *agent, const struct ag_list *list, const struct rt_record_msg *record);
/* What this agent can tell of a session without the store, as it serves it or has its end. False: nothing. */
bool rt_ag_own_record(struct rt_agent *agent, const struct rt_key *key, struct rt_store_record *record);

#endif
