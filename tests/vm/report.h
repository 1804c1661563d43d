/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_REPORT_H
#define RETETHER_TESTS_VM_REPORT_H

#include "tests/vm/qemu.h"
#include "tests/vm/stream.h"

#define VM_CASE_MOVES_MAX 8

/* What a case measured, one line on stdout. Bytes that are lost or repeated fail the test before. */
struct vm_case {
    const char *name;
    double downtime_ms; /* QEMU's, the longest */
    double blackout_ms; /* at the client, on top of it, the longest */
    unsigned moves;
    struct {
        double stopped_ms, resumed_ms, flowing_ms; /* as vm_now_ms() */
    } marks[VM_CASE_MOVES_MAX];                    /* of the first ones */
    uint64_t replayed_out;                         /* bytes that the tether had to send again */
    uint64_t replayed_in; /* bytes toward the guest that cut connections took with them; headers are among them */
    uint64_t out, in;     /* checked at both ends */
};

void vm_case_add(struct vm_case *c, const struct vm_migration *migration, double blackout_ms);
void vm_case_say(const struct vm_case *c);
/* Draws what came at the client over time, with the moves marked, as SVG. NULL: nothing. */
void vm_case_draw(const struct vm_case *c, const struct vm_stream *stream, const char *path);

#endif
