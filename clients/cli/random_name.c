/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/random_name.h"

#include <stdio.h>

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
