/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/resume.h"

#include <inttypes.h>
#include <stdio.h>

void cli_resume_text(const struct cli_options *options, const char *container, uint32_t process, bool tty,
                     const uint64_t offset[2], char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "retether attach %s", container);

    for (size_t i = 0; options->agents_given && i < options->n_agents && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, " --agent %s", options->agents[i]);
    }
    if (!options->input && used < size) {
        used += (size_t)snprintf(out + used, size - used, " --no-stdin");
    }
    if (process != 0 && used < size) {
        used += (size_t)snprintf(out + used, size - used, " --process %" PRIu32, process);
    }
    if (used < size) {
        used += (size_t)snprintf(out + used, size - used, " --since-offset %" PRIu64, offset[0]);
    }
    if (!tty && offset[1] > 0 && used < size) {
        (void)snprintf(out + used, size - used, ",%" PRIu64, offset[1]);
    }
}
