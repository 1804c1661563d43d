/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* To be preloaded (LD_PRELOAD): a disk whose fsync lasts until the file RT_DISK_GATE is there. */

int fsync(int fd)
{
    static int (*real)(int fd);
    const struct timespec pause = {.tv_nsec = 2000000};
    const char *gate = getenv("RT_DISK_GATE"); /* NOLINT(concurrency-mt-unsafe): nobody changes it */

    if (real == NULL) {
        *(void **)(&real) = dlsym(RTLD_NEXT, "fsync");
    }
    while (gate != NULL && access(gate, F_OK) != 0) {
        (void)nanosleep(&pause, NULL);
    }
    return real(fd);
}
