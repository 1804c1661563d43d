/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"
#include "clients/lib/guest_internal.h"
#include "clients/lib/sized.h"
#include "session/base/random.h"
#include "session/core/msg.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An attachment made by exec: first an observer on the main process, whose control-down carries the item exactly once
 * and in spite of moves; when that has been applied, the attachment that the item named.
 *
 *     CONTROL --ATTACHED--> item written --applied--> att->catt, an attachment like others */

static size_t fill(char *const *list, struct rt_slice *slices, size_t max)
{
    size_t n = 0;

    for (; list != NULL && list[n] != NULL && n < max; n++) {
        slices[n] = rt_slice_text(list[n]);
    }
    return n;
}

static void fill_item(const struct rt_sdk_exec *exec, struct rt_down_item *item)
{
    memset(item, 0, sizeof(*item));
    item->t = RT_ITEM_EXEC;
    item->id.data = exec->options.id;
    item->id.size = RT_ID_SIZE;
    item->n_argv = fill(exec->argv, item->argv, RT_ARGS_MAX);
    item->n_env = fill(exec->env, item->env, RT_ARGS_MAX);
    if (exec->cwd != NULL) {
        item->cwd = rt_slice_text(exec->cwd);
    }
    item->tty = exec->tty;
    item->in = (exec->options.want & 1U << RT_STDIN) != 0;
    item->rows = exec->options.rows;
    item->cols = exec->options.cols;
    item->hold = exec->options.hold_ms;
}

static size_t length(const char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL) {
        n++;
    }
    return n;
}

/* Whether the command fits into an item is known before anybody is asked. */
static int check_item(const struct rt_sdk_exec *exec)
{
    uint8_t buf[RT_ITEM_MAX];
    struct rt_down_item item;
    int size;

    fill_item(exec, &item);
    size = rt_msg_encode(RT_MSG_DOWN_ITEM, &item, buf, sizeof(buf));
    return size < 0 ? size : RT_OK;
}

static struct rt_sdk_exec *exec_new(const struct retether_exec_options *in)
{
    static const char *const none[] = {NULL};
    struct rt_sdk_exec *exec = calloc(1, sizeof(*exec));

    if (exec == NULL) {
        return NULL;
    }
    exec->argv = rt_guest_list_copy(in->argv);
    exec->env = rt_guest_list_copy(in->env != NULL ? in->env : none);
    exec->cwd = in->cwd != NULL ? strdup(in->cwd) : NULL;
    exec->tty = in->tty;
    if (exec->argv == NULL || exec->env == NULL || (in->cwd != NULL && exec->cwd == NULL)) {
        rt_sdk_exec_free(exec);
        return NULL;
    }
    return exec;
}

static int begin(struct retether_attachment *att, const struct retether_attach_options *options)
{
    struct rt_sdk_exec *exec = att->exec;
    struct rt_attach_options control;
    int rc = rt_sdk_attach_options(options, &exec->options);

    if (rc != RT_OK) {
        return rc;
    }
    exec->options.want |= 1U << RT_STDOUT | 1U << RT_STDERR;
    exec->options.proc = RT_PROC_ANY;
    exec->options.from = RT_FROM_OLDEST;
    exec->options.n = 0;
    exec->options.n_err = 0;
    exec->options.steal = false;
    exec->options.data = att;
    rt_random_fill(NULL, exec->options.id, RT_ID_SIZE);
    if ((rc = check_item(exec)) != RT_OK) {
        return rc;
    }
    memset(&control, 0, sizeof(control));
    memcpy(control.cid, exec->options.cid, sizeof(control.cid));
    control.want = 1U << RT_CONTROL_UP | 1U << RT_CONTROL_DOWN;
    control.from = RT_FROM_NOW;
    control.data = att;
    control.give_up_ms = options->give_up_ms;
    return rt_client_attach(att->client->machine, &control, rt_sdk_now(att->client), &exec->control);
}

int retether_exec(struct retether_client *client, const struct retether_attach_options *options,
                  const struct retether_exec_options *given, const struct retether_attachment_callbacks *callbacks,
                  struct retether_attachment **out)
{
    struct retether_exec_options exec;
    struct retether_attachment *att;
    int rc;

    *out = NULL;
    if (rt_sized_take(&exec, sizeof(exec), given, sizeof(exec)) != RT_OK || exec.argv == NULL || exec.argv[0] == NULL ||
        length(exec.argv) > RT_ARGS_MAX || length(exec.env) > RT_ARGS_MAX) {
        return RT_EINVAL;
    }
    rc = rt_sdk_attachment_new(client, callbacks, &att);
    if (rc != RT_OK) {
        return rc;
    }
    att->exec = exec_new(&exec);
    if (att->exec == NULL) {
        free(att);
        return RT_ENOMEM;
    }
    rc = begin(att, options);
    if (rc != RT_OK) {
        rt_sdk_exec_free(att->exec);
        free(att);
        return rc;
    }
    rt_sdk_attachment_add(att);
    *out = att;
    return RT_OK;
}

static void fail(struct retether_attachment *att, uint64_t cls, const char *text, const struct rt_catt_event *like)
{
    struct rt_catt_event event = {.kind = RT_CATT_FAILED, .cls = cls};

    rt_slice_copy(rt_slice_text(text), event.text, sizeof(event.text));
    if (like != NULL) {
        event.code = like->code;
        event.sig = like->sig;
    }
    rt_sdk_attachment_fail(att, &event);
}

/* The item has been applied: from here on the attachment is like any other. */
static void arrived(struct retether_attachment *att)
{
    struct rt_sdk_exec *exec = att->exec;
    int rc = rt_client_attach(att->client->machine, &exec->options, rt_sdk_now(att->client), &att->catt);

    att->exec = NULL;
    rt_sdk_exec_free(exec);
    if (rc != RT_OK) {
        fail(att, RT_CLASS_LIMIT, rt_strerror(rc), NULL);
        return;
    }
    if (att->ended) {
        rt_catt_write_end(att->catt);
    }
    rt_catt_wake(att->catt); /* what could not be written before the process was there can be now */
}

static void send_item(struct retether_attachment *att)
{
    struct rt_down_item item;
    int rc;

    fill_item(att->exec, &item);
    rc = rt_catt_exec(att->exec->control, &item);
    att->exec->sent = true;
    if (rc != RT_OK) {
        fail(att, RT_CLASS_LIMIT, rt_strerror(rc), NULL);
    }
}

/* Its item was under way. */
static const char not_known[] = "it is not known whether the command was started: ";

void rt_sdk_exec_step(struct retether_attachment *att)
{
    struct rt_catt_event event;

    while (!att->closed && !att->final && rt_catt_event(att->exec->control, &event)) {
        if (event.kind == RT_CATT_ATTACHED) {
            att->exec->attached = true;
        } else if (event.kind == RT_CATT_EXITED) {
            fail(att, RT_CLASS_ENDED, "the container's main process has ended", &event);
        } else if (event.kind == RT_CATT_FAILED && att->exec->sent) {
            char text[sizeof(event.text) + sizeof(not_known)];

            (void)snprintf(text, sizeof(text), "%s%s", not_known, event.text);
            fail(att, event.cls, text, &event);
        } else if (event.kind == RT_CATT_REWOUND || event.kind == RT_CATT_FAILED) {
            rt_sdk_attachment_fail(att, &event);
        }
    }
    /* Not before all was heard that came with ATTACHED: its end is told as what it is. */
    if (!att->closed && !att->final && att->exec->attached && !att->exec->sent) {
        send_item(att);
    }
    if (att->exec != NULL && !att->closed && !att->final && att->exec->sent && rt_catt_applied(att->exec->control)) {
        arrived(att);
    }
}
