/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_VMOTION_H
#define RETETHER_TESTS_LIB_VMOTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* A stand-in for vMotion. The VM's tether has one fixed unix socket; what connects there is relayed to the agent of the
 * host that the VM is "on". A move ends what is open and sends what connects next to the new host.
 *
 * Unix sockets know no RST: a reset is a close with bytes unread, which the peer sees as ECONNRESET; where nothing was
 * unread it sees EOF. The tether and the agent must treat both alike anyway.
 *
 * Bytes count as delivered when they are in the far socket's buffer. As everywhere here, there is no half-close: when
 * one side ends, what it sent is delivered and the other is closed. */

/* Hosts of one stand-in. */
#define VMOTION_HOSTS_MAX 16
/* Bytes held per direction of a connection; full means that its sender is not read. */
#define VMOTION_BUFFER 65536
/* A move that loses only some bytes delivers the others first, for at most this long. */
#define VMOTION_SETTLE_MS 1000
#define VMOTION_NEVER UINT64_MAX

enum vmotion_dir { VMOTION_UP, VMOTION_DOWN }; /* guest to agent, agent to guest */
enum vmotion_mode {
    VMOTION_RESET,
    VMOTION_EOF,
    VMOTION_HANG, /* both sides stay open and silent; each is closed when its peer closes, see vmotion_release */
};

struct vmotion;
struct vmotion_pair;

struct vmotion_stats {
    uint64_t bytes[2]; /* delivered, per direction */
    uint64_t lost[2];  /* read or readable and not delivered when a move or a cut came */
    uint64_t moves, cuts;
    uint64_t conns;   /* relayed since the start */
    uint64_t refused; /* the host's agent did not answer */
    unsigned live;    /* relayed now, those that settle for a move included */
    unsigned hung;
};

struct vmotion {
    void *data;                           /* the caller's */
    void (*on_settled)(struct vmotion *); /* may be NULL: the last connection of a move has ended */
    void (*on_close)(struct vmotion *);   /* may be NULL: the memory is the caller's again */

    uv_loop_t *loop;
    uv_poll_t listener;
    int fd;         /* owned, -1 when closed */
    char path[108]; /* the guest's socket */
    struct {
        char name[64];
        char path[108];
    } hosts[VMOTION_HOSTS_MAX];
    unsigned n_hosts;
    unsigned on; /* index of the host that the VM is on */
    bool stalled;
    uint64_t cut_left[2]; /* bytes until the cut, or VMOTION_NEVER */
    enum vmotion_mode cut_mode[2];
    struct vmotion_pair *pairs; /* owned list */
    unsigned settling;          /* pairs that deliver what a move leaves them */
    unsigned open_handles;
    struct vmotion_stats stats;
};

/* What follows returns 0 or a negative errno unless said otherwise. */

/* Zeroes v but for the first three fields. */
void vmotion_init(struct vmotion *v, uv_loop_t *loop);
/* -ENOSPC, -ENAMETOOLONG, -EEXIST */
int vmotion_add_host(struct vmotion *v, const char *name, const char *agent_path);
/* Listens on the guest's socket; replaces a file that is there. The VM is on the first host. */
int vmotion_start(struct vmotion *v, const char *guest_path);
void vmotion_close(struct vmotion *v);

/* Where new connections go; open ones stay. -ENOENT */
int vmotion_on(struct vmotion *v, const char *name);

/* vmotion_on, then ends each open connection. lose: per direction, how many of the bytes in flight at this moment (in
 * the relay's buffer or readable from the sender) may be lost: the others are delivered before the end; VMOTION_NEVER
 * loses all of them at once. v->settling tells how many connections are still delivering; on_settled comes when it
 * falls to 0. */
int vmotion_move(struct vmotion *v, const char *name, enum vmotion_mode mode, const uint64_t lose[2]);

/* Ends, in that mode, the connection that has carried the n-th byte from now on in this direction, right after it. 0:
 * before the next byte. Once; VMOTION_NEVER disarms. */
void vmotion_cut_after(struct vmotion *v, enum vmotion_dir dir, uint64_t n, enum vmotion_mode mode);

/* Neither relays nor accepts until resumed: the VM is stunned. */
void vmotion_stall(struct vmotion *v);
void vmotion_resume(struct vmotion *v);

/* Closes the agents' sides of hung connections: the old host gives up. */
void vmotion_release(struct vmotion *v);

#endif
