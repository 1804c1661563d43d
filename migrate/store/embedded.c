/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/embedded.h"

#include "session/base/file.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of its address. */
#define SCHEME "redis+unix://"

#define SOCKET_PATH_MAX 107
#define STEP_MS 10
#define WATCH_MS 1000
#define TEXT_MAX 560

static void step_cb(uv_timer_t *timer);
static void start_server(struct rt_embedded *embedded);

static void wake(struct rt_embedded *embedded, uint64_t ms)
{
    uv_timer_start(&embedded->timer, step_cb, ms, 0);
}

static void end_probe(struct rt_embedded *embedded)
{
    if (embedded->probe >= 0) {
        (void)close(embedded->probe);
        embedded->probe = -1;
    }
}

static void failed(struct rt_embedded *embedded, int error, const char *what)
{
    char why[TEXT_MAX];

    embedded->state = RT_EMBEDDED_FAILED;
    uv_timer_stop(&embedded->timer);
    end_probe(embedded);
    snprintf(why, sizeof(why), "embedded store: %.300s (its log: %s/redis.log)", what, embedded->dir);
    embedded->config.on_failed(embedded->config.ctx, error, why);
}

/* The pid in redis.pid, or 0. */
static pid_t read_pid(const struct rt_embedded *embedded)
{
    char path[RT_EMBEDDED_PATH_MAX + 16];
    char line[32];
    size_t size;
    long pid;

    snprintf(path, sizeof(path), "%s/redis.pid", embedded->dir);
    pid = rt_read_file(path, line, sizeof(line), &size) == RT_OK ? strtol(line, NULL, 10) : 0;
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* The probe: connect, PING, PONG. On a unix socket nothing of that waits for a network, so each step looks whether
 * there is an answer. */

enum answer { ANSWER_NONE, ANSWER_PONG, ANSWER_LOADING, ANSWER_NOBODY, ANSWER_OTHER };

static bool say_ping(struct rt_embedded *embedded)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", embedded->endpoint + strlen(SCHEME));
    embedded->probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return embedded->probe >= 0 && connect(embedded->probe, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
           send(embedded->probe, "PING\r\n", 6, MSG_NOSIGNAL) == 6;
}

static enum answer probe(struct rt_embedded *embedded)
{
    char text[64] = "";
    ssize_t size;

    if (embedded->probe < 0 && !say_ping(embedded)) {
        return errno == ENOENT || errno == ECONNREFUSED ? ANSWER_NOBODY : ANSWER_OTHER;
    }
    size = recv(embedded->probe, text, sizeof(text) - 1, MSG_PEEK);
    if (size < 0 ? errno == EAGAIN : size > 0 && strchr(text, '\n') == NULL && size < (ssize_t)sizeof(text) - 1) {
        return ANSWER_NONE;
    }
    if (strncmp(text, "+PONG", 5) == 0) {
        return ANSWER_PONG;
    }
    return strncmp(text, "-LOADING", 8) == 0 ? ANSWER_LOADING : ANSWER_OTHER;
}

static void is_up(struct rt_embedded *embedded)
{
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof(peer);
    bool adopted = embedded->state == RT_EMBEDDED_PROBING;

    if (getsockopt(embedded->probe, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        peer.pid = 0;
    }
    end_probe(embedded);
    /* An adopted server is stopped with us one day, by its pid: it must be the one that the pid file names. */
    if (adopted && (peer.pid == 0 || peer.pid != read_pid(embedded))) {
        failed(embedded, RT_EIO, "the redis-server on its socket is not the one that redis.pid names; stop it");
        return;
    }
    embedded->pid = peer.pid != 0 ? peer.pid : embedded->pid;
    embedded->state = RT_EMBEDDED_UP;
    embedded->up_ms = uv_now(embedded->loop);
    wake(embedded, WATCH_MS);
    if (!embedded->told) {
        embedded->told = true;
        embedded->config.on_up(embedded->config.ctx, embedded->endpoint, adopted);
    }
}

/* A server that was started is given its time, whatever is on its socket until then. */
static void look(struct rt_embedded *embedded)
{
    bool probing = embedded->state == RT_EMBEDDED_PROBING;
    enum answer answer = probe(embedded);

    if (answer == ANSWER_PONG) {
        is_up(embedded);
        return;
    }
    if (answer != ANSWER_NONE) {
        end_probe(embedded);
    }
    if (probing && answer == ANSWER_NOBODY) {
        start_server(embedded);
    } else if (probing && answer == ANSWER_OTHER) {
        failed(embedded, RT_EIO, "something listens on its socket but is no redis-server; remove it");
    } else {
        wake(embedded, STEP_MS);
    }
}

/* The server. */

static int open_starter(struct rt_embedded *embedded)
{
    char socket[RT_EMBEDDED_PATH_MAX + 16], pidfile[RT_EMBEDDED_PATH_MAX + 16], log[RT_EMBEDDED_PATH_MAX + 16];
    /* With the default listpack bound of 64 bytes a record takes 1.5 KiB instead of 0.6. */
    char *argv[] = {embedded->program,
                    "--port",
                    "0",
                    "--unixsocket",
                    socket,
                    "--unixsocketperm",
                    "700",
                    "--dir",
                    embedded->dir,
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "everysec",
                    "--save",
                    "",
                    "--maxmemory",
                    RT_EMBEDDED_MEMORY,
                    "--hash-max-listpack-value",
                    "1024",
                    "--maxmemory-policy",
                    "noeviction",
                    "--pidfile",
                    pidfile,
                    "--logfile",
                    log,
                    "--daemonize",
                    "no",
                    NULL};

    snprintf(socket, sizeof(socket), "%s", embedded->endpoint + strlen(SCHEME));
    snprintf(pidfile, sizeof(pidfile), "%s/redis.pid", embedded->dir);
    snprintf(log, sizeof(log), "%s/redis.log", embedded->dir);
    return rt_starter_open(&embedded->starter, argv);
}

static void start_server(struct rt_embedded *embedded)
{
    char what[RT_EMBEDDED_PATH_MAX + 100];
    int error;

    embedded->state = RT_EMBEDDED_STARTING;
    embedded->limit_ms = uv_now(embedded->loop) + RT_EMBEDDED_START_MS;
    error = rt_starter_start(&embedded->starter, &embedded->pid);
    if (error != 0) {
        embedded->pid = 0;
        snprintf(what, sizeof(what), "cannot start %s: %s; install redis-server, or configure a store",
                 embedded->program, error == EPIPE ? "its starter is gone" : strerror(error));
        failed(embedded, error == ENOENT ? RT_ENOTFOUND : RT_EIO, what);
        return;
    }
    wake(embedded, STEP_MS);
}

/* Closing. */

static void timer_closed_cb(uv_handle_t *handle)
{
    struct rt_embedded *embedded = handle->data;

    embedded->closed(embedded);
}

static void finish(struct rt_embedded *embedded)
{
    uv_close((uv_handle_t *)&embedded->timer, timer_closed_cb);
}

/* What is next, when time has passed. The starter waits for no child, so an ended one leaves no pid. */
static void step(struct rt_embedded *embedded)
{
    uint64_t now = uv_now(embedded->loop);
    bool gone = embedded->pid == 0 || (kill(embedded->pid, 0) != 0 && errno == ESRCH);

    switch (embedded->state) {
    case RT_EMBEDDED_PROBING:
        if (now >= embedded->limit_ms) {
            failed(embedded, RT_ETIMEDOUT, "the redis-server on its socket does not answer; stop it");
        } else {
            look(embedded);
        }
        return;
    case RT_EMBEDDED_STARTING:
        if (gone) {
            failed(embedded, RT_EIO, "redis-server ended at its start");
        } else if (now >= embedded->limit_ms) {
            failed(embedded, RT_ETIMEDOUT, "redis-server does not answer");
        } else {
            look(embedded);
        }
        return;
    case RT_EMBEDDED_UP:
        if (!gone) {
            wake(embedded, WATCH_MS);
        } else if (now - embedded->up_ms < RT_EMBEDDED_STEADY_MS) {
            failed(embedded, RT_EIO, "redis-server ends again and again");
        } else {
            start_server(embedded);
        }
        return;
    case RT_EMBEDDED_STOPPING:
        if (gone) {
            finish(embedded);
            return;
        }
        if (now >= embedded->limit_ms + RT_EMBEDDED_STOP_MS) {
            finish(embedded); /* not even killed: the kernel holds it; it is no longer ours to wait for */
            return;
        }
        if (now >= embedded->limit_ms) {
            kill(embedded->pid, SIGKILL);
        }
        wake(embedded, STEP_MS);
        return;
    case RT_EMBEDDED_FAILED:
        return;
    }
}

static void step_cb(uv_timer_t *timer)
{
    step(timer->data);
}

int rt_embedded_prepare(struct rt_embedded *embedded, const struct rt_embedded_config *config, char *why,
                        size_t why_size)
{
    const char *program = config->program != NULL ? config->program : "redis-server";

    memset(embedded, 0, sizeof(*embedded));
    embedded->config = *config;
    embedded->starter.fd = -1;
    if (strlen(config->dir) + strlen("/redis.sock") > SOCKET_PATH_MAX || strlen(program) >= RT_EMBEDDED_PATH_MAX) {
        return rt_fail(RT_EINVAL, why, why_size, "%s: the path is too long", config->dir);
    }
    snprintf(embedded->dir, sizeof(embedded->dir), "%s", config->dir);
    snprintf(embedded->program, sizeof(embedded->program), "%s", program);
    snprintf(embedded->endpoint, sizeof(embedded->endpoint), SCHEME "%s/redis.sock", config->dir);
    return open_starter(embedded) == 0 ? 0
                                       : rt_fail(RT_EIO, why, why_size, "cannot make a process: %s", strerror(errno));
}

int rt_embedded_start(struct rt_embedded *embedded, uv_loop_t *loop)
{
    embedded->loop = loop;
    embedded->probe = -1;
    embedded->pid = 0;
    embedded->told = false;
    if (uv_timer_init(loop, &embedded->timer) != 0) {
        return RT_EIO;
    }
    embedded->timer.data = embedded;
    embedded->state = RT_EMBEDDED_PROBING;
    embedded->limit_ms = uv_now(loop) + RT_EMBEDDED_START_MS;
    wake(embedded, 0);
    return 0;
}

void rt_embedded_close(struct rt_embedded *embedded)
{
    rt_starter_close(&embedded->starter);
}

void rt_embedded_stop(struct rt_embedded *embedded, void (*closed)(struct rt_embedded *embedded))
{
    embedded->closed = closed;
    embedded->state = RT_EMBEDDED_STOPPING;
    embedded->limit_ms = uv_now(embedded->loop) + RT_EMBEDDED_STOP_MS;
    end_probe(embedded);
    if (embedded->pid != 0) {
        kill(embedded->pid, SIGTERM);
    }
    wake(embedded, 0);
}
