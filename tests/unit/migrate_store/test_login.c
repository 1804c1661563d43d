/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/login.h"

#include "tests/system/store/harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The file of a login. */

static struct rt_login login;
static char why[512];

static int read_text(const char *text)
{
    why[0] = '\0';
    return rt_login_read(&login, login_file(text), why, sizeof(why));
}

static void test_forms(void **state)
{
    static const struct {
        const char *text, *user, *password;
    } good[] = {
        {"secret", "", "secret"},
        {"secret\n", "", "secret"},
        {"secret\r\n", "", "secret"},
        {" a secret: of\twords ", "", " a secret: of\twords "},
        {"agent\nsecret", "agent", "secret"},
        {"agent\nsecret\n", "agent", "secret"},
        {"agent\r\na secret\r\n", "agent", "a secret"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(read_text(good[i].text), 0);
        assert_string_equal(login.user, good[i].user);
        assert_string_equal(login.password, good[i].password);
    }
}

/* What is wrong is told, and nothing of what is in it; nothing of it is kept. */
static void test_refused(void **state)
{
    static const char *const bad[] = {"",          "\n",          "\r\n",         "\n\n",         "\nsecret",
                                      "agent\n\n", "a secret\nb", "a\nsecret\nc", "a\nsecret\n\n"};
    static const struct rt_login none;
    char longest[RT_LOGIN_USER_MAX + RT_LOGIN_PASSWORD_MAX + 8] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_text(bad[i]), RT_ECONFIG);
        assert_non_null(strstr(why, "wants one line, a password, or two"));
        assert_null(strstr(why, "secret"));
        assert_memory_equal(&login, &none, sizeof(none));
    }
    memset(longest, 'x', RT_LOGIN_PASSWORD_MAX);
    assert_int_equal(read_text(longest), 0);
    longest[RT_LOGIN_PASSWORD_MAX] = 'x';
    assert_int_equal(read_text(longest), RT_ECONFIG);
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(read_text(longest), RT_ECONFIG);
    longest[RT_LOGIN_USER_MAX] = '\n';
    longest[RT_LOGIN_USER_MAX + 1 + RT_LOGIN_PASSWORD_MAX] = '\0';
    assert_int_equal(read_text(longest), 0);
    longest[RT_LOGIN_USER_MAX] = 'x';
    longest[RT_LOGIN_USER_MAX + 1] = '\n';
    assert_int_equal(read_text(longest), RT_ECONFIG);
    assert_int_equal(rt_login_read(&login, "/nonexistent/login", why, sizeof(why)), RT_ENOTFOUND);
    assert_non_null(strstr(why, "/nonexistent/login"));
}

/* A group may read it, as a service manager hands it over; others may not. */
static void test_modes(void **state)
{
    const char *path = login_file("secret");

    (void)state;
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(read_text("secret"), 0);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(read_text("secret"), RT_EAUTH);
    assert_non_null(strstr(why, "chmod 600, and change the password"));
    assert_int_equal(chmod(path, 0600), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_modes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
