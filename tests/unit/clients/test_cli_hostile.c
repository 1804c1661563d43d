/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box_request.h"
#include "tests/unit/clients/program.h"

#include <unistd.h>

/* Agents and guests whose texts would steer a terminal: no command passes them on. */

/* An escape, a bell, a new line that could be taken for the program's own, C1 as UTF-8, text that is turned round. */
#define EVIL                                                                                                           \
    "no\033]0;owned\a\r\nretether: all is well\xc2\x9b"                                                                \
    "2J\xe2\x80\xae"                                                                                                   \
    "x"
#define EVIL_CLEAN "no?]0;owned???retether: all is well?2J?x"

static struct rt_reply_msg reply;

/* What is written is lines of plain text. */
static void clean(const struct program *p)
{
    for (int i = 0; i < 2; i++) {
        const char *text = p->text[i].data;

        for (const char *at = text; *at != '\0'; at++) {
            if (((unsigned char)*at < 0x20 && *at != '\n') || *at == 0x7f) {
                fail_msg("a control character is in \"%s\"", text);
            }
        }
        if (strstr(text, "\nretether: all is well") != NULL || strstr(text, "\xc2\x9b") != NULL ||
            strstr(text, "\xe2\x80\xae") != NULL) {
            fail_msg("not cleaned: \"%s\"", text);
        }
    }
}

static void run(struct program *p, const char *args, int status, const char *text)
{
    program_run(p, args, status);
    clean(p);
    if (strstr(p->text[0].data, text) == NULL && strstr(p->text[1].data, text) == NULL) {
        fail_msg("%s: \"%s\" is neither in \"%s\" nor in \"%s\"", args, text, p->text[0].data, p->text[1].data);
    }
}

static void test_refused_attach(void **state)
{
    struct program *p = *state;

    p->box->words = EVIL;
    p->box->refuse = RT_CLASS_DENIED;
    p->box->refusals = 1000;
    run(p, "attach web", 125, EVIL_CLEAN);
    run(p, "exec web -- true", 125, EVIL_CLEAN);
    run(p, "signal web TERM", 125, EVIL_CLEAN);
    run(p, "wait web", 125, EVIL_CLEAN);
    run(p, "logs web", 125, EVIL_CLEAN);
    p->box->refuse = RT_CLASS_RETRY_LATER;
    run(p, "attach --timeout 200ms web", 125, EVIL_CLEAN);
    run(p, "signal --timeout 200ms web TERM", 122, EVIL_CLEAN);
}

static bool refuse(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)request;
    reply = (struct rt_reply_msg){.c = RT_CLASS_DENIED, .m = rt_slice_text(EVIL)};
    box_reply(link, id, &reply);
    return true;
}

static void test_refused_request(void **state)
{
    static const char *const commands[] = {"ls",        "show web", "hosts",    "resolve web",
                                           "moves web", "logs web", "wait web", "create web2"};
    struct program *p = *state;

    p->box->on_request = refuse;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        run(p, commands[i], 125, EVIL_CLEAN);
    }
}

/* Rows whose every text is hostile. */
static bool rows(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_slice evil;

    memset(&reply, 0, sizeof(reply));
    evil = rt_slice_text(EVIL);
    if (rt_slice_equal(request->op, rt_slice_text("hosts"))) {
        reply.n_hosts = 1;
        reply.hosts[0] = (struct rt_registry_msg){
            .host = evil, .addr = {evil}, .n_addr = 1, .ver = {evil.data, 20}, .state = RT_HOST_ALIVE};
    } else if (rt_slice_equal(request->op, rt_slice_text("limits"))) {
        reply.n_lims = 1;
        reply.lims[0] = (struct rt_limit_msg){.set = rt_slice_text("limits.x"), .who = evil};
    } else if (rt_slice_equal(request->op, rt_slice_text("store"))) {
        reply.n_chks = 1;
        reply.chks[0] = (struct rt_check_msg){
            .name = {evil.data, 20}, .state = RT_CHECK_IS_WEAK, .val = evil, .risk = evil, .mend = evil};
    } else {
        reply.n_recs = 1;
        box_record(box, &reply.recs[0]);
        reply.recs[0].label = evil;
        reply.recs[0].host = evil;
        reply.recs[0].n_hist = 1;
        reply.recs[0].hist[0] = (struct rt_move_msg){.host = evil, .life = 1, .epoch = 1, .at = 1700000000000};
    }
    box_reply(link, id, &reply);
    return true;
}

static void test_rows(void **state)
{
    static const char *const commands[] = {"ls",          "show web", "hosts", "hosts --limits", "hosts --store",
                                           "resolve web", "moves web"};
    struct program *p = *state;
    char json[64];

    p->box->on_request = rows;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        run(p, commands[i], 0, "no?]0;owned??");
        snprintf(json, sizeof(json), "%s --json", commands[i]);
        run(p, json, 0, "no?]0;owned??");
    }
}

/* The name that the agent gives itself, told by -v when streams go on. */
static void test_refused_when_live(void **state)
{
    struct program *p = *state;

    program_start(p, "attach -v web");
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, 0)));
    link_refuse(box_att(p->box, 0)->link, box_att(p->box, 0)->channel,
                &(struct rt_refuse_msg){.c = RT_CLASS_INVALID, .m = rt_slice_text(EVIL)});
    program_wait(p, 125);
    clean(p);
    assert_non_null(strstr(p->text[1].data, EVIL_CLEAN));
}

/* Arguments that are told back, as a script may have put them together. */
static void test_arguments(void **state)
{
#define ESC "\033]0;owned\a"
    static const char *const commands[] = {
        ESC,
        "help " ESC,
        "-\033 web",
        "--" ESC " web",
        "--" ESC "=1 attach web",
        "attach " ESC,
        "attach --" ESC " web",
        "attach web " ESC,
        "attach --tail " ESC " web",
        "attach --timeout " ESC " web",
        "attach --detach-keys " ESC " web",
        "attach --agent " ESC " web",
        "exec --env " ESC " web -- true",
        "signal web " ESC,
        "run --name new --tether /nonexistent/" ESC " -- true",
        "run --name new --guest-agent unix:/nonexistent/" ESC " --timeout 200ms -- true",
    };
    struct program *p = *state;

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        program_run(p, commands[i], 125);
        clean(p);
        assert_string_not_equal(p->text[1].data, "");
    }
#undef ESC
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_refused_attach),    TEST(test_refused_request), TEST(test_rows),
        TEST(test_refused_when_live), TEST(test_arguments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
