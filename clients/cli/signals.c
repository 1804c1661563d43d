/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/signals.h"

#include "clients/cli/values.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SIGNAL_MAX 64

#define SIGNAL(name)                                                                                                   \
    {                                                                                                                  \
#name, SIG##name                                                                                               \
    }

static const struct {
    const char *name;
    unsigned signum;
} signals[] = {SIGNAL(HUP),    SIGNAL(INT),  SIGNAL(QUIT),  SIGNAL(ILL),  SIGNAL(TRAP), SIGNAL(ABRT),
               SIGNAL(BUS),    SIGNAL(FPE),  SIGNAL(KILL),  SIGNAL(USR1), SIGNAL(SEGV), SIGNAL(USR2),
               SIGNAL(PIPE),   SIGNAL(ALRM), SIGNAL(TERM),  SIGNAL(CHLD), SIGNAL(CONT), SIGNAL(STOP),
               SIGNAL(TSTP),   SIGNAL(TTIN), SIGNAL(TTOU),  SIGNAL(URG),  SIGNAL(XCPU), SIGNAL(XFSZ),
               SIGNAL(VTALRM), SIGNAL(PROF), SIGNAL(WINCH), SIGNAL(IO),   SIGNAL(PWR),  SIGNAL(SYS)};

bool cli_read_signal(const char *text, void *out)
{
    unsigned *signum = out;
    uint64_t number;

    if (cli_read_count(text, &number)) {
        *signum = (unsigned)number;
        return number > 0 && number <= SIGNAL_MAX;
    }
    if (strncasecmp(text, "SIG", 3) == 0) {
        text += 3;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strcasecmp(text, signals[i].name) == 0) {
            *signum = signals[i].signum;
            return true;
        }
    }
    return false;
}

void cli_signal_name(unsigned signum, char *out, size_t size)
{
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (signals[i].signum == signum) {
            snprintf(out, size, "SIG%s", signals[i].name);
            return;
        }
    }
    snprintf(out, size, "signal %u", signum);
}
