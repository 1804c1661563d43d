/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_BROKER_CORE_AGENT_INTERNAL_H
#define RETETHER_BROKER_CORE_AGENT_INTERNAL_H

#include "broker/core/agent.h"
#include "broker/core/list.h"
#include "broker/core/timer.h"
#include "session/core/class.h"
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_request.h"
#include "session/core/slice.h"

/* A failed insert leaves the element's table pointer NULL; inserts check that. */
#define HASH_NONFATAL_OOM 1
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

/* Requests of one link without their answer; one more is answered with LIMIT. */
#define AG_LINK_ASKS_MAX 256
/* Answers sent to a link that is over RT_LINK_HIGH_WATER; a peer that asks for more without reading them is closed. */
#define AG_LINK_ANSWERS_MAX 1048576
/* Hosts remembered; one more replaces a dead one, or is not remembered. */
#define AG_HOSTS_MAX 1024
/* Takes under way when everything served is taken again. */
#define AG_RETAKE_FLIGHT_MAX 512
#define AG_TAKE_BACKOFF_MIN_MS 50
#define AG_TAKE_BACKOFF_MAX_MS 1000
/* Of the sessions remembered, room that clients who wait cannot take: guests always find a place. */
#define AG_SESSIONS_RESERVED 4096
/* For everything else that failed at the store and is worth repeating. */
#define AG_STORE_RETRY_MS 1000
#define AG_REPORT_INTERVAL_MS 1000
#define AG_RETRY_DELAY_MS 500
/* A guest that a newer claim made superfluous is told so after this, or at its next sign of life. */
#define AG_LEAVING_MS 1000
#define AG_INITIAL_CREDIT 32768
/* Links and operations sit at id % slots: 16,384 of each, as their limits say. */
#define AG_SLOTS 16384

enum ag_timer_kind { AG_TIMER_LINK, AG_TIMER_SESSION, AG_TIMER_HELD, AG_TIMER_ASK, AG_TIMER_KEPT };

enum ag_link_state {
    AG_OPEN,     /* waits for HELLO */
    AG_TESTING,  /* guest: waits for the store's verdict */
    AG_WELCOMED, /* guest: waits for CONFIRM */
    AG_TAKING,   /* guest: waits for the store's take */
    AG_SERVING,  /* guest: serves its session */
    AG_READY,    /* client */
    AG_LEAVING,  /* guest: another host has a newer claim; a pong now is the proof of a fork */
    AG_DOOMED,   /* is closed at the next tick */
};

/* The two ends of a channel. */
enum ag_side { AG_GUEST, AG_CLIENT };

struct ag_claim { /* from the hello to the answer of the take */
    struct rt_claim claim;
    uint64_t life; /* granted by the welcome */
    bool draining;
    bool looked;                    /* the owner's heartbeat was looked up */
    bool provisional;               /* welcomed without the store */
    uint8_t unproven;               /* of the ticket presented */
    char bound_to[RT_HOST_MAX + 1]; /* of the token presented */
};

struct ag_link {
    rt_link_id id;
    uint8_t role;  /* enum rt_peer_role */
    uint8_t state; /* enum ag_link_state */
    bool congested;
    bool taking;    /* guest: a take is under way */
    bool end_ready; /* guest: END has come and waits for the take */
    struct ag_timer timer;
    uint64_t heard;            /* when the last byte came */
    uint64_t opened;           /* or, when LEAVING, since then */
    uint64_t claim_at;         /* deadline of the store's answer; 0 none */
    uint32_t pings;            /* unanswered */
    uint32_t op;               /* operation whose reply is awaited; 0 none */
    char who[RT_HOST_MAX + 1]; /* client: tenant; guest: identity that the transport proves */
    /* switch */
    struct ag_list chans;   /* ag_chan.in */
    struct ag_list waiters; /* ag_chan.wait: for more credit when this link has drained */
    struct ag_chan *cache;  /* the last one looked up */
    uint32_t n_chans;       /* mapped, and held attaches */
    uint32_t last_channel;  /* the highest used */
    uint32_t rest;          /* bytes of a split DATA frame still to come */
    uint32_t rest_channel;
    uint16_t rest_stream;
    uint64_t rest_offset;
    size_t queued, answers;
    /* guest */
    struct ag_session *session; /* while SERVING */
    struct ag_claim *claim;     /* owned; NULL once taken */
    struct ag_end *end;         /* owned */
    uint8_t *report;            /* owned; one that came before the take was answered */
    size_t report_size;
    /* client */
    struct ag_list held; /* ag_held.in_link */
    struct ag_list asks; /* ag_ask.in_link */
    uint32_t n_asks;
};

struct ag_flow {            /* one stream of a channel, from its sender to its receiver */
    uint64_t seen;          /* the sender's offset after what came */
    uint64_t granted;       /* the limit that the sender was told */
    uint64_t wanted;        /* the limit that the receiver told */
    uint64_t acked, digest; /* the receiver's last ACK */
};

struct ag_chan {
    uint64_t key[2]; /* link id << 32 | channel, by enum ag_side */
    struct ag_link *link[2];
    struct ag_list in[2];   /* ag_link.chans */
    struct ag_list wait[2]; /* ag_link.waiters of the side that the data would go to */
    struct ag_session *session;
    struct ag_flow flow[RT_STREAMS];
    UT_hash_handle hh_guest, hh_client;
};

struct ag_session {
    struct rt_key key;
    UT_hash_handle hh;
    struct ag_timer timer;
    struct ag_list idle;   /* agent.idle: nothing holds it, may be forgotten */
    struct ag_list retake; /* agent.retakes */
    struct ag_list held;   /* ag_held.in_session */
    struct ag_list asks;   /* ag_ask.in_session */
    uint32_t n_ops;
    struct ag_link *guest; /* serves it here */
    uint8_t state;         /* enum rt_session_state, as last written or told */
    bool claimed;          /* the store has confirmed what is served */
    uint8_t unwritten;     /* a state that the store has not got, 0 none */
    /* the newest claim known of */
    uint64_t life, epoch;
    uint64_t known_at; /* 0: nothing known */
    char host[RT_HOST_MAX + 1];
    struct rt_record *rule;                                   /* owned; the whole of it when that claim was made here */
    uint64_t lost_at, take_at, report_at, write_at, audit_at; /* deadlines, 0 none */
    uint32_t take_delay;
    uint32_t report_size;
    uint8_t *report; /* owned; the newest, shortened */
    bool report_dirty;
    uint64_t report_next; /* not written before */
};

struct ag_held {  /* an ATTACH that waits for the guest */
    uint64_t key; /* link id << 32 | channel */
    UT_hash_handle hh;
    struct ag_list in_link, in_session;
    struct ag_timer timer;
    struct ag_link *link;
    struct ag_session *session; /* NULL while an operator's plain name is looked for */
    uint32_t op;
    uint64_t klife, kepoch;
    bool waited; /* the client gave time to wait */
    bool resume; /* not new: an ended record may still have a guest that comes back */
    bool ended;
    uint64_t code, sig;
    char candidate[RT_TENANT_MAX + 1]; /* an operator's plain name: whose it is */
    size_t size;
    uint8_t payload[];
};

struct ag_ask { /* a REQUEST without its answer */
    struct ag_list in_link, in_session;
    struct ag_timer timer;
    struct ag_link *link;
    struct ag_session *session; /* show with wait: told when somebody serves it */
    uint64_t request;
    uint32_t op;
    uint8_t what; /* enum ag_what */
    bool prefix, parked, expired;
    struct rt_key key;
    char host[RT_HOST_MAX + 1];
    uint64_t cursor;
    /* of a search for one record by prefix or across tenants */
    uint32_t n_found;
    struct rt_key found[5];
    struct rt_store_record *record; /* owned */
};

struct ag_end {
    struct ag_list node; /* agent.kept */
    struct rt_key key;
    uint64_t life, epoch;
    struct rt_end_msg end;
    uint8_t *tail[2]; /* owned */
    size_t size[2];
    uint64_t offset[2];
    struct rt_claim claim; /* under which it was served */
    bool kept;             /* on disk */
    bool claim_tried;      /* since it was last begun with */
};

struct ag_op { /* a store operation under way */
    uint32_t id;
    uint8_t kind; /* enum rt_store_op_kind */
    rt_link_id link;
    struct ag_session *session; /* counted in n_ops */
    struct ag_held *held;
    struct ag_ask *ask;
    struct ag_end *end; /* owned */
    uint64_t life, epoch;
    uint8_t state; /* STATE */
    bool census;   /* FIND, GET: for records that name this host as their owner */
    struct rt_key key;
};

struct rt_agent {
    struct rt_agent_config config;
    uint64_t now, wall_offset; /* wall = now + offset, modulo 2^64 */
    struct ag_timers timers;
    struct ag_link **links; /* [AG_SLOTS] */
    struct ag_op **ops;     /* [AG_SLOTS] */
    uint32_t last_link, last_op;
    uint32_t n_ops;
    struct ag_chan *by_guest, *by_client;
    struct ag_held *held;
    struct ag_session *sessions;
    uint32_t n_sessions;
    struct ag_list idle, retakes, kept;
    uint32_t retake_flight, n_ends;
    struct ag_timer kept_timer;
    bool store_up, census_done, stopping;
    uint64_t whole_at; /* the store is whole from here on; UINT64_MAX: not known */
    struct rt_store_host *hosts;
    size_t n_hosts;
    rt_link_id run_link; /* frames of the input that wait to be sent with one call */
    uint8_t *run;
    size_t run_size;
    uint8_t *scratch; /* [RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX] */
    struct rt_reply_msg *reply;
    struct rt_report_msg *report;
    struct rt_agent_stats stats;
#ifdef RT_MUTANT_PARTIAL_FRAMES
    uint8_t *rest_at;
#endif
};

/* agent.c: links, sending, operations */
struct ag_link *rt_ag_link(const struct rt_agent *agent, rt_link_id id);
void rt_ag_flush(struct rt_agent *agent);
void rt_ag_send_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame,
                      const uint8_t *payload);
int rt_ag_send_msg(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, enum rt_msg_kind kind,
                   const void *msg);
void rt_ag_refuse(struct rt_agent *agent, struct ag_link *link, uint32_t channel, const struct rt_refuse_msg *refuse);
void rt_ag_refuse_text(struct rt_agent *agent, struct ag_link *link, uint32_t channel, enum rt_class cls,
                       const char *text);
/* REFUSE on channel 0, then the link is closed and freed. */
void rt_ag_link_refuse(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse);
void rt_ag_link_refuse_text(struct rt_agent *agent, struct ag_link *link, enum rt_class cls, const char *text);
void rt_ag_link_close(struct rt_agent *agent, struct ag_link *link, const char *reason);
void rt_ag_link_state(struct rt_agent *agent, struct ag_link *link, enum ag_link_state state);
/* Sets the link's timer anew from its state. */
void rt_ag_link_arm(struct rt_agent *agent, struct ag_link *link);
void rt_ag_event(struct rt_agent *agent, enum rt_agent_event_kind kind, const struct ag_link *link,
                 const struct ag_session *session, const char *from, const char *to, const char *reason);
/* store.c
 * Starts op with what the reply is for (copied). Returns its id, or 0 when none could be started: no reply follows. */
uint32_t rt_ag_store(struct rt_agent *agent, struct rt_store_op *op, const struct ag_op *about);
void rt_ag_forget_op(struct rt_agent *agent, uint32_t id); /* its held, ask are gone */
bool rt_ag_whole(const struct rt_agent *agent);

static inline uint64_t ag_chan_key(rt_link_id link, uint32_t channel)
{
    return (uint64_t)link << 32 | channel;
}

static inline unsigned ag_chan_hash(const struct rt_agent *agent, uint64_t key)
{
    return (unsigned)XXH64(&key, sizeof key, agent->config.seed);
}

/* session.c */
struct ag_session *rt_ag_session_find(struct rt_agent *agent, const struct rt_key *key);
struct ag_session *rt_ag_session_get(struct rt_agent *agent, const struct rt_key *key); /* makes it; NULL: no room */
/* The same for a client that waits: NULL also when only the room for guests is left. */
struct ag_session *rt_ag_session_await(struct rt_agent *agent, const struct rt_key *key);
/* Something that held it is gone, or its deadlines changed: sets its timer, may free it. */
void rt_ag_session_settle(struct rt_agent *agent, struct ag_session *session);
void rt_ag_session_free(struct rt_agent *agent, struct ag_session *session);
bool rt_ag_session_known(const struct rt_agent *agent, const struct ag_session *session);
/* A claim somebody made, as heard or read. True when it is news. */
bool rt_ag_session_note(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                        const char *host);
void rt_ag_session_guest_gone(struct rt_agent *agent, struct ag_session *session);
void rt_ag_session_orphan(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch);
void rt_ag_session_timer(struct rt_agent *agent, struct ag_session *session);
void rt_ag_session_report(struct rt_agent *agent, struct ag_session *session, const uint8_t *data, size_t size);
void rt_ag_session_write_report(struct rt_agent *agent, struct ag_session *session);
void rt_ag_audit_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_state_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_report_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_session_state(struct rt_agent *agent, struct ag_session *session, enum rt_session_state state,
                         const char *reason);

/* store.c: news, hosts, replies by kind */
const struct rt_store_host *rt_ag_host(const struct rt_agent *agent, const char *host);
bool rt_ag_host_note(struct rt_agent *agent, const struct rt_store_host *row); /* true when it came alive or is new */

/* Another host claimed a session: its attaches go there, and a guest that is served here is let go. */
void rt_ag_claimed_by(struct rt_agent *agent, struct ag_session *session, uint64_t life, uint64_t epoch,
                      const char *host);

/* guest.c */
void rt_ag_guest_hello(struct rt_agent *agent, struct ag_link *link, const struct rt_hello_msg *hello);
void rt_ag_guest_confirm(struct rt_agent *agent, struct ag_link *link);
void rt_ag_guest_silent(struct rt_agent *agent, struct ag_link *link); /* the store did not answer in time */
void rt_ag_test_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_guest_hosts_reply(struct rt_agent *agent, struct ag_link *link, const struct rt_store_reply *reply);

/* take.c */
void rt_ag_take_start(struct rt_agent *agent, struct ag_link *link);
void rt_ag_take(struct rt_agent *agent, struct ag_link *link);
/* The claim under which link serves its session. */
void rt_ag_claim_of(const struct rt_agent *agent, const struct ag_link *link, struct rt_claim *claim);
void rt_ag_take_reply(struct rt_agent *agent, const struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_serve(struct rt_agent *agent, struct ag_link *link, bool claimed);
void rt_ag_retake_all(struct rt_agent *agent, bool fresh);
void rt_ag_retake_pump(struct rt_agent *agent);

/* attach.c */
void rt_ag_attach(struct rt_agent *agent, struct ag_link *link, uint32_t channel, uint8_t *frame, size_t size);
void rt_ag_held_free(struct rt_agent *agent, struct ag_held *held);
void rt_ag_held_bind(struct rt_agent *agent, struct ag_session *session);  /* somebody serves it here */
void rt_ag_held_moved(struct rt_agent *agent, struct ag_session *session); /* elsewhere */
void rt_ag_held_timer(struct rt_agent *agent, struct ag_held *held);
void rt_ag_held_again(struct rt_agent *agent); /* the store is back: all are looked up anew */
void rt_ag_held_reply(struct rt_agent *agent, struct ag_held *held, const struct rt_store_reply *reply);
struct ag_held *rt_ag_held_at(struct rt_agent *agent, const struct ag_link *link, uint32_t channel);
bool rt_ag_moved_msg(const struct rt_agent *agent, const struct ag_session *session, struct rt_refuse_msg *refuse);

/* switch.c */
struct ag_chan *rt_ag_chan_new(struct rt_agent *agent, struct ag_session *session, struct ag_link *client,
                               uint32_t channel);
void rt_ag_chan_free(struct rt_agent *agent, struct ag_chan *chan);
/* Tells both sides, or the one whose link is given, and frees the channel. */
void rt_ag_chan_end(struct rt_agent *agent, struct ag_chan *chan, const struct ag_link *only,
                    const struct rt_refuse_msg *refuse);
void rt_ag_chans_end(struct rt_agent *agent, struct ag_link *link, const struct rt_refuse_msg *refuse);
void rt_ag_drained(struct rt_agent *agent, struct ag_link *link);
void rt_ag_run(struct rt_agent *agent, struct ag_link *to, uint8_t *data, size_t size);
/* frames that are not switched; false when the link is gone */
void rt_ag_frame(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, uint8_t *data);

/* request.c */
void rt_ag_request(struct rt_agent *agent, struct ag_link *link, uint64_t request, const uint8_t *data, size_t size);
void rt_ag_ask_reply(struct rt_agent *agent, struct ag_ask *ask, const struct rt_store_reply *reply);
void rt_ag_ask_free(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_ask_timer(struct rt_agent *agent, struct ag_ask *ask);
void rt_ag_asks_wake(struct rt_agent *agent, struct ag_session *session);
void rt_ag_asks_drained(struct rt_agent *agent, struct ag_link *link);
/* "tenant/cid" or "cid" as the peer named it. RT_EINVAL; qualified false: an operator's plain name. */
int rt_ag_key(const struct ag_link *link, struct rt_slice name, struct rt_key *key, bool *qualified);

/* end.c */
void rt_ag_tail(struct rt_agent *agent, struct ag_link *link, const struct rt_frame *frame, const uint8_t *data);
void rt_ag_end(struct rt_agent *agent, struct ag_link *link, const struct rt_end_msg *end);
void rt_ag_end_submit(struct rt_agent *agent, struct ag_link *link);
void rt_ag_end_reply(struct rt_agent *agent, struct ag_op *op, const struct rt_store_reply *reply);
void rt_ag_end_free(struct rt_agent *agent, struct ag_end *end);
void rt_ag_kept_again(struct rt_agent *agent);
const struct ag_end *rt_ag_kept_find(const struct rt_agent *agent, const struct rt_key *key);

#endif
