/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SYSTEM_DEMO_DEMO_H
#define RETETHER_TESTS_SYSTEM_DEMO_DEMO_H

#include "tests/lib/cluster.h"
#include "tests/lib/workload_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* The demo: a container with a stream each way is moved among three agents, some of which are killed, while `retether
 * attach` reads and types. Every byte is checked at both ends. One loop, one thread.
 *
 * How a blackout is measured: from the cut, which is when the stand-in for vMotion has answered that the old connection
 * is gone, the demo watches the reads of the attached client's stdout until DEMO_WINDOW bytes have come. More than that
 * cannot be under way, so the last of them came through the next agent. The blackout is the longest silence in that
 * window, the one that began before the cut counting from the cut. It is an upper bound: other waits (a busy machine,
 * the workload's own rate) can only make it longer. */

#define DEMO_HOSTS 3
#define DEMO_CID "demo"
#define DEMO_SEED 7
/* More than the windows of client (256 KiB), agent and pipes hold together. */
#define DEMO_WINDOW ((uint64_t)512 << 10)
#define DEMO_MOVES_MAX 10000
#define DEMO_RECENT 6
#define DEMO_TEXT 256
#define DEMO_STDERR_MAX 8192
/* Of the client's stderr, in what is said of a failure. */
#define DEMO_QUOTE 150
/* Neither a byte nor an event for so long: it hangs. */
#define DEMO_STUCK_MS 60000
/* Smallest loss of a direction that certainly held stream bytes: pings and acknowledgements of a stun are less. */
#define DEMO_LOSS_MIN 1024

struct demo_options {
    unsigned moves, kills;
    unsigned pace_ms; /* of load for each event */
    uint64_t bytes;
    bool json, keep;
    bool tls; /* the client comes over TLS */
};

enum demo_style { DEMO_RESET, DEMO_EOF, DEMO_HANG, DEMO_STYLES };
extern const char *const demo_styles[DEMO_STYLES];

struct demo_move {
    unsigned from, to;
    enum demo_style style;
    bool source_killed; /* the old host's agent died in that moment */
    uint64_t offset;    /* of the output when it was cut */
    double blackout_ms;
};

/* Where the scenario stands; see moves.c. */
enum demo_phase { DEMO_STARTING, DEMO_FLOWING, DEMO_STUNNED, DEMO_RECOVERING, DEMO_ENDING, DEMO_OVER };

struct demo {
    struct demo_options options;
    uv_loop_t loop;
    struct rt_cluster cluster;
    struct rt_cluster_vm *vm;
    double began_ms;

    /* the attached client */
    pid_t attach;
    int attach_status; /* -2: runs */
    uv_pipe_t in, out, err;
    struct workload_check received;
    uint64_t out_bytes, in_bytes; /* to be sent each way */
    uint64_t sent;
    struct rt_digest sent_digest;
    uint8_t in_buf[65536];
    uv_write_t in_write;
    bool writing, in_over, out_over, err_over;
    double in_credit, in_credited_ms;
    uint64_t out_rate, in_rate; /* bytes/s */
    char stderr_text[DEMO_STDERR_MAX];
    size_t stderr_size;

    /* silence at the client's stdout */
    double last_read_ms, cut_ms, silence_ms;
    uint64_t cut_offset;

    /* the scenario */
    enum demo_phase phase;
    uint64_t phase_until_ms;
    unsigned event, events; /* done, in all */
    bool killing;           /* the event under way is a kill */
    bool kill_source;       /* with the next move */
    unsigned next_host, kills_done, kills_serving;
    uint64_t restart_ms[DEMO_HOSTS]; /* 0, or when the dead agent is started again */
    uint64_t settled_ms;             /* no move before: an agent has just been started */
    struct demo_move *moves;         /* owned */
    unsigned n_moves;
    double *outages; /* owned: of kills */
    unsigned n_outages;
    unsigned last_killed;             /* host */
    uint64_t lost[2], interrupted[2]; /* stand-in's counters: up, down */
    uint64_t resent_out, resent_in;   /* what the tether and the client say that breaks made them send again */
    uint64_t seed;

    /* of the tether's log */
    int tether_log;
    char log_line[2048];
    size_t log_size;
    uint64_t epoch;
    bool exited; /* the container's process; nothing is sent again after its output has come */
    char serving[16];

    /* the picture */
    bool live;
    unsigned lines; /* of it on the screen */
    uv_timer_t tick, draw;
    uv_signal_t signals[2];
    char failure[DEMO_TEXT]; /* the first thing that broke */
};

double demo_now_ms(void);
/* Notes the first failure and ends the run. */
__attribute__((format(printf, 2, 3))) void demo_fail(struct demo *demo, const char *format, ...);

/* streams.c */
int demo_attach(struct demo *demo);
void demo_type(struct demo *demo); /* as much input as the rate allows */
void demo_streams_close(struct demo *demo);
/* What is worth quoting of the client's stderr: what the container complains of, else its end. */
const char *demo_said(const struct demo *demo);
/* After the end: compares both ends' counts and hashes. */
void demo_compare(struct demo *demo);

/* moves.c */
void demo_step(struct demo *demo); /* once per millisecond or so */
void demo_read_log(struct demo *demo);
void demo_losses(struct demo *demo);

/* show.c */
void demo_draw(struct demo *demo);
void demo_show_move(struct demo *demo, const struct demo_move *move);
void demo_show_kill(struct demo *demo, unsigned host, bool serving, double outage_ms);
void demo_show_end(struct demo *demo); /* leaves the terminal as it was */
void demo_summary(struct demo *demo);
void demo_size(uint64_t bytes, char out[32]);

#endif
