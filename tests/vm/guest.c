/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESUME_LIMIT_MS 120000
#define IMAGE_LIMIT_MS 60000
/* A SYN may be lost while the new host does not know the guest's address. */
#define PROBES 3
#define PROBE_WAIT_MS 100
#define STEP_MS 2
#define PATH_SIZE 256

struct vm_host vm_hosts[VM_HOSTS];
static struct vm_guest guests[VM_GUESTS_MAX];
static unsigned n_guests;

/* Where `./dev deps vm` and `./dev test vm` leave what guests are made of. */
static const char *parts(void)
{
    const char *dir = getenv("RETETHER_VM_DIR");

    return dir != NULL ? dir : "build/vm";
}

static bool readable(const char *dir, const char *file)
{
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, file);
    return access(path, R_OK) == 0;
}

/* Why there can be no VM here, or NULL. */
static const char *missing(void)
{
    struct rt_process_spec spec;
    struct rt_process_run run;
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    bool found;

    if (geteuid() != 0) {
        return "not root";
    }
    if (tun < 0) {
        return "no /dev/net/tun";
    }
    (void)close(tun);
    rt_process_spec_init(&spec, (const char *const[]){"qemu-system-x86_64", "--version", NULL});
    found = rt_process_run(&spec, NULL, 0, IMAGE_LIMIT_MS, &run) == 0 && run.status == 0;
    rt_process_run_free(&run);
    if (!found) {
        return "no qemu-system-x86_64 (./dev deps vm installs it)";
    }
    if (!readable(parts(), "kernel/vmlinuz")) {
        return "no kernel for guests (./dev deps vm fetches it)";
    }
    return readable(parts(), "guest/bin/tether") ? NULL : "no static tether (./dev test vm builds it)";
}

static int prepare(struct rt_cluster *cluster, unsigned host)
{
    struct rt_cluster_host *h = &cluster->hosts[host];

    if (vm_host_open(&vm_hosts[host], host, &cluster->janitor) != 0) {
        return -1;
    }
    (void)snprintf(h->netns, sizeof(h->netns), "%s", vm_hosts[host].netns);
    (void)snprintf(h->more_guests, sizeof(h->more_guests), "tcp:%s:%d", VM_HOST_ADDRESS, VM_HOST_PORT);
    return 0;
}

static void close_hosts(void)
{
    for (unsigned i = 0; i < VM_HOSTS; i++) {
        vm_host_close(&vm_hosts[i]);
    }
}

/* Emulated memory that is written while it is copied has been seen to arrive damaged: people should know where to look.
 */
static void tell_crashes(void)
{
    char script[PATH_SIZE];
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct rt_process_spec spec;
    struct rt_process_run run;

    (void)snprintf(script, sizeof(script), "grep -lE 'Kernel panic|Oops|BUG:|RIP: ' %s/log/console-*", harness.dir);
    rt_process_spec_init(&spec, argv);
    if (rt_process_run(&spec, NULL, 0, IMAGE_LIMIT_MS, &run) == 0 && run.status == 0) {
        (void)fprintf(stderr, "vm: a guest's kernel has crashed, which is not ours to fail; see\n%s", run.out);
    }
    rt_process_run_free(&run);
}

int vm_main(const char *name, const struct CMUnitTest *tests, size_t n)
{
    const char *why = missing();
    int failed;

    if (why != NULL) {
        (void)printf("%s: skipped, there can be no VM here: %s\n", name, why);
        return VM_SKIPPED;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (rt_cluster_start_in(&harness, VM_HOSTS, false, prepare) != 0) {
        close_hosts();
        return 1;
    }
    failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    vm_guests_end();
    if (failed != 0) {
        tell_crashes();
    }
    rt_cluster_stop(&harness, failed != 0);
    close_hosts();
    return failed;
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[PATH_SIZE];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_config(const struct vm_guest *guest, const struct vm_guest_options *options, const char *etc)
{
    char path[PATH_SIZE], line[128];
    FILE *order, *config;

    (void)snprintf(path, sizeof(path), "%s/tether.conf", etc);
    config = fopen(path, "we");
    (void)snprintf(path, sizeof(path), "%s/kernel/modules/order", parts());
    order = fopen(path, "re");
    assert_non_null(config);
    assert_non_null(order);
    while (fgets(line, sizeof(line), order) != NULL) {
        (void)fprintf(config, "module %s", line);
    }
    (void)fclose(order);
    (void)fprintf(config, "hostname %s\ncid %s\nlink eth0=%s/16\nlink lo=127.0.0.1/8\nagent %s\n", guest->cid,
                  guest->cid, guest->address,
                  options->link == VM_TCP ? "tcp:" VM_HOST_ADDRESS ":7400" : "vsock:1:7400");
    for (size_t i = 0; options->lines[i] != NULL; i++) {
        (void)fprintf(config, "%s\n", options->lines[i]);
    }
    assert_int_equal(fclose(config), 0);
}

/* With a vSocket the guest's first program starts the relay, then becomes the tether. */
static const char *const inits[] = {
    [VM_VSOCK] = "#!/bin/sh\n/bin/relay " VM_HOST_ADDRESS " 7400\nexec /bin/tether\n",
    [VM_VSOCK_PORT] = "#!/bin/sh\n/bin/relay '/dev/vport*p*' 7400\nexec /bin/tether\n",
};

static const char image_script[] = RT_VM_SOURCE "/image.sh";

static void make_initramfs(struct vm_guest *guest, const struct vm_guest_options *options, const char *token)
{
    char files[PATH_SIZE / 2], etc[PATH_SIZE - 32], kernel[PATH_SIZE], programs[PATH_SIZE], init[PATH_SIZE];
    const char *argv[6 + VM_PROGRAMS_MAX + 1] = {image_script, "initramfs", kernel, programs, files, guest->initramfs};
    struct rt_process_spec spec;
    struct rt_process_run run;

    (void)snprintf(files, sizeof(files), "%s/%s.files", harness.dir, guest->cid);
    (void)snprintf(etc, sizeof(etc), "%s/etc", files);
    assert_int_equal(mkdir(files, 0700), 0);
    assert_int_equal(mkdir(etc, 0755), 0);
    (void)snprintf(etc, sizeof(etc), "%s/etc/retether", files);
    assert_int_equal(mkdir(etc, 0755), 0);
    write_config(guest, options, etc);
    write_file(etc, "token", token);
    if (options->link != VM_TCP) {
        write_file(files, "init", inits[options->link]);
        (void)snprintf(init, sizeof(init), "%s/init", files);
        assert_int_equal(chmod(init, 0755), 0);
    }
    (void)snprintf(kernel, sizeof(kernel), "%s/kernel", parts());
    (void)snprintf(programs, sizeof(programs), "%s/guest/bin", parts());
    for (size_t i = 0; options->programs != NULL && options->programs[i] != NULL && i < VM_PROGRAMS_MAX; i++) {
        argv[6 + i] = options->programs[i];
    }
    rt_process_spec_init(&spec, argv);
    assert_int_equal(rt_process_run(&spec, NULL, 0, IMAGE_LIMIT_MS, &run), 0);
    if (run.status != 0) {
        print_error("image.sh: %s\n", run.err);
        fail();
    }
    rt_process_run_free(&run);
}

void vm_guest_qemu(struct vm_guest *guest, unsigned host, bool incoming, struct vm_qemu *qemu)
{
    char log[PATH_SIZE], name[64], kernel[PATH_SIZE];
    struct vm_qemu_options options = {.host = &vm_hosts[host],
                                      .kernel = kernel,
                                      .initramfs = guest->initramfs,
                                      .tap = guest->tap,
                                      .number = guest->number,
                                      .dir = harness.dir,
                                      .log_dir = log,
                                      .name = name,
                                      .port = guest->port.path[0] != '\0' ? guest->port.path : NULL,
                                      .incoming = incoming};

    (void)snprintf(kernel, sizeof(kernel), "%s/kernel/vmlinuz", parts());
    (void)snprintf(log, sizeof(log), "%s/log", harness.dir);
    (void)snprintf(name, sizeof(name), "%s-%u", guest->cid, guest->started++);
    assert_int_equal(vm_host_tap(&vm_hosts[host], guest->tap), 0);
    assert_int_equal(vm_qemu_start(qemu, &options), 0);
}

static void wait_served(const char *cid)
{
    uint64_t until = rt_process_now_ms() + VM_BOOT_LIMIT_MS;
    struct rt_process_run run;
    char state[32] = "";

    do {
        rt_process_sleep_ms(100);
        harness_cli(&run, NULL, 0, ARGS("resolve", "--json", cid));
        (void)harness_json(run.out, "state", state, sizeof(state));
        rt_process_run_free(&run);
    } while (strcmp(state, "running") != 0 && rt_process_now_ms() < until);
    assert_string_equal(state, "running");
}

struct vm_guest *vm_guest_start(const struct vm_guest_options *options)
{
    struct vm_guest *guest = &guests[n_guests];
    char token[2048];

    assert_true(n_guests < VM_GUESTS_MAX);
    memset(guest, 0, sizeof(*guest));
    guest->number = n_guests++;
    guest->qemu.qmp.fd = guest->next.qmp.fd = -1;
    (void)snprintf(guest->cid, sizeof(guest->cid), "%s", options->cid);
    (void)snprintf(guest->address, sizeof(guest->address), "169.254.10.%u", 2 + guest->number);
    (void)snprintf(guest->tap, sizeof(guest->tap), "tap%u", guest->number);
    (void)snprintf(guest->initramfs, sizeof(guest->initramfs), "%s/%s.cpio", harness.dir, options->cid);
    assert_int_equal(rt_cluster_create(&harness, guest->cid, token, sizeof(token)), 0);
    make_initramfs(guest, options, token);
    if (options->link == VM_VSOCK_PORT) {
        (void)snprintf(guest->port.path, sizeof(guest->port.path), "%s/%s.port", harness.dir, options->cid);
        assert_int_equal(vm_port_open(&guest->port, harness.hosts[0].guests), 0);
    }
    vm_guest_qemu(guest, 0, false, &guest->qemu);
    wait_served(guest->cid);
    return guest;
}

uint64_t vm_guest_resent(struct vm_guest *guest)
{
    static const char key[] = "resent=";
    FILE *console = fopen(guest->qemu.console, "re");
    uint64_t before = guest->resent;
    char line[1024];

    while (console != NULL && fgets(line, sizeof(line), console) != NULL) {
        const char *at = strstr(line, key);

        if (at != NULL) {
            guest->resent = strtoull(at + strlen(key), NULL, 10);
        }
    }
    if (console != NULL) {
        (void)fclose(console);
    }
    return guest->resent - before;
}

uint64_t vm_guest_lost_in(struct vm_guest *guest)
{
    uint64_t lost = guest->lost_in;

    guest->lost_in = 0;
    return lost;
}

void vm_guests_end(void)
{
    for (unsigned i = 0; i < n_guests; i++) {
        vm_qemu_end(&guests[i].next);
        vm_qemu_end(&guests[i].qemu);
        vm_port_close(&guests[i].port);
    }
    n_guests = 0;
}

void vm_move_begin(struct vm_guest *guest, unsigned host, bool pause)
{
    guest->to = host;
    vm_note_conns(guest);
    vm_guest_qemu(guest, host, true, &guest->next);
    assert_int_equal(vm_qemu_migrate(&guest->qemu, &guest->next, pause, 0), 0);
    if (pause) {
        assert_int_equal(vm_qemu_migrate_wait(&guest->qemu, "pre-switchover"), 0);
        vm_note_conns(guest);
    }
}

void vm_move_continue(struct vm_guest *guest)
{
    assert_int_equal(vm_qemu_migrate_continue(&guest->qemu), 0);
}

void vm_note_conns(struct vm_guest *guest)
{
    guest->n_conns = vm_host_conns(&vm_hosts[guest->on], guest->address, guest->conns);
}

/* The noted ones and those that have come since. */
static void note_more(struct vm_guest *guest)
{
    struct vm_host_conn now[VM_HOST_CONNS_MAX];
    size_t n = vm_host_conns(&vm_hosts[guest->on], guest->address, now);

    for (size_t i = 0; i < n; i++) {
        size_t j = 0;

        while (j < guest->n_conns && guest->conns[j].port != now[i].port) {
            j++;
        }
        if (j < VM_HOST_CONNS_MAX) {
            guest->conns[j] = now[i];
            guest->n_conns = j == guest->n_conns ? j + 1 : guest->n_conns;
        }
    }
}

void vm_reset(struct vm_guest *guest, unsigned to)
{
    struct vm_host_conn now[VM_HOST_CONNS_MAX];
    uint64_t until = 0;

    note_more(guest);
    for (unsigned i = 0; i < PROBES; i++) {
        for (size_t j = 0; j < guest->n_conns; j++) {
            vm_host_probe(&vm_hosts[to], guest->address, guest->conns[j].port);
            if (i == 0) {
                guest->lost_in += guest->conns[j].unacked;
                vm_host_destroy(&vm_hosts[guest->on], guest->address, &guest->conns[j]);
            }
        }
        until = rt_process_now_ms() + PROBE_WAIT_MS;
        while (rt_process_now_ms() < until) {
            if (guest->n_conns == 0 || vm_host_conns(&vm_hosts[to], guest->address, now) > 0) {
                return;
            }
            rt_process_sleep_ms(STEP_MS);
        }
    }
}

void vm_move_finish(struct vm_guest *guest, struct vm_migration *migration)
{
    assert_int_equal(vm_qmp_wait(&guest->next.qmp, "RESUME", &migration->resumed_ms, RESUME_LIMIT_MS), 0);
    vm_reset(guest, guest->to);
    assert_int_equal(vm_qemu_migrate_wait(&guest->qemu, "completed"), 0);
    assert_int_equal(vm_qmp_wait(&guest->qemu.qmp, "STOP", &migration->stopped_ms, RESUME_LIMIT_MS), 0);
    assert_int_equal(vm_qemu_migrate_times(&guest->qemu, migration), 0);
    vm_guest_next(guest);
}

void vm_guest_save(struct vm_guest *guest, const char *path)
{
    vm_note_conns(guest);
    assert_int_equal(vm_qemu_save(&guest->qemu, path), 0);
}

void vm_guest_next(struct vm_guest *guest)
{
    vm_qemu_end(&guest->qemu);
    guest->qemu = guest->next;
    guest->next = (struct vm_qemu){.qmp.fd = -1};
    guest->on = guest->to;
}

void vm_guest_restore(struct vm_guest *guest, const char *path, double *resumed_ms)
{
    guest->to = 1 - guest->on;
    vm_guest_qemu(guest, guest->to, true, &guest->next);
    note_more(guest);
    vm_qemu_end(&guest->qemu);
    assert_int_equal(vm_qemu_restore(&guest->next, path), 0);
    assert_int_equal(vm_qmp_wait(&guest->next.qmp, "RESUME", resumed_ms, RESUME_LIMIT_MS), 0);
    vm_reset(guest, guest->to);
    vm_guest_next(guest);
}

void vm_move(struct vm_guest *guest, unsigned host, struct vm_migration *migration)
{
    vm_move_begin(guest, host, false);
    vm_move_finish(guest, migration);
}
