/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_STREAM_H
#define RETETHER_CLIENTS_CLI_STREAM_H

#include "clients/cli/app.h"
#include "clients/cli/detach_keys.h"
#include "clients/cli/lost.h"
#include "clients/cli/stdio.h"

#include <stdbool.h>
#include <stdint.h>

/* One attachment carried between this program's stdin, stdout, stderr and signals: attach, run, exec and logs.
 *
 *     OPEN --attached--> LIVE --exited------------------------> ENDED
 *        |                 \--detach keys--> LEAVING --exited--/ /
 *        \--it had ended: what is kept of it-------------------/
 *
 * LEAVING: what was typed before the detach keys is on its way. ENDED: the process has exited. Each may be the last: a
 * failure, a signal that is not passed on, a detach ends the program.
 */

#define CLI_SIGNALS 9

enum cli_stream_kind { CLI_STREAM_ATTACH, CLI_STREAM_EXEC, CLI_STREAM_LOGS, CLI_STREAM_RUN };

enum cli_stream_state { CLI_STREAM_OPEN, CLI_STREAM_LIVE, CLI_STREAM_LEAVING, CLI_STREAM_ENDED };

/* What is read of stdin, and what becomes of it.
 *
 *     NONE --attached--> OPEN --its end---------------------> ENDED --refused--> REFUSED
 *                         | \--refused, on a terminal--> KEYS --its end----------/ /
 *                         \--refused--------------------------------------------/
 *
 * refused: the process takes no more. KEYS: it is read on for the detach keys, and all else is dropped: while a
 * terminal is raw, no other key ends the attach.
 */
enum cli_input { CLI_INPUT_NONE, CLI_INPUT_OPEN, CLI_INPUT_KEYS, CLI_INPUT_ENDED, CLI_INPUT_REFUSED };

struct cli_stream {
    struct cli_app *app;
    enum cli_stream_kind kind;
    struct retether_attachment *att; /* owned; NULL when closed */
    enum cli_stream_state state;
    struct retether_record record; /* as looked up, without its arrays; RETETHER_STATE_NONE when it is not known */
    uint32_t process;
    struct cli_start start;
    bool tty; /* the process has one */
    /* input */
    bool input; /* stdin is passed on */
    enum cli_input reading;
    struct cli_reader reader; /* this and the timers are open from CLI_INPUT_OPEN on */
    struct cli_keys keys;
    uv_timer_t held;  /* keys that may be the first of the detach keys */
    uv_timer_t leave; /* LEAVING */
    uint64_t leave_until_ms;
    uint8_t pending[CLI_READ_MAX + CLI_KEYS_MAX]; /* typed, and not yet taken by the attachment */
    size_t pending_at, pending_size;
    uint64_t dropped; /* bytes typed that the attachment never took */
    /* output: stdout, stderr */
    struct cli_writer writer[2];
    unsigned writers_open;
    bool until_head;              /* logs without -f: ends at head */
    uint64_t head[2], reached[2]; /* offsets: of the end at the attach, and here */
    uint64_t lost_bytes;          /* told as gaps */
    bool mid_line;                /* the last output on stderr does not end a line */
    struct cli_lost lost;         /* while nobody serves it */
    /* signals */
    bool sig_proxy;
    uv_signal_t signals[CLI_SIGNALS];
    const char *guest_agent; /* run: where its tether dials */
    /* For run: false when it ends the program itself, later, with this status. May be NULL. */
    bool (*may_end)(struct cli_stream *stream, int status);
    /* For run: before the program ends, with the exit status. May be NULL. */
    void (*on_end)(struct cli_stream *stream, int status);
    void *data;
};

/* Opens stdin, stdout, stderr and signals, for the container of app. Returns false when the program ends because that
 * failed. record: as looked up; NULL: not known. */
bool cli_stream_open(struct cli_stream *stream, struct cli_app *app, enum cli_stream_kind kind,
                     const struct retether_record *record);
/* exec: what is to be run; NULL: attaches to a process that runs already. */
void cli_stream_attach(struct cli_stream *stream, const struct retether_attach_options *options,
                       const struct retether_exec_options *exec);
/* Fills options from the command line. */
void cli_stream_options(const struct cli_stream *stream, struct retether_attach_options *options);

/* stream_input.c */
/* Once attached: reads stdin and sets the terminal. */
void cli_stream_start(struct cli_stream *stream);
/* There is room for input again; no more of it is wanted. */
void cli_stream_writable(struct retether_attachment *att, void *ctx);
void cli_stream_input_closed(struct retether_attachment *att, uint64_t applied, void *ctx);
void cli_stream_open_signals(struct cli_stream *stream);

/* stream_end.c */
/* To a later state. */
void cli_stream_go(struct cli_stream *stream, enum cli_stream_state to);
/* Whether it carries a command that this program has started. */
bool cli_stream_is_own(const struct cli_stream *stream);
/* Ends the program. */
void cli_stream_end(struct cli_stream *stream, int status);
/* Ends it with the status of the process, or with CLI_EXIT_GAP when that is 0 and output was lost. output: bytes of it.
 */
void cli_stream_exited(struct cli_stream *stream, unsigned code, unsigned signum, uint64_t output);
/* Restores the terminal, and moves to a new line on it, for what this program has to say. */
void cli_stream_leave_terminal(void);
/* Says how much of the input was not taken, if any. */
void cli_stream_tell_untaken(const struct cli_stream *stream);
/* Says how to go on after an attach that did not end by itself, and how much of the input was not taken. */
void cli_stream_tell_resume(struct cli_stream *stream);
/* Says what has failed, and after an attach how to go on, and ends the program. */
__attribute__((format(printf, 2, 3))) void cli_stream_fail(struct cli_stream *stream, const char *format, ...);
void cli_stream_write_failed(struct cli_stream *stream, int error);
void cli_stream_lost(struct cli_lost *lost);
void cli_stream_rewound(struct retether_attachment *att, const struct retether_rewound *rewound, void *ctx);
void cli_stream_failed(struct retether_attachment *att, unsigned cls, const char *text, unsigned code, unsigned signum,
                       void *ctx);

#endif
