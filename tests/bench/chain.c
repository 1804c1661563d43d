/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCAT_BUFFER "65536"
#define GUEST_ARGS_MAX 24
/* For an end that comes by itself. */
#define END_LIMIT_MS 10000

const char *bench_who_name(enum bench_who who)
{
    static const char *const names[] = {"retether", "haproxy", "haproxy 256 KiB", "socat", "pipe"};

    return names[who];
}

bool bench_who_there(const struct bench *bench, enum bench_who who)
{
    bool socat = bench_has("socat");

    switch (who) {
    case BENCH_HAPROXY:
    case BENCH_HAPROXY_BIG:
        return socat && bench->haproxy[who - BENCH_HAPROXY] != 0;
    case BENCH_SOCAT:
        return socat;
    default:
        return true;
    }
}

static void pipe_of(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        bench_die("pipe: %s", strerror(errno));
    }
}

static void close_of(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* ---- tether, agent, attach ---- */

static void open_retether(struct bench *bench, struct bench_chain *chain, const char *const *guest)
{
    const struct rt_cluster_host *host = &bench->cluster.hosts[0];
    char guests[160], token[2200] = "RETETHER_TOKEN=", agents[256];
    const char *tether[GUEST_ARGS_MAX + 12] = {"tether", "--agent",     guests,
                                               "--cid",  chain->cid,    "--first-hold",
                                               "60s",    "--log-level", chain->verbose ? "debug" : "warn",
                                               "--"};
    const char *attach[10] = {"retether", "attach", "--since-offset", "oldest", chain->cid};
    int in[2] = {-1, -1}, out[2] = {-1, -1}, entry[2] = {-1, -1}, leave[2] = {-1, -1};
    const char *agent = chain->client_agent;
    size_t n = 10, n_attach = 5;

    for (size_t i = 0; guest[i] != NULL && i < GUEST_ARGS_MAX; i++) {
        tether[n++] = guest[i];
    }
    (void)snprintf(chain->cid, sizeof(chain->cid), "bench-%u", bench->chains);
    (void)snprintf(guests, sizeof(guests), chain->tls ? "%s" : "unix:%s", chain->tls ? bench->guest_tcp : host->guests);
    if (chain->guest_agent != NULL) {
        (void)snprintf(guests, sizeof(guests), "%s", chain->guest_agent);
    }
    if (agent != NULL) {
        (void)snprintf(agents, sizeof(agents), "RETETHER_AGENTS=%s", agent);
    } else if (chain->tls) {
        (void)snprintf(agents, sizeof(agents), "RETETHER_AGENTS=%s", bench->client_tls);
    } else {
        (void)snprintf(agents, sizeof(agents), "RETETHER_AGENTS=unix:%s", host->clients);
    }
    if (rt_cluster_create(&bench->cluster, chain->cid, token + 15, sizeof(token) - 15) != 0) {
        bench_die("no session");
    }
    if (chain->verbose) {
        pipe_of(entry);
        pipe_of(leave);
        attach[n_attach++] = "-v";
    }
    chain->entry = bench_start(tether, -1, -1, entry[1], token);
    if (chain->flow != BENCH_UP) {
        pipe_of(in);
    } else {
        attach[n_attach++] = "--no-stdin";
    }
    if (chain->tls) {
        attach[n_attach++] = "--tls";
        attach[n_attach++] = bench->client_certs;
    }
    pipe_of(out);
    if (!chain->no_client) {
        chain->exit = bench_start(attach, in[0], out[1], leave[1], agents);
    }
    chain->middle = host->pid;
    chain->to_guest = in[1];
    chain->from_guest = out[0];
    chain->entry_log = entry[0];
    chain->exit_log = leave[0];
    close_of(&in[0]);
    close_of(&out[1]);
    close_of(&entry[1]);
    close_of(&leave[1]);
}

/* ---- others ---- */

/* Whether somebody listens there, without connecting: socat takes one connection only. The file of a socket is there
 * a moment before its owner listens. */
static bool listens(const char *path, unsigned port)
{
    FILE *file = fopen(path != NULL ? "/proc/net/unix" : "/proc/net/tcp", "re");
    char line[512], wanted[32];
    bool found = false;

    (void)snprintf(wanted, sizeof(wanted), "0100007F:%04X 00000000:0000 0A", port);
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (path == NULL) {
            found = strstr(line, wanted) != NULL;
        } else if (strlen(line) > strlen(path)) {
            found = strcmp(line + strlen(line) - strlen(path), path) == 0 && strstr(line, " 00010000 ") != NULL;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

void bench_wait_listener(const char *path, unsigned port)
{
    uint64_t until = rt_process_now_ms() + BENCH_LIMIT_MS;

    while (!listens(path, port)) {
        if (rt_process_now_ms() > until) {
            bench_die("nobody listens on %s", path != NULL ? path : "the port");
        }
        rt_process_sleep_ms(1);
    }
}

/* socat between stdin, stdout and an address, in the chain's direction. */
static pid_t start_socat(const struct bench_chain *chain, const char *address, bool at_guest, int in, int out)
{
    bool sends = chain->flow == BENCH_BOTH || (chain->flow == BENCH_UP) == at_guest;
    const char *one_way[] = {"socat", "-u", "-b", SOCAT_BUFFER, sends ? "-" : address, sends ? address : "-", NULL};
    const char *both[] = {"socat", "-b", SOCAT_BUFFER, "-", address, NULL};

    return bench_start(chain->flow == BENCH_BOTH ? both : one_way, in, out, -1, chain->socat_env);
}

static void guest_ends(struct bench_chain *chain, const char *const *guest, const char *address)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};

    if (chain->flow != BENCH_UP) {
        pipe_of(to);
    }
    if (chain->flow != BENCH_DOWN) {
        pipe_of(from);
    }
    chain->guest = bench_start(guest, to[0], from[1], -1, NULL);
    if (address != NULL) {
        chain->entry = start_socat(chain, address, true, from[0], to[1]);
        close_of(&to[1]);
        close_of(&from[0]);
    } else {
        chain->to_guest = to[1];
        chain->from_guest = from[0];
    }
    close_of(&to[0]);
    close_of(&from[1]);
}

static void client_end(struct bench_chain *chain, const char *address)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};

    if (chain->flow != BENCH_UP) {
        pipe_of(to);
    }
    if (chain->flow != BENCH_DOWN) {
        pipe_of(from);
    }
    chain->exit = start_socat(chain, address, false, to[0], from[1]);
    chain->to_guest = to[1];
    chain->from_guest = from[0];
    close_of(&to[0]);
    close_of(&from[1]);
}

/* Unix sockets: the exit listens, the middle dials it, and is dialled by the entry. */
static void open_unix(struct bench *bench, struct bench_chain *chain, const char *const *guest)
{
    bool haproxy = chain->who != BENCH_SOCAT;
    unsigned at = haproxy ? chain->who - BENCH_HAPROXY : bench->chains;
    char in[BENCH_PATH], out[BENCH_PATH], name[32], dial[160], listen[160], front[160], back[160];

    (void)snprintf(name, sizeof(name), haproxy ? "in.haproxy-%u" : "in.socat-%u", at);
    bench_path(bench, name, in);
    (void)snprintf(name, sizeof(name), haproxy ? "out.haproxy-%u" : "out.socat-%u", at);
    bench_path(bench, name, out);
    if (chain->exit_socket != NULL) {
        (void)snprintf(out, sizeof(out), "%s", chain->exit_socket);
    }
    (void)unlink(out);
    (void)snprintf(listen, sizeof(listen), "UNIX-LISTEN:%s", out);
    (void)snprintf(back, sizeof(back), "UNIX-CONNECT:%s", out);
    (void)snprintf(front, sizeof(front), "UNIX-LISTEN:%s", in);
    (void)snprintf(dial, sizeof(dial), "UNIX-CONNECT:%s", in);
    client_end(chain, listen);
    bench_wait_listener(out, 0);
    if (haproxy) {
        chain->middle = bench->haproxy[at];
    } else {
        const char *middle[] = {"socat", "-b", SOCAT_BUFFER, front, back, NULL};

        chain->middle = bench_start(middle, -1, -1, -1, NULL);
        bench_wait_listener(in, 0);
    }
    guest_ends(chain, guest, dial);
}

/* TLS: as with an agent the client dials the middle, and both show certificates; the middle and the guest have TCP
 * between them. */
static void open_tls(struct bench *bench, struct bench_chain *chain, const char *const *guest)
{
    bool haproxy = chain->who != BENCH_SOCAT;
    unsigned at = haproxy ? chain->who - BENCH_HAPROXY : 0;
    unsigned front_port = haproxy ? bench->haproxy_ports[at][0] : rt_test_free_port();
    unsigned back_port = haproxy ? bench->haproxy_ports[at][1] : rt_test_free_port();
    const char *ours = bench->cluster.hosts[0].tls, *theirs = bench->client_certs;
    char listen[160], back[64], front[512], dial[512], conf[BENCH_PATH], env[BENCH_PATH + 16];

    bench_path(bench, "openssl.cnf", conf);
    (void)snprintf(env, sizeof(env), "OPENSSL_CONF=%s", conf);
    (void)snprintf(listen, sizeof(listen), "TCP-LISTEN:%u,bind=127.0.0.1,reuseaddr", back_port);
    (void)snprintf(back, sizeof(back), "TCP:127.0.0.1:%u", back_port);
    (void)snprintf(front, sizeof(front),
                   "OPENSSL-LISTEN:%u,bind=127.0.0.1,reuseaddr,cert=%s/cert.pem,key=%s/key.pem,cafile=%s/ca.pem",
                   front_port, ours, ours, ours);
    (void)snprintf(dial, sizeof(dial),
                   "OPENSSL:127.0.0.1:%u,nosni,commonname=\"\",cert=%s/cert.pem,key=%s/key.pem,cafile=%s/ca.pem",
                   front_port, theirs, theirs, theirs);
    chain->socat_env = env;
    guest_ends(chain, guest, listen);
    bench_wait_listener(NULL, back_port);
    if (haproxy) {
        chain->middle = bench->haproxy[at];
    } else {
        const char *middle[] = {"socat", "-b", SOCAT_BUFFER, front, back, NULL};

        chain->middle = bench_start(middle, -1, -1, -1, env);
        bench_wait_listener(NULL, front_port);
    }
    client_end(chain, dial);
    chain->socat_env = NULL;
}

void bench_chain_open(struct bench *bench, struct bench_chain *chain, const char *const *guest)
{
    chain->to_guest = chain->from_guest = chain->entry_log = chain->exit_log = -1;
    chain->entry = chain->middle = chain->exit = chain->guest = 0;
    bench->chains++;
    if (chain->who == BENCH_RETETHER) {
        open_retether(bench, chain, guest);
    } else if (chain->who == BENCH_PIPE) {
        guest_ends(chain, guest, NULL);
    } else if (chain->tls) {
        open_tls(bench, chain, guest);
    } else {
        open_unix(bench, chain, guest);
    }
}

uint64_t bench_chain_cpu_ns(const struct bench_chain *chain)
{
    return bench_cpu_ns(chain->entry) + bench_cpu_ns(chain->middle) + bench_cpu_ns(chain->exit);
}

void bench_chain_pin(const struct bench_chain *chain, bool one_cpu)
{
    const pid_t pids[] = {chain->entry, chain->middle, chain->exit, chain->guest};

    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        if (pids[i] > 0) {
            bench_pin(pids[i], one_cpu);
        }
    }
    bench_pin(0, one_cpu);
}

/* What the guest's program was told to end with ends everything behind it; what does not is killed. */
void bench_chain_close(struct bench_chain *chain)
{
    close_of(&chain->to_guest);
    close_of(&chain->from_guest);
    if (chain->who == BENCH_SOCAT) {
        rt_process_kill(chain->middle);
    }
    if (chain->who != BENCH_RETETHER) {
        rt_process_kill(chain->guest);
        rt_process_kill(chain->entry);
        rt_process_kill(chain->exit);
    } else {
        if (chain->exit > 0 && rt_process_wait(chain->exit, END_LIMIT_MS) == RT_PROCESS_LATE) {
            rt_process_kill(chain->exit);
        }
        (void)kill(chain->entry, SIGTERM);
        if (rt_process_wait(chain->entry, END_LIMIT_MS) == RT_PROCESS_LATE) {
            rt_process_kill(chain->entry);
        }
    }
    close_of(&chain->entry_log);
    close_of(&chain->exit_log);
}
