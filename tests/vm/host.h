/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_HOST_H
#define RETETHER_TESTS_VM_HOST_H

#include "tests/lib/cluster_process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A host: a network namespace with a bridge br0 at VM_HOST_ADDRESS, whose MAC is the same on every host, and a tap for
 * each guest that may be there. So a guest that moves finds its agent where it was, as with a vSocket.
 *
 * A vSocket is reset by the hypervisor when its VM has moved. Here TCP stands for it, and the reset is made: the new
 * host sends one bare SYN with the ports of the old connection, which the guest answers with a challenge ACK, to which
 * the new host, that knows no such connection, answers RST. The old host's end is destroyed through sock_diag. */

#define VM_HOST_ADDRESS "169.254.1.1"
#define VM_HOST_PORT 7400
#define VM_HOST_CONNS_MAX 8

struct vm_host {
    char netns[32];
    int raw;  /* a raw TCP socket in it, -1: none */
    int diag; /* a sock_diag socket in it */
};

struct vm_host_conn {
    uint16_t port;      /* the guest's */
    uint32_t unacked;   /* bytes toward the guest that it has not acknowledged */
    uint32_t unread;    /* bytes from the guest that the agent has not read */
    uint32_t cookie[2]; /* of the kernel */
};

/* Makes it, named after this process; the janitor deletes it. 0, or -1 with a text on stderr. */
int vm_host_open(struct vm_host *host, unsigned index, struct rt_janitor *janitor);
/* Closes what this process has of it. */
void vm_host_close(struct vm_host *host);
/* A tap of this name on the bridge; one that is there already is taken. */
int vm_host_tap(const struct vm_host *host, const char *tap);
/* Takes the tap down or up: what is sent meanwhile is lost. */
int vm_host_link(const struct vm_host *host, const char *tap, bool up);

/* Connections of the guest with this address to the agent, as this host's kernel has them. */
size_t vm_host_conns(const struct vm_host *host, const char *guest, struct vm_host_conn conns[VM_HOST_CONNS_MAX]);
/* The bare SYN. */
void vm_host_probe(const struct vm_host *host, const char *guest, uint16_t port);
/* Ends the agent's side with an error. */
void vm_host_destroy(const struct vm_host *host, const char *guest, const struct vm_host_conn *conn);

#endif
