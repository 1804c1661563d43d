/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/clients/sdk.h"

/* exec: an attachment with a process of its own, which is told once what to run. */

static const char *const argv[] = {"echo", "a b", NULL};

#define RUN "exec echo a b;"

static void until_run(struct sdk *sdk)
{
    FIXTURE_UNTIL(sdk->f, sdk->box->runs == 1);
}

static void test_runs(void **state)
{
    struct sdk *sdk = *state;
    uint8_t id[RETETHER_ATTACHMENT_ID_SIZE];

    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    assert_int_equal(retether_write(sdk->att, "early", 5), 5);
    assert_int_equal(retether_signal(sdk->att, 1), RT_OK);
    assert_int_equal(retether_offset(sdk->att, RETETHER_STDOUT), 0);
    retether_attachment_id(sdk->att, id);
    sdk_wait(sdk, SDK_ATTACHED, 1);
    assert_int_equal(sdk->process, 1);
    sdk_wait(sdk, SDK_APPLIED, 1);
    assert_string_equal(sdk->box->text, RUN "signal 1;");
    assert_memory_equal(box_att(sdk->box, 1)->id, id, sizeof(id));
    assert_int_equal(retether_write(sdk->att, "input", 5), 5);
    sdk_wait_input(sdk, 1, 10);
    box_write(sdk->box, 1, RT_STDOUT, "a b\n", 4);
    box_exit(sdk->box, 1, 6, 0);
    sdk_wait(sdk, SDK_EXITED, 1);
    sdk_wait_output(sdk, 0, 4, 1);
    assert_int_equal(sdk->code, 6);
}

/* Only the application's own options count, and they reach the process. */
static void test_options(void **state)
{
    static const char *const env[] = {"A=1", "B=2", NULL};
    struct sdk *sdk = *state;
    struct retether_attachment_callbacks callbacks = sdk_callbacks;
    const struct retether_exec_options exec = {
        .size = sizeof(exec), .argv = argv, .env = env, .cwd = "/tmp", .tty = true};
    struct retether_attach_options options;
    struct box_att *att;

    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.input = false;
    options.hold_ms = 1234;
    options.rows = 7;
    options.cols = 8;
    options.from = RETETHER_FROM_BYTES; /* from its first byte all the same */
    options.start[0] = 1;
    options.take_id = (const uint8_t *)"whoever has this";
    callbacks.ctx = sdk;
    assert_int_equal(retether_exec(sdk->client, &options, &exec, &callbacks, &sdk->att), RT_OK);
    assert_int_equal(retether_resize(sdk->att, 9, 10), RT_OK);
    retether_write_end(sdk->att);
    sdk_wait(sdk, SDK_ATTACHED, 1);
    until_run(sdk);
    att = box_att(sdk->box, 1);
    assert_true(sdk->tty);
    assert_false(att->take);
    assert_int_equal(att->hold, 1234);
    assert_int_equal(att->want, 0x1e);
    assert_int_equal(att->rows, 9);
    assert_int_equal(att->cols, 10);
}

/* The link goes before what to run was applied, and behind that but before it was told: one process, which runs once.
 */
static void test_once(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->stalled = true;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_bound(sdk->box, 1) && box_att(sdk->box, 1)->in[1].received > 0);
    peer_cut(&sdk->f->peer[0]);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 1)->resumes == 1 && box_att(sdk->box, 1)->in[1].received > 0);
    assert_int_equal(sdk->box->runs, 0);
    sdk->f->link[0].deaf = true;
    peer_cut(&sdk->f->peer[0]);
    box_take(sdk->box); /* applied; the word of it is lost */
    assert_int_equal(sdk->box->runs, 1);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 1)->resumes == 2);
    box_exit(sdk->box, 1, 0, 0);
    sdk_wait(sdk, SDK_EXITED, 1);
    assert_int_equal(sdk->box->made, 1);
    assert_string_equal(sdk->box->text, RUN);
}

/* Cut at the first ATTACH: asked anew, and still one process. */
static void test_once_at_attach(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->deaf = true;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    (void)peer_expect(sdk->f, RT_ATTACH);
    peer_cut(&sdk->f->peer[0]);
    sdk->box->deaf = false;
    sdk_wait(sdk, SDK_ATTACHED, 1);
    until_run(sdk);
    assert_int_equal(sdk->box->made, 1);
    assert_int_equal(sdk->process, 1);
}

/* As long as it may be: in many pieces, cut in the middle. */
static void test_long(void **state)
{
    static char word[200 * 1024 + 1];
    const char *many[] = {"sh", "-c", word, "", "x", NULL};
    struct sdk *sdk = *state;

    memset(word, 'w', sizeof(word) - 1);
    sdk->box->stalled = true;
    assert_int_equal(sdk_exec(sdk, many), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_bound(sdk->box, 1) && box_att(sdk->box, 1)->in[1].received > 0);
    peer_cut(&sdk->f->peer[0]);
    sdk->box->stalled = false;
    until_run(sdk);
    assert_int_equal(strlen(sdk->box->text), strlen("exec sh -c   x;") + sizeof(word) - 1);
    assert_int_equal(strspn(sdk->box->text + strlen("exec sh -c "), "w"), sizeof(word) - 1);
    assert_int_equal(box_att(sdk->box, 1)->resumes, 1);
}

static void test_main_has_ended(void **state)
{
    struct sdk *sdk = *state;

    box_exit(sdk->box, 0, 5, 0);
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_INVALID);
    assert_string_equal(sdk->text, "the main process has ended");
    assert_int_equal(retether_resize(sdk->att, 1, 1), RT_ESTATE);
    assert_int_equal(retether_signal(sdk->att, 1), RT_ESTATE);
}

static void test_record_has_ended(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->refuse = RT_CLASS_ENDED;
    sdk->box->refusals = 1;
    sdk->box->sig = 15;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_ENDED);
    assert_int_equal(sdk->signum, 15);
}

/* The container runs no more processes: told at once, as what it is. */
static void test_no_more_processes(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->refuse = RT_CLASS_LIMIT;
    sdk->box->refusals = 1;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_LIMIT);
    assert_string_equal(sdk->text, "as the test wants");
}

static void test_rewound(void **state)
{
    struct sdk *sdk = *state;
    struct box_att *att;

    sdk->box->stalled = true;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_bound(sdk->box, 1));
    att = box_att(sdk->box, 1);
    link_refuse(att->link, att->channel, &(struct rt_refuse_msg){.c = RT_CLASS_REWOUND, .s = RT_CONTROL_DOWN});
    att->link = NULL;
    sdk_wait(sdk, SDK_REWOUND, 1);
}

static void test_gives_up(void **state)
{
    struct sdk *sdk = *state;
    struct retether_attachment_callbacks callbacks = sdk_callbacks;
    const struct retether_exec_options exec = {.size = sizeof(exec), .argv = argv};
    struct retether_attach_options options;

    sdk->box->deaf = true;
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    options.give_up_ms = 60000;
    callbacks.ctx = sdk;
    assert_int_equal(retether_exec(sdk->client, &options, &exec, &callbacks, &sdk->att), RT_OK);
    (void)peer_expect(sdk->f, RT_ATTACH);
    rt_test_skew(61000);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_LOST);
}

/* Refused while what to run is under way: the command may run. */
static void test_not_known(void **state)
{
    struct sdk *sdk = *state;

    sdk->box->stalled = true;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_att(sdk->box, 1) != NULL && box_att(sdk->box, 1)->in[1].received > 0);
    sdk->box->refuse = RT_CLASS_DENIED;
    sdk->box->refusals = 1000;
    peer_cut(&sdk->f->peer[0]);
    sdk_wait(sdk, SDK_FAILED, 1);
    assert_int_equal(sdk->cls, RETETHER_DENIED);
    assert_string_equal(sdk->text, "it is not known whether the command was started: as the test wants");
}

/* Ended by the application at each stage. */
static void test_detached(void **state)
{
    struct sdk *sdk = *state;

    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    retether_detach(sdk->att);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->box->made, 0);
    sdk->box->stalled = true;
    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    FIXTURE_UNTIL(sdk->f, box_bound(sdk->box, 1));
    retether_detach(sdk->att);
    FIXTURE_UNTIL(sdk->f, sdk->box->detached > 0);
    assert_int_equal(sdk->box->runs, 0);
}

static int try_exec(struct sdk *sdk, const struct retether_attach_options *options,
                    const struct retether_exec_options *exec)
{
    return retether_exec(sdk->client, options, exec, &sdk_callbacks, &sdk->att);
}

static void test_wrong_use(void **state)
{
    struct sdk *sdk = *state;
    static char long_word[RT_EXEC_MAX + 1];
    static const char *many[RT_ARGS_MAX + 2];
    static const char *const nothing[] = {NULL};
    static const char *const long_argv[] = {long_word, NULL};
    struct retether_exec_options exec = {.size = sizeof(exec), .argv = NULL};
    struct retether_attach_options options;

    memset(long_word, 'x', sizeof(long_word) - 1);
    for (size_t i = 0; i <= RT_ARGS_MAX; i++) {
        many[i] = "A=1";
    }
    retether_attach_defaults(&options, sizeof(options));
    options.container = BOX_CID;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_EINVAL);
    exec.argv = nothing;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_EINVAL);
    exec.argv = many;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_ELIMIT);
    exec.argv = argv;
    exec.env = many;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_ELIMIT);
    many[RT_ARGS_MAX] = NULL; /* as many settings, and as many words: more than one map has */
    exec.argv = many;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_ELIMIT);
    exec.env = NULL;
    exec.argv = long_argv;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_EINVAL);
    long_word[RT_ARG_MAX] = '\0'; /* one is right, two are too long together */
    exec.argv = (const char *const[]){long_word, long_word, NULL};
    assert_int_equal(try_exec(sdk, &options, &exec), RT_ELIMIT);
    exec.argv = argv;
    exec.cwd = long_word;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_EINVAL);
    exec.cwd = NULL;
    options.container = NULL;
    assert_int_equal(try_exec(sdk, &options, &exec), RT_EINVAL);
    options.container = "no good";
    assert_int_equal(try_exec(sdk, &options, &exec), RT_EINVAL);
    assert_null(sdk->att);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->f->peer[0].accepted, 0);
}

/* Sizes and signals that are none are refused while the process is not there, not when it comes. */
static void test_wrong_values_early(void **state)
{
    struct sdk *sdk = *state;

    assert_int_equal(sdk_exec(sdk, argv), RT_OK);
    assert_int_equal(retether_resize(sdk->att, 70000, 1), RT_EINVAL);
    assert_int_equal(retether_signal(sdk->att, 0), RT_EINVAL);
    sdk_wait(sdk, SDK_ATTACHED, 1);
    fixture_settle(sdk->f);
    assert_int_equal(sdk->n[SDK_APPLIED], 0);
    assert_int_equal(sdk->n[SDK_FAILED], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sdk_setup, sdk_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_runs),
        TEST(test_options),
        TEST(test_once),
        TEST(test_once_at_attach),
        TEST(test_long),
        TEST(test_main_has_ended),
        TEST(test_record_has_ended),
        TEST(test_no_more_processes),
        TEST(test_rewound),
        TEST(test_gives_up),
        TEST(test_not_known),
        TEST(test_detached),
        TEST(test_wrong_use),
        TEST(test_wrong_values_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
