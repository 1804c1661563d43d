/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_TETHER_TOKEN_H
#define RETETHER_CLIENTS_TETHER_TOKEN_H

#include "clients/tether/values.h"

#define TETHER_TOKEN_TEXT_MAX 2048
/* Tried with --init when nothing else names one. */
#define TETHER_TOKEN_FILE "/etc/retether/token"

/* The join token: of the file `path` when that is not NULL, else of the one that RETETHER_TOKEN_FILE names, else of
 * RETETHER_TOKEN, else of the file `fallback` when that is not NULL. The variables leave the environment, and their
 * bytes the process. Returns 0, or RT_EINVAL or RT_EIO with a sentence in `why`. */
RT_MUST_CHECK int tether_token_read(const char *path, const char *fallback, char token[TETHER_TOKEN_TEXT_MAX],
                                    char why[TETHER_WHY_MAX]);

#endif
