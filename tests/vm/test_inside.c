/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Agent and tether side by side in one guest, over its loopback vSocket: the agent's own listener on a real kernel. The
 * agent there has its private store; a second container runs in the guest, and its stream goes through both agents. */

#define BYTES "8M"
#define SIZE ((uint64_t)8 << 20)
#define SEED 41
#define PROGRAMS 3

/* Comes back when the agent in the guest answers. */
static const char start_agent[] =
    "mkdir -p /run/in; "
    "retetherd --host-name inside --state-dir /run/in/state --guests vsock::7400 --clients unix:/run/in/client "
    "--user '0 = vch/local' "
    ">/run/in/log 2>&1 </dev/null & "
    "n=0; until retether --agent unix:/run/in/client run --guest-agent vsock:1:7400 -- echo answers 2>/run/in/why; do "
    "n=$((n + 1)); if [ $n -gt 300 ]; then cat /run/in/why /run/in/log; exit 1; fi; sleep 0.1; done";

static const char run_workload[] = "exec retether --agent unix:/run/in/client run -i --guest-agent vsock:1:7400 -- "
                                   "/bin/workload --seed 41 --out-bytes " BYTES " --in-bytes " BYTES;

static struct vm_guest *guest;

static void find_programs(char paths[PROGRAMS][RT_PROCESS_PATH])
{
    const char *dir = getenv("RETETHER_VM_DIR");

    (void)snprintf(paths[0], RT_PROCESS_PATH, "%s/guest/bin/retetherd", dir != NULL ? dir : "build/vm");
    (void)snprintf(paths[1], RT_PROCESS_PATH, "%s/guest/bin/retether", dir != NULL ? dir : "build/vm");
    (void)snprintf(paths[2], RT_PROCESS_PATH, "/usr/bin/redis-server");
}

static void test_boot(void **state)
{
    static char paths[PROGRAMS][RT_PROCESS_PATH];
    const char *const lines[] = {"command /bin/sleep", "argument 100000", NULL};
    const char *const programs[] = {paths[0], paths[1], paths[2], NULL};

    (void)state;
    find_programs(paths);
    guest = vm_guest_start(&(struct vm_guest_options){.cid = "inside", .lines = lines, .programs = programs});
    harness_expect(0, "answers\n", ARGS("exec", guest->cid, "--", "/bin/sh", "-c", start_agent));
}

static void test_streams(void **state)
{
    struct workload_check received;
    struct workload_report report = {0};
    struct rt_process_run run;
    struct rt_digest sent;
    uint8_t *input = malloc(SIZE);

    (void)state;
    assert_non_null(input);
    workload_fill(SEED + 1, WORKLOAD_BINARY, 0, input, SIZE);
    rt_digest_start(&sent, 0);
    rt_digest_extend(&sent, input, SIZE);
    harness_cli(&run, (const char *)input, SIZE, ARGS("exec", "-i", guest->cid, "--", "/bin/sh", "-c", run_workload));
    free(input);
    if (run.status != 0 || !workload_read_report(run.err, &report)) {
        print_error("status %d: %.2000s\n", run.status, run.err);
        fail();
    }
    workload_check_init(&received, SEED, WORKLOAD_BINARY, 0);
    assert_true(workload_check_feed(&received, run.out, run.out_size));
    assert_int_equal(run.out_size, SIZE);
    assert_int_equal(report.out, SIZE);
    assert_int_equal(report.in, SIZE);
    assert_int_equal(report.out_hash, rt_digest_value(&received.digest));
    assert_int_equal(report.in_hash, rt_digest_value(&sent));
    rt_process_run_free(&run);
    (void)printf("vm: agent and tether in one guest, vsock::7400 and CID 1: %" PRIu64
                 " bytes each way, 0 lost, 0 repeated\n",
                 SIZE);
}

/* Its guests are gone or there: each as the agent in the guest tells it. */
static void test_links(void **state)
{
    struct rt_process_run run;

    (void)state;
    harness_cli(&run, NULL, 0, ARGS("exec", guest->cid, "--", "/bin/sh", "-c", "grep -c 'vsock:1:' /run/in/log"));
    assert_int_equal(run.status, 0);
    rt_process_run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_links),
    };

    return vm_main("vm_inside", tests, sizeof(tests) / sizeof(tests[0]));
}
