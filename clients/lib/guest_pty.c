/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_pty.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PTY_ROWS 24
#define PTY_COLS 80
#define PTY_SIDE_MAX 65535
#define PTY_VEOF 0x04

void rt_pty_resize(int master, unsigned rows, unsigned cols)
{
    struct winsize size = {
        .ws_row = (unsigned short)(rows > PTY_SIDE_MAX ? PTY_SIDE_MAX : rows),
        .ws_col = (unsigned short)(cols > PTY_SIDE_MAX ? PTY_SIDE_MAX : cols),
    };

    (void)ioctl(master, TIOCSWINSZ, &size);
}

int rt_pty_open(int *master, int *slave, unsigned rows, unsigned cols)
{
    char name[64];

    *slave = -1;
    *master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*master < 0) {
        return RT_EIO;
    }
    if (grantpt(*master) != 0 || unlockpt(*master) != 0 || ptsname_r(*master, name, sizeof(name)) != 0) {
        goto fail;
    }
    *slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0) {
        goto fail;
    }
    rt_pty_resize(*master, rows != 0 ? rows : PTY_ROWS, cols != 0 ? cols : PTY_COLS);
    return RT_OK;
fail:
    close(*master);
    *master = -1;
    return RT_EIO;
}

pid_t rt_pty_foreground(int master)
{
    pid_t group = tcgetpgrp(master);

    return group > 0 ? group : 0;
}

size_t rt_pty_end(int master, char last, char out[2])
{
    struct termios state;
    bool canonical = true;
    char end = PTY_VEOF;

    /* On Linux the master answers with the slave's settings. */
    if (tcgetattr(master, &state) == 0) {
        canonical = (state.c_lflag & ICANON) != 0;
        if (state.c_cc[VEOF] != _POSIX_VDISABLE) {
            end = (char)state.c_cc[VEOF];
        }
    }
    out[0] = end;
    out[1] = end;
    return canonical && last != '\n' && last != '\0' ? 2 : 1;
}
