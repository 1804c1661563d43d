/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/machine.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"

#include <stdbool.h>
#include <string.h>

/* What of a guest's report goes into the record of its session. */

/* Rows of a report at most: no row is shorter than 24 bytes. */
#define ROWS_MAX (RT_REPORT_MAX / 24)

static void count(uint64_t *counter)
{
    *counter += *counter < RT_COUNTER_MAX - 1;
}

static void drop_proc(struct rt_report_msg *report, size_t i)
{
    count(report->procs[i].st == 2 ? &report->done : &report->pmore);
    report->n_procs--;
    memmove(report->procs + i, report->procs + i + 1, (report->n_procs - i) * sizeof(report->procs[0]));
}

static void drop_att(struct rt_report_msg *report, size_t i)
{
    count(&report->amore);
    report->n_atts--;
    memmove(report->atts + i, report->atts + i + 1, (report->n_atts - i) * sizeof(report->atts[0]));
}

static bool is_named(const struct rt_report_msg *report, uint64_t proc)
{
    for (size_t i = 0; i < report->n_atts; i++) {
        if (report->atts[i].p == proc) {
            return true;
        }
    }
    return false;
}

/* Drops the last process that has ended; with `named` also one that somebody is attached to, never the main process. */
static bool drop_ended(struct rt_report_msg *report, bool named)
{
    for (size_t i = report->n_procs; i-- > 0;) {
        const struct rt_report_proc *proc = &report->procs[i];

        if (proc->p != 0 && proc->st == 2 && (named || !is_named(report, proc->p))) {
            drop_proc(report, i);
            return true;
        }
    }
    return false;
}

static bool drop_away(struct rt_report_msg *report)
{
    for (size_t i = report->n_atts; i-- > 0;) {
        if (!report->atts[i].bound) {
            drop_att(report, i);
            return true;
        }
    }
    return false;
}

/* Drops the row that is missed least: a process that has ended and has no attachment, then an attachment whose client
 * is away, then any process that has ended, then what runs and who is there. The main process goes last. False when
 * nothing is left. */
static bool drop_one(struct rt_report_msg *report)
{
    if (drop_ended(report, false) || drop_away(report) || drop_ended(report, true)) {
        return true;
    }
    if (report->n_atts > 0 && report->n_atts >= report->n_procs) {
        drop_att(report, report->n_atts - 1);
    } else if (report->n_procs > 0) {
        drop_proc(report, report->n_procs - 1);
    } else {
        return false;
    }
    return true;
}

size_t rt_ag_report_shorten(struct rt_agent *agent, const uint8_t *data, size_t size, uint8_t out[RT_REPORT_MAX])
{
    struct rt_report_msg *report = agent->report;
    char why[RT_TEXT_MAX];
    int used;

    if (rt_msg_decode(RT_MSG_REPORT, data, size, report, why, sizeof(why)) != 0) {
        return 0;
    }
    if (size <= RT_REPORT_MAX) {
        memcpy(out, data, size);
        return size;
    }
    while (report->n_procs + report->n_atts > ROWS_MAX) {
        (void)drop_one(report);
    }
    while ((used = rt_msg_encode(RT_MSG_REPORT, report, out, RT_REPORT_MAX)) < 0 && drop_one(report)) {
    }
    return used < 0 ? 0 : (size_t)used;
}
