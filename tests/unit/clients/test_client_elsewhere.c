/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/token_text.h"
#include "tests/unit/clients/answer.h"
#include "tests/unit/clients/box_request.h"

/* Requests that the agent that was asked cannot answer, or not all of it: it names another one, which is asked once. */

static enum { KEEPER_HAS_IT, KEEPER_HAS_NOT, KEEPER_IS_CUT } keeper;

/* The first agent has the status, and names the second for the tails. */
static bool answer_with_keeper(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    struct rt_frame head = {.type = RT_REPLY, .offset = id};
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("tails")));
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    reply.code = 7;
    reply.out = 5;
    if (link->peer == other && keeper == KEEPER_IS_CUT) {
        link_close(link);
        return true;
    }
    if (link->peer == other && keeper == KEEPER_HAS_NOT) {
        reply.c = RT_CLASS_RETRY_LATER;
    } else if (link->peer == other) {
        reply.more = true;
        link_send_map(link, head, RT_MSG_REPLY, &reply);
        reply = (struct rt_reply_msg){.s = RT_STDOUT, .data = rt_slice_text("hello")};
    } else {
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(other->host);
        reply.hosts[0].n_addr = 1;
        reply.hosts[0].addr[0] = rt_slice_text(other->address);
    }
    link_send_map(link, head, RT_MSG_REPLY, &reply);
    return true;
}

/* Tails that lie on another host's disk are fetched there; when they cannot be, the status has come all the same. */
static void test_tails_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_with_keeper;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 4; i++) {
        struct answer answer = {.sdk = sdk};
        bool has_it = i == 1;

        if (i > 0) { /* at first nobody listens there */
            keeper = i == 1 ? KEEPER_HAS_IT : i == 2 ? KEEPER_HAS_NOT : KEEPER_IS_CUT;
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_tails(sdk->client, "web", reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, 0);
        assert_int_equal(answer.cls, RETETHER_OK);
        assert_int_equal(answer.code, 7);
        assert_int_equal(answer.parts, has_it ? 2 : 1);
        assert_int_equal(answer.bytes, has_it ? 5 : 0);
        assert_int_equal(answer.hosts, has_it ? 0 : 1);
        if (!has_it) {
            assert_string_equal(answer.host.name, sdk->f->peer[1].host);
        }
        if (i > 0) {
            peer_cut(&sdk->f->peer[1]);
            peer_deafen(&sdk->f->peer[1]);
            fixture_settle(sdk->f);
        }
    }
}

/* The first agent tells what the tenant has there, and names the second, which serves the guest. */
static bool answer_limits_of(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("limits")));
    assert_true(rt_slice_equal(request->cid, rt_slice_text("acme/web")));
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    reply.n_hosts = link->peer == other ? 1 : 2;
    reply.hosts[0].host = rt_slice_text(link->peer->host);
    reply.hosts[1].host = rt_slice_text(other->host);
    reply.hosts[1].n_addr = 1;
    reply.hosts[1].addr[0] = rt_slice_text(other->address);
    reply.lims[0] = (struct rt_limit_msg){.set = rt_slice_text("processes"), .has = link->peer == other ? 2 : 1};
    reply.n_lims = 1;
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* The limits of a container are asked of the host that serves it; where that cannot be, the first answer has come. */
static void test_limits_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_limits_of;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 2; i++) {
        struct answer answer = {.sdk = sdk};

        if (i > 0) { /* at first nobody listens there */
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_limits(sdk->client, "acme/web", reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, 0);
        assert_int_equal(answer.cls, RETETHER_OK);
        assert_int_equal(answer.hosts, i == 0 ? 2 : 1);
        assert_int_equal(answer.limit.has, i + 1);
    }
}

static bool kick_denied;

/* The first agent names the second, which kicks, or does not let this client do so. */
static bool answer_kick(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("kick")));
    assert_true(rt_slice_equal(request->cid, rt_slice_text("acme/web")));
    box->requests++;
    memset(&reply, 0, sizeof(reply));
    if (link->peer != other) {
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(other->host);
        reply.hosts[0].n_addr = 1;
        reply.hosts[0].addr[0] = rt_slice_text(other->address);
    } else if (kick_denied) {
        reply.c = RT_CLASS_DENIED;
    }
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* A kick goes on to the host that serves the guest, and what that one says counts; where it cannot be asked, the
 * first answer names it. */
static void test_kick_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_kick;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 3; i++) {
        struct answer answer = {.sdk = sdk};

        kick_denied = i == 2;
        if (i > 0) {
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_kick(sdk->client, "acme/web", reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, 0);
        assert_int_equal(answer.cls, i == 2 ? RETETHER_DENIED : RETETHER_OK);
        assert_int_equal(answer.hosts, i == 0);
        if (i > 0) {
            peer_cut(&sdk->f->peer[1]);
            peer_deafen(&sdk->f->peer[1]);
            fixture_settle(sdk->f);
        }
    }
}

/* The first agent drains, and names the second, which makes the session, or is draining as well by now. */
static bool both_drain;

static bool answer_drains(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[link->peer == &link->f->peer[0]];

    assert_true(rt_slice_equal(request->op, rt_slice_text("create")));
    (void)box;
    memset(&reply, 0, sizeof(reply));
    if (link->peer == &link->f->peer[0] || both_drain) {
        reply.c = RT_CLASS_RETRY_LATER;
        reply.m = rt_slice_text(link->peer->host);
        reply.n_hosts = 1;
        reply.hosts[0].host = rt_slice_text(other->host);
        reply.hosts[0].n_addr = 1;
        reply.hosts[0].addr[0] = rt_slice_text(other->address);
    } else {
        reply.tok = rt_slice_text("token");
    }
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

static void create_drained(struct sdk *sdk, struct answer *answer)
{
    *answer = (struct answer){.sdk = sdk};
    sdk->box->requests = 0;
    assert_int_equal(retether_create(sdk->client, "box", NULL, reply_cb, answer), RT_OK);
    wait_answer(answer);
    assert_int_equal(answer->error, 0);
}

/* A create goes on to an agent whose host does not drain, once; where that one cannot be asked the refusal is the
 * answer. The next one goes there at once. */
static void test_create_elsewhere(void **state)
{
    struct sdk *sdk = *state;
    struct answer answer;

    sdk->box->on_request = answer_drains;
    sdk->f->peer[0].alone = sdk->f->peer[1].alone = true;
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_RETRY_LATER);
    assert_int_equal(sdk->box->requests, 1);
    peer_listen(&sdk->f->peer[1]);
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_OK);
    assert_int_equal(sdk->box->requests, 2);
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_OK);
    assert_int_equal(sdk->box->requests, 1);
    both_drain = true;
    create_drained(sdk, &answer);
    assert_int_equal(answer.cls, RETETHER_RETRY_LATER);
    assert_true(sdk->box->requests <= 2);
}

static bool answer_drain(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];

    assert_true(rt_slice_equal(request->op, rt_slice_text("drain")));
    assert_true(rt_slice_equal(request->host, rt_slice_text("h1")));
    assert_int_equal(request->drain, RT_DRAIN_OFF);
    (void)box;
    memset(&reply, 0, sizeof(reply));
    reply.n_hosts = link->peer == other ? 1 : 2;
    reply.hosts[0].host = rt_slice_text(link->peer->host);
    reply.hosts[0].drains = link->peer == other;
    reply.hosts[1].host = rt_slice_text(other->host);
    reply.hosts[1].n_addr = 1;
    reply.hosts[1].addr[0] = rt_slice_text(other->address);
    link_send_map(link, (struct rt_frame){.type = RT_REPLY, .offset = id}, RT_MSG_REPLY, &reply);
    return true;
}

/* A drain goes on to the host that it is about, and what that one says counts; where it cannot be asked, the first
 * answer names it. */
static void test_drain_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_drain;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 2; i++) {
        struct answer answer = {.sdk = sdk};

        if (i > 0) {
            peer_listen(&sdk->f->peer[1]);
        }
        assert_int_equal(retether_drain(sdk->client, "h1", RETETHER_DRAIN_OFF, reply_cb, &answer), RT_OK);
        wait_answer(&answer);
        assert_int_equal(answer.error, 0);
        assert_int_equal(answer.hosts, 2 - i);
        assert_int_equal(answer.host.draining, i);
    }
}

/* The first agent sends everything on to the second, which dies of it, or answers what nobody can read. */
static bool answer_is_cut;

static bool answer_unsure(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;
    struct peer *other = &link->f->peer[1];
    struct rt_frame head = {.type = RT_REPLY, .offset = id};
    size_t before = rt_slice_equal(request->op, rt_slice_text("drain"));

    (void)box;
    if (link->peer == other && answer_is_cut) {
        link_close(link);
        return true;
    }
    if (link->peer == other) {
        head.length = 1;
        link_send(link, head, "\xc1");
        return true;
    }
    memset(&reply, 0, sizeof(reply));
    reply.c = rt_slice_equal(request->op, rt_slice_text("create")) ? RT_CLASS_RETRY_LATER : RT_CLASS_OK;
    reply.n_hosts = before + 1;
    reply.hosts[0].host = rt_slice_text(link->peer->host);
    reply.hosts[before].host = rt_slice_text(other->host);
    reply.hosts[before].n_addr = 1;
    reply.hosts[before].addr[0] = rt_slice_text(other->address);
    link_send_map(link, head, RT_MSG_REPLY, &reply);
    return true;
}

/* What changes something was perhaps done where it was sent on to: the first answer, that it was not, is none. */
static void test_unsure_elsewhere(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->on_request = answer_unsure;
    sdk->f->peer[0].alone = true;
    for (unsigned i = 0; i < 8; i++) {
        struct answer answer = {.sdk = sdk};
        bool looks = i / 2 == 3;
        int rc;

        answer_is_cut = i % 2 == 1;
        sdk->box->requests = 0;
        peer_listen(&sdk->f->peer[1]);
        rc = i / 2 == 0   ? retether_create(sdk->client, "box", NULL, reply_cb, &answer)
             : i / 2 == 1 ? retether_kick(sdk->client, "acme/web", reply_cb, &answer)
                          : retether_drain(sdk->client, "h1", looks ? RETETHER_DRAIN_LOOK : RETETHER_DRAIN_ON, reply_cb,
                                           &answer);
        assert_int_equal(rc, RT_OK);
        wait_answer(&answer);
        assert_int_equal(sdk->box->requests, 2);
        assert_int_equal(answer.error, looks ? 0 : answer_is_cut ? RT_EUNKNOWN : RT_EPROTO);
        assert_int_equal(answer.hosts, looks ? 2 : 0);
        peer_cut(&sdk->f->peer[1]);
        peer_deafen(&sdk->f->peer[1]);
        fixture_settle(sdk->f);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tails_elsewhere), TEST(test_kick_elsewhere),   TEST(test_create_elsewhere),
        TEST(test_drain_elsewhere), TEST(test_limits_elsewhere), TEST(test_unsure_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
