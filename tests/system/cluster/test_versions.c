/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <stdio.h>
#include <string.h>

/* Agents of two versions on one store: host 1's has functions of its own, whose claims write a field that host 0's
 * agent does not know (next.cmake). Each finds its own, a container goes to and fro between them, and the field stays.
 * Somebody throws the functions away meanwhile. */

#define LINES 2000 /* 20 s and more, which the moves take by far not */

static struct harness_attach attach;

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    cluster->hosts[host].program = host == 1 ? "retetherd_next" : NULL;
    return 0;
}

static void ask(const char *command, char answer[64])
{
    assert_int_equal(rt_test_redis_command(&harness.redis, command, answer, 64), 0);
}

static void expect(const char *command, const char *wanted)
{
    char answer[64];

    ask(command, answer);
    assert_string_equal(answer, wanted);
}

/* A field of the container's record; "+" where there is none. */
static void read_field(const char *cid, const char *field, char answer[64])
{
    char command[256];

    (void)snprintf(command, sizeof(command),
                   "EVAL \"return redis.status_reply(redis.call('HGET', 'rt:{local/%s}:r', '%s') or '')\" 0", cid,
                   field);
    ask(command, answer);
}

/* Until the record has this in the field. */
static void until_field(const char *cid, const char *field, const char *wanted)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    char answer[64];

    do {
        read_field(cid, field, answer);
        if (strcmp(answer, wanted) == 0) {
            return;
        }
        rt_process_sleep_ms(10);
    } while (rt_process_now_ms() < until);
    assert_string_equal(answer, wanted);
}

/* To that host, until the record says so, and has of "next" what the last claim by host 1 wrote. */
static void move(struct rt_cluster_vm *vm, unsigned host, char next[64])
{
    char on[32], epoch[64];

    assert_int_equal(rt_cluster_vm_move(&harness, vm, host, "reset"), 0);
    (void)snprintf(on, sizeof(on), "+h%u", host);
    until_field(vm->cid, "host", on);
    if (host == 1) {
        read_field(vm->cid, "ep", epoch);
        (void)snprintf(next, 64, "+h1 %.32s", epoch + 1);
    }
    until_field(vm->cid, "next", next);
}

/* Both agents say the same of the container. */
static void both_say(const char *cid, const char *host)
{
    struct rt_process_run run;

    for (unsigned at = 0; at < 2; at++) {
        assert_int_equal(harness_cli_at(&run, at, false, "show", cid), 0);
        assert_non_null(strstr(run.out, "running"));
        assert_non_null(strstr(run.out, host));
        rt_process_run_free(&run);
    }
}

static void test_side_by_side(void **state)
{
    struct rt_cluster_vm *vm;
    char next[64] = "+", answer[64];

    (void)state;
    expect("FUNCTION LIST LIBRARYNAME retether_*", "*2");
    vm = harness_vm("kept", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); sleep 0.01; done; exit 9");
    harness_start(&attach, false, ARGS("attach", "--since-offset", "oldest", "--hold", "5m", "kept"));
    harness_until(&attach, "20\n");
    until_field("kept", "next", "+");
    for (unsigned i = 0; i < 3; i++) {
        move(vm, 1, next);
        both_say("kept", "h1");
        move(vm, 0, next); /* rewritten by who does not know it */
        both_say("kept", "h0");
    }
    harness_until(&attach, "1999\n");
    assert_int_equal(harness_finish(&attach, HARNESS_LIMIT_MS), 9);
    for (int i = 0, at = 0; i < LINES; i++) {
        char line[16];
        int size = snprintf(line, sizeof(line), "%d\n", i);

        assert_memory_equal(attach.text + at, line, (size_t)size);
        at += size;
    }
    harness_vm_end(vm, 9);
    read_field("kept", "code", answer);
    assert_string_equal(answer, "+9");
    until_field("kept", "next", next);
    harness_expect(0, "9\n", ARGS("wait", "kept"));
}

/* What is asked for next works, of both, and both libraries are there again. */
static void test_flushed(void **state)
{
    char cid[32], answer[64] = "";
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct rt_process_run run;

        expect("FUNCTION FLUSH", "+OK");
        (void)snprintf(cid, sizeof(cid), "flushed-%u", i);
        assert_int_equal(harness_cli_at(&run, i % 2, false, "create", cid), 0);
        rt_process_run_free(&run);
    }
    do {
        ask("FUNCTION LIST LIBRARYNAME retether_*", answer);
    } while (strcmp(answer, "*2") != 0 && rt_process_now_ms() < until);
    assert_string_equal(answer, "*2");
    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(harness_said(host, "cannot load the functions"), 0);
        assert_int_equal(harness_said(host, "Function not found"), 0);
        assert_int_equal(harness_said(host, "cannot list"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_flushed)};
    int status = harness_main_in(2, false, prepare, "versions", tests, 2);

    harness_close(&attach);
    return status;
}
