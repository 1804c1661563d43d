/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_QEMU_H
#define RETETHER_TESTS_VM_QEMU_H

#include "tests/vm/host.h"
#include "tests/vm/qmp.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One QEMU process: a guest as one host has it. Emulated (TCG), so that it runs anywhere. All calls block for a bounded
 * time and return 0 or -1 with a text on stderr. */

#define VM_QEMU_PATH 128

struct vm_qemu_options {
    const struct vm_host *host;
    const char *kernel, *initramfs;
    const char *tap;
    unsigned number; /* of the guest: its MAC */
    const char *dir; /* for sockets */
    const char *log_dir;
    const char *name; /* of its files; one for each process */
    const char *port; /* the unix socket of its virtio serial port, or NULL */
    bool incoming;    /* waits for a migration or a restore */
};

struct vm_qemu {
    pid_t pid; /* 0: none */
    struct vm_qmp qmp;
    char socket[VM_QEMU_PATH];  /* for a migration to it */
    char console[VM_QEMU_PATH]; /* the guest's serial line */
    char log[VM_QEMU_PATH];     /* QEMU's own messages */
    const struct vm_host *host;
};

/* What was measured of one migration. Times as vm_now_ms(). */
struct vm_migration {
    double stopped_ms, resumed_ms; /* of the guest */
    double total_ms, downtime_ms;  /* as QEMU says */
};

int vm_qemu_start(struct vm_qemu *qemu, const struct vm_qemu_options *options);
/* `quit`, then SIGKILL. Safe on a zeroed struct, and twice. */
void vm_qemu_end(struct vm_qemu *qemu);

/* The guest stands still, goes on. */
int vm_qemu_stop(struct vm_qemu *qemu);
int vm_qemu_cont(struct vm_qemu *qemu);

/* Begins a live migration to a QEMU that was started as incoming. pause: the guest stands still when all is ready for
 * the switch-over, until vm_qemu_migrate_continue(). rate: bytes/s, 0: as fast as it goes. */
int vm_qemu_migrate(struct vm_qemu *from, struct vm_qemu *to, bool pause, uint64_t rate);
/* Until query-migrate tells this status: "pre-switchover", "completed", "cancelled", "failed", "active". -1 when it
 * ends in another way. */
int vm_qemu_migrate_wait(struct vm_qemu *from, const char *status);
int vm_qemu_migrate_continue(struct vm_qemu *from);
int vm_qemu_migrate_cancel(struct vm_qemu *from);
/* What QEMU says of a completed migration. */
int vm_qemu_migrate_times(struct vm_qemu *from, struct vm_migration *migration);

/* Writes the guest, which stands still from then on, into a file; begins one from it (of an incoming QEMU). */
int vm_qemu_save(struct vm_qemu *qemu, const char *path);
int vm_qemu_restore(struct vm_qemu *qemu, const char *path);

#endif
