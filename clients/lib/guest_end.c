/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include <stdlib.h>
#include <unistd.h>

/* How the parts of a runner end: a descriptor, a process once its descriptors have, the runner once all processes and
 * its link have. */

void rt_guest_free(struct retether_guest *guest)
{
    rt_conn_set_close(&guest->links);
    rt_tether_free(guest->tether);
    free((void *)guest->argv);
    free((void *)guest->env);
    free(guest->cwd);
    free(guest);
}

void rt_guest_release(struct retether_guest *guest)
{
    void (*stopped)(void *ctx) = guest->stopped;
    void *ctx = guest->stopped_ctx;

    if (guest->phase != RT_GUEST_STOPPING || guest->open_handles > 0 || guest->links.n > 0 ||
        guest->processes != NULL) {
        return;
    }
    rt_guest_free(guest);
    if (stopped != NULL) {
        stopped(ctx);
    }
}

static void process_free(struct rt_guest_process *process)
{
    struct retether_guest *guest = process->guest;
    struct rt_guest_process **at = &guest->processes;

    while (*at != process) {
        at = &(*at)->next;
    }
    *at = process->next;
    free(process);
    rt_guest_release(guest);
}

static void handle_closed_cb(uv_handle_t *handle)
{
    struct rt_guest_process *process = handle->data;

    process->open_handles--;
    rt_guest_process_settle(process);
}

void rt_guest_fd_close(struct rt_guest_fd *fd)
{
    if (fd->fd >= 0) {
        fd->poll.data = fd->process;
        uv_close((uv_handle_t *)&fd->poll, handle_closed_cb);
        close(fd->fd);
        fd->fd = -1;
        fd->events = 0;
    }
}

void rt_guest_pipes_close(struct rt_guest_process *process)
{
    rt_guest_fd_close(&process->in);
    rt_guest_fd_close(&process->out);
    rt_guest_fd_close(&process->err);
}

static bool process_is_dropped(const struct rt_guest_process *process)
{
    return uv_is_closing((const uv_handle_t *)&process->rest);
}

void rt_guest_process_drop(struct rt_guest_process *process)
{
    rt_guest_pipes_close(process);
    if (!process_is_dropped(process)) {
        uv_close((uv_handle_t *)&process->rest, handle_closed_cb);
    }
}

void rt_guest_process_settle(struct rt_guest_process *process)
{
    if (process_is_dropped(process)) {
        if (process->open_handles == 0) {
            process_free(process);
        }
    } else if (process->pid == 0 && process->out.fd < 0 && process->err.fd < 0) {
        rt_guest_process_drop(process);
    }
}
