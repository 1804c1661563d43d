/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "migrate/seal/crypto.h"
#include "migrate/seal/seal.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BEAT_MS 1000

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};
#define SIGNALS (sizeof signal_numbers / sizeof signal_numbers[0])

uint64_t rt_shell_now(const struct rt_shell *shell)
{
    return uv_now(&shell->loop);
}

static void tick_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;

    shell->timer_at = UINT64_MAX;
    rt_agent_tick(shell->agent, rt_shell_now(shell));
    rt_shell_settle(shell);
}

/* A deadline that has moved away leaves the timer as it is: it then comes early once, and finds nothing due. */
void rt_shell_settle(struct rt_shell *shell)
{
    uint64_t now = rt_shell_now(shell), at;

    rt_shell_flush(shell);
    at = rt_agent_deadline(shell->agent);
    if (at < shell->timer_at && shell->phase < RT_SHELL_CLOSING) {
        shell->timer_at = at;
        (void)uv_timer_start(&shell->timer, tick_cb, at > now ? at - now : 0, 0);
    }
}

static void event_cb(void *ctx, const struct rt_agent_event *event)
{
    struct rt_shell *shell = ctx;

    rt_log_event(&shell->log, event, rt_shell_now(shell));
}

static void random_cb(void *ctx, void *out, size_t size)
{
    struct rt_shell *shell = ctx;

    if (rt_crypto_random(out, size) != 0) {
        rt_log_note(&shell->log, RT_LOG_ERROR, RT_LOG_AGENT, "agent", rt_shell_now(shell),
                    "the system gives no random bytes; ids must not be guessable, so the agent ends");
        abort();
    }
}

static uint64_t wall_cb(void *ctx)
{
    struct timespec wall;

    (void)ctx;
    (void)clock_gettime(CLOCK_REALTIME, &wall);
    return (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
}

/* A socket file that somebody has removed leaves the agent unreachable. */
static void look_after(struct rt_shell *shell, struct rt_shell_listener *at, uint64_t now)
{
    char why[RT_TEXT_MAX], where[RT_ENDPOINT_TEXT_MAX];
    int rc = rt_listener_renew(&at->listener, why, sizeof why);

    if (rc > 0) {
        rt_endpoint_print(&at->listener.config.endpoint, where, sizeof where);
        rt_log_note(&shell->log, RT_LOG_WARN, RT_LOG_LISTENER, "listener", now,
                    "%s: somebody has removed the socket; made anew", where);
    } else if (rc < 0 && !at->gone_told) {
        rt_log_note(&shell->log, RT_LOG_ERROR, RT_LOG_LISTENER, "listener", now,
                    "the socket has been removed, and cannot be made anew, which is tried each second: %s", why);
    }
    at->gone_told = rc < 0;
}

/* Nobody can be accepted, or not without what the store and the state directory need. */
static void tell_shortage(struct rt_shell *shell, struct rt_shell_listener *at, uint64_t now)
{
    const struct rt_listener *listener = &at->listener;
    uint64_t times = listener->pauses + listener->short_of_fds;

    if (times != at->short_told) {
        rt_log_note(
            &shell->log, RT_LOG_ERROR, RT_LOG_LISTENER, "listener", now,
            "%s connections cannot be taken, %llu times: %s; raise the limit of open files (LimitNOFILE=, ulimit "
            "-Hn) or lower listen.max_guests and listen.max_clients",
            at->role == RT_PEER_GUEST ? "guests'" : "clients'", (unsigned long long)(times - at->short_told),
            listener->pauses > 0 ? strerror(listener->pause_error) : "too few descriptors are left");
        at->short_told = times;
    }
}

/* What is counted, unless all is as it was told. */
static void tell_stats(struct rt_shell *shell, uint64_t now)
{
    struct rt_agent_stats now_is, *stats = &now_is;
    uint64_t short_of_fds = 0;

    memset(stats, 0, sizeof *stats);
    rt_agent_stats(shell->agent, stats);
    shell->stats_at = now;
    if (memcmp(stats, &shell->stats_told, sizeof *stats) == 0) {
        return;
    }
    shell->stats_told = *stats;
    for (size_t i = 0; i < shell->n_listeners; i++) {
        short_of_fds += shell->listeners[i].short_told;
    }
#define N(value) (unsigned long long)(value)
    rt_log_note(
        &shell->log, RT_LOG_INFO, RT_LOG_AGENT, "stats", now,
        "guests %llu clients %llu handshakes %llu sessions %llu served %llu provisional %llu channels %llu held "
        "%llu claims %llu moves %llu forks %llu refused %llu forbidden %llu evicted-guests %llu evicted-clients "
        "%llu turned-away-guests %llu turned-away-clients %llu short-of-descriptors %llu",
        N(stats->guests), N(stats->clients), N(stats->handshakes), N(stats->sessions), N(stats->served),
        N(stats->provisional), N(stats->channels), N(stats->held), N(stats->claims), N(stats->moves), N(stats->forks),
        N(stats->refused), N(stats->forbidden), N(stats->evicted[RT_PEER_GUEST]), N(stats->evicted[RT_PEER_CLIENT]),
        N(stats->turned_away[RT_PEER_GUEST]), N(stats->turned_away[RT_PEER_CLIENT]), N(short_of_fds));
#undef N
}

static void beat_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;
    uint64_t now = rt_shell_now(shell);
    struct rt_agent_stats stats;

    rt_agent_stats(shell->agent, &stats);
    rt_shell_look_at_queues(shell);
    if (shell->store_open && shell->phase == RT_SHELL_RUNNING) {
        rt_store_set_sessions(&shell->store, stats.served);
    }
    for (size_t i = 0; i < shell->n_listeners; i++) {
        struct rt_shell_listener *at = &shell->listeners[i];
        tell_shortage(shell, at, now);
        if (shell->phase == RT_SHELL_RUNNING) {
            look_after(shell, at, now);
        }
    }
    if (now >= shell->stats_at + RT_SHELL_STATS_MS) {
        tell_stats(shell, now);
    }
    rt_log_flush(&shell->log, now);
}

static void signal_cb(uv_signal_t *handle, int number)
{
    struct rt_shell *shell = handle->data;

    if (number == SIGHUP) {
        rt_shell_reload_keys(shell);
    } else if (shell->phase >= RT_SHELL_STOPPING) {
        rt_log_note(&shell->log, RT_LOG_WARN, RT_LOG_AGENT, "stopped", rt_shell_now(shell),
                    "a second signal: ended at once");
        _exit(128 + number);
    } else {
        rt_log_note(&shell->log, RT_LOG_INFO, RT_LOG_AGENT, "stopping", rt_shell_now(shell), "signal %d", number);
        rt_shell_stop(shell, 0);
    }
}

static int make_agent(struct rt_shell *shell)
{
    struct rt_agent_config config = {.n_addr = shell->addr.n,
                                     .ticket_ttl_ms = shell->settings.ticket_ttl_ms,
                                     .store_timeout_ms = shell->settings.store_timeout_ms};

    (void)snprintf(config.host, sizeof config.host, "%.*s", RT_HOST_MAX, shell->settings.host_name);
    for (size_t i = 0; i < shell->addr.n; i++) {
        (void)snprintf(config.addr[i], sizeof config.addr[i], "%.*s", RT_ADDR_MAX, shell->addr.item[i]);
    }
    config.links_max[RT_PEER_GUEST] = (uint32_t)shell->settings.max_guests;
    config.links_max[RT_PEER_CLIENT] = (uint32_t)shell->settings.max_clients;
    config.sealer = rt_keyring_sealer(&shell->ring);
    config.io = (struct rt_agent_io){.ctx = shell,
                                     .send = rt_shell_send,
                                     .close = rt_shell_hang_up,
                                     .store = rt_shell_submit,
                                     .event = event_cb,
                                     .random = random_cb,
                                     .wall_ms = wall_cb,
                                     .keep_end = rt_shell_keep_end,
                                     .drop_end = rt_shell_drop_end};
    random_cb(shell, &config.seed, sizeof config.seed);
    shell->agent = rt_agent_new(&config, rt_shell_now(shell));
    return shell->agent == NULL ? RT_ENOMEM : 0;
}

/* A connection is a descriptor. Some are left to the store and the state directory, whoever connects. */
static void look_at_descriptors(struct rt_shell *shell)
{
    uint64_t wanted = shell->settings.max_guests + shell->settings.max_clients + RT_SHELL_FDS_RESERVED;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > INT_MAX) {
        return;
    }
    shell->max_fd = limit.rlim_cur > 2 * RT_SHELL_FDS_RESERVED ? (int)limit.rlim_cur - RT_SHELL_FDS_RESERVED
                                                               : (int)(limit.rlim_cur / 2);
    if (limit.rlim_cur < wanted) {
        rt_log_note(
            &shell->log, RT_LOG_WARN, RT_LOG_AGENT, "descriptors", rt_shell_now(shell),
            "%llu open files are allowed, and listen.max_guests and listen.max_clients want %llu: raise the limit "
            "(LimitNOFILE=, ulimit -Hn) or lower these",
            (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
    }
}

static void init_handles(struct rt_shell *shell)
{
    (void)uv_timer_init(&shell->loop, &shell->timer);
    (void)uv_timer_init(&shell->loop, &shell->beat);
    (void)uv_timer_init(&shell->loop, &shell->again);
    shell->timer.data = shell->beat.data = shell->again.data = shell;
    for (size_t i = 0; i < SIGNALS; i++) {
        (void)uv_signal_init(&shell->loop, &shell->signals[i]);
        shell->signals[i].data = shell;
        (void)uv_signal_start(&shell->signals[i], signal_cb, signal_numbers[i]);
    }
}

void rt_shell_start(struct rt_shell *shell, const struct rt_settings *settings)
{
    int rc;

    memset(shell, 0, sizeof *shell);
    shell->settings = *settings;
    shell->dirty_end = &shell->dirty;
    shell->timer_at = UINT64_MAX;
    shell->lock_fd = -1;
    rt_log_init(&shell->log, STDERR_FILENO, (enum rt_log_level)settings->log_level,
                (enum rt_log_format)settings->log_format);
    rt_buf_pool_init(&shell->pool);
    rt_keyring_init(&shell->ring);
    rc = uv_loop_init(&shell->loop);
    if (rc != 0) {
        rt_log_note(&shell->log, RT_LOG_ERROR, RT_LOG_AGENT, "agent", 0, "no event loop: %s", uv_strerror(rc));
        exit(1);
    }
    init_handles(shell);
    rt_log_note(&shell->log, RT_LOG_INFO, RT_LOG_AGENT, "starting", rt_shell_now(shell),
                "retetherd " RETETHER_VERSION " as host %s, pid %ld, state in %s", settings->host_name, (long)getpid(),
                settings->state_dir);
    look_at_descriptors(shell);
    if ((rc = rt_shell_open_state(shell)) != 0 || (rc = rt_shell_listen(shell)) != 0 || (rc = make_agent(shell)) != 0 ||
        (rc = rt_shell_open_ends(shell)) != 0 || (rc = rt_shell_open_store(shell)) != 0) {
        rt_log_note(&shell->log, RT_LOG_ERROR, RT_LOG_AGENT, "not-started", rt_shell_now(shell), "%s", rt_strerror(rc));
        rt_shell_stop(shell, 1);
        return;
    }
    (void)uv_timer_start(&shell->beat, beat_cb, BEAT_MS, BEAT_MS);
    shell->phase = RT_SHELL_RUNNING;
    rt_shell_settle(shell);
}

static void overdue_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;

    rt_log_note(&shell->log, RT_LOG_WARN, RT_LOG_AGENT, "stopped", rt_shell_now(shell),
                "the %s does not answer in time; ended without waiting for it",
                rt_disk_idle(&shell->disk) ? "store" : "disk");
    _exit(shell->exit_code);
}

/* Whatever has not been said by now is not said. */
static void close_all(struct rt_shell *shell)
{
    uint64_t past = rt_shell_now(shell) - shell->stop_at;

    shell->phase = RT_SHELL_CLOSING;
    (void)uv_timer_stop(&shell->timer);
    (void)uv_timer_start(&shell->again, overdue_cb, past < RT_SHELL_END_MS ? RT_SHELL_END_MS - past : 0, 0);
    rt_shell_close_conns(shell);
    rt_shell_close_store(shell);
}

static void close_handle_cb(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (uv_is_closing(handle) == 0) {
        uv_close(handle, NULL);
    }
}

void rt_shell_progress(struct rt_shell *shell)
{
    bool is_quiet = shell->n_conns == 0 && rt_disk_idle(&shell->disk) && !shell->keys.reading;

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

void rt_shell_stop(struct rt_shell *shell, int exit_code)
{
    if (shell->phase >= RT_SHELL_STOPPING) {
        return;
    }
    shell->phase = RT_SHELL_STOPPING;
    shell->exit_code = exit_code;
    shell->stop_at = rt_shell_now(shell);
    (void)uv_timer_stop(&shell->beat);
    (void)uv_timer_start(&shell->again, enough_cb, RT_SHELL_STOP_MS, 0);
    rt_shell_unlisten(shell);
    if (shell->agent != NULL) {
        tell_stats(shell, rt_shell_now(shell));
        rt_agent_stop(shell->agent, rt_shell_now(shell));
        rt_shell_settle(shell);
    }
    rt_shell_progress(shell);
}

int rt_shell_run(struct rt_shell *shell)
{
    (void)uv_run(&shell->loop, UV_RUN_DEFAULT);
    rt_log_note(&shell->log, RT_LOG_INFO, RT_LOG_AGENT, "stopped", rt_shell_now(shell), "exit %d", shell->exit_code);
    (void)uv_loop_close(&shell->loop);
    rt_agent_free(shell->agent);
    rt_shell_free_batches(shell);
    rt_buf_pool_close(&shell->pool);
    rt_keyring_close(&shell->ring);
    if (shell->lock_fd >= 0) {
        (void)close(shell->lock_fd);
    }
    return shell->exit_code;
}
