/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_PORT_H
#define RETETHER_TESTS_VM_PORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Where a guest's virtio serial port leads: to one connection with an agent, that stays the same whichever QEMU has the
 * guest. So neither end of a session notices that the machine in between went on from an earlier point. The QEMU that
 * dials next gets its turn when the one before has ended; what is on its way just then is lost, so nothing should be
 * but pings. */

struct vm_port {
    char path[128]; /* of the socket that QEMU dials; empty: none */
    int listener, agent;
    int stop[2]; /* a pipe */
    pthread_t thread;
    bool started;
    atomic_bool lost; /* the agent has closed the connection */
};

/* Zeroed but for path. Dials the agent's socket and begins to listen. 0, or -1 with a text on stderr. */
int vm_port_open(struct vm_port *port, const char *agent);
/* Safe on a zeroed struct, and twice. */
void vm_port_close(struct vm_port *port);

#endif
