/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* The only state of the process that a signal handler needs. */
static struct termios before;
static volatile sig_atomic_t is_raw;
static volatile sig_atomic_t raw_fd; /* whose terminal it is */
static bool prepared;

void cli_terminal_cooked(void)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(raw_fd, TCSADRAIN, &before);
    }
}

/* tcsetattr is async-signal-safe. */
static void killed(int signum)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(raw_fd, TCSANOW, &before);
    }
    (void)raise(signum); /* SA_RESETHAND: the default action */
}

static void prepare(void)
{
    struct sigaction action, before_it;

    memset(&action, 0, sizeof(action));
    action.sa_handler = killed;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    (void)sigemptyset(&action.sa_mask);
    for (int signum = 1; signum <= SIGRTMAX; signum++) {
        /* Handled already, ignored, or none that ends a process. */
        if (sigaction(signum, NULL, &before_it) != 0 || before_it.sa_handler != SIG_DFL || signum == SIGCHLD ||
            signum == SIGCONT || signum == SIGURG || signum == SIGWINCH || signum == SIGTSTP || signum == SIGTTIN ||
            signum == SIGTTOU) {
            continue;
        }
        (void)sigaction(signum, &action, NULL);
    }
    (void)atexit(cli_terminal_cooked);
    prepared = true;
}

static bool set(int fd, void (*change)(struct termios *termios))
{
    struct termios raw;

    if (is_raw) {
        return true;
    }
    if (tcgetattr(fd, &before) != 0) {
        return false;
    }
    if (!prepared) {
        prepare();
    }
    raw = before;
    change(&raw);
    raw_fd = fd;
    is_raw = 1;
    if (tcsetattr(fd, TCSADRAIN, &raw) != 0) {
        is_raw = 0;
        return false;
    }
    return true;
}

bool cli_terminal_raw(void)
{
    return set(STDIN_FILENO, cfmakeraw);
}

static void make_output_raw(struct termios *termios)
{
    termios->c_oflag &= ~(tcflag_t)OPOST;
    termios->c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
}

bool cli_terminal_raw_output(void)
{
    pid_t foreground = tcgetpgrp(STDOUT_FILENO);

    /* In the background setting it would stop this program (SIGTTOU). A terminal that is not the controlling one has no
     * foreground, and can be set. */
    if (foreground > 0 && foreground != getpgrp()) {
        return false;
    }
    return set(STDOUT_FILENO, make_output_raw);
}

bool cli_terminal_is_raw(void)
{
    return is_raw != 0;
}

bool cli_terminal_size(unsigned *rows, unsigned *cols)
{
    static const int fds[] = {STDOUT_FILENO, STDIN_FILENO};
    struct winsize size;

    for (size_t i = 0; i < 2; i++) {
        if (ioctl(fds[i], TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
            *rows = size.ws_row;
            *cols = size.ws_col;
            return true;
        }
    }
    return false;
}
