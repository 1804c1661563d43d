/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_CLUSTER_H
#define RETETHER_TESTS_LIB_CLUSTER_H

#include "tests/lib/cluster_process.h"
#include "tests/lib/redis.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A whole cluster of real programs in a private directory: Redis with a replica, an agent per host, and VMs, each with
 * a vMotion stand-in between its tether and the agents. Unix sockets only, but for Redis to its replica. Everything
 * dies with the process that started it, and the directory goes; on failure the logs stay. Two clusters do not meet.
 *
 * Calls block for a bounded time and return 0 or -1 with a text on stderr, unless said otherwise. */

#define RT_CLUSTER_HOSTS_MAX 4
#define RT_CLUSTER_VMS_MAX 24
#define RT_CLUSTER_ANSWER 512

struct rt_cluster_host {
    char name[16];
    char guests[96], clients[96]; /* paths of its sockets */
    char state[96], log[112];
    char netns[32];                   /* the network namespace that its agent runs in; empty: this one */
    char more_guests[128];            /* one more listener for guests, or empty */
    char more_clients[64];            /* the same for clients */
    char advertise[64];               /* what clients are told instead of its listeners, or empty */
    char tls[112];                    /* directory of certificates, or empty */
    char store[160];                  /* its agent's --store, or empty: the cluster's */
    const char *const *agent_options; /* more of its agent's, NULL-terminated, or NULL */
    const char *program;              /* its agent's, or NULL: retetherd */
    pid_t pid;                        /* 0: not running */
};

struct rt_cluster_vm {
    char cid[64];
    char guest[96], control[96]; /* paths: what its tether dials, and where its stand-in is commanded */
    char log[112], motion_log[112];
    pid_t tether, motion; /* 0: not running */
    int control_fd;       /* to the stand-in */
    unsigned on;          /* index of the host */
};

/* Who is in this group, which nobody is by himself, comes to every agent as an operator; all others are vchs of the
 * tenant "local". */
#define RT_CLUSTER_OPERATORS "4242"

struct rt_cluster {
    char dir[64];
    char agents_env[512]; /* "RETETHER_AGENTS=…", every host */
    char tls_env[160];    /* "RETETHER_TLS=…", or empty: commands on unix sockets need none */
    char guest_env[160];  /* "RETETHER_GUEST_AGENT=…", host 0 */
    /* More options of `retether create` for VMs started from now on; NULL-terminated, or NULL. */
    const char *const *create_options;
    struct rt_test_redis redis, replica;
    bool has_replica;
    char store[160];          /* the agents' --store, or empty: that redis */
    char store_password[112]; /* their --store-password-file, or empty */
    struct rt_cluster_host hosts[RT_CLUSTER_HOSTS_MAX];
    unsigned n_hosts;
    struct rt_cluster_vm vms[RT_CLUSTER_VMS_MAX];
    unsigned n_vms;
    struct rt_janitor janitor;
};

/* Hosts h0, h1, …, all agents answering. On failure all is stopped. */
int rt_cluster_start(struct rt_cluster *cluster, unsigned n_hosts, bool replica);
/* The same, but asks before each host's first agent starts: it may set netns, more_guests, more_clients, advertise and
 * tls. Not 0: that host cannot be had. */
typedef int (*rt_cluster_prepare)(struct rt_cluster *cluster, unsigned host);
int rt_cluster_start_in(struct rt_cluster *cluster, unsigned n_hosts, bool replica, rt_cluster_prepare prepare);
/* A rt_cluster_prepare: clients come over TLS. Each agent has a listener on loopback, which alone is told to clients,
 * and a certificate of a CA of the cluster's own (DIR/ca, DIR/HOST.tls); commands go there with the certificates of a
 * vch of the tenant "local" (DIR/vch). The sockets stay, for who is told of them. */
int rt_cluster_tls(struct rt_cluster *cluster, unsigned host);
/* Ends all. keep_logs: says where they are; else nothing is left. Safe on a zeroed struct, and twice. */
void rt_cluster_stop(struct rt_cluster *cluster, bool keep_logs);

/* Starts a host's agent; does not wait until it answers. */
int rt_cluster_agent_start(struct rt_cluster *cluster, unsigned host);
/* Until its client socket takes connections. */
int rt_cluster_agent_wait(struct rt_cluster *cluster, unsigned host, unsigned limit_ms);
void rt_cluster_agent_kill(struct rt_cluster *cluster, unsigned host); /* SIGKILL */

/* The join token of a new session. Repeats it until the store is there. */
int rt_cluster_create(struct rt_cluster *cluster, const char *cid, char *token, size_t size);
/* Creates the session, then starts a stand-in on host 0, and a tether (with these options of it, NULL-terminated, or
 * NULL) that runs argv. */
int rt_cluster_vm_start(struct rt_cluster *cluster, const char *cid, const char *const *tether_options,
                        const char *const *argv, struct rt_cluster_vm **vm);
/* The same with the token of a session that has been made. */
int rt_cluster_vm_start_with(struct rt_cluster *cluster, const char *cid, const char *token,
                             const char *const *tether_options, const char *const *argv, struct rt_cluster_vm **vm);
/* Ends both programs. The slot stays. */
void rt_cluster_vm_kill(struct rt_cluster_vm *vm);

/* One command to the stand-in; -1 also when it answers with an error. answer may be NULL. */
int rt_cluster_vm_command(struct rt_cluster_vm *vm, const char *command, char answer[RT_CLUSTER_ANSWER]);
/* style: "reset", "eof", "hang". */
int rt_cluster_vm_move(struct rt_cluster *cluster, struct rt_cluster_vm *vm, unsigned host, const char *style);

/* Runs `retether ARGS…` (args[0] is "retether") against all agents of the cluster, to its end. */
int rt_cluster_cli(struct rt_cluster *cluster, const char *const *args, const void *input, size_t input_size,
                   unsigned limit_ms, struct rt_process_run *run);
/* Sets the environment that a retether of this cluster needs, from spec->env[0] on. */
void rt_cluster_cli_env(const struct rt_cluster *cluster, struct rt_process_spec *spec);

#endif
