/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_GUEST_H
#define RETETHER_TESTS_VM_GUEST_H

#include "tests/system/cluster/harness.h"
#include "tests/vm/host.h"
#include "tests/vm/port.h"
#include "tests/vm/qemu.h"

#include <stdbool.h>
#include <stddef.h>

/* Guests on a cluster of two hosts, each a network namespace with its agent; Redis and the clients are outside and
 * reach the agents over unix sockets. A guest is a real machine whose first process is our tether. Failures are
 * cmocka's, but where 0 or -1 is returned. */

#define VM_HOSTS 2
#define VM_GUESTS_MAX 3
#define VM_PROGRAMS_MAX 8
/* Longest wait for a guest to boot, on a busy machine. */
#define VM_BOOT_LIMIT_MS 120000
/* What a skipped test ends with. */
#define VM_SKIPPED 77

extern struct vm_host vm_hosts[VM_HOSTS];

/* What the tether dials, and where that leads. */
enum vm_link {
    VM_TCP,        /* the host's agent */
    VM_VSOCK,      /* AF_VSOCK CID 1: a relay in the guest, which dials the host's agent over TCP */
    VM_VSOCK_PORT, /* the same relay, on a virtio serial port: the connection survives what happens to the machine */
};

struct vm_guest {
    char cid[32];
    unsigned number; /* from 0: its tap, MAC and address */
    char address[20], tap[16];
    char initramfs[VM_QEMU_PATH];
    unsigned on;      /* index of the host */
    unsigned started; /* QEMU processes so far */
    struct vm_port port;
    struct vm_qemu qemu;
    struct vm_qemu next;                          /* the other side of a migration */
    unsigned to;                                  /* its host */
    struct vm_host_conn conns[VM_HOST_CONNS_MAX]; /* what the migration will have to reset */
    size_t n_conns;
    uint64_t resent;  /* by its tether so far, when last asked */
    uint64_t lost_in; /* bytes toward it that its cut connections took with them, so far */
};

struct vm_guest_options {
    const char *cid;
    enum vm_link link;
    const char *const *programs; /* more for its /bin, with their libraries; NULL-terminated, or NULL */
    const char *const *lines;    /* more lines of tether.conf, NULL-terminated */
};

/* Starts the cluster, then runs the tests, then deletes all. Returns main's status, VM_SKIPPED with a text where there
 * can be no VM. */
int vm_main(const char *name, const struct CMUnitTest *tests, size_t n);

/* Boots it on host 0 and waits until an agent serves it. The guest stays the harness's until vm_guests_end(). */
struct vm_guest *vm_guest_start(const struct vm_guest_options *options);
/* Ends every guest's QEMU and forgets them. */
void vm_guests_end(void);
/* A QEMU for this guest on a host, beside the one that it has. */
void vm_guest_qemu(struct vm_guest *guest, unsigned host, bool incoming, struct vm_qemu *qemu);

/* A live migration: begin; if paused, the guest stands still at the switch-over until vm_move_continue(); finish waits
 * until it goes on there, then resets its connection as a hypervisor does a vSocket, and ends the old QEMU. */
void vm_move_begin(struct vm_guest *guest, unsigned host, bool pause);
void vm_move_continue(struct vm_guest *guest);
void vm_move_finish(struct vm_guest *guest, struct vm_migration *migration);
void vm_move(struct vm_guest *guest, unsigned host, struct vm_migration *migration);
/* The guest stands still and is in the file. vm_qemu_cont() lets it go on where it is. */
void vm_guest_save(struct vm_guest *guest, const char *path);
/* Ends what runs of it, and starts it from the file on the other host; resets its TCP connections. */
void vm_guest_restore(struct vm_guest *guest, const char *path, double *resumed_ms);
/* Bytes of output that its tether has sent again since this was asked last, from the tether's log; of input that was on
 * its way on connections that were cut. */
uint64_t vm_guest_resent(struct vm_guest *guest);
uint64_t vm_guest_lost_in(struct vm_guest *guest);
/* What a restore or a finished migration ends with: what ran of it ends, `next` is the guest now, on the host `to`. */
void vm_guest_next(struct vm_guest *guest);
/* What begin and finish do about the connections: note those of the host that the guest is on; and, when it runs on
 * another one, reset them. */
void vm_note_conns(struct vm_guest *guest);
void vm_reset(struct vm_guest *guest, unsigned to);

#endif
