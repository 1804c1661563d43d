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
static bool prepared;

void cli_terminal_cooked(void)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
}

/* tcsetattr is async-signal-safe. */
static void crashed(int signum)
{
    if (is_raw) {
        is_raw = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
    (void)raise(signum); /* SA_RESETHAND: the default action */
}

static void prepare(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = crashed;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        (void)sigaction(crashes[i], &action, NULL);
    }
    (void)atexit(cli_terminal_cooked);
    prepared = true;
}

bool cli_terminal_raw(void)
{
    struct termios raw;

    if (is_raw) {
        return true;
    }
    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        return false;
    }
    if (!prepared) {
        prepare();
    }
    raw = before;
    cfmakeraw(&raw);
    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) {
        is_raw = 0;
        return false;
    }
    return true;
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
