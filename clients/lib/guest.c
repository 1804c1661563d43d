/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "retether/guest.h"

#include "clients/lib/guest_internal.h"
#include "clients/lib/sized.h"
#include "migrate/core/token_text.h"
#include "session/base/random.h"
#include "session/base/timer.h"
#include "session/core/protocol.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the step ---- */

static void over(struct retether_guest *guest)
{
    guest->phase = RT_GUEST_OVER;
    rt_guest_tell_link(guest);
    rt_guest_conn_finish(guest);
    guest->callbacks.over(guest, guest->status, guest->callbacks.ctx);
}

static void carry_out(struct retether_guest *guest, const struct rt_tether_action *action)
{
    struct rt_guest_process *process = rt_guest_process_find(guest, action->proc);

    switch (action->kind) {
    case RT_TETHER_DIAL:
        rt_guest_conn_dial(guest);
        break;
    case RT_TETHER_HANGUP:
        rt_guest_conn_hangup(guest, action->reason);
        break;
    case RT_TETHER_START:
        rt_guest_process_start(guest, action);
        break;
    case RT_TETHER_SIGNAL:
        if (process != NULL) {
            rt_guest_process_signal(process, (int)action->sig);
        }
        break;
    case RT_TETHER_RESIZE:
        if (process != NULL) {
            rt_guest_process_resize(process, action->rows, action->cols);
        }
        break;
    case RT_TETHER_STDIN_END:
        if (process != NULL) {
            process->stdin_end = true;
        }
        break;
    case RT_TETHER_CLOSE_OUTPUT:
        if (process != NULL) {
            rt_guest_pipes_close(process);
            rt_guest_tell_process(guest, action->proc, "exited", "closed", "others keep its output open");
            rt_guest_process_settle(process);
        }
        break;
    case RT_TETHER_OVER:
        over(guest);
        break;
    }
    if (guest->phase == RT_GUEST_RUNNING) {
        rt_guest_tell_link(guest);
    }
}

/* Actions, and input to the processes, until neither brings the other about. Returns whether that was reached. */
static bool settle(struct retether_guest *guest)
{
    for (unsigned i = 0; i < RT_GUEST_ROUNDS_MAX; i++) {
        struct rt_tether_action action;
        struct rt_guest_process *next;
        size_t moved = 0;

        while (guest->phase == RT_GUEST_RUNNING && rt_tether_next(guest->tether, &action)) {
            carry_out(guest, &action);
            moved++;
        }
        if (guest->phase != RT_GUEST_RUNNING) {
            return true;
        }
        for (struct rt_guest_process *process = guest->processes; process != NULL; process = next) {
            next = process->next;
            moved += rt_guest_pipes_step(process);
        }
        if (moved == 0) {
            return true;
        }
    }
    return false;
}

static void timer_cb(uv_timer_t *timer)
{
    struct retether_guest *guest = timer->data;

    if (guest->phase == RT_GUEST_RUNNING) {
        rt_tether_tick(guest->tether, rt_guest_now(guest));
    }
    rt_guest_wake(guest);
}

static void step(struct retether_guest *guest)
{
    uint64_t now = rt_guest_now(guest);
    uint64_t deadline;
    bool more;

    guest->awake = false;
    rt_guest_tell_link(guest);
    more = !settle(guest);
    if (guest->phase != RT_GUEST_RUNNING) {
        return;
    }
    more = (guest->conn != NULL && rt_conn_pump(guest->conn)) || more;
    rt_guest_tell_link(guest);
    deadline = rt_tether_deadline(guest->tether);
    if (more) {
        deadline = now;
    }
    if (deadline == RT_NEVER) {
        (void)uv_timer_stop(&guest->timer);
    } else {
        (void)uv_timer_start(&guest->timer, timer_cb, deadline > now ? deadline - now : 0, 0);
    }
}

static void prepare_cb(uv_prepare_t *prepare)
{
    struct retether_guest *guest = prepare->data;

    if (guest->awake && guest->phase == RT_GUEST_RUNNING) {
        step(guest);
    }
}

/* ---- children ---- */

static void child_cb(uv_signal_t *handle, int signum)
{
    struct retether_guest *guest = handle->data;
    struct rt_guest_process *process;
    pid_t pid;
    int status;

    (void)signum;
    /* As init, and as a subreaper, others' orphans come here too: they only need to be waited for. */
    while (guest->reap_all && (pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (process = guest->processes; process != NULL && process->pid != pid; process = process->next) {
        }
        if (process != NULL) {
            rt_guest_process_exited(process, status);
        }
    }
    for (process = guest->processes; process != NULL && !guest->reap_all; process = process->next) {
        if (process->pid > 0 && waitpid(process->pid, &status, WNOHANG) == process->pid) {
            rt_guest_process_exited(process, status);
        }
    }
}

/* ---- making, starting, stopping ---- */

void retether_guest_defaults(struct retether_guest_options *options, size_t size)
{
    struct retether_guest_options full = {.size = size};
    struct rt_tether_config config;

    rt_tether_defaults(&config);
    full.first_hold_ms = config.first_hold_ms;
    full.drain_timeout_ms = config.drain_timeout_ms;
    full.outage_hold_ms = config.outage_hold_ms;
    full.end_timeout_ms = config.end_timeout_ms;
    rt_sized_give(options, size, &full, sizeof(full));
}

static int configure(struct retether_guest *guest, const struct retether_guest_options *options, char *why, size_t size)
{
    struct rt_tether_config *config = &guest->config;
    int rc = RT_EINVAL;
    size_t token_size = 0;
    uint64_t ring = 0;

    rt_tether_defaults(config);
    if (options->argv == NULL || options->argv[0] == NULL || options->argv[0][0] == '\0') {
        return rt_fail(RT_EINVAL, why, size, "there is no command to run");
    }
    if (options->cid == NULL || !rt_cid_valid(rt_slice_text(options->cid))) {
        return rt_fail(RT_EINVAL, why, size,
                       "\"%s\" is no container ID: 1 to %d letters, digits, and _ . - behind the first",
                       options->cid != NULL ? options->cid : "", RT_CID_MAX);
    }
    if (options->token != NULL) {
        token_size = strlen(options->token);
        rc = rt_token_text_ring(options->token, &token_size, &ring);
    }
    if (rc == 0) {
        rc = rt_token_text_decode(options->token, token_size, config->token, sizeof(config->token));
    }
    if (rc < 0) {
        return rt_fail(RT_EINVAL, why, size, "the join token is none: it begins with \"%s\" and is one line",
                       RT_TOKEN_PREFIX);
    }
    config->token_size = (size_t)rc;
    ring = options->ring_bytes != 0 ? options->ring_bytes : ring != 0 ? ring : RT_RING_BYTES;
    if (ring < RT_RING_BYTES_MIN || ring > RT_RING_BYTES_MAX) {
        return rt_fail(RT_EINVAL, why, size, "a ring has %d to %d bytes", RT_RING_BYTES_MIN, RT_RING_BYTES_MAX);
    }
    if (options->agent == NULL) {
        return rt_fail(RT_EINVAL, why, size, "there is no agent to dial");
    }
    if ((rc = rt_endpoint_parse(&guest->endpoint, options->agent, why, size)) != 0) {
        return rc;
    }
    if (guest->endpoint.kind == RT_ENDPOINT_TLS) {
        return rt_fail(RT_EINVAL, why, size, "%s: guests have tokens, and no certificates: TLS is for clients",
                       options->agent);
    }
    snprintf(config->cid, sizeof(config->cid), "%s", options->cid);
    config->random = rt_random_fill;
    rt_random_fill(NULL, &config->seed, sizeof(config->seed));
    config->ring_bytes = (size_t)ring;
    config->first_hold_ms = options->first_hold_ms;
    config->drain_timeout_ms = options->drain_timeout_ms;
    config->outage_hold_ms = options->outage_hold_ms;
    config->end_timeout_ms = options->end_timeout_ms;
    config->tty = options->tty;
    config->rows = options->rows;
    config->cols = options->cols;
    return RT_OK;
}

int retether_guest_new(uv_loop_t *loop, const struct retether_guest_options *given,
                       const struct retether_guest_callbacks *callbacks, struct retether_guest **out, char *why,
                       size_t why_size)
{
    struct retether_guest_options wanted;
    const struct retether_guest_options *options = &wanted;
    const char *const *env;
    struct retether_guest *guest = calloc(1, sizeof(*guest));
    int rc;

    *out = NULL;
    if (guest == NULL) {
        return rt_fail(RT_ENOMEM, why, why_size, "%s", rt_strerror(RT_ENOMEM));
    }
    if (rt_sized_take(&wanted, sizeof(wanted), given, sizeof(wanted)) != RT_OK ||
        rt_sized_take(&guest->callbacks, sizeof(guest->callbacks), callbacks, sizeof(guest->callbacks)) != RT_OK) {
        free(guest);
        return rt_fail(RT_EINVAL, why, why_size, "the size of the options or of the callbacks is none of theirs");
    }
    env = options->env != NULL ? options->env : (const char *const *)environ;
    guest->loop = loop;
    guest->reap_all = options->reap_all;
    guest->status = RETETHER_EXIT_FAILED;
    rt_conn_set_init(&guest->links, guest, loop, &rt_guest_conn_ops);
    if ((rc = configure(guest, options, why, why_size)) != 0) {
        rt_guest_free(guest);
        return rc;
    }
    if (rt_guest_list(options->argv, NULL, 0, &guest->argv) != RT_OK ||
        rt_guest_list(env, NULL, 0, &guest->env) != RT_OK ||
        (options->cwd != NULL && (guest->cwd = strdup(options->cwd)) == NULL)) {
        rt_guest_free(guest);
        return rt_fail(RT_ENOMEM, why, why_size, "%s", rt_strerror(RT_ENOMEM));
    }
    *out = guest;
    return RT_OK;
}

int retether_guest_start(struct retether_guest *guest)
{
    int rc;

    uv_update_time(guest->loop);
    guest->tether = rt_tether_new(&guest->config, rt_guest_now(guest));
    if (guest->tether == NULL) {
        return RT_ENOMEM;
    }
    (void)uv_prepare_init(guest->loop, &guest->prepare);
    (void)uv_timer_init(guest->loop, &guest->timer);
    guest->prepare.data = guest;
    guest->timer.data = guest;
    guest->open_handles = 2;
    guest->phase = RT_GUEST_RUNNING;
    /* The only one that can fail: libuv's first signal of a loop makes a pipe. */
    rc = uv_signal_init(guest->loop, &guest->child);
    if (rc == 0) {
        guest->child.data = guest;
        guest->open_handles = 3;
        rc = uv_signal_start(&guest->child, child_cb, SIGCHLD);
    }
    if (rc != 0) {
        guest->phase = RT_GUEST_OVER;
        return RT_EIO;
    }
    (void)uv_prepare_start(&guest->prepare, prepare_cb);
    rt_guest_wake(guest);
    return RT_OK;
}

void retether_guest_signal(struct retether_guest *guest, int signum)
{
    struct rt_guest_process *process = rt_guest_process_find(guest, 0);

    if (process != NULL) {
        rt_guest_process_signal(process, signum);
    }
}

static void handle_closed_cb(uv_handle_t *handle)
{
    struct retether_guest *guest = handle->data;

    guest->open_handles--;
    rt_guest_release(guest);
}

void retether_guest_stop(struct retether_guest *guest, void (*stopped)(void *ctx), void *ctx)
{
    struct rt_guest_process *process = guest->processes;

    guest->stopped = stopped;
    guest->stopped_ctx = ctx;
    guest->phase = RT_GUEST_STOPPING;
    rt_guest_conn_finish(guest);
    for (; process != NULL; process = process->next) {
        rt_guest_process_drop(process);
    }
    if (guest->open_handles > 0) {
        uv_close((uv_handle_t *)&guest->prepare, handle_closed_cb);
        uv_close((uv_handle_t *)&guest->timer, handle_closed_cb);
    }
    if (guest->open_handles > 2) {
        uv_close((uv_handle_t *)&guest->child, handle_closed_cb);
    }
    rt_guest_release(guest);
}
