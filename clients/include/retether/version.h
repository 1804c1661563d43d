/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_VERSION_H
#define RETETHER_VERSION_H

/* The version that a program was compiled with. The build reads the project's version from these three lines. */
#define RETETHER_VERSION_MAJOR 0
#define RETETHER_VERSION_MINOR 1
#define RETETHER_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that the program runs with, "MAJOR.MINOR.PATCH": static text. Programs of one MAJOR run
 * with each later library of it; below 1.0 only with the same MINOR. */
const char *retether_version(void);

#ifdef __cplusplus
}
#endif

#endif
