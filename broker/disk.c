/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/disk.h"

#include "session/base/error.h"
#include "session/core/order.h"
#include "session/core/protocol.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The loop appends jobs, and is the only one to change the list. While the first job is with the worker, that job and
 * `ends` are the worker's; worked_cb() runs on the loop when they are the loop's again. */

struct rt_disk_job {
    struct rt_disk_job *next;
    bool keeps;
    uint32_t id;
    int error;
    char why[sizeof((struct rt_ends *)0)->why];
    struct rt_store_op op; /* its tails and their order lie in bytes; of a removal only key and life count */
    uint8_t bytes[];
};

void rt_disk_init(struct rt_disk *disk, uv_loop_t *loop, struct rt_ends *ends, rt_disk_cb kept,
                  rt_disk_progress_cb progress, void *ctx)
{
    memset(disk, 0, sizeof(*disk));
    disk->loop = loop;
    disk->ends = ends;
    disk->kept = kept;
    disk->progress = progress;
    disk->ctx = ctx;
    disk->end = &disk->first;
    disk->work.data = disk;
    disk->keep = rt_ends_keep;
    disk->drop = rt_ends_drop;
}

/* On the worker's thread. */
static void work_cb(uv_work_t *work)
{
    struct rt_disk *disk = work->data;
    struct rt_disk_job *job = disk->first;

    if (!job->keeps) {
        disk->drop(disk->ends, &job->op.key, job->op.life);
        return;
    }
    job->error = disk->keep(disk->ends, &job->op);
    if (job->error != 0) {
        (void)snprintf(job->why, sizeof(job->why), "%s", disk->ends->why);
    }
}

static void begin(struct rt_disk *disk);

static void worked_cb(uv_work_t *work, int status)
{
    struct rt_disk *disk = work->data;
    struct rt_disk_job *job = disk->first;

    (void)status; /* nothing is cancelled */
    disk->first = job->next;
    if (disk->first == NULL) {
        disk->end = &disk->first;
    } else {
        begin(disk);
    }
    if (job->keeps) {
        disk->n_keeps--;
        disk->kept(disk->ctx, job->id, &job->op, job->error, job->why);
    }
    free(job);
    disk->progress(disk->ctx);
}

static void begin(struct rt_disk *disk)
{
    int rc = uv_queue_work(disk->loop, &disk->work, work_cb, worked_cb);

    assert(rc == 0); /* it fails without a work_cb alone */
    (void)rc;
}

static void push(struct rt_disk *disk, struct rt_disk_job *job)
{
    bool was_idle = disk->first == NULL;

    *disk->end = job;
    disk->end = &job->next;
    if (was_idle) {
        begin(disk);
    }
}

/* From now on the slice is the copy; returns what is behind it. */
static uint8_t *copy(uint8_t *to, struct rt_slice *slice)
{
    if (slice->size > 0) {
        memcpy(to, slice->data, slice->size);
    }
    slice->data = to;
    return to + slice->size;
}

int rt_disk_keep(struct rt_disk *disk, uint32_t id, const struct rt_store_op *end)
{
    struct rt_disk_job *job;
    uint8_t *at;

    if (end->tail[0].size > RT_TAIL_MAX || end->tail[1].size > RT_TAIL_MAX || end->end.ord.size > RT_ORDER_PACKED_MAX) {
        return RT_EINVAL;
    }
    if (disk->n_keeps >= RT_DISK_KEEPS_MAX) {
        return RT_ELIMIT;
    }
    job = malloc(sizeof(*job) + end->tail[0].size + end->tail[1].size + end->end.ord.size);
    if (job == NULL) {
        return RT_ENOMEM;
    }
    *job = (struct rt_disk_job){.keeps = true, .id = id, .op = *end};
    at = copy(job->bytes, &job->op.tail[0]);
    at = copy(at, &job->op.tail[1]);
    (void)copy(at, &job->op.end.ord);
    disk->n_keeps++;
    push(disk, job);
    return 0;
}

void rt_disk_drop(struct rt_disk *disk, const struct rt_key *key, uint64_t life)
{
    struct rt_disk_job *job = calloc(1, sizeof(*job));

    if (job != NULL) {
        job->op.key = *key;
        job->op.life = life;
        push(disk, job);
    }
}

bool rt_disk_idle(const struct rt_disk *disk)
{
    return disk->first == NULL;
}
