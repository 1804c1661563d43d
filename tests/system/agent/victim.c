/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/agent/victim.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define LOG_LIMIT_MS 120000
/* A guard against hanging. */
#define LIMIT_MS 10000

struct victim victim;

const char *victim_door(const struct daemon *daemon, int door)
{
    const char *const doors[VICTIM_DOORS] = {daemon->guest, daemon->client, victim.tcp_guest, victim.other_client};

    return doors[door];
}

/* The address of the TCP listener, whose port the kernel chose: the log tells it. */
static void find_tcp(const struct daemon *daemon, const char *whom, char *out, size_t size)
{
    const char *at = daemon_log(daemon);

    while ((at = strstr(at, PEER_TCP)) != NULL) {
        size_t length = strlen(PEER_TCP);

        length += strspn(at + length, "0123456789");
        if (strncmp(at + length, whom, strlen(whom)) == 0) {
            assert_true(length < size);
            (void)snprintf(out, size, "%.*s", (int)length, at);
            return;
        }
        at += length;
    }
    fail_msg("no TCP listener%s in the log:\n%s", whom, daemon_log(daemon));
}

int victim_setup(void **state)
{
    struct daemon *daemon;
    char clients[112];

    assert_int_equal(daemon_setup(state), 0);
    daemon = *state;
    (void)snprintf(victim.other_client, sizeof(victim.other_client), "%s/c2", daemon->dir);
    (void)snprintf(clients, sizeof(clients), "unix:%s", victim.other_client);
    daemon_up(daemon, (const char *[]){"--guests", PEER_TCP "0", "--clients", clients, NULL});
    find_tcp(daemon, " for guests", victim.tcp_guest, sizeof(victim.tcp_guest));
    pair_start(&victim.pair, daemon, "victim", 1);
    pair_move(&victim.pair, 4 << 20, 20000);
    return 0;
}

int victim_teardown(void **state)
{
    struct daemon *daemon = *state;
    int status;

    pair_move(&victim.pair, 1 << 20, 10000);
    pair_close(&victim.pair);
    assert_true(daemon->pid > 0);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    status = daemon_wait(daemon, 3500);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return daemon_teardown(state);
}

int victim_refused(const char *address, const void *data, size_t size)
{
    struct peer peer;
    int cls;

    peer_open(&peer, address);
    (void)peer_write(&peer, data, size);
    cls = peer_refused(&peer, LIMIT_MS);
    peer_close(&peer);
    return cls;
}

static size_t settled_rss(const struct daemon *daemon)
{
    pair_move(&victim.pair, 1 << 20, 10000);
    return daemon_rss(daemon);
}

void victim_again(const struct daemon *daemon, void (*load)(const struct daemon *daemon))
{
    size_t before = settled_rss(daemon), warm, after;
    unsigned rounds = 1;

    load(daemon);
    after = settled_rss(daemon);
    assert_true(after < before + VICTIM_GROWTH_MAX);
    do { /* how many peers are there at once differs: what they leave behind adds up in every round */
        warm = after;
        load(daemon);
        after = settled_rss(daemon);
        print_message("memory of the agent: %zu KiB, %zu after %u rounds, %zu after one more\n", before >> 10,
                      warm >> 10, rounds, after >> 10);
    } while (after > warm + VICTIM_LEAK_MAX && ++rounds < VICTIM_ROUNDS_MAX);
    assert_true(after <= warm + VICTIM_LEAK_MAX);
}

/* How many lines of an event a line of the log stands for. */
static uint64_t lines_of(const char *line, const char *event)
{
    static const char more[] = "\"suppressed\":", kind[] = "\"event\":\"";
    const char *at = strstr(line, kind), *suppressed = strstr(line, more);

    if (at == NULL || strncmp(at + strlen(kind), event, strlen(event)) != 0 ||
        at[strlen(kind) + strlen(event)] != '"') {
        return 0;
    }
    return (strstr(line, "lines were suppressed") == NULL) +
           (suppressed == NULL ? 0 : strtoull(suppressed + strlen(more), NULL, 10));
}

uint64_t victim_told(const struct daemon *daemon, const char *event)
{
    const char *at = daemon_log(daemon), *end;
    char line[1024];
    uint64_t n = 0;

    for (; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        (void)snprintf(line, sizeof(line), "%.*s", (int)(end - at), at);
        n += lines_of(line, event);
    }
    return n;
}

void victim_until(const struct daemon *daemon, const char *event, uint64_t count)
{
    uint64_t limit = test_now_ms() + LOG_LIMIT_MS, n;

    while ((n = victim_told(daemon, event)) < count && test_now_ms() < limit) {
        pair_run(&victim.pair, 20);
    }
    /* More is none of the peers' doing: on a busy machine somebody else is refused too (a store that is slow). */
    if (n < count) {
        fail_msg("the log tells of %llu %s, not of %llu", (unsigned long long)n, event, (unsigned long long)count);
    }
}

uint64_t victim_refusals(const struct daemon *daemon)
{
    return victim_told(daemon, "refused");
}

void victim_until_refusals(const struct daemon *daemon, uint64_t count)
{
    victim_until(daemon, "refused", count);
}
