/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_COMMANDS_H
#define RETETHER_TESTS_SIM_COMMANDS_H

#include "session/core/protocol.h"

#include <stdbool.h>
#include <stdint.h>

/* Commands that clients run in a guest by exec. */

#define SIM_COMMANDS 256

struct rt_exec_msg;

struct sim_command { /* run by exec in one past */
    uint8_t id[RT_ID_SIZE];
    uint32_t proc;
    uint64_t written;
    bool over;
};

void sim_command_start(int guest, uint32_t proc, const struct rt_exec_msg *exec);
void sim_command_signal(int guest, uint32_t proc, unsigned sig);
void sim_commands_work(int guest);
void sim_client_commands(int client);

#endif
