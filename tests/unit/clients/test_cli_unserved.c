/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/program.h"

#include "clients/cli/options.h"

/* attach, exec, logs and signal of a container that is not served, or has ended. */

/* The store is out: the name is taken as typed; a command that needs the record says so. */
static void test_store_out(void **state)
{
    struct program *p = *state;

    p->box->later = 1000;
    p->box->refuse = RT_CLASS_RETRY_LATER;
    p->box->refusals = 1000;
    program_run(p, "attach --timeout 200ms web", 122);
    program_has(p, "\"web\" could not be looked up, as the session store is out");
    program_run(p, "show --timeout 200ms web", 122);
    program_has(p, "retether: not possible for 200 ms: the store is out\n");
}

static void test_ended_before(void **state)
{
    struct program *p = *state;

    box_ended(p->box);
    p->box->code = 126;
    program_run(p, "attach web", 126);
    program_has(p, "retether: web has ended with status 126; retether logs web shows its last output\n");
    p->box->code = 0;
    p->box->sig = 15;
    program_run(p, "attach web", 128 + 15);
    program_has(p, "retether: web has ended by SIGTERM; retether logs web shows its last output\n");
    program_run(p, "attach --process 2 web", 125);
    program_has(p, "retether: web has ended; retether wait web prints its status\n");
    program_run(p, "exec web -- true", 126);
    program_has(p, "retether: web has ended, and runs no more commands\n");
}

/* Its agent has died, and others wait for its guest for as long as the client does, or longer. */
static void test_ended_unserved(void **state)
{
    static const uint64_t classes[] = {RT_CLASS_RETRY_LATER, RT_CLASS_LOST};
    struct program *p = *state;

    p->box->state = RT_SESSION_ENDED;
    p->box->refusals = 1000;
    p->box->tail_code = 5;
    p->box->tail[0] = "last words\n";
    p->box->tail_end[0] = 11;
    for (unsigned i = 0; i < 2; i++) {
        p->box->refuse = classes[i];
        program_run(p, "logs --timeout 200ms web", 0);
        assert_string_equal(p->text[0].data, "last words\n");
        program_run(p, "attach --timeout 200ms web", 5);
        program_has(p, "retether: web has ended with status 5; retether logs web shows its last output\n");
        program_run(p, "signal --timeout 200ms web TERM", 125);
        program_has(p, "retether: web has ended; retether wait web prints its status\n");
    }
}

/* The store came back too late to look it up, and its end is waited for longer than the program may: it is asked for.
 */
static void test_ended_unknown(void **state)
{
    static const char *const commands[] = {"logs --timeout 4s web", "attach --timeout 4s web"};
    struct program *p = *state;

    p->box->tail_code = 5;
    p->box->tail[0] = "last words\n";
    p->box->tail_end[0] = 11;
    p->box->state = RT_SESSION_ENDED;
    p->box->refuse = RT_CLASS_RETRY_LATER;
    for (unsigned i = 0; i < 2; i++) {
        p->box->later = 1000;
        p->box->refusals = 1000;
        program_start(p, commands[i]);
        FIXTURE_UNTIL(p->f, (program_look(p), p->box->refusals < 1000)); /* it attaches to the name as typed */
        p->box->later = 0;
        program_wait(p, i == 0 ? 0 : 5);
        assert_string_equal(p->text[0].data, i == 0 ? "last words\n" : "");
    }
}

/* The agent that was named cannot be reached. */
static void test_moved_nowhere(void **state)
{
    struct program *p = *state;

    p->box->refuse = RT_CLASS_MOVED;
    p->box->refusals = 1000;
    program_run(p, "attach --timeout 200ms web", 125);
    program_has(p, "retether: web is not served by any agent now (");
    program_run(p, "signal --timeout 200ms web TERM", 125);
    program_has(p, "retether: no agent serves web now");
    p->box->state = RT_SESSION_ENDED;
    p->box->tail_code = 5;
    program_run(p, "attach --timeout 200ms web", 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_out),     TEST(test_ended_before),  TEST(test_ended_unserved),
        TEST(test_ended_unknown), TEST(test_moved_nowhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
