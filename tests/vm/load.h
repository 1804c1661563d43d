/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_LOAD_H
#define RETETHER_TESTS_VM_LOAD_H

#include "tests/vm/guest.h"
#include "tests/vm/report.h"
#include "tests/vm/stream.h"

/* A workload run by `retether exec` in a guest, with a checked stream each way, and what moves make of it. */

#define VM_LOAD_RATE "1M"
#define VM_LOAD_IN_RATE ((uint64_t)128 << 10)
/* Enough to say that it flows. */
#define VM_LOAD_SOME ((uint64_t)512 << 10)

/* rate as `workload --rate` takes it; NULL: as fast as it can. Until some of it has come. */
void vm_load_start(struct vm_stream *stream, const struct vm_guest *guest, const char *rate, uint64_t seed);
/* Ends it, compares both ends, and says what the case measured. */
void vm_load_end(struct vm_stream *stream, struct vm_guest *guest, struct vm_case *c);

/* One move to the other host, measured. */
void vm_load_move(struct vm_stream *stream, struct vm_guest *guest, struct vm_case *c);

/* A guest whose main process only sleeps; what is measured runs beside it. */
struct vm_guest *vm_load_guest(const char *cid, enum vm_link link);
/* Until this text stands in a log. */
void vm_log_until(const char *path, const char *text, unsigned limit_ms);
/* Starts a host's agent again, until it answers. */
void vm_load_agent(unsigned host);

#endif
