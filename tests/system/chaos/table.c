/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/chaos.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The session table beside what is so. */

#define ASK_MS 20000
#define AGAIN_MS 100
#define CLAIMS_MAX ((size_t)1 << 20)
#define LINE_MAX_SIZE 4096
/* Of each agent's log this much is kept, to look into after a failure. */
#define LOG_KEPT ((off_t)16 << 20)

/* Whether the lines of `ls --json` say of every session that it runs on its host. why: of the first that does not. */
static bool is_right(const struct chaos *chaos, const char *lines, char why[CHAOS_TEXT])
{
    for (size_t i = 0; i < chaos->n_sessions; i++) {
        const struct chaos_session *session = &chaos->sessions[i];
        char field[48], host[32], line[1024] = "";
        const char *at;

        (void)snprintf(field, sizeof(field), "\"container\":\"%s\",", session->cid);
        (void)snprintf(host, sizeof(host), "\"host\":\"%s\"", chaos->cluster.hosts[session->vm->on].name);
        at = strstr(lines, field);
        if (at != NULL) {
            (void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
        }
        if (strstr(line, "\"state\":\"running\"") == NULL || strstr(line, host) == NULL) {
            (void)snprintf(why, CHAOS_TEXT, "%s should run on %s: %.180s", session->cid,
                           chaos->cluster.hosts[session->vm->on].name, line);
            return false;
        }
    }
    return true;
}

uint64_t chaos_settle(struct chaos *chaos)
{
    const char *const argv[] = {"retether", "ls", "--json", "stays-", NULL};
    uint64_t began = rt_process_now_ms(), until = began + CHAOS_LIMIT_MS;
    char why[CHAOS_TEXT] = "`ls` does not answer";
    bool moving = chaos->moving, right = false;

    chaos->moving = false;
    while (!right && chaos->failure[0] == '\0') {
        struct rt_process_run run;

        if (rt_cluster_cli(&chaos->cluster, argv, NULL, 0, ASK_MS, &run) == 0 && run.status == 0) {
            right = is_right(chaos, run.out, why);
        } else {
            (void)snprintf(why, sizeof(why), "ls: %.200s", run.err != NULL ? run.err : "");
        }
        rt_process_run_free(&run);
        if (!right && rt_process_now_ms() > until) {
            chaos_fail(chaos, "the table is not right: %s", why);
        }
        chaos_run(chaos, AGAIN_MS);
    }
    chaos->moving = moving;
    return rt_process_now_ms() - began;
}

/* ---- the history ---- */

struct claim {
    char cid[32];
    uint64_t life, epoch;
    unsigned host;
};

static struct claim claims[CLAIMS_MAX];
static size_t n_claims;
static off_t read_to[CHAOS_HOSTS]; /* of each agent's log */

static uint64_t number(const char *line, const char *field)
{
    const char *at = strstr(line, field);

    return at != NULL ? strtoull(at + strlen(field), NULL, 10) : 0;
}

static void note(const char *line, unsigned host)
{
    static const char container[] = "\"container\":\"";
    const char *at = strstr(line, container);
    struct claim *claim = &claims[n_claims];

    if (strstr(line, "\"event\":\"claimed\"") == NULL || at == NULL || n_claims == CLAIMS_MAX) {
        return;
    }
    at += sizeof(container) - 1;
    (void)snprintf(claim->cid, sizeof(claim->cid), "%.*s", (int)strcspn(at, "\""), at);
    claim->life = number(line, "\"life\":");
    claim->epoch = number(line, "\"epoch\":");
    claim->host = host;
    n_claims++;
}

static int compare(const void *a, const void *b)
{
    const struct claim *one = a, *two = b;
    int order = strcmp(one->cid, two->cid);

    if (order == 0) {
        order = one->life < two->life ? -1 : one->life > two->life;
    }
    return order != 0 ? order : one->epoch < two->epoch ? -1 : one->epoch > two->epoch;
}

/* Up to the last whole line that is there. */
static void read_log(const char *path, unsigned host)
{
    static char line[LINE_MAX_SIZE];
    FILE *log = fopen(path, "r+");
    size_t size;

    if (log == NULL || fseeko(log, read_to[host], SEEK_SET) != 0) {
        (void)(log != NULL && fclose(log));
        return;
    }
    while (fgets(line, sizeof(line), log) != NULL) {
        size = strlen(line);
        if (line[size - 1] != '\n' && size < sizeof(line) - 1) {
            break;
        }
        note(line, host);
        read_to[host] += (off_t)size;
    }
    if (read_to[host] > LOG_KEPT) { /* where the file system cannot do that the log grows on */
        (void)fallocate(fileno(log), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, read_to[host] - LOG_KEPT);
    }
    (void)fclose(log);
}

void chaos_history_read(struct chaos *chaos)
{
    for (unsigned host = 0; host < CHAOS_HOSTS; host++) {
        read_log(chaos->cluster.hosts[host].log, host);
    }
}

void chaos_history(struct chaos *chaos)
{
    chaos_history_read(chaos);
    if (n_claims < chaos->n_sessions || n_claims == CLAIMS_MAX) {
        chaos_fail(chaos, "the agents' logs have %zu claims", n_claims);
    }
    qsort(claims, n_claims, sizeof(claims[0]), compare);
    for (size_t i = 1; i < n_claims; i++) {
        const struct claim *one = &claims[i - 1], *two = &claims[i];

        if (strcmp(one->cid, two->cid) != 0) {
            continue;
        }
        if (one->life != two->life) {
            chaos_fail(chaos, "%s has had the lives %" PRIu64 " and %" PRIu64, one->cid, one->life, two->life);
        } else if (one->epoch == two->epoch && one->host != two->host) {
            chaos_fail(chaos, "epoch %" PRIu64 " of %s was claimed by h%u and by h%u", one->epoch, one->cid, one->host,
                       two->host);
        }
    }
}
