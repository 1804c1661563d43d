/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/program.h"

#include "session/base/sanitizer.h"
#include "session/base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

void rt_program_hide(void)
{
    if (rt_sanitizer() == NULL) {
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

int rt_program_hold_fds(const char *device)
{
    int fd;

    do { /* it gets the lowest number that is free */
        fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) {
        return RT_EIO;
    }
    close(fd);
    return RT_OK;
}

void rt_program_complain(const char *name, const char *why)
{
    char text[RT_PROGRAM_WHY_MAX];

    (void)rt_text_copy(rt_slice_text(why), text, sizeof(text));
    (void)fprintf(stderr, "%s: %s\n", name, text);
}

int rt_program_print(const char *text)
{
    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? RT_EIO : RT_OK;
}
