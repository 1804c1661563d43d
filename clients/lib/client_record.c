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
    memset(out, 0, sizeof(*out));
    out->id = (uint32_t)in->p;
    out->exited = in->st == 2;
    out->tty = in->tty;
    out->code = (unsigned)in->code;
    memcpy(out->base, in->base, sizeof(out->base));
    memcpy(out->head, in->head, sizeof(out->head));
}

static void fill_holder(const struct rt_report_att *in, struct retether_holder *out)
{
    memset(out, 0, sizeof(*out));
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

struct arrays {
    struct retether_move history[RETETHER_HISTORY_MAX];
    struct retether_process processes[RETETHER_PROCESSES_MAX];
    struct retether_holder attachments[RETETHER_ATTACHMENTS_MAX];
};

/* Shrinks the arrays to what they hold: a list has many records, and their reports are short. */
static void *keep(const struct arrays *from, struct retether_record *record)
{
    size_t history = record->n_history * sizeof(from->history[0]);
    size_t processes = record->n_processes * sizeof(from->processes[0]);
    size_t attachments = record->n_attachments * sizeof(from->attachments[0]);
    uint8_t *block = malloc(history + processes + attachments + 1);

    if (block == NULL) {
        record->n_history = record->n_processes = record->n_attachments = 0;
        return NULL;
    }
    memcpy(block, from->history, history);
    memcpy(block + history, from->processes, processes);
    memcpy(block + history + processes, from->attachments, attachments);
    record->history = (const void *)block;
    record->processes = (const void *)(block + history);
    record->attachments = (const void *)(block + history + processes);
    return block;
}

static void fill_report(const struct rt_slice *report, struct arrays *arrays, struct retether_record *record)
{
    struct rt_report_msg msg;
    char why[RT_TEXT_MAX];

    if (report->size == 0 || rt_msg_decode(RT_MSG_REPORT, report->data, report->size, &msg, why, sizeof(why)) != 0) {
        return;
    }
    record->processes_exited = msg.done;
    record->processes_more = msg.pmore;
    record->attachments_more = msg.amore;
    record->n_processes = msg.n_procs;
    for (size_t i = 0; i < msg.n_procs; i++) {
        fill_process(&msg.procs[i], &arrays->processes[i]);
    }
    record->n_attachments = msg.n_atts;
    for (size_t i = 0; i < msg.n_atts; i++) {
        fill_holder(&msg.atts[i], &arrays->attachments[i]);
    }
}

void *rt_sdk_record_fill(const struct rt_record_msg *msg, struct retether_record *record)
{
    struct arrays arrays;

    _Static_assert(sizeof(struct retether_move) % 8 == 0, "what follows in the block is aligned");
    memset(record, 0, sizeof(*record));
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
    record->seen_ms = msg->seen;
    record->code = (unsigned)msg->code;
    record->signal = (unsigned)msg->sig;
    memset(arrays.history, 0, sizeof(arrays.history));
    record->n_history = msg->n_hist;
    for (size_t i = 0; i < msg->n_hist; i++) {
        struct retether_move *move = &arrays.history[i];

        (void)rt_text_copy(msg->hist[i].host, move->host, sizeof(move->host));
        move->life = msg->hist[i].life;
        move->epoch = msg->hist[i].epoch;
        move->at_ms = msg->hist[i].at;
    }
    fill_report(&msg->report, &arrays, record);
    return keep(&arrays, record);
}

void rt_sdk_host_fill(const struct rt_registry_msg *msg, struct retether_host *host)
{
    memset(host, 0, sizeof(*host));
    (void)rt_text_copy(msg->host, host->name, sizeof(host->name));
    (void)rt_text_copy(msg->ver, host->version, sizeof(host->version));
    host->n_addresses = msg->n_addr;
    for (size_t i = 0; i < msg->n_addr; i++) {
        (void)rt_text_copy(msg->addr[i], host->address[i], sizeof(host->address[i]));
    }
    host->sequence = msg->seq;
    host->age_ms = msg->age;
    host->sessions = msg->sessions;
    host->state = msg->state == RT_HOST_ALIVE  ? RETETHER_HOST_ALIVE
                  : msg->state == RT_HOST_DEAD ? RETETHER_HOST_DEAD
                                               : RETETHER_HOST_UNKNOWN;
}
