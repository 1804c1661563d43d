/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENT_H
#define RETETHER_CLIENT_H

#include "retether/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The client half of libretether: finds the agent that serves a container, attaches to its streams, follows them when
 * the container moves, and asks agents what they know. There is no global state. A client and all that is made with it
 * belong to one thread: that of its loop. The process must ignore SIGPIPE.
 *
 * Functions return 0 or a negative code of retether/error.h unless said otherwise. Offsets and sizes are bytes, times
 * are milliseconds. Text is UTF-8, ends with a NUL, and is copied when the library keeps it.
 *
 * Callbacks come from the loop (or from retether_client_dispatch()), never from within another call of this file. They
 * may call everything in it, but for `link`. What their pointers show is good until they return.
 *
 * A struct that the caller fills begins with its size: sizeof(of) it, as the caller was compiled. A later library knows
 * by it which fields are there. A size that is smaller than it ever was, or a field that this library does not know and
 * that is not zero, is RETETHER_EINVAL. What the library hands out keeps its layout as long as the soname. */

#define RETETHER_CONTAINER_MAX 128
#define RETETHER_TENANT_MAX 64
#define RETETHER_TEXT_MAX 256
#define RETETHER_ADDRESS_MAX 108
#define RETETHER_ATTACHMENT_ID_SIZE 16
#define RETETHER_PROCESSES_MAX 64
#define RETETHER_ATTACHMENTS_MAX 128
#define RETETHER_HISTORY_MAX 16
#define RETETHER_RECORDS_MAX 32
#define RETETHER_HOSTS_MAX 64
#define RETETHER_LIMITS_MAX 64
#define RETETHER_CHECKS_MAX 32
/* Bytes of a join token's text, NUL included. */
#define RETETHER_TOKEN_SIZE 1376

struct retether_client;
struct retether_attachment;
struct uv_loop_s; /* uv_loop_t of <uv.h> */

enum retether_stream { RETETHER_STDIN, RETETHER_STDOUT, RETETHER_STDERR, RETETHER_CONTROL };

/* ---- the client ---- */

struct retether_client_callbacks {
    size_t size; /* of this struct */
    /* May be NULL. A connection to an agent came up (reason NULL), or one or an attempt at one ended. It must not call
     * into the client. */
    void (*link)(struct retether_client *client, const char *address, const char *reason, void *ctx);
    void *ctx; /* of these callbacks; the library only hands it back */
};

/* Makes a client that knows no agent yet. loop: the caller's, which has to outlive the client; NULL: the client has a
 * loop of its own, for callers whose loop is not libuv's (below). name: this program, for the agents' logs; what is
 * beyond 64 bytes is cut off. callbacks: copied; NULL for none. The client is to be released with
 * retether_client_close(). RETETHER_EINVAL: the callbacks' size. RETETHER_ENOMEM. RETETHER_EIO: the system has no
 * descriptor for the client's own loop. */
int retether_client_new(struct uv_loop_s *loop, const char *name, const struct retether_client_callbacks *callbacks,
                        struct retether_client **client);

/* Adds an agent: "unix:PATH", or "tls:ADDRESS:PORT" or "tls:NAME:PORT", which take certificates (below). It is dialled
 * when something needs it. The others of its cluster are learnt from it. RETETHER_EINVAL: no such address.
 * RETETHER_ELIMIT: more than 64 agents. On an error `why` has a sentence, cut to why_size bytes. */
int retether_client_add_agent(struct retether_client *client, const char *endpoint, char *why, size_t why_size);

struct retether_tls_options {
    size_t size;           /* of this struct */
    const char *directory; /* with cert.pem, key.pem and ca.pem, and crl.pem if there is one */
};

/* Reads the certificates by which the client shows who it is, and judges which agents it believes: any of its own
 * certificate's domain where the application gave a numeric address, that of the host where it gave a name, and where
 * another agent sent it to a host. Each call reads the files anew, all or nothing, for the connections that are made
 * from now on. On an error `why` has a sentence that names the file, cut to why_size bytes. RETETHER_EINVAL: the
 * options, or a file that will not do. RETETHER_ENOMEM. */
int retether_client_tls(struct retether_client *client, const struct retether_tls_options *options, char *why,
                        size_t why_size);

/* Ends every attachment and request without a callback, tells the agents (for a second at most), frees all, and then
 * calls closed(ctx) (may be NULL) from the loop. Neither the client nor its attachments may be used after this call,
 * but for fd, timeout and dispatch of a client with a loop of its own: that one is there until dispatch has returned 0.
 */
void retether_client_close(struct retether_client *client, void (*closed)(void *ctx), void *ctx);

/* ---- loops other than libuv's ---- */

/* A client that was made without a loop has one of its own. The caller's loop waits for its descriptor and its time,
 * and then has it do what is due:
 *
 *     while (retether_client_dispatch(client) > 0) {
 *         struct pollfd ready = {.fd = retether_client_fd(client), .events = POLLIN};
 *         poll(&ready, 1, retether_client_timeout(client));
 *     }
 *
 * Both are asked for anew whenever something was called: what is called outside of callbacks is begun by the next
 * dispatch, so the timeout is 0 then. */

/* The descriptor that is readable when there is something to dispatch: the same for the client's whole life, owned by
 * it. RETETHER_ESTATE: the client is on a loop of its caller. */
int retether_client_fd(const struct retether_client *client);

/* Milliseconds until retether_client_dispatch() has to be called even if the descriptor is not readable; negative:
 * none, as of poll(2). A client on a loop of its caller has none. */
int retether_client_timeout(const struct retether_client *client);

/* Does what is due without waiting, callbacks included; a call too many does no harm. Returns 1; 0 when the client was
 * closed and is freed now; RETETHER_ESTATE: within a callback, or the client is on a loop of its caller. */
int retether_client_dispatch(struct retether_client *client);

/* ---- attachments ---- */

/* Where an attachment starts in stdout and stderr. */
enum retether_from {
    RETETHER_FROM_OLDEST,
    RETETHER_FROM_NOW,
    RETETHER_FROM_OFFSET, /* start[0] in stdout, start[1] in stderr */
    RETETHER_FROM_BYTES,  /* the last start[0] bytes of each */
    RETETHER_FROM_LINES,  /* the last start[0] lines of each, looked for in its newest 4 MiB */
};

struct retether_attach_options {
    size_t size;           /* of this struct; retether_attach_defaults() sets it */
    const char *container; /* whole container ID; of an operator also "TENANT/CID" */
    uint32_t process;      /* 0: the main one */
    bool input;            /* stdin is opened; signals and sizes may be sent */
    bool control;          /* signals and sizes may be sent, also without `input` */
    bool input_once;       /* the process's stdin ends with the first attachment that ends it */
    bool output;           /* stdout and stderr are wanted; else only the exit */
    enum retether_from from;
    uint64_t start[2];
    /* For how long the process may be kept from writing on while this attachment does not keep up; then bytes are given
     * up and a gap is told. 0: it never holds anything up. Without `input` and `control` too it is an observer, which
     * is all that a viewer's attachment may be. */
    uint64_t hold_ms;
    unsigned rows, cols;    /* of the caller's terminal; 0: it has none */
    uint64_t give_up_ms;    /* not once attached within this: failed; 0: never */
    const uint8_t *take_id; /* takes over the attachment of this id (RETETHER_ATTACHMENT_ID_SIZE bytes) from another
                             * client; NULL: a new one */
};

/* Zeroes the options and sets their size, sizeof(*options); then: the main process, both directions, from now, a hold
 * of 30 s. Only `container` is left to be set. */
void retether_attach_defaults(struct retether_attach_options *options, size_t size);

struct retether_attached {
    uint64_t life, epoch;
    uint32_t process;
    bool tty;
    const char *host;           /* that serves it; "" when unknown */
    uint64_t start[2], head[2]; /* stdout, stderr: first byte to come, and the end when the process was asked */
};

/* How far what was seen no longer holds. */
struct retether_rewound {
    bool anew; /* the machine was started anew (after the death of its host, say); else a snapshot was reverted */
    enum retether_stream stream;
    uint64_t common; /* last offset that both sides agree on */
    uint64_t ours;   /* seen here */
};

/* They come in the order in which things happened to this attachment; several attachments take turns, in the order in
 * which they got something to tell. */
struct retether_attachment_callbacks {
    size_t size; /* of this struct */
    /* Each may be NULL; output then takes everything. */
    void (*attached)(struct retether_attachment *att, const struct retether_attached *attached, void *ctx);
    /* Bytes of stdout or stderr. Returns how many were taken, which is what the far end counts as consumed: they never
     * come again, and the container need not keep them. Fewer than size: no more come of this stream until
     * retether_resume(). */
    size_t (*output)(struct retether_attachment *att, enum retether_stream stream, const void *data, size_t size,
                     void *ctx);
    /* [from, to) will never come: it was overwritten before it was consumed. In the stream's order. */
    void (*gap)(struct retether_attachment *att, enum retether_stream stream, uint64_t from, uint64_t to, void *ctx);
    void (*eof)(struct retether_attachment *att, enum retether_stream stream, uint64_t offset, void *ctx);
    void (*resized)(struct retether_attachment *att, unsigned rows, unsigned cols, void *ctx);
    /* After a retether_write() that took less than it was given, or no retether_room(): there is room again. */
    void (*writable)(struct retether_attachment *att, void *ctx);
    /* Every signal and resize so far has arrived. May come after `exited`. */
    void (*applied)(struct retether_attachment *att, void *ctx);
    /* The process takes no more stdin; it took `applied` bytes of this attachment's. */
    void (*input_closed)(struct retether_attachment *att, uint64_t applied, void *ctx);
    /* Streams stand still while the container is looked for; and go on, at `host`. Nothing needs to be done. */
    void (*interrupted)(struct retether_attachment *att, void *ctx);
    void (*resumed)(struct retether_attachment *att, const char *host, void *ctx);
    /* The process has ended and all its output was taken. signal 0: code counts. Final. */
    void (*exited)(struct retether_attachment *att, unsigned code, unsigned signal, void *ctx);
    /* A past that was seen is no longer true. Without this callback it is `failed`, with RETETHER_REWOUND. Final. */
    void (*rewound)(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx);
    /* With RETETHER_ENDED, code or signal tell how. Final. */
    void (*failed)(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signal,
                   void *ctx);
    void *ctx;
};

/* Makes an attachment and begins to look for the container: whether it is there is told by a callback. To be released
 * with retether_detach(), after a final callback too. Options and callbacks are copied. RETETHER_EINVAL: an option or a
 * size. RETETHER_ELIMIT: more than 4,096 attachments of this client. RETETHER_ENOMEM. */
int retether_attach(struct retether_client *client, const struct retether_attach_options *options,
                    const struct retether_attachment_callbacks *callbacks, struct retether_attachment **att);

struct retether_exec_options {
    size_t size;             /* of this struct */
    const char *const *argv; /* NULL-terminated, at least one */
    const char *const *env;  /* NULL-terminated additions "NAME=VALUE"; NULL: none */
    const char *cwd;         /* NULL: the container's */
    bool tty;
};

/* Starts a process in a container, exactly once, and attaches to it from its first byte; `attached` comes when its
 * place is taken, just before it is started. Of the attach options container, input, hold_ms, rows, cols and give_up_ms
 * count; signals and sizes may be sent. A container that takes no more processes or attachments is told as failed with
 * RETETHER_LIMIT, one whose main process has ended with RETETHER_INVALID, or RETETHER_ENDED. Errors are those of
 * retether_attach(); RETETHER_EINVAL also: no command, a directory of more than 1,024 bytes; RETETHER_ELIMIT: more than
 * 256 KiB, or about 4,000 words, with environment and directory. A single word may be as long (Linux takes no more than
 * 128 KiB: 126). */
int retether_exec(struct retether_client *client, const struct retether_attach_options *options,
                  const struct retether_exec_options *exec, const struct retether_attachment_callbacks *callbacks,
                  struct retether_attachment **att);

/* Ends the attachment here and tells the container. Input that has not been taken (retether_input()) is dropped: wait
 * for it first where that matters. No callback comes any more; `att` must not be used after. */
void retether_detach(struct retether_attachment *att);

/* After an `output` that took less than it was given: the rest, and what came since, is handed out from the loop. Of
 * another stream, or one that does not stand still, no effect. */
void retether_resume(struct retether_attachment *att, enum retether_stream stream);

/* stdin. Copies what fits into the window (256 KiB not yet taken by the process), returns how many bytes: 0 also after
 * the end of the input, and after a final callback. When that is less than size, `writable` comes once there is room.
 */
size_t retether_write(struct retether_attachment *att, const void *data, size_t size);
/* How many bytes retether_write() would take now: for callers that read only what they can pass on. When that is 0,
 * `writable` comes once there is room. */
size_t retether_room(struct retether_attachment *att);
/* No more stdin follows what was written. Once more: no effect. */
void retether_write_end(struct retether_attachment *att);
/* Tells the process's terminal its size; one that was not sent yet is replaced. `applied` tells when it is there.
 * RETETHER_EINVAL: more than 65,535 rows or columns. RETETHER_ESTATE: after a final callback, or the attachment was
 * made with neither `input` nor `control`. RETETHER_ELIMIT: the container has not taken 256 KiB of those sent before.
 * RETETHER_ENOMEM. */
int retether_resize(struct retether_attachment *att, unsigned rows, unsigned cols);
/* Sends a signal (1 to 64, of Linux) to the process, exactly once. Errors as of retether_resize(). */
int retether_signal(struct retether_attachment *att, unsigned signum);

/* The offset of the next byte of stdout or stderr to be taken; 0 for another stream, and before an exec has started. */
uint64_t retether_offset(const struct retether_attachment *att, enum retether_stream stream);
/* Bytes of stdin written here, and how many of them the process is known to have taken; both are set. */
void retether_input(const struct retether_attachment *att, uint64_t *written, uint64_t *taken);
/* Bytes of stdin sent again because of breaks, so far. */
uint64_t retether_resent(const struct retether_attachment *att);
/* The attachment's id, by which another client may take it over (take_id). */
void retether_attachment_id(const struct retether_attachment *att, uint8_t id[RETETHER_ATTACHMENT_ID_SIZE]);

/* ---- requests ---- */

enum retether_state {
    RETETHER_STATE_NONE,
    RETETHER_CREATED,
    RETETHER_RUNNING,
    RETETHER_MOVING,
    RETETHER_STATE_LOST,
    RETETHER_STATE_ENDED,
};

/* "created" and so on: static, never NULL; "?" for a number that is none. */
const char *retether_state_name(unsigned state);

struct retether_move {
    char host[65];
    uint64_t life, epoch;
    uint64_t at_ms; /* since 1970, by the store's clock, as every time of a record */
};

/* What the tether reported of a process; index 0 stdout, 1 stderr, 2 control. */
struct retether_process {
    uint32_t id;
    bool exited, tty;
    unsigned code;
    uint64_t base[3], head[3];
};

struct retether_holder { /* an attachment as the tether reported it */
    uint8_t id[RETETHER_ATTACHMENT_ID_SIZE];
    uint32_t process;
    bool bound, observer;
    uint64_t consumed[3];
    uint64_t applied[2]; /* stdin, control */
    uint64_t hold_left_ms;
};

struct retether_record {
    char container[RETETHER_CONTAINER_MAX + 1];
    char tenant[RETETHER_TENANT_MAX + 1];
    char label[257];
    char host[65]; /* that serves it or did last; "" none yet */
    enum retether_state state;
    uint64_t life, epoch, moves;
    bool revoked; /* by an operator: nobody is served under it */
    uint64_t made_ms, claimed_ms;
    uint64_t seen_ms; /* of the report; 0: never */
    unsigned code, signal;
    const struct retether_move *history; /* oldest first */
    size_t n_history;
    const struct retether_process *processes;
    size_t n_processes;
    const struct retether_holder *attachments;
    size_t n_attachments;
    /* Commands that have ended and are not listed; processes and attachments that the report had no room for. */
    uint64_t processes_exited, processes_more, attachments_more;
    /* The host whose agent tells this by itself, as the session store could not be asked; "": from the store. */
    char local[65];
};

/* As the agent that was asked judges: unknown is one that it has not watched for long enough. */
enum retether_host_state { RETETHER_HOST_UNKNOWN, RETETHER_HOST_ALIVE, RETETHER_HOST_DEAD };

struct retether_host {
    char name[65];
    char version[33];
    char address[4][RETETHER_ADDRESS_MAX + 1];
    size_t n_addresses;
    uint64_t sequence, age_ms;
    uint64_t sessions; /* of all tenants; operators alone are told it: */
    bool sessions_untold;
    bool sessions_unsure; /* drain: there may be more, as a guest is just coming, or the agent has just started */
    bool draining;        /* it is to be left: no new sessions are made there */
    enum retether_host_state state;
};

/* What somebody may have at an agent, and has. */
struct retether_limit {
    char setting[33]; /* of retetherd: "limits.tenant_sessions"; what a guest may have of: "processes" */
    /* "": of the agent, of this client's connection (limits.client_...), or of the container's guest */
    char tenant[RETETHER_TENANT_MAX + 1];
    uint64_t most, has;
    uint64_t refused; /* how often more was */
};

enum retether_check_state { RETETHER_CHECK_UNKNOWN, RETETHER_CHECK_OK, RETETHER_CHECK_WEAK };

/* What an agent has found about one thing at its session store. */
struct retether_check {
    char name[33]; /* "server", "rights", a setting of Redis */
    enum retether_check_state state;
    char value[129];
    char risk[129], mend[129]; /* of a weak one: what it may lead to, what to change; or "" */
    uint64_t age_ms;           /* since it was looked at */
};

/* Bytes of one stream that were written before it was the other one's turn. */
struct retether_run {
    enum retether_stream stream;
    uint64_t from, to; /* offsets: [from, to) */
};

struct retether_reply {
    /* 0, RETETHER_ECONN, _ETIMEDOUT, _EPROTO or _ENOMEM; _EUNKNOWN: create, remove, revoke, kick, a drain that is no
     * look: it was sent, and no answer came, so it may have been done. After a create retether_show() tells; each other
     * one may be asked again, as a second one does no more than the first */
    int error;
    unsigned cls;                          /* enum retether_class, when error is 0 */
    const char *text;                      /* as all names and labels here: without control characters, may be shown */
    bool more;                             /* another part follows */
    const char *token;                     /* create: the join token's text */
    const struct retether_record *records; /* show: one; list */
    size_t n_records;
    const char *next; /* list in pages, last part: the next page goes on there; NULL: that was all */
    const struct retether_host *hosts;
    size_t n_hosts;
    const struct retether_limit *limits;
    size_t n_limits;
    const struct retether_check *checks; /* store */
    size_t n_checks;
    /* tails: the first part has the exit and the final offsets, each other a piece of stream at offset. A first part
     * with a host is all: that host's agent has the output, and could not be asked */
    unsigned code, signal;
    bool lost;
    bool cut; /* the output was given up, as the session store keeps only so much of it */
    /* In which order the last bytes of the two streams were written, oldest first, each stream's up to end[]; all that
     * is before the first run of a stream was written before all of these. The first part has it. */
    const struct retether_run *order;
    size_t n_order;
    uint64_t end[2];
    enum retether_stream stream;
    uint64_t offset;
    const void *data;
    size_t size;
    const char *local; /* as in struct retether_record: also where a list has no record; "" */
};

/* From the loop, once for each part of the answer; exactly one has `more` unset, or an error. Not after
 * retether_client_close(). */
typedef void (*retether_reply_cb)(struct retether_client *client, const struct retether_reply *reply, void *ctx);

/* The requests: each goes to an agent that answers, or to the one that is reached first, and is given up after 10 s
 * with RETETHER_ETIMEDOUT, or RETETHER_ECONN. They return RETETHER_ECONN when no agent was added, RETETHER_ELIMIT with
 * 256 requests without an answer, RETETHER_EINVAL or RETETHER_ELIMIT for text that is too long, RETETHER_ENOMEM; cb
 * does not come then. ctx is handed to cb. */

/* What a session is made with; zeros for nothing of it. */
struct retether_made {
    const char *label;
    const char *vm; /* the virtual machine from which alone the token may be used; NULL: from any */
    uint64_t ring;  /* bytes kept of each stream; 0: the default */
};

/* Makes a session. made may be NULL. The answer has the token with which the container's tether joins. It is never sent
 * twice; RETETHER_EUNKNOWN: no answer came, so it may have been made; its token is lost then, and it can be taken back.
 */
int retether_create(struct retether_client *client, const char *container, const struct retether_made *made,
                    retether_reply_cb cb, void *ctx);
/* Takes back a session that was made and never started; LIMIT for any other. It may be sent twice, so NOT_FOUND may be
 * said of what it has removed itself. */
int retether_remove(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);
/* One record. prefix: a unique beginning of the ID will do, and several that fit are AMBIGUOUS with up to five in
 * text. */
int retether_show(struct retether_client *client, const char *container, bool prefix, retether_reply_cb cb, void *ctx);
/* Which sessions a list has; zeros: all. */
struct retether_listing {
    const char *prefix; /* that their IDs begin with */
    const char *host;   /* that serves them, or served them last */
    const char *label;  /* a part of their label */
    unsigned states;    /* bits: 1U << RETETHER_RUNNING and so on */
    uint64_t older_ms;  /* made so long ago, or longer */
    /* What the agent serves itself, and the ends that it keeps: without the session store, when that cannot be asked.
     * Sessions of other hosts are missing, and it is one answer. */
    bool local;
    /* The answer ends behind so many records, or some more, or after a second; its last part then says where the next
     * answer goes on (next). 0: it has all. */
    uint64_t page;
    const char *after; /* that `next` of the answer before */
};

/* Records, host by host. which may be NULL. A session that moves meanwhile may be left out. */
int retether_list(struct retether_client *client, const struct retether_listing *which, retether_reply_cb cb,
                  void *ctx);
/* The agents of the cluster, as the one that is asked sees them. */
int retether_hosts(struct retether_client *client, retether_reply_cb cb, void *ctx);
/* What this client's connection and its tenant may have at the agent that is asked, and have; for an operator what all
 * tenants and the agent itself have. The first part has that agent's name as its only host.
 * With a container ("CID" or "TENANT/CID" of the own tenant, "TENANT/CID" of operators; else NULL): what its guest and
 * its tenant may have and have, at the agent that serves the guest. A second host in the answer: that one serves it and
 * could not be asked; what the tenant has at the first one is told. */
int retether_limits(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);
/* For operators: what the agent that is asked has found at its session store, when it looked last (each minute), in the
 * order in which it is told to people. The agent's name is the only host. None: it has not looked yet. DENIED for other
 * roles. */
int retether_store(struct retether_client *client, retether_reply_cb cb, void *ctx);
/* The end of the output of a container that has ended. */
int retether_tails(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);
/* For operators: drops the connection of the container's guest, wherever it is served. The guest comes back at once,
 * and who is attached is attached again; no byte is lost. container: "TENANT/CID". DENIED for other roles; INVALID when
 * no guest is connected. OK with a host in the answer: it was not done, as that host serves it and could not be asked.
 */
int retether_kick(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);
enum retether_drain { RETETHER_DRAIN_LOOK, RETETHER_DRAIN_ON, RETETHER_DRAIN_OFF };

/* For operators: has a host drained, also behind a restart of its agent, or no more. No new sessions are made there,
 * and clients rather ask the agents of others; whoever runs there, is attached there or comes there is served as
 * before. OK with a host in the answer: that host drains now as it says, and has so many sessions, also those whose
 * guest has been away for less than 30 s. A second one: it was not done, as that host could not be asked. NOT_FOUND:
 * there is no such host. DENIED for other roles. */
int retether_drain(struct retether_client *client, const char *host, enum retether_drain what, retether_reply_cb cb,
                   void *ctx);
/* For operators: no token and no ticket that there is by now of this container is good any more, at any agent. Its
 * guest is turned away for good, and what is attached is told DENIED. Its name may be created anew at once. container:
 * "TENANT/CID". DENIED for other roles. */
int retether_revoke(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
