/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/checks.h"

#include "migrate/store/info.h"
#include "migrate/store/rights.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTINELS_LEAST 3
#define REPLICAS_LEAST 2
#define VERSION_LEAST 7

static const char *const names[RT_CHECKS] = {
    [RT_CHECK_SERVER] = "server",
    [RT_CHECK_SENTINELS] = "sentinels",
    [RT_CHECK_VERSION] = "version",
    [RT_CHECK_FUNCTIONS] = "functions",
    [RT_CHECK_RIGHTS] = "rights",
    [RT_CHECK_MEMORY] = "maxmemory",
    [RT_CHECK_EVICTION] = "maxmemory-policy",
    [RT_CHECK_PERSISTENCE] = "persistence",
    [RT_CHECK_REPLICAS] = "replicas",
    [RT_CHECK_MIN_REPLICAS] = "min-replicas-to-write",
    [RT_CHECK_RECORDS] = "hash-max-listpack-value",
};

/* Facts. */

void rt_store_facts_init(struct rt_store_facts *facts)
{
    memset(facts, 0, sizeof(*facts));
    facts->memory_max = facts->connected = facts->min_replicas = facts->listpack = facts->own = facts->libraries =
        facts->tried = RT_FACT_UNKNOWN;
}

static void text_of(const char *info, const char *field, char *out, size_t cap)
{
    if (!rt_info_text(info, field, out, cap)) {
        out[0] = '\0';
    }
}

void rt_store_facts_info(struct rt_store_facts *facts, const char *info)
{
    text_of(info, "redis_version", facts->version, sizeof(facts->version));
    text_of(info, "maxmemory_policy", facts->policy, sizeof(facts->policy));
    text_of(info, "aof_enabled", facts->aof, sizeof(facts->aof));
    text_of(info, "aof_last_write_status", facts->aof_status, sizeof(facts->aof_status));
    facts->memory_max = rt_info_number(info, "maxmemory", RT_FACT_UNKNOWN);
    facts->connected = rt_info_number(info, "connected_slaves", RT_FACT_UNKNOWN);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    return text[0] < '0' || text[0] > '9' || *end != '\0' ? RT_FACT_UNKNOWN : value;
}

void rt_store_facts_setting(struct rt_store_facts *facts, const char *name, const char *value)
{
    if (strcmp(name, "min-replicas-to-write") == 0) {
        facts->min_replicas = number(value);
    } else if (strcmp(name, "hash-max-listpack-value") == 0) {
        facts->listpack = number(value);
    } else if (strcmp(name, "appendfsync") == 0) {
        snprintf(facts->fsync, sizeof(facts->fsync), "%s", value);
    }
}

/* Checks: each is told its value first, and then whether that is well. */

__attribute__((format(printf, 2, 3))) static void value(struct rt_store_check *check, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(check->value, sizeof(check->value), format, args);
    va_end(args);
    check->state = RT_CHECK_OK;
    check->risk = check->mend = "";
}

static void weak(struct rt_store_check *check, const char *risk, const char *mend)
{
    check->state = RT_CHECK_WEAK;
    check->risk = risk;
    check->mend = mend;
}

static void unknown(struct rt_store_check *check, const char *why, const char *mend)
{
    value(check, "%s", why);
    check->state = RT_CHECK_UNKNOWN;
    check->mend = mend;
}

static const char not_told[] = "INFO does not tell", not_allowed[] = "CONFIG GET is not allowed";
static const char may_look[] = "+config|get lets the agent look (and read the server's passwords)";

static void check_sentinels(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->n_sentinels == 0) {
        value(check, "none");
        return;
    }
    value(check, "%zu of %zu name it%s%s", facts->n_voices, facts->n_sentinels, facts->denied[0] != '\0' ? "; " : "",
          facts->denied);
    if (facts->denied[0] != '\0') {
        weak(check, "that one does not help to find the primary", "give its user that right (ACL SETUSER)");
    } else if (!facts->is_voted) {
        weak(check, "without a majority nobody knows of a failover", "see to the others");
    } else if (facts->n_sentinels < SENTINELS_LEAST) {
        weak(check, "the loss of one leaves no majority", "name three at least");
    }
}

static void check_version(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->version[0] == '\0') {
        unknown(check, not_told, "");
        return;
    }
    value(check, "%s", facts->version);
    if (strtoull(facts->version, NULL, 10) < VERSION_LEAST) {
        weak(check, "it has no functions: nothing works", "use Redis 7.0 or newer");
    }
}

static void check_functions(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->libraries == RT_FACT_UNKNOWN || (facts->own == 0 && !facts->is_online)) {
        unknown(check, facts->libraries == RT_FACT_UNKNOWN ? "not listed" : "not loaded yet", "");
        return;
    }
    value(check, "%s, of %" PRIu64 " version%s there", facts->own > 0 ? "ours are there" : "ours are missing",
          facts->libraries, facts->libraries == 1 ? "" : "s");
    if (facts->own == 0) {
        weak(check, "each use of one loads them all again", "see who deletes them");
    }
}

static void check_rights(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    static const char risk[] = "what needs them fails", mend[] = "give them (ACL SETUSER)";

    if (facts->missing[0] != '\0') {
        value(check, "missing: %.*s", RT_CHECK_VALUE_MAX - 9, facts->missing);
        weak(check, risk, mend);
    } else if (facts->refused[0] != '\0') {
        value(check, "%s", facts->refused);
        weak(check, risk, mend);
    } else if (facts->tried == RT_FACT_UNKNOWN) {
        unknown(check, "ACL DRYRUN is not allowed", "+acl|dryrun lets the agent look");
    } else {
        value(check, "all %" PRIu64, facts->tried);
    }
}

static void check_memory(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->memory_max == RT_FACT_UNKNOWN) {
        unknown(check, not_told, "");
        return;
    }
    if (facts->memory_max > 0) {
        value(check, "%" PRIu64 " bytes", facts->memory_max);
        if (facts->memory_max / 2 < facts->tails_max) {
            weak(check, "tails of ended containers may fill it", "set store.tails to half of it at most");
        }
        return;
    }
    value(check, "no limit");
    if (!facts->is_local) {
        weak(check, "who creates without end fills the machine", "set maxmemory");
    }
}

static void check_eviction(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->policy[0] == '\0') {
        unknown(check, not_told, "");
        return;
    }
    value(check, "%s", facts->policy);
    if (strcmp(facts->policy, "noeviction") != 0) {
        weak(check, "it may evict sessions", "set noeviction");
    }
}

static void check_persistence(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->aof[0] == '\0') {
        unknown(check, not_told, "");
        return;
    }
    if (strcmp(facts->aof, "0") == 0) {
        value(check, "no append-only file");
        weak(check, "a restart empties it or takes it back", "set appendonly yes");
        return;
    }
    value(check, "append-only file%s%s", facts->fsync[0] != '\0' ? ", fsync " : "", facts->fsync);
    if (facts->aof_status[0] != '\0' && strcmp(facts->aof_status, "ok") != 0) {
        value(check, "append-only file, not written (%s)", facts->aof_status);
        weak(check, "it refuses writes, or loses them", "make room on its disk, see its log");
    } else if (strcmp(facts->fsync, "no") == 0) {
        weak(check, "a machine that fails takes it back by half a minute", "set appendfsync everysec");
    }
}

static void check_replicas(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->connected == RT_FACT_UNKNOWN) {
        unknown(check, not_told, "");
        return;
    }
    value(check, "%" PRIu64 " connected, %" PRIu64 " known", facts->connected, facts->replicas);
    if (facts->is_local) {
        return;
    }
    if (facts->connected == 0) {
        weak(check, "all is on one disk, and nothing starts while it is away", "add two replicas");
    } else if (facts->connected < facts->replicas) {
        weak(check, "ends wait on the agents' disks, or for looks", "bring the missing one back, or SENTINEL RESET");
    } else if (facts->connected < REPLICAS_LEAST) {
        weak(check, "when it goes writes stop, or are at risk", "add one more");
    }
}

static void check_min_replicas(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->min_replicas == RT_FACT_UNKNOWN) {
        unknown(check, not_allowed, may_look);
        return;
    }
    value(check, "%" PRIu64, facts->min_replicas);
    if (facts->min_replicas == 0 && facts->replicas > 0) {
        weak(check, "a failover may lose what was acknowledged", "set 1, with two replicas");
    } else if (facts->connected != RT_FACT_UNKNOWN && facts->min_replicas > facts->connected) {
        weak(check, "it refuses writes: too few replicas", "bring a replica back");
    }
}

static void check_records(const struct rt_store_facts *facts, struct rt_store_check *check)
{
    if (facts->listpack == RT_FACT_UNKNOWN) {
        unknown(check, not_allowed, may_look);
        return;
    }
    value(check, "%" PRIu64, facts->listpack);
    if (facts->listpack < RT_LISTPACK_VALUE) {
        weak(check, "a session takes 1,219 to 1,536 bytes instead of 520", "set 1024");
    }
}

void rt_store_check(const struct rt_store_facts *facts, struct rt_store_look *look)
{
    static void (*const all[RT_CHECKS])(const struct rt_store_facts *, struct rt_store_check *) = {
        [RT_CHECK_SENTINELS] = check_sentinels,
        [RT_CHECK_VERSION] = check_version,
        [RT_CHECK_FUNCTIONS] = check_functions,
        [RT_CHECK_RIGHTS] = check_rights,
        [RT_CHECK_MEMORY] = check_memory,
        [RT_CHECK_EVICTION] = check_eviction,
        [RT_CHECK_PERSISTENCE] = check_persistence,
        [RT_CHECK_REPLICAS] = check_replicas,
        [RT_CHECK_MIN_REPLICAS] = check_min_replicas,
        [RT_CHECK_RECORDS] = check_records,
    };

    for (enum rt_check i = 0; i < RT_CHECKS; i++) {
        look->checks[i].name = names[i];
        if (all[i] != NULL) {
            all[i](facts, &look->checks[i]);
        }
    }
    value(&look->checks[RT_CHECK_SERVER], "%.100s, primary", facts->place);
    look->replicas = facts->connected != RT_FACT_UNKNOWN ? facts->connected : 0;
}

void rt_store_check_out(struct rt_store_look *look, const char *why)
{
    for (enum rt_check i = 0; i < RT_CHECKS; i++) {
        if (look->checks[i].name == NULL) {
            look->checks[i].name = names[i];
            unknown(&look->checks[i], "not looked at yet", "");
        }
    }
    value(&look->checks[RT_CHECK_SERVER], "out: %s", why);
    weak(&look->checks[RT_CHECK_SERVER], "what runs goes on, nothing new starts", "bring it back");
}
