/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/client_internal.h"

#include "session/base/text.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"

#include <stdlib.h>
#include <string.h>

static void fill_process(const struct rt_report_proc *in, struct retether_process *out)
{
    out->id = (uint32_t)in->p;
    out->exited = in->st == 2;
    out->tty = in->tty;
    out->code = (unsigned)in->code;
    memcpy(out->base, in->base, sizeof(out->base));
    memcpy(out->head, in->head, sizeof(out->head));
}

static void fill_holder(const struct rt_report_att *in, struct retether_holder *out)
{
    if (in->id.size == RETETHER_ATTACHMENT_ID_SIZE) {
        memcpy(out->id, in->id.data, sizeof(out->id));
    }
    out->process = (uint32_t)in->p;
    out->bound = in->bound;
    out->observer = in->hold == 0;
    memcpy(out->consumed, in->cons, sizeof(out->consumed));
    memcpy(out->applied, in->app, sizeof(out->applied));
    out->hold_left_ms = in->hold;
}

void *rt_sdk_block_add(struct rt_sdk_block **blocks, size_t n, size_t size)
{
    struct rt_sdk_block *block = calloc(1, sizeof(*block) + n * size);

    if (block == NULL) {
        return NULL;
    }
    block->next = *blocks;
    *blocks = block;
    return block->data;
}

static int fill_history(const struct rt_record_msg *msg, struct retether_record *record, struct rt_sdk_block **blocks)
{
    struct retether_move *history = rt_sdk_block_add(blocks, msg->n_hist, sizeof(*history));

    if (history == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < msg->n_hist; i++) {
        (void)rt_text_copy(msg->hist[i].host, history[i].host, sizeof(history[i].host));
        history[i].life = msg->hist[i].life;
        history[i].epoch = msg->hist[i].epoch;
        history[i].at_ms = msg->hist[i].at;
    }
    record->history = history;
    record->n_history = msg->n_hist;
    return RT_OK;
}

static int fill_report(const struct rt_slice *report, struct retether_record *record, struct rt_sdk_block **blocks)
{
    struct retether_process *processes;
    struct retether_holder *attachments;
    struct rt_report_msg msg;
    char why[RT_TEXT_MAX];

    if (report->size == 0 || rt_msg_decode(RT_MSG_REPORT, report->data, report->size, &msg, why, sizeof(why)) != 0) {
        return RT_OK;
    }
    processes = rt_sdk_block_add(blocks, msg.n_procs, sizeof(*processes));
    attachments = rt_sdk_block_add(blocks, msg.n_atts, sizeof(*attachments));
    if (processes == NULL || attachments == NULL) {
        return RT_ENOMEM;
    }
    for (size_t i = 0; i < msg.n_procs; i++) {
        fill_process(&msg.procs[i], &processes[i]);
    }
    for (size_t i = 0; i < msg.n_atts; i++) {
        fill_holder(&msg.atts[i], &attachments[i]);
    }
    record->processes = processes;
    record->n_processes = msg.n_procs;
    record->attachments = attachments;
    record->n_attachments = msg.n_atts;
    record->processes_exited = msg.done;
    record->processes_more = msg.pmore;
    record->attachments_more = msg.amore;
    return RT_OK;
}

int rt_sdk_record_fill(const struct rt_record_msg *msg, struct retether_record *record, struct rt_sdk_block **blocks)
{
    int rc;

    (void)rt_text_copy(msg->cid, record->container, sizeof(record->container));
    (void)rt_text_copy(msg->tenant, record->tenant, sizeof(record->tenant));
    (void)rt_text_copy(msg->label, record->label, sizeof(record->label));
    (void)rt_text_copy(msg->host, record->host, sizeof(record->host));
    record->state = (enum retether_state)msg->state;
    record->life = msg->life;
    record->epoch = msg->epoch;
    record->moves = msg->moves;
    record->made_ms = msg->made;
    record->claimed_ms = msg->claimed;
    record->revoked = msg->revoked;
    record->seen_ms = msg->seen;
    record->code = (unsigned)msg->code;
    record->signal = (unsigned)msg->sig;
    rc = fill_history(msg, record, blocks);
    return rc == RT_OK ? fill_report(&msg->report, record, blocks) : rc;
}

void rt_sdk_host_fill(const struct rt_registry_msg *msg, struct retether_host *host)
{
    (void)rt_text_copy(msg->host, host->name, sizeof(host->name));
    (void)rt_text_copy(msg->ver, host->version, sizeof(host->version));
    host->n_addresses = msg->n_addr;
    for (size_t i = 0; i < msg->n_addr; i++) {
        (void)rt_text_copy(msg->addr[i], host->address[i], sizeof(host->address[i]));
    }
    host->sequence = msg->seq;
    host->age_ms = msg->age;
    host->sessions = msg->sessions;
    host->sessions_untold = msg->untold;
    host->sessions_unsure = msg->unsure;
    host->draining = msg->drains;
    host->state = msg->state == RT_HOST_ALIVE  ? RETETHER_HOST_ALIVE
                  : msg->state == RT_HOST_DEAD ? RETETHER_HOST_DEAD
                                               : RETETHER_HOST_UNKNOWN;
}

void rt_sdk_limit_fill(const struct rt_limit_msg *msg, struct retether_limit *limit)
{
    (void)rt_text_copy(msg->set, limit->setting, sizeof(limit->setting));
    (void)rt_text_copy(msg->who, limit->tenant, sizeof(limit->tenant));
    limit->most = msg->max;
    limit->has = msg->has;
    limit->refused = msg->over;
}

void rt_sdk_check_fill(const struct rt_check_msg *msg, uint64_t age_ms, struct retether_check *check)
{
    (void)rt_text_copy(msg->name, check->name, sizeof(check->name));
    (void)rt_text_copy(msg->val, check->value, sizeof(check->value));
    (void)rt_text_copy(msg->risk, check->risk, sizeof(check->risk));
    (void)rt_text_copy(msg->mend, check->mend, sizeof(check->mend));
    check->age_ms = age_ms;
    check->state = msg->state == RT_CHECK_IS_OK     ? RETETHER_CHECK_OK
                   : msg->state == RT_CHECK_IS_WEAK ? RETETHER_CHECK_WEAK
                                                    : RETETHER_CHECK_UNKNOWN;
}
