/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/answer.h"

struct retether_run runs[8];

static void copy_record(struct answer *answer, const struct retether_record *record)
{
    answer->record = *record;
    if (record->n_history > 0) {
        answer->move = record->history[0];
    }
    if (record->n_processes > 0) {
        answer->process = record->processes[0];
    }
    if (record->n_attachments > 0) {
        answer->holder = record->attachments[0];
    }
}

void reply_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct answer *answer = ctx;

    assert_true(client == answer->sdk->client);
    assert_int_equal(answer->last, 0);
    answer->parts++;
    answer->last += !reply->more;
    answer->error = reply->error;
    answer->cls = reply->cls;
    snprintf(answer->text, sizeof(answer->text), "%s", reply->text);
    snprintf(answer->token, sizeof(answer->token), "%s", reply->token != NULL ? reply->token : "");
    if (reply->n_records > 0) {
        copy_record(answer, &reply->records[0]);
    }
    answer->records += reply->n_records;
    if (reply->n_hosts > 0) {
        answer->host = reply->hosts[0];
    }
    answer->hosts += reply->n_hosts;
    if (reply->n_limits > 0) {
        answer->limit = reply->limits[0];
    }
    answer->checks += reply->n_checks;
    if (reply->n_checks > 0) {
        answer->check = reply->checks[0];
    }
    if (reply->n_order > 0) {
        assert_int_equal(answer->parts, 1);
        assert_true(reply->n_order <= sizeof(runs) / sizeof(runs[0]));
        memcpy(runs, reply->order, reply->n_order * sizeof(runs[0]));
        answer->n_order = reply->n_order;
    }
    if (answer->parts == 1) {
        memcpy(answer->end, reply->end, sizeof(answer->end));
        answer->code = reply->code;
        answer->signum = reply->signal;
        answer->lost = reply->lost;
    }
    assert_true(answer->bytes + reply->size < sizeof(answer->data));
    if (reply->size > 0) {
        memcpy(answer->data + answer->bytes, reply->data, reply->size);
        answer->offset = reply->offset;
    }
    answer->bytes += reply->size;
}

void wait_answer(struct answer *answer)
{
    FIXTURE_UNTIL(answer->sdk->f, answer->last > 0);
    fixture_settle(answer->sdk->f);
    assert_int_equal(answer->last, 1);
}
