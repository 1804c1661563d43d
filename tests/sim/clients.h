/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_SIM_CLIENTS_H
#define RETETHER_TESTS_SIM_CLIENTS_H

#include "session/core/client.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stdint.h>

/* Clients: what they were given, byte for byte, and what they type. */

#define SIM_CLIENTS 5
#define SIM_ATTS 2                     /* attachments of one client */
#define SIM_OPERATOR (SIM_CLIENTS + 1) /* its place behind the hostile one */

struct rt_attach_options;
struct rt_catt;
struct rt_catt_event;

struct sim_att {
    struct rt_catt *att;
    bool final;    /* REWOUND or FAILED told, or detached */
    bool attached; /* ever */
    bool bound;    /* its streams go on, as far as it was told */
    bool taken;    /* by another process with the same id, before anything of it was used */
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
    struct rt_catt *att;
    uint8_t id[RT_ID_SIZE];
    int container;
    bool attached, stalled;
    uint64_t looked_us, seen;
};

struct sim_client {
    bool used;
    bool touched; /* its machine was called since the last check */
    uint32_t gen;
    struct rt_client *client; /* owned */
    uint64_t timer_us, stalled_until_us;
    bool stalled_for_ever;
    int conn[RT_CLIENT_AGENTS_MAX];
    unsigned top; /* above the highest slot that ever had a connection */
    struct sim_att atts[SIM_ATTS];
    struct sim_exec exec;
    struct rt_catt *other; /* to the hostile container; owned by the client */
    int asked_for;         /* container */
    uint64_t asked;        /* a request without an answer, 0 none */
    uint64_t creates;      /* likewise: a container that was revoked is made anew */
    int created;           /* that one */
    struct rt_catt *twin;  /* another attachment's id, asked for again; owned by the client */
};

/* The next event of an attachment, as a shell asks that looks at those only that the machine names: one that has
 * something to tell without being named fails the run. */
bool sim_next_event(int client, struct rt_catt *att, struct rt_catt_event *ev);
/* What came of a stream, likewise. */
const uint8_t *sim_peek(int client, const struct rt_catt *att, unsigned stream, size_t *size);
/* The shell is done with an attachment for now: named or not, it is not looked at before it is named anew, unless it
 * has left bytes there. */
void sim_looked_at(struct rt_catt *att);

void sim_new_client(int client);
void sim_client_pump(int client);
void sim_client_app(int client);
void sim_client_crash(int client);
bool sim_client_twin(int client, const struct rt_attach_options *options);
void sim_free_client(int client);
uint8_t sim_stdin_byte(const uint8_t id[RT_ID_SIZE], uint64_t offset);

#endif
