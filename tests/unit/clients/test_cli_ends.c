/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include "clients/cli/options.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* How attach and exec end when not everything goes well: text and status. */

/* ---- before it is attached ---- */

static void test_not_found(void **state)
{
    struct program *p = *state;

    program_run(p, "attach nobody", 125);
    program_has(p, "retether: there is no container \"nobody\"; retether ls lists them\n");
    program_run(p, "attach -x", 125);
    program_run(p, "attach no/good", 125);
}

static void test_unreachable(void **state)
{
    struct program *p = *state;

    peer_deafen(&p->f->peer[0]);
    program_run(p, "attach --timeout 100ms web", 125);
    program_has(p, "retether: no agent answers\n");
    program_has(p, p->f->peer[0].address);
    program_has(p, "--agent (or RETETHER_AGENTS) names another\n");
}

static void test_no_answer(void **state)
{
    struct program *p = *state;

    p->f->peer[0].silent = true;
    program_run(p, "show --timeout 100ms web", 125);
    program_has(p, "connected, but no answer in time");
}

static void refused_at_attach(struct program *p, uint64_t cls, const char *text)
{
    p->box->refuse = cls;
    p->box->refusals = 1000;
    /* as long as it takes to start, and to look the container up; a refusal for now lasts for all of it */
    program_run(p, cls == RT_CLASS_RETRY_LATER ? "attach --timeout 2s web" : "attach web", 125);
    program_has(p, text);
}

static void test_refused_at_attach(void **state)
{
    struct program *p = *state;

    refused_at_attach(p, RT_CLASS_DENIED, "retether: not allowed: as the test wants\n");
    refused_at_attach(p, RT_CLASS_INVALID, "retether: as the test wants\n");
    refused_at_attach(p, RT_CLASS_LIMIT, "retether: as the test wants\n");
    refused_at_attach(p, RT_CLASS_RETRY_LATER, "web is not served by any agent now (as the test wants)");
    p->box->state = RT_SESSION_CREATED;
    refused_at_attach(p, RT_CLASS_RETRY_LATER, "web has been created, but its tether has not come");
    p->box->state = RT_SESSION_LOST;
    refused_at_attach(p, RT_CLASS_RETRY_LATER, "web is lost: its machine has not come back");
}

/* ---- once attached ---- */

static void refuse(struct program *p, uint64_t cls)
{
    struct box_att *att = box_att(p->box, 0);

    link_refuse(att->link, att->channel,
                &(struct rt_refuse_msg){
                    .c = cls, .m = rt_slice_text("so it is"), .s = RT_STDOUT, .at = 3, .got = 5, .code = 7});
    att->link = NULL;
}

static void test_stolen(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    program_attached(p, 0);
    refuse(p, RT_CLASS_STOLEN);
    program_wait(p, 125);
    program_has(p, "STOLEN: so it is\n");
    program_has(p, "this goes on where it stopped");
}

static void test_rewound(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    program_attached(p, 0);
    refuse(p, RT_CLASS_REWOUND);
    program_wait(p, 125);
    program_has(
        p, "retether: web was set back, perhaps by a reverted snapshot: of its stdout only the first 3 bytes still "
           "hold, 5 "
           "came here; retether attach web attaches anew\n");
}

/* It ended while it was looked for: what the agents keep of its output is printed behind what was. */
static void test_ended_while_away(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    program_attached(p, 0);
    box_write(p->box, 0, RT_STDOUT, "12345", 5);
    program_until(p, 0, "12345");
    p->box->state = RT_SESSION_ENDED;
    p->box->tail[0] = "45678";
    p->box->tail_end[0] = 8;
    p->box->tail[1] = "late";
    p->box->tail_end[1] = 10; /* six bytes of it are not kept */
    p->box->tail_code = 9;
    refuse(p, RT_CLASS_ENDED);
    program_wait(p, 9);
    assert_string_equal(p->text[0].data, "12345678");
    assert_string_equal(program_err(p),
                        "[gap: 6 bytes lost at 0 of stderr]\nlate\nretether: 6 bytes of the output were lost\n");
}

/* The machine came back without what it had. */
static void test_started_anew(void **state)
{
    struct program *p = *state;
    struct box_att *att;

    program_start(p, "attach web");
    program_attached(p, 0);
    box_write(p->box, 0, RT_STDOUT, "12345", 5);
    program_until(p, 0, "12345");
    att = box_att(p->box, 0);
    link_refuse(att->link, att->channel,
                &(struct rt_refuse_msg){.c = RT_CLASS_UNKNOWN_ATTACHMENT, .life = p->box->life + 1, .s = RT_STDOUT});
    att->link = NULL;
    program_wait(p, 125);
    program_has(
        p, "retether: web was started anew, and what was printed here is from before; retether attach web attaches to "
           "the new start\n");
}

/* Nobody serves it any more: that is told, once, and so is its coming back. */
static void lose(struct program *p)
{
    p->box->state = RT_SESSION_LOST;
    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = UINT32_MAX;
    refuse(p, RT_CLASS_LOST);
    program_until(p, 1, "retether: web is lost since ");
    program_has(p, "its machine is not heard from; waiting for it\n");
}

static void test_lost_and_back(void **state)
{
    struct program *p = *state;
    const char *first;

    program_start(p, "attach web");
    program_attached(p, 0);
    lose(p);
    p->box->refusals = 0;
    p->box->state = RT_SESSION_RUNNING;
    program_until(p, 1, "retether: web is back, served by ");
    box_write(p->box, 0, RT_STDOUT, "on", 2);
    box_exit(p->box, 0, 0, 0);
    program_wait(p, 0);
    assert_string_equal(p->text[0].data, "on");
    first = strstr(program_err(p), "is lost since");
    assert_null(strstr(first + 1, "is lost since"));
}

static void test_lost_timeout(void **state)
{
    struct program *p = *state;

    program_start(p, "attach --lost-timeout 10ms web");
    program_attached(p, 0);
    lose(p);
    program_wait(p, CLI_EXIT_LOST);
    program_has(p, "retether: web has been lost for 10ms; it is not waited for any longer\n");
    program_has(p, "this goes on where it stopped");
    program_has(p, " --lost-timeout 10ms ");
}

static unsigned looks;

/* The lease is over when tails are asked for the second time. */
static bool lease(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)link;
    (void)id;
    if (rt_slice_equal(request->op, rt_slice_text("tails"))) {
        box->tail_lost = ++looks > 1;
    }
    return false;
}

/* It is waited for until it has been lost for its lease, which an agent tells; not before. */
static void test_wait_for_the_lost(void **state)
{
    struct program *p = *state;

    looks = 0;
    p->box->state = RT_SESSION_LOST;
    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = UINT32_MAX;
    p->box->on_request = lease;
    program_run(p, "wait web", 125);
    program_has(p, "web is lost: its machine has not come back, so there is no status");
    assert_int_equal(looks, 2);
}

static void test_lost_while_away(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    program_attached(p, 0);
    p->box->tail_lost = true;
    refuse(p, RT_CLASS_ENDED);
    program_wait(p, 125);
    program_has(p, "retether: web was lost: its machine never came back, so there is no status\n");
}

static void test_nothing_is_kept(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    program_attached(p, 0);
    refuse(p, RT_CLASS_ENDED);
    program_wait(p, 125);
    program_has(p, "retether: the container has ended, and neither its output nor its status is kept any more\n");
}

/* ---- exec ---- */

static void test_exec(void **state)
{
    struct program *p = *state;

    program_start(p, "exec -i web -- cat -A x");
    FIXTURE_UNTIL(p->f, (program_look(p), p->box->runs == 1));
    assert_string_equal(p->box->text, "exec cat -A x;");
    program_type(p, "in");
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, 1)->in[0].applied == 2));
    box_write(p->box, 1, RT_STDOUT, "out", 3);
    box_exit(p->box, 1, 127, 0);
    program_wait(p, 127);
    assert_string_equal(p->text[0].data, "out");
}

static void test_exec_full(void **state)
{
    struct program *p = *state;

    p->box->refuse = RT_CLASS_LIMIT;
    p->box->refusals = 1;
    p->box->words = "at most 64";
    program_run(p, "exec web -- true", 126);
    program_has(p, "retether: web cannot run the command now: at most 64\n");
}

static void test_exec_too_late(void **state)
{
    struct program *p = *state;

    box_exit(p->box, 0, 0, 0);
    program_run(p, "exec web -- true", 126);
    program_has(p, "retether: web cannot run the command now: the main process has ended\n");
}

/* The main process ends between ATTACHED and what is to run. */
static void test_exec_too_late_for_it(void **state)
{
    struct program *p = *state;
    struct rt_refuse_msg refuse = {.c = RT_CLASS_INVALID, .m = rt_slice_text("the main process has ended")};

    p->box->stalled = true;
    program_start(p, "exec web -- true");
    program_attached(p, 1);
    link_refuse(box_att(p->box, 1)->link, box_att(p->box, 1)->channel, &refuse);
    program_wait(p, 126);
    program_has(p, "retether: web cannot run the command now: the main process has ended\n");
}

/* A command that was not run prints nothing: its code tells why. */
static void unstarted(struct program *p, const char *args, unsigned code, const char *text)
{
    program_start(p, args);
    program_attached(p, 1);
    box_exit(p->box, 1, code, 0);
    program_wait(p, (int)code);
    assert_string_equal(program_err(p), text);
}

static void test_not_found_there(void **state)
{
    unstarted(*state, "exec web -- nosuch", 127,
              "retether: nosuch: command not found, or it ended with status 127 by itself\n");
}

static void test_cannot_be_run(void **state)
{
    unstarted(*state, "exec web -- /etc/passwd", 126,
              "retether: /etc/passwd: cannot be run: it is not executable; or it ended with status 126 by itself\n");
}

static void test_no_directory(void **state)
{
    unstarted(*state, "exec --cwd /nope web -- true", 126,
              "retether: true: cannot be run: it is not executable, or /nope is no directory there; or it ended with "
              "status 126 by itself\n");
}

static void test_other_status(void **state)
{
    unstarted(*state, "exec web -- sh", 125, "");
}

/* It ran, and has said why it ended so; and a container's end is no command's of this program. */
static void test_status_of_its_own(void **state)
{
    struct program *p = *state;

    program_start(p, "exec web -- sh");
    program_attached(p, 1);
    box_write(p->box, 1, RT_STDERR, "sh: 1: x: not found\n", 20);
    box_exit(p->box, 1, 127, 0);
    program_wait(p, 127);
    assert_string_equal(program_err(p), "sh: 1: x: not found\n");
    program_start(p, "attach web");
    program_attached(p, 0);
    box_exit(p->box, 0, 127, 0);
    program_wait(p, 127);
    assert_string_equal(program_err(p), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_not_found),
        TEST(test_unreachable),
        TEST(test_no_answer),
        TEST(test_refused_at_attach),
        TEST(test_stolen),
        TEST(test_rewound),
        TEST(test_started_anew),
        TEST(test_lost_and_back),
        TEST(test_lost_timeout),
        TEST(test_wait_for_the_lost),
        TEST(test_ended_while_away),
        TEST(test_lost_while_away),
        TEST(test_nothing_is_kept),
        TEST(test_exec),
        TEST(test_exec_full),
        TEST(test_exec_too_late),
        TEST(test_exec_too_late_for_it),
        TEST(test_not_found_there),
        TEST(test_cannot_be_run),
        TEST(test_no_directory),
        TEST(test_other_status),
        TEST(test_status_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
