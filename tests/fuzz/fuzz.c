/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/fuzz.h"

#include <unistd.h>

#define ARGS_MAX 64

/* Adds the folder of seeds when the command line names neither a folder nor a file. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char seeds[] = RT_FUZZ_SEEDS;
    static char *args[ARGS_MAX + 2];
    if (*argc > ARGS_MAX || access(seeds, R_OK) != 0) {
        return 0;
    }
    for (int i = 0; i < *argc; i++) {
        args[i] = (*argv)[i];
        if (i > 0 && args[i][0] != '-') {
            return 0;
        }
    }
    args[(*argc)++] = seeds;
    *argv = args;
    return 0;
}
