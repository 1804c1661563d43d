/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/workload_stream.h"
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>

/* The keys of the cluster are changed while containers stream both ways and move from host to host: no guest is
 * refused, no byte is lost. All agents have one key ring file here; each knows what it held at its last SIGHUP. */

#define VMS 3
/* Bytes typed at a time: they fit into the windows on the way. */
#define TYPED (32 * WORKLOAD_BLOCK * 32)

struct echo {
    struct rt_cluster_vm *vm;
    struct harness_attach attach;
    uint64_t typed;
    unsigned host;
};

static struct echo echos[VMS];
static char ring[96];

static void type_more(struct echo *echo)
{
    static char text[TYPED];

    workload_fill((uint64_t)(echo - echos), WORKLOAD_TEXT, echo->typed, text, sizeof(text));
    harness_type(&echo->attach, text, sizeof(text));
    echo->typed += sizeof(text);
}

static void until_echoed(struct echo *echo)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    while (echo->attach.size < echo->typed && rt_process_now_ms() < until) {
        (void)harness_read(&echo->attach, 1000);
    }
    assert_int_equal(echo->attach.size, echo->typed);
}

/* Each container moves to the other host with bytes on the way, and is heard from there. */
static void move_all(void)
{
    for (unsigned i = 0; i < VMS; i++) {
        struct echo *echo = &echos[i];

        type_more(echo);
        echo->host = 1 - echo->host;
        assert_int_equal(rt_cluster_vm_move(&harness, echo->vm, echo->host, i % 2 == 0 ? "reset" : "eof"), 0);
        type_more(echo);
    }
    for (unsigned i = 0; i < VMS; i++) {
        until_echoed(&echos[i]);
    }
}

/* The host's agent reads the ring, and says so; then everybody moves. */
static void reload(unsigned host, const char *reads)
{
    assert_int_equal(kill(harness.hosts[host].pid, SIGHUP), 0);
    harness_until_said(host, reads, 1);
    assert_int_equal(harness_said(host, reads), 1);
    move_all();
}

static void test_rotation(void **state)
{
    static const char *const cids[VMS] = {"one", "two", "three"};
    struct workload_check check;
    char why[256];

    (void)state;
    (void)snprintf(ring, sizeof(ring), "%s/keys", harness.dir);
    for (unsigned i = 0; i < VMS; i++) {
        echos[i].vm = harness_vm(cids[i], "exec cat");
        harness_start(&echos[i].attach, false, ARGS("attach", "--since-offset", "oldest", cids[i]));
    }
    move_all();
    harness_expect(0, "{\"id\":1,\"active\":true}\n", ARGS("keys", "list", "--json", ring));
    harness_expect(0, NULL, ARGS("keys", "new", ring));
    reload(0, "2 keys, key 1 seals");
    reload(1, "2 keys, key 1 seals");
    harness_expect(0, NULL, ARGS("keys", "activate", ring, "2"));
    reload(0, "2 keys, key 2 seals");
    move_all(); /* there and back: what this host seals, the other one opens, and does not seal itself yet */
    move_all();
    reload(1, "2 keys, key 2 seals");
    move_all(); /* everybody has a ticket under the new key */
    harness_expect(0, NULL, ARGS("keys", "remove", ring, "1"));
    reload(0, "1 keys, key 2 seals");
    reload(1, "1 keys, key 2 seals");
    move_all();
    harness_expect(0, "{\"id\":2,\"active\":true}\n", ARGS("keys", "list", "--json", ring));
    for (unsigned i = VMS; i-- > 0;) {
        harness_type_end(&echos[i].attach);
        assert_int_equal(harness_finish(&echos[i].attach, HARNESS_LIMIT_MS), 0);
        workload_check_init(&check, i, WORKLOAD_TEXT, 0);
        if (!workload_check_feed(&check, echos[i].attach.text, echos[i].attach.size)) {
            workload_check_explain(&check, why, sizeof(why));
            fail_msg("%s: %s", cids[i], why);
        }
        assert_int_equal(echos[i].attach.size, echos[i].typed);
        harness_close(&echos[i].attach);
        harness_vm_end(echos[i].vm, 0);
    }
    for (unsigned host = 0; host < 2; host++) {
        assert_int_equal(harness_said(host, "\"event\":\"refused\""), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rotation)};

    return harness_main(2, false, "keys", tests, sizeof(tests) / sizeof(tests[0]));
}
