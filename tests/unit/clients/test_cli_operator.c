/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box_request.h"
#include "tests/unit/clients/program.h"

#include "session/core/msg.h"
#include "session/core/msg_request.h"

#include <string.h>

/* What operators do: kick, drain, revoke. */

/* ---- kick ---- */

static const char *kicked; /* what the agent was asked to kick */
static enum rt_class kick_class;
static bool kick_elsewhere;

static bool answer_kick(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    static char name[64];

    (void)box;
    if (!rt_slice_equal(request->op, rt_slice_text("kick"))) {
        return false;
    }
    rt_slice_copy(request->cid, name, sizeof(name));
    kicked = name;
    memset(&reply, 0, sizeof(reply));
    reply.c = kick_class;
    reply.m = rt_slice_text("a vch may not kick a container's guest");
    if (kick_elsewhere) {
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text("hostb");
    }
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* By its whole name with its tenant, as it was looked up. */
static void test_kick(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_kick;
    program_run(p, "kick we", 0);
    assert_string_equal(kicked, "local/web");
    assert_string_equal(p->text[0].data, "");
    assert_string_equal(program_err(p), "");
    kick_elsewhere = true;
    program_run(p, "kick web", 125);
    program_has(p, "retether: hostb serves web, and its agent cannot be reached from here\n");
    kick_elsewhere = false;
    kick_class = RT_CLASS_DENIED;
    program_run(p, "kick web", 125);
    program_has(p, "retether: not allowed: a vch may not kick a container's guest\n");
}

/* ---- drain ---- */

static uint64_t containers[4]; /* at the host, by the number of the request */
static unsigned n_drains;
static enum rt_drain drain_asked[4];
static unsigned drain_unsure; /* of so many first answers */
static enum rt_class drain_class;
static bool drain_over; /* the host does not drain when it is looked at */
static bool drain_dies; /* the agent, of each drain and revoke */

static bool answer_drain(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)box;
    if (drain_dies && !rt_slice_equal(request->op, rt_slice_text("show"))) {
        link_close(link);
        return true;
    }
    if (!rt_slice_equal(request->op, rt_slice_text("drain"))) {
        return false;
    }
    assert_true(n_drains < 4);
    assert_true(rt_slice_equal(request->host, rt_slice_text("h0")));
    drain_asked[n_drains] = (enum rt_drain)request->drain;
    memset(&reply, 0, sizeof(reply));
    reply.c = drain_class;
    reply.n_hosts = drain_class == RT_CLASS_OK;
    reply.hosts[0].host = rt_slice_text("h0");
    reply.hosts[0].drains = !drain_over || n_drains == 0;
    reply.hosts[0].unsure = n_drains < drain_unsure;
    reply.hosts[0].sessions = containers[n_drains++];
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* It asks once, and then only looks, until no container is left. */
static void test_drain(void **state)
{
    static const uint64_t left[4] = {2, 2, 1, 0};
    struct program *p = *state;

    p->box->on_request = answer_drain;
    memcpy(containers, left, sizeof(left));
    n_drains = 0;
    program_run(p, "drain h0", 0);
    assert_int_equal(n_drains, 1);
    assert_int_equal(drain_asked[0], RT_DRAIN_ON);
    assert_string_equal(program_err(p), "retether: h0 drains; containers there: 2\n");
    n_drains = 0;
    program_run(p, "drain --wait --json h0", 0);
    assert_int_equal(n_drains, 4);
    assert_int_equal(drain_asked[0], RT_DRAIN_ON);
    assert_int_equal(drain_asked[3], RT_DRAIN_LOOK);
    assert_string_equal(program_err(p), "retether: h0 drains; containers there: 2\n"
                                        "retether: h0 drains; containers there: 1\n"
                                        "retether: h0 drains; containers there: 0\n");
    assert_string_equal(p->text[0].data, "{\"host\":\"h0\",\"draining\":true,\"sessions\":0,\"unsure\":false}\n");
    n_drains = 0;
    drain_over = true;
    program_run(p, "drain --wait h0", 125);
    program_has(p, "retether: somebody has ended that h0 drains\n");
    program_run(p, "drain --wait --off h0", 125);
    n_drains = 0;
    program_run(p, "drain --off h0", 0);
    assert_int_equal(drain_asked[0], RT_DRAIN_OFF);
    n_drains = 0;
    drain_class = RT_CLASS_NOT_FOUND;
    program_run(p, "drain h0", 125);
    assert_string_equal(program_err(p), "retether: there is no host \"h0\"; retether hosts lists them\n");
    drain_class = RT_CLASS_OK;
}

/* Its agent has just started, or guests are just coming: none is not yet none. */
static void test_drain_unsure(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_drain;
    memset(containers, 0, sizeof(containers));
    drain_over = false;
    n_drains = 0;
    drain_unsure = 2;
    program_run(p, "drain --wait h0", 0);
    assert_int_equal(n_drains, 3);
    assert_string_equal(program_err(p), "retether: h0 drains; containers there: 0, and perhaps some that have not "
                                        "dialled its agent again yet\n"
                                        "retether: h0 drains; containers there: 0\n");
    n_drains = 0;
    program_run(p, "drain --json h0", 0);
    assert_string_equal(p->text[0].data, "{\"host\":\"h0\",\"draining\":true,\"sessions\":0,\"unsure\":true}\n");
    n_drains = 0;
    drain_unsure = 4;
    program_run(p, "drain --wait --timeout 2s h0", 122);
    drain_unsure = 0;
}

/* What was sent and has no answer may have been done. */
static void test_unsure(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_drain;
    drain_dies = true;
    program_run(p, "drain h0", 125);
    program_has(p, "retether: no answer came: it may drain from now on; ask again\n");
    program_run(p, "drain --off h0", 125);
    program_has(p, "retether: no answer came: it may drain no more; ask again\n");
    program_run(p, "revoke web", 125);
    program_has(p, "retether: no answer came: it may have been revoked; revoke it again\n");
    program_run(p, "kick web", 125);
    program_has(p, "retether: no answer came: its guest may have been kicked; kick it again\n");
    drain_dies = false;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kick),
        TEST(test_drain),
        TEST(test_drain_unsure),
        TEST(test_unsure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
