/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include "clients/lib/guest_pty.h"
#include "session/core/msg_stream.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* What an exec asked for, as spawn wants it. */
struct exec_text {
    char **argv, **env, **cwd; /* owned */
};

struct rt_guest_process *rt_guest_process_find(const struct retether_guest *guest, uint32_t id)
{
    struct rt_guest_process *process = guest->processes;

    while (process != NULL && process->id != id) {
        process = process->next;
    }
    return process;
}

/* ---- the end of one ---- */

void rt_guest_process_exited(struct rt_guest_process *process, int status)
{
    struct retether_guest *guest = process->guest;
    unsigned sig = WIFSIGNALED(status) ? (unsigned)WTERMSIG(status) : 0;
    unsigned code = sig != 0 ? 0 : (unsigned)WEXITSTATUS(status);
    char reason[64];

    process->pid = 0;
    if (process->id == 0) {
        guest->status = sig != 0 ? 128 + (int)sig : (int)code;
    }
    snprintf(reason, sizeof(reason), sig != 0 ? "signal %u" : "code %u", sig != 0 ? sig : code);
    rt_guest_tell_process(guest, process->id, "running", "exited", reason);
    rt_tether_exited(guest->tether, process->id, code, sig, rt_guest_now(guest));
    /* Now a pty's EIO counts as its end: look again. */
    (void)uv_timer_stop(&process->rest);
    rt_guest_wake(guest);
    rt_guest_process_settle(process);
}

/* ---- signals ---- */

void rt_guest_process_signal(struct rt_guest_process *process, int sig)
{
    pid_t front = process->tty && process->out.fd >= 0 ? rt_pty_foreground(process->out.fd) : 0;

    if (process->pid == 0) {
        return; /* reaped */
    }
    if (front > 0) {
        (void)kill(-front, sig);
    }
    /* What the keyboard would send is for the foreground alone. A shell would survive the death of its job. */
    if (front == 0 || (front != process->pid && sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP && sig != SIGWINCH)) {
        (void)kill(process->pid, sig);
    }
    if (sig == SIGKILL) {
        (void)kill(-process->pid, sig);
    }
}

void rt_guest_process_resize(struct rt_guest_process *process, unsigned rows, unsigned cols)
{
    if (process->tty && process->out.fd >= 0) {
        rt_pty_resize(process->out.fd, rows, cols);
    }
}

/* ---- the start ---- */

static void exec_free(struct exec_text *text)
{
    free((void *)text->argv);
    free((void *)text->env);
    free((void *)text->cwd);
}

static int exec_prepare(struct exec_text *text, const struct retether_guest *guest, const struct rt_exec_msg *exec)
{
    int rc;

    if ((rc = rt_guest_list(NULL, exec->argv, exec->n_argv, &text->argv)) != RT_OK ||
        (rc = rt_guest_list((const char *const *)guest->env, exec->env, exec->n_env, &text->env)) != RT_OK) {
        return rc;
    }
    return rt_guest_list(NULL, &exec->cwd, 1, &text->cwd);
}

/* Returns 0 with the process in the list, or the code that says why it does not run. */
static int process_run(struct retether_guest *guest, uint32_t id, const struct rt_spawn_spec *spec,
                       char why[RT_SPAWN_WHY_MAX])
{
    struct rt_guest_process *process = calloc(1, sizeof(*process));
    struct rt_spawned spawned;
    int code;

    if (process == NULL) {
        snprintf(why, RT_SPAWN_WHY_MAX, "cannot run %s: out of memory", spec->argv[0]);
        return RT_SPAWN_CANNOT_RUN;
    }
    code = rt_spawn(spec, &spawned, why);
    if (code != 0) {
        free(process);
        return code;
    }
    process->guest = guest;
    process->id = id;
    process->tty = spec->tty;
    process->pid = spawned.pid;
    process->open_handles = 1;
    (void)uv_timer_init(guest->loop, &process->rest);
    process->rest.data = process;
    process->next = guest->processes;
    guest->processes = process;
    if (rt_guest_pipes_open(process, &spawned) != 0) {
        (void)kill(spawned.pid, SIGKILL);
        while (waitpid(spawned.pid, NULL, 0) < 0 && errno == EINTR) {
        }
        process->pid = 0;
        rt_guest_process_drop(process);
        snprintf(why, RT_SPAWN_WHY_MAX, "cannot watch %s", spec->argv[0]);
        return RT_SPAWN_CANNOT_RUN;
    }
    return 0;
}

void rt_guest_process_start(struct retether_guest *guest, const struct rt_tether_action *action)
{
    struct exec_text text = {.argv = NULL, .env = NULL, .cwd = NULL};
    struct rt_spawn_spec spec = {
        .argv = (const char *const *)guest->argv,
        .env = (const char *const *)guest->env,
        .cwd = guest->cwd,
        .tty = action->tty,
        .in = action->in,
        .rows = action->rows,
        .cols = action->cols,
    };
    uint32_t id = action->proc;
    char why[RT_SPAWN_WHY_MAX] = "";
    int code = 0;

    if (action->exec != NULL) {
        int rc = exec_prepare(&text, guest, action->exec);

        if (rc != 0) {
            snprintf(why, sizeof(why), "cannot use what is to be run: %s", rt_strerror(rc));
            code = RT_SPAWN_CANNOT_RUN;
        }
        spec.argv = (const char *const *)text.argv;
        spec.env = (const char *const *)text.env;
        spec.cwd = rc == 0 && text.cwd[0][0] != '\0' ? text.cwd[0] : guest->cwd;
    }
    if (code == 0) {
        code = process_run(guest, id, &spec, why);
    }
    if (code != 0 && id == 0) {
        guest->status = code;
    }
    rt_guest_tell_process(guest, id, "starting", code == 0 ? "running" : "failed", why);
    rt_tether_started(guest->tether, id, (unsigned)code, rt_guest_now(guest));
    exec_free(&text);
}
