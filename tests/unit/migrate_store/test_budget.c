/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/fake.h"

#include <string.h>

/* The budget of tails: what is asked after an end that has some, and what comes of answers that should not be. */

#define COUNT "FCALL tails_count 2 rt:{host/hosta}:tails rt:{host/hosta}:sizes"
#define COUNT_B "FCALL tails_count 2 rt:{host/hostb}:tails rt:{host/hostb}:sizes"
#define COUNTED "*2\r\n:900\r\n:5\r\n"
#define NOTHING "*2\r\n:0\r\n:0\r\n"
#define VICTIM "*4\r\n:900\r\n:5\r\n$5\r\nt/old\r\n$1\r\n3\r\n"
#define WITHIN "*2\r\n:900\r\n$5\r\nhosta\r\n"
#define OVER_B "*2\r\n:1000\r\n$5\r\nhostb\r\n"

static struct fake fake;
static struct agent *agent;

static bool has_swept(struct agent *a)
{
    return a->store.tails.sweep == RT_TAILS_IDLE && a->store.tails.cutting == 0;
}

static void usual(void)
{
    fake_no_rules(&fake);
    fake_rule(&fake, "FCALL end", "*4\r\n:0\r\n:7\r\n:1\r\n$5\r\nhosta\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "ROLE", "*3\r\n$6\r\nmaster\r\n:9\r\n*0\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, COUNT, COUNTED, FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL tails_total", WITHIN, FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL tails_cut", ":1\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL tails_uncount", ":1\r\n", FAKE_GO_ON, 0);
}

static int setup(void **state)
{
    struct rt_store_config config;

    (void)state;
    fake_start(&fake);
    agent_config(&config, fake.endpoint, "hosta");
    config.tails_host = 700;
    config.tails_all = 950;
    agent = agent_new(&config);
    assert_true(run_until(is_up, agent, 10000));
    usual();
    fake_forget(&fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(agent);
    fake_stop(&fake);
    return 0;
}

static void end(const char *tail)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

    op.tail[1] = rt_slice_text(tail);
    assert_int_equal(submit(agent, &op), 0);
    assert_int_equal(agent->reply.how, RT_END_STORED);
    assert_true(run_until(has_swept, agent, 10000));
}

static void test_counted(void **state)
{
    (void)state;
    end("");
    assert_int_equal(fake_asked(&fake, "FCALL tails"), 0);
    end("hello");
    assert_int_equal(fake_asked(&fake, COUNT " 700 0 t/box 517 7"), 1); /* before it is written */
    assert_true(strstr(fake.asked, "t/box 517 7") < strstr(strstr(fake.asked, "t/box 517 7"), "FCALL end"));
    assert_int_equal(fake_asked(&fake, COUNT " 700 0  0 0"), 1);
    assert_int_equal(fake_asked(&fake, "FCALL tails_total 2 rt:{tails}:sums rt:{tails}:oldest hosta 900 5"), 1);
    assert_int_equal(fake_asked(&fake, "FCALL tails_cut"), 0);
}

/* First ours, then whose is the oldest of all. */
static void test_given_up(void **state)
{
    (void)state;
    fake_rule(&fake, COUNT " 700 0  0 0", VICTIM, FAKE_GO_ON, 2);
    fake_rule(&fake, "FCALL tails_total", OVER_B, FAKE_GO_ON, 2);
    fake_rule(&fake, COUNT_B, NOTHING, FAKE_GO_ON, 0);
    fake_rule(&fake, COUNT_B " 700 50  0 0", VICTIM, FAKE_GO_ON, 1);
    end("hello");
    assert_int_equal(fake_asked(&fake, "FCALL tails_cut 2 rt:{t/old}:r rt:{t/old}:t 3"), 3);
    assert_int_equal(fake_asked(&fake, "FCALL tails_uncount 2 rt:{host/hosta}:tails rt:{host/hosta}:sizes t/old"), 2);
    assert_int_equal(fake_asked(&fake, "FCALL tails_uncount 2 rt:{host/hostb}:tails rt:{host/hostb}:sizes t/old"), 1);
    assert_int_equal(fake_asked(&fake, "rt:{tails}:oldest hostb 0 0"), 2);
    /* After the second time it is over again, and that host has nothing to give. */
    assert_int_equal(fake_asked(&fake, COUNT_B " 700 50  0 0"), 2);
}

/* Whatever comes: it ends, the end itself is stored, and the next one has its sweep. */
static void test_senseless_answers(void **state)
{
    static const char *const asked[] = {(COUNT " 700 0  0 0"), "t/box 517 7", "FCALL tails_cut", "FCALL tails_uncount",
                                        "FCALL tails_total"};
    static const char *const wrong[] = {
        "-ERR no\r\n",
        "-ERR Function not found\r\n",
        "-OOM no\r\n",
        ":-1\r\n",
        "+OK\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*2\r\n:-1\r\n:5\r\n",
        "*2\r\n$1\r\n1\r\n:5\r\n",
        "*2\r\n:99999999\r\n:5\r\n",
        "*2\r\n:99999999\r\n$0\r\n\r\n",
        "*4\r\n:900\r\n:5\r\n:1\r\n:3\r\n",
        "*4\r\n:900\r\n:5\r\n$3\r\nold\r\n$1\r\n3\r\n",
        "*3\r\n:900\r\n:5\r\n$5\r\nt/old\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            if (strstr(wrong[j], "Function") != NULL && strstr(asked[i], "t/box") != NULL) {
                continue; /* counted later, as below */
            }
            usual();
            fake_rule(&fake, COUNT " 700 0  0 0", VICTIM, FAKE_GO_ON, 1);
            fake_rule(&fake, asked[i], wrong[j], FAKE_GO_ON, 1);
            end("hello");
            usual();
            fake_forget(&fake);
            end("hello");
            assert_int_equal(fake_asked(&fake, "FCALL tails_total"), 1);
        }
    }
    assert_true(is_up(agent));
}

/* An end that could not be counted now is not written: it would not be given up for days. */
static void test_uncounted(void **state)
{
    static const char *const refused[] = {"-NOREPLICAS Not enough good replicas to write.\r\n",
                                          "-NOPERM this user has no permissions to access one of the keys\r\n",
                                          "-ERR Function not found\r\n"};
    struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

    (void)state;
    op.tail[1] = rt_slice_text("hello");
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        bool is_missing = strstr(refused[i], "Function") != NULL;

        /* Functions are loaded, and the same asked once more, before it is refused. */
        fake_rule(&fake, "t/box 517 7", refused[i], FAKE_GO_ON, is_missing ? 2 : 1);
        assert_int_equal(submit(agent, &op), RT_EUNAVAIL);
    }
    assert_int_equal(fake_asked(&fake, "FUNCTION LOAD"), 1);
    fake_rule(&fake, "t/box 517 7", "", FAKE_SILENCE, 1);
    assert_int_equal(submit(agent, &op), RT_ETIMEDOUT);
    assert_int_equal(fake_asked(&fake, "FCALL end"), 0);
}

/* It is the server's keys that are placed, whatever a host is called. */
static void test_odd_name(void **state)
{
    struct rt_store_config config;
    struct agent *odd;

    (void)state;
    agent_config(&config, fake.endpoint, "}x{y}");
    odd = agent_new(&config);
    assert_true(run_until(is_up, odd, 10000));
    fake_rule(&fake, "FCALL tails_count 2 rt:{host/}x{y}}:tails rt:{host/}x{y}}:sizes", COUNTED, FAKE_GO_ON, 0);
    {
        struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

        op.tail[1] = rt_slice_text("hello");
        assert_int_equal(submit(odd, &op), 0);
    }
    assert_true(run_until(has_swept, odd, 10000));
    agent_stop(odd);
}

/* A server that has always more to give up is not asked for ever. */
static void test_endless(void **state)
{
    (void)state;
    fake_rule(&fake, COUNT " 700 0  0 0", VICTIM, FAKE_GO_ON, 0);
    end("hello");
    assert_in_range(fake_asked(&fake, "FCALL tails_cut"), 10, 1000);
    fake_rule(&fake, COUNT " 700 0  0 0", COUNTED, FAKE_GO_ON, 0);
    fake_rule(&fake, "FCALL tails_total", "*2\r\n:1000\r\n$5\r\nhosta\r\n", FAKE_GO_ON, 0);
    fake_rule(&fake, COUNT " 700 50  0 0", VICTIM, FAKE_GO_ON, 0);
    fake_forget(&fake);
    end("hello");
    assert_in_range(fake_asked(&fake, "FCALL tails_cut"), 10, 1000);
}

/* The connection is lost in the middle; it stops in the middle. */
static void test_lost(void **state)
{
    (void)state;
    fake_rule(&fake, COUNT " 700 0  0 0", VICTIM, FAKE_GO_ON, 1);
    fake_rule(&fake, "FCALL tails_cut", ":1\r\n", FAKE_CLOSE, 1);
    fake_rule(&fake, "FCALL tails_uncount", "", FAKE_SILENCE, 1);
    end("hello");
    assert_true(run_until(is_up, agent, 10000));
    usual();
    fake_rule(&fake, COUNT " 700 0  0 0", VICTIM, FAKE_GO_ON, 1);
    fake_rule(&fake, "FCALL tails_cut", "", FAKE_SILENCE, 1);
    {
        struct rt_store_op op = {.kind = RT_STORE_END, .key = key_of("t", "box"), .life = 7, .epoch = 1};

        op.tail[0] = rt_slice_text("hello");
        assert_int_equal(submit(agent, &op), 0);
    }
    run_for(20);
    assert_int_equal(agent->store.tails.cutting, 1);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(test_counted),   WITH_AGENT(test_given_up), WITH_AGENT(test_senseless_answers),
        WITH_AGENT(test_uncounted), WITH_AGENT(test_odd_name), WITH_AGENT(test_endless),
        WITH_AGENT(test_lost),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
