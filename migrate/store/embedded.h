/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_MIGRATE_STORE_EMBEDDED_H
#define RETETHER_MIGRATE_STORE_EMBEDDED_H

#include "migrate/store/starter.h"
#include "session/base/error.h"

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

/* The store of an agent that has none configured: a private redis-server for this host alone, on a unix socket and with
 * an append-only file in the agent's state directory.
 *
 *     PROBING --PONG, and the pid file fits--> UP (adopted: left by an agent that died)
 *        |nobody listens
 *     STARTING --PONG--> UP --ended by itself--> STARTING        any --stop--> STOPPING --gone--> closed
 *        |server ended, or 5 s
 *     FAILED
 *
 * The server has a session of its own: signals to the agent's process group do not reach it, and it outlives an agent
 * that is killed. A second agent does not come to the same directory: the state directory is locked. */

#define RT_EMBEDDED_START_MS 5000
/* A server that has not saved and ended by then is killed. */
#define RT_EMBEDDED_STOP_MS 5000
/* One that ends by itself is started again, if it ran for as long as this. */
#define RT_EMBEDDED_STEADY_MS 10000
/* Its memory: beyond, writes are refused (RT_ELIMIT); ends stay with the agent until older ones have expired. */
#define RT_EMBEDDED_MEMORY "512mb"
#define RT_EMBEDDED_PATH_MAX 200

struct rt_embedded_config {
    const char *dir;     /* exists, writable; its path leaves room for "/redis.sock" within 107 bytes */
    const char *program; /* NULL: "redis-server", looked for on PATH */
    void *ctx;
    /* It answers; endpoint ("redis+unix://...") lives as long as the struct. Once. */
    void (*on_up)(void *ctx, const char *endpoint, bool adopted);
    /* It could not be started (RT_ENOTFOUND: no such program), or has ended by itself twice within
     * RT_EMBEDDED_STEADY_MS; why is for people and says what to do. Once; then only stop is left. */
    void (*on_failed)(void *ctx, int error, const char *why);
};

struct rt_embedded {
    struct rt_embedded_config config;
    uv_loop_t *loop;
    enum {
        RT_EMBEDDED_PROBING,
        RT_EMBEDDED_STARTING,
        RT_EMBEDDED_UP,
        RT_EMBEDDED_FAILED,
        RT_EMBEDDED_STOPPING,
    } state;
    char dir[RT_EMBEDDED_PATH_MAX], program[RT_EMBEDDED_PATH_MAX], endpoint[RT_EMBEDDED_PATH_MAX];
    struct rt_starter starter;
    pid_t pid;         /* 0: none */
    int probe;         /* its socket; -1: none under way */
    uint64_t limit_ms; /* loop time */
    uint64_t up_ms;    /* loop time */
    bool told;         /* on_up has been called */
    uv_timer_t timer;
    void (*closed)(struct rt_embedded *embedded);
};

/* Makes the process that will start the server: before there are threads and keys, and before the right to fork is
 * given up. config->dir need not be there yet. RT_EINVAL: the directory's path is too long. RT_EIO. `why` says it for
 * people. */
RT_MUST_CHECK int rt_embedded_prepare(struct rt_embedded *embedded, const struct rt_embedded_config *config, char *why,
                                      size_t why_size);
/* At the end, when it is stopped. */
void rt_embedded_close(struct rt_embedded *embedded);

/* Returns 0; then on_up or on_failed comes, later. Or RT_EIO: there is nothing to stop. Again behind each stop. */
RT_MUST_CHECK int rt_embedded_start(struct rt_embedded *embedded, uv_loop_t *loop);

/* SHUTDOWN by SIGTERM, which saves; `closed` says that it is over. In every state after a start that succeeded. */
void rt_embedded_stop(struct rt_embedded *embedded, void (*closed)(struct rt_embedded *embedded));

#endif
