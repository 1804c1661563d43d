/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTER_FD 3
/* Without close_range(2): descriptors that an owner may have before it has opened anything of its own. */
#define OWNER_FDS_MAX 1024

struct answer {
    int error;
    pid_t pid;
};

/* A session and signals of its own, nothing of ours open. */
static struct answer spawn(char *const *argv)
{
    struct answer answer = {.error = 0};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&how);
    (void)posix_spawnattr_setsigmask(&how, &none);
    (void)posix_spawnattr_setsigdefault(&how, &all);
    (void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    for (int fd = 0; fd <= 2 && answer.error == 0; fd++) {
        answer.error = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    }
    if (answer.error == 0) {
        answer.error = posix_spawnp(&answer.pid, argv[0], &files, &how, argv, environ);
    }
    (void)posix_spawnattr_destroy(&how);
    (void)posix_spawn_file_actions_destroy(&files);
    return answer;
}

/* Keeps nothing that its owner holds, no lock either. What ends is nobody's to wait for. */
static _Noreturn void serve(int fd, char *const *argv)
{
    char word;

    if (fd != STARTER_FD && dup2(fd, STARTER_FD) < 0) {
        _exit(1);
    }
    if (close_range(STARTER_FD + 1, ~0U, 0) != 0) {
        for (int other = STARTER_FD + 1; other < OWNER_FDS_MAX; other++) {
            (void)close(other);
        }
    }
    (void)fcntl(STARTER_FD, F_SETFD, FD_CLOEXEC);
    (void)prctl(PR_SET_NAME, "redis-starter");
    (void)signal(SIGCHLD, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN); /* of a whole group: its owner says when it is over */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    while (recv(STARTER_FD, &word, 1, 0) == 1) {
        struct answer answer = spawn(argv);

        if (send(STARTER_FD, &answer, sizeof(answer), MSG_NOSIGNAL) != (ssize_t)sizeof(answer)) {
            break;
        }
    }
    _exit(0);
}

int rt_starter_open(struct rt_starter *starter, char *const *argv)
{
    int pair[2];

    *starter = (struct rt_starter){.fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return RT_EIO;
    }
    starter->pid = fork();
    if (starter->pid == 0) {
        serve(pair[1], argv);
    }
    (void)close(pair[1]);
    if (starter->pid < 0) {
        (void)close(pair[0]);
        return RT_EIO;
    }
    starter->fd = pair[0];
    return 0;
}

int rt_starter_start(const struct rt_starter *starter, pid_t *pid)
{
    struct answer answer;
    ssize_t n;

    if (send(starter->fd, "s", 1, MSG_NOSIGNAL) != 1) {
        return EPIPE;
    }
    do {
        n = recv(starter->fd, &answer, sizeof(answer), MSG_WAITALL);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(answer)) {
        return EPIPE;
    }
    *pid = answer.pid;
    return answer.error;
}

void rt_starter_close(struct rt_starter *starter)
{
    if (starter->fd >= 0) {
        (void)close(starter->fd);
        starter->fd = -1;
        while (waitpid(starter->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}
