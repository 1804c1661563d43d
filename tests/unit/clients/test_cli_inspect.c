/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box_request.h"
#include "tests/unit/clients/program.h"

#include "clients/cli/table.h"
#include "clients/cli/tails.h"
#include "clients/cli/values.h"

/* show, moves, hosts, resolve against scripted answers; tables and values by themselves. */

static struct rt_reply_msg reply;

/* ---- hosts, resolve ---- */

static bool answer_hosts(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static const char *const names[] = {"h2", "h0", "h10"};

    (void)box;
    if (!rt_slice_equal(request->op, rt_slice_text("hosts"))) {
        return false;
    }
    memset(&reply, 0, sizeof(reply));
    for (size_t i = 0; i < 3; i++) {
        struct rt_registry_msg *host = &reply.hosts[reply.n_hosts++];

        host->host = rt_slice_text(names[i]);
        host->ver = rt_slice_text("0.1.0");
        host->state = i == 0 ? RT_HOST_UNKNOWN : i == 1 ? RT_HOST_ALIVE : RT_HOST_DEAD;
        host->age = 350;
        host->sessions = i;
        host->addr[0] = rt_slice_text("unix:/a");
        host->addr[1] = rt_slice_text("unix:/b");
        host->n_addr = i < 2 ? 2 : 0;
    }
    box_reply(link, id, &reply);
    return true;
}

static void test_hosts(void **state)
{
    static const char *const order[] = {"h0", "h10", "h2", NULL};
    struct program *p = *state;

    p->box->on_request = answer_hosts;
    program_run(p, "hosts", 0);
    assert_string_equal(p->text[0].data, "HOST  STATE    HEARTBEAT  SESSIONS  VERSION  ADDRESSES\n"
                                         "h0    alive       350 ms         1  0.1.0    unix:/a unix:/b\n"
                                         "h10   dead        350 ms         2  0.1.0\n"
                                         "h2    unknown     350 ms         0  0.1.0    unix:/a unix:/b\n");
    program_run(p, "hosts --json", 0);
    program_ordered(p, "host", order);
}

/* An agent that has heard of no host yet is asked again. */
static void test_hosts_none(void **state)
{
    struct program *p = *state;

    program_run(p, "hosts --timeout 120ms", 122);
    assert_true(p->box->requests > 1);
    assert_non_null(strstr(p->text[1].data, "the agent has heard of no host yet, or its session store is out"));
}

static void test_resolve(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_hosts;
    program_run(p, "resolve w", 0);
    assert_string_equal(p->text[0].data, "web  running  h0  unix:/a  unix:/b\n");
    program_run(p, "resolve --json web", 0);
    assert_string_equal(p->text[0].data, "{\"container\":\"web\",\"state\":\"running\",\"host\":\"h0\",\"life\":5,"
                                         "\"epoch\":1,\"addresses\":[\"unix:/a\",\"unix:/b\"],\"local\":null}\n");
}

/* ---- limits ---- */

/* In two parts, of which the first names the agent. */
static bool answer_limits(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    if (!rt_slice_equal(request->op, rt_slice_text("limits"))) {
        return false;
    }
    memset(&reply, 0, sizeof(reply));
    reply.hosts[reply.n_hosts++].host = rt_slice_text("h0");
    reply.lims[0] = (struct rt_limit_msg){
        .set = rt_slice_text("limits.tenant_sessions"), .who = rt_slice_text("acme"), .has = 7, .max = 8, .over = 9};
    reply.n_lims = 1;
    reply.more = true;
    box_reply(link, id, &reply);
    memset(&reply, 0, sizeof(reply));
    reply.m = rt_slice_text("and 2 tenants more");
    reply.lims[0] = (struct rt_limit_msg){.set = rt_slice_text("limits.tenant_clients"), .who = rt_slice_text("acme")};
    reply.lims[1] = (struct rt_limit_msg){.set = rt_slice_text("limits.client_channels"), .has = 1, .max = 4096};
    reply.n_lims = 2;
    box_reply(link, id, &reply);
    return true;
}

static void test_limits(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_limits;
    program_run(p, "hosts --limits", 0);
    assert_string_equal(p->text[0].data, "HOST  SETTING                 TENANT  HAS  MOST  REFUSED\n"
                                         "h0    limits.client_channels  -         1  4096        0\n"
                                         "h0    limits.tenant_clients   acme      0     0        0\n"
                                         "h0    limits.tenant_sessions  acme      7     8        9\n");
    assert_string_equal(p->text[1].data, "retether: and 2 tenants more\n");
    program_run(p, "hosts --limits --json", 0);
    assert_string_equal(p->text[0].data, "{\"host\":\"h0\",\"setting\":\"limits.client_channels\",\"tenant\":null,"
                                         "\"has\":1,\"most\":4096,\"refused\":0}\n"
                                         "{\"host\":\"h0\",\"setting\":\"limits.tenant_clients\",\"tenant\":\"acme\","
                                         "\"has\":0,\"most\":0,\"refused\":0}\n"
                                         "{\"host\":\"h0\",\"setting\":\"limits.tenant_sessions\","
                                         "\"tenant\":\"acme\",\"has\":7,\"most\":8,\"refused\":9}\n");
}

/* ---- store ---- */

static bool answer_store(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    if (!rt_slice_equal(request->op, rt_slice_text("store"))) {
        return false;
    }
    memset(&reply, 0, sizeof(reply));
    reply.hosts[reply.n_hosts++].host = rt_slice_text("h0");
    reply.chks[0] = (struct rt_check_msg){
        .name = rt_slice_text("server"), .state = RT_CHECK_IS_OK, .val = rt_slice_text("redis://192.0.2.1, primary")};
    reply.chks[1] = (struct rt_check_msg){.name = rt_slice_text("rights"),
                                          .state = RT_CHECK_IS_WEAK,
                                          .val = rt_slice_text("missing: +wait"),
                                          .risk = rt_slice_text("it fails"),
                                          .mend = rt_slice_text("give it")};
    reply.chks[2] = (struct rt_check_msg){.name = rt_slice_text("a new one"), .val = rt_slice_text("?")};
    reply.n_chks = 3;
    reply.age = 1500;
    box_reply(link, id, &reply);
    return true;
}

/* In the order in which the agent tells them. */
static void test_store(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_store;
    program_run(p, "hosts --store", 0);
    assert_string_equal(p->text[0].data, "CHECK      STATE    VALUE                       RISK      MEND\n"
                                         "server     ok       redis://192.0.2.1, primary  -         -\n"
                                         "rights     weak     missing: +wait              it fails  give it\n"
                                         "a new one  unknown  ?                           -         -\n");
    program_run(p, "hosts --store --json", 0);
    assert_string_equal(
        p->text[0].data,
        "{\"host\":\"h0\",\"check\":\"server\",\"state\":\"ok\",\"value\":\"redis://192.0.2.1, primary\","
        "\"risk\":null,\"mend\":null,\"age_ms\":1500}\n"
        "{\"host\":\"h0\",\"check\":\"rights\",\"state\":\"weak\",\"value\":\"missing: +wait\","
        "\"risk\":\"it fails\",\"mend\":\"give it\",\"age_ms\":1500}\n"
        "{\"host\":\"h0\",\"check\":\"a new one\",\"state\":\"unknown\",\"value\":\"?\","
        "\"risk\":null,\"mend\":null,\"age_ms\":1500}\n");
}

/* ---- show, moves ---- */

static bool answer_show(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)request;
    memset(&reply, 0, sizeof(reply));
    reply.n_recs = 1;
    box_record(box, &reply.recs[0]);
    reply.recs[0].n_hist = 2;
    reply.recs[0].hist[0] = (struct rt_move_msg){.host = rt_slice_text("h3"), .life = 5, .epoch = 1, .at = 1000};
    reply.recs[0].hist[1] = (struct rt_move_msg){.host = rt_slice_text("h0"), .life = 5, .epoch = 2, .at = 2000};
    box_reply(link, id, &reply);
    return true;
}

static void tell_limits(struct link *link, uint64_t id)
{
    memset(&reply, 0, sizeof(reply));
    reply.hosts[reply.n_hosts++].host = rt_slice_text("h0");
    reply.lims[0] = (struct rt_limit_msg){
        .set = rt_slice_text("limits.tenant_sessions"), .who = rt_slice_text("acme"), .has = 7, .max = 8, .over = 9};
    reply.lims[1] = (struct rt_limit_msg){.set = rt_slice_text("processes"), .has = 1, .max = 64};
    reply.n_lims = 2;
    box_reply(link, id, &reply);
}

/* The limits of its guest and tenant, from the agent that was asked, or from the one that it names. */
static bool answer_show_limits(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    if (!rt_slice_equal(request->op, rt_slice_text("limits"))) {
        return answer_show(box, link, id, request);
    }
    assert_true(rt_slice_equal(request->cid, rt_slice_text("local/web")));
    tell_limits(link, id);
    return true;
}

static bool refuse_limits(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    if (!rt_slice_equal(request->op, rt_slice_text("limits"))) {
        return answer_show(box, link, id, request);
    }
    memset(&reply, 0, sizeof(reply));
    reply.c = RT_CLASS_LIMIT;
    reply.m = rt_slice_text("too many requests");
    box_reply(link, id, &reply);
    return true;
}

static bool silent_on_limits(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    return rt_slice_equal(request->op, rt_slice_text("limits")) || answer_show(box, link, id, request);
}

static struct {
    struct link *link;
    uint64_t id;
} put_off;

/* They are told later. */
static bool put_limits_off(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    if (!rt_slice_equal(request->op, rt_slice_text("limits"))) {
        return answer_show(box, link, id, request);
    }
    put_off.link = link;
    put_off.id = id;
    return true;
}

static bool answer_ambiguous(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)request;
    memset(&reply, 0, sizeof(reply));
    reply.c = RT_CLASS_AMBIGUOUS;
    reply.m = rt_slice_text("web, wob");
    box_reply(link, id, &reply);
    return true;
}

static void no_trailing_blanks(const char *text)
{
    assert_null(strstr(text, " \n"));
}

static void test_show_and_moves(void **state)
{
    struct program *p = *state;

    p->box->on_request = answer_show;
    program_run(p, "show web", 0);
    assert_non_null(strstr(p->text[0].data, "CONTAINER  web\nstate      running\n"));
    no_trailing_blanks(p->text[0].data);
    program_run(p, "show --json web", 0);
    assert_non_null(strstr(p->text[0].data, "\"history\":[{\"host\":\"h3\",\"life\":5,\"epoch\":1,"));
    program_run(p, "moves web", 0);
    assert_non_null(strstr(p->text[0].data, "h3"));
    no_trailing_blanks(p->text[0].data);
    program_run(p, "moves --json web", 0);
    assert_string_equal(p->text[0].data, "{\"container\":\"web\",\"host\":\"h3\",\"life\":5,\"epoch\":1,"
                                         "\"at\":\"1970-01-01T00:00:01.000Z\"}\n"
                                         "{\"container\":\"web\",\"host\":\"h0\",\"life\":5,\"epoch\":2,"
                                         "\"at\":\"1970-01-01T00:00:02.000Z\"}\n");
    p->box->on_request = answer_ambiguous;
    program_run(p, "show w", 125);
    assert_string_equal(p->text[1].data, "retether: \"w\" fits several containers: web, wob; type more of it\n");
}

/* The record stands in any case. */
static void test_show_limits(void **state)
{
    static const char page[] = "\nHOST  SETTING                 TENANT  HAS  MOST  REFUSED\n"
                               "h0    processes               -         1    64        0\n"
                               "h0    limits.tenant_sessions  acme      7     8        9\n",
                      json[] = ",\"limits\":[{\"host\":\"h0\",\"setting\":\"processes\",\"tenant\":null,"
                               "\"has\":1,\"most\":64,\"refused\":0},"
                               "{\"host\":\"h0\",\"setting\":\"limits.tenant_sessions\",\"tenant\":\"acme\","
                               "\"has\":7,\"most\":8,\"refused\":9}]}\n";
    struct program *p = *state;
    bool (*const without[])(struct box *, struct link *, uint64_t, const struct rt_request_msg *) = {refuse_limits,
                                                                                                     silent_on_limits};

    p->box->on_request = answer_show_limits;
    program_run(p, "show web", 0);
    assert_non_null(strstr(p->text[0].data, "CONTAINER  web\nstate      running\n"));
    assert_string_equal(p->text[0].data + p->text[0].size - strlen(page), page);
    program_run(p, "show --json web", 0);
    assert_string_equal(p->text[0].data + p->text[0].size - strlen(json), json);
    for (unsigned i = 0; i < 2; i++) {
        p->box->on_request = without[i];
        program_run(p, "show --timeout 100ms web", i == 0 ? 0 : 125);
        assert_non_null(strstr(p->text[0].data, "CONTAINER  web\nstate      running\n"));
        program_has(p, i == 0 ? "retether: its limits are not known: too many requests\n" : "no agent answers");
        program_run(p, "show --json --timeout 100ms web", i == 0 ? 0 : 125);
        assert_non_null(strstr(p->text[0].data, "\"limits\":[]}\n"));
    }
    p->box->on_request = put_limits_off; /* nor does it wait for them */
    program_start(p, "show --timeout 100s web");
    program_until(p, 0, "CONTAINER  web\nstate      running\n");
    FIXTURE_UNTIL(p->f, (program_look(p), put_off.link != NULL));
    tell_limits(put_off.link, put_off.id);
    program_wait(p, 0);
    assert_string_equal(p->text[0].data + p->text[0].size - strlen(page), page);
}

/* A store that is out for a moment costs time, nothing else. */
static void test_asked_again(void **state)
{
    struct program *p = *state;

    p->box->later = 2;
    program_run(p, "show -v web", 0);
    assert_int_equal(p->box->requests, 4); /* with the limits */
    assert_non_null(strstr(p->text[1].data, "retether: not now: the store is out\n"));
}

/* ---- by themselves ---- */

static void test_table_ends(void **state)
{
    char heads[] = "A >B C";
    struct cli_text text = {0};
    struct cli_table table;

    (void)state;
    cli_table_init(&table, heads, true);
    for (unsigned i = 0; i < 2; i++) { /* empty cells, blank cells, cells that end in blanks */
        cli_table_add(&table, CLI_PLAIN, i == 0 ? "x " : "");
        cli_table_add(&table, CLI_RED, "");
        cli_table_add(&table, CLI_GREEN, i == 0 ? "  " : "");
    }
    cli_table_print(&table, &text);
    assert_string_equal(text.data, "\033[2mA\033[0m  \033[2mB\033[0m  \033[2mC\033[0m\nx\n\n");
    cli_text_free(&text);
}

static void test_values(void **state)
{
    static const char *const counts[] = {"", "-1", "+1", " 1", "1x", "9007199254740992", "99999999999999999999"};
    static const char *const bad[] = {"", "0", "65", "SIG", "SIGNOPE", "15x"};
    static const uint8_t seed[8] = {0};
    uint64_t value;
    unsigned signum;
    char text[64];

    (void)state;
    assert_true(cli_read_count("9007199254740991", &value));
    assert_int_equal(value, 9007199254740991);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        assert_false(cli_read_count(counts[i], &value));
    }
    for (unsigned i = 1; i <= 64; i++) { /* what is printed can be typed */
        cli_signal_name(i, text, sizeof(text));
        if (strncmp(text, "SIG", 3) == 0) {
            assert_true(cli_read_signal(text, &signum));
            assert_int_equal(signum, i);
            assert_true(cli_read_signal(text + 3, &signum));
            assert_int_equal(signum, i);
        }
    }
    cli_signal_name(63, text, sizeof(text));
    assert_string_equal(text, "signal 63");
    assert_true(cli_read_signal("sigterm", &signum));
    assert_int_equal(signum, 15);
    assert_true(cli_read_signal("64", &signum));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cli_read_signal(bad[i], &signum));
    }
    cli_random_name(seed, text, sizeof(text));
    assert_true(rt_cid_valid(rt_slice_text(text)));
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(cli_status(0, 0), 0);
    assert_int_equal(cli_status(125, 0), 125);
    assert_int_equal(cli_status(255, 0), 255);
    assert_int_equal(cli_status(0, 1), 129);
    assert_int_equal(cli_status(0, 64), 192);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hosts),
        TEST(test_hosts_none),
        TEST(test_limits),
        TEST(test_store),
        TEST(test_resolve),
        TEST(test_show_and_moves),
        TEST(test_show_limits),
        TEST(test_asked_again),
        cmocka_unit_test(test_table_ends),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
