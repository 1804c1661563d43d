/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Virtual machines whose monitors give a vSocket as a unix socket for each: two hosts with a directory of machines. The
 * vMotion stand-in is the monitor, as Firecracker is one: what the guest dials, it carries to the `vsock_PORT` of its
 * machine, on the host that the machine is on. */

#define LIMIT_MS HARNESS_LIMIT_MS
#define SOCKET "vsock_7400"
#define CHURN 200
/* Lines of the stream that must come whole. */
#define LINES 1500000

#define ECHO "while read -r x; do echo got $x; done"

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    struct rt_cluster_host *h = &cluster->hosts[host];
    char dir[sizeof(cluster->dir)];

    memcpy(dir, cluster->dir, sizeof(dir));
    (void)snprintf(h->more_guests, sizeof(h->more_guests), "vm:%s/h%u.vms", dir, host);
    return 0;
}

static const char *place(unsigned host, const char *vm, const char *rest)
{
    static char text[4][160];
    static unsigned next;
    char *out = text[next++ % 4];

    (void)snprintf(out, sizeof(text[0]), "%s/h%u.vms/%s%s", harness.dir, host, vm, rest);
    return out;
}

static void until(const char *path, bool there)
{
    uint64_t end = rt_process_now_ms() + LIMIT_MS;

    while ((access(path, F_OK) == 0) != there && rt_process_now_ms() < end) {
        rt_process_sleep_ms(5);
    }
    assert_int_equal(access(path, F_OK) == 0, there);
}

/* What starts virtual machines makes the machine's directory on the host. */
static void dir_made(unsigned host, const char *vm)
{
    assert_int_equal(mkdir(place(host, vm, ""), 0700), 0);
    until(place(host, vm, "/" SOCKET), true);
}

static void dir_removed(unsigned host, const char *vm)
{
    (void)unlink(place(host, vm, "/" SOCKET));
    if (rmdir(place(host, vm, "")) != 0) { /* the agent was quicker */
        assert_int_equal(unlink(place(host, vm, "/" SOCKET)), 0);
        assert_int_equal(rmdir(place(host, vm, "")), 0);
    }
}

/* A token that is bound to the machine. */
static void token_for(const char *cid, const char *vm, char *token, size_t size)
{
    const char *const options[] = {"--vm", vm, NULL};

    harness.create_options = options;
    assert_int_equal(rt_cluster_create(&harness, cid, token, size), 0);
    harness.create_options = NULL;
}

/* The machine `vm`, which has its directory on both hosts; with vm NULL by the socket that all share. */
static struct rt_cluster_vm *started(const char *cid, const char *vm, const char *token, const char *script)
{
    const char *const options[] = {"--first-hold", "10s", NULL};
    const char *const command[] = {"sh", "-c", script, NULL};
    struct rt_cluster_vm *out;
    char shared[2][sizeof(harness.hosts[0].guests)];

    for (unsigned i = 0; i < 2; i++) {
        memcpy(shared[i], harness.hosts[i].guests, sizeof(shared[i]));
        if (vm != NULL) {
            (void)snprintf(harness.hosts[i].guests, sizeof(shared[i]), "%s", place(i, vm, "/" SOCKET));
        }
    }
    assert_int_equal(rt_cluster_vm_start_with(&harness, cid, token, options, command, &out), 0);
    for (unsigned i = 0; i < 2; i++) {
        memcpy(harness.hosts[i].guests, shared[i], sizeof(shared[i]));
    }
    return out;
}

/* How often the agents' logs have a line with both. */
static unsigned logged(const char *one, const char *other)
{
    static char line[65536];
    unsigned n = 0;

    for (unsigned i = 0; i < harness.n_hosts; i++) {
        FILE *log = fopen(harness.hosts[i].log, "r");

        assert_non_null(log);
        while (fgets(line, sizeof(line), log) != NULL) {
            n += strstr(line, one) != NULL && strstr(line, other) != NULL;
        }
        (void)fclose(log);
    }
    return n;
}

static void until_logged(const char *one, const char *other)
{
    uint64_t end = rt_process_now_ms() + LIMIT_MS;

    while (logged(one, other) == 0 && rt_process_now_ms() < end) {
        rt_process_sleep_ms(50);
    }
    assert_true(logged(one, other) > 0);
}

static void says(struct harness_attach *attach, const char *word)
{
    char line[64], wanted[64];

    (void)snprintf(line, sizeof(line), "%s\n", word);
    (void)snprintf(wanted, sizeof(wanted), "got %s\n", word);
    harness_type(attach, line, strlen(line));
    harness_until(attach, wanted);
}

/* A container on host 0, in the machine "web" that its token is bound to, with somebody attached. */
static struct rt_cluster_vm *attached(const char *cid, char *token, size_t size, struct harness_attach *attach)
{
    struct rt_cluster_vm *vm;

    token_for(cid, "web", token, size);
    vm = started(cid, "web", token, ECHO);
    harness_served(cid, 0);
    harness_start(attach, false, ARGS("attach", cid));
    says(attach, "one");
    return vm;
}

/* It reads the end of its input, and both end. */
static void ended(struct harness_attach *attach, struct rt_cluster_vm *vm)
{
    harness_type_end(attach);
    assert_int_equal(harness_finish(attach, LIMIT_MS), 0);
    harness_close(attach);
    harness_vm_end(vm, 0);
}

/* The identity is the same wherever the machine is: its bound token and tickets go along. */
static void test_moves(void **state)
{
    struct harness_attach attach;
    struct rt_cluster_vm *vm;
    char token[2048];

    (void)state;
    dir_made(0, "web");
    dir_made(1, "web");
    vm = attached("moved", token, sizeof(token), &attach);
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 1, "reset"), 0);
    harness_served("moved", 1);
    says(&attach, "two");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 0, "eof"), 0);
    harness_served("moved", 0);
    says(&attach, "three");
    /* Its directory goes, and is made again: the next connection comes by the new one. */
    dir_removed(0, "web");
    dir_made(0, "web");
    assert_int_equal(rt_cluster_vm_move(&harness, vm, 0, "reset"), 0);
    says(&attach, "four");
    /* The agent dies: its sockets stay behind, and the next one replaces them. */
    rt_cluster_agent_kill(&harness, 0);
    assert_int_equal(access(place(0, "web", "/" SOCKET), F_OK), 0);
    assert_int_equal(rt_cluster_agent_start(&harness, 0), 0);
    says(&attach, "five");
    ended(&attach, vm);
    assert_int_equal(logged("\"container\":\"moved\"", "BAD_AUTH"), 0);
}

/* The machine is killed, and starts again with the same token: nobody waits until its first start is lost. */
static void test_starts_again(void **state)
{
    struct harness_attach attach;
    struct rt_cluster_vm *vm;
    char token[2048];

    (void)state;
    assert_int_equal(rt_cluster_create(&harness, "again", token, sizeof(token)), 0); /* not bound: the ticket is */
    vm = started("again", "web", token, ECHO);
    harness_served("again", 0);
    for (unsigned i = 0; i < 3; i++) {
        rt_cluster_vm_kill(vm);
        harness.n_vms--;
        vm = started("again", "web", token, ECHO);
        harness_start(&attach, false, ARGS("attach", "again"));
        says(&attach, "here");
        harness_type_end(&attach);
        if (i == 2) {
            assert_int_equal(harness_finish(&attach, LIMIT_MS), 0);
        }
        harness_close(&attach);
    }
    harness_vm_end(vm, 0);
    assert_int_equal(logged("\"container\":\"again\"", "RETRY_LATER"), 0);
}

/* A token is shown by a machine that it is not bound to, and by who proves none. Who is served notices nothing. */
static void test_stolen(void **state)
{
    struct harness_attach attach;
    struct rt_cluster_vm *vm, *thief, *nobody;
    char token[2048];

    (void)state;
    dir_made(0, "thief");
    vm = attached("prized", token, sizeof(token), &attach);
    thief = started("prized", "thief", token, ECHO);
    until_logged("BAD_AUTH", "the token is bound to another virtual machine\"");
    nobody = started("prized", NULL, token, ECHO);
    until_logged("BAD_AUTH", "this connection proves none");
    assert_int_equal(kill(thief->tether, 0), 0); /* they go on asking */
    assert_int_equal(kill(nobody->tether, 0), 0);
    says(&attach, "two");
    rt_cluster_vm_kill(nobody);
    rt_cluster_vm_kill(thief);
    harness.n_vms -= 2;
    ended(&attach, vm);
}

/* Two hundred machines come and go on both hosts beside a stream, whose machine moves. */
static void test_churn(void **state)
{
    char script[64], name[32], token[2048];
    struct harness_attach attach;
    struct rt_cluster_vm *vm;
    size_t at = 0;

    (void)state;
    (void)snprintf(script, sizeof(script), "read go; seq 1 %d", LINES);
    token_for("stream", "web", token, sizeof(token));
    vm = started("stream", "web", token, script);
    harness_start(&attach, false, ARGS("attach", "stream"));
    harness_type(&attach, "go\n", 3);
    for (unsigned i = 0; i < CHURN; i++) {
        (void)snprintf(name, sizeof(name), "churn-%u", i);
        assert_int_equal(mkdir(place(i % 2, name, ""), 0700), 0);
        (void)harness_read(&attach, 1);
        if (i % 50 == 25) {
            assert_int_equal(rt_cluster_vm_move(&harness, vm, i / 50 % 2 == 0, "reset"), 0);
        }
        until(place(i % 2, name, "/" SOCKET), true);
        if (i % 2 == 1) {
            dir_removed(i % 2, name);
        }
    }
    for (unsigned i = 0; i < CHURN; i += 2) {
        (void)snprintf(name, sizeof(name), "churn-%u", i);
        dir_removed(0, name);
        (void)harness_read(&attach, 1);
    }
    assert_int_equal(harness_finish(&attach, LIMIT_MS), 0);
    for (unsigned i = 1; i <= LINES; i++) {
        char wanted[16];
        size_t size = (size_t)snprintf(wanted, sizeof(wanted), "%u\n", i);

        assert_true(at + size <= attach.size && memcmp(attach.text + at, wanted, size) == 0);
        at += size;
    }
    assert_int_equal(at, attach.size);
    harness_close(&attach);
    harness_vm_end(vm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_starts_again),
        cmocka_unit_test(test_stolen),
        cmocka_unit_test(test_churn),
    };

    return harness_main_in(2, false, prepare, "vms", tests, sizeof(tests) / sizeof(tests[0]));
}
