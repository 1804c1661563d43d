/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/cluster_process.h"
#include "tests/lib/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process of its own, so that also a SIGKILL leaves nothing behind. It reads lines: "+DIRECTORY" to remove, "!FILE"
 * that names a process to kill, "@NAME" of a network namespace to delete, "-" to forget all but namespaces; the end of
 * its input means that everybody is gone. */

#define DIRECTORIES_MAX 16
#define PID_FILES_MAX 16
#define NAMESPACES_MAX 8
/* Processes that die with their parent may still be making files. */
#define REMOVALS 5
#define REMOVAL_STEP_MS 50

struct list {
    char path[DIRECTORIES_MAX][RT_PROCESS_PATH];
    size_t n;
    char pid_file[PID_FILES_MAX][RT_PROCESS_PATH];
    size_t n_pid_files;
    char netns[NAMESPACES_MAX][RT_PROCESS_PATH]; /* paths of their names */
    size_t n_netns;
};

static void obey(struct list *list, const char *line)
{
    if (line[0] == '-') {
        list->n = list->n_pid_files = 0;
    } else if (line[0] == '+' && list->n < DIRECTORIES_MAX) {
        memcpy(list->path[list->n++], line + 1, strlen(line + 1) + 1);
    } else if (line[0] == '!' && list->n_pid_files < PID_FILES_MAX) {
        memcpy(list->pid_file[list->n_pid_files++], line + 1, strlen(line + 1) + 1);
    } else if (line[0] == '@' && list->n_netns < NAMESPACES_MAX) {
        (void)snprintf(list->netns[list->n_netns++], RT_PROCESS_PATH, "/run/netns/%.64s", line + 1);
    }
}

static void kill_named(const char *pid_file)
{
    FILE *file = fopen(pid_file, "re");
    char text[32] = "";
    long pid;

    if (file == NULL) {
        return;
    }
    (void)!fgets(text, sizeof(text), file);
    (void)fclose(file);
    pid = strtol(text, NULL, 10);
    if (pid > 1) {
        (void)kill((pid_t)pid, SIGKILL);
    }
}

static _Noreturn void janitor_main(int fd)
{
    static struct list list;
    char line[RT_PROCESS_PATH];
    FILE *commands;
    int null;

    /* Other janitors' pipes: each is to see the end of its own. */
    (void)close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0U, 0);
    (void)setsid(); /* a ctrl-C on the terminal is not for it */
    commands = fdopen(fd, "r");
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        (void)dup2(null, i);
    }
    while (commands != NULL && fgets(line, sizeof(line), commands) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(&list, line);
    }
    for (size_t i = 0; i < list.n_pid_files; i++) {
        kill_named(list.pid_file[i]);
    }
    /* As `ip netns del` does; one that is used lives until its last process has died. */
    for (size_t i = 0; i < list.n_netns; i++) {
        (void)umount2(list.netns[i], MNT_DETACH);
        (void)unlink(list.netns[i]);
    }
    for (int round = 0; round < REMOVALS; round++) {
        bool left = false;

        for (size_t i = 0; i < list.n; i++) {
            rt_test_remove_tree(list.path[i]);
            left = left || access(list.path[i], F_OK) == 0;
        }
        if (!left) {
            break;
        }
        rt_process_sleep_ms(REMOVAL_STEP_MS);
    }
    _exit(0);
}

int rt_janitor_start(struct rt_janitor *janitor)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return -1;
    }
    (void)fflush(NULL);
    janitor->pid = fork();
    if (janitor->pid == 0) {
        (void)close(fds[1]);
        janitor_main(fds[0]);
    }
    (void)close(fds[0]);
    janitor->fd = fds[1];
    if (janitor->pid < 0) {
        (void)close(fds[1]);
        janitor->fd = -1;
        return -1;
    }
    return 0;
}

void rt_janitor_remove(struct rt_janitor *janitor, const char *directory)
{
    if (janitor->fd >= 0) {
        (void)dprintf(janitor->fd, "+%s\n", directory);
    }
}

void rt_janitor_kill(struct rt_janitor *janitor, const char *pid_file)
{
    if (janitor->fd >= 0) {
        (void)dprintf(janitor->fd, "!%s\n", pid_file);
    }
}

void rt_janitor_netns(struct rt_janitor *janitor, const char *name)
{
    if (janitor->fd >= 0) {
        (void)dprintf(janitor->fd, "@%s\n", name);
    }
}

void rt_janitor_forget(struct rt_janitor *janitor)
{
    if (janitor->fd >= 0) {
        (void)dprintf(janitor->fd, "-\n");
    }
}

void rt_janitor_finish(struct rt_janitor *janitor)
{
    if (janitor->fd >= 0) {
        (void)close(janitor->fd);
        janitor->fd = -1;
        while (waitpid(janitor->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
}
