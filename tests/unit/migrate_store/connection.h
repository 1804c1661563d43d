/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_MIGRATE_STORE_CONNECTION_H
#define RETETHER_TESTS_UNIT_MIGRATE_STORE_CONNECTION_H

#include "migrate/store/redis.h"
#include "tests/unit/migrate_store/fake.h"

/* One connection to a scripted server, and what it has told. */

#define CONNECTION_HANG_MS 8000 /* nothing here takes as long */
#define CONNECTION_ANSWERS_MAX 8

struct connection {
    struct rt_redis redis;
    size_t n_ready, n_down, n_pushed, n_closed, n_doubts;
    char why[400];
    bool stop_when_ready, stop_when_down;

    /* answers of calls, in their order */
    size_t n_answers;
    struct {
        size_t call;
        int error, type;
        char text[64];
    } answers[CONNECTION_ANSWERS_MAX];
    bool stop_when_answered, drop_when_answered;
};
extern struct connection connection;
extern struct fake connection_fake; /* by connection_setup */

struct rt_redis_config connection_config(const struct rt_store_endpoint *endpoints, size_t n);
struct rt_store_endpoint connection_endpoint(const char *text);
void connection_start(const struct rt_redis_config *config);
void connection_start_one(void); /* with the scripted server */
/* Runs until *count has reached n. */
void connection_until(const size_t *count, size_t n);
void connection_stop(void);
/* Calls with one word; `number` says which call is answered. */
int connection_call(const char *word, size_t number);
void connection_closed_cb(struct rt_redis *closed);
void connection_answer_cb(void *ctx, int error, const redisReply *reply);

int connection_setup(void **state);
int connection_teardown(void **state);
#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, connection_setup, connection_teardown)

#endif
