/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/bench.h"
#include "tests/lib/pki.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Connections of a process that bench_cut() looks through. */
#define CUT_FDS_MAX 20000

uint64_t bench_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t bench_cpu_ns(pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

void bench_sched_ns(pid_t pid, uint64_t ns[2])
{
    char path[48], line[96] = "", *end = line;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    file = fopen(path, "re");
    if (file != NULL) {
        (void)(fgets(line, sizeof(line), file) == NULL);
        (void)fclose(file);
    }
    ns[0] = strtoull(line, &end, 10);
    ns[1] = strtoull(end, NULL, 10);
}

double bench_memory(pid_t pid, const char *field)
{
    char path[64], line[256];
    double kib = 0;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kib = strtod(line + strlen(field), NULL);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib;
}

/* Children end with this process, and the janitor then removes what they had. */
void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void bench_attach_failed(struct retether_attachment *att, unsigned cls, const char *text, unsigned code,
                         unsigned signum, void *ctx)
{
    (void)att;
    (void)code;
    (void)signum;
    (void)ctx;
    bench_die("attach: %s: %s", retether_class_name(cls), text);
}

void bench_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)fputs("  ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
}

bool bench_has(const char *program)
{
    char path[512];
    const char *dirs = getenv("PATH");

    while (dirs != NULL && *dirs != '\0') {
        size_t size = strcspn(dirs, ":");

        (void)snprintf(path, sizeof(path), "%.*s/%s", (int)size, dirs, program);
        if (access(path, X_OK) == 0) {
            return true;
        }
        dirs += size + (dirs[size] == ':');
    }
    (void)snprintf(path, sizeof(path), "/usr/sbin/%s", program);
    return access(path, X_OK) == 0;
}

unsigned bench_rounds(const struct bench *bench)
{
    if (bench->options.rounds > 0) {
        return bench->options.rounds;
    }
    return bench->options.quick ? 1 : BENCH_ROUNDS;
}

void bench_path(const struct bench *bench, const char *name, char path[BENCH_PATH])
{
    (void)snprintf(path, BENCH_PATH, "%s/%s", bench->cluster.dir, name);
}

pid_t bench_start(const char *const *argv, int in, int out, int err, const char *env)
{
    struct rt_process_spec spec;
    pid_t pid;

    rt_process_spec_init(&spec, argv);
    spec.in = in;
    spec.out = out;
    spec.err = err;
    spec.env[0] = env;
    pid = rt_process_start(&spec);
    if (pid < 0) {
        bench_die("%s cannot be started", argv[0]);
    }
    return pid;
}

static int prepare_host(struct rt_cluster *cluster, unsigned host)
{
    struct bench *bench = (struct bench *)(void *)((char *)cluster - offsetof(struct bench, cluster));
    uint16_t guests = rt_test_free_port(), clients = rt_test_free_port();
    char ca[BENCH_PATH];

    if (host == 0) {
        if (guests == 0 || clients == 0 || guests == clients) {
            return -1;
        }
        (void)snprintf(bench->guest_tcp, sizeof(bench->guest_tcp), "tcp:127.0.0.1:%u", guests);
        (void)snprintf(bench->client_tls, sizeof(bench->client_tls), "tls:127.0.0.1:%u", clients);
        bench_path(bench, "ca", ca);
        (void)snprintf(cluster->hosts[0].tls, sizeof(cluster->hosts[0].tls), "%.64s/h0.tls", cluster->dir);
        (void)snprintf(bench->client_certs, sizeof(bench->client_certs), "%.64s/client.tls", cluster->dir);
        if (rt_test_pki_ca(ca) != 0 || rt_test_pki_issue(ca, "agent", "h0", cluster->hosts[0].tls) != 0 ||
            rt_test_pki_issue(ca, "vch", "local", bench->client_certs) != 0) {
            return -1;
        }
        (void)snprintf(cluster->hosts[0].more_guests, sizeof(cluster->hosts[0].more_guests), "%s", bench->guest_tcp);
        (void)snprintf(cluster->hosts[0].more_clients, sizeof(cluster->hosts[0].more_clients), "%s", bench->client_tls);
    }
    return 0;
}

/* Appends a file. */
static void append(FILE *out, const char *dir, const char *name)
{
    char path[2 * BENCH_PATH], line[256];
    FILE *in;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    in = fopen(path, "re");
    if (in == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    while (fgets(line, sizeof(line), in) != NULL) {
        (void)fputs(line, out);
    }
    (void)fclose(in);
}

/* The agent's certificate and key in one file, as HAProxy has them, and what socat's OpenSSL may choose. */
static void write_tls(const struct bench *bench)
{
    char path[BENCH_PATH];
    FILE *file;

    bench_path(bench, "haproxy.pem", path);
    file = fopen(path, "we");
    if (file == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    append(file, bench->cluster.hosts[0].tls, "cert.pem");
    append(file, bench->cluster.hosts[0].tls, "key.pem");
    (void)fclose(file);
    bench_path(bench, "openssl.cnf", path);
    file = fopen(path, "we");
    if (file == NULL) {
        bench_die("%s: %s", path, strerror(errno));
    }
    (void)fputs("openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n"
                "MinProtocol = TLSv1.3\nCiphersuites = " BENCH_TLS_CIPHER "\n",
                file);
    (void)fclose(file);
}

/* A port of HAProxy for clients with a certificate; socat has P-256 alone. */
static void bind_tls(FILE *config, const struct bench *bench, unsigned port)
{
    (void)fprintf(config,
                  "  bind 127.0.0.1:%u ssl crt %s/haproxy.pem ca-file %s/ca.pem verify required ssl-min-ver TLSv1.3 "
                  "ciphersuites " BENCH_TLS_CIPHER " curves " BENCH_TLS_GROUP ":P-256\n",
                  port, bench->cluster.dir, bench->cluster.hosts[0].tls);
}

static void haproxy_start(struct bench *bench, unsigned at)
{
    char config[BENCH_PATH], name[32];
    const char *argv[] = {"haproxy", "-db", "-f", config, NULL};
    FILE *file;

    (void)snprintf(name, sizeof(name), "haproxy-%u.cfg", at);
    bench_path(bench, name, config);
    bench->haproxy_ports[at][0] = rt_test_free_port();
    bench->haproxy_ports[at][1] = rt_test_free_port();
    file = fopen(config, "we");
    if (file == NULL) {
        bench_die("%s: %s", config, strerror(errno));
    }
    (void)fprintf(file, "global\n  nbthread 1\n  maxconn 4000\n%s", at == 1 ? "  tune.bufsize 262144\n" : "");
    (void)fprintf(file, "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n");
    (void)fprintf(file, "listen u\n  bind unix@%s/in.haproxy-%u\n  server s unix@%s/out.haproxy-%u\n",
                  bench->cluster.dir, at, bench->cluster.dir, at);
    (void)fputs("listen t\n", file);
    bind_tls(file, bench, bench->haproxy_ports[at][0]);
    (void)fprintf(file, "  server s 127.0.0.1:%u\n", bench->haproxy_ports[at][1]);
    if (at == 0) {
        bench->haproxy_shakes = rt_test_free_port();
        (void)fputs("frontend h\n", file);
        bind_tls(file, bench, bench->haproxy_shakes);
        (void)fputs("  tcp-request session reject\n", file);
    }
    (void)fclose(file);
    bench->haproxy[at] = bench_start(argv, -1, -1, -1, NULL);
    (void)snprintf(name, sizeof(name), "in.haproxy-%u", at);
    bench_path(bench, name, config);
    for (uint64_t until = rt_process_now_ms() + BENCH_LIMIT_MS; access(config, F_OK) != 0; rt_process_sleep_ms(2)) {
        if (rt_process_now_ms() > until) { /* it listens under another name, and then gives it this one */
            bench_die("haproxy does not listen");
        }
    }
}

void bench_world_start(struct bench *bench, unsigned hosts)
{
    rt_process_program("bench-pump", bench->pump);
    if (rt_cluster_start_in(&bench->cluster, hosts, false, prepare_host) != 0) {
        bench_die("the agents do not start");
    }
    write_tls(bench);
    for (unsigned i = 0; bench_has("haproxy") && i < 2; i++) {
        haproxy_start(bench, i);
    }
}

void bench_world_stop(struct bench *bench)
{
    for (unsigned i = 0; i < 2; i++) {
        rt_process_kill(bench->haproxy[i]);
        bench->haproxy[i] = 0;
    }
    rt_cluster_stop(&bench->cluster, false);
}

static bool is_connected_with(int fd, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof(addr) - 1;

    return getpeername(fd, (struct sockaddr *)&addr, &size) == 0 && addr.sun_family == AF_UNIX &&
           strcmp(addr.sun_path, path) == 0;
}

unsigned bench_cut(pid_t pid, const char *path, uint64_t *at)
{
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    int *fds = calloc(CUT_FDS_MAX, sizeof(*fds));
    unsigned n = 0, cut = 0;
    char name[64];
    struct dirent *entry;
    DIR *dir;

    (void)snprintf(name, sizeof(name), "/proc/%d/fd", (int)pid);
    dir = opendir(name);
    if (process < 0 || fds == NULL || dir == NULL) {
        bench_die("%s: %s", name, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL && n < CUT_FDS_MAX) {
        int fd = entry->d_name[0] == '.'
                     ? -1
                     : (int)syscall(SYS_pidfd_getfd, process, (int)strtol(entry->d_name, NULL, 10), 0);

        if (fd >= 0 && is_connected_with(fd, path)) {
            fds[n++] = fd;
        } else if (fd >= 0) {
            (void)close(fd);
        }
    }
    *at = bench_now_ns();
    for (unsigned i = 0; i < n; i++) {
        cut += shutdown(fds[i], SHUT_RDWR) == 0;
        (void)close(fds[i]);
    }
    (void)closedir(dir);
    (void)close(process);
    free(fds);
    return cut;
}

static void pin_children(pid_t pid, bool one_cpu)
{
    char path[64], list[256], *at, *end;
    FILE *file;
    long child;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    at = fgets(list, sizeof(list), file);
    (void)fclose(file);
    while (at != NULL && (child = strtol(at, &end, 10)) > 0) {
        bench_pin((pid_t)child, one_cpu);
        at = end;
    }
}

void bench_pin(pid_t pid, bool one_cpu)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    for (long i = 0; i < (one_cpu ? 1 : sysconf(_SC_NPROCESSORS_CONF)); i++) {
        CPU_SET((size_t)i, &cpus);
    }
    if (pid >= 0) {
        (void)sched_setaffinity(pid, sizeof(cpus), &cpus);
    }
    if (pid > 0) {
        pin_children(pid, one_cpu);
    }
}
