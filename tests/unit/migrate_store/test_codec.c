/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/store/codec.h"

#include "session/core/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Replies as a hostile or broken store might give them. */

static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s", more);
}

static redisReply *parse(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;

    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static int outcome(const char *text, struct rt_claim_outcome *out, char *set)
{
    redisReply *reply = parse(text);
    int rc = rt_store_parse_outcome(reply, out, set);

    freeReplyObject(reply);
    return rc;
}

static void test_outcomes(void **state)
{
    struct rt_claim_outcome out;
    char set[RT_HOST_MAX + 1];

    (void)state;
    assert_int_equal(outcome("*8\r\n:0\r\n:1\r\n:7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n", &out, set), 0);
    assert_int_equal(out.verdict, RT_CLASS_OK);
    assert_true(out.draining && out.moved);
    assert_int_equal(out.life, 7);
    assert_string_equal(out.host, "a");
    assert_string_equal(set, "b");
    /* too short, negative, unknown verdict, 2^53, wrong type, a NUL in the host */
    assert_int_equal(outcome("*7\r\n:0\r\n:1\r\n:7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n", &out, set), RT_EPROTO);
    assert_int_equal(outcome("*8\r\n:0\r\n:1\r\n:-7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n", &out, set), RT_EPROTO);
    assert_int_equal(outcome("*8\r\n:99\r\n:1\r\n:7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n", &out, set), RT_EPROTO);
    assert_int_equal(
        outcome("*8\r\n:0\r\n:1\r\n:9007199254740992\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n", &out, set),
        RT_EPROTO);
    assert_int_equal(outcome("*8\r\n:0\r\n:1\r\n$1\r\n7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$0\r\n\r\n", &out, set),
                     RT_EPROTO);
    assert_int_equal(outcome("+OK\r\n", &out, set), RT_EPROTO);
    assert_int_equal(outcome("*-1\r\n", &out, set), RT_EPROTO);
}

static int past(const char *text, struct rt_slice *out, size_t *size)
{
    redisReply *reply = parse(text);
    int rc = rt_store_parse_past(reply, out);

    *size = rc ? 0 : out->size;
    freeReplyObject(reply);
    return rc;
}

/* It points into the reply; its text is nobody's business but its length. */
static void test_past(void **state)
{
    char text[RT_PAST_MAX + 200];
    struct rt_slice out;
    size_t size;

    (void)state;
    for (size_t length = 0; length <= RT_PAST_MAX + 1; length += length == 0 ? RT_PAST_MAX : 1) {
        snprintf(text, sizeof(text), "*9\r\n:0\r\n:1\r\n:7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n$%zu\r\n%.*d\r\n",
                 length, (int)length, 0);
        if (length == 0) {
            snprintf(strstr(text, "$0"), 8, "$0\r\n\r\n");
        }
        assert_int_equal(past(text, &out, &size), length <= RT_PAST_MAX ? 0 : RT_EPROTO);
        assert_int_equal(size, length <= RT_PAST_MAX ? length : 0);
    }
    assert_int_equal(past("*8\r\n:0\r\n:1\r\n:7\r\n:0\r\n:0\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n", &out, &size), RT_EPROTO);
    assert_int_equal(past("*9\r\n:0\r\n:1\r\n:7\r\n:0\r\n:0\r\n:0\r\n:1\r\n:0\r\n:1\r\n", &out, &size), RT_EPROTO);
    assert_int_equal(past("+OK\r\n", &out, &size), RT_EPROTO);
}

static int record(const char *text, struct rt_store_record *out)
{
    struct rt_key key = {"t", "c"};
    char set[RT_HOST_MAX + 1];
    redisReply *reply = parse(text);
    int rc = rt_store_parse_record(reply, &key, out, set);

    freeReplyObject(reply);
    return rc;
}

static int field(const char *name, const char *value)
{
    static struct rt_store_record out;
    char text[4096];

    snprintf(text, sizeof(text), "*4\r\n$2\r\nst\r\n$1\r\n2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(name), name,
             strlen(value), value);
    return record(text, &out);
}

static void test_records(void **state)
{
    static struct rt_store_record out;
    char hist[2048] = "", anc[1024] = "", name[80];

    (void)state;
    assert_int_equal(record("*0\r\n", &out), 0);
    assert_int_equal(record("*1\r\n$2\r\nst\r\n", &out), RT_EPROTO);
    assert_int_equal(record("*2\r\n$4\r\nlife\r\n$1\r\n1\r\n", &out), RT_EPROTO); /* no state */
    assert_int_equal(field("life", "12"), 1);
    assert_int_equal(field("later", "a field of a later version"), 1);
    assert_int_equal(field("life", ""), RT_EPROTO);
    assert_int_equal(field("life", "1e3"), RT_EPROTO);
    assert_int_equal(field("life", "-1"), RT_EPROTO);
    assert_int_equal(field("life", "9007199254740992"), RT_EPROTO);
    assert_int_equal(field("life", "99999999999999999999"), RT_EPROTO);
    assert_int_equal(field("st", "6"), RT_EPROTO);
    assert_int_equal(field("inc", "00112233445566778899aabbccddeeff"), 1);
    assert_int_equal(field("inc", "00112233445566778899AABBCCDDEEFF"), RT_EPROTO);
    assert_int_equal(field("inc", "00"), RT_EPROTO);
    memset(name, 'h', RT_HOST_MAX);
    name[RT_HOST_MAX] = '\0';
    assert_int_equal(field("host", name), 1);
    append(name, sizeof(name), "h");
    assert_int_equal(field("host", name), RT_EPROTO);
    for (int i = 0; i < RT_ANCESTORS_MAX; i++) {
        append(anc, sizeof(anc), "00112233445566778899aabbccddeeff");
    }
    assert_int_equal(field("anc", anc), 1);
    append(anc, sizeof(anc), "00112233445566778899aabbccddeeff");
    assert_int_equal(field("anc", anc), RT_EPROTO);
    assert_int_equal(field("anc", "0011"), RT_EPROTO);
    for (int i = 0; i < RT_HISTORY_MAX; i++) {
        append(hist, sizeof(hist), "1750000000000 3 1750000000001 host a\n");
    }
    assert_int_equal(field("hist", hist), 1);
    append(hist, sizeof(hist), "1 2 3 h\n");
    assert_int_equal(field("hist", hist), RT_EPROTO);
    assert_int_equal(field("hist", "1 2 3\n"), RT_EPROTO);
    assert_int_equal(field("hist", "\n"), RT_EPROTO);
    assert_int_equal(field("hist", "x 2 3 h\n"), RT_EPROTO);
}

/* Redis gives each field once; a store that does not makes no chain longer than it may be. */
static void test_chain_twice(void **state)
{
    static struct rt_store_record out;
    char anc[1024] = "", text[4096];

    (void)state;
    for (int i = 0; i < RT_ANCESTORS_MAX; i++) {
        append(anc, sizeof(anc), "00112233445566778899aabbccddeeff");
    }
    snprintf(text, sizeof(text),
             "*6\r\n$2\r\nst\r\n$1\r\n2\r\n$3\r\nanc\r\n$%zu\r\n%s\r\n$3\r\nanc\r\n$32\r\n%.32s\r\n", strlen(anc), anc,
             anc);
    assert_int_equal(record(text, &out), RT_EPROTO);
}

static void test_rows(void **state)
{
    static const char id[] = "00112233445566778899aabbccddeeff";
    struct rt_store_host host = {
        .host = "h", .version = "1.2", .machine = "m", .sessions = 3, .n_addr = 1, .addr = {"tcp:a:1"}};
    char payload[RT_STORE_ROW_MAX], text[RT_STORE_ROW_MAX + 100];
    struct rt_store_host row;

    (void)state;
    rt_store_format_row(&host, payload);
    snprintf(text, sizeof(text), "%s\n7\n1000\n%s", id, payload);
    assert_int_equal(rt_store_parse_row("h", 1, text, strlen(text), 1500, &row), 0);
    assert_int_equal(row.seq, 7);
    assert_int_equal(row.age_ms, 500);
    assert_int_equal(row.sessions, 3);
    assert_int_equal(row.n_addr, 1);
    assert_string_equal(row.addr[0], "tcp:a:1");
    assert_int_equal(rt_store_parse_row("h", 1, text, strlen(text), 900, &row), 0);
    assert_int_equal(row.age_ms, 0); /* the clock went back */
    for (size_t cut = 0; cut < strlen(id) + 8; cut++) {
        assert_int_equal(rt_store_parse_row("h", 1, text, cut, 1500, &row), RT_EPROTO);
    }
    append(text, sizeof(text), "b\nc\nd\n");
    assert_int_equal(rt_store_parse_row("h", 1, text, strlen(text), 1500, &row), 0);
    append(text, sizeof(text), "e\n");
    assert_int_equal(rt_store_parse_row("h", 1, text, strlen(text), 1500, &row), RT_EPROTO);
    /* The largest row that an agent writes is one that others read. */
    memset(host.version, 'v', sizeof(host.version) - 1);
    memset(host.machine, 'm', sizeof(host.machine) - 1);
    host.sessions = RT_COUNTER_MAX - 1;
    for (host.n_addr = 0; host.n_addr < RT_ADDRS_MAX; host.n_addr++) {
        memset(host.addr[host.n_addr], 'a', RT_ADDR_MAX);
    }
    rt_store_format_row(&host, payload);
    snprintf(text, sizeof(text), "%s\n9007199254740991\n9007199254740991\n%s", id, payload);
    assert_int_equal(rt_store_parse_row("h", 1, text, strlen(text), 1500, &row), 0);
    assert_int_equal(row.n_addr, RT_ADDRS_MAX);
}

/* A row of a version that we do not know: its heartbeat is read, and nothing else. Who cannot even read that sees
 * whether the row changes. */
static void test_unread_rows(void **state)
{
#define BEAT "00112233445566778899aabbccddeeff\n7\n1000\n"
    static const char *const unread[] = {
        BEAT,
        BEAT "3\n1.2\n",
        BEAT "3 and more\n1.2\nm\ntcp:a:1\n",
        BEAT "3\n1.2\nm\na\nb\nc\nd\ne\n",
        BEAT "3\n1.2-0123456789012345678901234567890123456789\nm\ntcp:a:1\n",
    };
    static char longest[RT_STORE_ROW_MAX + 256] = BEAT;
    struct rt_store_host row, other;

    (void)state;
    append(longest, sizeof(longest), "3\n1.2\nm\n");
    while (strlen(longest) + 11 < sizeof(longest)) {
        append(longest, sizeof(longest), "0123456789");
    }
    for (size_t i = 0; i <= sizeof(unread) / sizeof(unread[0]); i++) {
        const char *text = i < sizeof(unread) / sizeof(unread[0]) ? unread[i] : longest;

        assert_int_equal(rt_store_parse_row("h", 1, text, strlen(text), 1500, &row), RT_EPROTO);
        assert_string_equal(row.host, "h");
        assert_int_equal(row.seq, 7);
        assert_int_equal(row.instance.b[1], 0x11);
        assert_int_equal(row.age_ms, 500);
        assert_int_equal(row.n_addr, 0);
        assert_int_equal(row.sessions, 0);
        assert_string_equal(row.version, "-");
    }
    assert_int_equal(rt_store_parse_row("h", 1, "seq=7", 5, 1500, &row), RT_EPROTO);
    assert_int_equal(rt_store_parse_row("h", 1, "seq=7", 5, 1700, &other), RT_EPROTO);
    assert_string_equal(other.host, "h");
    assert_true(rt_id_equal(&row.instance, &other.instance) && row.seq == other.seq);
    assert_int_equal(rt_store_parse_row("h", 1, "seq=8", 5, 1900, &other), RT_EPROTO);
    assert_false(rt_id_equal(&row.instance, &other.instance));
    assert_int_equal(rt_store_parse_row("", 0, BEAT, strlen(BEAT), 0, &row), RT_EPROTO);
    assert_string_equal(row.host, "");
}

/* The path of a socket is good on its own machine only. */
static void test_reachable(void **state)
{
    static const struct rt_store_host from = {
        .host = "h", .machine = "m", .n_addr = 4, .addr = {"unix:/a", "tcp:b:1", "tls:127.0.0.1:2", "tls:[::1]:3"}};
    struct rt_store_host row = from;

    (void)state;
    rt_store_reachable("m", &row);
    assert_int_equal(row.n_addr, 4);
    rt_store_reachable("n", &row);
    assert_int_equal(row.n_addr, 1);
    assert_string_equal(row.addr[0], "tcp:b:1");
    row = from;
    (void)strcpy(row.machine, "-");
    rt_store_reachable("-", &row);
    assert_int_equal(row.n_addr, 1);
}

static int claimed(const char *text, struct rt_store_news *news)
{
    return rt_store_parse_claimed(text, strlen(text), news);
}

static void test_messages_and_members(void **state)
{
    struct rt_store_news news;
    struct rt_key key;

    (void)state;
    assert_int_equal(claimed("5\n6\nhost\nt\nc", &news), 0);
    assert_int_equal(news.life, 5);
    assert_string_equal(news.key.cid, "c");
    assert_int_equal(claimed("5\n6\nhost\n\nc", &news), 0); /* no tenant */
    assert_int_equal(claimed("", &news), RT_EPROTO);
    assert_int_equal(claimed("5\n6\nhost\nt", &news), RT_EPROTO);
    assert_int_equal(claimed("x\n6\nhost\nt\nc", &news), RT_EPROTO);
    assert_int_equal(rt_store_parse_member("a/b/c", 5, &key), 0);
    assert_string_equal(key.tenant, "a/b");
    assert_string_equal(key.cid, "c");
    assert_int_equal(rt_store_parse_member("abc", 3, &key), RT_EPROTO);
}

/* The largest claim fits its room. */
static void test_largest_claim(void **state)
{
    static const uint8_t past_text[RT_PAST_MAX + 1];
    struct rt_store_op op;
    struct rt_store_args args;

    (void)state;
    memset(&op, 0, sizeof(op));
    op.kind = RT_STORE_TAKE;
    memset(op.claim.key.tenant, 't', RT_TENANT_MAX);
    memset(op.claim.key.cid, 'c', RT_CID_MAX);
    memset(op.claim.host, 'h', RT_HOST_MAX);
    memset(op.claim.proof, 'p', RT_HOST_MAX);
    memset(op.claim.dead_host, 'd', RT_HOST_MAX);
    op.claim.life = op.claim.epoch = op.claim.granted_life = op.claim.base = RT_COUNTER_MAX - 1;
    op.claim.n_ancestors = RT_ANCESTORS_MAX;
    op.past = (struct rt_slice){past_text, RT_PAST_MAX};
    assert_int_equal(rt_store_encode(&op, "h", &args), 0);
    assert_int_equal(args.redis.n, 25);
    assert_int_equal(args.redis.size[22], RT_PAST_MAX);
    assert_int_equal(args.redis.size[13], RT_STORE_ID_HEX * RT_ANCESTORS_MAX);
    op.claim.n_ancestors++;
    assert_int_equal(rt_store_encode(&op, "h", &args), RT_EINVAL);
    op.claim.n_ancestors--;
    op.past.size++;
    assert_int_equal(rt_store_encode(&op, "h", &args), RT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes),      cmocka_unit_test(test_past),
        cmocka_unit_test(test_records),       cmocka_unit_test(test_chain_twice),
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_unread_rows),
        cmocka_unit_test(test_reachable),     cmocka_unit_test(test_messages_and_members),
        cmocka_unit_test(test_largest_claim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
