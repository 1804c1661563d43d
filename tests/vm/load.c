/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AGENT_LIMIT_MS 120000
#define ARGS_MAX 12
#define STEP_MS 20

void vm_load_start(struct vm_stream *stream, const struct vm_guest *guest, const char *rate, uint64_t seed)
{
    char text[24];
    const char *args[ARGS_MAX] = {"retether", "exec", "-i", NULL, "--", "/bin/workload", "--endless", "--seed", text};
    size_t n = 9;

    assert_non_null(guest); /* it has booted */
    args[3] = guest->cid;
    (void)snprintf(text, sizeof(text), "%" PRIu64, seed);
    if (rate != NULL) {
        args[n++] = "--rate";
        args[n++] = rate;
    }
    vm_stream_start(stream, args, seed, VM_LOAD_IN_RATE);
    vm_stream_until(stream, VM_LOAD_SOME);
}

void vm_load_end(struct vm_stream *stream, struct vm_guest *guest, struct vm_case *c)
{
    vm_stream_finish(stream);
    c->out = stream->received.offset;
    c->in = stream->sent;
    vm_stream_close(stream);
    c->replayed_out = vm_guest_resent(guest);
    c->replayed_in = vm_guest_lost_in(guest);
    vm_case_say(c);
}

void vm_load_move(struct vm_stream *stream, struct vm_guest *guest, struct vm_case *c)
{
    struct vm_migration migration;

    vm_stream_mark(stream);
    vm_move(guest, 1 - guest->on, &migration);
    vm_case_add(c, &migration, vm_stream_blackout(stream, migration.resumed_ms));
}

struct vm_guest *vm_load_guest(const char *cid, enum vm_link link)
{
    const char *const lines[] = {"command /bin/sleep", "argument 100000", NULL};

    return vm_guest_start(&(struct vm_guest_options){.cid = cid, .link = link, .lines = lines});
}

static bool log_has(const char *path, const char *text)
{
    FILE *file = fopen(path, "re");
    char line[4096];
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        found = strstr(line, text) != NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

void vm_log_until(const char *path, const char *text, unsigned limit_ms)
{
    uint64_t until = rt_process_now_ms() + limit_ms;

    while (!log_has(path, text)) {
        if (rt_process_now_ms() >= until) {
            print_error("%s: no \"%s\"\n", path, text);
            fail();
        }
        rt_process_sleep_ms(STEP_MS);
    }
}

void vm_load_agent(unsigned host)
{
    assert_int_equal(rt_cluster_agent_start(&harness, host), 0);
    assert_int_equal(rt_cluster_agent_wait(&harness, host, AGENT_LIMIT_MS), 0);
}
