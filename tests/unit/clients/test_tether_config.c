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
static char path[32];

static int setup(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/retether-config-XXXXXX");
    fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static int read_bytes(const char *text, size_t size)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    memset(&options, 0, sizeof(options));
    why[0] = '\0';
    return tether_config_read(&options, path, tether_options_set, why);
}

static int read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void test_all_of_them(void **state)
{
    (void)state;
    assert_int_equal(read_text("# a VM\n"
                               "cid web1\n"
                               "  agent\ttcp:169.254.1.1:7400 \r\n"
                               "\n"
                               "   # and more\n"
                               "init\n"
                               "tty\n"
                               "cwd /a b\n"
                               "module /lib/modules/vsock.ko\n"
                               "module /lib/modules/net.ko\n"
                               "link eth0=169.254.10.2/16\n"
                               "hostname web1\n"
                               "token-file /token\n"
                               "ring 64K\n"
                               "log-level debug\n"
                               "json-log\n"
                               "command /bin/sh\n"
                               "argument -c\n"
                               "argument echo '#' two  words\n"
                               "argument"),
                     RT_OK);
    assert_string_equal(options.guest.cid, "web1");
    assert_string_equal(options.guest.agent, "tcp:169.254.1.1:7400");
    assert_string_equal(options.guest.cwd, "/a b");
    assert_true(options.init && options.guest.tty && options.json);
    assert_int_equal(options.boot.n_modules, 2);
    assert_string_equal(options.boot.modules[0], "/lib/modules/vsock.ko");
    assert_string_equal(options.boot.modules[1], "/lib/modules/net.ko");
    assert_int_equal(options.boot.n_links, 1);
    assert_string_equal(options.boot.links[0].name, "eth0");
    assert_string_equal(options.boot.hostname, "web1");
    assert_string_equal(options.token_file, "/token");
    assert_int_equal(options.guest.ring_bytes, 65536);
    assert_int_equal(options.log_level, RT_LOG_DEBUG);
    assert_int_equal(options.argc, 4);
    assert_string_equal(options.argv[0], "/bin/sh");
    assert_string_equal(options.argv[1], "-c");
    assert_string_equal(options.argv[2], "echo '#' two  words");
    assert_string_equal(options.argv[3], "");
    assert_null(options.argv[4]);
}

static void test_empty(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), RT_OK);
    assert_int_equal(read_text("\n\n \t\n#"), RT_OK);
    assert_int_equal(options.argc, 0);
}

/* Each names the file, the line, and what is wrong with it. */
static void test_rejected_lines(void **state)
{
    static const struct {
        const char *text, *place, *what;
    } bad[] = {
        {"cid a\nnonsense\n", ":2: ", "\"nonsense\" is not known"},
        {"--cid a", ":1: ", "\"--cid\" is not known"},
        {"cid=a", ":1: ", "\"cid=a\" is not known"},
        {"config /other", ":1: ", "\"config\" is not known"},
        {"help", ":1: ", "\"help\" is not known"},
        {"version", ":1: ", "\"version\" is not known"},
        {"token rtj1.x", ":1: ", "\"token\" is not known"},
        {"\n\ncid", ":3: ", "\"cid\" has no value"},
        {"link \t ", ":1: ", "\"link\" has no value"},
        {"tty yes", ":1: ", "\"tty\" takes no value"},
        {"cid a\ncid b", ":2: ", "\"cid\" stands here twice"},
        {"tty\ntty", ":2: ", "\"tty\" stands here twice"},
        {"command a\ncommand b", ":2: ", "\"command\" stands here twice"},
        {"command", ":1: ", "\"command\" names no program"},
        {"argument a\ncommand b", ":1: ", "\"argument\" stands before \"command\""},
        {"link eth0", ":1: ", "--link takes NAME=ADDRESS/PREFIX such as eth0=169.254.10.2/16, not \"eth0\""},
        {"ring 1G", ":1: ", "--ring takes bytes such as 65536, 64K or 1M, not \"1G\""},
        {"end-timeout 5", ":1: ", "--end-timeout takes a duration such as"},
        {"log-level loud", ":1: ", "--log-level takes error, warn, info or debug, not \"loud\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(read_text(bad[i].text), RT_EINVAL);
        assert_memory_equal(why, path, strlen(path));
        assert_memory_equal(why + strlen(path), bad[i].place, strlen(bad[i].place));
        assert_non_null(strstr(why, bad[i].what));
    }
}

/* The command with as many arguments as fit, and one more. */
static void test_arguments(void **state)
{
    static const char line[] = "argument a\n";
    char text[16 + (TETHER_ARGV_MAX + 1) * sizeof(line)];
    size_t used = (size_t)snprintf(text, sizeof(text), "command c\n");

    (void)state;
    for (size_t i = 1; i < TETHER_ARGV_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", line);
    }
    assert_int_equal(read_text(text), RT_OK);
    assert_int_equal(options.argc, TETHER_ARGV_MAX);
    assert_null(options.argv[TETHER_ARGV_MAX]);
    snprintf(text + used, sizeof(text) - used, "%s", line);
    assert_int_equal(read_text(text), RT_EINVAL);
    assert_non_null(strstr(why, ":129: more than 127 arguments"));
}

static void test_unreadable(void **state)
{
    static char big[TETHER_CONFIG_MAX];

    (void)state;
    memset(big, '#', sizeof(big));
    assert_int_equal(read_bytes(big, sizeof(big) - 1), RT_OK);
    assert_int_equal(read_bytes(big, sizeof(big)), RT_EINVAL);
    assert_non_null(strstr(why, "larger than 65535 bytes"));
    assert_int_equal(read_bytes("cid a\0b\n", 8), RT_EINVAL);
    assert_non_null(strstr(why, "zero byte"));
    assert_int_equal(tether_config_read(&options, "/nowhere/tether.conf", tether_options_set, why), RT_EIO);
    assert_string_equal(why, "cannot read the configuration /nowhere/tether.conf: No such file or directory");
    assert_int_equal(tether_config_read(&options, "/tmp", tether_options_set, why), RT_EIO);
    assert_string_equal(why, "cannot read the configuration /tmp: Is a directory");
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_all_of_them), CONFIG_TEST(test_empty),      CONFIG_TEST(test_rejected_lines),
        CONFIG_TEST(test_arguments),   CONFIG_TEST(test_unreadable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
