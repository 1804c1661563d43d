/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_VM_STREAM_H
#define RETETHER_TESTS_VM_STREAM_H

#include "tests/lib/workload_stream.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A `retether` whose process in the guest is the endless workload: what comes is checked byte by byte as it comes, and
 * the same kind of stream is typed into it, in a thread of its own, so that nothing else that the test does shows as
 * silence.
 *
 * A measurement runs from vm_stream_mark() until, after the guest went on, as many bytes have come as can have been
 * under way before. The longest silence that ended after the guest went on is the blackout, counted from there. Other
 * waits can only make it longer. Times as vm_now_ms(). */

/* More than the windows of client (256 KiB), agent and pipes hold together. */
#define VM_STREAM_WINDOW ((uint64_t)512 << 10)
#define VM_STREAM_STDERR 8192
#define VM_STREAM_POINTS 4096
#define VM_STREAM_SILENCES 256
/* Shorter ones are not noted. */
#define VM_STREAM_SILENCE_MS 2.0

struct vm_stream_point {
    double at_ms;
    uint64_t bytes;
};

struct vm_stream_silence {
    double ms, end_ms;
};

struct vm_stream {
    pid_t pid;
    int in, out, err; /* the thread's; -1: closed */
    uint64_t seed;
    uint64_t rate; /* typed, bytes/s */
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* of what follows */
    bool closing;         /* no more is typed */
    bool over;            /* the thread has ended */
    struct workload_check received;
    struct rt_digest sent_digest;
    uint64_t sent;
    char text[VM_STREAM_STDERR]; /* the newest of its stderr */
    size_t text_size;
    double last_ms;
    struct vm_stream_silence silences[VM_STREAM_SILENCES]; /* the newest ones since the mark, in a ring */
    size_t n_silences;
    struct vm_stream_point points[VM_STREAM_POINTS]; /* some of what came; thinned out when they are many */
    size_t n_points;
    double step_ms; /* between two of them */
};

/* Zeroed, or used before. Starts `retether ARGS…` (args[0] is "retether") on the cluster of the tests. The workload in
 * the guest has this seed and gets what is typed. */
void vm_stream_start(struct vm_stream *stream, const char *const *args, uint64_t seed, uint64_t rate);
/* Until so many bytes have come since its start. */
void vm_stream_until(struct vm_stream *stream, uint64_t bytes);
/* Until so many more have come, and as many typed ones have gone, as the rate of typing lets. */
void vm_stream_more(struct vm_stream *stream, uint64_t bytes);
uint64_t vm_stream_received(struct vm_stream *stream);

void vm_stream_mark(struct vm_stream *stream);
/* The guest went on at this time. Waits for the window; milliseconds from that time to the end of the longest silence.
 */
double vm_stream_blackout(struct vm_stream *stream, double resumed_ms);

/* Waits for the end of one that ends by itself; its exit status. What came until then has no wrong byte. */
int vm_stream_wait(struct vm_stream *stream);
/* Ends its input, waits for its end and compares both ends' counts and hashes: nothing lost, nothing repeated. Fails
 * through cmocka. */
void vm_stream_finish(struct vm_stream *stream);
/* Kills what runs. Safe on a zeroed struct, and twice. */
void vm_stream_close(struct vm_stream *stream);

#endif
