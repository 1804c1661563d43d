/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_REDIS_H
#define RETETHER_TESTS_LIB_REDIS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Private redis-server processes for tests: each in its own temporary directory, on its own unix socket and TCP port.
 * They die with the thread that started them. All calls block; all return 0 or -1 with a text on stderr.
 *
 * With RT_TEST_REDIS_CLUSTER in the environment a server that follows nobody is a cluster of one node, which has all
 * slots: it refuses what touches keys of two slots. A test that made it do so is aborted when the server is stopped. */

#define RT_TEST_REDIS_OPTIONS_MAX 16
#define RT_TEST_REDIS_ENV_MAX 2
#define RT_TEST_REDIS_LINE_MAX 4096

struct rt_test_redis {
    pid_t pid; /* 0: not running */
    char dir[64];
    char socket[96];         /* unix socket */
    char unix_endpoint[112]; /* "redis+unix://" socket */
    char tcp_endpoint[40];   /* "redis://127.0.0.1:PORT", or "rediss://" */
    uint16_t port;
    uint16_t primary; /* port of the primary that it follows, or 0 */
    bool sentinel;
    bool cluster, alone;  /* a node of a cluster; which has all slots */
    uint16_t bus;         /* port of the cluster bus */
    const char *tls;      /* directory of certificates, or NULL: with one there is no port without TLS */
    const char *password; /* of its user "default", or NULL */
    const char *primary_password;
    const char *options[RT_TEST_REDIS_OPTIONS_MAX + 1]; /* NULL-terminated, e.g. "--appendonly", "no" */
    const char *env[RT_TEST_REDIS_ENV_MAX];             /* more of its environment, "NAME=value", or NULL */
};

/* Starts a server: append-only file on, fsync always. options: more for its command line (at most
 * RT_TEST_REDIS_OPTIONS_MAX, NULL-terminated, or NULL); they live as long as the server. primary: whom to follow, or
 * NULL. */
int rt_test_redis_start(struct rt_test_redis *redis, const struct rt_test_redis *primary, const char *const *options);

/* Starts a node of a cluster, which has no slots and knows nobody. */
int rt_test_redis_start_node(struct rt_test_redis *redis, const char *const *options);

/* The same with TLS, which takes clients with a certificate of the same CA alone, and with a password. Both texts live
 * as long as the server. */
int rt_test_redis_start_tls(struct rt_test_redis *redis, const struct rt_test_redis *primary, const char *tls,
                            const char *password);

/* Starts a Sentinel (redis-server --sentinel) of this primary, under the name "main": two of them must agree that it is
 * down, which takes a second. */
int rt_test_sentinel_start(struct rt_test_redis *sentinel, const struct rt_test_redis *primary);
/* One with TLS, of a primary that has it, and with a password of its own. */
int rt_test_sentinel_start_tls(struct rt_test_redis *sentinel, const struct rt_test_redis *primary,
                               const char *password);
/* Until this Sentinel knows of so many others, and of so many replicas that may be promoted. */
int rt_test_sentinel_wait(struct rt_test_redis *sentinel, unsigned others, unsigned replicas);

int rt_test_redis_pause(struct rt_test_redis *redis);
int rt_test_redis_resume(struct rt_test_redis *redis);
/* SIGKILL; also a paused one. Its files stay. */
int rt_test_redis_kill(struct rt_test_redis *redis);
/* Starts a killed one again at the same place, with its data or without. */
int rt_test_redis_restart(struct rt_test_redis *redis, bool empty);
/* Makes a replica the primary. */
int rt_test_redis_promote(struct rt_test_redis *redis);
/* What it answers over its unix socket to a command, a line as one types it to redis-cli; NULL when it does not run, or
 * does not answer within the limit. To be freed. */
redisReply *rt_test_redis_ask(const struct rt_test_redis *redis, unsigned limit_ms, const char *line);
/* The same as a text: "+OK", "-ERR ...", ":7", "*3" (how many elements), what a string holds, "$-1" for none. answer
 * may hold the command. */
int rt_test_redis_command(struct rt_test_redis *redis, const char *command, char *answer, size_t size);
/* Kills it and removes its files. Safe on a zeroed struct, and twice. */
void rt_test_redis_stop(struct rt_test_redis *redis);

/* A TCP port of 127.0.0.1 that was free a moment ago, or 0. */
uint16_t rt_test_free_port(void);
/* Removes a directory with all that is in it. */
void rt_test_remove_tree(const char *path);

#endif
