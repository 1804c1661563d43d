/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/cluster_process.h"
#include "tests/lib/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process of its own, so that also a SIGKILL leaves nothing behind. It reads lines: "+DIRECTORY" to remove, "-" to
 * forget all; the end of its input means that everybody is gone. */

#define DIRECTORIES_MAX 16
/* Processes that die with their parent may still be making files. */
#define REMOVALS 5
#define REMOVAL_STEP_MS 50

struct list {
    char path[DIRECTORIES_MAX][RT_PROCESS_PATH];
    size_t n;
};

static void obey(struct list *list, const char *line)
{
    if (line[0] == '-') {
        list->n = 0;
    } else if (line[0] == '+' && list->n < DIRECTORIES_MAX) {
        memcpy(list->path[list->n++], line + 1, strlen(line + 1) + 1);
    }
}

static _Noreturn void janitor_main(int fd)
{
    static struct list list;
    char line[RT_PROCESS_PATH];
    FILE *commands = fdopen(fd, "r");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid(); /* a ctrl-C on the terminal is not for it */
    for (int i = 0; i < 3; i++) {
        (void)dup2(null, i);
    }
    while (commands != NULL && fgets(line, sizeof line, commands) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(&list, line);
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
