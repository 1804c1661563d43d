/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "migrate/store/login.h"
#include "session/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The store: configured, or a private one. */

int rt_shell_submit(void *ctx, const struct rt_store_op *op)
{
    struct rt_shell *shell = ctx;
    bool find = op->kind == RT_STORE_FIND;
    int rc;

    if (!shell->store_open) {
        return RT_EUNAVAIL;
    }
    /* The bound is for clients' listings. A FIND over every tenant is an operator's, or the agent's own census, which
     * must not fail because clients list much. */
    if (find && shell->n_finds >= RT_AGENT_LISTS_MAX && op->key.tenant[0] != '\0') {
        return RT_ELIMIT;
    }
    rc = rt_store_submit(&shell->store, op);
    if (rc == 0) {
        shell->n_ops++;
        shell->n_finds += find;
    }
    return rc;
}

static void reply_cb(void *ctx, const struct rt_store_reply *reply)
{
    struct rt_shell *shell = ctx;

    shell->n_ops--;
    shell->n_finds -= reply->kind == RT_STORE_FIND;
    rt_agent_store_reply(shell->agent, reply, rt_shell_now(shell));
    rt_shell_settle(shell);
    rt_shell_progress(shell);
}

static void news_cb(void *ctx, const struct rt_store_news *news)
{
    struct rt_shell *shell = ctx;

    if (news->kind == RT_STORE_UP && !shell->store_was_up) {
        shell->store_was_up = true;
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_AGENT, "ready", "host %s is in the store", shell->settings.host_name);
        rt_notify_say(&shell->notify, "STATUS=it is in the store");
    }
    rt_agent_store_news(shell->agent, news, rt_shell_now(shell));
    rt_shell_settle(shell);
    if (news->kind == RT_STORE_TAKEN && !shell->store_was_up && shell->phase == RT_SHELL_RUNNING) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_AGENT, "name-taken",
                      "another live agent goes by the name %s; give this one its own host.name (--host-name)",
                      shell->settings.host_name);
        rt_shell_stop(shell, 1);
    }
}

static void log_cb(void *ctx, enum rt_log_level level, const char *text)
{
    struct rt_shell *shell = ctx;

    rt_shell_note(shell, level, RT_LOG_STORE, "store", "%s", text);
}

/* Whether a file that is read at each dial will do now. */
static int check_login(struct rt_shell *shell, const char *setting, const char *path)
{
    struct rt_login login;
    char why[RT_SETTING_WHY_MAX];
    int rc = path[0] == '\0' ? 0 : rt_login_read(&login, path, why, sizeof(why));

    explicit_bzero(&login, sizeof(login));
    if (rc != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_STORE, "store", "%s: %s", setting, why);
    }
    return rc;
}

/* Where the settings say whom to dial, they say how. */
static int set_access(struct rt_shell *shell, struct rt_store_config *config)
{
    const struct rt_settings *settings = &shell->settings;
    int rc = check_login(shell, "store.password_file", settings->store_password_file);

    if (rc == 0) {
        rc = check_login(shell, "store.sentinel_password_file", settings->store_sentinel_password_file);
    }
    config->login_file = settings->store_password_file;
    config->sentinel_login_file = settings->store_sentinel_password_file;
    config->secure = (struct rt_wire_setup){.ops = &rt_wire_tls, .context = &shell->store_tls};
    return rc;
}

static int connect_store(struct rt_shell *shell, const char *const *endpoints, size_t n)
{
    struct rt_store_config config = {.n_endpoints = n};
    char machine[RT_MACHINE_MAX + 2] = "";
    size_t size;
    int rc;

    for (size_t i = 0; i < n; i++) {
        config.endpoints[i] = endpoints[i];
    }
    if (shell->settings.store.n > 0) {
        rc = set_access(shell, &config);
        if (rc != 0) {
            return rc;
        }
    }
    config.host = shell->settings.host_name;
    config.n_addr = shell->addr.n;
    for (size_t i = 0; i < shell->addr.n; i++) {
        config.addr[i] = shell->addr.item[i];
    }
    config.version = RETETHER_VERSION;
    /* What all agree on that share a kernel, and so the names of its files. */
    if (rt_read_file("/proc/sys/kernel/random/boot_id", machine, sizeof(machine), &size) == RT_OK && size > 1) {
        machine[size - 1] = '\0'; /* the newline */
        config.machine = machine;
    }
    config.instance = shell->instance;
    config.tails_host = shell->settings.store_tails_host;
    config.tails_all = shell->settings.store_tails;
    config.op_timeout_ms = config.connect_timeout_ms = shell->settings.store_timeout_ms;
    config.ctx = shell;
    config.on_reply = reply_cb;
    config.on_news = news_cb;
    config.on_log = log_cb;
    rc = rt_store_init(&shell->store, &shell->loop, &config);
    if (rc != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_STORE, "store", "%s%s", rt_strerror(rc),
                      rc == RT_ECONFIG ? ": store.endpoints, host.name or host.advertise" : "");
        return rc;
    }
    shell->store_open = true;
    rt_store_start(&shell->store);
    return 0;
}

static void embedded_up_cb(void *ctx, const char *endpoint, bool adopted)
{
    struct rt_shell *shell = ctx;

    rt_shell_note(shell, RT_LOG_INFO, RT_LOG_STORE, "store", "private redis-server %s: %s",
                  adopted ? "adopted from an earlier run" : "started", endpoint);
    if (!shell->store_open && shell->phase < RT_SHELL_STOPPING && connect_store(shell, &endpoint, 1) != 0) {
        rt_shell_stop(shell, 1);
    }
}

static int start_embedded(struct rt_shell *shell);

static int not_private(struct rt_shell *shell, int rc, const char *why)
{
    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_STORE, "store",
                  "no store is configured and the private one does not start: %s", why);
    return rc;
}

static void again_cb(uv_timer_t *timer)
{
    struct rt_shell *shell = timer->data;

    if (start_embedded(shell) != 0) {
        (void)uv_timer_start(&shell->again, again_cb, RT_SHELL_EMBEDDED_AGAIN_MS, 0);
    }
}

static void embedded_gone_cb(struct rt_embedded *embedded)
{
    struct rt_shell *shell = embedded->config.ctx;

    shell->embedded_open = false;
    if (shell->phase < RT_SHELL_STOPPING) {
        (void)uv_timer_start(&shell->again, again_cb, RT_SHELL_EMBEDDED_AGAIN_MS, 0);
    }
    rt_shell_progress(shell);
}

static void embedded_failed_cb(void *ctx, int error, const char *why)
{
    struct rt_shell *shell = ctx;

    (void)error;
    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_STORE, "store", "%s", why);
    if (shell->phase >= RT_SHELL_STOPPING) {
        return;
    }
    if (!shell->store_was_up) {
        rt_shell_stop(shell, 1);
    } else {
        rt_embedded_stop(&shell->embedded, embedded_gone_cb);
    }
}

int rt_shell_prepare_store(struct rt_shell *shell)
{
    char dir[RT_SETTING_TEXT_MAX + 16], why[RT_SETTING_WHY_MAX];
    struct rt_embedded_config config = {.dir = dir,
                                        .program = shell->settings.redis_server,
                                        .ctx = shell,
                                        .on_up = embedded_up_cb,
                                        .on_failed = embedded_failed_cb};
    int rc;

    if (shell->settings.store.n > 0) {
        shell->embedded.starter.fd = -1;
        return 0;
    }
    (void)snprintf(dir, sizeof(dir), "%s/redis", shell->settings.state_dir);
    rc = rt_embedded_prepare(&shell->embedded, &config, why, sizeof(why));
    return rc == 0 ? 0 : not_private(shell, rc, why);
}

static int start_embedded(struct rt_shell *shell)
{
    const char *dir = shell->embedded.dir;
    char why[RT_SETTING_WHY_MAX];
    int rc;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        (void)snprintf(why, sizeof(why), "%s: %s", dir, strerror(errno));
        return not_private(shell, RT_EIO, why);
    }
    rc = rt_embedded_start(&shell->embedded, &shell->loop);
    shell->embedded_open = rc == 0;
    return rc == 0 ? 0 : not_private(shell, rc, rt_strerror(rc));
}

int rt_shell_open_store(struct rt_shell *shell)
{
    const char *endpoints[RT_SETTING_ITEMS_MAX];

    if (shell->settings.store.n == 0) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_STORE, "store",
                      "no store is configured: a private redis-server is used, for this host alone; containers cannot "
                      "move to other hosts");
        return start_embedded(shell);
    }
    for (size_t i = 0; i < shell->settings.store.n; i++) {
        endpoints[i] = shell->settings.store.item[i];
    }
    return connect_store(shell, endpoints, shell->settings.store.n);
}

static void store_gone_cb(struct rt_store *store)
{
    struct rt_shell *shell = store->config.ctx;

    shell->store_open = false;
    rt_shell_close_store(shell);
}

/* The store first, then the private server; the last one tells. */
void rt_shell_close_store(struct rt_shell *shell)
{
    if (shell->store_open) {
        rt_store_stop(&shell->store, store_gone_cb);
    } else if (shell->embedded_open) {
        rt_embedded_stop(&shell->embedded, embedded_gone_cb);
    } else {
        rt_shell_progress(shell);
    }
}
