/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct rt_reply_msg reply;

struct rt_request_msg ask(const char *op, const char *cid)
{
    struct rt_request_msg msg;

    memset(&msg, 0, sizeof(msg));
    msg.op = rt_slice_text(op);
    msg.cid = rt_slice_text(cid);
    return msg;
}

void want(struct fx *fx, int client, uint64_t id, enum rt_class cls)
{
    fx_reply(fx, client, id, &reply);
    assert_string_equal(rt_class_name(reply.c), rt_class_name(cls));
}

void request(struct fx *fx, int client, uint64_t id, struct rt_request_msg msg)
{
    fx_request(fx, client, id, &msg);
}

void running(struct fx *fx, const char *tenant, const char *cid, const char *host)
{
    struct rt_record *rule = &fx_record(fx, tenant, cid)->rule;

    rule->exists = true;
    rule->state = RT_SESSION_RUNNING;
    rule->life = rule->epoch = 3;
    (void)snprintf(rule->host, sizeof(rule->host), "%s", host);
}
