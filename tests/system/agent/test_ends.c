/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"
#include "tests/lib/redis.h"
#include "tests/system/agent/pair.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The end of a session while the store is out: kept on this host's disk, stored later, also after a crash. */

static size_t files_in(const char *dir)
{
    struct dirent *entry;
    size_t n = 0;
    DIR *list = opendir(dir);

    assert_non_null(list);
    while ((entry = readdir(list)) != NULL) {
        n += entry->d_name[0] != '.';
    }
    (void)closedir(list);
    return n;
}

static void until_empty(const char *dir, unsigned limit_ms)
{
    uint64_t limit = test_now_ms() + (uint64_t)limit_ms * TEST_PATIENCE;

    while (files_in(dir) > 0) {
        assert_true(test_now_ms() < limit);
        test_pause(10);
    }
}

static unsigned end_session(struct peer *guest, const char *tail, uint64_t code)
{
    struct rt_end_msg end = {.code = code, .out = strlen(tail)};
    struct rt_frame frame = {.type = RT_TAIL, .stream = RT_STDOUT, .length = (uint32_t)strlen(tail)};
    struct rt_end_ok_msg ok;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    peer_send(guest, &frame, tail);
    frame = (struct rt_frame){.type = RT_END};
    peer_send_msg(guest, frame, RT_MSG_END, &end);
    payload = peer_wait(guest, RT_END_OK, &frame, 10000);
    assert_int_equal(rt_msg_decode(RT_MSG_END_OK, payload, frame.length, &ok, why, sizeof(why)), 0);
    return (unsigned)ok.how;
}

/* What `tails` answers: asserts the code and the text of stdout. */
static void assert_tails(const struct daemon *daemon, const char *cid, uint64_t code, const char *text)
{
    static struct rt_reply_msg reply;
    struct rt_request_msg request = {.op = rt_slice_text("tails"), .cid = rt_slice_text(cid)};
    struct rt_frame frame = {.type = RT_REQUEST, .offset = 9};
    struct peer client;
    char why[RT_TEXT_MAX];
    static char got[RT_TAIL_MAX + 1];
    bool more = true, first = true;

    got[0] = '\0';
    peer_client(&client, daemon->client);
    peer_send_msg(&client, frame, RT_MSG_REQUEST, &request);
    while (more) {
        const uint8_t *payload = peer_wait(&client, RT_REPLY, &frame, 5000);

        assert_int_equal(rt_msg_decode(RT_MSG_REPLY, payload, frame.length, &reply, why, sizeof(why)), 0);
        assert_int_equal(reply.c, RT_CLASS_OK);
        if (first) {
            assert_int_equal(reply.code, code);
        } else if (reply.s == RT_STDOUT) {
            rt_slice_copy(reply.data, got + strlen(got), sizeof(got) - strlen(got));
        }
        first = false;
        more = reply.more;
    }
    assert_string_equal(got, text);
    peer_close(&client);
}

static void test_kept(void **state)
{
    struct daemon *daemon = *state;
    const char *flags[] = {"--store", NULL, "--store-timeout", "300ms", NULL};
    struct rt_test_redis redis;
    struct pair pair, second;
    static char tail[RT_TAIL_MAX];
    char ends[128];

    assert_int_equal(rt_test_redis_start(&redis, NULL, NULL), 0);
    flags[1] = redis.unix_endpoint;
    (void)snprintf(ends, sizeof(ends), "%s/ends", daemon->state);
    daemon_up(daemon, flags);
    pair_start(&pair, daemon, "e1", 1);
    pair_start(&second, daemon, "e2", 1);
    pair_run(&pair, 100);
    pair_run(&second, 100);

    /* with the store: at once */
    memset(tail, 'x', sizeof(tail) - 1);
    assert_int_equal(end_session(&second.guest, tail, 5), RT_END_STORED);
    assert_int_equal(files_in(ends), 0);
    assert_tails(daemon, "e2", 5, tail);

    /* without: on disk, and stored by the next agent after a crash */
    assert_int_equal(rt_test_redis_pause(&redis), 0);
    assert_int_equal(end_session(&pair.guest, "last words", 7), RT_END_ON_DISK);
    assert_int_equal(files_in(ends), 1);
    daemon_kill(daemon);
    pair_close(&pair);
    pair_close(&second);
    daemon_start(daemon, flags);
    daemon_until(daemon, "1 ends of an earlier run wait for the store", 1, 5000);
    assert_int_equal(rt_test_redis_resume(&redis), 0);
    until_empty(ends, 20000);
    assert_tails(daemon, "e1", 7, "last words");
    rt_test_redis_stop(&redis);
}

static void send_end(struct peer *guest, uint64_t code)
{
    struct rt_end_msg end = {.code = code};

    peer_send_msg(guest, (struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
}

/* A disk that does not answer: everybody else is served meanwhile, and the guest is told when it has. */
static void test_slow_disk(void **state)
{
    struct daemon *daemon = *state;
    const char *flags[] = {"--store", NULL, "--store-timeout", "300ms", NULL};
    static struct rt_reply_msg reply;
    struct rt_request_msg request = {.op = rt_slice_text("hosts")};
    struct rt_test_redis redis;
    struct rt_end_ok_msg ok;
    struct peer client;
    struct pair pair;
    struct rt_frame frame;
    char why[RT_TEXT_MAX];
    const uint8_t *payload;
    FILE *gate;

    assert_int_equal(rt_test_redis_start(&redis, NULL, NULL), 0);
    flags[1] = redis.unix_endpoint;
    (void)snprintf(daemon->gate, sizeof(daemon->gate), "%s/gate", daemon->dir);
    gate = fopen(daemon->gate, "we"); /* open at the start: keys are made */
    assert_non_null(gate);
    (void)fclose(gate);
    daemon_up(daemon, flags);
    pair_start(&pair, daemon, "e1", 1);
    assert_int_equal(unlink(daemon->gate), 0);
    assert_int_equal(rt_test_redis_pause(&redis), 0);
    send_end(&pair.guest, 7);
    test_pause(600); /* the store has had its time */
    peer_client(&client, daemon->client);
    peer_send_msg(&client, (struct rt_frame){.type = RT_REQUEST, .offset = 1}, RT_MSG_REQUEST, &request);
    payload = peer_wait(&client, RT_REPLY, &frame, 5000);
    assert_int_equal(rt_msg_decode(RT_MSG_REPLY, payload, frame.length, &reply, why, sizeof(why)), 0);
    assert_int_equal(reply.c, RT_CLASS_OK);
    peer_read(&pair.guest, 1);
    while (peer_frame(&pair.guest, &frame) != NULL) {
        assert_int_not_equal(frame.type, RT_END_OK);
    }
    gate = fopen(daemon->gate, "we");
    assert_non_null(gate);
    (void)fclose(gate);
    payload = peer_wait(&pair.guest, RT_END_OK, &frame, 5000);
    assert_int_equal(rt_msg_decode(RT_MSG_END_OK, payload, frame.length, &ok, why, sizeof(why)), 0);
    assert_int_equal(ok.how, RT_END_ON_DISK);
    peer_close(&client);
    pair_close(&pair);
    assert_int_equal(rt_test_redis_resume(&redis), 0);
    rt_test_redis_stop(&redis);
}

/* A damaged file is told and left alone. */
static void test_damaged(void **state)
{
    struct daemon *daemon = *state;
    char path[160];
    FILE *file;

    daemon_up(daemon, NULL);
    daemon_kill(daemon);
    (void)snprintf(path, sizeof(path), "%s/ends/local+x+1", daemon->state);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("rt-end1", file) >= 0);
    assert_int_equal(fclose(file), 0);
    daemon_start(daemon, NULL);
    daemon_until(daemon, "\"event\":\"ready\"", 2, 10000);
    assert_int_equal(daemon_said(daemon, "\"event\":\"end-unreadable\""), 1);
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_slow_disk, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_damaged, daemon_setup, daemon_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
