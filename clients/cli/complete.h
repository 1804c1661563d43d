/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_COMPLETE_H
#define RETETHER_CLIENTS_CLI_COMPLETE_H

#include "clients/cli/options.h"
#include "clients/cli/text.h"

/* Adds what may stand for the last of the words behind "retether", a candidate a line: the word, and behind a tab what
 * it is for. words: NULL-terminated, at least one. Returns true when it may also be a container. */
bool cli_complete_word(const struct cli_command *const *commands, char **words, struct cli_text *out);

#endif
