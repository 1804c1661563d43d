/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_CLIENTS_SDK_H
#define RETETHER_TESTS_UNIT_CLIENTS_SDK_H

#include "retether/client.h"
#include "tests/unit/clients/box.h"

/* An application of the SDK's client half, in front of a box: it notes every callback of one attachment. */

#define SDK_BYTES BOX_BYTES

enum sdk_event {
    SDK_ATTACHED,
    SDK_OUTPUT,
    SDK_GAP,
    SDK_EOF,
    SDK_RESIZED,
    SDK_WRITABLE,
    SDK_APPLIED,
    SDK_INPUT_CLOSED,
    SDK_INTERRUPTED,
    SDK_RESUMED,
    SDK_EXITED,
    SDK_REWOUND,
    SDK_FAILED,
    SDK_EVENTS,
};

struct sdk {
    struct fixture *f;
    struct box *box;
    struct retether_client *client; /* NULL once closed */
    struct retether_attachment *att;
    bool closed;
    unsigned links_up, links_down;
    /* the attachment's callbacks */
    unsigned n[SDK_EVENTS];
    uint64_t life;
    uint32_t process;
    uint64_t start[2], head[2];
    bool tty;
    char host[65];
    struct {
        uint8_t data[SDK_BYTES];
        size_t size;
        size_t room; /* takes so many bytes more; SIZE_MAX: all */
        uint64_t eof, gap_from, gap_to;
    } out[2];
    unsigned rows, cols, code, signum, cls;
    uint64_t applied, common, ours;
    bool anew;
    enum retether_stream stream;
    char text[RETETHER_TEXT_MAX + 1];
    /* Called at each event, last; it may free what it likes. */
    void (*on_event)(struct sdk *sdk, enum sdk_event event);
};

extern const struct retether_attachment_callbacks sdk_callbacks; /* without ctx */

/* cmocka: *state is an SDK application whose client knows the first agent, which listens. */
int sdk_setup(void **state);
/* Closes the client, if it still is, and all else. */
int sdk_teardown(void **state);

void sdk_close(struct sdk *sdk);
/* Attaches with the defaults, or these options; waits for ATTACHED. */
void sdk_attach(struct sdk *sdk);
int sdk_attach_with(struct sdk *sdk, const struct retether_attach_options *options);
int sdk_exec(struct sdk *sdk, const char *const *argv);
void sdk_wait(struct sdk *sdk, enum sdk_event event, unsigned count);
/* Until stdout (0) or stderr (1) has so many bytes here, which are those of process p. */
void sdk_wait_output(struct sdk *sdk, unsigned s, size_t size, unsigned p);
/* Waits until the box has so many bytes of stdin of process p. */
void sdk_wait_input(struct sdk *sdk, unsigned p, size_t size);

#endif
