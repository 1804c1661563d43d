/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_WORLD_H
#define RETETHER_TESTS_SIM_WORLD_H

#include "broker/core/agent.h"
#include "migrate/core/claim.h"
#include "migrate/core/store_op.h"
#include "migrate/core/ticket.h"
#include "session/core/client.h"
#include "session/core/limits.h"
#include "session/core/tether.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A whole cluster in virtual time: guests, clients and agents are the product's own machines; the network, the store
 * and the processes in the guests are models with faults. One seed, one run, always the same. */

struct rt_attach_options;

#define SIM_AGENTS 3
#define SIM_GUESTS 6 /* instances: originals, clones, restarted copies */
#define SIM_CLIENTS 5
#define SIM_ATTS 2 /* attachments of one client */
#define SIM_CONNS 512
#define SIM_LINES 24 /* pasts: each revert, clone or restart begins another */
#define SIM_CONTAINERS 2
#define SIM_WINDOW 65536 /* bytes in flight after which a sender is not asked for more */
#define SIM_WALL_MS UINT64_C(1700000000000)

enum sim_fault {
    FAULT_CUT,
    FAULT_CUT_HALF_OPEN,
    FAULT_HANG,
    FAULT_MOVE,
    FAULT_MOVE_BACK_TO_BACK,
    FAULT_MOVE_ABORTED,
    FAULT_MOVE_TO_AND_FRO,
    FAULT_AGENT_CRASH,
    FAULT_AGENT_PAUSE,
    FAULT_AGENT_STOP,
    FAULT_STORE_SLOW,
    FAULT_STORE_OUT,
    FAULT_STORE_FAILOVER,
    FAULT_STORE_FLUSH,
    FAULT_STORE_REPLY_LOST,
    FAULT_NEWS_LOST,
    FAULT_NEWS_LATE,
    FAULT_NEWS_TWICE,
    FAULT_WELCOME_LOST,
    FAULT_CONFIRM_LOST,
    FAULT_CLIENT_CRASH,
    FAULT_CLIENT_STALL,
    FAULT_CLIENT_LATE,
    FAULT_CLIENT_TWICE,
    FAULT_SNAPSHOT_REVERT,
    FAULT_CLONE,
    FAULT_RESTART_ELSEWHERE,
    FAULT_GUEST_PAUSE,
    FAULT_EXIT, /* no fault, but it may come in the middle of others */
    SIM_FAULTS,
};

extern const char *const sim_fault_names[SIM_FAULTS];

/* ---- events ---- */

enum sim_event_kind { EV_TIMER, EV_BYTES, EV_CLOSED, EV_APP, EV_FAULT, EV_DIALED, EV_STORE_REPLY, EV_NEWS, EV_CALL };
enum sim_node_kind { NODE_GUEST, NODE_CLIENT, NODE_AGENT };

struct sim_event {
    uint64_t at_us;
    uint64_t seq; /* ties: in the order made */
    enum sim_event_kind kind;
    enum sim_node_kind node;
    int index;
    uint32_t gen; /* of the node or connection it is for: dropped when that is gone */
    int conn, side;
    uint8_t *bytes; /* owned */
    size_t size;
    void *extra; /* owned */
    void (*call)(int arg);
    int arg;
};

/* ---- connections ---- */

struct sim_half {     /* what travels towards one side */
    uint64_t last_us; /* arrival of the newest */
    size_t in_flight;
    int64_t deliver; /* bytes still to be delivered after a cut, -1 all */
    uint8_t *rx;     /* arrived and not taken; owned */
    size_t rx_size, rx_cap;
};

struct sim_conn {
    bool used;
    uint32_t gen;
    enum sim_node_kind kind; /* of the dialler */
    int peer, agent;         /* indexes */
    uint32_t peer_gen, agent_gen;
    unsigned slot;   /* client: agent slot */
    rt_link_id link; /* the agent's id */
    bool cut;
    bool open[2]; /* side 0 the dialler, side 1 the agent: believes it is open */
    uint64_t latency_us;
    struct sim_half to[2];
};

/* ---- nodes ---- */

struct sim_log { /* everything that one past of a container's process wrote */
    bool used;
    int container;
    uint8_t *data[2]; /* owned; stdout, stderr */
    size_t size[2], cap[2];
};

struct sim_applied { /* what one past's process took from one attachment */
    uint8_t id[RT_ID_SIZE];
    uint64_t count;
};

struct sim_hold { /* of one attachment at a guest, as seen from outside */
    uint8_t id[RT_ID_SIZE];
    uint64_t us; /* for which it has stopped the process since it had caught up */
    uint64_t goal[2];
};

#define SIM_APPLIED ((size_t)SIM_CLIENTS * SIM_ATTS * 16)

struct sim_command { /* run by exec in one past */
    uint8_t id[RT_ID_SIZE];
    uint32_t proc;
    uint64_t written;
    bool over;
};

#define SIM_COMMANDS 256

struct sim_done { /* what the processes of one past have done */
    bool started;
    struct sim_applied applied[SIM_APPLIED];
    size_t n_applied;
    struct sim_command commands[SIM_COMMANDS];
    size_t n_commands;
};

struct sim_guest {
    bool used, running, paused;
    uint32_t gen;
    int container, line, host, conn;
    struct rt_tether *tether; /* owned */
    uint64_t timer_us, paused_until_us;
    bool forked; /* it or its original was cloned, reverted or restarted: refusals are no violation */
    bool exits, exited;
    bool hung; /* when the faults ended its link was dead, and nobody had told it */
    struct sim_done done;
    bool stopped[2]; /* the process found no room for its output */
    struct sim_hold holds[RT_ATTS_MAX];
    uint64_t looked_us, dark_us; /* last looked at its holds; without an agent since */
    /* snapshot */
    struct rt_tether *saved; /* owned */
    size_t saved_size[2];
    struct sim_done saved_done;
};

struct sim_att {
    struct rt_catt *att;
    bool final;    /* REWOUND or FAILED told, or detached */
    bool attached; /* ever */
    bool bound;    /* its streams go on, as far as it was told */
    uint8_t id[RT_ID_SIZE];
    int container;
    uint64_t lines[2]; /* per stream: pasts that everything received fits, a bit each */
    bool start_known[2];
    uint64_t seen[2];  /* consumed up to */
    uint64_t written;  /* stdin */
    bool must_not_gap; /* never stalled, large hold */
    bool exited;
};

struct sim_exec { /* a command that a client has asked for; its own are freed with it */
    struct rt_catt *control, *att;
    uint8_t id[RT_ID_SIZE];
    int container;
    bool attached, sent, stalled;
    uint64_t began_us, looked_us, seen;
};

struct sim_client {
    bool used;
    uint32_t gen;
    struct rt_client *client; /* owned */
    uint64_t timer_us, stalled_until_us;
    bool stalled_for_ever;
    int conn[RT_CLIENT_AGENTS_MAX];
    struct sim_att atts[SIM_ATTS];
    struct sim_exec exec;
    struct rt_catt *twin; /* another attachment's id, asked for again; owned by the client */
};

#define SIM_ENDS 8

struct sim_agent {
    struct rt_store_op ends[SIM_ENDS]; /* on its disk: they outlive it */
    size_t n_ends;
    bool used, paused;
    uint32_t gen;
    struct rt_agent *agent; /* owned */
    uint64_t timer_us, paused_until_us, died_us;
    bool store_up;
};

struct sim_stats {
    uint64_t events, faults[SIM_FAULTS], moves, bytes_out, bytes_in, rewound, gaps, attached, resumed, failed;
    uint64_t commands, commands_told;
};

struct sim_options {
    uint64_t seed;
    bool verbose;
    uint64_t min_events; /* of all kinds, faults go on until then */
};

struct sim_world {
    struct sim_options options;
    uint64_t rng, now_us, seq;
    struct sim_event *heap; /* owned */
    size_t n_heap, cap_heap;
    struct sim_conn conns[SIM_CONNS];
    struct sim_guest guests[SIM_GUESTS];
    struct sim_client clients[SIM_CLIENTS];
    struct sim_agent agents[SIM_AGENTS];
    struct sim_log lines[SIM_LINES];
    int n_containers, n_lines;
    bool allow_forks;                         /* this seed may revert, clone, restart */
    bool quiet;                               /* faults have ended, clients type no more */
    bool silent;                              /* processes write no more */
    bool ending;                              /* processes that exit do */
    int lose_next;                            /* frame type whose connection is cut when it is next sent, 0 none */
    uint64_t double_since_us[SIM_CONTAINERS]; /* two agents serve it, 0 not */
    struct sim_stats stats;
};

extern struct sim_world sim;

/* world.c */
uint64_t sim_random(uint64_t below);
void sim_random_bytes(void *ctx, void *out, size_t size);
bool sim_chance(unsigned percent);
uint64_t sim_ms(void);
void sim_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A violated invariant: says what, the time and the seed, and ends the process. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void sim_post(struct sim_event event, uint64_t delay_us);
bool sim_pop(struct sim_event *event);
void sim_clear(void);
bool sim_forked(int container); /* it was cloned, reverted or restarted */

/* net.c */
int sim_connect(enum sim_node_kind kind, int peer, unsigned slot, int agent);
void sim_send(int conn, int to, const uint8_t *bytes, size_t size);
size_t sim_in_flight(int conn, int to);
void sim_close(int conn, int side);
/* Cuts a connection at a random byte in either direction. tell: bit per side that notices. */
void sim_cut(int conn, unsigned tell);
void sim_on_bytes(const struct sim_event *event);
void sim_on_closed(const struct sim_event *event);
void sim_free_conn(int conn);

/* guests.c */
int sim_new_guest(int container, int host, int line);
int sim_new_line(int container, int from_line, const size_t *size);
void sim_guest_pump(int guest);
void sim_guest_app(int guest);
void sim_guest_exit(int guest);
void sim_guest_move(int guest, int host, unsigned tell);
bool sim_guest_save(int guest);
bool sim_guest_revert(int guest);
int sim_guest_clone(int guest, int host);
void sim_guest_kill(int guest);
void sim_free_guest(int guest);
struct rt_tether *sim_copy_tether(const struct rt_tether *from);

/* clients.c */
void sim_new_client(int client);
void sim_client_pump(int client);
void sim_client_app(int client);
void sim_client_crash(int client);
bool sim_client_twin(int client, const struct rt_attach_options *options);
void sim_free_client(int client);
uint8_t sim_stdin_byte(const uint8_t id[RT_ID_SIZE], uint64_t offset);

/* commands.c */
void sim_command_start(int guest, uint32_t proc, const uint8_t id[RT_ID_SIZE]);
void sim_command_signal(int guest, uint32_t proc, unsigned sig);
void sim_commands_work(int guest);
void sim_client_commands(int client);

/* agents.c */
void sim_start_agent(int agent);
void sim_kill_agent(int agent);
void sim_agent_timer(int agent);
void sim_agent_name(int agent, char out[RT_HOST_MAX + 1]);
void sim_agent_addr(int agent, char out[RT_ADDR_MAX + 1]);
int sim_seal(void *ctx, const struct rt_ticket *ticket, uint8_t *out, size_t cap);
int sim_open(void *ctx, const uint8_t *token, size_t size, uint64_t wall_ms, struct rt_ticket *ticket);
void sim_key(int container, struct rt_key *key);

/* store.c */
void sim_store_reset(void);
void sim_store_up(int agent, bool fresh);
int sim_store_submit(int agent, const struct rt_store_op *op);
void sim_store_reply(const struct sim_event *event);
void sim_store_news(const struct sim_event *event);
void sim_store_fault(enum sim_fault fault);
void sim_store_heal(void);
bool sim_store_whole(void);
void sim_store_host_died(int about);
/* The store lost the end of this container after it had taken it: its agent keeps it no more. */
bool sim_store_end_lost(int container);
const struct rt_record *sim_store_record(int container);

/* faults.c */
void sim_fault_once(void);
void sim_heal(void);

/* check.c */
void sim_check(void);
/* Everything is attached again; all: also what nobody could miss while its link was silent. */
void sim_check_live(bool all);
void sim_check_drained(void); /* every byte written has arrived */
void sim_check_ended(void);   /* containers that exited are over and recorded */

/* bounds.c */
void sim_check_bounds(void);

/* run.c */
void sim_run(const struct sim_options *options, struct sim_stats *total);

#endif
