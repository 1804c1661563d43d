/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/cluster/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rt_cluster harness;

void harness_cli(struct rt_process_run *run, const char *input, size_t input_size, const char *const *args)
{
    assert_int_equal(rt_cluster_cli(&harness, args, input, input_size, 2 * HARNESS_LIMIT_MS, run), 0);
}

int harness_cli_at(struct rt_process_run *run, unsigned host, bool boss, const char *verb, const char *cid)
{
    char program[RT_PROCESS_PATH], agent[160];
    const char *args[] = {"setpriv", "--groups", RT_CLUSTER_OPERATORS, program, verb, "--agent", agent, cid, NULL};

    rt_process_program("retether", program);
    (void)snprintf(agent, sizeof(agent), "unix:%s", harness.hosts[host].clients);
    harness_cli(run, NULL, 0, boss ? args : args + 3);
    return run->status;
}

void harness_expect(int status, const char *out, const char *const *args)
{
    struct rt_process_run run;

    harness_cli(&run, NULL, 0, args);
    if (run.status != status || (out != NULL && strcmp(run.out, out) != 0)) {
        print_error("retether %s ...: status %d, wanted %d\nout: %.500s\nerr: %.500s\n", args[1], run.status, status,
                    run.out, run.err);
        fail();
    }
    rt_process_run_free(&run);
}

bool harness_json(const char *json, const char *field, char *out, size_t size)
{
    char key[64];
    const char *at;
    size_t n;

    (void)snprintf(key, sizeof(key), "\"%s\":", field);
    at = strstr(json, key);
    if (at == NULL) {
        return false;
    }
    at += strlen(key);
    n = at[0] == '"' ? strcspn(++at, "\"") : strcspn(at, ",}]\n");
    (void)snprintf(out, size, "%.*s", (int)n, at);
    return true;
}

void harness_json_fields(const char *json, char *out, size_t size)
{
    size_t used = 0;
    int depth = 0;

    out[0] = '\0';
    for (const char *at = json; *at != '\0' && *at != '\n'; at++) {
        size_t n;

        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            depth--;
        } else if (*at == '"') {
            n = strcspn(at + 1, "\"");
            if (depth == 1 && at[n + 2] == ':') {
                used += (size_t)snprintf(out + used, used < size ? size - used : 0, "%s%.*s", used == 0 ? "" : " ",
                                         (int)n, at + 1);
            }
            at += n + 1;
        }
    }
}

struct rt_cluster_vm *harness_vm(const char *cid, const char *script)
{
    const char *const options[] = {"--first-hold", "10s", NULL};
    const char *const command[] = {"sh", "-c", script, NULL};
    struct rt_cluster_vm *vm;

    assert_int_equal(rt_cluster_vm_start(&harness, cid, options, command, &vm), 0);
    return vm;
}

void harness_vm_end(struct rt_cluster_vm *vm, int status)
{
    assert_int_equal(rt_process_wait(vm->tether, HARNESS_LIMIT_MS), status);
    vm->tether = 0;
    rt_cluster_vm_kill(vm);
    harness.n_vms--;
}

void harness_served(const char *cid, unsigned host)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    char text[128] = "";

    do {
        rt_process_sleep_ms(50);
        harness_cli(&run, NULL, 0, ARGS("resolve", "--json", cid));
        (void)harness_json(run.out, "host", text, sizeof(text));
        rt_process_run_free(&run);
    } while (strcmp(text, harness.hosts[host].name) != 0 && rt_process_now_ms() < until);
    assert_string_equal(text, harness.hosts[host].name);
}

unsigned harness_said(unsigned host, const char *text)
{
    FILE *log = fopen(harness.hosts[host].log, "re");
    char *line = NULL;
    size_t room = 0;
    unsigned n = 0;

    assert_non_null(log);
    while (getline(&line, &room, log) > 0) {
        for (const char *at = line; (at = strstr(at, text)) != NULL; at++) {
            n++;
        }
    }
    free(line);
    assert_int_equal(fclose(log), 0);
    return n;
}

void harness_until_said(unsigned host, const char *text, unsigned times)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;

    while (harness_said(host, text) < times) {
        if (rt_process_now_ms() > until) {
            fail_msg("%s does not say \"%s\" %u times", harness.hosts[host].name, text, times);
        }
        rt_process_sleep_ms(20);
    }
}

/* An agent listens before it has reached the store, and a store that is not whole takes no new containers. */
static int wait_until_whole(void)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_run run;
    int status;

    for (;;) {
        if (rt_cluster_cli(&harness, ARGS("run", "--", "true"), NULL, 0, HARNESS_LIMIT_MS, &run) != 0) {
            return -1;
        }
        status = run.status;
        if (status != 0 && rt_process_now_ms() >= until) {
            (void)fprintf(stderr, "retether run -- true: status %d: %s\n", status, run.err);
        }
        rt_process_run_free(&run);
        if (status == 0 || rt_process_now_ms() >= until) {
            return status == 0 ? 0 : -1;
        }
        rt_process_sleep_ms(100);
    }
}

int harness_main(unsigned hosts, bool replica, const char *name, const struct CMUnitTest *tests, size_t n)
{
    return harness_main_in(hosts, replica, NULL, name, tests, n);
}

int harness_main_in(unsigned hosts, bool replica, rt_cluster_prepare prepare, const char *name,
                    const struct CMUnitTest *tests, size_t n)
{
    int failed;

    (void)signal(SIGPIPE, SIG_IGN);
    if (rt_cluster_start_in(&harness, hosts, replica, prepare) != 0) {
        return 1;
    }
    if (wait_until_whole() != 0) {
        rt_cluster_stop(&harness, true);
        return 1;
    }
    failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    rt_cluster_stop(&harness, failed != 0);
    return failed;
}
