/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"
#include "broker/sandbox.h"
#include "broker/service.h"
#include "session/base/sanitizer.h"
#include "session/base/timer.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BEAT_MS 1000

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};
#define SIGNALS (sizeof(signal_numbers) / sizeof(signal_numbers[0]))

/* Logs what is counted, if anything has changed since. */
static void tell_counters(struct rt_shell *shell, uint64_t now)
{
    struct rt_counter all[RT_SHELL_COUNTERS_MAX];
    char text[RT_SHELL_COUNTERS_MAX * RT_SHELL_COUNTER_TEXT_MAX];
    size_t n = rt_shell_counters(shell, all), size = 0;
    uint64_t values[RT_SHELL_COUNTERS_MAX] = {0};

    for (size_t i = 0; i < n; i++) {
        size += (size_t)snprintf(text + size, RT_SHELL_COUNTER_TEXT_MAX, "%s%s %llu", i == 0 ? "" : " ", all[i].name,
                                 (unsigned long long)all[i].value);
        values[i] = all[i].value;
    }
    shell->stats_at = now;
    if (memcmp(values, shell->stats_told, sizeof(values)) != 0) {
        memcpy(shell->stats_told, values, sizeof(values));
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_AGENT, "stats", "%s", text);
    }
}

static void beat_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;
    uint64_t now = rt_shell_now(shell);

    for (const struct rt_service *const *at = shell->services; *at != NULL; at++) {
        (*at)->beat(shell);
    }
    rt_shell_look_after_listeners(shell);
    rt_shell_look_at_vm_map(shell, false);
    if (now >= shell->stats_at + RT_SHELL_STATS_MS) {
        tell_counters(shell, now);
    }
    rt_notify_alive(&shell->notify);
    rt_log_flush(&shell->log, now);
}

static void signal_cb(uv_signal_t *handle, int number)
{
    struct rt_shell *shell = handle->data;

    if (number == SIGHUP) {
        rt_shell_reload_trust(shell);
        rt_shell_look_at_vm_map(shell, true);
    } else if (shell->phase >= RT_SHELL_STOPPING) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_AGENT, "stopped", "a second signal: ended at once");
        _exit(128 + number);
    } else {
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_AGENT, "stopping", "signal %d", number);
        rt_shell_stop(shell, 0);
    }
}

/* A connection is a descriptor. Some are left to the store and the state directory, whoever connects. */
static void look_at_descriptors(struct rt_shell *shell)
{
    uint64_t wanted = shell->settings.max_guests + shell->settings.max_clients + RT_SHELL_FDS_RESERVED;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > INT_MAX) {
        return;
    }
    shell->conns_max = (unsigned)(limit.rlim_cur > 2UL * RT_SHELL_FDS_RESERVED ? limit.rlim_cur - RT_SHELL_FDS_RESERVED
                                                                               : limit.rlim_cur / 2);
    if (limit.rlim_cur < wanted) {
        rt_shell_note(
            shell, RT_LOG_WARN, RT_LOG_AGENT, "descriptors",
            "%llu open files are allowed, and listen.max_guests and listen.max_clients want %llu: raise the limit "
            "(LimitNOFILE=, ulimit -Hn) or lower these",
            (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
    }
}

static void overdue_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;

    rt_shell_note(shell, RT_LOG_WARN, RT_LOG_AGENT, "stopped",
                  "the %s does not answer in time; ended without waiting for it",
                  rt_shell_disk_idle(shell) ? "store" : "disk");
    _exit(shell->exit_code);
}

/* Closes all. What has not been said by now is not said. */
static void close_all(struct rt_shell *shell)
{
    uint64_t past = rt_shell_now(shell) - shell->stop_at;

    shell->phase = RT_SHELL_CLOSING;
    (void)uv_timer_stop(&shell->timer);
    (void)uv_timer_start(&shell->again, overdue_cb, past < RT_SHELL_END_MS ? RT_SHELL_END_MS - past : 0, 0);
    for (const struct rt_service *const *at = shell->services; *at != NULL; at++) {
        (*at)->close(shell);
    }
    rt_shell_close_store(shell);
}

static void close_handle_cb(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (uv_is_closing(handle) == 0) {
        uv_close(handle, NULL);
    }
}

/* Looks whether what stopping waits for is done. */
static void progress(struct rt_shell *shell)
{
    bool is_quiet = rt_shell_connections(shell) == 0 && rt_shell_disk_idle(shell) &&
                    shell->trust.phase == RT_TRUST_IDLE && shell->vm_map.phase == RT_MAP_IDLE;

    if (shell->phase == RT_SHELL_STOPPING && is_quiet && shell->n_ops == 0) {
        close_all(shell);
    } else if (shell->phase == RT_SHELL_CLOSING && is_quiet && !shell->store_open && !shell->embedded_open) {
        uv_walk(&shell->loop, close_handle_cb, NULL); /* only our own timers and signals are left */
    }
}

static void enough_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;

    if (shell->phase == RT_SHELL_STOPPING) {
        close_all(shell);
    }
}

static void stop(struct rt_shell *shell)
{
    if (shell->phase == RT_SHELL_RUNNING) {
        tell_counters(shell, rt_shell_now(shell));
    }
    rt_notify_say(&shell->notify, "STOPPING=1");
    shell->phase = RT_SHELL_STOPPING;
    shell->stop_at = rt_shell_now(shell);
    (void)uv_timer_stop(&shell->beat);
    (void)uv_timer_start(&shell->again, enough_cb, RT_SHELL_STOP_MS, 0);
    rt_shell_unlisten(shell);
    for (const struct rt_service *const *at = shell->services; *at != NULL; at++) {
        (*at)->stop(shell);
    }
    progress(shell);
}

static void wake_cb(uv_async_t *wake)
{
    struct rt_shell *shell = wake->data;

    if (shell->stop_due && shell->phase < RT_SHELL_STOPPING) {
        stop(shell);
    } else {
        progress(shell);
    }
}

static int open_services(struct rt_shell *shell)
{
    int rc = 0;

    for (const struct rt_service *const *at = shell->services; rc == 0 && *at != NULL; at++) {
        rc = (*at)->open(shell);
    }
    return rc;
}

/* Everything is open: from here on the agent needs little. */
static int lock_in(struct rt_shell *shell)
{
    const struct rt_settings *settings = &shell->settings;
    char why[RT_SETTING_WHY_MAX];

    if (!rt_sandbox_hold(settings, &shell->ring, sizeof(shell->ring)) ||
        !rt_sandbox_hold(settings, &shell->trust.next.ring, sizeof(shell->trust.next.ring))) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_AGENT, "sandbox",
                      "the keys may be swapped out: %s (LimitMEMLOCK=, ulimit -Hl)", strerror(errno));
    }
    if (rt_sandbox_lock(settings, why, sizeof(why)) != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_AGENT, "sandbox", "%s", why);
        return RT_EIO;
    }
    if (settings->sandbox == 0 || rt_sanitizer() != NULL) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_AGENT, "sandbox", "system calls are not limited: %s%s",
                      settings->sandbox == 0 ? "" : "built with ",
                      settings->sandbox == 0 ? "sandbox = off" : rt_sanitizer());
    }
    return 0;
}

static void init_handles(struct rt_shell *shell)
{
    (void)uv_timer_init(&shell->loop, &shell->timer);
    (void)uv_timer_init(&shell->loop, &shell->beat);
    (void)uv_timer_init(&shell->loop, &shell->again);
    (void)uv_async_init(&shell->loop, &shell->wake, wake_cb);
    shell->timer.data = shell->beat.data = shell->again.data = shell->wake.data = shell;
    for (size_t i = 0; i < SIGNALS; i++) {
        (void)uv_signal_init(&shell->loop, &shell->signals[i]);
        shell->signals[i].data = shell;
        (void)uv_signal_start(&shell->signals[i], signal_cb, signal_numbers[i]);
    }
}

void rt_shell_start(struct rt_shell *shell, const struct rt_settings *settings,
                    const struct rt_service *const *services)
{
    int rc;

    memset(shell, 0, sizeof(*shell));
    shell->settings = *settings;
    shell->services = services;
    shell->dirty_end = &shell->dirty;
    shell->timer_at = RT_NEVER;
    shell->lock_fd = -1;
    rt_log_init(&shell->log, STDERR_FILENO, (enum rt_log_level)settings->log_level,
                (enum rt_log_format)settings->log_format);
    rt_notify_open(&shell->notify);
    if (rt_shell_prepare_store(shell) != 0) {
        exit(1);
    }
    rt_list_init(&shell->links);
    rt_buf_pool_init(&shell->pool);
    rt_keyring_init(&shell->ring);
    rt_tls_init(&shell->tls);
    rt_tls_init(&shell->store_tls);
    rc = uv_loop_init(&shell->loop);
    if (rc != 0) {
        rt_log_note(&shell->log, RT_LOG_ERROR, RT_LOG_AGENT, "agent", 0, "no event loop: %s", uv_strerror(rc));
        exit(1);
    }
    init_handles(shell);
    rt_shell_note(shell, RT_LOG_INFO, RT_LOG_AGENT, "starting",
                  "retetherd " RETETHER_VERSION " as host %s, pid %ld, state in %s", settings->host_name,
                  (long)getpid(), settings->state_dir);
    look_at_descriptors(shell);
    if ((rc = rt_shell_open_state(shell)) != 0 || (rc = rt_shell_open_vm_map(shell)) != 0 ||
        (rc = rt_shell_listen(shell)) != 0 || (rc = open_services(shell)) != 0 || (rc = lock_in(shell)) != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_AGENT, "not-started", "%s", rt_strerror(rc));
        rt_shell_stop(shell, 1);
        return;
    }
    (void)uv_timer_start(&shell->beat, beat_cb, BEAT_MS, BEAT_MS);
    shell->stats_at = rt_shell_now(shell);
    shell->phase = RT_SHELL_RUNNING;
    rt_notify_say(&shell->notify, "READY=1\nSTATUS=it listens, and is not in the store yet");
    rt_shell_settle(shell);
}

int rt_shell_run(struct rt_shell *shell)
{
    (void)uv_run(&shell->loop, UV_RUN_DEFAULT);
    rt_shell_note(shell, RT_LOG_INFO, RT_LOG_AGENT, "stopped", "exit %d", shell->exit_code);
    (void)uv_loop_close(&shell->loop);
    rt_agent_free(shell->agent);
    rt_shell_free_batches(shell);
    rt_buf_pool_close(&shell->pool);
    rt_keyring_close(&shell->ring);
    rt_embedded_close(&shell->embedded);
    rt_notify_close(&shell->notify);
    rt_tls_close(&shell->tls);
    rt_tls_close(&shell->store_tls);
    rt_vm_map_free(&shell->vm_map.used);
    for (size_t i = 0; i < shell->n_vms_dirs; i++) {
        free(shell->vms[i]);
    }
    if (shell->lock_fd >= 0) {
        (void)close(shell->lock_fd);
    }
    return shell->exit_code;
}
