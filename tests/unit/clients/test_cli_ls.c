/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box_request.h"
#include "tests/unit/clients/program.h"

/* ls against scripted answers: what it asks for, in which order it prints, and what an agent says without the store. */

static struct rt_reply_msg reply;

/* By host, as agents answer, in two parts, and not in order. */
static bool answer_list(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static const char *const ids[] = {"web-2", "alpha", "web-10", "Zulu", "alpha", "m"};

    if (!rt_slice_equal(request->op, rt_slice_text("list"))) {
        return false;
    }
    for (unsigned part = 0; part < 2; part++) {
        memset(&reply, 0, sizeof(reply));
        reply.more = part == 0;
        for (unsigned i = 0; i < 3; i++) {
            struct rt_record_msg *record = &reply.recs[reply.n_recs++];

            box_record(box, record);
            record->cid = rt_slice_text(ids[part * 3 + i]);
            record->tenant = rt_slice_text(part == 0 ? "zoo" : "ark");
            record->made = 0;
            record->host = rt_slice_text(part == 0 ? "h2" : "h1");
        }
        box_reply(link, id, &reply);
    }
    return true;
}

static void test_ls(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_list;
    program_run(p, "ls", 0);
    assert_string_equal(p->text[0].data, "CONTAINER  STATE    HOST  AGE  MOVES  EPOCH  EXIT  LABEL\n"
                                         "Zulu       running  h1      -      0      1     -\n"
                                         "alpha      running  h1      -      0      1     -\n"
                                         "alpha      running  h2      -      0      1     -\n"
                                         "m          running  h1      -      0      1     -\n"
                                         "web-10     running  h2      -      0      1     -\n"
                                         "web-2      running  h2      -      0      1     -\n");
    assert_string_equal(p->text[1].data, "");
}

static void test_complete(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_list;
    program_run(p, "complete -- attach w", 0); /* the agent chooses by the prefix */
    assert_string_equal(p->text[0].data,
                        "web-2\trunning\nalpha\trunning\nweb-10\trunning\nZulu\trunning\nalpha\trunning\nm\trunning\n");
    program_run(p, "complete -- att", 0);
    assert_string_equal(p->text[0].data, "attach\tconnect this terminal with a container\n");
}

static void test_ls_json(void **state)
{
    static const char *const order[] = {"Zulu", "alpha", "alpha", "m", "web-10", "web-2", NULL};
    struct program *p = *state;

    p->box->on_request = answer_list;
    program_run(p, "ls --json", 0);
    program_ordered(p, "container", order);
    assert_true(strstr(p->text[0].data, "\"ark\"") < strstr(p->text[0].data, "\"zoo\""));
}

static void test_ls_nothing(void **state)
{
    struct program *p = *state;

    program_run(p, "ls", 0);
    assert_string_equal(p->text[0].data, "CONTAINER  STATE  HOST  AGE  MOVES  EPOCH  EXIT  LABEL\n");
    assert_string_equal(p->text[1].data, "retether: no container is known\n");
    program_run(p, "ls zzz", 0);
    assert_string_equal(p->text[1].data, "retether: no container has an ID that begins with \"zzz\"\n");
    program_run(p, "ls --host nope", 0);
    assert_string_equal(p->text[1].data,
                        "retether: no container is, or was last, on a host \"nope\"; retether hosts lists them\n");
    program_run(p, "ls --host nope zzz", 0);
    assert_string_equal(p->text[1].data, "retether: no container is, or was last, on a host \"nope\" with an ID that "
                                         "begins with zzz; retether hosts lists them\n");
    program_run(p, "ls --json", 0);
    assert_string_equal(p->text[0].data, "");
    assert_string_equal(p->text[1].data, "");
}

/* The store cannot be asked: a list is, of the agent alone, and is refused or answered. */
static bool answer_local(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    memset(&reply, 0, sizeof(reply));
    if (!request->local && rt_slice_equal(request->op, rt_slice_text("list"))) {
        reply.c = RT_CLASS_RETRY_LATER;
        reply.m = rt_slice_text("the session store is not available");
    } else {
        reply.local = rt_slice_text("h7");
        reply.n_recs = !rt_slice_equal(request->cid, rt_slice_text("zzz"));
        box_record(box, &reply.recs[0]);
        reply.recs[0].made = 0;
        reply.recs[0].host = rt_slice_text("h7");
    }
    box_reply(link, id, &reply);
    return true;
}

#define LOCAL_VIEW                                                                                                     \
    "retether: local view of h7: the session store cannot be asked, so what other hosts serve is missing\n"

static void test_local_view(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_local;
    program_run(p, "ls", 0);
    assert_string_equal(p->text[0].data, "CONTAINER  STATE    HOST  AGE  MOVES  EPOCH  EXIT  LABEL\n"
                                         "web        running  h7      -      0      1     -\n");
    assert_string_equal(p->text[1].data, LOCAL_VIEW);
    program_run(p, "ls --timeout 200ms --json", 0);
    assert_non_null(strstr(p->text[0].data, "\"signal\":null,\"local\":\"h7\"}\n"));
    assert_string_equal(p->text[1].data, LOCAL_VIEW);
    program_run(p, "ls --timeout 200ms zzz", 0);
    assert_string_equal(p->text[1].data, LOCAL_VIEW "retether: the agent of h7 serves none of these\n");
    program_run(p, "show web", 0);
    assert_non_null(strstr(p->text[0].data, "\nview       local, of h7\n"));
    program_run(p, "show --json web", 0);
    assert_non_null(strstr(p->text[0].data, "\"local\":\"h7\","));
    program_run(p, "resolve --json web", 0);
    assert_non_null(strstr(p->text[0].data, "\"local\":\"h7\"}"));
}

/* Nothing is printed of a list that is cut off. */
static bool answer_half(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)request;
    memset(&reply, 0, sizeof(reply));
    reply.more = true;
    reply.n_recs = 1;
    box_record(box, &reply.recs[0]);
    box_reply(link, id, &reply);
    peer_deafen(link->peer);
    link_close(link);
    return true;
}

static void test_ls_cut(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_half;
    program_run(p, "ls", 125);
    assert_string_equal(p->text[0].data, "");
    assert_non_null(strstr(p->text[1].data, "retether: no agent answers\n"));
}

/* So many records, "c0000" to the last, in pages as they are asked for; the place of one is its number. */
#define MANY 1250
static struct rt_request_msg asked; /* the newest; its slices are not */
static char asked_label[32];
static unsigned n_asked;

static bool answer_pages(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static char ids[32][8], next[16], after[16];
    unsigned at, until;

    asked = *request;
    rt_slice_copy(request->label, asked_label, sizeof(asked_label));
    n_asked++;
    rt_slice_copy(request->after, after, sizeof(after));
    at = (unsigned)strtoul(after, NULL, 10);
    until = at + (unsigned)request->page < MANY ? at + (unsigned)request->page : MANY;
    do {
        memset(&reply, 0, sizeof(reply));
        for (; at < until && reply.n_recs < 16; at++) {
            struct rt_record_msg *record = &reply.recs[reply.n_recs];

            box_record(box, record);
            snprintf(ids[reply.n_recs], sizeof(ids[0]), "c%04u", MANY - 1 - at);
            record->cid = rt_slice_text(ids[reply.n_recs++]);
            record->moves = at;
            record->made = 0;
        }
        reply.more = at < until;
        if (at == until && until < MANY) {
            snprintf(next, sizeof(next), "%u", until);
            reply.next = rt_slice_text(next);
        }
        box_reply(link, id, &reply);
    } while (at < until);
    return true;
}

static unsigned lines(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++) {
        n += *text == '\n';
    }
    return n;
}

/* More than a page: as they come, a page after the other, in the columns of the first. */
static void test_ls_pages(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_pages;
    n_asked = 0;
    program_run(p, "ls", 0);
    assert_int_equal(n_asked, 3);
    assert_int_equal(asked.page, 500);
    assert_int_equal(lines(p->text[0].data), 1 + MANY);
    assert_non_null(strstr(p->text[0].data, "EPOCH  EXIT  LABEL\nc1249      running"));
    assert_non_null(strstr(p->text[0].data, "\nc0750      running"));
    assert_non_null(strstr(p->text[0].data, "\nc0749      running"));
    assert_null(strstr(p->text[0].data + 1, "CONTAINER"));
    program_run(p, "ls --json", 0);
    assert_int_equal(lines(p->text[0].data), MANY);
}

/* What is asked for is told to the agent; what is limited and sorted here. */
static void test_ls_which(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_pages;
    program_run(p, "ls --state running,lost --older 1m --label shop --host h9 we", 0);
    assert_int_equal(asked.states, 1U << RT_SESSION_RUNNING | 1U << RT_SESSION_LOST);
    assert_int_equal(asked.older, 60000);
    assert_string_equal(asked_label, "shop");
    n_asked = 0;
    program_run(p, "ls --limit 20", 0); /* those that come first, sorted */
    assert_int_equal(n_asked, 1);
    assert_int_equal(asked.page, 20);
    assert_int_equal(lines(p->text[0].data), 21);
    assert_non_null(strstr(p->text[0].data, "LABEL\nc1230 "));
    program_run(p, "ls --limit 700", 0);
    assert_int_equal(lines(p->text[0].data), 701);
    assert_non_null(strstr(p->text[0].data, "LABEL\nc1249 "));
    n_asked = 0;
    program_run(p, "ls --limit 2 --sort id", 0); /* of all */
    assert_int_equal(n_asked, 3);
    assert_int_equal(lines(p->text[0].data), 3);
    assert_non_null(strstr(p->text[0].data, "LABEL\nc0000 "));
    assert_non_null(strstr(p->text[0].data, "\nc0001 "));
    program_run(p, "ls --sort moves --json", 0);
    assert_int_equal(lines(p->text[0].data), MANY);
    assert_memory_equal(p->text[0].data, "{\"container\":\"c0000\"", 20);
}

/* An agent whose list stands still. */
static bool answer_circle(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)request;
    memset(&reply, 0, sizeof(reply));
    reply.next = rt_slice_text("here");
    box_reply(link, id, &reply);
    return true;
}

static void test_ls_circle(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_circle;
    program_run(p, "ls", 125);
    program_has(p, "the agent's list does not go on");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ls),     TEST(test_complete), TEST(test_ls_json),  TEST(test_ls_nothing), TEST(test_local_view),
        TEST(test_ls_cut), TEST(test_ls_pages), TEST(test_ls_which), TEST(test_ls_circle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
