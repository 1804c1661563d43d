/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/cluster_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS 5
#define CAPTURE_MAX ((size_t)64 << 20)

uint64_t rt_process_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void rt_process_sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

void rt_process_program(const char *name, char path[RT_PROCESS_PATH])
{
    static const char *const places[] = {"bin", "tests"};
    char self[RT_PROCESS_PATH - 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[n > 0 ? n : 0] = '\0';
    for (int up = 0; up < 2; up++) { /* DIR/tests/NAME -> DIR */
        char *slash = strrchr(self, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, RT_PROCESS_PATH, "%s/%s/%.40s", self, places[i], name);
        if (access(path, X_OK) == 0) {
            return;
        }
    }
    (void)snprintf(path, RT_PROCESS_PATH, "%s", name);
}

void rt_process_spec_init(struct rt_process_spec *spec, const char *const *argv)
{
    *spec = (struct rt_process_spec){.argv = argv, .in = -1, .out = -1, .err = -1};
}

static int open_default(int fd, const char *log, bool input)
{
    if (fd >= 0) {
        return fd;
    }
    if (input || log == NULL) {
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    }
    return open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void set_environment(const struct rt_process_spec *spec)
{
    for (char **entry = environ; *entry != NULL;) {
        char name[64];
        size_t size = strcspn(*entry, "=");

        if (strncmp(*entry, "RETETHER_", 9) == 0 && size < sizeof(name)) {
            memcpy(name, *entry, size);
            name[size] = '\0';
            (void)unsetenv(name); /* moves the rest up */
        } else {
            entry++;
        }
    }
    for (size_t i = 0; i < RT_PROCESS_ENV_MAX && spec->env[i] != NULL; i++) {
        (void)putenv((char *)(uintptr_t)spec->env[i]);
    }
}

static _Noreturn void child(const struct rt_process_spec *spec, const char *path, pid_t parent)
{
    int in = open_default(spec->in, spec->log, true), out = open_default(spec->out, spec->log, false);
    int err = open_default(spec->err, spec->log, false);
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || in < 0 || out < 0 || err < 0) {
        _exit(127);
    }
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (spec->terminal && (setsid() < 0 || ioctl(in, TIOCSCTTY, 0) != 0)) {
        _exit(127);
    }
    /* dup2() onto itself would keep close-on-exec */
    in = fcntl(in, F_DUPFD_CLOEXEC, 10);
    out = fcntl(out, F_DUPFD_CLOEXEC, 10);
    err = fcntl(err, F_DUPFD_CLOEXEC, 10);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) {
        _exit(127);
    }
    set_environment(spec);
    (void)execvp(path, (char *const *)(uintptr_t)spec->argv);
    (void)dprintf(2, "%s: %s\n", path, strerror(errno));
    _exit(127);
}

pid_t rt_process_start(const struct rt_process_spec *spec)
{
    pid_t parent = getpid(), pid;
    char path[RT_PROCESS_PATH];

    rt_process_program(spec->argv[0], path);
    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        child(spec, strchr(spec->argv[0], '/') != NULL ? spec->argv[0] : path, parent);
    }
    if (pid < 0) {
        (void)fprintf(stderr, "%s: fork: %s\n", path, strerror(errno));
    }
    return pid;
}

static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int rt_process_wait(pid_t pid, unsigned limit_ms)
{
    uint64_t until = rt_process_now_ms() + limit_ms;
    int status = 0;

    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid) {
            return status_of(status);
        }
        if ((got < 0 && errno != EINTR) || rt_process_now_ms() >= until) {
            return RT_PROCESS_LATE;
        }
        rt_process_sleep_ms(STEP_MS);
    }
}

void rt_process_kill(pid_t pid)
{
    if (pid > 0) {
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}

struct capture {
    int fd;
    char *data;
    size_t size, room;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void read_capture(struct capture *capture)
{
    ssize_t n;

    if (capture->size + 1 >= capture->room) {
        size_t room = capture->room < 4096 ? 4096 : capture->room * 2;
        char *data = room > CAPTURE_MAX ? NULL : realloc(capture->data, room);

        if (data == NULL) {
            close_fd(&capture->fd);
            return;
        }
        capture->data = data;
        capture->room = room;
        data[capture->size] = '\0';
    }
    n = read(capture->fd, capture->data + capture->size, capture->room - 1 - capture->size);
    if (n > 0) {
        capture->size += (size_t)n;
        capture->data[capture->size] = '\0';
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_fd(&capture->fd);
    }
}

static void converse(int *in, const char *input, size_t size, struct capture capture[2], uint64_t until)
{
    while ((capture[0].fd >= 0 || capture[1].fd >= 0 || *in >= 0) && rt_process_now_ms() < until) {
        struct pollfd fds[3] = {{.fd = capture[0].fd, .events = POLLIN},
                                {.fd = capture[1].fd, .events = POLLIN},
                                {.fd = *in, .events = POLLOUT}};

        if (size == 0) {
            close_fd(in);
            fds[2].fd = -1;
        }
        if (poll(fds, 3, 100) <= 0) {
            continue;
        }
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents != 0) {
                read_capture(&capture[i]);
            }
        }
        if (fds[2].revents != 0) {
            ssize_t n = write(*in, input, size);
            if (n > 0) {
                input += n;
                size -= (size_t)n;
            } else if (errno != EAGAIN && errno != EINTR) {
                close_fd(in);
            }
        }
    }
    close_fd(in);
}

int rt_process_run(const struct rt_process_spec *spec, const void *input, size_t input_size, unsigned limit_ms,
                   struct rt_process_run *run)
{
    uint64_t until = rt_process_now_ms() + limit_ms, now;
    struct rt_process_spec piped = *spec;
    struct capture capture[2] = {{.fd = -1}, {.fd = -1}};
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
    pid_t pid = -1;

    memset(run, 0, sizeof(*run));
    (void)signal(SIGPIPE, SIG_IGN);
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0) {
        (void)fcntl(in[1], F_SETFL, O_NONBLOCK);
        piped.in = in[0];
        piped.out = out[1];
        piped.err = err[1];
        pid = rt_process_start(&piped);
    }
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    capture[0].fd = out[0];
    capture[1].fd = err[0];
    if (pid > 0) {
        converse(&in[1], input, input_size, capture, until);
        now = rt_process_now_ms();
        run->status = rt_process_wait(pid, until > now ? (unsigned)(until - now) : 0);
        if (run->status == RT_PROCESS_LATE) {
            rt_process_kill(pid);
        }
    }
    close_fd(&in[1]);
    close_fd(&capture[0].fd);
    close_fd(&capture[1].fd);
    run->out = capture[0].data != NULL ? capture[0].data : calloc(1, 1);
    run->err = capture[1].data != NULL ? capture[1].data : calloc(1, 1);
    run->out_size = capture[0].size;
    run->err_size = capture[1].size;
    return pid > 0 && run->out != NULL && run->err != NULL ? 0 : -1;
}

void rt_process_run_free(struct rt_process_run *run)
{
    free(run->out);
    free(run->err);
    memset(run, 0, sizeof(*run));
}
