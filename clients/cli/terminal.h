/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_TERMINAL_H
#define RETETHER_CLIENTS_CLI_TERMINAL_H

#include <stdbool.h>

/* The terminal on stdin. While it is raw, what ends the program restores it: cli_terminal_cooked(), exit(3), and the
 * signals that mean a crash. (Signals that ask for an end are the loop's, which calls cli_terminal_cooked().) SIGKILL
 * cannot be helped: "stty sane" does. */

/* Returns false when stdin is no terminal that can be set. */
bool cli_terminal_raw(void);
void cli_terminal_cooked(void);
bool cli_terminal_is_raw(void);

/* The size of the terminal on stdout, else of that on stdin; false when there is none. */
bool cli_terminal_size(unsigned *rows, unsigned *cols);

#endif
