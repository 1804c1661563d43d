/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/shell.h"

#include "session/base/file.h"
#include "session/base/random.h"
#include "session/base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The state directory: a lock, the installation's identity, ends, what is revoked, and whether the host drains. */

#define DRAINS_PATH_MAX (RT_SETTING_TEXT_MAX + 16)

__attribute__((format(printf, 2, 3))) static int fail(struct rt_shell *shell, const char *format, ...)
{
    char text[RT_SETTING_WHY_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "state", "%s", text);
    return RT_EIO;
}

static int lock(struct rt_shell *shell)
{
    const char *dir = shell->settings.state_dir;
    char path[RT_SETTING_TEXT_MAX + 16];

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return fail(shell, "state_dir %s cannot be made: %s", dir, strerror(errno));
    }
    (void)snprintf(path, sizeof(path), "%s/lock", dir);
    shell->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (shell->lock_fd < 0) {
        return fail(shell, "%s: %s", path, strerror(errno));
    }
    if (flock(shell->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return fail(shell, "state_dir %s is in use: another retetherd runs with it", dir);
    }
    return 0;
}

/* 16 random bytes, made once: by them the store knows this installation again after a crash. */
static int identify(struct rt_shell *shell)
{
    char path[RT_SETTING_TEXT_MAX + 16];
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/instance", shell->settings.state_dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(shell, "%s: %s", path, strerror(errno));
    }
    n = read(fd, shell->instance.b, sizeof(shell->instance.b));
    if (n != (ssize_t)sizeof(shell->instance.b)) {
        rt_random_fill(NULL, shell->instance.b, sizeof(shell->instance.b));
        if (pwrite(fd, shell->instance.b, sizeof(shell->instance.b), 0) != (ssize_t)sizeof(shell->instance.b)) {
            (void)close(fd);
            return fail(shell, "%s cannot be written", path);
        }
    }
    (void)close(fd);
    return 0;
}

static void kept_cb(void *ctx, const struct rt_store_op *end)
{
    struct rt_shell *shell = ctx;

    rt_agent_kept_end(shell->agent, end, rt_shell_now(shell));
}

static void bad_cb(void *ctx, const char *path, const char *why)
{
    struct rt_shell *shell = ctx;

    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "end-unreadable", "%s: %s", path, why);
}

int rt_shell_open_state(struct rt_shell *shell)
{
    int rc = lock(shell);

    if (rc == 0) {
        rc = identify(shell);
    }
    return rc == 0 ? rt_shell_open_trust(shell) : rc;
}

static void not_kept(struct rt_shell *shell, const char *why)
{
    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "end-not-kept", "%s", why);
}

static void written_cb(void *ctx, uint32_t id, const struct rt_store_op *end, int error, const char *why)
{
    struct rt_shell *shell = ctx;

    (void)end;
    if (error != 0) {
        not_kept(shell, why);
    }
    rt_agent_disk_reply(shell->agent, id, error, rt_shell_now(shell));
    rt_shell_settle(shell);
}

static void progress_cb(void *ctx)
{
    rt_shell_progress(ctx);
}

/* Before anybody is served, so on the loop. */
int rt_shell_open_ends(struct rt_shell *shell)
{
    char dir[RT_SETTING_TEXT_MAX + 16];

    (void)snprintf(dir, sizeof(dir), "%s/ends", shell->settings.state_dir);
    rt_disk_init(&shell->disk, &shell->loop, &shell->ends, written_cb, progress_cb, shell);
    if (rt_ends_open(&shell->ends, dir, shell->settings.max_ends, kept_cb, bad_cb, shell) != 0) {
        return fail(shell, "%s", shell->ends.why);
    }
    if (shell->ends.n > 0) {
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_DISK, "ends", "%zu ends of an earlier run wait for the store",
                      shell->ends.n);
    }
    return 0;
}

int rt_shell_keep_end(void *ctx, uint32_t id, const struct rt_store_op *end)
{
    struct rt_shell *shell = ctx;
    int rc = rt_disk_keep(&shell->disk, id, end);

    if (rc != 0) {
        not_kept(shell, rc == RT_ELIMIT ? "the disk is slow: too many ends wait for it" : rt_strerror(rc));
    }
    return rc;
}

void rt_shell_drop_end(void *ctx, const struct rt_key *key, uint64_t life)
{
    struct rt_shell *shell = ctx;

    rt_disk_drop(&shell->disk, key, life);
}

/* ---- what is revoked ---- */

static void kept_revoked_cb(void *ctx, const struct rt_store_op *op)
{
    struct rt_shell *shell = ctx;

    rt_agent_kept_revoked(shell->agent, &op->key, op->life, rt_shell_now(shell));
}

static void bad_revoked_cb(void *ctx, const char *path, const char *why)
{
    struct rt_shell *shell = ctx;

    rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "revoked-unreadable", "%s: %s", path, why);
}

/* The agent asks again until it is written: what goes on is told once. */
static void tell_revoked(struct rt_shell *shell, int error, const char *why)
{
    if (error != 0 && !shell->revoked_fails) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "revoked-not-kept", "%s; it is tried again", why);
    } else if (error == 0 && shell->revoked_fails) {
        rt_shell_note(shell, RT_LOG_INFO, RT_LOG_DISK, "revoked-kept", "what is revoked is written again");
    }
    shell->revoked_fails = error != 0;
}

static void revoked_written_cb(void *ctx, uint32_t id, const struct rt_store_op *op, int error, const char *why)
{
    struct rt_shell *shell = ctx;

    (void)id;
    tell_revoked(shell, error, why);
    rt_agent_revoked_reply(shell->agent, &op->key, op->life, error, rt_shell_now(shell));
    rt_shell_settle(shell);
}

int rt_shell_open_revoked(struct rt_shell *shell)
{
    char dir[RT_SETTING_TEXT_MAX + 16];
    int rc;

    (void)snprintf(dir, sizeof(dir), "%s/revoked", shell->settings.state_dir);
    /* A newer one of a container is written before the older one goes. */
    rc = rt_ends_open(&shell->revoked, dir, RT_AGENT_REVOKED_MAX + RT_DISK_KEEPS_MAX, kept_revoked_cb, bad_revoked_cb,
                      shell);
    rt_disk_init(&shell->revoked_disk, &shell->loop, &shell->revoked, revoked_written_cb, progress_cb, shell);
    return rc == 0 ? 0 : fail(shell, "%s", shell->revoked.why);
}

int rt_shell_keep_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    struct rt_shell *shell = ctx;
    struct rt_store_op op = {.kind = RT_STORE_REVOKE, .key = *key, .life = life};
    int rc;

    rt_slice_copy(rt_slice_text(shell->settings.host_name), op.claim.host, sizeof(op.claim.host));
    rc = rt_disk_keep(&shell->revoked_disk, 0, &op);
    if (rc != 0) {
        tell_revoked(shell, rc, rt_strerror(rc));
    }
    return rc;
}

void rt_shell_drop_revoked(void *ctx, const struct rt_key *key, uint64_t life)
{
    struct rt_shell *shell = ctx;

    if (shell->revoked_disk.ends == NULL) { /* the files are still being read, on the loop: there is no worker yet */
        rt_ends_drop(&shell->revoked, key, life);
    } else {
        rt_disk_drop(&shell->revoked_disk, key, life);
    }
}

/* ---- whether this host drains: it does while there is a file ---- */

static void drains_path(const struct rt_shell *shell, char path[DRAINS_PATH_MAX])
{
    (void)snprintf(path, DRAINS_PATH_MAX, "%s/drains", shell->settings.state_dir);
}

int rt_shell_open_drains(struct rt_shell *shell)
{
    char path[DRAINS_PATH_MAX];

    drains_path(shell, path);
    if (access(path, F_OK) == 0) {
        rt_shell_note(shell, RT_LOG_WARN, RT_LOG_DISK, "drains", "this host drains, since an earlier run");
        rt_agent_kept_drains(shell->agent, rt_shell_now(shell));
        return 0;
    }
    return errno == ENOENT ? 0 : fail(shell, "%s: %s", path, strerror(errno));
}

/* On the worker's thread. */
static void drains_work_cb(uv_work_t *work)
{
    struct rt_shell *shell = work->data;
    char path[DRAINS_PATH_MAX];
    bool done;

    drains_path(shell, path);
    if (shell->drains) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        done = fd >= 0 && close(fd) == 0;
    } else {
        done = unlink(path) == 0 || errno == ENOENT;
    }
    shell->drains_error = done && rt_sync_name(path) == 0 ? 0 : errno;
}

static void drains_worked_cb(uv_work_t *work, int status)
{
    struct rt_shell *shell = work->data;
    int error = shell->drains_error;

    (void)status; /* nothing is cancelled */
    shell->drains_writing = false;
    if (error != 0) {
        rt_shell_note(shell, RT_LOG_ERROR, RT_LOG_DISK, "drains-not-kept", "%s/drains: %s", shell->settings.state_dir,
                      strerror(error));
    }
    rt_agent_drains_reply(shell->agent, error == 0 ? 0 : RT_EIO, rt_shell_now(shell));
    rt_shell_settle(shell);
    rt_shell_progress(shell);
}

int rt_shell_keep_drains(void *ctx, bool drains)
{
    struct rt_shell *shell = ctx;

    shell->drains = drains;
    shell->drains_work.data = shell;
    shell->drains_writing = uv_queue_work(&shell->loop, &shell->drains_work, drains_work_cb, drains_worked_cb) == 0;
    return shell->drains_writing ? 0 : RT_EIO;
}

bool rt_shell_disk_idle(const struct rt_shell *shell)
{
    return rt_disk_idle(&shell->disk) && rt_disk_idle(&shell->revoked_disk) && !shell->drains_writing;
}
