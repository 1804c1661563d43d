/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/store/harness.h"
#include "tests/unit/migrate_store/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The connection: what it says first, as whom it comes, and what becomes of the password. */

/* What was sent is not kept: neither the password, nor as whom it came in, but for its name. */
static void test_password_is_wiped(void **state)
{
    struct rt_store_endpoint endpoint = connection_endpoint(connection_fake.endpoint);
    struct rt_redis_config config = connection_config(&endpoint, 1);

    (void)state;
    config.login_file = login_file("agent\nsecret-password\n");
    connection_start(&config);
    connection_until(&connection.n_ready, 1);
    assert_int_equal(fake_asked(&connection_fake, "AUTH agent secret-password"), 1);
    assert_true(connection.redis.out_cap > 0);
    assert_null(memmem(connection.redis.out, connection.redis.out_cap, "secret-password", 15));
    assert_string_equal(connection.redis.user, "agent");
    connection_stop();
}

/* Each greeting that is refused: what on_down is told, and that it is tried again. */
static void test_refused_greetings(void **state)
{
    static const struct {
        const char *ask, *answer;
        enum fake_then then;
        const char *why;
    } cases[] = {
        {"AUTH", "-WRONGPASS invalid username-password pair\r\n", FAKE_GO_ON,
         "AUTH: WRONGPASS invalid username-password pair; mend the file of the password: it is read at each dial"},
        {"ROLE", "-NOAUTH Authentication required.\r\n", FAKE_GO_ON, "it wants a password, and none is set for it"},
        {"AUTH", ":1\r\n", FAKE_GO_ON, "AUTH: unexpected answer"},
        {"AUTH", "", FAKE_CLOSE, "closed by the peer"},
        {"ROLE", "-LOADING wait\r\n", FAKE_GO_ON, "ROLE: LOADING wait"},
        {"ROLE", "-NOPERM no\r\n", FAKE_GO_ON, "ROLE: NOPERM no"},
        {"ROLE", "+master\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*0\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*-1\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*1\r\n:1\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
        {"ROLE", "*1\r\n$5\r\nslave\r\n", FAKE_GO_ON, "not the primary"},
        {"ROLE", "*1\r\n$8\r\nsentinel\r\n", FAKE_GO_ON, "not the primary"},
        {"ROLE", "*3\r\n$6\r\nmas", FAKE_CLOSE, "closed by the peer"},
        {"ROLE", "*3\r\n$6\r\nmas", FAKE_SILENCE, "greeting: timed out"},
        {"ROLE", "", FAKE_SILENCE, "greeting: timed out"},
        {"ROLE", "%3\r\n", FAKE_GO_ON, "not RESP"},
        {"ROLE", "$99999999999\r\n", FAKE_GO_ON, "too large"},
        {"AUTH", "+OK\r\n+OK\r\n+OK\r\n", FAKE_GO_ON, "ROLE: unexpected answer"},
    };
    struct rt_store_endpoint endpoint = connection_endpoint(connection_fake.endpoint);
    struct rt_redis_config config = connection_config(&endpoint, 1);

    (void)state;
    config.login_file = login_file("agent\nsecret\n");
    config.host = "hosta";
    config.task = "commands";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_no_rules(&connection_fake);
        fake_rule(&connection_fake, cases[i].ask, cases[i].answer, cases[i].then, 1);
        connection_start(&config);
        connection_until(&connection.n_down, 1);
        if (strstr(connection.why, cases[i].why) == NULL ||
            strncmp(connection.why, connection_fake.endpoint, strlen(connection_fake.endpoint)) != 0) {
            fail_msg("case %zu: told \"%s\"", i, connection.why);
        }
        assert_int_equal(connection.n_ready, 0);
        connection_until(&connection.n_ready, 1); /* the rule is gone: the next dial is greeted */
        assert_int_equal(connection.n_down, 1);
        assert_true(fake_asked(&connection_fake, "AUTH agent secret") > 0);
        assert_true(fake_asked(&connection_fake, "CLIENT SETNAME retetherd-hosta/commands") > 0);
        connection_stop();
    }
}

/* What the file says at each dial counts, and no more than that is needed is kept. */
static void test_login(void **state)
{
    struct rt_store_endpoint endpoint = connection_endpoint(connection_fake.endpoint);
    struct rt_redis_config config = connection_config(&endpoint, 1);
    const char *path = login_file("");

    (void)state;
    config.login_file = path;
    connection_start(&config);
    connection_until(&connection.n_down, 2); /* it does not dial without */
    assert_non_null(strstr(connection.why, path));
    assert_non_null(strstr(connection.why, "wants one line, a password"));
    assert_int_equal(connection_fake.n_connections, 0);
    (void)login_file("old secret");
    connection_until(&connection.n_ready, 1);
    assert_int_equal(fake_asked(&connection_fake, "AUTH old secret"), 1);
    (void)login_file("agent\nnew\n");
    fake_cut(&connection_fake);
    connection_until(&connection.n_ready, 2);
    assert_int_equal(fake_asked(&connection_fake, "AUTH old secret"), 1);
    assert_int_equal(fake_asked(&connection_fake, "AUTH agent new"), 1);
    assert_int_equal(connection.redis.stream->login.password[0], '\0');
    connection_stop();
    connection_start(&config);
    run_for(0);
    connection_stop(); /* while it is read */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FAKE(test_refused_greetings),
        WITH_FAKE(test_password_is_wiped),
        WITH_FAKE(test_login),
    };

    return cmocka_run_group_tests(tests, fake_group_setup, fake_group_teardown);
}
