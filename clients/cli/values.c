/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/values.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT_MAX (UINT64_C(1) << 53)
#define SIGNAL_MAX 64

int cli_read_count(const char *text, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)text[0])) {
        return RT_EINVAL;
    }
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end[0] == '\0' && *value < COUNT_MAX ? RT_OK : RT_EINVAL;
}

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

int cli_read_signal(const char *text, unsigned *signum)
{
    uint64_t number;

    if (cli_read_count(text, &number) == RT_OK) {
        *signum = (unsigned)number;
        return number > 0 && number <= SIGNAL_MAX ? RT_OK : RT_EINVAL;
    }
    if (strncasecmp(text, "SIG", 3) == 0) {
        text += 3;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strcasecmp(text, signals[i].name) == 0) {
            *signum = signals[i].signum;
            return RT_OK;
        }
    }
    return RT_EINVAL;
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

void cli_random_name(const uint8_t seed[8], char *out, size_t size)
{
    static const char *const kinds[] = {"amber", "brave", "brisk", "calm",  "clear", "crisp", "eager", "early",
                                        "fair",  "fleet", "fresh", "glad",  "green", "happy", "keen",  "kind",
                                        "late",  "light", "lucky", "merry", "mild",  "neat",  "noble", "quick",
                                        "quiet", "rapid", "ready", "sharp", "sunny", "swift", "vivid", "warm"};
    static const char *const beings[] = {"adder", "badger", "beaver", "bison", "crane",  "curlew", "dingo",  "eagle",
                                         "egret", "falcon", "ferret", "finch", "gecko",  "heron",  "ibis",   "jackal",
                                         "koala", "lark",   "lemur",  "lynx",  "marten", "newt",   "ocelot", "otter",
                                         "owl",   "puffin", "raven",  "seal",  "stoat",  "swan",   "tern",   "vole"};
    static const char digits[] = "23456789abcdefghjkmnpqrstuvwxyz";

    snprintf(out, size, "%s-%s-%c%c%c%c", kinds[seed[0] % 32], beings[seed[1] % 32], digits[seed[2] % 31],
             digits[seed[3] % 31], digits[seed[4] % 31], digits[seed[5] % 31]);
}
