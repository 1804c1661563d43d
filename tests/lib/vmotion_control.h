/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_LIB_VMOTION_CONTROL_H
#define RETETHER_TESTS_LIB_VMOTION_CONTROL_H

#include "tests/lib/vmotion.h"

/* Commands for a stand-in over a unix socket, a line each, each answered by one line: "ok ..." or "error: ...".
 *
 *   move NAME reset|eof|hang [lose-up N] [lose-down N]
 *                          answered when every connection has ended; without lose-… all that is in flight is lost
 *   on NAME                where new connections go
 *   stall | resume         neither relay nor accept | go on
 *   cut-after up|down N [reset|eof|hang]
 *   cut-never              disarms cut-after
 *   release                the old hosts close what hangs
 *   stats                  "ok on=NAME live=N hung=N conns=N refused=N moves=N cuts=N up=BYTES down=BYTES lost-up=BYTES
 *                          lost-down=BYTES armed=yes|no"
 */

#define VMOTION_LINE_MAX 256
/* Control connections at a time; one more is closed at once. */
#define VMOTION_CONTROLS_MAX 16

struct vmotion_control_conn {
    struct vmotion_control *control;
    uv_pipe_t pipe;
    bool open;
    bool waiting; /* for a move to settle */
    char line[VMOTION_LINE_MAX];
    size_t size;
};

struct vmotion_control {
    struct vmotion *v;
    uv_pipe_t listener;
    char path[108];
    struct vmotion_control_conn conns[VMOTION_CONTROLS_MAX];
};

/* Runs one command. Writes the answer, without a newline. Returns false when the answer must wait until v->settling is
 * 0. */
bool vmotion_command(struct vmotion *v, const char *line, char *answer, size_t size);

/* Listens at path and takes over v->on_settled and v->data. 0 or a libuv error. */
int vmotion_control_start(struct vmotion_control *control, struct vmotion *v, const char *path);
/* The memory is free to use again once the loop has run dry. */
void vmotion_control_close(struct vmotion_control *control);

#endif
