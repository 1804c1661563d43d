/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/tether/options.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The options of a machine's first process. */

static struct tether_options options;
static char why[TETHER_WHY_MAX];

static int read_args(bool pid_1, const char *const *args)
{
    int n = 0;

    while (args[n] != NULL) {
        n++;
    }
    why[0] = '\0';
    return tether_options_read(&options, n, (char **)(uintptr_t)args, pid_1, why);
}

#define READ(...) read_args(true, (const char *const[]){"tether", __VA_ARGS__, NULL})
#define READ_AS_CHILD(...) read_args(false, (const char *const[]){"tether", __VA_ARGS__, NULL})

static int setup(void **state)
{
    (void)state;
    unsetenv("RETETHER_CID");
    unsetenv("RETETHER_TOKEN_FILE");
    return setenv("RETETHER_TOKEN", "rtj1.Zm9v", 1);
}

static void test_links(void **state)
{
    static const char *const bad[] = {
        "",
        "eth0",
        "eth0=",
        "eth0=10.0.0.1",
        "eth0=10.0.0.1/",
        "eth0=10.0.0.1/0",
        "eth0=10.0.0.1/33",
        "eth0=10.0.0.1/8x",
        "eth0=10.0.0.1/-1",
        "eth0=10.0.0/8",
        "eth0=10.0.0.256/8",
        "eth0=fe80::1/64",
        "eth0=100.100.100.1000/8",
        "=10.0.0.1/8",
        "eth 0=10.0.0.1/8",
        "eth/0=10.0.0.1/8",
        "a234567890123456=10.0.0.1/8", /* 16 bytes: no interface has such a name */
    };
    struct tether_link link;

    (void)state;
    assert_true(tether_read_link("eth0=169.254.10.2/16", &link));
    assert_string_equal(link.name, "eth0");
    assert_int_equal(ntohl(link.address.s_addr), 0xa9fe0a02);
    assert_int_equal(ntohl(link.mask.s_addr), 0xffff0000);
    assert_true(tether_read_link("a23456789012345=10.0.0.1/32", &link));
    assert_int_equal(ntohl(link.mask.s_addr), 0xffffffff);
    assert_true(tether_read_link("a=10.0.0.1/1", &link));
    assert_int_equal(ntohl(link.mask.s_addr), 0x80000000);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tether_read_link(bad[i], &link));
    }
}

static void test_all_of_them(void **state)
{
    (void)state;
    assert_int_equal(READ("--init", "--cid", "c", "--module", "/b.ko", "--module", "/a.ko", "--link", "eth0=10.0.0.1/8",
                          "--link", "eth1=10.0.0.2/8", "--hostname", "h", "--", "cmd", "--init"),
                     RT_OK);
    assert_true(options.init);
    assert_int_equal(options.boot.n_modules, 2);
    assert_string_equal(options.boot.modules[0], "/b.ko");
    assert_string_equal(options.boot.modules[1], "/a.ko");
    assert_int_equal(options.boot.n_links, 2);
    assert_string_equal(options.boot.links[1].name, "eth1");
    assert_string_equal(options.boot.hostname, "h");
    assert_string_equal(options.guest.argv[0], "cmd");
}

static void test_only_as_process_1(void **state)
{
    (void)state;
    assert_int_equal(READ_AS_CHILD("--init", "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "process 1"));
    assert_false(options.init); /* it may exit */
    assert_int_equal(READ_AS_CHILD("--cid", "c", "cmd", "--init"), RT_OK);
    assert_false(options.init);
}

/* In a container of another kind, process 1 is the init of nothing. */
static void test_process_1_alone_is_no_init(void **state)
{
    (void)state;
    assert_int_equal(READ("--cid", "c", "cmd"), RT_OK);
    assert_false(options.init);
    setup(state);
    setenv("RETETHER_CID", "c", 1);
    assert_int_equal(READ("cmd", "--init"), RT_OK);
    assert_false(options.init);
    setup(state);
    setenv("RETETHER_CID", "c", 1);
    assert_int_equal(READ("cmd"), RT_OK);
    assert_false(options.init);
}

/* A failure does not hide that it must not exit. */
static void test_init_is_known_in_failure(void **state)
{
    (void)state;
    assert_int_equal(READ("--nonsense", "--cid", "c", "--init", "cmd"), RT_EINVAL);
    assert_true(options.init);
    assert_non_null(strstr(why, "unknown option"));
    assert_int_equal(READ("--ring", "1G", "--link", "x", "--init"), RT_EINVAL);
    assert_true(options.init);
    assert_non_null(strstr(why, "\"1G\""));
    assert_int_equal(READ("--config", "/nowhere", "--init", "--cid", "c", "cmd"), RT_EIO);
    assert_true(options.init);
    assert_int_equal(READ("--help", "--init"), RT_EINVAL);
    assert_true(options.init);
    unsetenv("RETETHER_TOKEN");
    assert_int_equal(READ("--init", "--token-file", "/nowhere", "--cid", "c", "cmd"), RT_EIO);
    assert_true(options.init);
}

static void test_started_by_a_kernel(void **state)
{
    int wanted = access(TETHER_CONFIG_FILE, F_OK) == 0 ? RT_OK : RT_EIO;

    (void)state;
    if (wanted == RT_OK) {
        print_message("skipped: this machine has a " TETHER_CONFIG_FILE "\n");
        skip();
    }
    assert_int_equal(read_args(true, (const char *const[]){"/init", NULL}), wanted);
    assert_true(options.init);
    assert_non_null(strstr(why, TETHER_CONFIG_FILE));
    assert_int_equal(read_args(true, (const char *const[]){NULL}), wanted);
    assert_true(options.init);
    assert_int_equal(READ("nokaslr", "splash"), wanted); /* what the kernel did not know */
    assert_true(options.init);
    setenv("RETETHER_CID", "c", 1);
    assert_int_equal(read_args(true, (const char *const[]){"/init", NULL}), wanted);
    assert_true(options.init);
    assert_int_equal(read_args(false, (const char *const[]){"tether", NULL}), RT_EINVAL);
    assert_false(options.init);
}

static void test_refused(void **state)
{
    static const char name[] = "12345678901234567890123456789012345678901234567890123456789012345"; /* 65 */

    (void)state;
    assert_int_equal(READ("--module", "/a.ko", "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "--init only"));
    assert_int_equal(READ("--link", "a=10.0.0.1/8", "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "--init only"));
    assert_int_equal(READ("--hostname", "a", "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "--init only"));
    assert_int_equal(READ("--init", "--hostname", "", "--cid", "c", "cmd"), RT_EINVAL);
    assert_int_equal(READ("--init", "--hostname", name, "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "1 to 64 bytes"));
    assert_int_equal(READ("--init", "--hostname", name + 1, "--cid", "c", "cmd"), RT_OK);
    assert_int_equal(READ("--init", "--cid", "c"), RT_EINVAL);
    assert_non_null(strstr(why, "no command"));
    assert_int_equal(READ("--init", "--link"), RT_EINVAL);
    assert_int_equal(READ("--init", "--link", "eth0", "--cid", "c", "cmd"), RT_EINVAL);
    assert_non_null(strstr(why, "eth0=169.254.10.2/16"));
}

static void test_limits(void **state)
{
    const char *args[2 * TETHER_MODULES_MAX + 8] = {"tether", "--init", "--cid", "c"};
    size_t n = 4;

    (void)state;
    for (size_t i = 0; i < TETHER_MODULES_MAX; i++) {
        args[n++] = "--module";
        args[n++] = "/m.ko";
    }
    args[n] = "cmd";
    assert_int_equal(read_args(true, args), RT_OK);
    args[n++] = "--module";
    args[n++] = "/m.ko";
    args[n] = "cmd";
    assert_int_equal(read_args(true, args), RT_EINVAL);
    assert_string_equal(why, "--module is given more than 64 times");
    memset(args + 4, 0, sizeof(args) - 4 * sizeof(args[0]));
    n = 4;
    for (size_t i = 0; i <= TETHER_LINKS_MAX; i++) {
        args[n++] = "--link";
        args[n++] = "eth0=10.0.0.1/8";
    }
    args[n] = "cmd";
    assert_int_equal(read_args(true, args), RT_EINVAL);
    assert_string_equal(why, "--link is given more than 8 times");
}

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* What stands later wins, and a command of the command line that of the file. */
static void test_config_and_command_line(void **state)
{
    char path[] = "/tmp/retether-boot-XXXXXX";

    write_file(path, "cid file\nmodule /f.ko\nhostname file\ninit\ncommand /file\nargument a\n");
    assert_int_equal(READ("--module", "/first.ko", "--config", path, "--hostname", "line"), RT_OK);
    assert_true(options.init);
    assert_string_equal(options.guest.cid, "file");
    assert_string_equal(options.boot.hostname, "line");
    assert_string_equal(options.boot.modules[0], "/first.ko");
    assert_string_equal(options.boot.modules[1], "/f.ko");
    assert_string_equal(options.guest.argv[0], "/file");
    assert_string_equal(options.guest.argv[1], "a");
    assert_null(options.guest.argv[2]);
    setup(state);
    assert_int_equal(READ("--cid", "line", "--config", path, "--", "/line"), RT_OK);
    assert_string_equal(options.guest.cid, "file");
    assert_string_equal(options.guest.argv[0], "/line");
    assert_null(options.guest.argv[1]);
    setup(state);
    assert_int_equal(READ("--config", path, "--config", path), RT_EINVAL);
    assert_non_null(strstr(why, "--config is given more than once"));
    unlink(path);
}

/* --token-file, RETETHER_TOKEN_FILE, RETETHER_TOKEN: the first of them that is there; none stays in the environment. */
static void test_token_order(void **state)
{
    char named[] = "/tmp/retether-boot-XXXXXX";
    char given[] = "/tmp/retether-boot-XXXXXX";

    (void)state;
    write_file(named, "rtj1.bmFtZWQ\n");
    write_file(given, "rtj1.Z2l2ZW4\n");
    setenv("RETETHER_TOKEN_FILE", named, 1);
    assert_int_equal(READ("--init", "--token-file", given, "--cid", "c", "cmd"), RT_OK);
    assert_string_equal(options.token, "rtj1.Z2l2ZW4\n");
    assert_null(getenv("RETETHER_TOKEN"));
    assert_null(getenv("RETETHER_TOKEN_FILE"));
    setup(&(void *){NULL});
    setenv("RETETHER_TOKEN_FILE", named, 1);
    assert_int_equal(READ("--init", "--cid", "c", "cmd"), RT_OK);
    assert_string_equal(options.token, "rtj1.bmFtZWQ\n");
    if (access(TETHER_TOKEN_FILE, F_OK) != 0) {
        assert_int_equal(READ("--init", "--cid", "c", "cmd"), RT_EIO);
        assert_non_null(strstr(why, TETHER_TOKEN_FILE));
    }
    unlink(named);
    unlink(given);
}

#define BOOT_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOOT_TEST(test_links),
        BOOT_TEST(test_all_of_them),
        BOOT_TEST(test_only_as_process_1),
        BOOT_TEST(test_process_1_alone_is_no_init),
        BOOT_TEST(test_init_is_known_in_failure),
        BOOT_TEST(test_started_by_a_kernel),
        BOOT_TEST(test_refused),
        BOOT_TEST(test_limits),
        BOOT_TEST(test_config_and_command_line),
        BOOT_TEST(test_token_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
