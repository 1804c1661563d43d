/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"
#include "clients/lib/sized.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <stdlib.h>
#include <string.h>

/* exec: an attachment to a process of its own, whose control-down begins with what that is to run. */

/* RT_ELIMIT: more than fit. */
static int fill(const char *const *list, struct rt_slice *slices, size_t *n)
{
    for (*n = 0; list != NULL && list[*n] != NULL; ++*n) {
        if (*n == RT_ARGS_MAX) {
            return RT_ELIMIT;
        }
        slices[*n] = rt_slice_text(list[*n]);
    }
    return RT_OK;
}

/* Returns the size of what was encoded into an allocation that becomes the caller's, or an error. */
static int encode(const struct retether_exec_options *exec, uint8_t **what)
{
    struct rt_exec_msg *msg = calloc(1, sizeof(*msg));
    int rc = RT_ENOMEM;

    *what = malloc(RT_EXEC_MAX);
    if (msg != NULL && *what != NULL && (rc = fill(exec->argv, msg->argv, &msg->n_argv)) == RT_OK &&
        (rc = fill(exec->env, msg->env, &msg->n_env)) == RT_OK) {
        msg->cwd = rt_slice_text(exec->cwd != NULL ? exec->cwd : "");
        rc = rt_msg_encode(RT_MSG_EXEC, msg, *what, RT_EXEC_MAX);
    }
    free(msg);
    return rc;
}

static int begin(struct retether_client *client, struct rt_attach_options *options, const uint8_t *what, size_t size,
                 const struct retether_attachment_callbacks *callbacks, struct retether_attachment **out)
{
    int rc = rt_sdk_attach(client, options, callbacks, out);

    if (rc == RT_OK && (rc = rt_catt_run((*out)->catt, what, size)) != RT_OK) {
        retether_detach(*out);
        *out = NULL;
    }
    return rc;
}

int retether_exec(struct retether_client *client, const struct retether_attach_options *given,
                  const struct retether_exec_options *given_exec, const struct retether_attachment_callbacks *callbacks,
                  struct retether_attachment **out)
{
    struct retether_exec_options exec;
    struct rt_attach_options options;
    uint8_t *what = NULL;
    int rc = rt_sdk_attach_options(given, &options);

    *out = NULL;
    if (rc != RT_OK || rt_sized_take(&exec, sizeof(exec), given_exec, sizeof(exec)) != RT_OK || exec.argv == NULL) {
        return RT_EINVAL;
    }
    options.exec = true;
    options.tty = exec.tty;
    options.want |= 1U << RT_STDOUT | 1U << RT_STDERR | 1U << RT_CONTROL_DOWN;
    options.proc = 0;
    options.from = RT_FROM_OLDEST;
    options.n = options.n_err = 0;
    options.steal = false;
    memset(options.id, 0, sizeof(options.id));
    rc = encode(&exec, &what);
    if (rc > 0) {
        rc = begin(client, &options, what, (size_t)rc, callbacks, out);
    }
    free(what);
    return rc;
}
