/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_BENCH_LOAD_LOAD_H
#define RETETHER_TESTS_BENCH_LOAD_LOAD_H

#include "migrate/store/store.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* How the store grows: so many hosts with so many sessions on one server, through the library that agents use, and what
 * that costs. A host here is that library with its three connections and its heartbeat. It walks through the registry
 * as an agent does; sessions have no guests.
 *
 *     fill      LOAD_FILLERS hosts at once make their sessions, each as an agent does: CREATE, TAKE, REPORT; then go
 *     come      all hosts connect
 *     idle      nothing happens but heartbeats, walks and audits
 *     list      all, one host's, by prefix
 *     move      sessions are claimed by other hosts: as fast as it goes, then LOAD_MOVES_GOAL a second beside a listing
 *
 * Each figure is a line "name|unit|more or less|goal|value" on stdout. Then "ready", and the hosts live on until stdin
 * ends, for who wants to list them by other means. */

#define LOAD_HOSTS_MAX 4000
#define LOAD_SESSIONS_MAX 2000000
#define LOAD_FILLERS 8
#define LOAD_FILL_WINDOW 32 /* sessions of one host that are being made */
#define LOAD_MOVE_WINDOW 64 /* of all that are being claimed */
#define LOAD_MOVES_GOAL 1000
#define LOAD_COME_MS 10 /* from one host to the next: each walks through the registry at once */
#define LOAD_TICK_MS 5
#define LOAD_OP_LIMIT_MS 30000
#define LOAD_STUCK_MS 120000
#define LOAD_PREFIXES 20
#define LOAD_RECORDS_LOOKED_AT 100
#define LOAD_TENANT "local"
#define LOAD_LATENCIES_MAX 200000

/* What an operation was for: the upper bits of its id; the lower ones are the session's number. */
enum what { FOR_CREATE = 1, FOR_FIRST, FOR_REPORT, FOR_TEST, FOR_MOVE, FOR_AUDIT, FOR_FIND, FOR_WALK };
#define WHAT_SHIFT 48

struct host {
    struct rt_store store;
    bool open, up, closing, walking, walked_round;
    char name[16], walked[RT_HOST_MAX + 1];
    unsigned next, under_way; /* of its own sessions: made so far, being made */
};

struct session {
    uint64_t life, asked_ns;
    uint32_t epoch;
    uint16_t host;
    bool busy;
};

struct load {
    uv_loop_t loop;
    const char *socket, *endpoint;
    unsigned n_hosts, n_sessions, seconds;
    uint64_t seed;
    struct host *hosts;
    struct session *sessions;
    redisContext *watch; /* of its own, for INFO */
    uint8_t report[RT_REPORT_MAX];
    size_t report_size;

    char why[512]; /* what a host has logged last */
    bool filling;
    unsigned opened, n_open, n_up, n_filled;
    uint64_t progress_ns; /* when something was last answered */

    /* paced by a timer */
    uv_timer_t ticker;
    bool auditing, moving;
    double audits_owed, moves_owed, moves_a_s; /* moves_a_s 0: as many as the window has room for */
    unsigned audit_next, move_next, moves_under_way;
    uint64_t tick_ns, audits, moves, refused;
    double latency_ms[LOAD_LATENCIES_MAX];
    size_t n_latencies;

    /* the listing under way */
    struct rt_store_op find;
    bool finding;
    unsigned finder;
    uint64_t found, pages, find_ns, first_ns;
};

extern struct load load;

/* ---- world.c ---- */

uint64_t now_ns(void);
double ms_since(uint64_t ns);
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...);

/* The value of a field of INFO, by its beginning: "used_memory:", "cmdstat_hgetall:calls=". */
double info(const char *section, const char *field);
/* Calls of these commands so far, those that functions make too. NULL-terminated. */
double calls(const char *const *commands);
double server_cpu_s(void);
/* Of some records, the mean. */
double record_bytes(void);

/* Names, by the seed. */
uint64_t mixed(uint64_t value);
struct rt_id id_of(uint64_t number, uint64_t kind);
struct rt_key key_of(unsigned at);

/* ---- hosts.c ---- */

void open_host(struct host *host);
void close_host(struct host *host);
/* Asks for the next page of load.find. */
void find_page(void);
/* Claims the next session for another host. */
void move(void);
/* Every LOAD_TICK_MS. */
void tick_cb(uv_timer_t *timer);
/* Runs the loop until it is done, and something is answered now and then; done NULL: for so many milliseconds. */
void run(bool (*done)(void), uint64_t ms);

/* ---- phases.c ---- */

void phase_fill(void);
void phase_come(void);
void phase_idle(void);
void phase_list(void);
void phase_move(void);

#endif
