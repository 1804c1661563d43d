/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_DISK_H
#define RETETHER_BROKER_DISK_H

#include "broker/ends.h"
#include "migrate/core/store_op.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* Writes and removes ends (ends.h) on a thread of libuv's pool, as an fsync may take seconds and the loop may not. One
 * at a time, in the order asked: so an end is never removed by what was asked before it was written.
 *
 *     keep, drop --> queue --first of it--> worker --> done (keep only), the next one begins */

/* Ends that wait to be written, 130 KB each at most; one more is RT_ELIMIT: its guest asks again. Removals are bounded
 * by the files there are. */
#define RT_DISK_KEEPS_MAX 64

struct rt_disk_job;

/* From the loop. why is empty when error is 0; `end` is the copy, and lives during the call. */
typedef void (*rt_disk_cb)(void *ctx, uint32_t id, const struct rt_store_op *end, int error, const char *why);
/* From the loop: one more job is done, with nothing else to tell. */
typedef void (*rt_disk_progress_cb)(void *ctx);

struct rt_disk {
    uv_loop_t *loop;
    struct rt_ends *ends; /* the worker's alone while a job runs */
    rt_disk_cb kept;
    rt_disk_progress_cb progress;
    void *ctx;
    uv_work_t work;
    struct rt_disk_job *first, **end; /* owned; the first one is with the worker */
    size_t n_keeps;
    int (*keep)(struct rt_ends *ends,
                const struct rt_store_op *end); /* what the worker does; tests put slow ones here */
    void (*drop)(struct rt_ends *ends, const struct rt_key *key, uint64_t life);
};

void rt_disk_init(struct rt_disk *disk, uv_loop_t *loop, struct rt_ends *ends, rt_disk_cb kept,
                  rt_disk_progress_cb progress, void *ctx);
/* Copies the end. 0: kept() follows, later. RT_ELIMIT, RT_ENOMEM, RT_EINVAL (a tail or its order too long): it does
 * not. */
RT_MUST_CHECK int rt_disk_keep(struct rt_disk *disk, uint32_t id, const struct rt_store_op *end);
/* Without memory the file stays, until the next run of the agent has offered it to the store again. */
void rt_disk_drop(struct rt_disk *disk, const struct rt_key *key, uint64_t life);
bool rt_disk_idle(const struct rt_disk *disk);

#endif
