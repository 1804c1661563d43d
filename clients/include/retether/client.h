/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENT_H
#define RETETHER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* The client half of libretether: finds the agent that serves a container, attaches to its streams, follows them when
 * the container moves, and asks agents what they know. Everything happens on the caller's loop, in its thread; there is
 * no global state. SIGPIPE must be ignored by the process.
 *
 * Functions return 0 or a negative code of session/base/error.h unless said otherwise. Callbacks come from the loop,
 * never from within a call of this file, and may call everything in it. What a callback's pointers show is good until
 * it returns. Offsets and sizes are bytes, times are milliseconds. */

#define RETETHER_CONTAINER_MAX 128
#define RETETHER_TEXT_MAX 256
#define RETETHER_ADDRESS_MAX 108
#define RETETHER_ATTACHMENT_ID_SIZE 16
#define RETETHER_PROCESSES_MAX 64
#define RETETHER_ATTACHMENTS_MAX 128
#define RETETHER_HISTORY_MAX 16
#define RETETHER_RECORDS_MAX 32
#define RETETHER_HOSTS_MAX 64
/* Bytes of a join token's text, NUL included. */
#define RETETHER_TOKEN_SIZE 1376

struct retether_client;
struct retether_attachment;

enum retether_stream { RETETHER_STDIN, RETETHER_STDOUT, RETETHER_STDERR, RETETHER_CONTROL };

/* Why something was refused: the classes of docs/protocol.md section 6, and their numbers. */
enum retether_class {
    RETETHER_OK = 0,
    RETETHER_RETRY_LATER = 1,
    RETETHER_MOVED = 2,
    RETETHER_REWOUND = 4,
    RETETHER_BAD_AUTH = 7,
    RETETHER_NOT_FOUND = 8,
    RETETHER_ENDED = 9,
    RETETHER_UNKNOWN_ATTACHMENT = 10,
    RETETHER_STOLEN = 11,
    RETETHER_VERSION_MISMATCH = 12,
    RETETHER_LIMIT = 13,
    RETETHER_PROTOCOL = 14,
    RETETHER_LOST = 15,
    RETETHER_JUMP = 16,
    RETETHER_DENIED = 17,
    RETETHER_INVALID = 18,
    RETETHER_AMBIGUOUS = 19,
};

/* "NOT_FOUND" and so on, or "?". */
const char *retether_class_name(unsigned cls);

/* ---- the client ---- */

struct retether_client_callbacks {
    /* May be NULL. A connection to an agent came up (reason NULL), or one or an attempt at one ended. Must not call
     * into the client. */
    void (*link)(struct retether_client *client, const char *address, const char *reason, void *ctx);
    void *ctx;
};

/* name: this program, for the agents' logs. callbacks may be NULL. To be released with retether_client_close(). */
int retether_client_new(uv_loop_t *loop, const char *name, const struct retether_client_callbacks *callbacks,
                        struct retether_client **client);

/* Adds an agent: "unix:PATH", "tcp:ADDRESS:PORT" or "vsock:CID:PORT". The others of its cluster are learnt from it. On
 * an error `why` has a sentence. */
int retether_client_add_agent(struct retether_client *client, const char *endpoint, char *why, size_t why_size);

/* Ends every attachment and request without a callback, tells the agents (at most for a second), frees all, and calls
 * closed(ctx) (may be NULL). Neither the client nor its attachments may be used after this call. */
void retether_client_close(struct retether_client *client, void (*closed)(void *ctx), void *ctx);

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
    const char *container; /* whole container ID */
    uint32_t process;      /* 0: the main one */
    bool input;            /* stdin is opened */
    bool input_once;       /* the process's stdin ends with the first attachment that ends it */
    bool output;           /* stdout and stderr are wanted; else only the exit */
    enum retether_from from;
    uint64_t start[2];
    /* For how long the process may be kept from writing on while this attachment does not keep up; then bytes are given
     * up and a gap is told. 0: an observer, which never holds anything up. */
    uint64_t hold_ms;
    unsigned rows, cols;    /* of the caller's terminal; 0: it has none */
    uint64_t give_up_ms;    /* not once attached within this: failed; 0: never */
    const uint8_t *take_id; /* takes over the attachment of this id (RETETHER_ATTACHMENT_ID_SIZE bytes) from another
                             * client; NULL: a new one */
};

/* Zeroes the options; then: both directions, from now, a hold of 30 s. */
void retether_attach_defaults(struct retether_attach_options *options);

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

struct retether_attachment_callbacks {
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
    /* After a retether_write() that took less than it was given: there is room again. */
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
    /* A past that was seen is no longer true. Final. */
    void (*rewound)(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx);
    /* With RETETHER_ENDED, code or signal tell how. Final. */
    void (*failed)(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signal,
                   void *ctx);
    void *ctx;
};

/* Makes an attachment and begins to look for the container. To be released with retether_detach(), after a final
 * callback too. Options and callbacks are copied. */
int retether_attach(struct retether_client *client, const struct retether_attach_options *options,
                    const struct retether_attachment_callbacks *callbacks, struct retether_attachment **att);

struct retether_exec_options {
    const char *const *argv; /* NULL-terminated, at most 64 of at most 2,048 bytes */
    const char *const *env;  /* NULL-terminated additions "NAME=VALUE"; NULL: none */
    const char *cwd;         /* NULL: the container's */
    bool tty;
};

/* Starts a process in a container, exactly once, and attaches to it from its first byte. Of the attach options
 * container, input, hold_ms, rows, cols and give_up_ms count. A container that takes no more processes, or whose main
 * process has ended, is told as failed with RETETHER_UNKNOWN_ATTACHMENT or RETETHER_ENDED. */
int retether_exec(struct retether_client *client, const struct retether_attach_options *options,
                  const struct retether_exec_options *exec, const struct retether_attachment_callbacks *callbacks,
                  struct retether_attachment **att);

/* Ends the attachment here and tells the container. Input that has not been taken (retether_input()) is dropped: wait
 * for it first where that matters. No callback comes any more; `att` must not be used after. */
void retether_detach(struct retether_attachment *att);

void retether_resume(struct retether_attachment *att, enum retether_stream stream);

/* stdin. Takes what fits into the window (256 KiB not yet taken by the process), returns how many bytes: 0 also after
 * the end of the input, and after a final callback. */
size_t retether_write(struct retether_attachment *att, const void *data, size_t size);
/* No more stdin follows. */
void retether_write_end(struct retether_attachment *att);
/* RT_EINVAL: more than 65,535 rows or columns, or no signal (1 to 64). RT_ESTATE: after a final callback; a signal also
 * before the process of an exec is there. RT_ELIMIT: the container has not taken those sent before. */
int retether_resize(struct retether_attachment *att, unsigned rows, unsigned cols);
int retether_signal(struct retether_attachment *att, unsigned signum);

/* The next byte of stdout or stderr to be taken. */
uint64_t retether_offset(const struct retether_attachment *att, enum retether_stream stream);
/* Bytes of stdin written here, and how many of them the process is known to have taken. */
void retether_input(const struct retether_attachment *att, uint64_t *written, uint64_t *taken);
/* Bytes of stdin sent again because of breaks, so far. */
uint64_t retether_resent(const struct retether_attachment *att);
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

/* "created" and so on, or "?". */
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
    char tenant[65];
    char label[257];
    char host[65]; /* that serves it or did last; "" none yet */
    enum retether_state state;
    uint64_t life, epoch, moves;
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
};

/* As the agent that was asked judges: unknown is one that it has not watched for long enough. */
enum retether_host_state { RETETHER_HOST_UNKNOWN, RETETHER_HOST_ALIVE, RETETHER_HOST_DEAD };

struct retether_host {
    char name[65];
    char version[33];
    char address[4][RETETHER_ADDRESS_MAX + 1];
    size_t n_addresses;
    uint64_t sequence, age_ms, sessions;
    enum retether_host_state state;
};

struct retether_reply {
    int error;                             /* 0, or RT_ECONN: no agent could be reached; RT_ETIMEDOUT; RT_EPROTO */
    unsigned cls;                          /* enum retether_class, when error is 0 */
    const char *text;                      /* as all names and labels here: without control characters, may be shown */
    bool more;                             /* another part follows */
    const char *token;                     /* create: the join token's text */
    const struct retether_record *records; /* show: one; list */
    size_t n_records;
    const struct retether_host *hosts;
    size_t n_hosts;
    /* tails: the first part has the exit and the final offsets, each other a piece of stream at offset. A first part
     * with a host is all: that host's agent has the output, and could not be asked */
    unsigned code, signal;
    bool lost;
    bool cut; /* the output was given up, as the session store keeps only so much of it */
    uint64_t end[2];
    enum retether_stream stream;
    uint64_t offset;
    const void *data;
    size_t size;
};

/* Once for each part; exactly one has `more` unset. Not after retether_client_close(). */
typedef void (*retether_reply_cb)(struct retether_client *client, const struct retether_reply *reply, void *ctx);

/* Makes a session. label may be NULL; ring: bytes kept of each stream, 0 for the default. */
int retether_create(struct retether_client *client, const char *container, const char *label, uint64_t ring,
                    retether_reply_cb cb, void *ctx);
/* Takes back a session that was made and never started; LIMIT for any other. */
int retether_remove(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);
/* One record. prefix: a unique beginning of the ID will do, and several that fit are AMBIGUOUS with up to five in
 * text. */
int retether_show(struct retether_client *client, const char *container, bool prefix, retether_reply_cb cb, void *ctx);
/* All records, or those whose ID begins with prefix, or that a host serves; each may be NULL. */
int retether_list(struct retether_client *client, const char *prefix, const char *host, retether_reply_cb cb,
                  void *ctx);
int retether_hosts(struct retether_client *client, retether_reply_cb cb, void *ctx);
/* The end of the output of a container that has ended. */
int retether_tails(struct retether_client *client, const char *container, retether_reply_cb cb, void *ctx);

#endif
