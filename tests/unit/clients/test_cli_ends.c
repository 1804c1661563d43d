/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include "clients/cli/options.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* How attach, exec, logs, run, wait, signal and create end when not everything goes well: text and status. */

static const char *err(const struct program *p)
{
    return p->text[1].data;
}

static void has(const struct program *p, const char *text)
{
    if (strstr(err(p), text) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", text, err(p));
    }
}

static void wait_attached(struct program *p, unsigned proc)
{
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, proc)));
}

/* ---- before it is attached ---- */

static void test_not_found(void **state)
{
    struct program *p = *state;

    program_run(p, "attach nobody", 125);
    has(p, "retether: there is no container \"nobody\"; retether ls lists them\n");
    program_run(p, "attach -x", 125);
    program_run(p, "attach no/good", 125);
}

static void test_unreachable(void **state)
{
    struct program *p = *state;

    peer_deafen(&p->f->peer[0]);
    program_run(p, "attach --timeout 100ms web", 125);
    has(p, "retether: no agent answers\n");
    has(p, p->f->peer[0].address);
    has(p, "--agent (or RETETHER_AGENTS) names another\n");
}

static void test_no_answer(void **state)
{
    struct program *p = *state;

    p->f->peer[0].silent = true;
    program_run(p, "show --timeout 100ms web", 125);
    has(p, "connected, but no answer in time");
}

static void refused_at_attach(struct program *p, uint64_t cls, const char *text)
{
    p->box->refuse = cls;
    p->box->refusals = 1000;
    program_run(p, "attach --timeout 200ms web", 125);
    has(p, text);
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
    wait_attached(p, 0);
    refuse(p, RT_CLASS_STOLEN);
    program_wait(p, 125);
    has(p, "STOLEN: so it is\n");
    has(p, "this goes on where it stopped");
}

static void test_rewound(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    wait_attached(p, 0);
    refuse(p, RT_CLASS_REWOUND);
    program_wait(p, 125);
    has(p, "retether: web was set back, perhaps by a reverted snapshot: of its stdout only the first 3 bytes still "
           "hold, 5 "
           "came here; retether attach web attaches anew\n");
}

/* It ended while it was looked for: what the agents keep of its output is printed behind what was. */
static void test_ended_while_away(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    wait_attached(p, 0);
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
    assert_string_equal(err(p),
                        "[gap: 6 bytes lost at 0 of stderr]\nlate\nretether: 6 bytes of the output were lost\n");
}

/* The machine came back without what it had. */
static void test_started_anew(void **state)
{
    struct program *p = *state;
    struct box_att *att;

    program_start(p, "attach web");
    wait_attached(p, 0);
    box_write(p->box, 0, RT_STDOUT, "12345", 5);
    program_until(p, 0, "12345");
    att = box_att(p->box, 0);
    link_refuse(att->link, att->channel,
                &(struct rt_refuse_msg){.c = RT_CLASS_UNKNOWN_ATTACHMENT, .life = p->box->life + 1, .s = RT_STDOUT});
    att->link = NULL;
    program_wait(p, 125);
    has(p, "retether: web was started anew, and what was printed here is from before; retether attach web attaches to "
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
    has(p, "its machine is not heard from; waiting for it\n");
}

static void test_lost_and_back(void **state)
{
    struct program *p = *state;
    const char *first;

    program_start(p, "attach web");
    wait_attached(p, 0);
    lose(p);
    p->box->refusals = 0;
    p->box->state = RT_SESSION_RUNNING;
    program_until(p, 1, "retether: web is back, served by ");
    box_write(p->box, 0, RT_STDOUT, "on", 2);
    box_exit(p->box, 0, 0, 0);
    program_wait(p, 0);
    assert_string_equal(p->text[0].data, "on");
    first = strstr(err(p), "is lost since");
    assert_null(strstr(first + 1, "is lost since"));
}

static void test_lost_timeout(void **state)
{
    struct program *p = *state;

    program_start(p, "attach --lost-timeout 10ms web");
    wait_attached(p, 0);
    lose(p);
    program_wait(p, CLI_EXIT_LOST);
    has(p, "retether: web has been lost for 10ms; it is not waited for any longer\n");
    has(p, "this goes on where it stopped");
    has(p, " --lost-timeout 10ms ");
}

/* It is waited for until it has been lost for its lease, which an agent tells. */
static void test_wait_for_the_lost(void **state)
{
    struct program *p = *state;

    p->box->state = RT_SESSION_LOST;
    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = UINT32_MAX;
    p->box->tail_lost = true;
    program_run(p, "wait web", 125);
    has(p, "web is lost: its machine has not come back, so there is no status");
}

static void test_lost_while_away(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    wait_attached(p, 0);
    p->box->tail_lost = true;
    refuse(p, RT_CLASS_ENDED);
    program_wait(p, 125);
    has(p, "retether: web was lost: its machine never came back, so there is no status\n");
}

static void test_nothing_is_kept(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    wait_attached(p, 0);
    refuse(p, RT_CLASS_ENDED);
    program_wait(p, 125);
    has(p, "retether: the container has ended, and neither its output nor its status is kept any more\n");
}

/* ---- exec ---- */

static void test_exec(void **state)
{
    struct program *p = *state;

    program_start(p, "exec -i web -- cat -A x");
    wait_attached(p, 1);
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

    program_start(p, "exec web -- true");
    wait_attached(p, 0);
    p->box->refuse = RT_CLASS_UNKNOWN_ATTACHMENT;
    p->box->refusals = 1;
    program_wait(p, 126);
    has(p,
        "web cannot run one more command now: it runs at most 64 at a time, has at most 128 attachments, and runs none "
        "once its main process has ended");
}

/* A command that was not run prints nothing: its code tells why. */
static void unstarted(struct program *p, const char *args, unsigned code, const char *text)
{
    program_start(p, args);
    wait_attached(p, 1);
    box_exit(p->box, 1, code, 0);
    program_wait(p, (int)code);
    assert_string_equal(err(p), text);
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
    wait_attached(p, 1);
    box_write(p->box, 1, RT_STDERR, "sh: 1: x: not found\n", 20);
    box_exit(p->box, 1, 127, 0);
    program_wait(p, 127);
    assert_string_equal(err(p), "sh: 1: x: not found\n");
    program_start(p, "attach web");
    wait_attached(p, 0);
    box_exit(p->box, 0, 127, 0);
    program_wait(p, 127);
    assert_string_equal(err(p), "");
}

/* ---- logs ---- */

static void test_logs(void **state)
{
    struct program *p = *state;

    box_write(p->box, 0, RT_STDOUT, "one\ntwo\n", 8);
    program_run(p, "logs web", 0); /* up to now: it still runs */
    assert_string_equal(p->text[0].data, "one\ntwo\n");
    assert_int_equal(box_att(p->box, 0)->hold, 0);
    p->box->n_atts = 0;
    program_start(p, "logs -f web");
    wait_attached(p, 0);
    box_write(p->box, 0, RT_STDOUT, "three\n", 6);
    box_exit(p->box, 0, 5, 0);
    program_wait(p, 0); /* not the container's status */
    assert_string_equal(p->text[0].data, "one\ntwo\nthree\n");
}

static void test_logs_after_the_end(void **state)
{
    struct program *p = *state;

    p->box->state = RT_SESSION_ENDED;
    p->box->refuse = RT_CLASS_ENDED;
    p->box->refusals = 1000;
    p->box->tail_code = 5;
    p->box->tail[0] = "one\ntwo\n";
    p->box->tail_end[0] = 108;
    program_run(p, "logs web", 0);
    assert_string_equal(p->text[0].data, "one\ntwo\n");
    assert_string_equal(err(p), "[the first 100 bytes are not kept any more]\n");
    program_run(p, "logs -n 1 web", 0);
    assert_string_equal(p->text[0].data, "two\n");
    assert_string_equal(err(p), "");
    program_run(p, "logs --tail-bytes 2 web", 0);
    assert_string_equal(p->text[0].data, "o\n");
}

/* Status and offsets are there, the output is not: given up, or with an agent that cannot be asked. */
static void test_logs_without_output(void **state)
{
    struct program *p = *state;

    p->box->state = RT_SESSION_ENDED;
    p->box->refuse = RT_CLASS_ENDED;
    p->box->refusals = 1000;
    p->box->tail_code = 5;
    p->box->tail_end[0] = 108;
    p->box->tail_cut = true;
    program_run(p, "logs web", 0);
    assert_string_equal(p->text[0].data, "");
    has(p, "108 bytes");
    has(p, "retether: the last output of web is not kept any more");
    program_run(p, "wait web", 0);
    assert_string_equal(p->text[0].data, "5\n");
    p->box->tail_cut = false;
    p->box->tail_keeper = "esx-7";
    program_run(p, "logs web", 0);
    has(p, "retether: the last output of web is kept by the agent of esx-7 alone");
    program_run(p, "wait web", 0);
    assert_string_equal(p->text[0].data, "5\n");
}

/* ---- run ---- */

static void test_run_without_tether(void **state)
{
    struct program *p = *state;

    program_run(p, "run --name web --tether /nonexistent/tether -- true", 125);
    has(p,
        "retether: cannot start \"/nonexistent/tether\": no such file or directory; --tether PATH names the program\n");
    assert_int_equal(p->box->removed, 1);
}

/* The tether ends by itself before anybody could attach. */
static void test_run_tether_ends(void **state)
{
    struct program *p = *state;

    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = UINT32_MAX;
    program_run(p, "run --name web --tether /bin/false -- true", 125);
    has(p, "retether: the tether ended with status 1 before it could be attached to; -v shows its log\n");
    assert_int_equal(p->box->removed, 1);
}

/* A tether that stays until the test lets it go; the box stands in for what it would serve. */
static void test_run(void **state)
{
    struct program *p = *state;
    char path[96];
    char args[160];
    FILE *file;

    snprintf(path, sizeof(path), "%.64s/tether", p->f->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("#!/bin/sh\nwhile [ -e \"$0\" ]; do sleep 0.02; done\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(args, sizeof(args), "run --name web --tether %s -- sh", path);
    program_start(p, args);
    wait_attached(p, 0);
    assert_true(box_att(p->box, 0)->once); /* an empty stdin */
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, 0)->in[0].fin));
    box_write(p->box, 0, RT_STDOUT, "hi\n", 3);
    box_exit(p->box, 0, 2, 0);
    (void)unlink(path);
    program_wait(p, 2);
    assert_string_equal(p->text[0].data, "hi\n");
    assert_int_equal(p->box->removed, 0);
}

/* The tether is there and nobody serves it: the agent says why, and the tether is not blamed for that. */
static void test_run_not_served(void **state)
{
    struct program *p = *state;
    char path[96], args[192];
    FILE *file;

    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = UINT32_MAX;
    snprintf(path, sizeof(path), "%.64s/tether", p->f->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("#!/bin/sh\nexec sleep 60\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(args, sizeof(args), "run --name web --timeout 300ms --tether %s -- sh", path);
    program_run(p, args, 125);
    has(p, "retether: the tether has not reached the agent at ");
    has(p, "; -v shows the tether's log, --guest-agent names another agent\n");
}

static void test_run_refused(void **state)
{
    struct program *p = *state;

    p->box->later = 1000;
    program_run(p, "run --timeout 150ms --tether /bin/true -- true", 125);
    has(p, "not possible for 150 ms: the store is out");
}

/* ---- wait, signal, create ---- */

static void test_wait(void **state)
{
    struct program *p = *state;

    program_start(p, "wait web");
    wait_attached(p, 0);
    assert_int_equal(box_att(p->box, 0)->want, 0x18); /* no streams */
    box_exit(p->box, 0, 0, 9);
    program_wait(p, 0);
    assert_string_equal(p->text[0].data, "137\n");
    p->box->n_atts = 0;
    program_run(p, "wait --json web", 0);
    assert_string_equal(p->text[0].data, "{\"container\":\"web\",\"status\":137,\"code\":null,\"signal\":9}\n");
}

static void test_wait_after_the_end(void **state)
{
    struct program *p = *state;

    p->box->refuse = RT_CLASS_ENDED;
    p->box->refusals = 1000;
    p->box->state = RT_SESSION_ENDED;
    p->box->tail_code = 4;
    program_run(p, "wait web", 0);
    assert_string_equal(p->text[0].data, "4\n");
    program_run(p, "wait --json web", 0);
    assert_string_equal(p->text[0].data, "{\"container\":\"web\",\"status\":4,\"code\":4,\"signal\":null}\n");
    p->box->refuse = RT_CLASS_RETRY_LATER; /* its host is dead: whoever attaches is held */
    program_run(p, "wait web", 0);
    assert_string_equal(p->text[0].data, "4\n");
    p->box->refuse = RT_CLASS_ENDED;
    p->box->tail_lost = true;
    p->box->state = RT_SESSION_LOST;
    program_run(p, "wait web", 125);
    has(p, "web is lost: its machine has not come back, so there is no status");
    p->box->tail_lost = false;
    p->box->state = RT_SESSION_RUNNING;
    program_run(p, "wait web", 125);
    has(p, "web has ended, and its status is not kept any more");
}

static void test_signal(void **state)
{
    struct program *p = *state;

    program_run(p, "signal web TERM", 0);
    assert_string_equal(p->box->text, "signal 15;");
    p->box->n_atts = 0;
    p->box->stalled = true;
    program_start(p, "signal web 9");
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, 0) != NULL && box_att(p->box, 0)->in[1].received > 0));
    box_exit(p->box, 0, 0, 9); /* of this signal: arrived */
    program_wait(p, 0);
    p->box->n_atts = 0;
    program_run(p, "signal web INT", 125);
    has(p, "web has ended, perhaps before the signal came; retether wait web prints its status\n");
}

static void test_create(void **state)
{
    struct program *p = *state;

    program_run(p, "create new", 0);
    assert_string_equal(p->text[0].data, "rtj1.dG9rZW4\n");
    program_run(p, "create --ring 64K --json new", 0);
    assert_string_equal(p->text[0].data, "{\"container\":\"new\",\"token\":\"rtj1.dG9rZW4.ring=65536\"}\n");
    assert_string_equal(err(p), "");
    p->stdout_closed = true;
    program_run(p, "create new", 141);
}

static bool create_is_cut(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)id;
    (void)box;
    if (!rt_slice_equal(request->op, rt_slice_text("create"))) {
        return false;
    }
    peer_deafen(link->peer);
    link_close(link);
    return true;
}

static bool create_is_unanswered(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    (void)box;
    (void)link;
    (void)id;
    return rt_slice_equal(request->op, rt_slice_text("create"));
}

/* The agent dies, or says nothing, with the request under way: it may have been done. */
static void test_not_known(void **state)
{
    static const char *const commands[] = {"create --timeout 500ms new", "run --timeout 500ms --name new -- true"};
    struct program *p = *state;

    for (unsigned i = 0; i < 4; i++) {
        p->box->on_request = i < 2 ? create_is_unanswered : create_is_cut;
        program_run(p, commands[i % 2], 125);
        has(p, "retether: no answer came: it is not known whether new was made\n");
        has(p, "retether: retether show new tells; if it is there, its token is lost: take another ID\n");
        if (i >= 2) {
            peer_listen(&p->f->peer[0]);
        }
    }
    p->box->on_request = NULL;
    p->box->stalled = true;
    program_run(p, "signal --timeout 500ms web TERM", 125);
    has(p, "retether: it is not known whether the signal came (no agent has answered in time); retether show web");
}

/* What has ended may be created anew, and what is lost by that is told. */
static void test_create_over(void **state)
{
    struct program *p = *state;

    p->box->state = RT_SESSION_ENDED;
    p->box->tail_code = 3;
    program_run(p, "create web", 0);
    assert_string_equal(p->text[0].data, "rtj1.dG9rZW4\n");
    assert_string_equal(err(p), "retether: replaces the ended container web (status 3); its output is gone\n");
    p->box->tail_sig = 9;
    program_run(p, "run --name web --tether /nonexistent/tether -- true", 125);
    has(p, "retether: replaces the ended container web (status 137); its output is gone\n");
    p->box->later = 3; /* the look, and two times the creation */
    program_run(p, "create web", 0);
    assert_string_equal(err(p), "");
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
        TEST(test_not_found_there),
        TEST(test_cannot_be_run),
        TEST(test_no_directory),
        TEST(test_other_status),
        TEST(test_status_of_its_own),
        TEST(test_logs),
        TEST(test_logs_after_the_end),
        TEST(test_logs_without_output),
        TEST(test_run_without_tether),
        TEST(test_run_tether_ends),
        TEST(test_run),
        TEST(test_run_not_served),
        TEST(test_run_refused),
        TEST(test_wait),
        TEST(test_wait_after_the_end),
        TEST(test_signal),
        TEST(test_create),
        TEST(test_not_known),
        TEST(test_create_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
