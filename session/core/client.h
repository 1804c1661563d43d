/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_CLIENT_H
#define RETETHER_SESSION_CORE_CLIENT_H

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The client's endpoint machine: pure. It knows agents by address, keeps at most one link to each, and any number of
 * attachments and requests over them; it finds the agent that serves a container, follows it when it moves, resumes at
 * the recorded offsets and replays input. The shell dials, carries bytes and keeps one timer.
 *
 * Time is `now`: milliseconds of one monotonic clock. After any call the shell runs rt_client_next() until it
 * returns false, asks rt_client_output() of every link that can take bytes, and sets its timer to rt_client_deadline().
 */

/* Agents known; one more learnt from a welcome or MOVED replaces the longest unused one that has no attachment. */
#define RT_CLIENT_AGENTS_MAX RT_AGENTS_MAX
/* Requests without an answer; one more is RT_ELIMIT. */
#define RT_CLIENT_REQUESTS_MAX 256
/* A request without an answer fails with RT_ETIMEDOUT after this. */
#define RT_REQUEST_TIMEOUT_MS 10000

struct rt_client;
struct rt_reply_msg;
struct rt_request_msg;

struct rt_client_config {
    char name[RT_HOST_MAX + 1]; /* program name for the agents' logs */
    uint64_t seed;              /* jitter */
    void *ctx;
    void (*random)(void *ctx, void *out, size_t size); /* attachment ids */
    /* The answer to a request, exactly once for each that was accepted with `more` false (parts before it have `more`
     * set). error: 0, RT_ETIMEDOUT, RT_ECONN (no agent could be reached), RT_EPROTO, RT_EUNKNOWN (what changes
     * something: sent, and no answer came). reply is NULL on error, its slices live until return. Must not call into
     * the client. */
    void (*on_reply)(void *ctx, uint64_t request, int error, const struct rt_reply_msg *reply);
};

/* Returns NULL without memory. */
struct rt_client *rt_client_new(const struct rt_client_config *config);
/* Frees all, its attachments too. No callback fires. */
void rt_client_free(struct rt_client *client);

/* Adds an agent by address (an endpoint text such as "unix:/run/retether/client.sock"). */
RT_MUST_CHECK int rt_client_add_agent(struct rt_client *client, const char *addr);

enum rt_client_action_kind { RT_CLIENT_DIAL, RT_CLIENT_HANGUP };

struct rt_client_action {
    enum rt_client_action_kind kind;
    unsigned agent;             /* slot, < RT_CLIENT_AGENTS_MAX */
    char addr[RT_ADDR_MAX + 1]; /* DIAL */
    /* DIAL: the host whose agent must answer there, as another agent said so. At an address of the application it is
     * but the one whose agent answered there before, or "". HANGUP: the host whose agent the far end had proved to be,
     * and by its own word is not; whatever it was believed by (a session of TLS) is not used again. Else "". */
    char host[RT_HOST_MAX + 1];
    bool given;         /* DIAL: it is an address of the application */
    const char *reason; /* HANGUP, static text */
};

/* DIAL: the shell answers with exactly one rt_client_connected() or rt_client_lost() for that slot. HANGUP: it closes
 * that slot's connection or dial; no answer is wanted, the machine already counts it as lost. */
bool rt_client_next(struct rt_client *client, struct rt_client_action *action, uint64_t now);
/* proved: the host whose agent the far end has proved to be, which its WELCOME has to name; NULL where nobody proves
 * it. */
void rt_client_connected(struct rt_client *client, unsigned agent, const char *proved, uint64_t now);
void rt_client_lost(struct rt_client *client, unsigned agent, uint64_t now);

/* Takes whole frames from data, returns the bytes used; the rest is given again with more behind it. A bad frame makes
 * the machine hang up (an action) and returns size. */
size_t rt_client_input(struct rt_client *client, unsigned agent, const uint8_t *data, size_t size, uint64_t now);
/* Fills buf with what there is to send on that link; 0 when nothing. cap >= RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX. */
size_t rt_client_output(struct rt_client *client, unsigned agent, uint8_t *buf, size_t cap, uint64_t now);
uint64_t rt_client_deadline(const struct rt_client *client); /* RT_NEVER: none */
void rt_client_tick(struct rt_client *client, uint64_t now);

/* Sends a request to any agent that answers. */
RT_MUST_CHECK int rt_client_request(struct rt_client *client, const struct rt_request_msg *request, uint64_t now,
                                    uint64_t *id);

#endif
