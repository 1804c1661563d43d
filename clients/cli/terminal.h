/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_TERMINAL_H
#define RETETHER_CLIENTS_CLI_TERMINAL_H

#include <stdbool.h>

/* This program's terminal. While it is raw, what ends the program restores it: cli_terminal_cooked(), exit(3), and the
 * signals that mean a crash. (Signals that ask for an end are the loop's, which calls cli_terminal_cooked().) SIGKILL
 * cannot be helped: "stty sane" does. */

/* Both directions, for the terminal on stdin: every key is input. Returns false when it is none that can be set. */
bool cli_terminal_raw(void);
/* Only what is printed, for the terminal on stdout: another terminal has put the carriage returns in already. Keys that
 * nobody takes are not shown, but ctrl-C, ctrl-Z and ctrl-\ still send their signals. Returns false when stdout is no
 * terminal, or this program is in its background, where it must not set it. */
bool cli_terminal_raw_output(void);
void cli_terminal_cooked(void);
/* In either way: a line begins with a carriage return of its own. */
bool cli_terminal_is_raw(void);

/* The size of the terminal on stdout, else of that on stdin; false when there is none. */
bool cli_terminal_size(unsigned *rows, unsigned *cols);

#endif
