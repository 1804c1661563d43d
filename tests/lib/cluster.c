/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/cluster.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define AGENT_LIMIT_MS 120000
#define CREATE_LIMIT_MS 120000
#define STAND_IN_LIMIT_MS 60000
#define ANSWER_LIMIT_S 60
#define STEP_MS 10
#define ARGS_MAX 64
#define AGENT_ARGS_MAX 40
#define CREATE_ARGS_MAX 12

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "cluster: %s: %s\n", what, why);
    return -1;
}

/* A connected socket, or -1. */
static int dial(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int dial_within(const char *path, pid_t pid, unsigned limit_ms)
{
    uint64_t until = rt_process_now_ms() + limit_ms;
    int fd;

    while ((fd = dial(path)) < 0 && rt_process_now_ms() < until) {
        if (kill(pid, 0) != 0 || rt_process_wait(pid, 0) != RT_PROCESS_LATE) {
            return -1;
        }
        rt_process_sleep_ms(STEP_MS);
    }
    return fd;
}

/* An option that is not empty. */
static size_t add(const char **argv, size_t n, const char *option, const char *value)
{
    if (value[0] != '\0') {
        argv[n++] = option;
        argv[n++] = value;
    }
    return n;
}

int rt_cluster_agent_start(struct rt_cluster *cluster, unsigned host)
{
    static const char operators[] = "@" RT_CLUSTER_OPERATORS " = operator";
    struct rt_cluster_host *h = &cluster->hosts[host];
    char guests[128], clients[128], keys[128], program[RT_PROCESS_PATH];
    const char *argv[AGENT_ARGS_MAX] = {"ip", "netns", "exec", h->netns};
    struct rt_process_spec spec;
    size_t n = h->netns[0] != '\0' ? 4 : 0;
    const char *const common[] = {program,
                                  "--host-name",
                                  h->name,
                                  "--guests",
                                  guests,
                                  "--clients",
                                  clients,
                                  "--state-dir",
                                  h->state,
                                  "--keys",
                                  keys,
                                  "--store",
                                  h->store[0] != '\0'         ? h->store
                                  : cluster->store[0] != '\0' ? cluster->store
                                                              : cluster->redis.unix_endpoint,
                                  "--user",
                                  operators,
                                  "--user",
                                  "* = vch/local"};

    rt_process_program(h->program != NULL ? h->program : "retetherd", program);
    (void)snprintf(guests, sizeof(guests), "unix:%s", h->guests);
    (void)snprintf(clients, sizeof(clients), "unix:%s", h->clients);
    (void)snprintf(keys, sizeof(keys), "%s/keys", cluster->dir);
    memcpy(&argv[n], common, sizeof(common));
    n += sizeof(common) / sizeof(common[0]);
    n = add(argv, n, "--store-password-file", cluster->store_password);
    n = add(argv, n, "--guests", h->more_guests);
    n = add(argv, n, "--clients", h->more_clients);
    n = add(argv, n, "--advertise", h->advertise);
    n = add(argv, n, "--tls", h->tls);
    for (size_t i = 0; h->agent_options != NULL && h->agent_options[i] != NULL && n < AGENT_ARGS_MAX - 1; i++) {
        argv[n++] = h->agent_options[i];
    }
    argv[n] = NULL;
    rt_process_spec_init(&spec, argv);
    spec.log = h->log;
    h->pid = rt_process_start(&spec);
    if (h->pid < 0) {
        h->pid = 0;
        return -1;
    }
    return 0;
}

int rt_cluster_agent_wait(struct rt_cluster *cluster, unsigned host, unsigned limit_ms)
{
    struct rt_cluster_host *h = &cluster->hosts[host];
    int fd = dial_within(h->clients, h->pid, limit_ms);

    if (fd < 0) {
        return fail(h->name, "the agent does not answer");
    }
    (void)close(fd);
    return 0;
}

void rt_cluster_agent_kill(struct rt_cluster *cluster, unsigned host)
{
    rt_process_kill(cluster->hosts[host].pid);
    cluster->hosts[host].pid = 0;
}

static void name_host(struct rt_cluster *cluster, unsigned host)
{
    struct rt_cluster_host *h = &cluster->hosts[host];
    char dir[sizeof(cluster->dir)], agent[sizeof(h->clients) + 8];

    memcpy(dir, cluster->dir, sizeof(dir));
    (void)snprintf(h->name, sizeof(h->name), "h%u", host);
    (void)snprintf(h->guests, sizeof(h->guests), "%s/h%u.guest", dir, host);
    (void)snprintf(h->clients, sizeof(h->clients), "%s/h%u.client", dir, host);
    (void)snprintf(h->state, sizeof(h->state), "%s/h%u.state", dir, host);
    (void)snprintf(h->log, sizeof(h->log), "%s/log/h%u", dir, host);
    (void)mkdir(h->state, 0700);
    (void)snprintf(agent, sizeof(agent), "%sunix:%s/h%u.client", host == 0 ? "" : ",", dir, host);
    (void)strncat(cluster->agents_env, agent, sizeof(cluster->agents_env) - 1 - strlen(cluster->agents_env));
}

static int start_stores(struct rt_cluster *cluster, bool replica)
{
    if (rt_test_redis_start(&cluster->redis, NULL, NULL) != 0) {
        return -1;
    }
    rt_janitor_remove(&cluster->janitor, cluster->redis.dir);
    if (replica) {
        if (rt_test_redis_start(&cluster->replica, &cluster->redis, NULL) != 0) {
            return -1;
        }
        cluster->has_replica = true;
        rt_janitor_remove(&cluster->janitor, cluster->replica.dir);
    }
    return 0;
}

int rt_cluster_start_in(struct rt_cluster *cluster, unsigned n_hosts, bool replica, rt_cluster_prepare prepare)
{
    char log[96], dir[sizeof(cluster->dir)];

    memset(cluster, 0, sizeof(*cluster));
    (void)snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/retether-XXXXXX");
    if (mkdtemp(cluster->dir) == NULL) {
        cluster->dir[0] = '\0';
        return fail("mkdtemp", strerror(errno));
    }
    cluster->janitor.fd = -1;
    if (rt_janitor_start(&cluster->janitor) != 0) {
        rt_test_remove_tree(cluster->dir);
        cluster->dir[0] = '\0';
        return fail("fork", strerror(errno));
    }
    rt_janitor_remove(&cluster->janitor, cluster->dir);
    memcpy(dir, cluster->dir, sizeof(dir));
    (void)snprintf(log, sizeof(log), "%s/log", dir);
    (void)mkdir(log, 0700);
    (void)snprintf(cluster->agents_env, sizeof(cluster->agents_env), "RETETHER_AGENTS=");
    if (start_stores(cluster, replica) != 0) {
        rt_cluster_stop(cluster, false);
        return -1;
    }
    (void)snprintf(cluster->guest_env, sizeof(cluster->guest_env), "RETETHER_GUEST_AGENT=unix:%s/h0.guest", dir);
    cluster->n_hosts = n_hosts;
    for (unsigned i = 0; i < n_hosts; i++) {
        name_host(cluster, i);
        /* the first one makes the key ring */
        if ((prepare != NULL && prepare(cluster, i) != 0) || rt_cluster_agent_start(cluster, i) != 0 ||
            rt_cluster_agent_wait(cluster, i, AGENT_LIMIT_MS) != 0) {
            rt_cluster_stop(cluster, true);
            return -1;
        }
    }
    return 0;
}

int rt_cluster_start(struct rt_cluster *cluster, unsigned n_hosts, bool replica)
{
    return rt_cluster_start_in(cluster, n_hosts, replica, NULL);
}

void rt_cluster_stop(struct rt_cluster *cluster, bool keep_logs)
{
    if (cluster->dir[0] == '\0') {
        return;
    }
    for (unsigned i = 0; i < cluster->n_vms; i++) {
        rt_cluster_vm_kill(&cluster->vms[i]);
    }
    for (unsigned i = 0; i < cluster->n_hosts; i++) {
        rt_cluster_agent_kill(cluster, i);
    }
    rt_test_redis_stop(&cluster->replica);
    rt_test_redis_stop(&cluster->redis);
    if (keep_logs) {
        rt_janitor_forget(&cluster->janitor);
        (void)fprintf(stderr, "logs are kept in %s/log\n", cluster->dir);
    }
    rt_janitor_finish(&cluster->janitor);
    cluster->dir[0] = '\0';
}

void rt_cluster_cli_env(const struct rt_cluster *cluster, struct rt_process_spec *spec)
{
    spec->env[0] = cluster->agents_env;
    spec->env[1] = cluster->guest_env;
    spec->env[2] = cluster->tls_env[0] == '\0' ? NULL : cluster->tls_env;
    spec->env[3] = NULL;
}

int rt_cluster_cli(struct rt_cluster *cluster, const char *const *args, const void *input, size_t input_size,
                   unsigned limit_ms, struct rt_process_run *run)
{
    struct rt_process_spec spec;

    rt_process_spec_init(&spec, args);
    rt_cluster_cli_env(cluster, &spec);
    return rt_process_run(&spec, input, input_size, limit_ms, run);
}

/* The join token of a new session, or -1. Says why only when told to. */
static int create_once(struct rt_cluster *cluster, const char *cid, char *token, size_t size, bool say)
{
    const char *args[CREATE_ARGS_MAX] = {"retether", "create", cid};
    struct rt_process_run run;
    size_t n = 3;
    int rc;

    for (size_t i = 0; cluster->create_options != NULL && cluster->create_options[i] != NULL; i++) {
        if (n == CREATE_ARGS_MAX - 1) {
            return fail(cid, "too many options");
        }
        args[n++] = cluster->create_options[i];
    }

    if (rt_cluster_cli(cluster, args, NULL, 0, CREATE_LIMIT_MS, &run) != 0) {
        rt_process_run_free(&run);
        return -1;
    }
    run.out[strcspn(run.out, "\n")] = '\0';
    rc = run.status == 0 && run.out_size > 0 && strlen(run.out) < size ? 0 : -1;
    if (rc == 0) {
        (void)snprintf(token, size, "%s", run.out);
    } else if (say) {
        (void)fail("retether create", run.err);
    }
    rt_process_run_free(&run);
    return rc;
}

/* An agent listens before it has reached the store, and a store that is not whole makes no sessions. */
int rt_cluster_create(struct rt_cluster *cluster, const char *cid, char *token, size_t size)
{
    uint64_t until = rt_process_now_ms() + CREATE_LIMIT_MS;

    while (create_once(cluster, cid, token, size, false) != 0) {
        if (rt_process_now_ms() >= until) {
            return create_once(cluster, cid, token, size, true);
        }
        rt_process_sleep_ms(10 * STEP_MS);
    }
    return 0;
}

static int start_stand_in(struct rt_cluster *cluster, struct rt_cluster_vm *vm)
{
    char guest[128], control[128], hosts[RT_CLUSTER_HOSTS_MAX][192];
    const char *argv[8 + 2 * RT_CLUSTER_HOSTS_MAX] = {"vmotion", "--guest", guest, "--control", control};
    struct timeval limit = {.tv_sec = ANSWER_LIMIT_S};
    struct rt_process_spec spec;
    size_t n = 5;

    (void)snprintf(guest, sizeof(guest), "unix:%s", vm->guest);
    (void)snprintf(control, sizeof(control), "unix:%s", vm->control);
    for (unsigned i = 0; i < cluster->n_hosts; i++) {
        (void)snprintf(hosts[i], sizeof(hosts[i]), "%s=unix:%s", cluster->hosts[i].name, cluster->hosts[i].guests);
        argv[n++] = "--host";
        argv[n++] = hosts[i];
    }
    rt_process_spec_init(&spec, argv);
    spec.log = vm->motion_log;
    vm->motion = rt_process_start(&spec);
    if (vm->motion < 0) {
        vm->motion = 0;
        return -1;
    }
    vm->control_fd = dial_within(vm->control, vm->motion, STAND_IN_LIMIT_MS);
    if (vm->control_fd < 0) {
        return fail(vm->cid, "the vMotion stand-in does not answer");
    }
    (void)setsockopt(vm->control_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return 0;
}

static int start_tether(struct rt_cluster_vm *vm, const char *token, const char *const *options,
                        const char *const *command)
{
    char agent[128], variable[2200];
    const char *argv[ARGS_MAX] = {"tether", "--agent", agent, "--cid", vm->cid};
    struct rt_process_spec spec;
    size_t n = 5;

    (void)snprintf(agent, sizeof(agent), "unix:%s", vm->guest);
    (void)snprintf(variable, sizeof(variable), "RETETHER_TOKEN=%s", token);
    for (size_t i = 0; options != NULL && options[i] != NULL && n < ARGS_MAX / 2; i++) {
        argv[n++] = options[i];
    }
    argv[n++] = "--";
    for (size_t i = 0; command[i] != NULL && n < ARGS_MAX - 1; i++) {
        argv[n++] = command[i];
    }
    rt_process_spec_init(&spec, argv);
    spec.env[0] = variable;
    spec.log = vm->log;
    vm->tether = rt_process_start(&spec);
    if (vm->tether < 0) {
        vm->tether = 0;
        return -1;
    }
    return 0;
}

int rt_cluster_vm_start_with(struct rt_cluster *cluster, const char *cid, const char *token,
                             const char *const *tether_options, const char *const *argv, struct rt_cluster_vm **vm)
{
    struct rt_cluster_vm *v = &cluster->vms[cluster->n_vms];
    char dir[sizeof(cluster->dir)];

    if (cluster->n_vms == RT_CLUSTER_VMS_MAX) {
        return fail(cid, "too many VMs");
    }
    memcpy(dir, cluster->dir, sizeof(dir));
    memset(v, 0, sizeof(*v));
    v->control_fd = -1;
    (void)snprintf(v->cid, sizeof(v->cid), "%s", cid);
    (void)snprintf(v->guest, sizeof(v->guest), "%s/vm%u.guest", dir, cluster->n_vms);
    (void)snprintf(v->control, sizeof(v->control), "%s/vm%u.control", dir, cluster->n_vms);
    (void)snprintf(v->log, sizeof(v->log), "%s/log/tether-%.32s", dir, cid);
    (void)snprintf(v->motion_log, sizeof(v->motion_log), "%s/log/vmotion-%.32s", dir, cid);
    cluster->n_vms++;
    *vm = v;
    return start_stand_in(cluster, v) != 0 || start_tether(v, token, tether_options, argv) != 0 ? -1 : 0;
}

int rt_cluster_vm_start(struct rt_cluster *cluster, const char *cid, const char *const *tether_options,
                        const char *const *argv, struct rt_cluster_vm **vm)
{
    char token[2048];

    return rt_cluster_create(cluster, cid, token, sizeof(token)) != 0
               ? -1
               : rt_cluster_vm_start_with(cluster, cid, token, tether_options, argv, vm);
}

void rt_cluster_vm_kill(struct rt_cluster_vm *vm)
{
    rt_process_kill(vm->tether);
    rt_process_kill(vm->motion);
    vm->tether = vm->motion = 0;
    if (vm->control_fd >= 0) {
        (void)close(vm->control_fd);
        vm->control_fd = -1;
    }
}

int rt_cluster_vm_command(struct rt_cluster_vm *vm, const char *command, char answer[RT_CLUSTER_ANSWER])
{
    char line[RT_CLUSTER_ANSWER];
    size_t got = 0;

    if (dprintf(vm->control_fd, "%s\n", command) < 0) {
        return fail(command, strerror(errno));
    }
    while (got < sizeof(line) - 1) {
        ssize_t n = read(vm->control_fd, line + got, 1);
        if (n <= 0) {
            return fail(command, "no answer of the vMotion stand-in");
        }
        if (line[got] == '\n') {
            break;
        }
        got++;
    }
    line[got] = '\0';
    if (answer != NULL) {
        memcpy(answer, line, got + 1);
    }
    return strncmp(line, "ok", 2) == 0 ? 0 : fail(command, line);
}

int rt_cluster_vm_move(struct rt_cluster *cluster, struct rt_cluster_vm *vm, unsigned host, const char *style)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "move %s %s", cluster->hosts[host].name, style);
    vm->on = host;
    return rt_cluster_vm_command(vm, command, NULL);
}
