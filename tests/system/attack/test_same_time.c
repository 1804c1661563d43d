/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "tests/system/attack/ground.h"
#include "tests/system/attack/rogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Whether it can be told by the time of the answer that another tenant has a container of this name: a vch asks for one
 * that is there, running or ended, and for two that nobody has, in turn. The answers have to be the same. The times are
 * printed, not judged: how much the two that nobody has differ is the noise. */

#define ROUNDS 4000
#define KINDS 4

static const struct kind {
    const char *what, *cid;
} kinds[KINDS] = {
    {"another tenant's, running", "runs-there"},
    {"another tenant's, ended", "ended-then"},
    {"nobody's", "nobody-one"},
    {"nobody's", "nobody-two"},
};

static double took[KINDS][ROUNDS]; /* us */
static uint8_t first[RT_FRAME_PAYLOAD_MAX];
static size_t first_size; /* 0: no answer has come */

/* What attacks need of the red team: nobody prints it here. */
unsigned attack_round;

void attack_saw(const char *format, ...)
{
    (void)format;
}

static double now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* How long an answer takes; all of one request are the same bytes. */
static double ask(struct peer *client, struct rt_request_msg request, const char *cid)
{
    struct rt_slice answer;
    double from;
    int cls;

    request.cid = rt_slice_text(cid);
    from = now_us();
    cls = attack_ask(client, &request, NULL, &answer);
    from = now_us() - from;
    assert_int_equal(cls, RT_CLASS_NOT_FOUND);
    if (first_size == 0) {
        first_size = answer.size;
        memcpy(first, answer.data, answer.size);
    }
    assert_int_equal(answer.size, first_size);
    assert_memory_equal(answer.data, first, first_size);
    return from;
}

static void print(const char *op)
{
    print_message("%-8s %-28s | %10s | %10s | %10s\n", op, "of", "p50 us", "p90 us", "p99 us");
    for (size_t k = 0; k < KINDS; k++) {
        qsort(took[k], ROUNDS, sizeof(took[k][0]), by_size);
        print_message("%-8s %-28s | %10.1f | %10.1f | %10.1f\n", "", kinds[k].what, took[k][ROUNDS / 2],
                      took[k][ROUNDS * 9 / 10], took[k][ROUNDS * 99 / 100]);
    }
}

static void end(struct rogue *rogue)
{
    struct rt_end_msg msg = {.out = 0};
    struct rt_frame frame = {.type = RT_END};

    peer_send_msg(&rogue->peer, frame, RT_MSG_END, &msg);
    assert_non_null(attack_next(&rogue->peer, ATTACK_TYPE(RT_END_OK), &frame));
    rogue_close(rogue);
}

static void until_whole(struct peer *client)
{
    struct rt_request_msg request = {.op = rt_slice_text("show"), .cid = rt_slice_text(kinds[2].cid)};
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    while (attack_ask(client, &request, NULL, NULL) == RT_CLASS_RETRY_LATER) {
        assert_true(rt_process_now_ms() < until);
        attack_pass(100);
    }
}

static void test_requests(void **state)
{
    static const char *const ops[] = {"show", "tails"};
    struct rogue there, ended;
    struct peer client;

    (void)state;
    rogue_start(&there, kinds[0].cid);
    rogue_start(&ended, kinds[1].cid);
    end(&ended);
    attack_client(&client, "other");
    until_whole(&client);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        struct rt_request_msg request = {.op = rt_slice_text(ops[i])};

        first_size = 0;
        for (size_t round = 0; round < ROUNDS; round++) {
            for (size_t k = 0; k < KINDS; k++) { /* each kind comes first as often as the others */
                size_t kind = (k + round) % KINDS;

                took[kind][round] = ask(&client, request, kinds[kind].cid);
            }
        }
        print(ops[i]);
    }
    assert_true(attack_alive(&there.peer));
    attack_close(&client);
    rogue_close(&there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests)};
    int failed = harness_main_in(ATTACK_HOSTS, false, attack_prepare, "same time", tests, 1);

    attack_ground_close();
    return failed;
}
