/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/record.h"
#include "clients/cli/table.h"
#include "clients/cli/tails.h"
#include "clients/cli/text.h"
#include "session/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct cli_text text;

static int teardown(void **state)
{
    (void)state;
    cli_text_free(&text);
    return 0;
}

static void test_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"},
                {1, "1 B"},
                {1023, "1023 B"},
                {1024, "1.0 KiB"},
                {1536, "1.5 KiB"},
                {10137, "9.9 KiB"},
                {10240, "10 KiB"},
                {1048063, "1023 KiB"},
                {1048064, "1.0 MiB"},
                {UINT64_C(1) << 20, "1.0 MiB"},
                {UINT64_C(256) << 20, "256 MiB"},
                {UINT64_C(1) << 30, "1.0 GiB"},
                {UINT64_C(9007199254740991), "8.0 PiB"}};
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cli_size_text(rows[i].bytes, out, sizeof(out));
        assert_string_equal(out, rows[i].text);
    }
}

static void test_ages(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "0 ms"},       {999, "999 ms"},         {1000, "1 s"},      {59999, "59 s"},
        {60000, "1 min"},  {119999, "1 min 59 s"},  {120000, "2 min"},  {3599999, "59 min 59 s"},
        {3600000, "1 h"},  {7199999, "1 h 59 min"}, {7200000, "2 h"},   {86399999, "23 h 59 min"},
        {86400000, "1 d"}, {172799999, "1 d 23 h"}, {172800000, "2 d"}, {UINT64_C(86400000) * 400 + 3599999, "400 d"}};
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cli_age_text(rows[i].ms, out, sizeof(out));
        assert_string_equal(out, rows[i].text);
    }
    assert_int_equal(cli_since(rt_wall_ms() + 60000), 0);
}

static void check_string(const char *value, const char *wants)
{
    cli_text_free(&text);
    cli_json_open(&text);
    cli_json_text(&text, "a", value);
    cli_json_close(&text);
    assert_string_equal(text.data, wants);
}

static void test_json_strings(void **state)
{
    (void)state;
    check_string("plain", "{\"a\":\"plain\"}\n");
    check_string("", "{\"a\":\"\"}\n");
    check_string("\"\\/", "{\"a\":\"\\\"\\\\/\"}\n");
    check_string("\n\t\033\177", "{\"a\":\"\\u000a\\u0009\\u001b\\u007f\"}\n");
    check_string("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa2", "{\"a\":\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa2\"}\n");
    /* lone, cut, overlong, surrogate, beyond Unicode */
    check_string("\x80", "{\"a\":\"\\ufffd\"}\n");
    check_string("\xe2\x82", "{\"a\":\"\\ufffd\\ufffd\"}\n");
    check_string("\xc0\xaf", "{\"a\":\"\\ufffd\\ufffd\"}\n");
    check_string("\xe0\x9f\xbf", "{\"a\":\"\\ufffd\\ufffd\\ufffd\"}\n");
    check_string("\xed\xa0\x80", "{\"a\":\"\\ufffd\\ufffd\\ufffd\"}\n");
    check_string("\xf4\x90\x80\x80", "{\"a\":\"\\ufffd\\ufffd\\ufffd\\ufffd\"}\n");
    check_string("\xf5x", "{\"a\":\"\\ufffdx\"}\n");
}

static void test_json_nesting(void **state)
{
    (void)state;
    cli_json_open(&text);
    cli_json_number(&text, "n", UINT64_MAX);
    cli_json_begin(&text, "list", '[');
    cli_json_text(&text, NULL, "x");
    cli_json_begin(&text, NULL, '{');
    cli_json_bool(&text, "b", true);
    cli_json_end(&text, '}');
    cli_json_end(&text, ']');
    cli_json_begin(&text, "empty", '[');
    cli_json_end(&text, ']');
    cli_json_time(&text, "never", 0);
    cli_json_time(&text, "then", 1);
    cli_json_close(&text);
    cli_json_open(&text);
    cli_json_bool(&text, "second", false);
    cli_json_close(&text);
    assert_string_equal(text.data,
                        "{\"n\":18446744073709551615,\"list\":[\"x\",{\"b\":true}],\"empty\":[],\"never\":null,"
                        "\"then\":\"1970-01-01T00:00:00.001Z\"}\n{\"second\":false}\n");
}

static void test_table(void **state)
{
    char heads[] = "NAME >COUNT END";
    struct cli_table table;

    (void)state;
    cli_table_init(&table, heads, false);
    cli_table_add(&table, CLI_GREEN, "web");
    cli_table_addf(&table, "%d", 7);
    cli_table_add(&table, CLI_PLAIN, "");
    cli_table_add(&table, CLI_PLAIN, "j\xc3\xa4ger-long");
    cli_table_addf(&table, "%d", 1234567);
    cli_table_add(&table, CLI_PLAIN, "x");
    cli_table_print(&table, &text);
    assert_string_equal(text.data, "NAME          COUNT  END\n"
                                   "web               7\n"
                                   "j\xc3\xa4ger-long  1234567  x\n");
}

static void test_table_is_harmless(void **state)
{
    char heads[] = "A B";
    struct cli_table table;

    (void)state;
    cli_table_init(&table, heads, true);
    cli_table_add(&table, CLI_RED, "\033[2Jx\n");
    cli_table_add(&table, CLI_PLAIN,
                  "\xc2\x9b"
                  "y");
    cli_table_print(&table, &text);
    assert_null(strstr(text.data, "\033[2J"));
    assert_non_null(strstr(text.data, "\033[31m?[2Jx?\033[0m"));
    assert_null(strstr(text.data, "\xc2\x9b"));
}

/* ---- records ---- */

static const struct retether_move history[] = {
    {.host = "h1", .life = 1700000000000, .epoch = 1, .at_ms = 1700000000000},
    {.host = "h2", .life = 1700000000000, .epoch = 3, .at_ms = 1700000060000},
};
static const struct retether_process processes[] = {
    {.id = 0, .base = {100, 0, 0}, .head = {1100, 7, 0}},
    {.id = 2, .exited = true, .tty = true, .code = 4, .head = {5, 0, 20}},
};
static const struct retether_holder holders[] = {
    {.id = {0xab, 0xcd}, .bound = true, .consumed = {600, 7, 0}, .applied = {12, 0}, .hold_left_ms = 29000},
    {.id = {1}, .process = 2, .observer = true, .consumed = {5, 0, 20}},
};

static struct retether_record sample(void)
{
    struct retether_record record = {.container = "web",
                                     .tenant = "local",
                                     .label = "front \"end\"",
                                     .host = "h2",
                                     .state = RETETHER_RUNNING,
                                     .life = 1700000000000,
                                     .epoch = 3,
                                     .moves = 1,
                                     .made_ms = 1699999999000,
                                     .claimed_ms = 1700000060000,
                                     .seen_ms = 1700000061000,
                                     .history = history,
                                     .n_history = 2,
                                     .processes = processes,
                                     .n_processes = 2,
                                     .attachments = holders,
                                     .n_attachments = 2};

    return record;
}

/* The schema of docs/cli.md, to the letter. */
static void test_record_json(void **state)
{
    struct retether_record record = sample();

    (void)state;
    cli_record_json(&text, &record, false);
    cli_json_close(&text);
    assert_string_equal(
        text.data, "{\"container\":\"web\",\"tenant\":\"local\",\"label\":\"front \\\"end\\\"\",\"state\":\"running\","
                   "\"host\":\"h2\",\"life\":1700000000000,\"epoch\":3,\"moves\":1,\"revoked\":false,"
                   "\"created\":\"2023-11-14T22:13:19.000Z\",\"claimed\":\"2023-11-14T22:14:20.000Z\","
                   "\"seen\":\"2023-11-14T22:14:21.000Z\",\"code\":null,\"signal\":null,\"local\":null}\n");
    cli_text_free(&text);
    cli_record_json(&text, &record, true);
    cli_json_close(&text);
    assert_non_null(strstr(text.data, "\"history\":[{\"host\":\"h1\",\"life\":1700000000000,\"epoch\":1,"
                                      "\"at\":\"2023-11-14T22:13:20.000Z\"},{\"host\":\"h2\""));
    assert_non_null(strstr(text.data, "\"processes\":[{\"process\":0,\"state\":\"running\",\"tty\":false,\"code\":null,"
                                      "\"streams\":[{\"stream\":\"stdout\",\"base\":100,\"head\":1100},"
                                      "{\"stream\":\"stderr\",\"base\":0,\"head\":7},"
                                      "{\"stream\":\"control\",\"base\":0,\"head\":0}]},"
                                      "{\"process\":2,\"state\":\"exited\",\"tty\":true,\"code\":4,"));
    assert_non_null(strstr(text.data, "\"attachments\":[{\"id\":\"abcd0000000000000000000000000000\",\"process\":0,"
                                      "\"bound\":true,\"observer\":false,\"hold_left_ms\":29000,"
                                      "\"streams\":[{\"stream\":\"stdout\",\"consumed\":600,\"lag\":500},"
                                      "{\"stream\":\"stderr\",\"consumed\":7,\"lag\":0}],\"stdin_taken\":12},"));
}

static void test_ended_record(void **state)
{
    struct retether_record record = sample();

    (void)state;
    record.state = RETETHER_STATE_ENDED;
    record.code = 9;
    cli_record_json(&text, &record, true);
    cli_json_close(&text);
    assert_non_null(strstr(text.data, "\"state\":\"ended\""));
    assert_non_null(strstr(text.data, "\"code\":9,\"signal\":null"));
    assert_non_null(strstr(text.data, "{\"process\":0,\"state\":\"exited\",\"tty\":false,\"code\":9,"));
    cli_text_free(&text);
    record.signal = 15;
    record.host[0] = record.label[0] = '\0';
    cli_record_json(&text, &record, false);
    cli_json_close(&text);
    assert_non_null(strstr(text.data, "\"code\":null,\"signal\":15,\"local\":null}"));
    assert_non_null(strstr(text.data, "\"label\":null"));
    assert_non_null(strstr(text.data, "\"host\":null"));
    cli_text_free(&text);
    cli_record_page(&text, &record, false);
    assert_non_null(strstr(text.data, "exit       SIGTERM (status 143)\n"));
}

/* Its last report is older than its end: what it says of a process that runs and an attachment that is bound is over.
 */
static void test_ended_by_a_signal(void **state)
{
    struct retether_record record = sample();

    (void)state;
    record.state = RETETHER_STATE_ENDED;
    record.signal = 2;
    cli_record_json(&text, &record, true);
    cli_json_close(&text);
    assert_non_null(strstr(text.data, "\"code\":null,\"signal\":2,"));
    assert_non_null(strstr(text.data, "{\"process\":0,\"state\":\"exited\",\"tty\":false,\"code\":130,"));
    assert_null(strstr(text.data, "\"bound\":true"));
    assert_non_null(strstr(text.data, "\"bound\":false,\"observer\":false,\"hold_left_ms\":0,"));
    cli_text_free(&text);
    cli_record_page(&text, &record, false);
    assert_non_null(strstr(text.data, "exit       SIGINT (status 130)\n"));
    assert_non_null(strstr(text.data, "\n0        exited 130  stdout"));
    assert_non_null(strstr(text.data, "abcd0000    0        holding, away   stdout       600  500 B  0 ms\n"));
}

static void test_record_pages(void **state)
{
    char heads[] = "CONTAINER STATE HOST >AGE >MOVES >EPOCH >EXIT LABEL";
    struct retether_record record = sample();
    struct cli_table table;

    (void)state;
    cli_record_page(&text, &record, false);
    assert_non_null(strstr(text.data, "state      running\n"));
    assert_non_null(strstr(text.data, "epoch      3 of life 1700000000000\n"));
    assert_non_null(strstr(text.data, "PROCESS  STATE     STREAM  BASE  HEAD    KEPT\n"
                                      "0        running   stdout   100  1100  1000 B\n"
                                      "0        running   stderr     0     7     7 B\n"
                                      "2        exited 4  stdout     0     5     5 B\n"));
    assert_non_null(strstr(text.data, "abcd0000    0        holding         stdout       600  500 B  29 s\n"));
    assert_non_null(strstr(text.data, "01000000    2        observer, away  stdout         5    0 B     -\n"));
    assert_null(strstr(text.data, "more"));
    cli_text_free(&text);
    record.processes_exited = 995;
    record.processes_more = 1;
    record.attachments_more = 3;
    cli_record_page(&text, &record, false);
    assert_non_null(
        strstr(text.data, "     5 B\nand 1 more process\nand 995 more commands, which have ended\n\nATTACHMENT"));
    assert_non_null(strstr(text.data, "     -\nand 3 more attachments\n"));
    cli_text_free(&text);
    cli_record_json(&text, &record, true);
    cli_json_close(&text);
    assert_non_null(strstr(text.data, "],\"processes_exited\":995,\"processes_more\":1,\"attachments\":["));
    assert_non_null(strstr(text.data, "],\"attachments_more\":3}"));
    cli_text_free(&text);
    cli_table_init(&table, heads, false);
    record.made_ms = rt_wall_ms() + 1000;
    cli_record_row(&table, &record);
    cli_table_print(&table, &text);
    assert_non_null(strstr(text.data, "web        running  h2    0 ms      1      3     -  front \"end\"\n"));
    cli_text_free(&text);
    cli_moves_json(&text, &record);
    assert_non_null(strstr(text.data, "{\"container\":\"web\",\"host\":\"h2\",\"life\":1700000000000,\"epoch\":3,"
                                      "\"at\":\"2023-11-14T22:14:20.000Z\"}\n"));
}

static void test_host(void **state)
{
    struct retether_host host = {.name = "h1",
                                 .version = "0.1.0",
                                 .address = {"tcp:127.0.0.1:7401", "unix:/a"},
                                 .n_addresses = 2,
                                 .sequence = 5,
                                 .age_ms = 350,
                                 .sessions = 12,
                                 .state = RETETHER_HOST_ALIVE};
    char heads[] = "HOST STATE >HEARTBEAT >SESSIONS VERSION ADDRESSES", again[sizeof(heads)];
    struct cli_table table;

    (void)state;
    memcpy(again, heads, sizeof(again));
    cli_host_json(&text, &host);
    assert_string_equal(text.data,
                        "{\"host\":\"h1\",\"state\":\"alive\",\"draining\":false,\"age_ms\":350,\"sessions\":12,"
                        "\"version\":\"0.1.0\",\"sequence\":5,\"addresses\":[\"tcp:127.0.0.1:7401\",\"unix:/a\"]}\n");
    cli_text_free(&text);
    cli_table_init(&table, heads, false);
    cli_host_row(&table, &host);
    cli_table_print(&table, &text);
    assert_non_null(strstr(text.data, "h1    alive     350 ms        12  0.1.0    tcp:127.0.0.1:7401 unix:/a\n"));
    cli_text_free(&text);
    host.sessions_untold = host.draining = true;
    cli_host_json(&text, &host);
    assert_non_null(strstr(text.data, "\"state\":\"draining\",\"draining\":true,\"age_ms\":350,\"sessions\":null,"));
    cli_text_free(&text);
    cli_table_init(&table, again, false);
    cli_host_row(&table, &host);
    cli_table_print(&table, &text);
    assert_non_null(strstr(text.data, "h1    draining     350 ms         -  0.1.0    tcp"));
}

/* ---- tails ---- */

static void test_tail_starts(void **state)
{
    static struct cli_tails tails;
    static const char lines[] = "one\ntwo\nthree\n";

    (void)state;
    memcpy(tails.data[0], lines, sizeof(lines) - 1);
    tails.size[0] = sizeof(lines) - 1;
    tails.end[0] = 100 + tails.size[0];
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_OLDEST, 0), 0);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_LINES, 0), 114);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_LINES, 1), 108);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_LINES, 2), 104);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_LINES, 3), 100);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_LINES, 99), 100);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_BYTES, 6), 108);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDOUT, RETETHER_FROM_BYTES, 600), 100);
    assert_int_equal(cli_tails_start(&tails, RETETHER_STDERR, RETETHER_FROM_LINES, 5), 0);
    assert_int_equal(cli_status(7, 0), 7);
    assert_int_equal(cli_status(0, 9), 137);
}

static struct cli_tails printed;

static void printed_is(const struct retether_run *order, size_t n, const uint64_t from[2], const char *want)
{
    int saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)}, to[2];
    char got[128];
    ssize_t size;

    assert_true(n <= CLI_RUNS_MAX);
    if (n > 0) {
        memcpy(printed.order, order, n * sizeof(order[0]));
    }
    printed.n_order = n;
    (void)fflush(NULL);
    assert_int_equal(pipe(to), 0);
    (void)dup2(to[1], STDOUT_FILENO);
    (void)dup2(to[1], STDERR_FILENO);
    assert_int_equal(cli_tails_print(&printed, from, NULL), 0);
    (void)dup2(saved[0], STDOUT_FILENO);
    (void)dup2(saved[1], STDERR_FILENO);
    close(saved[0]);
    close(saved[1]);
    close(to[1]);
    size = read(to[0], got, sizeof(got) - 1);
    close(to[0]);
    assert_true(size >= 0);
    got[size] = '\0';
    assert_string_equal(got, want);
}

/* All of it, once, whatever order an agent tells. */
static void test_tails_in_order(void **state)
{
    static const uint64_t start[2] = {0, 0}, middle[2] = {3, 4}, beyond[2] = {99, 99};
    static const struct retether_run all[] = {
        {RETETHER_STDERR, 0, 3}, {RETETHER_STDOUT, 0, 2}, {RETETHER_STDERR, 3, 5}, {RETETHER_STDOUT, 2, 6}};
    static const struct retether_run odd[] = {{RETETHER_STDERR, 90, 91}, {RETETHER_STDOUT, 5, 99},
                                              {RETETHER_CONTROL, 1, 2},  {RETETHER_STDOUT, 0, UINT64_MAX},
                                              {RETETHER_STDERR, 4, 2},   {RETETHER_STDERR, 0, 1}};

    (void)state;
    memset(&printed, 0, sizeof(printed));
    memcpy(printed.data[0], "abcdef", 6);
    memcpy(printed.data[1], "VWXYZ", 5);
    printed.size[0] = printed.end[0] = 6;
    printed.size[1] = printed.end[1] = 5;
    printed_is(NULL, 0, start, "abcdefVWXYZ");
    printed_is(all, 4, start, "VWXabYZcdef");
    printed_is(all + 1, 3, start, "VWXabYZcdef"); /* what is older comes first */
    printed_is(all + 2, 2, start, "abVWXYZcdef");
    printed_is(all + 3, 1, start, "abVWXYZcdef");
    printed_is(all, 2, start, "VWXabcdefYZ"); /* the rest all the same */
    printed_is(all, 4, middle, "Zdef");
    printed_is(all, 4, beyond, "");
    printed_is(odd, 6, start, "abcdeVWXYZf");
    printed.end[0] = 106; /* of a tail as of all of it; nothing older is known */
    printed.end[1] = 1005;
    {
        const struct retether_run tail[] = {
            {RETETHER_STDERR, 900, 1003}, {RETETHER_STDOUT, 50, 102}, {RETETHER_STDERR, 1003, 1005}};
        const uint64_t from[2] = {100, 1000};

        printed_is(tail, 3, from, "VWXabYZcdef");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ages),
        cmocka_unit_test_teardown(test_json_strings, teardown),
        cmocka_unit_test_teardown(test_json_nesting, teardown),
        cmocka_unit_test_teardown(test_table, teardown),
        cmocka_unit_test_teardown(test_table_is_harmless, teardown),
        cmocka_unit_test_teardown(test_record_json, teardown),
        cmocka_unit_test_teardown(test_ended_record, teardown),
        cmocka_unit_test_teardown(test_ended_by_a_signal, teardown),
        cmocka_unit_test_teardown(test_record_pages, teardown),
        cmocka_unit_test_teardown(test_host, teardown),
        cmocka_unit_test(test_tail_starts),
        cmocka_unit_test(test_tails_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
