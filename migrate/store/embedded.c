/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/embedded.h"

#include "session/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET_PATH_MAX 107
#define STEP_MS 20
#define WATCH_MS 1000
#define PROBE_MS 1000
#define TEXT_MAX 560

struct rt_embedded_probe {
    uv_pipe_t pipe; /* first: the handle is the probe */
    uv_connect_t connect;
    uv_write_t write;
    struct rt_embedded *owner; /* NULL once closing */
    char answer[64];
    size_t size;
};

struct rt_embedded_child {
    uv_process_t process;      /* first */
    struct rt_embedded *owner; /* NULL: abandoned */
};

static void step_cb(uv_timer_t *timer);
static void start_server(struct rt_embedded *embedded);

static void wake(struct rt_embedded *embedded, uint64_t ms)
{
    uv_timer_start(&embedded->timer, step_cb, ms, 0);
}

static void failed(struct rt_embedded *embedded, int error, const char *what)
{
    char why[TEXT_MAX];

    embedded->state = RT_EMBEDDED_FAILED;
    uv_timer_stop(&embedded->timer);
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

/* The probe: connect, PING, PONG. */

static void probe_closed_cb(uv_handle_t *handle)
{
    free(handle);
}

static void end_probe(struct rt_embedded *embedded)
{
    struct rt_embedded_probe *probe = embedded->probe;

    if (probe != NULL) {
        embedded->probe = NULL;
        probe->owner = NULL;
        uv_close((uv_handle_t *)&probe->pipe, probe_closed_cb);
    }
}

/* Nobody listens there, or it does not speak. */
static void probe_failed(struct rt_embedded *embedded, int status)
{
    end_probe(embedded);
    if (embedded->state == RT_EMBEDDED_STARTING) {
        wake(embedded, STEP_MS); /* not yet */
        return;
    }
    if (status == UV_ENOENT || status == UV_ECONNREFUSED) {
        start_server(embedded);
        return;
    }
    failed(embedded, RT_EIO, "something listens on its socket but is no redis-server; remove it");
}

static void probe_answered(struct rt_embedded *embedded)
{
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof(peer);
    bool adopted = embedded->state == RT_EMBEDDED_PROBING;
    uv_os_fd_t fd = -1;

    uv_fileno((uv_handle_t *)&embedded->probe->pipe, &fd);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
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

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct rt_embedded_probe *probe = (struct rt_embedded_probe *)handle;

    (void)suggested;
    *buf = uv_buf_init(probe->answer + probe->size, (unsigned)(sizeof(probe->answer) - 1 - probe->size));
}

static void read_cb(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct rt_embedded_probe *probe = (struct rt_embedded_probe *)stream;
    struct rt_embedded *embedded = probe->owner;

    (void)buf;
    if (embedded == NULL || size == 0) {
        return;
    }
    if (size < 0) {
        probe_failed(embedded, (int)size);
        return;
    }
    probe->size += (size_t)size;
    probe->answer[probe->size] = '\0';
    if (strchr(probe->answer, '\n') == NULL && probe->size < sizeof(probe->answer) - 1) {
        return;
    }
    if (strncmp(probe->answer, "+PONG", 5) == 0) {
        probe_answered(embedded);
    } else if (strncmp(probe->answer, "-LOADING", 8) == 0) {
        end_probe(embedded);
        wake(embedded, STEP_MS);
    } else {
        probe_failed(embedded, UV_EPROTO);
    }
}

static void connect_cb(uv_connect_t *req, int status)
{
    struct rt_embedded_probe *probe = req->data;
    uv_buf_t ping = uv_buf_init((char[]){"PING\r\n"}, 6);

    if (probe->owner == NULL) {
        return;
    }
    /* Six bytes into an empty socket buffer are taken at once. */
    if (status == 0 && uv_try_write((uv_stream_t *)&probe->pipe, &ping, 1) != 6) {
        status = UV_EIO;
    }
    if (status == 0) {
        status = uv_read_start((uv_stream_t *)&probe->pipe, alloc_cb, read_cb);
    }
    if (status != 0) {
        probe_failed(probe->owner, status);
    }
}

static void start_probe(struct rt_embedded *embedded)
{
    struct rt_embedded_probe *probe = calloc(1, sizeof(*probe));

    if (probe == NULL || uv_pipe_init(embedded->loop, &probe->pipe, 0) != 0) {
        free(probe);
        failed(embedded, RT_ENOMEM, rt_strerror(RT_ENOMEM));
        return;
    }
    probe->owner = embedded;
    probe->connect.data = probe;
    embedded->probe = probe;
    uv_pipe_connect(&probe->connect, &probe->pipe, embedded->endpoint + strlen("unix:"), connect_cb);
    wake(embedded, PROBE_MS);
}

/* The server. */

static void child_closed_cb(uv_handle_t *handle)
{
    free(handle);
}

static void exit_cb(uv_process_t *process, int64_t status, int signal)
{
    struct rt_embedded_child *child = (struct rt_embedded_child *)process;
    struct rt_embedded *embedded = child->owner;

    (void)status;
    (void)signal;
    uv_close((uv_handle_t *)process, child_closed_cb);
    if (embedded != NULL) {
        embedded->child = NULL;
        embedded->pid = 0;
        end_probe(embedded);
        wake(embedded, 0); /* the step finds what that means */
    }
}

/* Returns 0 or libuv's code; then there is no child. */
static int spawn(struct rt_embedded *embedded, struct rt_embedded_child *child)
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
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    uv_process_options_t options = {.exit_cb = exit_cb,
                                    .file = embedded->program,
                                    .args = argv,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = 3,
                                    .stdio = stdio};
    int rc;

    snprintf(socket, sizeof(socket), "%s", embedded->endpoint + strlen("unix:"));
    snprintf(pidfile, sizeof(pidfile), "%s/redis.pid", embedded->dir);
    snprintf(log, sizeof(log), "%s/redis.log", embedded->dir);
    rc = uv_spawn(embedded->loop, &child->process, &options);
    if (rc != 0) {
        uv_close((uv_handle_t *)&child->process, child_closed_cb);
    }
    return rc;
}

static void start_server(struct rt_embedded *embedded)
{
    struct rt_embedded_child *child = calloc(1, sizeof(*child));
    char what[RT_EMBEDDED_PATH_MAX + 100];
    int rc;

    embedded->state = RT_EMBEDDED_STARTING;
    embedded->limit_ms = uv_now(embedded->loop) + RT_EMBEDDED_START_MS;
    if (child == NULL) {
        failed(embedded, RT_ENOMEM, rt_strerror(RT_ENOMEM));
        return;
    }
    rc = spawn(embedded, child);
    if (rc != 0) {
        snprintf(what, sizeof(what), "cannot start %s: %s; install redis-server, or configure a store",
                 embedded->program, uv_strerror(rc));
        failed(embedded, rc == UV_ENOENT ? RT_ENOTFOUND : RT_EIO, what);
        return;
    }
    child->owner = embedded;
    embedded->child = child;
    embedded->pid = child->process.pid;
    wake(embedded, STEP_MS);
}

/* Closing. */

static void timer_closed_cb(uv_handle_t *handle)
{
    struct rt_embedded *embedded = handle->data;

    close(embedded->lock_fd);
    embedded->closed(embedded);
}

static void finish(struct rt_embedded *embedded)
{
    end_probe(embedded);
    if (embedded->child != NULL) {
        embedded->child->owner = NULL;
        uv_unref((uv_handle_t *)&embedded->child->process);
        uv_close((uv_handle_t *)&embedded->child->process, child_closed_cb);
        embedded->child = NULL;
    }
    uv_close((uv_handle_t *)&embedded->timer, timer_closed_cb);
}

/* What is next, when time has passed or the child has ended. */
static void step(struct rt_embedded *embedded)
{
    uint64_t now = uv_now(embedded->loop);
    bool gone = embedded->pid == 0 || (embedded->child == NULL && kill(embedded->pid, 0) != 0 && errno == ESRCH);

    switch (embedded->state) {
    case RT_EMBEDDED_PROBING:
        if (now >= embedded->limit_ms) {
            end_probe(embedded);
            failed(embedded, RT_ETIMEDOUT, "the redis-server on its socket does not answer; stop it");
        } else if (embedded->probe == NULL) {
            start_probe(embedded);
        } else {
            wake(embedded, STEP_MS);
        }
        return;
    case RT_EMBEDDED_STARTING:
        if (gone) {
            failed(embedded, RT_EIO, "redis-server ended at its start");
        } else if (now >= embedded->limit_ms) {
            failed(embedded, RT_ETIMEDOUT, "redis-server does not answer");
        } else {
            end_probe(embedded);
            start_probe(embedded);
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

static int lock_dir(struct rt_embedded *embedded, char *why, size_t why_size)
{
    char path[RT_EMBEDDED_PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/lock", embedded->dir);
    embedded->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (embedded->lock_fd < 0) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return RT_EIO;
    }
    if (flock(embedded->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        close(embedded->lock_fd);
        snprintf(why, why_size, "%s: in use by another agent; give each its own state directory", embedded->dir);
        return RT_EEXIST;
    }
    return 0;
}

int rt_embedded_start(struct rt_embedded *embedded, uv_loop_t *loop, const struct rt_embedded_config *config, char *why,
                      size_t why_size)
{
    const char *program = config->program != NULL ? config->program : "redis-server";
    int rc;

    memset(embedded, 0, sizeof(*embedded));
    embedded->config = *config;
    embedded->loop = loop;
    if (strlen(config->dir) + strlen("/redis.sock") > SOCKET_PATH_MAX || strlen(program) >= RT_EMBEDDED_PATH_MAX) {
        snprintf(why, why_size, "%s: the path is too long", config->dir);
        return RT_EINVAL;
    }
    snprintf(embedded->dir, sizeof(embedded->dir), "%s", config->dir);
    snprintf(embedded->program, sizeof(embedded->program), "%s", program);
    snprintf(embedded->endpoint, sizeof(embedded->endpoint), "unix:%s/redis.sock", config->dir);
    rc = lock_dir(embedded, why, why_size);
    if (rc != 0) {
        return rc;
    }
    if (uv_timer_init(loop, &embedded->timer) != 0) {
        close(embedded->lock_fd);
        snprintf(why, why_size, "cannot make a timer");
        return RT_EIO;
    }
    embedded->timer.data = embedded;
    embedded->state = RT_EMBEDDED_PROBING;
    embedded->limit_ms = uv_now(loop) + RT_EMBEDDED_START_MS;
    wake(embedded, 0);
    return 0;
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
