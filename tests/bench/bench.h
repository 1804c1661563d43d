/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_BENCH_BENCH_H
#define RETETHER_TESTS_BENCH_BENCH_H

#include "retether/client.h"
#include "tests/bench/report.h"
#include "tests/lib/cluster.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Measures the real programs side by side with others that relay bytes. What is compared is a *chain*:
 *
 *     guest's program | entry | middle | exit | client's program
 *
 * with tether, agent and `retether attach` as entry, middle and exit, or socat, HAProxy and socat, or three socat, or
 * nothing but a pipe. Contenders take turns, A B C A B C, so that what else the machine does meets all of them alike.
 */

/* Any single wait; what takes longer has failed. */
#define BENCH_LIMIT_MS 120000
#define BENCH_ROUNDS 5
#define BENCH_PATH 128
/* Of TLS that is measured: what an agent and its client choose. */
#define BENCH_TLS_CIPHER "TLS_AES_128_GCM_SHA256"
#define BENCH_TLS_GROUP "X25519"

struct bench_options {
    bool quick; /* the smallest sample of each: shows that it works, not how fast */
    bool json;
    const char *svg;          /* directory, or NULL */
    unsigned moves;           /* of a blackout; 0: as many as the part wants */
    unsigned rounds;          /* 0: BENCH_ROUNDS */
    unsigned hosts, sessions; /* of the load; 0: as many as it has by itself */
};

struct bench {
    struct bench_options options;
    struct bench_report report;
    struct rt_cluster cluster;          /* of the part that runs */
    char guest_tcp[64], client_tls[64]; /* endpoints of its first agent */
    char client_certs[128];             /* directory of certificates, for the latter */
    char pump[RT_PROCESS_PATH];
    unsigned chains; /* so far: makes names */
    /* peers; 0: not running */
    pid_t haproxy[2];             /* default, 256 KiB */
    unsigned haproxy_ports[2][2]; /* TLS frontend, server */
    unsigned haproxy_shakes;      /* the first one's that closes behind a handshake */
};

/* ---- world.c ---- */

uint64_t bench_now_ns(void);
/* CPU that this process has had, of all its threads; 0 when it is gone. */
uint64_t bench_cpu_ns(pid_t pid);
/* Of this process' first thread so far, by the kernel's scheduler: on a CPU, and ready while another one had it. */
void bench_sched_ns(pid_t pid, uint64_t ns[2]);
/* KiB; field: "VmRSS:", "VmHWM:". */
double bench_memory(pid_t pid, const char *field);
/* Fails the whole run. */
__attribute__((format(printf, 1, 2), noreturn)) void bench_die(const char *format, ...);
/* The `failed` of an attachment: ends the program with the reason. */
void bench_attach_failed(struct retether_attachment *att, unsigned cls, const char *text, unsigned code,
                         unsigned signum, void *ctx);
/* One line on stderr of what is done now. */
__attribute__((format(printf, 1, 2))) void bench_say(const char *format, ...);
bool bench_has(const char *program);
unsigned bench_rounds(const struct bench *bench);
/* A cluster of so many agents, the first one also on TCP, and HAProxy, where it is installed. */
void bench_world_start(struct bench *bench, unsigned hosts);
void bench_world_stop(struct bench *bench);
/* DIR/NAME of the world's directory. */
void bench_path(const struct bench *bench, const char *name, char path[BENCH_PATH]);
/* Resets every connection that this process has with the socket of this path, by taking hold of its descriptors.
 * Returns how many; `at`: when it began to. */
unsigned bench_cut(pid_t pid, const char *path, uint64_t *at);
/* The process (0: this one) on the first CPU only, or on all again. */
void bench_pin(pid_t pid, bool one_cpu);

/* ---- chain.c ---- */

enum bench_who { BENCH_RETETHER, BENCH_HAPROXY, BENCH_HAPROXY_BIG, BENCH_SOCAT, BENCH_PIPE, BENCH_WHOS };
enum bench_flow { BENCH_UP, BENCH_DOWN, BENCH_BOTH }; /* guest to client, client to guest */

struct bench_chain {
    enum bench_who who;
    enum bench_flow flow;
    bool tls;                /* the guest on TCP, the client on TLS, who shows a certificate */
    bool no_client;          /* retether: whoever opens it attaches by other means */
    bool verbose;            /* retether: logs of tether and client are wanted */
    const char *guest_agent; /* retether: other endpoints than the world's own, or NULL */
    const char *client_agent;
    const char *exit_socket; /* others: where the exit listens, when the middle reaches it by other means, or NULL */

    const char *socat_env;    /* while the chain is opened */
    int to_guest, from_guest; /* the client's ends, or -1 */
    int entry_log, exit_log;  /* or -1 */
    char cid[32];
    pid_t entry, middle, exit, guest; /* 0: has none, or (guest) is the tether's child */
};

const char *bench_who_name(enum bench_who who);
/* Whether this machine has it. */
bool bench_who_there(const struct bench *bench, enum bench_who who);
/* Starts a chain with this program at the guest's end. */
void bench_chain_open(struct bench *bench, struct bench_chain *chain, const char *const *guest);
/* CPU of entry, middle, exit. */
uint64_t bench_chain_cpu_ns(const struct bench_chain *chain);
void bench_chain_pin(const struct bench_chain *chain, bool one_cpu);
void bench_chain_close(struct bench_chain *chain);
/* Until somebody listens on this unix socket or, with NULL, on this port of 127.0.0.1. */
void bench_wait_listener(const char *path, unsigned port);
/* A program of ours with these descriptors; dies with this process. */
pid_t bench_start(const char *const *argv, int in, int out, int err, const char *env);

/* ---- the parts ---- */

void bench_relay(struct bench *bench);
void bench_small(struct bench *bench);
void bench_fair(struct bench *bench);
void bench_latency(struct bench *bench);
void bench_handshake(struct bench *bench);
void bench_blackout(struct bench *bench);
void bench_memory_part(struct bench *bench);
void bench_storm(struct bench *bench);
void bench_window(struct bench *bench);
void bench_store(struct bench *bench);
void bench_load(struct bench *bench);
/* Parts of parts. So many bytes through this chain, in writes of 64 KiB: MB/s. */
double bench_rate(struct bench *bench, struct bench_chain *chain, uint64_t bytes);
/* A container that has been there and is gone. */
void bench_warm_up(struct bench *bench);
/* bench-sessions with so many sessions, once all of them are attached to. It ends when *hold is closed. */
pid_t bench_sessions(struct bench *bench, unsigned n, int *hold);
/* bench-guests with guests "storm-0" to "storm-(n - 1)", at the first host. flood: the size of what they write by
 * themselves, or NULL. ends: its stdin, and its stdout, which says "ready". */
pid_t bench_guests(struct bench *bench, unsigned n, const char *flood, int ends[2]);

#endif
