/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/sandbox.h"
#include "broker/service.h"
#include "broker/settings.h"
#include "broker/shell.h"
#include "session/base/program.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define HELP_MAX 16384
/* Read buffers of 276 KiB come and go with the load: from the heap, whose pages stay, they cost nothing. */
#define HEAP_THRESHOLD (4 * 1024 * 1024)
#define HEAP_TRIM (64 * 1024 * 1024)

static int print(const char *text)
{
    return rt_program_print(text) != RT_OK ? 1 : 0;
}

static int help(void)
{
    static char text[HELP_MAX];
    struct rt_help page = {text, sizeof(text), 0};

    rt_settings_help(&page);
    return print(text);
}

/* A link is a descriptor. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_THRESHOLD);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_TRIM);
}

/* All of them, in the order in which they are opened. */
static const struct rt_service *const services[] = {&rt_sessions, NULL};

int main(int argc, char **argv)
{
    static struct rt_settings settings;
    static struct rt_shell shell;
    enum rt_settings_verb verb;
    char why[RT_SETTING_WHY_MAX] = "";

    if (rt_program_hold_fds("/dev/null") != RT_OK) {
        return 1;
    }
    if (rt_settings_read(&settings, &verb, argc, argv, why) != 0) {
        rt_program_complain("retetherd", why);
        return 2;
    }
    switch (verb) {
    case RT_SETTINGS_HELP:
        return help();
    case RT_SETTINGS_VERSION:
        return print("retetherd " RETETHER_VERSION "\n");
    case RT_SETTINGS_CHECK:
        return print("retetherd: the settings are good\n");
    case RT_SETTINGS_RUN:
        break;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    raise_limits();
    if (rt_sandbox_enter(&settings, why, sizeof(why)) != 0) {
        rt_program_complain("retetherd", why);
        return 1;
    }
    rt_shell_start(&shell, &settings, services);
    return rt_shell_run(&shell);
}
