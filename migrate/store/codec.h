/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_CODEC_H
#define RETETHER_MIGRATE_STORE_CODEC_H

#include "migrate/core/store_op.h"
#include "migrate/store/args.h"

#include <hiredis/hiredis.h>

/* Operations as Redis commands, and replies back as plain data. Pure. What the store says is checked like any peer's
 * word: RT_EPROTO when it is not what our functions write. */

/* "rt:{" tenant "/" cid "}:r" */
#define RT_STORE_KEY_MAX (RT_TENANT_MAX + RT_CID_MAX + 10)
/* An id in hex */
#define RT_STORE_ID_HEX ((size_t)32)
/* "rt:{host/" host "}:" and five letters at most */
#define RT_STORE_HOST_KEY_MAX (RT_HOST_MAX + 17)
#define RT_STORE_MEMBER_MAX (RT_TENANT_MAX + RT_CID_MAX + 2)
#define RT_STORE_LIBRARY "retether_" /* and a version: functions.lua */
#define RT_STORE_CHANNEL "rt:claimed"
#define RT_STORE_HOSTS_CHANNEL "rt:hosts"
#define RT_STORE_REGISTRY "rt:{reg}:rows"
#define RT_STORE_NAMES "rt:{reg}:names"
#define RT_STORE_BIRTH "rt:{reg}:birth"
/* What a function that writes under a claim answers first: it has written; there is no record; the record is at another
 * claim; this life has ended in another way. */
enum rt_store_written { RT_STORE_WRITTEN, RT_STORE_NO_RECORD, RT_STORE_OTHER_CLAIM, RT_STORE_OTHER_END };
/* A registry row: text lines. Of a longer one only the heartbeat is read. */
#define RT_STORE_ROW_MAX 1024
/* Beside a host's row there is a field "HOST drains" while it drains. No host's name has a space. */
#define RT_STORE_DRAINS " drains"

/* A command with the room for its numbers, hex ids and names. */
struct rt_store_args {
    struct rt_redis_args redis;
    size_t used;
    char scratch[2048];
};

/* The command of every kind but FIND. host: our own. Returns 0 or RT_EINVAL (a bound of the operation is broken). */
RT_MUST_CHECK int rt_store_encode(const struct rt_store_op *op, const char *host, struct rt_store_args *args);

/* Keys. What stands between { and } is all that a cluster places a key by: a session's keys are on one server, so are a
 * host's, and those of the registry. A function is given keys of one of them only. A host's name may begin with }, and
 * nothing between the two would be no tag: so there is always something before it. */
void rt_store_key(const struct rt_key *key, char part, char out[RT_STORE_KEY_MAX]);
/* part: "set", "tails", "sizes" */
void rt_store_host_key(const char *host, const char *part, char out[RT_STORE_HOST_KEY_MAX]);
void rt_store_member(const struct rt_key *key, char out[RT_STORE_MEMBER_MAX]);
RT_MUST_CHECK int rt_store_parse_member(const char *text, size_t size, struct rt_key *key);

/* The i-th element of an array reply that is of that type, or NULL. */
const redisReply *rt_store_element(const redisReply *reply, size_t i, int type);
/* The i-th element of an array reply that is a number below RT_COUNTER_MAX; else RT_EPROTO. */
RT_MUST_CHECK int rt_store_integer(const redisReply *reply, size_t i, uint64_t *value);

/* Replies. `set` is the host in whose set the session is listed, or "". */
RT_MUST_CHECK int rt_store_parse_outcome(const redisReply *reply, struct rt_claim_outcome *outcome,
                                         char set[RT_HOST_MAX + 1]);
/* The past that such a reply ends with, at most RT_PAST_MAX bytes; points into the reply. */
RT_MUST_CHECK int rt_store_parse_past(const redisReply *reply, struct rt_slice *past);
RT_MUST_CHECK int rt_store_parse_created(const redisReply *reply, struct rt_claim_outcome *outcome);
/* STATE, REPORT, END: *error is 0, or RT_ENOTFOUND when it was not written; the verdict says why. */
RT_MUST_CHECK int rt_store_parse_written(const redisReply *reply, struct rt_claim_outcome *outcome, int *error);
/* HGETALL. 1 and the record, or 0 when there is none. */
RT_MUST_CHECK int rt_store_parse_record(const redisReply *reply, const struct rt_key *key,
                                        struct rt_store_record *record, char set[RT_HOST_MAX + 1]);
/* 0; RT_ENOTFOUND when it has neither ended nor been lost for its lease. Tails point into the reply. */
RT_MUST_CHECK int rt_store_parse_tails(const redisReply *reply, struct rt_store_reply *out);

/* A host's row as the registry has it; its age by now_ms, 0 when that is not known. RT_EPROTO: no version that we know
 * has written it. The host is there all the same: *row has its name, and its heartbeat (where that cannot be read, what
 * tells a changed row from one that stands still), and nothing else; without a name *row says nothing. */
RT_MUST_CHECK int rt_store_parse_row(const char *host, size_t host_size, const char *text, size_t size, uint64_t now_ms,
                                     struct rt_store_host *row);
/* Takes the addresses out of a row that mean nothing on this machine, as they are another's unix sockets or loopback.
 */
void rt_store_reachable(const char *machine, struct rt_store_host *row);
/* Whether a row's host drains, by what stands in the field beside it (RT_STORE_DRAINS): the instance that has
 * said so. */
bool rt_store_drains(const char *text, size_t size, const struct rt_store_host *row);
/* The part of a row that the agent writes: sessions, version, machine, addresses. Returns its size. */
size_t rt_store_format_row(const struct rt_store_host *host, char out[RT_STORE_ROW_MAX]);
/* A message on RT_STORE_HOSTS_CHANNEL: the host's name, then its row. */
RT_MUST_CHECK int rt_store_parse_host(const char *text, size_t size, struct rt_store_news *news);
/* A message on RT_STORE_CHANNEL; life 0 and host "": the record was made where there was none. */
RT_MUST_CHECK int rt_store_parse_claimed(const char *text, size_t size, struct rt_store_news *news);

RT_MUST_CHECK int rt_store_parse_id(const char *hex, size_t size, struct rt_id *id);
void rt_store_format_id(const struct rt_id *id, char out[RT_STORE_ID_HEX + 1]);

/* Whether a text is fit to be a host's name or a version here: printable ASCII without spaces, not empty, <= max. */
bool rt_store_word(const char *text, size_t max);

#endif
