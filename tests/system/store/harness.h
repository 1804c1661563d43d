/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_STORE_HARNESS_H
#define RETETHER_TESTS_SYSTEM_STORE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/store/store.h"
#include "session/core/order.h"
#include "tests/lib/redis.h"

/* An agent as the store sees it: submits operations and keeps what comes back. */

#define NEWS_MAX 256
#define RECORDS_MAX RT_LIST_MAX

struct agent {
    struct rt_store store;
    bool stopped;
    uint64_t last_id;

    /* the newest reply, copied; its slices point into tails and past */
    struct rt_store_reply reply;
    struct rt_store_record records[RECORDS_MAX];
    struct rt_store_host hosts[RT_HOSTS_PAGE];
    uint8_t tails[2][RT_TAIL_MAX];
    uint8_t order[RT_ORDER_PACKED_MAX];
    uint8_t past[RT_PAST_MAX];
    size_t n_replies;    /* all so far */
    size_t n_errors[32]; /* by -code */

    struct rt_store_news news[NEWS_MAX];
    size_t n_news;
    size_t n_warnings, n_errors_logged;
    char log[64][RT_STORE_LOG_MAX];
    size_t n_log;
};

extern uv_loop_t loop;
/* Of a group whose tests have servers of their own. */
int loop_setup(void **state);
int loop_teardown(void **state);

/* One redis-server for the whole test program, flushed before each test. */
extern struct rt_test_redis redis;
int group_setup(void **state);
int group_teardown(void **state);
int flush_setup(void **state);

/* What that server answers to a command with one argument: a number. */
long long redis_number(const char *format, const char *arg);

/* How long agents wait for Redis, unless they say otherwise; 0: as they do by default. */
extern uint64_t agent_call_ms;

/* The file of a login, with this text from now on. There is one. */
const char *login_file(const char *text);

void agent_config(struct rt_store_config *config, const char *endpoint, const char *host);
struct agent *agent_new(const struct rt_store_config *config);
/* Until it is up. */
struct agent *agent_start(const char *endpoint, const char *host);
void agent_stop(struct agent *agent);

/* Runs the loop until done() or ms have passed; returns whether it was done. */
bool run_until(bool (*done)(struct agent *), struct agent *agent, uint64_t ms);
void run_for(uint64_t ms);

/* Runs the loop until the server has so many replicas that have said that they have what it had at the call. */
void until_replicas(struct rt_test_redis *server, unsigned n);

/* Submits and waits for the reply; returns its error, or that of the submission. */
int submit(struct agent *agent, struct rt_store_op *op);
/* News of that kind from index `from` on, or NULL. */
const struct rt_store_news *find_news(const struct agent *agent, enum rt_store_news_kind kind, size_t from);
bool is_up(struct agent *agent);
bool is_down(struct agent *agent);
bool logged(const struct agent *agent, const char *part);

struct rt_key key_of(const char *tenant, const char *cid);
struct rt_id id_of(uint8_t seed);
/* A first claim with a join token; welcomed with ticket `next`. */
struct rt_store_op join_op(enum rt_store_op_kind kind, struct rt_key key, uint8_t inc, uint8_t next, const char *host);
/* A reconnect with ticket t. */
struct rt_store_op ticket_op(struct rt_key key, uint8_t inc, uint64_t life, uint64_t epoch, uint8_t t, uint8_t next,
                             const char *host);

#endif
