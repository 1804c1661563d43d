/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/system/chaos/faults.h"

#include "tests/lib/certs/certs.h"
#include "tests/lib/pki.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The servers of the store, how they are spoken to, and the agents' way to them. */

#define ANSWER_MS 2000
/* A server that runs and is not stopped takes an order again in less. */
#define UNTELL_LIMIT_MS 30000
/* As long as nobody is the primary, a fault strikes any server. */
#define PRIMARY_LIMIT_MS 10000
#define AGAIN_MS 100

redisReply *chaos_ask(const struct rt_test_redis *server, const char *line)
{
    return rt_test_redis_ask(server, ANSWER_MS, line);
}

bool chaos_tell(const struct rt_test_redis *server, const char *line)
{
    redisReply *reply = chaos_ask(server, line);
    bool taken = reply != NULL && reply->type != REDIS_REPLY_ERROR;

    freeReplyObject(reply);
    return taken;
}

void chaos_servers_check(struct chaos *chaos)
{
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        const struct rt_test_redis *server = chaos->servers[i];
        siginfo_t info = {0};

        if (server->pid != 0 && waitid(P_PID, (id_t)server->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid != 0) {
            chaos_fail(chaos, "the server at port %u has ended by itself: %s %d", server->port,
                       info.si_code == CLD_EXITED ? "status" : "signal", info.si_status);
        }
    }
}

void chaos_untell(struct chaos *chaos, const struct rt_test_redis *server, const char *line)
{
    uint64_t until = rt_process_now_ms() + UNTELL_LIMIT_MS;

    while (server->pid != 0) {
        redisReply *reply = chaos_ask(server, line);
        bool taken = reply != NULL && reply->type != REDIS_REPLY_ERROR, late = rt_process_now_ms() > until;

        if (!taken && late) {
            chaos_fail(chaos, "the server at port %u does not take back what was done to it: %s: %s", server->port,
                       line, reply != NULL ? reply->str : "no answer");
        }
        freeReplyObject(reply);
        if (taken || late) {
            return;
        }
        chaos_wait(chaos, AGAIN_MS);
    }
}

static struct rt_test_redis *named_by(struct chaos *chaos, const struct rt_test_redis *sentinel)
{
    redisReply *reply = chaos_ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME main");
    struct rt_test_redis *found = NULL;

    for (size_t i = 0; reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && i < CHAOS_SERVERS;
         i++) {
        if (chaos->servers[i]->port == strtoul(reply->element[1]->str, NULL, 10)) {
            found = chaos->servers[i];
        }
    }
    freeReplyObject(reply);
    return found;
}

struct rt_test_redis *chaos_primary(struct chaos *chaos)
{
    uint64_t until = rt_process_now_ms() + PRIMARY_LIMIT_MS;

    for (unsigned i = 0; rt_process_now_ms() < until; i++) {
        struct rt_test_redis *found = named_by(chaos, &chaos->sentinels[i % CHAOS_SENTINELS]);

        if (found != NULL && found->pid != 0) {
            return found;
        }
        chaos_wait(chaos, AGAIN_MS);
    }
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        if (chaos->servers[i]->pid != 0) {
            return chaos->servers[i];
        }
    }
    chaos_fail(chaos, "no server runs");
    return chaos->servers[0];
}

unsigned chaos_number_of(const struct chaos *chaos, const struct rt_test_redis *server)
{
    unsigned i = 0;

    while (i + 1 < CHAOS_SERVERS && chaos->servers[i] != server) {
        i++;
    }
    return i;
}

/* ---- the store ---- */

static const char password[] = ">" CHAOS_PASSWORD;
static const char *const server_options[] = {
    "--enable-debug-command", "yes", "--user", CHAOS_USER, "on", password, "~*", "&*", "+@all", NULL};
static const char *const agent_options[] = {"--store-password-file", chaos_only.login, "--store-tls",
                                            chaos_only.agent_tls, NULL};

/* What was there is written over, and never cut off before: a server reads its clock from the file where it is mapped,
 * and a byte that is not there at that moment ends it (SIGBUS). */
static int write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ssize_t n = fd >= 0 ? write(fd, data, size) : -1;

    if (fd >= 0) {
        (void)close(fd);
    }
    return n == (ssize_t)size ? 0 : -1;
}

int chaos_clock(const struct chaos *chaos, unsigned server, int64_t shift_s)
{
    return write_file(chaos->clocks[server], &shift_s, sizeof(shift_s));
}

/* Servers take what they need here from their command line: it is the same when they are started again. */
static int equip(struct chaos *chaos, unsigned i)
{
    static char preload[RT_PROCESS_PATH + 16], clocks[CHAOS_SERVERS][sizeof(chaos->clocks[0]) + 16];
    struct rt_test_redis *server = chaos->servers[i];

    (void)snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", CLOCK_SHIFT);
    (void)snprintf(chaos->clocks[i], sizeof(chaos->clocks[i]), "%s/clock%u", chaos->cluster.dir, i);
    (void)snprintf(clocks[i], sizeof(clocks[i]), "RT_CLOCK=%s", chaos->clocks[i]);
    memcpy(server->options, server_options, sizeof(server_options));
    server->env[0] = preload;
    server->env[1] = clocks[i];
    return chaos_clock(chaos, i, 0) != 0 || rt_test_redis_kill(server) != 0 ? -1 : rt_test_redis_restart(server, false);
}

/* The certificates of the agents and of the store, and one of the store's that has expired. */
static int certify(struct chaos *chaos, struct proxy_setup *proxy)
{
    char ca[96], server[96], ca_cert[112], ca_key[112];
    struct certs_spec old = {
        .cert_file = proxy->old_cert, .key_file = proxy->old_key, .from_s = -7200, .until_s = -3600};
    struct certs_ca by;

    (void)snprintf(ca, sizeof(ca), "%s/store-ca", chaos->cluster.dir);
    (void)snprintf(server, sizeof(server), "%s/store", chaos->cluster.dir);
    (void)snprintf(ca_cert, sizeof(ca_cert), "%s/ca.pem", ca);
    (void)snprintf(ca_key, sizeof(ca_key), "%s/ca-key.pem", ca);
    (void)snprintf(proxy->cert, sizeof(proxy->cert), "%s/cert.pem", server);
    (void)snprintf(proxy->key, sizeof(proxy->key), "%s/key.pem", server);
    (void)snprintf(proxy->old_cert, sizeof(proxy->old_cert), "%s/old-cert.pem", server);
    (void)snprintf(proxy->old_key, sizeof(proxy->old_key), "%s/old-key.pem", server);
    if (rt_test_pki_ca(ca) != 0 || rt_test_pki_issue(ca, "store", "127.0.0.1", server) != 0 ||
        rt_test_pki_issue(ca, "agent", "any", chaos->agent_tls) != 0) {
        return -1;
    }
    certs_ca_read(&by, ca_cert, ca_key);
    certs_issue(&by, &old);
    certs_ca_close(&by);
    return 0;
}

static int start_proxy(struct chaos *chaos)
{
    static struct proxy_setup setup;
    static const char login[] = CHAOS_USER "\n" CHAOS_PASSWORD "\n";

    (void)snprintf(chaos->login, sizeof(chaos->login), "%s/login", chaos->cluster.dir);
    (void)snprintf(chaos->agent_tls, sizeof(chaos->agent_tls), "%s/store-agent", chaos->cluster.dir);
    setup.seed = chaos->seed;
    setup.close_fd = chaos->cluster.janitor.fd;
    for (size_t i = 0; i < CHAOS_SERVERS; i++) {
        setup.named[i] = chaos->servers[i]->port;
        memcpy(setup.sockets[i], chaos->servers[i]->socket, sizeof(setup.sockets[i]));
        memcpy(setup.sockets[CHAOS_SERVERS + i], chaos->sentinels[i].socket, sizeof(setup.sockets[i]));
    }
    return write_file(chaos->login, login, sizeof(login) - 1) != 0 || certify(chaos, &setup) != 0
               ? -1
               : proxy_start(&chaos->proxy, &setup);
}

static int start_servers(struct chaos *chaos, struct rt_cluster *cluster)
{
    int rc;

    chaos->servers[0] = &cluster->redis;
    chaos->servers[1] = &cluster->replica;
    chaos->servers[2] = &chaos->second;
    rc = rt_test_redis_start(&chaos->second, &cluster->redis, NULL);
    rt_janitor_remove(&cluster->janitor, chaos->second.dir);
    for (unsigned i = 0; i < CHAOS_SERVERS && rc == 0; i++) {
        rc = equip(chaos, i);
    }
    for (size_t i = 0; i < CHAOS_SENTINELS && rc == 0; i++) {
        rc = rt_test_sentinel_start(&chaos->sentinels[i], &cluster->redis);
        rt_janitor_remove(&cluster->janitor, chaos->sentinels[i].dir);
    }
    for (size_t i = 0; i < CHAOS_SENTINELS && rc == 0; i++) {
        rc = rt_test_sentinel_wait(&chaos->sentinels[i], CHAOS_SENTINELS - 1, CHAOS_SERVERS - 1);
    }
    return rc;
}

int chaos_store_start(struct rt_cluster *cluster, unsigned host)
{
    struct chaos *chaos = &chaos_only;
    struct rt_cluster_host *h = &cluster->hosts[host];
    const uint16_t *sentinels = &chaos->proxy.ports[host][CHAOS_SERVERS];

    if (host == 0 && (start_servers(chaos, cluster) != 0 || start_proxy(chaos) != 0)) {
        return -1;
    }
    (void)snprintf(h->store, sizeof(h->store), "sentinel+tls://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
                   sentinels[0], sentinels[1], sentinels[2]);
    h->agent_options = agent_options;
    return 0;
}

void chaos_store_stop(struct chaos *chaos)
{
    for (size_t i = 0; i < CHAOS_SENTINELS; i++) {
        rt_test_redis_stop(&chaos->sentinels[i]);
    }
    rt_test_redis_stop(&chaos->second);
}
