/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/box_request.h"
#include "tests/unit/clients/program.h"

#include "clients/cli/options.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* How logs, run, wait, signal and create end when not everything goes well: text and status. */

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
    program_attached(p, 0);
    assert_int_equal(box_att(p->box, 0)->want, 0x0e);
    box_write(p->box, 0, RT_STDOUT, "three\n", 6);
    box_exit(p->box, 0, 5, 0);
    program_wait(p, 0); /* not the container's status */
    assert_string_equal(p->text[0].data, "one\ntwo\nthree\n");
}

static void test_logs_after_the_end(void **state)
{
    struct program *p = *state;

    box_ended(p->box);
    p->box->tail_code = 5;
    p->box->tail[0] = "one\ntwo\n";
    p->box->tail_end[0] = 108;
    program_run(p, "logs web", 0);
    assert_string_equal(p->text[0].data, "one\ntwo\n");
    assert_string_equal(program_err(p), "[the first 100 bytes are not kept any more]\n");
    program_run(p, "logs -n 1 web", 0);
    assert_string_equal(p->text[0].data, "two\n");
    assert_string_equal(program_err(p), "");
    program_run(p, "logs --tail-bytes 2 web", 0);
    assert_string_equal(p->text[0].data, "o\n");
}

/* Status and offsets are there, the output is not: given up, or with an agent that cannot be asked. */
static void test_logs_without_output(void **state)
{
    struct program *p = *state;

    box_ended(p->box);
    p->box->tail_code = 5;
    p->box->tail_end[0] = 108;
    p->box->tail_cut = true;
    program_run(p, "logs web", 0);
    assert_string_equal(p->text[0].data, "");
    program_has(p, "108 bytes");
    program_has(p, "retether: the last output of web is not kept any more");
    program_run(p, "wait web", 0);
    assert_string_equal(p->text[0].data, "5\n");
    p->box->tail_cut = false;
    p->box->tail_keeper = "esx-7";
    program_run(p, "logs web", 0);
    program_has(p, "retether: the last output of web is kept by the agent of esx-7 alone");
    program_run(p, "wait web", 0);
    assert_string_equal(p->text[0].data, "5\n");
}

/* ---- run ---- */

static void test_run_without_tether(void **state)
{
    struct program *p = *state;

    program_run(p, "run --name web --tether /nonexistent/tether -- true", 125);
    program_has(
        p,
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
    program_has(p, "retether: the tether ended with status 1 before it could be attached to; -v shows its log\n");
    assert_int_equal(p->box->removed, 1);
}

static void make_tether(const struct program *p, char path[96], const char *script)
{
    FILE *file;

    snprintf(path, 96, "%.64s/tether", p->f->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\n%s\n", script) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

/* That make_tether's script has written; 0: not yet. */
static pid_t tether_pid(const char *path)
{
    char name[112], text[16] = "";
    pid_t pid;
    FILE *file;

    snprintf(name, sizeof(name), "%s.pid", path);
    file = fopen(name, "r");
    if (file == NULL) {
        return 0;
    }
    pid = fgets(text, sizeof(text), file) != NULL ? (pid_t)strtol(text, NULL, 10) : 0;
    (void)fclose(file);
    if (pid != 0) {
        (void)unlink(name);
    }
    return pid;
}

/* A tether that stays until the test lets it go; the box stands in for what it would serve. */
static void test_run(void **state)
{
    struct program *p = *state;
    char path[96];
    char args[160];

    make_tether(p, path, "while [ -e \"$0\" ]; do sleep 0.02; done");
    snprintf(args, sizeof(args), "run --name web --tether %s -- sh", path);
    program_start(p, args);
    program_attached(p, 0);
    assert_true(box_att(p->box, 0)->once); /* an empty stdin */
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, 0)->in[0].fin));
    box_write(p->box, 0, RT_STDOUT, "hi\n", 3);
    box_exit(p->box, 0, 2, 0);
    (void)unlink(path);
    program_wait(p, 2);
    assert_string_equal(p->text[0].data, "hi\n");
    assert_int_equal(p->box->removed, 0);
}

/* `run` with a tether that is this script, and which nobody serves. */
static void unserved_run(struct program *p, char path[96], char args[192], const char *timeout, const char *script)
{
    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = UINT32_MAX;
    make_tether(p, path, script);
    snprintf(args, 192, "run --name web --timeout %s --tether %s -- sh", timeout, path);
}

/* The tether is there and nobody serves it: the agent says why, and the tether is not blamed for that. */
static void test_run_not_served(void **state)
{
    struct program *p = *state;
    char path[96], args[192];

    unserved_run(p, path, args, "300ms", "exec sleep 60");
    program_run(p, args, 125);
    program_has(p, "retether: the tether has not reached the agent at ");
    program_has(p, "; -v shows the tether's log, --guest-agent names another agent\n");
    (void)unlink(path);
}

/* A signal before anybody could attach ends the run, and does not wait until somebody can; the tether goes too, also
 * one that stays when it is asked to end, as without an agent it does. */
static void test_run_interrupted(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct program *p = *state;
    char path[96], args[192];

    unserved_run(p, path, args, "10m", "trap '' TERM\necho $$ >$0.pid\nwhile [ -e \"$0\" ]; do sleep 0.02; done");
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        unsigned before = p->box->refusals;
        pid_t tether;

        program_start(p, args);
        FIXTURE_UNTIL(p->f, (program_look(p), p->box->refusals < before && (tether = tether_pid(path)) > 0));
        assert_int_equal(kill(p->pid, signals[i]), 0);
        program_wait(p, 128 + signals[i]);
        assert_string_equal(program_err(p), "retether: interrupted before web was attached to\n");
        assert_int_equal(p->box->removed, i + 1);
        FIXTURE_UNTIL(p->f, kill(tether, 0) != 0);
    }
    (void)unlink(path);
}

/* Nobody takes the session back: that is told, and waited for only so long. */
static void test_run_interrupted_alone(void **state)
{
    struct program *p = *state;
    char path[96], args[192];

    unserved_run(p, path, args, "10m", "while [ -e \"$0\" ]; do sleep 0.02; done");
    program_start(p, args);
    FIXTURE_UNTIL(p->f, (program_look(p), p->box->refusals < UINT32_MAX));
    peer_deafen(&p->f->peer[0]);
    peer_cut(&p->f->peer[0]);
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    program_wait(p, 128 + SIGTERM);
    program_has(p, "retether: web could not be taken back: the name may be in use for a week\n");
    (void)unlink(path);
}

static void test_run_refused(void **state)
{
    struct program *p = *state;

    p->box->later = 1000;
    program_run(p, "run --timeout 150ms --tether /bin/true -- true", 122);
    program_has(p, "not possible for 150 ms: the store is out");
}

/* ---- wait, signal, create ---- */

static void test_wait(void **state)
{
    struct program *p = *state;

    program_start(p, "wait web");
    program_attached(p, 0);
    assert_int_equal(box_att(p->box, 0)->want, 0x8); /* no streams */
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
    program_has(p, "web is lost: its machine has not come back, so there is no status");
    p->box->tail_lost = false;
    p->box->state = RT_SESSION_RUNNING;
    program_run(p, "wait web", 125);
    program_has(p, "web has ended, and its status is not kept any more");
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
    program_has(p, "web has ended, perhaps before the signal came; retether wait web prints its status\n");
}

static void test_create(void **state)
{
    struct program *p = *state;

    program_run(p, "create new", 0);
    assert_string_equal(p->text[0].data, "rtj1.dG9rZW4\n");
    program_run(p, "create --ring 64K --json new", 0);
    assert_string_equal(p->text[0].data, "{\"container\":\"new\",\"token\":\"rtj1.dG9rZW4.ring=65536\"}\n");
    assert_string_equal(program_err(p), "");
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
        program_has(p, "retether: no answer came: it is not known whether new was made\n");
        program_has(p, "retether: retether show new tells; if it is there, its token is lost: take another ID\n");
        if (i >= 2) {
            peer_listen(&p->f->peer[0]);
        }
    }
    p->box->on_request = NULL;
    p->box->stalled = true;
    program_run(p, "signal --timeout 500ms web TERM", 125);
    program_has(p,
                "retether: it is not known whether the signal came (no agent has answered in time); retether show web");
}

/* What has ended may be created anew, and what is lost by that is told. */
static void test_create_over(void **state)
{
    struct program *p = *state;

    p->box->state = RT_SESSION_ENDED;
    p->box->tail_code = 3;
    program_run(p, "create web", 0);
    assert_string_equal(p->text[0].data, "rtj1.dG9rZW4\n");
    assert_string_equal(program_err(p), "retether: replaces the ended container web (status 3); its output is gone\n");
    p->box->tail_sig = 9;
    program_run(p, "run --name web --tether /nonexistent/tether -- true", 125);
    program_has(p, "retether: replaces the ended container web (status 137); its output is gone\n");
    p->box->later = 3; /* the look, and two times the creation */
    program_run(p, "create web", 0);
    assert_string_equal(program_err(p), "");
}

static const char *limit; /* what the agent says to a creation that comes behind RETRY_LATER */
static unsigned creations;
static bool shows;

static bool limit_behind_later(struct box *box, struct link *link, uint64_t id, const struct rt_request_msg *request)
{
    static struct rt_reply_msg reply;

    (void)box;
    memset(&reply, 0, sizeof(reply));
    if (rt_slice_equal(request->op, rt_slice_text("create"))) {
        reply.c = creations++ == 0 ? RT_CLASS_RETRY_LATER : RT_CLASS_LIMIT;
        reply.m = rt_slice_text(reply.c == RT_CLASS_LIMIT ? limit : "the store is slow");
    } else if (creations == 0) {
        reply.c = RT_CLASS_NOT_FOUND;
    } else if (!shows) {
        reply.c = RT_CLASS_RETRY_LATER;
        reply.m = rt_slice_text("the store is out");
    } else {
        return false; /* as the box has it */
    }
    box_reply(link, id, &reply);
    return true;
}

/* LIMIT behind RETRY_LATER: this command may have made the container, which is there then, and not started. Another
 * limit is told as it is. */
static void test_limit_behind_later(void **state)
{
    static const char exists[] = "a container of this ID exists", full[] = "the tenant acme has 5 containers";
    static const struct {
        const char *limit;
        enum rt_session_state state;
        bool shows;
        const char *says;
    } cases[] = {
        {exists, RT_SESSION_CREATED, true,
         "retether: a container of this ID exists; if it is not yours, this command made it when the answer was \"the "
         "store is slow\": take another ID\n"},
        {exists, RT_SESSION_RUNNING, true, "retether: a container of this ID exists\n"},
        {full, RT_SESSION_NONE, true, "retether: the tenant acme has 5 containers\n"},
        {full, RT_SESSION_ENDED, true, "retether: the tenant acme has 5 containers\n"},
        {full, RT_SESSION_CREATED, true,
         "retether: the tenant acme has 5 containers; if it is not yours, this command made it when the answer was "
         "\"the store is slow\": take another ID\n"},
        {full, RT_SESSION_NONE, false,
         "retether: the tenant acme has 5 containers\nretether: retether show web tells whether this command made it "
         "when the answer was \"the store is slow\"\n"},
    };
    struct program *p = *state;

    p->box->on_request = limit_behind_later;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        limit = cases[i].limit;
        p->box->state = cases[i].state;
        shows = cases[i].shows;
        creations = 0;
        program_run(p, "create web", 125);
        assert_string_equal(program_err(p), cases[i].says);
        assert_int_equal(creations, 2);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_logs),
        TEST(test_logs_after_the_end),
        TEST(test_logs_without_output),
        TEST(test_run_without_tether),
        TEST(test_run_tether_ends),
        TEST(test_run),
        TEST(test_run_not_served),
        TEST(test_run_interrupted),
        TEST(test_run_interrupted_alone),
        TEST(test_run_refused),
        TEST(test_wait),
        TEST(test_wait_after_the_end),
        TEST(test_signal),
        TEST(test_create),
        TEST(test_not_known),
        TEST(test_create_over),
        TEST(test_limit_behind_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
