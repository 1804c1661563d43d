/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box_request.h"

static struct rt_reply_msg reply;

void box_reply(struct link *link, uint64_t id, const struct rt_reply_msg *msg)
{
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, msg);
}

void box_record(const struct box *box, struct rt_record_msg *record)
{
    memset(record, 0, sizeof(*record));
    record->cid = rt_slice_text(BOX_CID);
    record->tenant = rt_slice_text("local");
    record->state = box->state;
    record->host = rt_slice_text("h0");
    record->life = box->life;
    record->epoch = 1;
    record->made = 1700000000000;
    record->code = box->tail_code;
    record->sig = box->tail_sig;
}

static void show(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    size_t n = request->cid.size;
    bool whole = rt_slice_equal(request->cid, rt_slice_text(BOX_CID));
    bool part = request->prefix && n <= strlen(BOX_CID) && memcmp(request->cid.data, BOX_CID, n) == 0;

    if (box->state == RT_SESSION_NONE || (!whole && !part)) {
        reply.c = RT_CLASS_NOT_FOUND;
    } else {
        reply.n_recs = 1;
        box_record(box, &reply.recs[0]);
    }
    box_reply(link, id, &reply);
}

static void tails(struct box *box, struct link *link, uint64_t id)
{
    if (box->state != RT_SESSION_ENDED && !box->tail_lost) {
        reply.c = RT_CLASS_NOT_FOUND;
        box_reply(link, id, &reply);
        return;
    }
    reply.code = box->tail_code;
    reply.sig = box->tail_sig;
    reply.out = box->tail_end[0];
    reply.err = box->tail_end[1];
    reply.lost = box->tail_lost;
    reply.cut = box->tail_cut;
    reply.ord = box->tail_order;
    if (box->tail_keeper != NULL) {
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(box->tail_keeper);
    }
    reply.more = box->tail[0] != NULL || box->tail[1] != NULL;
    box_reply(link, id, &reply);
    for (unsigned s = 0; s < 2; s++) {
        if (box->tail[s] != NULL) {
            memset(&reply, 0, sizeof(reply));
            reply.s = s + RT_STDOUT;
            reply.data = rt_slice_text(box->tail[s]);
            reply.o = box->tail_end[s] - reply.data.size;
            reply.more = s == 0 && box->tail[1] != NULL;
            box_reply(link, id, &reply);
        }
    }
}

bool box_take_request(struct box *box, struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    static struct rt_request_msg request;

    fixture_decode(RT_MSG_REQUEST, payload, head->length, &request);
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    if (box->on_request != NULL && box->on_request(box, link, head->offset, &request)) {
        return true;
    }
    if (box->later > 0) {
        box->later--;
        reply.c = RT_CLASS_RETRY_LATER;
        reply.m = rt_slice_text("the store is out");
        box_reply(link, head->offset, &reply);
    } else if (rt_slice_equal(request.op, rt_slice_text("show"))) {
        show(box, link, head->offset, &request);
    } else if (rt_slice_equal(request.op, rt_slice_text("tails"))) {
        tails(box, link, head->offset);
    } else if (rt_slice_equal(request.op, rt_slice_text("remove"))) {
        box->removed++;
        box_reply(link, head->offset, &reply);
    } else if (rt_slice_equal(request.op, rt_slice_text("create"))) {
        reply.tok = rt_slice_text("token");
        box_reply(link, head->offset, &reply);
    } else {
        box_reply(link, head->offset, &reply);
    }
    return true;
}
