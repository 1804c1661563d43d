/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_BROKER_CORE_FIXTURE_H
#define RETETHER_TESTS_UNIT_BROKER_CORE_FIXTURE_H

#include "broker/core/agent.h"
#include "broker/core/revoked.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_request.h"
#include "session/core/order.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An agent with scripted peers and a model of the store. Every frame that it sends is parsed at once: a link that ever
 * gets something that is no whole frame fails the test. */

#define FX_LINKS 64
#define FX_OPS 256
#define FX_RECORDS 64
#define FX_HOSTS 80
#define FX_BUF 1048576
#define FX_WRITES 512

struct fx_past {
    uint8_t data[RT_PAST_MAX];
    size_t size;
};

enum fx_store { FX_STORE_UP, FX_STORE_DOWN };

struct fx_link {
    rt_link_id id;
    enum rt_peer_role role;
    bool closed;
    char reason[RT_TEXT_MAX + 1];
    uint8_t *out; /* owned: what the agent sent */
    size_t out_size, out_read, out_cap, sends;
    uint8_t *in; /* owned: RT_FRAME_HEADER bytes of room, then what it has not taken yet */
    size_t in_size;
    size_t chunk; /* bytes per rt_agent_input() call, 0 all */
    bool stalled; /* reads nothing: what it is sent stays queued, and the agent is told so */
    size_t queued, most_queued;
};

struct fx {
    struct rt_agent *agent;
    uint64_t now, store_ms;
    uint64_t wall_ms;               /* 1970 to the moment at which now was 0 */
    uint32_t active_key, known_key; /* what seals; the highest that the ring has, all below it too */
    struct fx_link links[FX_LINKS];
    size_t n_links;
    enum fx_store store;
    struct rt_store_op ops[FX_OPS]; /* submitted, not answered */
    size_t n_ops, n_submitted[RT_STORE_HOST_ROW + 1];
    struct rt_store_op last[RT_STORE_HOST_ROW + 1];      /* the newest of each kind */
    uint8_t report[RT_REPORT_MAX], tail[2][RT_TAIL_MAX]; /* of the newest REPORT, END */
    uint8_t order[RT_ORDER_PACKED_MAX];                  /* of the tails */
    size_t report_size, tail_size[2], order_size;
    struct fx_past pasts[FX_OPS]; /* those of the newest takes */
    size_t n_pasts;
    struct rt_store_record records[FX_RECORDS];
    struct fx_past record_pasts[FX_RECORDS];
    size_t n_records, page; /* page: records of one FIND reply */
    struct fx_host {
        struct rt_store_host row;
        bool alive; /* its sequence moves with each beat */
    } hosts[FX_HOSTS];
    size_t n_hosts;
    size_t n_events[RT_AGENT_STORE + 1];
    size_t n_kept, n_dropped;
    struct rt_store_op kept; /* the last one; its slices are not */
    bool disk_busy;          /* takes nothing more */
    int revoked_on_disk;     /* files */
    struct fx_revoked {
        struct rt_key key;
        uint64_t life;
    } revoking[AG_REVOKED_WRITING_MAX]; /* writes under way */
    size_t n_revoking;
    struct fx_revoked revoked_kept, revoked_dropped; /* the newest */
    bool drains_given, drains_writing;               /* to the disk, which has not answered */
    bool drains_on_disk;
    char keeper[RT_HOST_MAX + 1]; /* of the tails, as the store has it */
    bool unsure, doubtful;        /* ENDs are taken, and not by all replicas; no majority names the server */
    bool lone;                    /* of an unsure END: nor by all replicas that are connected */
    uint32_t writes[FX_WRITES];
    size_t n_writes; /* under way */
    uint8_t id_seed;
};

void fx_init(struct fx *fx); /* store up, whole */
void fx_close(struct fx *fx);
/* The same for cmocka: *state is the fixture. */
int fx_setup(void **state);
int fx_teardown(void **state);
#define FX_TEST(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
void fx_tick(struct fx *fx, uint64_t ms);     /* time goes on, deadlines on its way are kept */
void fx_answer(struct fx *fx);                /* replies to all operations under way, and to those that this starts */
void fx_fail(struct fx *fx, int error);       /* the same with an error */
void fx_answer_one(struct fx *fx, int error); /* only the oldest; error 0: as the model has it */
void fx_disk(struct fx *fx, int error);       /* the disk has done, or has failed to do, what it was given */
/* The same of what is revoked: only what was under way when this was called. */
void fx_disk_revoked(struct fx *fx, int error);
/* The same of whether the host drains. */
void fx_disk_drains(struct fx *fx, int error);
void fx_limit(struct fx *fx, enum rt_limit limit, uint64_t most);
void fx_up(struct fx *fx, bool fresh, bool whole);
void fx_down(struct fx *fx);
/* The registry has a row of it from now on, in the order of the names: its notice is heard, or it stands still. */
void fx_host(struct fx *fx, const char *host, bool alive);
/* n seconds: rows of the living move, the agent's heartbeats are answered and all that it asks. */
void fx_beats(struct fx *fx, unsigned n);
void fx_claimed(struct fx *fx, const char *cid, const char *host, uint64_t life, uint64_t epoch);
int fx_store_submit(void *ctx, const struct rt_store_op *op);                          /* the agent's io.store */
struct rt_store_record *fx_record(struct fx *fx, const char *tenant, const char *cid); /* made when there is none */
void fx_record_lose(struct fx *fx, const char *cid);                                   /* of the tenant "local" */
struct fx_past *fx_record_past(struct fx *fx, const char *tenant, const char *cid);

int fx_open_as(struct fx *fx, const struct rt_peer *peer);
/* Who is there; "": an operator, or a guest that proves nothing. */
void fx_proved(struct fx *fx, int link, enum rt_client_role as, const char *who);
int fx_open(struct fx *fx, enum rt_peer_role role, const char *who); /* both */
void fx_send(struct fx *fx, int link, const struct rt_frame *frame, const void *payload);
void fx_bytes(struct fx *fx, int link, const void *data, size_t size);
void fx_msg(struct fx *fx, int link, const struct rt_frame *frame, enum rt_msg_kind kind, const void *msg);
void fx_lost(struct fx *fx, int link);
/* From now on it has so much queued, and reads nothing; 0: it reads all again. */
void fx_queued(struct fx *fx, int link, size_t queued);
/* Tells the agent what its links have queued, as a shell does after each call. */
void fx_settle(struct fx *fx);

/* The next frame that the link got; false when there is none. */
bool fx_next(struct fx *fx, int link, struct rt_frame *frame, const uint8_t **payload);
/* Whether an agent sends it by itself to a guest that is served: PING, TICKET. */
bool fx_by_itself(const struct rt_frame *frame);
/* The next frame must be of this type; PING and TICKET are skipped. Returns its payload. */
const uint8_t *fx_want(struct fx *fx, int link, uint8_t type, struct rt_frame *frame);
void fx_none(struct fx *fx, int link);
void fx_want_refuse(struct fx *fx, int link, uint32_t channel, enum rt_class cls, struct rt_refuse_msg *refuse);
bool fx_closed(const struct fx *fx, int link);

struct fx_guest {
    const char *cid;
    uint8_t inc, nonce;
    uint64_t life, epoch;
    uint8_t token[RT_TOKEN_MAX];
    size_t token_size;
    int link;
};

/* Tokens of the model's sealer: plain tickets. */
void fx_join_token(struct fx_guest *guest, const char *tenant, const char *cid, const char *bound_to);
void fx_guest(struct fx_guest *guest, const char *cid, uint8_t inc);
void fx_hello(struct fx *fx, struct fx_guest *guest); /* on a new link, with the next epoch */
void fx_hello_on(struct fx *fx, struct fx_guest *guest);
void fx_welcome(struct fx *fx, struct fx_guest *guest, struct rt_welcome_msg *welcome); /* takes the ticket */
void fx_confirm(struct fx *fx, struct fx_guest *guest);
void fx_serve(struct fx *fx, struct fx_guest *guest); /* all of it */
/* The same, but the store does not answer the take. */
void fx_serve_unclaimed(struct fx *fx, struct fx_guest *guest);
/* Takes its renewed ticket, when that is what it got next. */
bool fx_renewed(struct fx *fx, struct fx_guest *guest);
int fx_client(struct fx *fx, const char *tenant);
int fx_client_as(struct fx *fx, enum rt_client_role as); /* of the tenant "local", or an operator */
void fx_attach(struct fx *fx, int client, uint32_t channel, const char *cid, uint64_t wait, uint64_t klife,
               uint64_t kepoch);
/* The guest's answer to an ATTACH, of the life and epoch that it was given; with stdout from 0. */
void fx_say_attached(struct fx *fx, const struct fx_guest *guest, uint32_t channel);
/* An ATTACH up to the guest's ATTACHED. Returns the channel at the guest. */
uint32_t fx_bound(struct fx *fx, const struct fx_guest *guest, int client, uint32_t channel);
/* A served guest "web" and a client with one channel: 7 at the client, 1 at the guest. */
void fx_attached(struct fx *fx, struct fx_guest *guest, int *client);
void fx_tail(struct fx *fx, int link, uint16_t stream, uint64_t offset, const void *bytes, uint32_t size);
/* The next frame must be END_OK with this answer. */
void fx_want_end_ok(struct fx *fx, int link, enum rt_end_how how);
void fx_data(struct fx *fx, int link, uint32_t channel, uint16_t stream, uint64_t offset, const void *bytes,
             uint32_t size);
bool fx_serves(const struct fx *fx, const char *cid);
struct rt_agent_stats fx_stats(const struct fx *fx);
void fx_request(struct fx *fx, int client, uint64_t id, const struct rt_request_msg *msg);
void fx_reply(struct fx *fx, int client, uint64_t id, struct rt_reply_msg *reply);

#endif
