/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_SHELL_H
#define RETETHER_BROKER_SHELL_H

#include "broker/disk.h"
#include "broker/ends.h"
#include "broker/log.h"
#include "broker/notify.h"
#include "broker/settings.h"
#include "broker/vm_map.h"
#include "migrate/seal/keyring.h"
#include "migrate/store/embedded.h"
#include "migrate/store/store.h"
#include "session/base/list.h"
#include "session/tls/tls.h"
#include "session/transport/link.h"
#include "session/transport/listener.h"

/* The agent's shell: one libuv loop that carries bytes between links and the pure machine (broker/core/agent.h), runs
 * its store operations, and keeps its timer.
 *
 *     STARTING --the private store answers, or at once--> RUNNING --TERM, INT--> STOPPING --all told--> CLOSING ->
 * ended
 *        '-- failure, name taken: exit code 1 ------------------------------------------------------------^
 *
 * After every call into the machine comes rt_shell_settle(): what it sent is written, with one writev for each link,
 * and the timer is set. The machine's callbacks never call back into it. */

/* Bytes of small frames that wait for the end of one call; more are written at once. */
#define RT_SHELL_ARENA ((size_t)64 * 1024)
/* Batches kept for the next call; one more goes back to malloc. */
#define RT_SHELL_BATCHES_FREE_MAX 32
#define RT_SHELL_LISTENERS_MAX ((size_t)2 * RT_SETTING_LISTENERS_MAX) /* of all ports */
/* Descriptors that no connection takes: of the loop, listeners, the store and its replies, the state directory. */
#define RT_SHELL_FDS_RESERVED 64
/* Of these, for newcomers in the place of the oldest handshake, until the descriptor of that one is closed.
 * One more of the same flood is closed. */
#define RT_SHELL_FDS_SWAP 16
/* What the agent counts is logged this often, where it has changed. */
#define RT_SHELL_STATS_MS 60000
/* Stopping: records, ends on their way to the disk and last words have this long; then links and store are closed; then
 * the process ends anyway. */
#define RT_SHELL_STOP_MS 1500
#define RT_SHELL_END_MS 2800
/* The private store, when it has ended by itself, is started again after this. */
#define RT_SHELL_EMBEDDED_AGAIN_MS 1000

/* Counters of all services, and bytes of one in the log. */
#define RT_SHELL_COUNTERS_MAX 64
#define RT_SHELL_COUNTER_TEXT_MAX 64

struct rt_shell;
struct rt_conn;
struct rt_service;
struct rt_counter;
struct rt_comer;
struct rt_vms;

/* What goes to one link at the end of a call. Pieces lie in the input or in the arena. */
struct rt_batch {
    struct rt_batch *next;
    struct rt_conn *conn; /* NULL: it has been closed meanwhile */
    unsigned n;
    bool last_in_input;
    uv_buf_t iov[RT_LINK_IOV_MAX];
};

struct rt_conn {
    struct rt_link link;
    struct rt_shell *shell;
    struct rt_listener *listener;
    struct rt_list node; /* of shell->links */
    rt_link_id id;       /* 0: the machine has done with it */
    bool queues;         /* had a queue at the last look at it */
    struct rt_batch *batch;
    uint64_t handed; /* to the kernel, at that look */
    size_t unread;   /* bytes that the kernel had then */
};

struct rt_shell_listener {
    struct rt_listener listener;
    const struct rt_service *service;
    size_t port;                       /* of the service */
    uint64_t short_of_fds, short_told; /* newcomers for whom no descriptor was left; short_told: of the pauses too */
    const char *vm;                    /* whose alone it is (vms.h); NULL: anybody's */
    bool gone_told;                    /* that its socket file is gone, and cannot be made anew */
};

/* What is read of the key ring's file and of the certificates' directory. */
struct rt_shell_trust {
    struct rt_keyring ring;
    struct rt_tls tls, store_tls; /* nothing is loaded where the settings name no directory */
    char why[RT_SETTING_WHY_MAX];
};

/* By which it is seen whether the file has changed. */
struct rt_vm_map_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    mode_t mode;
    time_t modified_s;
    long modified_ns;
};

struct rt_shell_vm_map {
    struct rt_vm_map used;
    uv_work_t work;
    struct rt_vm_map fresh; /* from here on the worker's unless IDLE */
    struct rt_vm_map_stamp seen;
    char why[RT_TEXT_MAX];
    int error;
    bool changed;
    bool ordered;                                             /* read it, changed or not; set before the work begins */
    enum { RT_MAP_IDLE, RT_MAP_READING, RT_MAP_AGAIN } phase; /* the loop's; as of trust */
};

enum rt_shell_phase { RT_SHELL_STARTING, RT_SHELL_RUNNING, RT_SHELL_STOPPING, RT_SHELL_CLOSING };

struct rt_shell {
    uv_loop_t loop;
    struct rt_settings settings;
    struct rt_log log;
    struct rt_notify notify;
    const struct rt_service *const *services; /* all of them, then NULL; in the order in which they are opened */
    enum rt_shell_phase phase;
    int exit_code;
    uint64_t stop_at; /* loop time at which stopping began */

    struct rt_agent *agent; /* owned */
    struct rt_keyring ring;
    struct rt_tls tls;       /* of tls: listeners */
    struct rt_tls store_tls; /* to the store */
    struct {                 /* read anew. IDLE --asked--> READING --asked--> AGAIN --read--> READING --read--> IDLE */
        uv_work_t work;
        struct rt_shell_trust next; /* the worker's unless IDLE */
        int error;
        enum { RT_TRUST_IDLE, RT_TRUST_READING, RT_TRUST_AGAIN } phase;
    } trust;
    struct rt_shell_vm_map vm_map;
    struct rt_ends ends;
    struct rt_disk disk;
    struct rt_ends revoked; /* what is revoked, as ends that have nothing but key, life and host */
    struct rt_disk revoked_disk;
    bool revoked_fails; /* which was told */
    uv_work_t drains_work;
    bool drains_writing, drains; /* the worker's while it writes: what is to be on the disk */
    int drains_error;            /* and what that has come to: an errno */
    int lock_fd;                 /* of the state directory */

    /* links */
    struct rt_buf_pool pool;
    struct rt_shell_listener listeners[RT_SHELL_LISTENERS_MAX];
    size_t n_listeners;
    struct rt_vms *vms[RT_SETTING_LISTENERS_MAX]; /* owned */
    size_t n_vms_dirs;
    unsigned n_vms, vm_connections;            /* of all directories */
    unsigned conns_max;                        /* so many connections leave descriptors to the rest; 0: any number */
    struct rt_conn *conns[RT_AGENT_LINKS_MAX]; /* by id % size */
    struct rt_list links;                      /* of struct rt_conn, the oldest first, closing ones too; owned */

    /* one call into the machine */
    struct rt_buf *input;                /* being taken in, or NULL */
    struct rt_batch *dirty, **dirty_end; /* owned; in order */
    struct rt_batch *spare;              /* owned */
    unsigned n_spare;
    uint8_t arena[RT_SHELL_ARENA];
    size_t arena_used;

    /* store */
    struct rt_store store;
    struct rt_embedded embedded;
    bool store_open, embedded_open;
    bool store_was_up;
    struct rt_setting_list addr; /* advertised */
    struct rt_id instance;
    size_t n_ops;   /* replies owed to the machine */
    size_t n_finds; /* of these, FIND */

    bool stop_due;
    uv_async_t wake;  /* what was recorded for shell.c: stop_due, progress */
    uv_timer_t timer; /* the machine's */
    uint64_t timer_at;
    uv_timer_t beat; /* once a second */
    uint64_t stats_told[RT_SHELL_COUNTERS_MAX];
    uint64_t stats_at; /* when they were */
    uv_timer_t again;  /* the private store's next start; when stopping: deadline */
    uv_signal_t signals[3];
};

/* Everything up to the running loop. settings are copied; services end with NULL, and stay as they are. What fails is
 * said in the log; rt_shell_run() then only closes what was opened, and returns 1. */
void rt_shell_start(struct rt_shell *shell, const struct rt_settings *settings,
                    const struct rt_service *const *services);
/* Until it has stopped. Returns the exit code. */
int rt_shell_run(struct rt_shell *shell);

static inline uint64_t rt_shell_now(const struct rt_shell *shell)
{
    return uv_now(&shell->loop);
}

/* A line of the log, now. */
#define rt_shell_note(shell, level, kind, name, ...)                                                                   \
    rt_log_note(&(shell)->log, level, kind, name, rt_shell_now(shell), __VA_ARGS__)

/* Something that stopping waits for is done. shell.c looks at it behind whoever says so. */
static inline void rt_shell_progress(struct rt_shell *shell)
{
    if (shell->phase >= RT_SHELL_STOPPING) {
        (void)uv_async_send(&shell->wake);
    }
}

/* The agent is to end with that exit code. That is recorded here; shell.c then tells everybody, and closes all. */
static inline void rt_shell_stop(struct rt_shell *shell, int exit_code)
{
    if (shell->phase < RT_SHELL_STOPPING && !shell->stop_due) {
        shell->stop_due = true;
        shell->exit_code = exit_code;
        (void)uv_async_send(&shell->wake);
    }
}

/* counters.c: what all services count, and what is counted below them. Not before they are open. out: room for
 * RT_SHELL_COUNTERS_MAX. Returns how many. */
size_t rt_shell_counters(struct rt_shell *shell, struct rt_counter *out);

/* outbox.c: what the machine sends */
void rt_shell_send(void *ctx, rt_link_id id, const uint8_t *data, size_t size, bool in_input);
void rt_shell_hang_up(void *ctx, rt_link_id id, const char *reason);
/* Tells the machine how much is queued to a link, also when that has not changed: it counts what it sends meanwhile. */
void rt_shell_report_queued(struct rt_shell *shell, struct rt_conn *conn);
/* After each call into the machine. */
void rt_shell_settle(struct rt_shell *shell);
void rt_shell_free_batches(struct rt_shell *shell);

/* accept.c: who comes */
/* Somebody has connected: on_accept of every listener of ours, each of which is a struct rt_shell_listener. */
void rt_shell_accept_cb(struct rt_listener *listener, int fd, const struct rt_listener_peer *who);
/* Its connection has ended. */
void rt_shell_release(struct rt_shell *shell, struct rt_listener *listener);
/* Says in the log whom it could not take since it was asked last. */
void rt_shell_tell_shortage(struct rt_shell *shell, struct rt_shell_listener *at);
/* Of all services; those that are closing hold a descriptor too. */
unsigned rt_shell_connections(const struct rt_shell *shell);

/* guests_map.c: which vSocket is which virtual machine's. Open returns a code when the file is not right. */
int rt_shell_open_vm_map(struct rt_shell *shell);
/* Each second, and when it is ordered. */
void rt_shell_look_at_vm_map(struct rt_shell *shell, bool ordered);

/* listen.c: listeners */
int rt_shell_listen(struct rt_shell *shell);
void rt_shell_unlisten(struct rt_shell *shell);
/* Each second: socket files that somebody has removed, connections that could not be taken. */
void rt_shell_look_after_listeners(struct rt_shell *shell);

/* conn.c: links */
/* True: the descriptor is the new link's. come: who it is on a wire without a handshake, where coming is the proof. */
bool rt_shell_adopt(struct rt_shell *shell, const struct rt_comer *comer, int fd, const struct rt_peer *peer,
                    const struct rt_proof *come);
/* Each second: whether those who read slowly read at all. */
void rt_shell_look_at_queues(struct rt_shell *shell);
void rt_shell_close_conns(struct rt_shell *shell);
/* Ends those whose certificate is revoked by what has been read now. Returns how many. */
unsigned rt_shell_close_revoked(struct rt_shell *shell);

/* store.c: the store */
/* Before the loop: whoever is to start the private one, if that is used. */
int rt_shell_prepare_store(struct rt_shell *shell);
int rt_shell_open_store(struct rt_shell *shell);
void rt_shell_close_store(struct rt_shell *shell);
int rt_shell_submit(void *ctx, const struct rt_store_op *op);

/* trust.c: key ring and certificates */
int rt_shell_open_trust(struct rt_shell *shell);
void rt_shell_reload_trust(struct rt_shell *shell);

/* state_dir.c: the state directory */
int rt_shell_open_state(struct rt_shell *shell);
int rt_shell_open_ends(struct rt_shell *shell); /* once there is a machine */
int rt_shell_keep_end(void *ctx, uint32_t id, const struct rt_store_op *end);
void rt_shell_drop_end(void *ctx, const struct rt_key *key, uint64_t life);
int rt_shell_open_revoked(struct rt_shell *shell); /* likewise */
RT_MUST_CHECK int rt_shell_keep_revoked(void *ctx, const struct rt_key *key, uint64_t life);
void rt_shell_drop_revoked(void *ctx, const struct rt_key *key, uint64_t life);
int rt_shell_open_drains(struct rt_shell *shell); /* likewise */
RT_MUST_CHECK int rt_shell_keep_drains(void *ctx, bool drains);
bool rt_shell_disk_idle(const struct rt_shell *shell);

#endif
