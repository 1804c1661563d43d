/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_CHAOS_CHAOS_H
#define RETETHER_TESTS_SYSTEM_CHAOS_CHAOS_H

#include "session/core/digest.h"
#include "tests/lib/cluster.h"
#include "tests/lib/workload_stream.h"
#include "tests/system/chaos/proxy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Everything that can be done to the store, and to agents, while containers stream, move, start and end.
 *
 *     three agents | a primary with two replicas under three Sentinels | SESSIONS containers, each with an attached
 *     client that reads numbered bytes and types numbered bytes | one short container after the other
 *
 * First each fault alone, in an order that the seed gives, then two at a time until the time is over. After each one is
 * mended nothing moves until the table is what the agents serve: how long that took is told. At the end:
 *
 *     no byte was lost or repeated, either way       each attach compares what it got; the container what it read
 *     no attach ended before its container           its status, its stderr
 *     no end that was called safe is lost            `wait` and `logs` of each short container whose tether has ended;
 *                                                    before everything that empties the store, and at the end
 *     no (container, life, epoch) at two agents      what the agents' logs say was claimed
 *     no container has had two lives                 the same
 */

#define CHAOS_HOSTS 3
#define CHAOS_SERVERS ((size_t)3)
#define CHAOS_SENTINELS ((size_t)3)
#define CHAOS_SESSIONS_MAX 20
#define CHAOS_SHORTS_MAX 16384
#define CHAOS_FAULTS_MAX 64
/* Longest wait for anything that must happen. */
#define CHAOS_LIMIT_MS 120000
#define CHAOS_TEXT 256
#define CHAOS_ERR_MAX 4096

struct chaos_session {
    char cid[16];
    uint64_t seed;
    struct rt_cluster_vm *vm;
    pid_t attach; /* 0: not running */
    int in, out, err;
    struct workload_check received;
    struct rt_digest typed;
    uint64_t n_typed;
    uint64_t type_at, heard_at; /* ms */
    char said[CHAOS_ERR_MAX];   /* the newest of its stderr */
    size_t said_size;
};

/* A container that says its number and ends with it. */
enum chaos_short_phase { CHAOS_SHORT_NONE, CHAOS_SHORT_CREATING, CHAOS_SHORT_RUNS };

struct chaos {
    uint64_t seed, random;
    unsigned seconds;
    size_t n_sessions;
    bool json;
    const struct chaos_fault *only; /* this one and no other, or NULL */
    struct rt_cluster cluster;
    struct rt_test_redis second, sentinels[CHAOS_SENTINELS];
    struct rt_test_redis *servers[CHAOS_SERVERS];
    struct proxy proxy;
    char login[96], agent_tls[96];  /* files of the agents: who they are to the store */
    char clocks[CHAOS_SERVERS][96]; /* files that say how wrong a server's clock is */
    struct chaos_session sessions[CHAOS_SESSIONS_MAX];
    bool moving; /* containers move, start and end */
    uint64_t move_at;
    unsigned n_moves, n_faults;
    uint64_t slowest_ms; /* until the table was right again */
    struct {
        unsigned times;
        uint64_t ms, most_ms;
    } tally[CHAOS_FAULTS_MAX]; /* the same for each fault, alone or beside another one */
    /* short containers: number n has the status n % 100 + 1 */
    enum chaos_short_phase phase;
    pid_t creates;
    int create_out;
    char token[2048];
    size_t token_size;
    struct rt_cluster_vm *short_vm;
    uint64_t short_at; /* when it began what it does now */
    unsigned n_shorts, n_ended;
    bool ended[CHAOS_SHORTS_MAX]; /* its tether was told that its end is safe, and the store was not emptied since */
    char failure[CHAOS_TEXT];     /* the first thing that broke */
};

/* Whom a fault that is under way has struck. */
struct chaos_strike {
    struct rt_test_redis *server;
    unsigned sentinel, host;
};

/* A fault: begun, left for so long, mended. */
struct chaos_fault {
    const char *name;
    void (*begin)(struct chaos *chaos, struct chaos_strike *on);
    void (*mend)(struct chaos *chaos, struct chaos_strike *on); /* or NULL */
    unsigned ms;
    bool empties; /* the store: what has ended is gone with it */
};

/* Notes the first failure. */
__attribute__((format(printf, 2, 3))) void chaos_fail(struct chaos *chaos, const char *format, ...);
uint64_t chaos_random(struct chaos *chaos, uint64_t n);

/* sessions.c */
int chaos_sessions_start(struct chaos *chaos);
/* Reads, types, moves and starts what is due, for so long or until something broke. */
void chaos_run(struct chaos *chaos, uint64_t ms);
/* The same; for so long also when something broke. */
void chaos_wait(struct chaos *chaos, uint64_t ms);
/* Ends all, and compares both ends of each. */
void chaos_sessions_end(struct chaos *chaos);
void chaos_sessions_kill(struct chaos *chaos);

/* shorts.c */
void chaos_shorts_step(struct chaos *chaos);
/* Lets the one that runs end. */
void chaos_shorts_finish(struct chaos *chaos);
/* Asks the store for the ends of all that were called safe. */
void chaos_shorts_check(struct chaos *chaos);

/* faults.c */
extern const struct chaos_fault chaos_faults[];
extern const size_t chaos_n_faults;
int chaos_store_start(struct rt_cluster *cluster, unsigned host); /* a rt_cluster_prepare; of the one chaos */
void chaos_store_stop(struct chaos *chaos);

/* table.c */
/* Until every session is in the table as its agent serves it. Returns the ms that it took. */
uint64_t chaos_settle(struct chaos *chaos);
/* Takes what was claimed from what the agents' logs have got since the last call, and gives that back to the disk but
 * for its end. */
void chaos_history_read(struct chaos *chaos);
/* Looks at all that was claimed. */
void chaos_history(struct chaos *chaos);

/* report.c */
/* One fault, or two, after which the table was right within so long. */
void chaos_report_fault(struct chaos *chaos, const struct chaos_fault *const faults[2], uint64_t ms);
void chaos_report(const struct chaos *chaos);

extern struct chaos chaos_only; /* the one of this program */

#endif
