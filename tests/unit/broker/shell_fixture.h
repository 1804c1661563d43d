/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_UNIT_BROKER_SHELL_FIXTURE_H
#define RETETHER_TESTS_UNIT_BROKER_SHELL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker/service.h"
#include "broker/shell.h"
#include "session/core/frame.h"

#include <stdbool.h>

/* The agent's shell within the test: its loop turns only when the test turns it. Its links, its state directory and its
 * store lie in a private directory. */

#define FX_HANG_MS 15000

extern struct rt_shell shell;
extern char fx_dir[40], fx_guest[64], fx_client[64];

/* A private directory, and settings for a shell in it whose store does not answer. */
int fx_setup(void **state);
int fx_teardown(void **state);
extern struct rt_settings fx_settings;
/* Appends to a list of the settings. */
void fx_add(struct rt_setting_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes a file of the private directory. */
void fx_write(const char *name, const void *data, size_t size, unsigned mode);
char *fx_path(const char *name);

/* Its services, then NULL; by default the sessions alone. */
extern const struct rt_service *const *fx_services;
/* Starts the shell with the settings; asserts that it runs. */
void fx_start(void);
/* Starts it; it must refuse to. */
void fx_refused(void);
/* Lets it stop; asserts the exit code and that nothing is left open. */
void fx_stop(int exit_code);

/* One turn of the shell's loop, and of whatever else the test runs. */
extern void (*fx_other)(void);
void fx_turn(void);
/* Turns until done() or FX_HANG_MS; asserts that it was done. */
void fx_until(bool (*done)(void *ctx), void *ctx);
void fx_turn_for(unsigned ms);

/* A peer of the shell that never blocks. */
struct fx_peer {
    int fd; /* -1: none */
    bool eof;
    size_t size;
    uint8_t in[1 << 16];
};

void fx_connect(struct fx_peer *peer, const char *path);
void fx_close(struct fx_peer *peer);
void fx_send(struct fx_peer *peer, const void *data, size_t size);
/* A client's hello, as bytes. */
size_t fx_hello(uint8_t *out, size_t cap);
/* Turns and reads until the agent has closed, or a frame of that type is there; then its offset in peer->in. */
void fx_until_closed(struct fx_peer *peer);
size_t fx_until_frame(struct fx_peer *peer, enum rt_frame_type type, struct rt_frame *frame);
/* The same, whichever comes first; whether the frame has come. */
bool fx_frame_or_end(struct fx_peer *peer, enum rt_frame_type type);
/* From connect to welcome. */
void fx_client_up(struct fx_peer *peer);
/* Asks and is answered: that link lives. */
void fx_assert_alive(struct fx_peer *client);

#endif
