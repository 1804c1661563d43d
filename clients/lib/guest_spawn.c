/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_spawn.h"

#include "clients/lib/guest_pty.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Capacity of a process's pipes: what it writes while they are left alone (session/base/gather.h), and what it has to
 * read while the tether does something else. */
#define SPAWN_PIPE 262144
/* Directories of PATH that are looked through; none behind them is. */
#define SPAWN_DIRECTORIES_MAX 256
#define SPAWN_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum spawn_stage { STAGE_SESSION, STAGE_CWD, STAGE_EXEC };

struct spawn_failure { /* what the child writes into the error pipe */
    int stage;         /* enum spawn_stage */
    int error;         /* errno */
};

enum spawn_fd { /* pipes: the end that is read, the end that is written */
                FD_IN_R,
                FD_IN_W,
                FD_OUT_R,
                FD_OUT_W,
                FD_ERR_R,
                FD_ERR_W,
                FD_REPORT_R,
                FD_REPORT_W,
                FD_MASTER,
                FD_SLAVE,
                FD_NULL,
                FD_COUNT,
};

struct spawn_fds {
    int fd[FD_COUNT];
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void close_all(struct spawn_fds *fds)
{
    for (size_t i = 0; i < FD_COUNT; i++) {
        close_fd(&fds->fd[i]);
    }
}

/* Descriptors 0 to 2 are what the child replaces: none of ours may be one of them. */
static int lift(int *fd)
{
    if (*fd >= 0 && *fd <= STDERR_FILENO) {
        int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

        if (lifted < 0) {
            return RT_EIO;
        }
        close(*fd);
        *fd = lifted;
    }
    return RT_OK;
}

static int open_fds(const struct rt_spawn_spec *spec, struct spawn_fds *fds)
{
    static const enum spawn_fd pipes[] = {FD_IN_R, FD_OUT_R, FD_ERR_R};
    int *fd = fds->fd;

    for (size_t i = 0; i < FD_COUNT; i++) {
        fd[i] = -1;
    }
    if (pipe2(fd + FD_REPORT_R, O_CLOEXEC) != 0) {
        return RT_EIO;
    }
    if (spec->tty) {
        if (rt_pty_open(&fd[FD_MASTER], &fd[FD_SLAVE], spec->rows, spec->cols) != 0) {
            return RT_EIO;
        }
    } else {
        if (pipe2(fd + FD_OUT_R, O_CLOEXEC) != 0 || pipe2(fd + FD_ERR_R, O_CLOEXEC) != 0) {
            return RT_EIO;
        }
        if (spec->in && pipe2(fd + FD_IN_R, O_CLOEXEC) != 0) {
            return RT_EIO;
        }
        /* Without the right to it they stay as they are. */
        for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++) {
            (void)fcntl(fd[pipes[i]], F_SETPIPE_SZ, SPAWN_PIPE);
        }
        if (!spec->in && (fd[FD_NULL] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) {
            return RT_EIO;
        }
    }
    for (size_t i = 0; i < FD_COUNT; i++) {
        if (lift(&fd[i]) != 0) {
            return RT_EIO;
        }
    }
    return RT_OK;
}

/* Where the command is looked for: the PATH of its own environment. NULL: it is a name that is not looked for. */
static const char *search_path(const struct rt_spawn_spec *spec)
{
    const char *command = spec->argv[0];
    const char *path = SPAWN_PATH;

    for (size_t i = 0; spec->env[i] != NULL; i++) {
        if (strncmp(spec->env[i], "PATH=", 5) == 0) {
            path = spec->env[i] + 5;
        }
    }
    return strchr(command, '/') != NULL || command[0] == '\0' || strlen(command) > NAME_MAX ? NULL : path;
}

/* ---- between fork and exec: async-signal-safe calls only (signal-safety(7)) ---- */

static _Noreturn void child_fail(int report, enum spawn_stage stage, int error)
{
    struct spawn_failure failure = {.stage = (int)stage, .error = error};

    /* A pipe takes this whole or the parent is gone. */
    if (write(report, &failure, sizeof(failure)) < 0) {
        _exit(RT_SPAWN_CANNOT_RUN);
    }
    _exit(RT_SPAWN_NOT_FOUND);
}

static void child_signals(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    for (int sig = 1; sig < NSIG; sig++) {
        (void)sigaction(sig, &action, NULL);
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_fds(const struct rt_spawn_spec *spec, const struct spawn_fds *fds)
{
    int in = spec->tty ? fds->fd[FD_SLAVE] : spec->in ? fds->fd[FD_IN_R] : fds->fd[FD_NULL];
    int out = spec->tty ? fds->fd[FD_SLAVE] : fds->fd[FD_OUT_W];
    int err = spec->tty ? fds->fd[FD_SLAVE] : fds->fd[FD_ERR_W];

    if (setsid() < 0 || (spec->tty && ioctl(fds->fd[FD_SLAVE], TIOCSCTTY, 0) != 0) || dup2(in, STDIN_FILENO) < 0 ||
        dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) {
        child_fail(fds->fd[FD_REPORT_W], STAGE_SESSION, errno);
    }
    /* What was inherited without close-on-exec is nobody's business. Older kernels do not know the call: then it stays.
     */
    (void)syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

/* Runs the command out of this directory, or returns errno. */
static int child_exec(const struct rt_spawn_spec *spec, const char *directory, size_t size)
{
    size_t command = strlen(spec->argv[0]) + 1;
    char name[PATH_MAX];

    if (size + 1 + command > sizeof(name)) {
        return ENAMETOOLONG;
    }
    memcpy(name, directory, size);
    name[size] = '/';
    memcpy(name + size + 1, spec->argv[0], command);
    execve(name, (char *const *)spec->argv, (char *const *)spec->env);
    return errno;
}

/* As execvp(3): an empty element of PATH is the working directory, and a directory that cannot be searched may hide
 * nothing, so the search goes on. Returns errno. */
static int child_search(const struct rt_spawn_spec *spec, const char *path)
{
    bool more = true;
    int found = ENOENT;

    for (size_t i = 0; more && i < SPAWN_DIRECTORIES_MAX; i++) {
        size_t size = strcspn(path, ":");
        int error = size > 0 ? child_exec(spec, path, size) : child_exec(spec, ".", 1);

        if (error != ENOENT && error != ENOTDIR) {
            found = error;
        }
        more = path[size] == ':' && (found == ENOENT || found == EACCES);
        path += size + 1;
    }
    return found;
}

static _Noreturn void child_run(const struct rt_spawn_spec *spec, const struct spawn_fds *fds, const char *path)
{
    child_signals();
    child_fds(spec, fds);
    if (spec->cwd != NULL && chdir(spec->cwd) != 0) {
        child_fail(fds->fd[FD_REPORT_W], STAGE_CWD, errno);
    }
    if (path != NULL) {
        child_fail(fds->fd[FD_REPORT_W], STAGE_EXEC, child_search(spec, path));
    }
    execve(spec->argv[0], (char *const *)spec->argv, (char *const *)spec->env);
    child_fail(fds->fd[FD_REPORT_W], STAGE_EXEC, errno);
}

/* ---- the parent again ---- */

/* Blocks until the exec closed the pipe, or the child wrote what failed. Returns 0 when the exec worked. */
static int await_exec(int report, pid_t pid, struct spawn_failure *failure)
{
    ssize_t n;

    do {
        n = read(report, failure, sizeof(*failure));
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        return RT_OK;
    }
    if (n != (ssize_t)sizeof(*failure)) {
        failure->stage = STAGE_SESSION;
        failure->error = EIO;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return RT_EIO;
}

static int explain(const struct rt_spawn_spec *spec, const struct spawn_failure *failure, char why[RT_SPAWN_WHY_MAX])
{
    switch (failure->stage) {
    case STAGE_CWD:
        snprintf(why, RT_SPAWN_WHY_MAX, "cannot enter %s: %s", spec->cwd, strerror(failure->error));
        return RT_SPAWN_CANNOT_RUN;
    case STAGE_EXEC:
        snprintf(why, RT_SPAWN_WHY_MAX, "cannot run %s: %s", spec->argv[0], strerror(failure->error));
        return failure->error == ENOENT || failure->error == ENOTDIR ? RT_SPAWN_NOT_FOUND : RT_SPAWN_CANNOT_RUN;
    default:
        snprintf(why, RT_SPAWN_WHY_MAX, "cannot prepare %s: %s", spec->argv[0], strerror(failure->error));
        return RT_SPAWN_CANNOT_RUN;
    }
}

static int take(int *from)
{
    int fd = *from;

    *from = -1;
    if (fd >= 0) {
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    return fd;
}

int rt_spawn(const struct rt_spawn_spec *spec, struct rt_spawned *spawned, char why[RT_SPAWN_WHY_MAX])
{
    struct spawn_failure failure = {.stage = STAGE_SESSION, .error = 0};
    struct spawn_fds fds;
    const char *path = search_path(spec);
    sigset_t all;
    sigset_t before;
    int code = 0;

    *spawned = (struct rt_spawned){.pid = -1, .in = -1, .out = -1, .err = -1};
    if (open_fds(spec, &fds) != 0) {
        failure.error = errno;
        code = explain(spec, &failure, why);
        goto out;
    }
    /* A signal that the child took before it dropped the parent's handlers would be written into the parent's loop. */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    spawned->pid = fork();
    if (spawned->pid == 0) {
        child_run(spec, &fds, path);
    }
    failure.error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    close_fd(&fds.fd[FD_REPORT_W]);
    if (spawned->pid < 0 || await_exec(fds.fd[FD_REPORT_R], spawned->pid, &failure) != 0) {
        code = explain(spec, &failure, why);
        spawned->pid = -1;
        goto out;
    }
    spawned->in = take(&fds.fd[FD_IN_W]);
    spawned->out = take(spec->tty ? &fds.fd[FD_MASTER] : &fds.fd[FD_OUT_R]);
    spawned->err = take(&fds.fd[FD_ERR_R]);
out:
    close_all(&fds);
    return code;
}
