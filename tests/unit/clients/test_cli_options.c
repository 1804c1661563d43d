/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/commands.h"
#include "clients/cli/detach_keys.h"

#include <signal.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct cli_options options;
static char why[CLI_WHY_MAX];
static struct cli_text printed;

static int read_args(const char *const *args)
{
    int n = 0;

    while (args[n] != NULL) {
        n++;
    }
    cli_options_close(&options);
    why[0] = '\0';
    return cli_options_read(&options, n, (char **)args, why);
}

#define READ(...) read_args((const char *const[]){"retether", __VA_ARGS__, NULL})
#define REFUSED(part, ...)                                                                                             \
    do {                                                                                                               \
        assert_int_equal(READ(__VA_ARGS__), RT_EINVAL);                                                                \
        if (strstr(why, part) == NULL) {                                                                               \
            fail_msg("\"%s\" is not in: %s", part, why);                                                               \
        }                                                                                                              \
    } while (0)

/* The option of this name that the command has. */
static const struct rt_option *option(const char *name)
{
    const struct rt_option *const *lists[] = {options.command->options, cli_common};

    for (size_t i = 0; i < 2; i++) {
        for (const struct rt_option *const *one = lists[i]; *one != NULL; one++) {
            if (strcmp((*one)->name, name) == 0) {
                return *one;
            }
        }
    }
    fail_msg("%s has no option %s", options.command->name, name);
    return NULL;
}

static bool has(const char *name)
{
    return cli_has(&options, option(name));
}

static const char *value(const char *name)
{
    return cli_value(&options, option(name));
}

/* Of one whose kind reads into a uint64_t. */
static uint64_t number(const char *name)
{
    uint64_t read = UINT64_MAX;

    assert_true(cli_read(&options, option(name), &read));
    return read;
}

/* Where the command begins. */
static struct cli_start start(void)
{
    struct cli_start from = {.from = RETETHER_FROM_NOW};

    cli_read_start(&options, &from);
    return from;
}

static struct cli_keys keys(void)
{
    struct cli_keys read = {.n = 0};

    (void)cli_read(&options, &cli_detach_keys, &read);
    return read;
}

static int setup(void **state)
{
    (void)state;
    unsetenv("RETETHER_AGENTS");
    unsetenv("RETETHER_DETACH_KEYS");
    unsetenv("RETETHER_GUEST_AGENT");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cli_options_close(&options);
    cli_text_free(&printed);
    return 0;
}

static void test_attach(void **state)
{
    (void)state;
    assert_int_equal(READ("attach", "web"), 0);
    assert_ptr_equal(options.command, &cli_attach);
    assert_string_equal(options.word[0], "web");
    assert_int_equal(options.n_given, 0);
    assert_int_equal(options.timeout_ms, 10000);
    assert_int_equal(options.n_agents, 1);
    assert_string_equal(options.agents[0], "unix:/run/retether/client.sock");
    assert_false(options.agents_given);
    assert_int_equal(READ("attach", "--no-stdin", "web", "--sig-proxy", "--hold", "0", "--timeout", "500ms",
                          "--detach-keys", "none", "--process", "2", "--agent", "unix:/a", "--agent=tcp:[::1]:2"),
                     0);
    assert_true(has("no-stdin"));
    assert_true(has("sig-proxy"));
    assert_string_equal(value("detach-keys"), "none");
    assert_int_equal(number("hold"), 0);
    assert_int_equal(options.timeout_ms, 500);
    assert_int_equal(number("process"), 2);
    assert_int_equal(options.n_agents, 2);
    assert_string_equal(options.agents[1], "tcp:[::1]:2");
    assert_true(options.agents_given);
}

static void test_starts(void **state)
{
    (void)state;
    assert_int_equal(READ("attach", "web", "--since-offset", "77"), 0);
    assert_int_equal(start().from, RETETHER_FROM_OFFSET);
    assert_int_equal(start().at[0], 77);
    assert_int_equal(start().at[1], 0);
    assert_int_equal(READ("attach", "web", "--since-offset", "77,9007199254740991"), 0);
    assert_int_equal(start().at[1], UINT64_C(9007199254740991));
    assert_int_equal(READ("attach", "web", "--since-offset", "oldest"), 0);
    assert_int_equal(start().from, RETETHER_FROM_OLDEST);
    assert_int_equal(READ("logs", "web"), 0);
    assert_int_equal(options.n_given, 0);
    assert_int_equal(READ("logs", "-fn", "20", "web"), 0);
    assert_true(has("follow"));
    assert_int_equal(start().from, RETETHER_FROM_LINES);
    assert_int_equal(start().at[0], 20);
    assert_int_equal(READ("logs", "web", "--tail-bytes", "2K"), 0);
    assert_int_equal(start().from, RETETHER_FROM_BYTES);
    assert_int_equal(start().at[0], 2048);
    REFUSED("--since-offset takes oldest", "attach", "web", "--since-offset", "-1");
    REFUSED("--since-offset takes oldest", "attach", "web", "--since-offset", "1,");
    REFUSED("--since-offset takes oldest", "attach", "web", "--since-offset", "1,2,3");
    REFUSED("--since-offset takes oldest", "attach", "web", "--since-offset", "9007199254740992");
    REFUSED("--tail takes a number", "attach", "web", "-n", "many");
}

/* What follows the command is the command's. */
static void test_commands(void **state)
{
    (void)state;
    assert_int_equal(READ("run", "-it", "--name", "web", "--", "sh", "-c", "x"), 0);
    assert_true(has("interactive"));
    assert_true(has("tty"));
    assert_string_equal(value("name"), "web");
    assert_string_equal(options.argv[0], "sh");
    assert_string_equal(options.argv[2], "x");
    assert_int_equal(READ("run", "ls", "--name", "-t"), 0);
    assert_int_equal(options.n_given, 0);
    assert_string_equal(options.argv[1], "--name");
    assert_int_equal(READ("exec", "-t", "web", "--env", "A=b", "--", "ls", "-i"), 0);
    assert_string_equal(options.word[0], "web");
    assert_false(has("interactive"));
    assert_string_equal(value("env"), "A=b");
    assert_string_equal(options.argv[1], "-i");
    assert_int_equal(READ("exec", "web", "ls", "-i"), 0);
    assert_false(has("interactive"));
    assert_string_equal(options.argv[0], "ls");
    assert_int_equal(READ("exec", "--", "web", "ls"), 0);
    assert_string_equal(options.word[0], "web");
    assert_string_equal(options.argv[0], "ls");
    REFUSED("no command to run", "run", "-i");
    REFUSED("no command to run", "exec", "web");
    REFUSED("no command to run", "exec", "--", "web");
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(read_args((const char *const[]){"retether", NULL}), RT_EINVAL);
    assert_non_null(strstr(why, "--help"));
    REFUSED("no command \"foo\"", "foo");
    REFUSED("which container", "attach");
    REFUSED("one argument too many", "show", "a", "b");
    REFUSED("one argument too many", "hosts", "a");
    REFUSED("attach has no option --follow; it is one of: logs", "attach", "--follow", "web");
    REFUSED("unknown option \"--nonsense\"", "attach", "--nonsense", "web");
    REFUSED("unknown option \"-z\"", "attach", "-z", "web");
    REFUSED("--hold needs a value", "attach", "web", "--hold");
    REFUSED("-n needs a value", "attach", "web", "-n");
    REFUSED("--no-stdin takes no value", "attach", "web", "--no-stdin=1");
    REFUSED("--hold takes a duration", "attach", "web", "--hold", "5");
    REFUSED("--ring takes bytes from 4K to 64M", "create", "web", "--ring", "big");
    REFUSED("--ring takes bytes from 4K to 64M", "create", "web", "--ring", "4095");
    REFUSED("--ring takes bytes from 4K to 64M", "run", "--ring", "65M", "ls");
    REFUSED("--env takes NAME=VALUE", "exec", "web", "--env", "A", "ls");
    REFUSED("--process takes", "attach", "web", "--process", "4294967295");
    REFUSED("--detach-keys takes", "attach", "web", "--detach-keys", "ctrl-");
    REFUSED("SIGNAL is a name such as TERM or SIGTERM, or a number, not \"NOPE\"", "signal", "web", "NOPE");
    REFUSED("which signal? (usage: retether signal [OPTION...] CID SIGNAL)", "signal", "web");
    REFUSED("--hold needs a value: --hold DURATION", "attach", "web", "--hold");
    REFUSED("unknown option \"--t\"", "attach", "--t", "web"); /* --timeout, --tail, --tail-bytes */
}

/* Options that say the same in different ways, and names that are none. */
static void test_exclusive(void **state)
{
    static char longest[300];

    (void)state;
    REFUSED("--tail and --since-offset exclude each other", "attach", "--tail", "3", "--since-offset", "4", "web");
    REFUSED("--since-offset and --tail-bytes exclude each other", "attach", "--since-offset", "now", "--tail-bytes",
            "4", "web");
    REFUSED("--tail and --tail-bytes exclude each other", "logs", "-n", "3", "--tail-bytes", "4", "web");
    assert_int_equal(READ("logs", "-n", "3", "-n", "4", "web"), 0); /* the last one counts */
    assert_int_equal(start().at[0], 4);
    REFUSED("CID is a container ID: a letter or digit, then up to 127 letters, digits, and _ . -, not \"-x\"", "create",
            "--", "-x");
    REFUSED("-, not \"\"", "show", "");
    REFUSED("--name takes a container ID: a letter", "run", "--name", "a b", "--", "true");
    assert_int_equal(READ("ls", ""), 0);
    memset(longest, 'x', 257);
    REFUSED("--label takes up to 256 bytes", "create", "--label", longest, "web");
    longest[256] = '\0';
    assert_int_equal(READ("create", "--label", longest, "web"), 0);
    REFUSED("--label takes up to 256 bytes of UTF-8, not \"", "create", "--label", "\xff", "web");
    REFUSED("--host takes the name of a host, up to 64 bytes of UTF-8", "ls", "--host", "\xff");
    REFUSED("--state takes created, running, moving, lost or ended, not \"gone\"", "ls", "--state", "gone");
    REFUSED("--state takes", "ls", "--state", "running,");
    REFUSED("--state takes", "ls", "--state", "");
    assert_int_equal(READ("ls", "--state", "running,lost,running"), 0);
    REFUSED("--sort takes id, host, state, age, moves, epoch or label", "ls", "--sort", "size");
    assert_int_equal(READ("ls", "--sort", "age"), 0);
    REFUSED("--limit takes a number from 1", "ls", "--limit", "0");
    REFUSED("PREFIX is up to 128 bytes of UTF-8", "ls", "w\xc3");
    assert_int_equal(READ("ls", "w\xc3\xa9"), 0);
    longest[128] = '\0';
    assert_int_equal(READ("show", longest), 0);
    longest[128] = 'x';
    longest[129] = '\0';
    REFUSED("CID is a container ID", "show", longest);
    assert_int_equal(READ("show", "acme/web"), 0); /* an operator's */
    REFUSED("CID is a container ID", "show", "acme/");
    REFUSED("CID is a container ID", "show", "/web");
    REFUSED("CID is a container ID", "show", "a/b/c");
    REFUSED("CID is a container ID", "create", "acme/web");
    longest[65] = '/';
    REFUSED("CID is a container ID", "show", longest);
    memmove(longest, longest + 1, sizeof(longest) - 1);
    assert_int_equal(READ("show", longest), 0);
}

static void test_help(void **state)
{
    (void)state;
    assert_int_equal(READ("--help"), 0);
    assert_int_equal(options.verb, CLI_HELP);
    assert_null(options.command);
    assert_int_equal(READ("help", "logs"), 0);
    assert_ptr_equal(options.command, &cli_logs);
    assert_int_equal(READ("attach", "-h"), 0);
    assert_int_equal(options.verb, CLI_HELP);
    assert_ptr_equal(options.command, &cli_attach);
    assert_int_equal(READ("--version"), 0);
    assert_int_equal(options.verb, CLI_VERSION);
}

static void test_agents_of_the_environment(void **state)
{
    char many[512] = "";

    (void)state;
    setenv("RETETHER_AGENTS", "unix:/a, tcp:127.0.0.1:1  unix:/c", 1);
    assert_int_equal(READ("ls"), 0);
    assert_int_equal(options.n_agents, 3);
    assert_string_equal(options.agents[1], "tcp:127.0.0.1:1");
    assert_false(options.agents_given);
    assert_int_equal(READ("ls", "--agent", "unix:/b"), 0);
    assert_int_equal(options.n_agents, 1);
    for (size_t i = 0; i <= CLI_AGENTS_MAX; i++) {
        memcpy(many + 8 * i, "unix:/x ", 9);
    }
    setenv("RETETHER_AGENTS", many, 1);
    REFUSED("at most 16 agents", "ls");
    setenv("RETETHER_AGENTS", " ", 1);
    assert_int_equal(READ("ls"), 0);
    assert_string_equal(options.agents[0], "unix:/run/retether/client.sock");
}

static void test_keys_of_the_environment(void **state)
{
    (void)state;
    setenv("RETETHER_DETACH_KEYS", "ctrl-]", 1);
    assert_int_equal(READ("attach", "web"), 0);
    assert_int_equal(keys().n, 1);
    assert_int_equal(READ("attach", "--detach-keys", "a,b", "web"), 0);
    assert_int_equal(keys().n, 2);
    setenv("RETETHER_DETACH_KEYS", "ctrl-", 1);
    REFUSED("RETETHER_DETACH_KEYS: --detach-keys takes keys such as", "attach", "web");
    assert_int_equal(READ("ls"), 0); /* none of its business */
    setenv("RETETHER_DETACH_KEYS", "", 1);
    assert_int_equal(READ("attach", "web"), 0);
    assert_false(has("detach-keys"));
}

static void test_signals(void **state)
{
    static const char *const bad[] = {"", "0", "65", "-9", "9x", "SIG", "TERMX"};
    unsigned signum;
    char name[24];

    (void)state;
    assert_int_equal(READ("signal", "web", "KILL"), 0);
    assert_string_equal(options.word[1], "KILL");
    assert_true(cli_read_signal("sigterm", &signum));
    assert_int_equal(signum, SIGTERM);
    assert_true(cli_read_signal("15", &signum));
    assert_int_equal(signum, 15);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cli_read_signal(bad[i], &signum));
    }
    cli_signal_name(SIGINT, name, sizeof(name));
    assert_string_equal(name, "SIGINT");
    cli_signal_name(60, name, sizeof(name));
    assert_string_equal(name, "signal 60");
}

/* ---- the printed command ---- */

#define WORDS_MAX 80

static char words[32768];

static const char *resume_text(uint32_t process, bool tty, uint64_t out, uint64_t err)
{
    bool attach = options.command == &cli_attach;
    const struct cli_resume from = {.container = "web",
                                    .process = process,
                                    .tty = tty,
                                    .input =
                                        attach ? !has("no-stdin") : options.command == &cli_exec && has("interactive"),
                                    .sig_proxy = attach && has("sig-proxy"),
                                    .observer = options.command == &cli_logs,
                                    .offset = {out, err}};

    cli_text_free(&printed);
    cli_resume_text(&options, &from, &printed);
    assert_false(printed.failed);
    return printed.data;
}

/* Reads the command as the shell does that it was printed for. */
static void read_printed(void)
{
    static const char lead[] = "retether() { printf '%s\\0' retether \"$@\"; }; ";
    const char *args[WORDS_MAX];
    size_t n = 0;
    size_t size;
    char *command = malloc(sizeof(lead) + printed.size);
    FILE *shell;

    assert_non_null(command);
    memcpy(command, lead, sizeof(lead));
    memcpy(command + sizeof(lead) - 1, printed.data, printed.size + 1);
    shell = popen(command, "r"); /* sh -c */
    assert_non_null(shell);
    size = fread(words, 1, sizeof(words), shell);
    assert_true(size < sizeof(words));
    assert_int_equal(pclose(shell), 0);
    free(command);
    for (const char *word = words; word < words + size; word += strlen(word) + 1) {
        assert_true(n < WORDS_MAX - 1);
        args[n++] = word;
    }
    args[n] = NULL;
    assert_int_equal(read_args(args), 0);
    assert_ptr_equal(options.command, &cli_attach);
    assert_string_equal(options.word[0], "web");
    assert_int_equal(start().from, RETETHER_FROM_OFFSET);
}

static void test_resume_command(void **state)
{
    (void)state;
    assert_int_equal(READ("attach", "web"), 0);
    assert_string_equal(resume_text(0, true, 123, 45), "retether attach web --since-offset 123");
    assert_int_equal(READ("attach", "we", "--agent", "unix:/a"), 0);
    assert_string_equal(resume_text(3, false, 123, 45),
                        "retether attach web --agent unix:/a --process 3 --since-offset 123,45");
    read_printed();
    assert_int_equal(number("process"), 3);
    assert_int_equal(start().at[0], 123);
    assert_int_equal(start().at[1], 45);
    assert_false(has("no-stdin"));
    assert_false(has("sig-proxy"));
    assert_int_equal(READ("attach", "--no-stdin", "web"), 0);
    assert_string_equal(resume_text(0, true, 123, 45), "retether attach web --no-stdin --since-offset 123");
}

/* What it was started with, it goes on with. */
static void test_resume_options(void **state)
{
    struct cli_keys typed;

    (void)state;
    assert_int_equal(READ("attach", "web", "--no-stdin", "--hold", "0", "--sig-proxy", "--timeout", "90s", "-v",
                          "--detach-keys", "',\",$,ctrl-\\,;", "--process", "7", "--tail", "3"),
                     0);
    typed = keys();
    (void)resume_text(7, false, 0, 9);
    read_printed();
    assert_true(has("no-stdin"));
    assert_true(has("sig-proxy"));
    assert_true(options.verbose);
    assert_int_equal(number("hold"), 0);
    assert_int_equal(options.timeout_ms, 90000);
    assert_int_equal(number("process"), 7);
    assert_int_equal(start().at[0], 0);
    assert_int_equal(start().at[1], 9);
    assert_int_equal(keys().n, typed.n);
    assert_memory_equal(keys().key, typed.key, typed.n);
    assert_int_equal(READ("logs", "-f", "web"), 0); /* an observer stays one */
    (void)resume_text(0, false, 5, 0);
    read_printed();
    assert_int_equal(number("hold"), 0);
    assert_true(has("no-stdin"));
    assert_int_equal(READ("exec", "-i", "--hold", "2m", "web", "--", "sh"), 0);
    (void)resume_text(4, false, 5, 0);
    read_printed();
    assert_int_equal(number("hold"), 120000);
    assert_int_equal(number("process"), 4);
    assert_false(has("no-stdin"));
}

/* As many agents as may be given, as long and as odd as they come. */
static void test_resume_agents(void **state)
{
    static char agents[CLI_AGENTS_MAX][112];
    static char first[CLI_AGENTS_MAX][112];
    const char *args[2 * CLI_AGENTS_MAX + 4] = {"retether", "attach", "web"};
    size_t n = 3;

    (void)state;
    for (unsigned i = 0; i < CLI_AGENTS_MAX; i++) {
        snprintf(agents[i], sizeof(agents[i]), "unix:/tmp/it's %u; \"$HOME\" `id` * ~ \\ \n#%060u.client", i, i);
        args[n++] = "--agent";
        args[n++] = agents[i];
    }
    memcpy(first, agents, sizeof(first));
    args[n] = NULL;
    assert_int_equal(read_args(args), 0);
    (void)resume_text(0, false, 1, 2);
    read_printed();
    assert_int_equal(options.n_agents, CLI_AGENTS_MAX);
    for (unsigned i = 0; i < CLI_AGENTS_MAX; i++) {
        assert_string_equal(options.agents[i], first[i]);
    }
    assert_int_equal(start().at[1], 2); /* the end of it is there */
}

/* What is shown does not steer the terminal. */
static void test_resume_clean(void **state)
{
    const char *const args[] = {"retether", "attach", "web", "--agent", "unix:/tmp/\033[2J\x9b\xc2\x9bx\xc3\xa4", NULL};

    (void)state;
    assert_int_equal(read_args(args), 0);
    assert_string_equal(resume_text(0, true, 1, 0),
                        "retether attach web --agent 'unix:/tmp/?[2J??x\xc3\xa4' --since-offset 1");
}

static void test_names(void **state)
{
    char name[64];
    uint8_t seed[8];

    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        memset(seed, (int)i, sizeof(seed));
        cli_random_name(seed, name, sizeof(name));
        assert_true(strlen(name) >= 10 && strlen(name) <= 20);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_help, setup, teardown),
        cmocka_unit_test_setup_teardown(test_agents_of_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_of_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_command, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_agents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_clean, setup, teardown),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
