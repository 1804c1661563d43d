/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_CONFIG_H
#define RETETHER_CLIENTS_TETHER_CONFIG_H

#include "clients/tether/options.h"

/* Options out of a file, one a line, as on the command line without the dashes; `command` and `argument` (repeated)
 * make the command. Blanks around a value are not part of it; lines that begin with '#' say nothing.
 *
 *     cid web1
 *     agent tcp:169.254.1.1:7400
 *     command /bin/sh
 *
 * The text stays in options->config. Returns 0, or RT_EINVAL or RT_EIO with "FILE:LINE: what is wrong" in `why`. */
RT_MUST_CHECK int tether_config_read(struct tether_options *options, const char *path, char why[TETHER_WHY_MAX]);

#endif
