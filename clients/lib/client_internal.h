/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_LIB_CLIENT_INTERNAL_H
#define RETETHER_CLIENTS_LIB_CLIENT_INTERNAL_H

#include "clients/lib/conn.h"
#include "retether/client.h"
#include "session/base/error.h"
#include "session/base/list.h"
#include "session/core/attachment.h"
#include "session/core/client.h"
#include "session/core/identity.h"
#include "session/core/msg_request.h"
#include "session/core/protocol.h"
#include "session/tls/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* The client's own structures. The machine of session/core/client.h decides everything; these files carry it out:
 * client_conn.c its links, client_attachment.c what applications see of attachments, client_exec.c how one is made by
 * exec, client_request.c and client_record.c requests and answers, client_loop.c its own loop, client_turn.c when a
 * step is due, client.c the rest. Whoever called into the machine, or learnt that a link is ready again, calls
 * rt_sdk_wake(); the step then runs once per loop iteration, just before the loop blocks, so that whatever came in one
 * iteration leaves in one write. */

/* Rounds of actions, answers and attachments in one step, and attachments' turns in it; what is left goes in the next
 * iteration, so that links are read and written in between. */
#define RT_SDK_ROUNDS_MAX 8
#define RT_SDK_TURNS_MAX 256
/* Parts of an attachment's output handed out in one turn, before it is another's. */
#define RT_SDK_PARTS_MAX 64

struct rt_sdk_conn {
    struct rt_conn base; /* first: what rt_conn hands back is also this */
    unsigned agent;      /* slot in the machine */
    char address[RT_ADDR_MAX + 1];
    char name[RT_ENDPOINT_NAME_MAX + 1]; /* of the host that was dialled by it, or "" */
    char expect[RT_IDENTITY_TEXT_MAX];   /* the URI of the agent that must answer, or did before, or "" */
};

/* OPEN --its last callback fires--> FINAL --retether_detach()--> CLOSED, freed when no callback can be below. From OPEN
 * also straight to CLOSED. */
enum rt_sdk_attachment_phase { RT_SDK_ATTACHMENT_OPEN, RT_SDK_ATTACHMENT_FINAL, RT_SDK_ATTACHMENT_CLOSED };

struct retether_attachment {
    struct rt_list listed; /* in the client's attachments, or those that are closed */
    struct retether_client *client;
    struct retether_attachment_callbacks callbacks;
    struct rt_catt *catt; /* owned; its data is this; NULL when closed */
    enum rt_sdk_attachment_phase phase;
    bool paused[2]; /* stdout, stderr: the application took less than it was given */
    bool items;     /* a signal or resize is under way */
    bool starved;   /* there was less room than was wanted */
};

/* Memory that is freed at once. */
struct rt_sdk_block {
    struct rt_sdk_block *next;
    max_align_t data[];
};

/* OPEN --retether_client_close--> CLOSING --its last handle closed--> freed; with a loop of its own it is CLOSED until
 * its loop has returned, and then freed. Waiting: OPEN (the loop), CLOSING (handles). */
enum rt_sdk_phase { RT_SDK_OPEN, RT_SDK_CLOSING, RT_SDK_CLOSED };

struct retether_client {
    struct retether_client_callbacks callbacks;
    enum rt_sdk_phase phase;
    uv_loop_t *loop;
    uv_loop_t *own;            /* owned: the same, unless it is the caller's */
    bool dispatching;          /* the own loop runs, and callbacks may be below */
    struct rt_client *machine; /* owned */
    /* handles */
    uv_prepare_t prepare;
    uv_timer_t timer;
    unsigned open_handles;
    bool awake; /* a step is due */
    /* links */
    struct rt_tls tls; /* loaded once there is a directory of certificates */
    struct rt_conn_set links;
    struct rt_conn *conns[RT_CLIENT_AGENTS_MAX]; /* the current ones, each a struct rt_sdk_conn */
    /* owned lists */
    struct rt_list attachments, closed_attachments; /* the closed ones are freed by the next sweep */
    struct rt_list requests, replies;
    /* close */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* client_turn.c */
void rt_sdk_wake(struct retether_client *client);
void rt_sdk_wake_at(struct retether_client *client, uint64_t delay_ms);
uint64_t rt_sdk_now(const struct retether_client *client);
/* Frees those that are closed. Not below a callback. */
void rt_sdk_attachments_sweep(struct retether_client *client);
/* Ends the client if it is closing and nothing of it is left open. */
void rt_sdk_release(struct retether_client *client);

/* client_loop.c */
RT_MUST_CHECK int rt_sdk_loop_open(struct retether_client *client, uv_loop_t *loop);
void rt_sdk_loop_close(struct retether_client *client);

/* client_conn.c */
extern const struct rt_conn_ops rt_sdk_conn_ops;
void rt_sdk_conn_dial(struct retether_client *client, const struct rt_client_action *action);
void rt_sdk_conn_hangup(struct retether_client *client, const struct rt_client_action *action);
/* Gives every link what there is to send. Returns whether there may be more that one would take. */
bool rt_sdk_conn_pump(struct retether_client *client);
/* Sends what was given to the links, then closes them. */
void rt_sdk_conn_finish(struct retether_client *client);

/* client_attachment.c */
/* Checks and translates. */
RT_MUST_CHECK int rt_sdk_attach_options(const struct retether_attach_options *given, struct rt_attach_options *out);
/* options->data is set here. */
RT_MUST_CHECK int rt_sdk_attach(struct retether_client *client, struct rt_attach_options *options,
                                const struct retether_attachment_callbacks *callbacks,
                                struct retether_attachment **att);
/* One turn of an attachment: tells the application what there is to tell. What is left puts it among those that are
 * ready again. */
void rt_sdk_attachment_step(struct retether_attachment *att);
void rt_sdk_attachments_close(struct retether_client *client);

/* client_request.c */
void rt_sdk_request_reply(void *ctx, uint64_t id, int error, const struct rt_reply_msg *msg);
bool rt_sdk_requests_step(struct retether_client *client);
void rt_sdk_requests_close(struct retether_client *client);

/* client_record.c */
/* A zeroed array, freed with the blocks; NULL without memory. */
void *rt_sdk_block_add(struct rt_sdk_block **blocks, size_t n, size_t size);
/* Fills a record, its report taken apart (left out when it cannot be read). Its arrays are among the blocks. RT_ENOMEM.
 */
RT_MUST_CHECK int rt_sdk_record_fill(const struct rt_record_msg *msg, struct retether_record *record,
                                     struct rt_sdk_block **blocks);
void rt_sdk_host_fill(const struct rt_registry_msg *msg, struct retether_host *host);
void rt_sdk_limit_fill(const struct rt_limit_msg *msg, struct retether_limit *limit);
void rt_sdk_check_fill(const struct rt_check_msg *msg, uint64_t age_ms, struct retether_check *check);

#endif
