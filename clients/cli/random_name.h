/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_RANDOM_NAME_H
#define RETETHER_CLIENTS_CLI_RANDOM_NAME_H

#include <stddef.h>
#include <stdint.h>

/* A name for a container that was given none: "brave-otter-7k2f". seed: random. */
void cli_random_name(const uint8_t seed[8], char *out, size_t size);

#endif
