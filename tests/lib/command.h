/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_COMMAND_H
#define RETETHER_TESTS_LIB_COMMAND_H

#include "session/base/slice.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <stddef.h>
#include <string.h>

/* What a process is to run, whole in one item of control-down; lists end with NULL, env and cwd may be NULL. Good until
 * the next call. Allocates nothing. */
static inline struct rt_down_item rt_test_command(const char *const *argv, const char *const *env, const char *cwd)
{
    static struct rt_exec_msg msg;
    static uint8_t what[RT_PIECE_MAX];
    int size;

    memset(&msg, 0, sizeof(msg));
    while (argv[msg.n_argv] != NULL) {
        msg.argv[msg.n_argv] = rt_slice_text(argv[msg.n_argv]);
        msg.n_argv++;
    }
    while (env != NULL && env[msg.n_env] != NULL) {
        msg.env[msg.n_env] = rt_slice_text(env[msg.n_env]);
        msg.n_env++;
    }
    if (cwd != NULL) {
        msg.cwd = rt_slice_text(cwd);
    }
    size = rt_msg_encode(RT_MSG_EXEC, &msg, what, sizeof(what));
    return (struct rt_down_item){.t = RT_ITEM_RUN, .b = {what, size > 0 ? (size_t)size : 0}, .last = true};
}

#endif
