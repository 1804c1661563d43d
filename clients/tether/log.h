/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_LOG_H
#define RETETHER_CLIENTS_TETHER_LOG_H

#include "retether/guest.h"
#include "session/base/error.h"
#include "session/base/log.h"

#include <stdbool.h>
#include <stdint.h>

/* One line per transition on stderr.
 *
 * While no agent answers, or one refuses, the same transitions come again and again: those are told once, then at debug
 * level. The others share a bucket of TETHER_LOG_BURST lines that fills with TETHER_LOG_RATE lines a second; the next
 * line says how many were suppressed. */

#define TETHER_LOG_BURST UINT64_C(50)
#define TETHER_LOG_RATE UINT64_C(2)
/* A refusal that stays the same is told again after this. */
#define TETHER_LOG_REPEAT_MS UINT64_C(60000)

struct tether_log {
    struct rt_log_sink sink;
    struct rt_log_budget budget;
    bool down_told; /* that there is no agent, since the last one */
    char refusal[RETETHER_GUEST_REASON_MAX];
    uint64_t refusal_at; /* ms */
};

void tether_log_init(struct tether_log *log, enum rt_log_level level, bool json);
/* A failure of the program itself. */
void tether_log_error(struct tether_log *log, const char *reason);
/* A step of an init: "mount", "module", ..., what it was about, and when it failed, why and what to do ("" otherwise).
 */
void tether_log_step(struct tether_log *log, enum rt_log_level level, const char *step, const char *what,
                     const char *reason);
/* The command has ended while no agent is there to take its exit status: how long it stays for one. 0: for ever. */
void tether_log_stay(struct tether_log *log, const char *container, uint64_t end_timeout_ms);
/* now: milliseconds of a monotonic clock. */
void tether_log_event(struct tether_log *log, const struct retether_guest_event *event, uint64_t now);

#endif
