/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/vm/qemu.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define START_LIMIT_MS 120000
#define QUIT_LIMIT_MS 3000
#define MIGRATE_LIMIT_MS 60000
#define POLL_MS 5
/* query-migrate's totals are not final at once */
#define SETTLE_MS 100
#define DOWNTIME_LIMIT_MS 300
#define UNLIMITED UINT64_C(0x7fffffff)
#define COMMAND_MAX 512

static const char kernel_arguments[] =
    "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off nokaslr random.trust_cpu=on "
    "8250.nr_uarts=1 cryptomgr.notests no_timer_check";

int vm_qemu_start(struct vm_qemu *qemu, const struct vm_qemu_options *options)
{
    char monitor[VM_QEMU_PATH + 32], monitor_path[VM_QEMU_PATH], serial[VM_QEMU_PATH + 16], netdev[96], device[96];
    char port[VM_QEMU_PATH + 32] = "null,id=port";
    const char *argv[] = {"ip",
                          "netns",
                          "exec",
                          options->host->netns,
                          "qemu-system-x86_64",
                          "-machine",
                          "pc",
                          "-cpu",
                          "Nehalem",
                          "-accel",
                          "tcg,thread=multi",
                          "-m",
                          "192",
                          "-nodefaults",
                          "-no-user-config",
                          "-display",
                          "none",
                          "-kernel",
                          options->kernel,
                          "-initrd",
                          options->initramfs,
                          "-append",
                          kernel_arguments,
                          "-serial",
                          serial,
                          "-qmp",
                          monitor,
                          "-netdev",
                          netdev,
                          "-device",
                          device,
                          "-chardev",
                          port,
                          "-device",
                          "virtio-serial-pci",
                          "-device",
                          "virtserialport,chardev=port",
                          options->incoming ? "-incoming" : NULL,
                          "defer",
                          NULL};
    struct rt_process_spec spec;

    memset(qemu, 0, sizeof(*qemu));
    qemu->qmp.fd = -1;
    qemu->host = options->host;
    (void)snprintf(qemu->socket, sizeof(qemu->socket), "%s/%s.move", options->dir, options->name);
    (void)snprintf(qemu->console, sizeof(qemu->console), "%s/console-%s", options->log_dir, options->name);
    (void)snprintf(qemu->log, sizeof(qemu->log), "%s/qemu-%s", options->log_dir, options->name);
    (void)snprintf(monitor_path, sizeof(monitor_path), "%s/%s.qmp", options->dir, options->name);
    (void)snprintf(monitor, sizeof(monitor), "unix:%s,server=on,wait=off", monitor_path);
    (void)snprintf(serial, sizeof(serial), "file:%s", qemu->console);
    (void)snprintf(netdev, sizeof(netdev), "tap,id=net0,ifname=%s,script=no,downscript=no", options->tap);
    (void)snprintf(device, sizeof(device), "virtio-net-pci,netdev=net0,romfile=,mac=02:72:74:00:01:%02x",
                   options->number & 0xff);
    if (options->port != NULL) {
        (void)snprintf(port, sizeof(port), "socket,id=port,path=%s", options->port);
    }
    rt_process_spec_init(&spec, argv);
    spec.log = qemu->log;
    qemu->pid = rt_process_start(&spec);
    if (qemu->pid < 0) {
        qemu->pid = 0;
        return -1;
    }
    if (vm_qmp_open(&qemu->qmp, monitor_path, qemu->pid, START_LIMIT_MS) != 0) {
        (void)fprintf(stderr, "qemu: see %s\n", qemu->log);
        return -1;
    }
    return 0;
}

void vm_qemu_end(struct vm_qemu *qemu)
{
    if (qemu->pid <= 0) {
        return;
    }
    if (qemu->qmp.fd >= 0) {
        int status;

        /* It may be gone already, or before it has answered. */
        (void)dprintf(qemu->qmp.fd, "{\"execute\":\"quit\"}\n");
        status = rt_process_wait(qemu->pid, QUIT_LIMIT_MS);
        vm_qmp_close(&qemu->qmp);
        if (status != RT_PROCESS_LATE) {
            qemu->pid = 0;
            return;
        }
    }
    rt_process_kill(qemu->pid);
    qemu->pid = 0;
}

int vm_qemu_stop(struct vm_qemu *qemu)
{
    return vm_qmp(&qemu->qmp, "{\"execute\":\"stop\"}", NULL, 0);
}

int vm_qemu_cont(struct vm_qemu *qemu)
{
    return vm_qmp(&qemu->qmp, "{\"execute\":\"cont\"}", NULL, 0);
}

static int set_capabilities(struct vm_qemu *qemu, bool pause)
{
    char command[COMMAND_MAX];

    (void)snprintf(command, sizeof(command),
                   "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":["
                   "{\"capability\":\"events\",\"state\":true},"
                   "{\"capability\":\"pause-before-switchover\",\"state\":%s}]}}",
                   pause ? "true" : "false");
    return vm_qmp(&qemu->qmp, command, NULL, 0);
}

static int set_speed(struct vm_qemu *qemu, uint64_t rate)
{
    char command[COMMAND_MAX];

    (void)snprintf(
        command, sizeof(command),
        "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":%llu,\"downtime-limit\":%d}}",
        (unsigned long long)(rate > 0 ? rate : UNLIMITED), DOWNTIME_LIMIT_MS);
    return vm_qmp(&qemu->qmp, command, NULL, 0);
}

static int run_uri(struct vm_qemu *qemu, const char *verb, const char *scheme, const char *path)
{
    char command[COMMAND_MAX];

    (void)snprintf(command, sizeof(command), "{\"execute\":\"%s\",\"arguments\":{\"uri\":\"%s%s\"}}", verb, scheme,
                   path);
    return vm_qmp(&qemu->qmp, command, NULL, 0);
}

int vm_qemu_migrate(struct vm_qemu *from, struct vm_qemu *to, bool pause, uint64_t rate)
{
    vm_qmp_forget(&from->qmp);
    vm_qmp_forget(&to->qmp);
    return set_capabilities(from, pause) != 0 || set_capabilities(to, false) != 0 || set_speed(from, rate) != 0 ||
                   run_uri(to, "migrate-incoming", "unix:", to->socket) != 0 ||
                   run_uri(from, "migrate", "unix:", to->socket) != 0
               ? -1
               : 0;
}

int vm_qemu_migrate_wait(struct vm_qemu *from, const char *status)
{
    uint64_t until = rt_process_now_ms() + MIGRATE_LIMIT_MS;
    char reply[VM_QMP_LINE_MAX], now[32] = "none";

    while (rt_process_now_ms() < until) {
        if (vm_qmp(&from->qmp, "{\"execute\":\"query-migrate\"}", reply, sizeof(reply)) != 0) {
            return -1;
        }
        (void)vm_json_text(reply, "status", now, sizeof(now));
        if (strcmp(now, status) == 0) {
            return 0;
        }
        if (strcmp(now, "completed") == 0 || strcmp(now, "failed") == 0 || strcmp(now, "cancelled") == 0) {
            break;
        }
        rt_process_sleep_ms(POLL_MS);
    }
    (void)fprintf(stderr, "qemu: migration: waited for %s, it is %s: %s\n", status, now, reply);
    return -1;
}

int vm_qemu_migrate_continue(struct vm_qemu *from)
{
    return vm_qmp(&from->qmp, "{\"execute\":\"migrate-continue\",\"arguments\":{\"state\":\"pre-switchover\"}}", NULL,
                  0);
}

int vm_qemu_migrate_cancel(struct vm_qemu *from)
{
    return vm_qmp(&from->qmp, "{\"execute\":\"migrate_cancel\"}", NULL, 0);
}

int vm_qemu_migrate_times(struct vm_qemu *from, struct vm_migration *migration)
{
    char reply[VM_QMP_LINE_MAX];

    rt_process_sleep_ms(SETTLE_MS);
    if (vm_qmp(&from->qmp, "{\"execute\":\"query-migrate\"}", reply, sizeof(reply)) != 0 ||
        !vm_json_number(reply, "total-time", &migration->total_ms) ||
        !vm_json_number(reply, "downtime", &migration->downtime_ms)) {
        return -1;
    }
    return 0;
}

int vm_qemu_save(struct vm_qemu *qemu, const char *path)
{
    vm_qmp_forget(&qemu->qmp);
    return set_capabilities(qemu, false) != 0 || set_speed(qemu, 0) != 0 ||
                   run_uri(qemu, "migrate", "exec:cat >", path) != 0 || vm_qemu_migrate_wait(qemu, "completed") != 0
               ? -1
               : 0;
}

int vm_qemu_restore(struct vm_qemu *qemu, const char *path)
{
    vm_qmp_forget(&qemu->qmp);
    return set_capabilities(qemu, false) != 0 || run_uri(qemu, "migrate-incoming", "exec:cat ", path) != 0 ? -1 : 0;
}
