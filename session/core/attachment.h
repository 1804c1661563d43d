/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_SESSION_CORE_ATTACHMENT_H
#define RETETHER_SESSION_CORE_ATTACHMENT_H

#include "session/base/error.h"
#include "session/core/protocol.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One attachment of a client, as the application sees it: its streams and what happened to it. */

/* Attachments of one client; one more is RT_ELIMIT. */
#define RT_CLIENT_ATTS_MAX 4096
/* Received and not consumed, of each output: a smaller one costs a link with a short round trip a third of its speed.
 */
#define RT_CLIENT_WINDOW 1048576
/* The same over a link with a long round trip, once that shows: 400 MB/s at 10 ms. */
#define RT_CLIENT_WINDOW_MAX 5242880
/* Written and not acknowledged, of each input. */
#define RT_CLIENT_INPUT_MAX 262144
/* The same of control-up. */
#define RT_CLIENT_CONTROL_WINDOW 32768
/* Refused as NOT_FOUND after having been attached: keeps trying for this long. */
#define RT_NOT_FOUND_GRACE_MS 60000

struct rt_catt; /* freed by rt_catt_free() */
struct rt_client;

struct rt_attach_options {
    char cid[RT_WHOLE_NAME_MAX + 1]; /* an operator may say whose it is */
    uint64_t proc;                   /* 0 main */
    uint8_t id[RT_ID_SIZE];          /* all zero: made at random */
    uint64_t want;                   /* bit per stream */
    uint64_t from, n;                /* enum rt_attach_from */
    uint64_t n_err;                  /* RT_FROM_OFFSET: where stderr starts, as n for stdout */
    uint64_t hold_ms;
    bool once;
    bool steal;
    bool exec; /* a process of its own, with a terminal or without: rt_catt_run() follows */
    bool tty;
    uint64_t rows, cols;
    uint64_t give_up_ms; /* not once attached within this: FAILED; 0 never */
    void *data;          /* the shell's: rt_catt_data() */
};

RT_MUST_CHECK int rt_client_attach(struct rt_client *client, const struct rt_attach_options *options, uint64_t now,
                                   struct rt_catt **att);
/* Tells the guest that this attachment is over (best effort) and forgets it. */
void rt_catt_free(struct rt_catt *att);
void *rt_catt_data(const struct rt_catt *att);
void rt_catt_id(const struct rt_catt *att, uint8_t out[RT_ID_SIZE]);

/* EXITED and the two finals are the last: after them nothing is told, and nothing is left to peek at. */
enum rt_catt_event_kind {
    RT_CATT_ATTACHED,     /* the first time: life, proc, tty, out, err: start offsets, head: the guest's ends then */
    RT_CATT_INTERRUPTED,  /* streams stand still; the machine is looking for the guest */
    RT_CATT_RESUMED,      /* they go on; `host` serves now */
    RT_CATT_GAP,          /* [from, to) of stream will never come; told after the bytes before it are consumed */
    RT_CATT_EOF,          /* stream ended at offset from, all before it consumed */
    RT_CATT_RESIZED,      /* control-up */
    RT_CATT_EXITED,       /* code or sig, out, err: final offsets; comes after all output was consumed */
    RT_CATT_INPUT_CLOSED, /* the process takes no more stdin; it applied `from` bytes of this attachment */
    RT_CATT_REWOUND, /* a past that was seen is no longer true: stream, from = last common offset, to = ours. Final. */
    RT_CATT_FAILED,  /* cls, text. Final. ENDED has code, sig */
};

struct rt_catt_event {
    enum rt_catt_event_kind kind;
    uint64_t stream, from, to;
    uint64_t life, epoch, proc, code, sig, out, err, rows, cols;
    uint64_t head[2]; /* stdout, stderr */
    bool tty;
    bool anew;    /* REWOUND: by a machine started anew */
    uint64_t cls; /* enum rt_class */
    char text[RT_TEXT_MAX + 1];
    char host[RT_HOST_MAX + 1];
};

/* The attachment that may have had something to tell for the longest time, NULL when none has: an event, bytes to peek
 * at, room to write, items applied. It is asked for all of that, and not again before it is named anew: by whatever
 * comes for it, by rt_catt_consumed(), or by rt_catt_wake(). */
struct rt_catt *rt_client_ready(struct rt_client *client);
void rt_catt_wake(struct rt_catt *att);

/* The next event, false when there is none. At most one of each kind and stream is pending: bounded. */
bool rt_catt_event(struct rt_catt *att, struct rt_catt_event *event);

/* Whether what came first of what was received is stdout's or stderr's, and how many bytes of that stream came before
 * the other's turn (SIZE_MAX: all that there are). Who wants the order in which they were written takes them so. */
unsigned rt_catt_first(const struct rt_catt *att, size_t *size);
/* The contiguous received bytes of stdout or stderr not yet consumed (size 0: none), and telling that n were consumed:
 * handed to their final reader, so that they need never be sent again. Both before the next call into the machine: at a
 * resume what was not consumed is dropped here and comes again. */
const uint8_t *rt_catt_peek(const struct rt_catt *att, unsigned stream, size_t *size);
void rt_catt_consumed(struct rt_catt *att, unsigned stream, size_t n, uint64_t now);
uint64_t rt_catt_offset(const struct rt_catt *att, unsigned stream); /* consumed so far, absolute */

/* stdin. Takes what fits in the window, returns how many. */
size_t rt_catt_write(struct rt_catt *att, const void *data, size_t size);
void rt_catt_write_end(struct rt_catt *att); /* after all written: FIN */
size_t rt_catt_writable(const struct rt_catt *att);
/* Bytes of stdin written here, and how many of them the process is known to have taken. */
void rt_catt_input(const struct rt_catt *att, uint64_t *written, uint64_t *applied);
/* Bytes of stdin that were sent again because of breaks, so far. */
uint64_t rt_catt_resent(const struct rt_catt *att);

/* Items of control-down, in order, exactly once. RT_ELIMIT when RT_CLIENT_INPUT_MAX is full of unapplied items. A
 * resize replaces one that has not been sent. */
RT_MUST_CHECK int rt_catt_resize(struct rt_catt *att, unsigned rows, unsigned cols);
RT_MUST_CHECK int rt_catt_signal(struct rt_catt *att, unsigned sig);
/* What an `exec` attachment's process runs: an encoded struct rt_exec_msg. Once, before any other item. RT_ELIMIT: over
 * RT_EXEC_MAX. */
RT_MUST_CHECK int rt_catt_run(struct rt_catt *att, const uint8_t *what, size_t size);
/* Whether the guest may have started that, and is not known to have. */
bool rt_catt_run_is_unsure(const struct rt_catt *att);
/* True when every item given so far has been applied by the guest. */
bool rt_catt_applied(const struct rt_catt *att);

#endif
