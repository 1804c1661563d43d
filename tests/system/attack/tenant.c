/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/honest.h"
#include "tests/system/attack/rogue.h"

#include <stdio.h>
#include <string.h>

/* Who is of another tenant, or may only look. */

/* As long as the honest one's, so that answers that tell it differ in nothing but the name. */
#define NOBODY_CID "nobody-1"
#define ENDED_CID "ended-1"

/* What is asked about a container of the tenant "local", and about none: the answers are the same bytes. */
static void same(struct peer *client, struct rt_request_msg request, const char *there, const char *none)
{
    static uint8_t first[RT_FRAME_PAYLOAD_MAX];
    struct rt_slice answer;
    size_t size;
    int cls;

    request.cid = rt_slice_text(there);
    cls = attack_ask(client, &request, NULL, &answer);
    memcpy(first, answer.data, answer.size);
    size = answer.size;
    request.cid = rt_slice_text(none);
    (void)attack_ask(client, &request, NULL, &answer);
    attack_saw("%.*s: %s", (int)request.op.size, (const char *)request.op.data, attack_class(cls));
    assert_int_equal(answer.size, size);
    assert_memory_equal(answer.data, first, size);
}

/* An ATTACH that is refused, and how. */
static int attach_refused(struct peer *client, uint32_t channel, const char *cid, struct rt_attach_msg msg)
{
    msg.cid = rt_slice_text(cid);
    attack_attach(client, channel, &msg);
    return attack_refused(client, channel);
}

/* A store says that there is none of this name when it has been up for 10 s. */
static void until_whole(struct peer *client)
{
    struct rt_request_msg request = {.op = rt_slice_text("show"), .cid = rt_slice_text(NOBODY_CID)};
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    while (attack_ask(client, &request, NULL, NULL) == RT_CLASS_RETRY_LATER) {
        assert_true(rt_process_now_ms() < until);
        attack_pass(100);
    }
}

/* A container of "local" that has ended, and has a tail; its name. */
static void ended(char cid[sizeof(((struct rogue *)0)->cid)])
{
    struct rt_end_msg msg = {.out = 6};
    struct rt_frame tail = {.type = RT_TAIL, .stream = RT_STDOUT, .length = 6}, frame = {.type = RT_END};
    struct rogue rogue;

    rogue_start(&rogue, ENDED_CID);
    peer_send(&rogue.peer, &tail, "secret");
    peer_send_msg(&rogue.peer, frame, RT_MSG_END, &msg);
    assert_non_null(attack_next(&rogue.peer, ATTACK_TYPE(RT_END_OK), &frame));
    memcpy(cid, rogue.cid, sizeof(rogue.cid));
    rogue_close(&rogue);
}

/* Lists: of what the agent serves itself, of a host, and behind a name that comes right before another tenant's. */
static void same_lists(struct peer *client)
{
    const struct rt_request_msg lists[] = {
        {.op = rt_slice_text("list"), .local = true},
        {.op = rt_slice_text("list"), .host = rt_slice_text("h0")},
        {.op = rt_slice_text("list"), .local = true, .host = rt_slice_text("h0")},
        {.op = rt_slice_text("list"), .page = 1},
    };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        same(client, lists[i], "h", "n");
        same(client, lists[i], "local/h", "other/n");
    }
}

/* What is listed behind a name, given as a list would give it to go on. */
static void list_behind(struct peer *client, const char *name, bool local)
{
    struct rt_request_msg list = {.op = rt_slice_text("list"), .after = rt_slice_text(name), .local = local};
    const struct rt_reply_msg *reply;
    int cls = attack_ask(client, &list, &reply, NULL);

    for (size_t i = 0; i < reply->n_recs; i++) {
        assert_false(rt_slice_equal(reply->recs[i].tenant, rt_slice_text("local")));
    }
    assert_true(cls == RT_CLASS_OK || cls == RT_CLASS_INVALID);
}

/* Hosts are told, but not how many sessions they have. */
static void hosts_untold(struct peer *client)
{
    struct rt_request_msg hosts = {.op = rt_slice_text("hosts")};
    const struct rt_reply_msg *reply;

    assert_int_equal(attack_ask(client, &hosts, &reply, NULL), RT_CLASS_OK);
    assert_true(reply->n_hosts > 0);
    for (size_t i = 0; i < reply->n_hosts; i++) {
        assert_true(reply->hosts[i].untold && reply->hosts[i].sessions == 0);
    }
    attack_saw("hosts: without numbers");
}

/* Limits: of its own tenant alone, and of a container that is not its own as of none. */
static void limits_untold(struct peer *client)
{
    static const char *const cids[] = {NOBODY_CID, HONEST_CID, "nowho/" NOBODY_CID, "local/" HONEST_CID, ""};
    size_t rows[sizeof(cids) / sizeof(cids[0])];
    int cls[sizeof(cids) / sizeof(cids[0])];

    for (size_t k = 0; k < sizeof(cids) / sizeof(cids[0]); k++) {
        struct rt_request_msg limits = {.op = rt_slice_text("limits"), .cid = rt_slice_text(cids[k])};
        const struct rt_reply_msg *reply;

        cls[k] = attack_ask(client, &limits, &reply, NULL);
        rows[k] = reply->n_lims;
        assert_true(reply->n_hosts <= 1);
        for (size_t i = 0; i < reply->n_lims; i++) {
            assert_true(reply->lims[i].who.size == 0 || rt_slice_equal(reply->lims[i].who, rt_slice_text("other")));
            assert_false(rt_slice_equal(reply->lims[i].set, rt_slice_text("processes")));
        }
    }
    attack_saw("limits: %s", attack_class(cls[1]));
    assert_true(cls[1] == cls[0] && rows[1] == rows[0]);
    assert_true(cls[3] == cls[2] && rows[3] == rows[2]);
}

void attack_another_tenant(void)
{
    static const char *const ops[] = {"show", "tails", "remove"};
    struct rt_request_msg request = {.op = rt_slice_text("show"), .prefix = true};
    struct rt_attach_msg attach = {.make = true, .want = 31};
    struct peer client;
    char first[RT_TEXT_MAX + 1], ended_cid[sizeof(((struct rogue *)0)->cid)];
    int cls;

    ended(ended_cid);
    attack_client(&client, "other");
    until_whole(&client);
    same(&client, request, "honest", "nobody");
    same(&client, request, "h", "n");
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        request = (struct rt_request_msg){.op = rt_slice_text(ops[i])};
        same(&client, request, HONEST_CID, NOBODY_CID);
        same(&client, request, ended_cid, NOBODY_CID);
    }
    request = (struct rt_request_msg){.op = rt_slice_text("show"), .wait = 50};
    same(&client, request, HONEST_CID, NOBODY_CID);
    request = (struct rt_request_msg){.op = rt_slice_text("list")};
    same(&client, request, "", "n");
    same(&client, request, "local/" HONEST_CID, "other/" NOBODY_CID);
    same_lists(&client);
    for (unsigned i = 0; i < 2; i++) {
        list_behind(&client, "honest-0", i > 0);
        list_behind(&client, "local/honest-0", i > 0);
        list_behind(&client, "local", i > 0);
    }
    hosts_untold(&client);
    limits_untold(&client);
    cls = attach_refused(&client, 1, HONEST_CID, attach);
    (void)snprintf(first, sizeof(first), "%s", client.why);
    attack_saw("attach: %s", attack_class(cls));
    assert_int_equal(cls, RT_CLASS_NOT_FOUND);
    assert_int_equal(attach_refused(&client, 2, NOBODY_CID, attach), cls);
    assert_string_equal(client.why, first);
    attack_close(&client);
}

/* The first attachment of a container that this client is told of. */
static void attachment_of(struct peer *client, const char *cid, uint8_t id[RT_ID_SIZE])
{
    static struct rt_report_msg report;
    struct rt_request_msg request = {.op = rt_slice_text("show"), .cid = rt_slice_text(cid)};
    const struct rt_reply_msg *reply;
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    char why[RT_TEXT_MAX];

    do {
        assert_true(rt_process_now_ms() < until);
        assert_int_equal(attack_ask(client, &request, &reply, NULL), RT_CLASS_OK);
        assert_int_equal(reply->n_recs, 1);
        assert_int_equal(rt_msg_decode(RT_MSG_REPORT, reply->recs[0].report.data, reply->recs[0].report.size, &report,
                                       why, sizeof(why)),
                         0);
    } while (report.n_atts == 0);
    memcpy(id, report.atts[0].id.data, RT_ID_SIZE);
}

/* The id of an attachment that is not one's tenant's, with its container's name; and a namesake of one's own. */
void attack_attachment_of_another(void)
{
    uint8_t id[RT_ID_SIZE];
    struct rt_attach_msg attach = {.take = true, .try_no = RT_COUNTER_MAX - 1, .want = 31, .id = {id, sizeof(id)}};
    struct rt_request_msg create = {.op = rt_slice_text("create"), .cid = rt_slice_text(HONEST_CID)};
    struct rt_request_msg show = {.op = rt_slice_text("show"), .cid = rt_slice_text(HONEST_CID)};
    struct rt_attach_msg own = {.cid = rt_slice_text(HONEST_CID), .make = true, .want = 2, .from = RT_FROM_NOW};
    const struct rt_reply_msg *reply;
    struct rogue namesake;
    struct peer owner, client;
    struct rt_frame frame;
    int cls;

    attack_client(&owner, NULL);
    attachment_of(&owner, HONEST_CID, id);
    attack_client(&client, "other");
    until_whole(&client);
    cls = attach_refused(&client, 1, HONEST_CID, attach);
    attack_saw("attach: %s", attack_class(cls));
    assert_int_equal(cls, RT_CLASS_NOT_FOUND);
    assert_int_equal(attack_ask(&client, &create, &reply, NULL), RT_CLASS_OK);
    memset(&namesake, 0, sizeof(namesake));
    namesake.peer.fd = -1;
    (void)snprintf(namesake.cid, sizeof(namesake.cid), HONEST_CID);
    memcpy(namesake.join.data, reply->tok.data, reply->tok.size);
    namesake.join.size = reply->tok.size;
    cls = attach_refused(&client, 2, HONEST_CID, attach);
    attack_saw("with a namesake: %s", attack_class(cls));
    assert_true(cls == RT_CLASS_NOT_FOUND || cls == RT_CLASS_RETRY_LATER);
    assert_int_equal(attack_ask(&client, &show, &reply, NULL), RT_CLASS_OK);
    assert_true(rt_slice_equal(reply->recs[0].tenant, rt_slice_text("other")));
    assert_int_equal(reply->recs[0].state, RT_SESSION_CREATED);
    rogue_join(&namesake);
    (void)rogue_attached(&namesake, &client, 3, 31);
    attack_attach(&owner, 1, &own);
    assert_non_null(attack_next(&owner, ATTACK_TYPE(RT_ATTACHED), &frame));
    assert_non_null(attack_next(&owner, ATTACK_TYPE(RT_DATA), &frame));
    assert_true(attack_alive(&namesake.peer));
    assert_int_equal(attack_ask(&owner, &show, &reply, NULL), RT_CLASS_OK);
    assert_true(rt_slice_equal(reply->recs[0].tenant, rt_slice_text("local")));
    assert_int_equal(reply->recs[0].state, RT_SESSION_RUNNING);
    rogue_close(&namesake);
    attack_close(&owner);
    attack_close(&client);
}

/* What an operator alone may say: of one's own, of another's and of none. */
void attack_operators_words(void)
{
    static const char *const ops[] = {"kick", "revoke"};
    static const char *const roles[] = {"other", "vch", "viewer"};
    static const char *const cids[] = {HONEST_CID, "local/" HONEST_CID, "other/" NOBODY_CID, "local/", "/", "*"};

    for (size_t r = 0; r < sizeof(roles) / sizeof(roles[0]); r++) {
        struct peer client;

        attack_client(&client, roles[r]);
        for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
            for (size_t k = 0; k < sizeof(cids) / sizeof(cids[0]); k++) {
                struct rt_request_msg request = {.op = rt_slice_text(ops[i]), .cid = rt_slice_text(cids[k])};

                assert_int_equal(attack_ask(&client, &request, NULL, NULL), RT_CLASS_DENIED);
            }
        }
        attack_close(&client);
    }
    attack_saw("kick, revoke: DENIED");
}

/* It sees containers and reads them; ids that would let it take an attachment it is not told. */
void attack_viewer(void)
{
    uint8_t id[RT_ID_SIZE], seen[RT_ID_SIZE], zeros[RT_ID_SIZE] = {0};
    const struct rt_attach_msg wishes[] = {{.make = true, .want = 1U << RT_STDIN},
                                           {.make = true, .want = 1U << RT_CONTROL_DOWN},
                                           {.make = true, .want = 31, .exec = true},
                                           {.take = true, .want = 2, .try_no = 9, .id = {id, sizeof(id)}}};
    struct rt_request_msg create = {.op = rt_slice_text("create"), .cid = rt_slice_text("viewers")};
    struct rt_request_msg remove = {.op = rt_slice_text("remove"), .cid = rt_slice_text(HONEST_CID)};
    struct rt_attach_msg reads = {.cid = rt_slice_text(HONEST_CID), .make = true, .want = 2, .from = RT_FROM_NOW};
    struct peer owner, viewer;
    struct rt_frame frame;
    int cls;

    attack_client(&owner, NULL);
    attack_client(&viewer, "viewer");
    attachment_of(&owner, HONEST_CID, id);
    attachment_of(&viewer, HONEST_CID, seen);
    assert_memory_equal(seen, id, 4);
    assert_memory_equal(seen + 4, zeros, sizeof(zeros) - 4);
    for (uint32_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        assert_int_equal(attach_refused(&viewer, i + 1, HONEST_CID, wishes[i]), RT_CLASS_DENIED);
    }
    assert_int_equal(attack_ask(&viewer, &create, NULL, NULL), RT_CLASS_DENIED);
    assert_int_equal(attack_ask(&viewer, &remove, NULL, NULL), RT_CLASS_DENIED);
    attack_saw("input, exec, take, create, remove: DENIED; 4 bytes of an id");
    attack_attach(&viewer, 9, &reads);
    assert_non_null(attack_next(&viewer, ATTACK_TYPE(RT_ATTACHED), &frame));
    frame = (struct rt_frame){.type = RT_DATA, .channel = 9, .stream = RT_STDIN, .length = 4};
    peer_send(&viewer, &frame, "evil");
    cls = attack_refused(&viewer, 9);
    attack_saw("input all the same: %s", attack_class(cls));
    assert_int_equal(cls, RT_CLASS_PROTOCOL);
    assert_true(attack_alive(&viewer));
    attack_close(&owner);
    attack_close(&viewer);
}

/* A viewer that would hold output back, and have the terminal be as large as its own: neither reaches the guest. */
void attack_viewers_hold(void)
{
    struct rt_attach_msg wish = {.make = true, .want = 2, .hold = 600000, .rows = 5, .cols = 7}, told;
    struct rogue guest;
    struct peer viewer;
    struct rt_frame frame;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    rogue_start(&guest, "watched");
    attack_client(&viewer, "viewer");
    wish.cid = rt_slice_text(guest.cid);
    attack_attach(&viewer, 1, &wish);
    payload = attack_next(&guest.peer, ATTACK_TYPE(RT_ATTACH), &frame);
    assert_non_null(payload);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACH, payload, frame.length, &told, why, sizeof(why)), 0);
    assert_int_equal(told.want, wish.want);
    assert_true(told.hold == 0 && told.rows == 0 && told.cols == 0);
    attack_saw("its guest is told none of them");
    attack_close(&viewer);
    rogue_close(&guest);
}

/* It sees every tenant's containers, and neither reads nor makes one. */
void attack_operator(void)
{
    struct rt_request_msg show = {.op = rt_slice_text("show"), .cid = rt_slice_text("local/" HONEST_CID)};
    static const char *const ops[] = {"create", "remove", "tails"};
    const struct rt_attach_msg wishes[] = {{.make = true, .want = 1U << RT_STDOUT},
                                           {.make = true, .want = 1U << RT_STDIN},
                                           {.make = true, .want = 1U << RT_CONTROL_UP},
                                           {.make = true, .want = 31, .exec = true}};
    struct peer boss;

    attack_client(&boss, "operator");
    assert_int_equal(attack_ask(&boss, &show, NULL, NULL), RT_CLASS_OK);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct rt_request_msg request = {.op = rt_slice_text(ops[i]), .cid = show.cid};

        assert_int_equal(attack_ask(&boss, &request, NULL, NULL), RT_CLASS_DENIED);
    }
    for (uint32_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        assert_int_equal(attach_refused(&boss, i + 1, "local/" HONEST_CID, wishes[i]), RT_CLASS_DENIED);
    }
    attack_saw("create, remove, tails, attach, exec: DENIED");
    attack_close(&boss);
}
