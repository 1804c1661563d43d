/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tether_options options;
static char why[TETHER_WHY_MAX];

static int read_args(const char *const *args)
{
    int n = 0;

    while (args[n] != NULL) {
        n++;
    }
    why[0] = '\0';
    return tether_options_read(&options, n, (char **)args, false, why);
}

#define READ(...) read_args((const char *const[]){"tether", __VA_ARGS__, NULL})

static int setup(void **state)
{
    (void)state;
    unsetenv("RETETHER_CID");
    unsetenv("RETETHER_TOKEN_FILE");
    return setenv("RETETHER_TOKEN", "rtj1.Zm9v", 1);
}

static void test_all_of_them(void **state)
{
    (void)state;
    assert_int_equal(READ("--cid", "c", "--agent", "unix:/s", "--tty", "--tty-size", "3x4", "--cwd", "/d", "--ring",
                          "8K", "--first-hold", "1s", "--drain-timeout", "2s", "--outage-hold", "3s", "--end-timeout",
                          "4s", "--log-level", "debug", "--json-log", "--", "cmd", "--tty"),
                     RT_OK);
    assert_string_equal(options.guest.cid, "c");
    assert_string_equal(options.guest.agent, "unix:/s");
    assert_string_equal(options.guest.cwd, "/d");
    assert_true(options.guest.tty);
    assert_int_equal(options.guest.rows, 3);
    assert_int_equal(options.guest.cols, 4);
    assert_int_equal(options.guest.ring_bytes, 8192);
    assert_int_equal(options.guest.first_hold_ms, 1000);
    assert_int_equal(options.guest.drain_timeout_ms, 2000);
    assert_int_equal(options.guest.outage_hold_ms, 3000);
    assert_int_equal(options.guest.end_timeout_ms, 4000);
    assert_int_equal(options.log_level, RT_LOG_DEBUG);
    assert_true(options.json);
    assert_string_equal(options.guest.argv[0], "cmd");
    assert_string_equal(options.guest.argv[1], "--tty");
    assert_null(options.guest.argv[2]);
}

/* What follows the command is the command's, also without "--". */
static void test_command_keeps_its_options(void **state)
{
    (void)state;
    assert_int_equal(READ("--cid", "c", "ls", "--tty", "--version"), RT_OK);
    assert_false(options.guest.tty);
    assert_false(options.version);
    assert_string_equal(options.guest.argv[2], "--version");
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(READ("--cid", "c"), RT_EINVAL);
    assert_non_null(strstr(why, "no command"));
    assert_int_equal(READ("cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "RETETHER_CID"));
    assert_int_equal(READ("--nonsense", "--cid", "c", "cmd"), RT_EINVAL);
    assert_string_equal(why, "unknown option \"--nonsense\"; see tether --help");
    assert_int_equal(READ("--cid"), RT_EINVAL);
    assert_string_equal(why, "--cid needs a value: --cid CID");
    assert_int_equal(READ("--tty=1", "--ring", "x"), RT_EINVAL);
    assert_string_equal(why, "--tty takes no value"); /* the first of them */
    assert_int_equal(READ("--tty-size", "0x80"), RT_EINVAL);
    assert_string_equal(why, "--tty-size takes rows and columns such as 24x80, not \"0x80\"");
    assert_int_equal(READ("--hostname", ""), RT_EINVAL);
    assert_string_equal(why, "--hostname takes 1 to 64 bytes, not \"\"");
    assert_int_equal(READ("--log-level", "loud", "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "loud"));
}

static void test_container_from_the_environment(void **state)
{
    (void)state;
    setenv("RETETHER_CID", "from-env", 1);
    assert_int_equal(READ("cmd"), RT_OK);
    assert_string_equal(options.guest.cid, "from-env");
    assert_int_equal(READ("--cid", "other", "--", "cmd"), RT_EINVAL); /* the token was taken by the first reading */
    assert_string_equal(options.guest.cid, "other");
}

static void test_token_is_taken(void **state)
{
    const char *before = getenv("RETETHER_TOKEN");

    (void)state;
    if (before == NULL) {
        fail_msg("no token was set");
        return;
    }
    assert_int_equal(READ("--cid", "c", "cmd"), RT_OK);
    assert_string_equal(options.token, "rtj1.Zm9v");
    assert_null(getenv("RETETHER_TOKEN"));
    assert_int_equal(before[0], '\0'); /* the bytes too */
    assert_int_equal(READ("--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "RETETHER_TOKEN_FILE"));
}

static void test_token_file(void **state)
{
    char path[] = "/tmp/retether-options-XXXXXX";
    static const char big[TETHER_TOKEN_TEXT_MAX] = {1};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "rtj1.YmFy\n", 10), 10);
    setenv("RETETHER_TOKEN_FILE", path, 1);
    assert_int_equal(READ("--cid", "c", "cmd"), RT_OK);
    assert_string_equal(options.token, "rtj1.YmFy\n");
    assert_null(getenv("RETETHER_TOKEN_FILE"));
    assert_null(getenv("RETETHER_TOKEN"));
    assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
    setenv("RETETHER_TOKEN_FILE", path, 1);
    assert_int_equal(READ("--cid", "c", "cmd"), RT_EINVAL);
    close(fd);
    unlink(path);
    setenv("RETETHER_TOKEN_FILE", path, 1);
    assert_int_equal(READ("--cid", "c", "cmd"), RT_EIO);
    assert_non_null(strstr(why, path));
}

static void test_help_needs_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(READ("--help"), RT_OK);
    assert_true(options.help);
    assert_int_equal(READ("--version"), RT_OK);
    assert_true(options.version);
}

/* The help fits a terminal, and docs/cli.md has each option that it names. */
static void test_documented(void **state)
{
    static char text[8192];
    static char docs[1 << 17];
    struct rt_help help = {text, sizeof(text), 0};
    FILE *file = fopen("docs/cli.md", "re");
    const char *section, *end;
    size_t n = 0;

    (void)state;
    assert_non_null(file);
    assert_true(fread(docs, 1, sizeof(docs) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    section = strstr(docs, "\n## tether\n");
    assert_non_null(section);
    end = strstr(section + 1, "\n## ");
    tether_help(&help);
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char name[64];
        const char *row;

        assert_true(strcspn(line, "\n") <= RT_HELP_COLUMNS);
        if (strncmp(line, "  --", 4) == 0) {
            snprintf(name, sizeof(name), "`%.*s", (int)strcspn(line + 2, " \n"), line + 2);
            row = strstr(section, name);
            n++;
            if (strcmp(name, "`--help") != 0 && strcmp(name, "`--version") != 0 && (row == NULL || row > end)) {
                fail_msg("docs/cli.md does not name %s` of tether", name);
            }
        }
    }
    assert_int_equal(n, 20);
}

#define OPTIONS_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPTIONS_TEST(test_all_of_them),
        OPTIONS_TEST(test_command_keeps_its_options),
        OPTIONS_TEST(test_refused),
        OPTIONS_TEST(test_container_from_the_environment),
        OPTIONS_TEST(test_token_is_taken),
        OPTIONS_TEST(test_token_file),
        OPTIONS_TEST(test_help_needs_nothing_else),
        OPTIONS_TEST(test_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
