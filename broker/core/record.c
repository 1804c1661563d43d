/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/end.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "broker/core/session.h"
#include "migrate/core/store_op.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"

#include <string.h>

/* A session's record as clients are told it, and what of a guest's report goes into it. */

void rt_ag_fill_record(struct rt_agent *agent, const struct rt_store_record *in, struct rt_record_msg *out)
{
    const struct ag_session *session = rt_ag_session_find(agent, &in->key);
    const struct ag_end *kept;

    memset(out, 0, sizeof *out);
    out->cid = rt_slice_text(in->key.cid);
    out->tenant = rt_slice_text(in->key.tenant);
    out->label = rt_slice_text(in->label);
    out->state = in->rule.state;
    if (in->rule.lost_ms != 0 && in->rule.state != RT_SESSION_ENDED) { /* its owner was found dead (owner.c) */
        out->state = RT_SESSION_LOST;
    }
    out->life = in->rule.life;
    out->epoch = in->rule.epoch;
    out->host = rt_slice_text(in->rule.host);
    if (in->rule.life != 0) {
        out->inc.data = in->rule.inc.b;
        out->inc.size = RT_ID_SIZE;
    }
    out->made = in->made_ms;
    out->claimed = in->claimed_ms;
    out->moves = in->moves;
    out->n_hist = in->n_hist;
    for (size_t i = 0; i < in->n_hist; i++) {
        out->hist[i].host = rt_slice_text(in->hist[i].host);
        out->hist[i].life = in->hist[i].life;
        out->hist[i].epoch = in->hist[i].epoch;
        out->hist[i].at = in->hist[i].at_ms;
    }
    out->code = in->code;
    out->sig = in->sig;
    out->report.data = in->report;
    out->report.size = in->report_size;
    out->seen = in->seen_ms;
    if (session != NULL && session->guest != NULL) {
        out->state = session->state;
        out->life = session->life;
        out->epoch = session->epoch;
        out->host = rt_slice_text(session->host);
        out->inc.data = session->rule->inc.b;
        out->inc.size = RT_ID_SIZE;
        if (session->report_size > 0) {
            out->report.data = session->report;
            out->report.size = session->report_size;
        }
    }
    kept = rt_ag_kept_beyond(agent, &in->key, &in->rule);
    if (kept != NULL) { /* the store may say anything else: it has not got this end */
        out->state = RT_SESSION_ENDED;
        out->code = kept->end.code;
        out->sig = kept->end.sig;
    }
}

/* ---- a guest's report ---- */

/* No row is shorter: of more than this many none need be tried. */
#define ROWS_MAX (RT_REPORT_MAX / 24)

static void count(uint64_t *counter)
{
    *counter += *counter < RT_COUNTER_MAX - 1;
}

static void drop_proc(struct rt_report_msg *report, size_t i)
{
    count(report->procs[i].st == 2 ? &report->done : &report->pmore);
    report->n_procs--;
    memmove(report->procs + i, report->procs + i + 1, (report->n_procs - i) * sizeof report->procs[0]);
}

static void drop_att(struct rt_report_msg *report, size_t i)
{
    count(&report->amore);
    report->n_atts--;
    memmove(report->atts + i, report->atts + i + 1, (report->n_atts - i) * sizeof report->atts[0]);
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

/* The last process that has ended; `named`: also one that somebody is attached to. The main process stays. */
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

/* What runs, and who is there, goes last, and the main process after all others. False: nothing is left. */
static bool drop_one(struct rt_report_msg *report)
{
#ifndef RT_MUTANT_REPORT_CUTS_THE_END
    if (drop_ended(report, false) || drop_away(report) || drop_ended(report, true)) {
        return true;
    }
#endif
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

    if (rt_msg_decode(RT_MSG_REPORT, data, size, report, why, sizeof why) != 0) {
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
