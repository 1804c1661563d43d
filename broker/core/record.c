/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/core/ask.h"
#include "broker/core/end.h"
#include "broker/core/machine.h"
#include "broker/core/revoked.h"
#include "broker/core/rights.h"
#include "broker/core/session.h"
#include "migrate/core/past.h"
#include "migrate/core/store_op.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"

#include <assert.h>
#include <string.h>

/* A session's record as clients are told it. */

/* Bytes of an attachment's id that everybody is told: what people tell attachments apart by. */
#define ID_TOLD 4

/* Who knows an attachment's id may take its place, and say in its name what it has read. So those who may not send
 * input are told its first bytes only; the rest is zeros. */
static void hide_ids(struct rt_agent *agent, struct rt_record_msg *out)
{
    uint8_t *copy = agent->told[out - agent->reply->recs];

    assert(out->report.size <= RT_REPORT_MAX);
    memcpy(copy, out->report.data, out->report.size);
    out->report.data = copy;
    if (rt_msg_decode(RT_MSG_REPORT, copy, out->report.size, agent->report, NULL, 0) != 0) {
        out->report.size = 0;
        return;
    }
    for (size_t i = 0; i < agent->report->n_atts; i++) {
        uint8_t *id = copy + (agent->report->atts[i].id.data - copy);

        memset(id + ID_TOLD, 0, RT_ID_SIZE - ID_TOLD);
    }
}

bool rt_ag_own_record(struct rt_agent *agent, const struct rt_key *key, struct rt_store_record *record)
{
    const struct ag_session *session = rt_ag_session_find(agent, key);
    const struct ag_end *kept = rt_ag_kept(agent, key, 0);
    bool served = session != NULL && session->guest != NULL;

    memset(record, 0, sizeof(*record));
    record->key = *key;
    if (served) {
        rt_ag_session_rule(session, &record->rule);
        (void)rt_past_read(rt_ag_session_past(session), record); /* none, or a later version's: then without it */
    } else if (kept != NULL) {
        record->rule.life = kept->life;
        record->rule.epoch = kept->epoch;
        record->rule.inc = kept->claim.inc;
        memcpy(record->rule.host, agent->config.host, sizeof(record->rule.host));
    }
    return served || kept != NULL;
}

void rt_ag_fill_record(struct rt_agent *agent, const struct ag_link *link, const struct rt_store_record *in,
                       struct rt_record_msg *out)
{
    const struct ag_session *session = rt_ag_session_find(agent, &in->key);
    const struct ag_end *kept;

    memset(out, 0, sizeof(*out));
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
    if (out->report.size > 0 && !rt_ag_may(link, AG_MAY_INPUT)) {
        hide_ids(agent, out);
    }
    out->revoked = rt_ag_is_revoked(agent, &in->key, out->life);
    kept = rt_ag_kept_beyond(agent, &in->key, &in->rule);
    if (kept != NULL) { /* the end lies on this host's disk: whatever the store says is older */
        out->state = RT_SESSION_ENDED;
        out->code = kept->end.code;
        out->sig = kept->end.sig;
    }
}

bool rt_ag_record_fits(const struct rt_agent *agent, const struct ag_list *list, const struct rt_record_msg *record)
{
    size_t size = strlen(list->label);

    return (list->states == 0 || (list->states >> record->state & 1) != 0) &&
           (list->older == 0 || record->made + list->older <= rt_ag_store_ms(agent)) &&
           (size == 0 ||
            (record->label.size >= size && memmem(record->label.data, record->label.size, list->label, size) != NULL));
}
