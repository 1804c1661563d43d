/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_VMS_H
#define RETETHER_BROKER_VMS_H

#include "broker/listen_item.h"
#include "broker/service.h"
#include "broker/shell.h"
#include "session/core/protocol.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

/* A directory in which each virtual machine has its own: DIR/NAME. The machine's monitor has its vSocket at
 * DIR/NAME/vsock; when the guest dials CID 2 and a port, the monitor connects to DIR/NAME/vsock_PORT (the hybrid
 * vSocket of Firecracker and Cloud Hypervisor). There the agent listens, and who comes there is the machine NAME.
 *
 *     made                  inotify: a socket is made, given its mode, and moved to DIR/NAME/vsock_PORT
 *     socket removed        made anew within one walk
 *     directory removed     the socket is closed; open connections stay, and end with their monitor
 *     made again            a machine of the same name: the same identity
 *     renamed               who connects to the socket that moved along is turned away; it has the new name a moment
 * later
 *
 * Events may be lost, so the directory is also walked, some names each second. */

/* Virtual machines of one directory; one more is not listened for, which is logged, until another one goes. */
#define RT_VMS_MAX 4096
/* Connections from one machine; one more is closed at once. */
#define RT_VM_CONNECTIONS_MAX 64
/* Names looked at each second. */
#define RT_VMS_WALK_MAX 256

struct rt_vm {
    struct rt_shell_listener at;
    char name[RT_VM_MAX + 1];
    uint32_t round;    /* in which it was seen last */
    UT_hash_handle hh; /* by name */
};

/* What is in the directory and is no machine, or cannot be listened for. */
struct rt_vms_left {
    unsigned n;
    char example[RT_TEXT_MAX];
};

struct rt_vms {
    struct rt_shell *shell;
    const struct rt_service *service;
    size_t port; /* of the service */
    struct rt_listen_item item;
    char stage[RT_ENDPOINT_TEXT_MAX]; /* where sockets are made */
    struct rt_vm *by_name;            /* owned */
    uv_fs_event_t watch;
    bool watched; /* the handle is open */
    ino_t ino;    /* of the directory that is watched, 0: none is */
    DIR *walk;    /* owned; NULL: the next one begins */
    uint32_t round;
    struct rt_vms_left left, told;
    char fault[RT_TEXT_MAX]; /* of the directory, as the log was told */
};

/* Listens for all machines that are there. Returns 0, or a code after it has said in the log what is wrong. */
RT_MUST_CHECK int rt_vms_open(struct rt_vms *vms, struct rt_shell *shell, const struct rt_listen_item *item,
                              const struct rt_service *service, size_t port);
/* Each second. */
void rt_vms_beat(struct rt_vms *vms);
/* Listens no more. Open connections stay. */
void rt_vms_close(struct rt_vms *vms);

#endif
