/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/store/resp.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s", more);
}

static int feed(const char *text, struct rt_resp *resp)
{
    rt_resp_init(resp);
    return rt_resp_feed(resp, text, strlen(text));
}

static void test_counts_replies(void **state)
{
    static const struct {
        const char *text;
        uint64_t replies;
    } cases[] = {
        {"+OK\r\n", 1},
        {"-ERR no\r\n:12\r\n:-3\r\n", 3},
        {"$3\r\nabc\r\n", 1},
        {"$0\r\n\r\n", 1},
        {"$-1\r\n*-1\r\n*0\r\n", 3},
        {"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", 1},
        {"*2\r\n*0\r\n", 0},
        {"$3\r\nab", 0},
        {"$4\r\n\r\n\r\n\r\n", 1}, /* the bytes of a string are not looked at */
        {"+", 0},
    };
    struct rt_resp whole, pieces;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(feed(cases[i].text, &whole), 0);
        assert_int_equal(whole.replies, cases[i].replies);
        rt_resp_init(&pieces);
        for (const char *at = cases[i].text; *at; at++) {
            assert_int_equal(rt_resp_feed(&pieces, at, 1), 0);
        }
        assert_memory_equal(&whole, &pieces, sizeof(whole));
    }
}

static void test_refuses(void **state)
{
    static const struct {
        const char *text;
        int rc;
    } cases[] = {
        {"*100000000\r\n", RT_ELIMIT},
        {"*65537\r\n", RT_ELIMIT},
        {"*2\r\n*60000\r\n", 0},
        {"*2\r\n*65535\r\n", RT_ELIMIT},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", 0},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", RT_ELIMIT},
        {"$4194305\r\n", RT_ELIMIT},
        {"$99999999999999999999\r\n", RT_EPROTO},
        {"*99999999999999999999\r\n", RT_EPROTO},
        {"$-2\r\n", RT_EPROTO},
        {"*-2\r\n", RT_EPROTO},
        {"$\r\n", RT_EPROTO},
        {":--1\r\n", RT_EPROTO},
        {":1x\r\n", RT_EPROTO},
        {":1\n", RT_EPROTO},
        {":1\r\r", RT_EPROTO},
        {"$1\r\nabc", RT_EPROTO},
        {"$1\r\na\r\r", RT_EPROTO},
        {"+a\nb\r\n", RT_EPROTO},
        {"HTTP/1.1 400 Bad Request\r\n", RT_EPROTO},
        {"%1\r\n", RT_EPROTO}, /* RESP3 */
        {"\r\n", RT_EPROTO},
    };
    struct rt_resp resp;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (feed(cases[i].text, &resp) != cases[i].rc) {
            fail_msg("case %zu: %s", i, cases[i].text);
        }
    }
}

static void test_bounds_bytes(void **state)
{
    char line[RT_RESP_LINE_MAX + 2];
    char *block = calloc(1, 65536);
    struct rt_resp resp;
    size_t fed = 0;
    int rc;

    (void)state;
    memset(line, 'x', sizeof(line));
    line[0] = '+';
    rt_resp_init(&resp);
    assert_int_equal(rt_resp_feed(&resp, line, RT_RESP_LINE_MAX + 1), 0);
    assert_int_equal(rt_resp_feed(&resp, line, 1), RT_ELIMIT);

    /* Many strings, each within its bound, in one array. */
    rt_resp_init(&resp);
    assert_int_equal(rt_resp_feed(&resp, "*60000\r\n", 8), 0);
    do {
        rc = rt_resp_feed(&resp, "$65536\r\n", 8);
        rc = rc ? rc : rt_resp_feed(&resp, block, 65536);
        rc = rc ? rc : rt_resp_feed(&resp, "\r\n", 2);
        fed += 65546;
        assert_true(fed <= RT_RESP_BYTES_MAX + (size_t)200000);
    } while (rc == 0);
    assert_int_equal(rc, RT_ELIMIT);

    /* The same as replies of their own: no bound on a connection's life. */
    rt_resp_init(&resp);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(rt_resp_feed(&resp, "$65536\r\n", 8), 0);
        assert_int_equal(rt_resp_feed(&resp, block, 65536), 0);
        assert_int_equal(rt_resp_feed(&resp, "\r\n", 2), 0);
    }
    assert_int_equal(resp.replies, 200);
    free(block);
}

/* Random bytes in the shape of replies: whenever the guard lets a text pass, hiredis finds the same number of replies
 * and no error, so the guard and the parser never disagree about where a reply ends. */
static void test_agrees_with_hiredis(void **state)
{
    static const char *const parts[] = {"*",
                                        "$",
                                        ":",
                                        "+",
                                        "-",
                                        "0",
                                        "1",
                                        "2",
                                        "-1",
                                        "\r\n",
                                        "\r\n",
                                        "\r\n",
                                        "a",
                                        "abc",
                                        "*2\r\n",
                                        "$1\r\n",
                                        "$3\r\nabc\r\n",
                                        ":7\r\n",
                                        "+OK\r\n",
                                        "\r",
                                        "\n"};
    uint64_t random = 12345;
    unsigned passed = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[128] = "";
        struct rt_resp resp;
        size_t n = (random >> 40) % 9 + 1;

        for (size_t i = 0; i < n; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            append(text, sizeof(text), parts[(random >> 33) % (sizeof(parts) / sizeof(parts[0]))]);
        }
        if (feed(text, &resp) == 0) {
            redisReader *reader = redisReaderCreate();
            void *reply = NULL;
            uint64_t replies = 0;
            int rc;

            assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
            while ((rc = redisReaderGetReply(reader, &reply)) == REDIS_OK && reply != NULL) {
                freeReplyObject(reply);
                replies++;
            }
            if (rc == REDIS_OK && replies != resp.replies) {
                fail_msg("%u replies, hiredis has %u: %s", (unsigned)resp.replies, (unsigned)replies, text);
            }
            redisReaderFree(reader);
            passed += rc == REDIS_OK && replies > 0;
        }
    }
    assert_true(passed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_replies),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_bounds_bytes),
        cmocka_unit_test(test_agrees_with_hiredis),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
