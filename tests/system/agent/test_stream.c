/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/pair.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Bytes through the agent: exact, gathered into few writes, and bounded where somebody does not read. */

#define BURST 1000
#define SMALL 84

/* Of a daemon that is locked in, only root may read that. */
static const char *const readable[] = {"--sandbox=off", NULL};

static uint64_t writes_of(const struct daemon *daemon)
{
    char path[64], line[128];
    uint64_t n = UINT64_MAX;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/io", (long)daemon->pid);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "syscw: ", 7) == 0) {
            n = strtoull(line + 7, NULL, 10);
        }
    }
    (void)fclose(file);
    assert_true(n != UINT64_MAX);
    return n;
}

/* Small frames that come together go on together. */
static void test_gathered(void **state)
{
    struct daemon *daemon = *state;
    struct pair pair;
    static uint8_t burst[(size_t)BURST * SMALL];
    uint64_t before, wanted;

    daemon_up(daemon, readable);
    pair_start(&pair, daemon, "small", 1);
    pair_move(&pair, 1 << 20, 10000); /* the limit is up */
    while (pair.queue > 0 || pair.channel[0].limit < pair.channel[0].sent + (uint64_t)BURST * SMALL) {
        pair.piece = 1 + 1000000; /* nothing fits: it only drains */
        pair_run(&pair, 10);
    }
    wanted = pair.got + (uint64_t)BURST * (SMALL - RT_FRAME_HEADER);
    for (size_t i = 0; i < BURST; i++) {
        struct rt_frame frame = {.type = RT_DATA,
                                 .stream = RT_STDOUT,
                                 .channel = pair.channel[0].guest,
                                 .offset = pair.channel[0].sent,
                                 .length = SMALL - RT_FRAME_HEADER};

        rt_frame_put(burst + i * SMALL, &frame);
        for (size_t k = 0; k < SMALL - RT_FRAME_HEADER; k++) {
            uint64_t offset = pair.channel[0].sent + k;
            burst[i * SMALL + RT_FRAME_HEADER + k] = (uint8_t)(offset * 31 + (offset >> 8));
        }
        pair.channel[0].sent += SMALL - RT_FRAME_HEADER;
        pair.queue += SMALL - RT_FRAME_HEADER;
    }
    before = writes_of(daemon);
    assert_true(peer_write(&pair.guest, burst, sizeof(burst)));
    while (pair.got < wanted) {
        pair_run(&pair, 1);
    }
    assert_in_range(writes_of(daemon) - before, 1, 100);
    pair_close(&pair);
}

/* So do answers of the agent's own. */
static void test_answers_gathered(void **state)
{
    struct daemon *daemon = *state;
    static uint8_t pings[BURST * RT_FRAME_HEADER];
    struct peer client;
    uint64_t before;

    daemon_up(daemon, readable);
    peer_client(&client, daemon->client);
    for (size_t i = 0; i < BURST; i++) {
        rt_frame_put(pings + i * RT_FRAME_HEADER, &(struct rt_frame){.type = RT_PING, .offset = i});
    }
    before = writes_of(daemon);
    assert_true(peer_write(&client, pings, sizeof(pings)));
    for (size_t i = 0; i < BURST; i++) {
        struct rt_frame frame;

        (void)peer_wait(&client, RT_PONG, &frame, 5000);
        assert_int_equal(frame.offset, i);
    }
    assert_in_range(writes_of(daemon) - before, 1, 50);
    peer_close(&client);
}

/* A client that does not read for a while: bounded, and every byte afterwards. Its link's queue holds references into
 * read buffers beside copies of small frames. */
static void test_stalled_client(void **state)
{
    struct daemon *daemon = *state;
    struct pair pair, other;
    size_t rss;

    daemon_up(daemon, NULL);
    pair_start(&pair, daemon, "stalled", PAIR_CHANNELS_MAX);
    pair_start(&other, daemon, "other", 1);
    pair_move(&pair, 16 << 20, 30000);
    rss = daemon_rss(daemon);
    for (int round = 0; round < 5; round++) {
        pair.stalled = true;
        pair_run(&pair, 300);
        assert_true(pair.queue > (uint64_t)1 << 20); /* more than the kernel holds */
        pair_move(&other, 1 << 20, 10000);
        pair.stalled = false;
        pair_move(&pair, 16 << 20, 30000);
    }
    assert_true(daemon_rss(daemon) < rss + ((size_t)48 << 20));
    pair_close(&pair);
    pair_close(&other);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_int_equal(daemon_wait(daemon, 3500), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gathered, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_answers_gathered, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_stalled_client, daemon_setup, daemon_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
