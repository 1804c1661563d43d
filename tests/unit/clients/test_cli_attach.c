/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include "clients/cli/options.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

/* attach, exec, logs and run: what stdout and stderr say, and the exit status. */

static void wait_attached(struct program *p)
{
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, 0)));
}

static void wait_taken(struct program *p, unsigned proc, uint64_t size)
{
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, proc)->in[0].applied == size));
}

/* ---- an attach from its beginning to its end ---- */

static void test_output_and_status(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    wait_attached(p);
    box_write(p->box, 0, RT_STDOUT, "out\n", 4);
    box_write(p->box, 0, RT_STDERR, "err\n", 4);
    box_exit(p->box, 0, 3, 0);
    program_wait(p, 3);
    assert_string_equal(p->text[0].data, "out\n");
    assert_string_equal(p->text[1].data, "err\n");
}

static void test_killed(void **state)
{
    struct program *p = *state;

    program_start(p, "attach we"); /* a beginning of its ID will do */
    wait_attached(p);
    box_exit(p->box, 0, 0, 9);
    program_wait(p, 128 + 9);
    assert_string_equal(p->text[1].data, "");
}

static void test_input(void **state)
{
    struct program *p = *state;

    program_start(p, "attach web");
    wait_attached(p);
    program_type(p, "hello\n");
    wait_taken(p, 0, 6);
    program_type_end(p);
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, 0)->in[0].fin));
    assert_memory_equal(box_att(p->box, 0)->in[0].data, "hello\n", 6);
    box_exit(p->box, 0, 0, 0);
    program_wait(p, 0);
}

static void test_starts(void **state)
{
    struct program *p = *state;

    box_write(p->box, 0, RT_STDOUT, "0123456789", 10);
    box_write(p->box, 0, RT_STDERR, "abc", 3);
    program_start(p, "attach --no-stdin --since-offset 4,2 --hold 0 web");
    wait_attached(p);
    assert_int_equal(box_att(p->box, 0)->want, 0x0e);
    assert_int_equal(box_att(p->box, 0)->hold, 0);
    box_exit(p->box, 0, 0, 0);
    program_wait(p, 0);
    assert_string_equal(p->text[0].data, "456789");
    assert_string_equal(p->text[1].data, "c");
}

/* What was given up is told in its place. */
static void with_gaps(struct program *p, const char *args, unsigned code, int status)
{
    struct box_att *att;

    program_start(p, args);
    wait_attached(p);
    att = box_att(p->box, 0);
    box_write(p->box, 0, RT_STDOUT, "0123", 4);
    program_until(p, 0, "0123");
    att->out[0].limit = att->out[1].limit = 0;
    box_write(p->box, 0, RT_STDOUT, "456789", 6);
    box_write(p->box, 0, RT_STDERR, "456789", 6);
    box_forget(p->box, 0, RT_STDOUT, 7);
    box_forget(p->box, 0, RT_STDERR, 5);
    att->out[0].limit = att->out[1].limit = 1000;
    box_pump(p->box);
    box_exit(p->box, 0, code, 0);
    program_wait(p, status);
    assert_string_equal(p->text[0].data, "0123789");
    assert_non_null(strstr(p->text[1].data, "[gap: 3 bytes lost at 4]\n"));
    assert_non_null(strstr(p->text[1].data, "[gap: 5 bytes lost at 0 of stderr]\n9\n"));
}

static void ends_with(const struct program *p, const char *line)
{
    size_t size = strlen(line);

    assert_true(p->text[1].size >= size);
    assert_string_equal(p->text[1].data + p->text[1].size - size, line);
}

/* A command that went well, but whose output was cut, did not go well here. */
static void test_gaps(void **state)
{
    with_gaps(*state, "attach web", 0, CLI_EXIT_GAP);
    ends_with(*state, "retether: 8 bytes of the output were lost, so the status is not the command's 0; --allow-gap "
                      "keeps it\n");
}

static void test_gaps_allowed(void **state)
{
    with_gaps(*state, "attach --allow-gap web", 0, 0);
    ends_with(*state, "retether: 8 bytes of the output were lost\n");
}

static void test_gaps_of_a_failure(void **state)
{
    with_gaps(*state, "attach web", 3, 3);
    ends_with(*state, "retether: 8 bytes of the output were lost\n");
}

/* A move is none of the user's business. */
static void test_moved(void **state)
{
    struct program *p = *state;

    peer_listen(&p->f->peer[1]);
    program_start(p, "attach web");
    wait_attached(p);
    peer_deafen(&p->f->peer[0]);
    peer_cut(&p->f->peer[0]);
    box_write(p->box, 0, RT_STDOUT, "still here", 10);
    program_until(p, 0, "still here");
    box_exit(p->box, 0, 0, 0);
    program_wait(p, 0);
    assert_string_equal(p->text[1].data, "");
}

/* ---- interrupted ---- */

static void interrupt(struct program *p, int signum)
{
    assert_int_equal(kill(p->pid, signum), 0);
    program_wait(p, 128 + signum);
}

static void test_interrupted(void **state)
{
    struct program *p = *state;
    char want[256];

    program_start(p, "attach web");
    wait_attached(p);
    box_write(p->box, 0, RT_STDOUT, "12345", 5);
    program_until(p, 0, "12345");
    interrupt(p, SIGINT);
    snprintf(want, sizeof(want),
             "retether: interrupted; this goes on where it stopped:\n"
             "  retether attach web --agent %s --since-offset 5\n",
             p->f->peer[0].address);
    assert_string_equal(p->text[1].data, want); /* nothing of input: none was typed */
    FIXTURE_UNTIL(p->f, p->box->detached == 1);
}

/* The process takes "abc", and then nothing of `more`, which has come to it. */
static void type_to_a_stalled(struct program *p, const char *more)
{
    program_start(p, "attach web");
    wait_attached(p);
    program_type(p, "abc");
    wait_taken(p, 0, 3);
    p->box->stalled = true;
    program_type(p, more);
    FIXTURE_UNTIL(p->f, (program_look(p), box_att(p->box, 0)->in[0].received == 3 + strlen(more)));
}

static void test_input_not_taken(void **state)
{
    struct program *p = *state;

    type_to_a_stalled(p, "defg");
    interrupt(p, SIGTERM);
    assert_non_null(strstr(p->text[1].data, "retether: 4 bytes of input were not taken\n"));
}

/* A process without stdin: nothing is said of input that nobody typed, and all of it that somebody did. */
static void test_process_without_stdin(void **state)
{
    struct program *p = *state;

    p->box->proc[0].no_input = true;
    program_start(p, "attach web");
    wait_attached(p);
    box_write(p->box, 0, RT_STDOUT, "ready", 5);
    program_until(p, 0, "ready");
    interrupt(p, SIGINT);
    assert_non_null(strstr(p->text[1].data, "--since-offset 5\n"));
    assert_null(strstr(p->text[1].data, "input"));
    p->box->n_atts = 0;
    program_start(p, "attach web");
    program_type(p, "typed\n");
    wait_attached(p);
    box_write(p->box, 0, RT_STDOUT, "again", 5);
    program_until(p, 0, "again");
    interrupt(p, SIGINT);
    assert_non_null(
        strstr(p->text[1].data, "retether: the process takes no more input; 6 bytes of input were not taken\n"));
}

/* One that closes it later: what it took is not counted. */
static void test_process_closes_stdin(void **state)
{
    struct program *p = *state;

    type_to_a_stalled(p, "defgh");
    box_close_input(p->box, box_att(p->box, 0));
    box_write(p->box, 0, RT_STDOUT, "closed", 6);
    program_until(p, 0, "closed");
    interrupt(p, SIGHUP);
    assert_non_null(strstr(p->text[1].data, "the process takes no more input; 5 bytes of input were not taken\n"));
}

static void test_signals_passed_on(void **state)
{
    struct program *p = *state;

    program_start(p, "attach --sig-proxy web");
    wait_attached(p);
    assert_int_equal(kill(p->pid, SIGUSR1), 0);
    FIXTURE_UNTIL(p->f, (program_look(p), strstr(p->box->text, "signal 10;") != NULL));
    assert_int_equal(kill(p->pid, SIGINT), 0);
    FIXTURE_UNTIL(p->f, (program_look(p), strstr(p->box->text, "signal 2;") != NULL));
    box_exit(p->box, 0, 0, 2);
    program_wait(p, 130);
}

/* Without stdin, too. */
static void test_signals_without_stdin(void **state)
{
    struct program *p = *state;

    program_start(p, "attach --no-stdin --sig-proxy web");
    wait_attached(p);
    assert_int_equal(box_att(p->box, 0)->want, 0x1e);
    box_write(p->box, 0, RT_STDOUT, "here", 4);
    program_until(p, 0, "here"); /* earlier, it would end itself */
    assert_int_equal(kill(p->pid, SIGTERM), 0);
    FIXTURE_UNTIL(p->f, (program_look(p), strstr(p->box->text, "signal 15;") != NULL));
    box_exit(p->box, 0, 0, 15);
    program_wait(p, 143);
}

static void test_nobody_reads(void **state)
{
    struct program *p = *state;

    p->stdout_closed = true;
    program_start(p, "exec web -- cat");
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, 1)));
    box_write(p->box, 1, RT_STDOUT, "x", 1);
    program_wait(p, 141);
    assert_string_equal(p->text[1].data, "");
}

/* Who only watches is not kept by a container that says nothing. */
static void test_nobody_reads_silence(void **state)
{
    struct program *p = *state;

    p->stdout_closed = true;
    program_run(p, "attach web", 141);
    program_run(p, "logs -f web", 141);
    assert_string_equal(p->text[1].data, "");
}

/* A command of this program's own may be at work all the same, and its status counts. */
static void test_nobody_reads_the_silence_of_a_command(void **state)
{
    struct program *p = *state;

    p->stdout_closed = true;
    program_start(p, "exec web -- true");
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, 1)));
    box_exit(p->box, 1, 3, 0);
    program_wait(p, 3);
}

/* Nobody reads any more while a part of what came has been written. */
static void test_nobody_reads_the_rest(void **state)
{
    static uint8_t data[200000];
    struct program *p = *state;

    program_start(p, "exec web -- yes");
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, 1)));
    box_write(p->box, 1, RT_STDOUT, data, sizeof(data));
    FIXTURE_UNTIL(p->f, box_att(p->box, 1)->out[0].acked > 0); /* the pipe is full */
    close(p->out[0]);
    p->out[0] = -1;
    program_wait(p, 141);
}

/* An attach that has nothing to type must not end what others type. */
static void test_empty_stdin(void **state)
{
    struct program *p = *state;

    p->stdin_path = "/dev/null";
    program_start(p, "exec -i web -- cat"); /* its own process has its end */
    FIXTURE_UNTIL(p->f, (program_look(p), box_bound(p->box, 1) && box_att(p->box, 1)->in[0].fin));
    box_exit(p->box, 1, 0, 0);
    program_wait(p, 0);
    p->box->n_atts = 0;
    program_start(p, "attach -v web");
    wait_attached(p);
    assert_int_equal(box_att(p->box, 0)->want, 0x0e); /* an observer's, as a viewer may have it */
    box_exit(p->box, 0, 0, 0);
    program_wait(p, 0);
    assert_non_null(
        strstr(p->text[1].data, "retether: stdin is closed or /dev/null, so this attach only watches web\n"));
}

/* What cannot be read is not the end of what was to be read. */
static void test_unreadable_stdin(void **state)
{
    struct program *p = *state;

    p->stdin_path = "/";
    p->box->stalled = true; /* no word to a program that is gone */
    program_run(p, "exec -i web -- wc -c", 125);
    assert_non_null(strstr(p->text[1].data, "retether: cannot read stdin: Is a directory\n"));
    FIXTURE_UNTIL(p->f, p->box->detached > 0);
    assert_false(box_att(p->box, 1)->in[0].fin);
}

/* ---- terminals ---- */

static void test_terminal(void **state)
{
    struct program *p = *state;

    p->tty = true;
    p->box->proc[0].tty = true;
    program_start(p, "attach web");
    wait_attached(p);
    assert_int_equal(box_att(p->box, 0)->rows, 24);
    assert_int_equal(box_att(p->box, 0)->cols, 80);
    FIXTURE_UNTIL(p->f, (program_look(p), strstr(p->box->text, "resize 24x80;") != NULL));
    program_type(p, "\003x"); /* ctrl-C is a key like others */
    wait_taken(p, 0, 2);
    program_type(p, "\020\021"); /* ctrl-p ctrl-q */
    program_wait(p, 0);
    FIXTURE_UNTIL(p->f, p->box->detached == 1);
    assert_int_equal(box_att(p->box, 0)->in[0].applied, 2);
}

/* A key that may be the first of the detach keys goes through when it was not. */
static void test_first_detach_key(void **state)
{
    struct program *p = *state;

    p->tty = true;
    p->box->proc[0].tty = true;
    program_start(p, "attach web");
    wait_attached(p);
    program_type(p, "a\020");
    wait_taken(p, 0, 2);
    program_type(p, "\020");
    wait_taken(p, 0, 3);
    program_type(p, "\020\021");
    program_wait(p, 0);
    assert_memory_equal(box_att(p->box, 0)->in[0].data, "a\020\020", 3);
}

static bool is_raw(const struct program *p)
{
    struct termios termios;

    assert_int_equal(tcgetattr(p->in, &termios), 0); /* of the terminal whose other end this is */
    return (termios.c_lflag & ICANON) == 0;
}

/* However a signal ends the program, its terminal is as it was. */
static void test_terminal_after_signals(void **state)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGIO, SIGTERM};
    struct program *p = *state;

    p->tty = true;
    p->box->proc[0].tty = true;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        int slave;

        p->box->n_atts = 0;
        program_start(p, "attach web");
        slave = open(ptsname(p->in), O_RDWR | O_NOCTTY | O_CLOEXEC); /* its settings go with the last */
        assert_true(slave >= 0);
        wait_attached(p);
        FIXTURE_UNTIL(p->f, (program_look(p), is_raw(p)));
        assert_int_equal(kill(p->pid, signals[i]), 0);
        program_wait(p, 128 + signals[i]);
        assert_false(is_raw(p));
        close(slave);
    }
}

/* The detach keys work though the process takes no input. */
static void test_terminal_without_stdin(void **state)
{
    struct program *p = *state;

    p->tty = true;
    p->box->proc[0].tty = p->box->proc[0].no_input = true;
    program_start(p, "attach web");
    wait_attached(p);
    FIXTURE_UNTIL(p->f, (program_look(p), strstr(p->box->text, "resize 24x80;") != NULL));
    program_type(p, "a");
    fixture_settle(p->f);
    program_type(p, "b\020\021");
    program_wait(p, 0);
    assert_non_null(strstr(p->text[1].data, "the process takes no more input; 2 bytes of input were not taken\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_output_and_status),
        TEST(test_killed),
        TEST(test_input),
        TEST(test_starts),
        TEST(test_gaps),
        TEST(test_gaps_allowed),
        TEST(test_gaps_of_a_failure),
        TEST(test_moved),
        TEST(test_interrupted),
        TEST(test_input_not_taken),
        TEST(test_process_without_stdin),
        TEST(test_process_closes_stdin),
        TEST(test_signals_passed_on),
        TEST(test_signals_without_stdin),
        TEST(test_nobody_reads),
        TEST(test_nobody_reads_silence),
        TEST(test_nobody_reads_the_silence_of_a_command),
        TEST(test_nobody_reads_the_rest),
        TEST(test_empty_stdin),
        TEST(test_unreadable_stdin),
        TEST(test_terminal),
        TEST(test_first_detach_key),
        TEST(test_terminal_after_signals),
        TEST(test_terminal_without_stdin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
