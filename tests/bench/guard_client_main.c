/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/client.h"
#include "tests/unit/session_core/client_fixture.h"
#include "tests/unit/session_core/client_streams.h"

#include <stdio.h>
#include <string.h>

/* The same as bench-guard, for the client's machine: small frames come, each is consumed. */

#define FRAMES 1000
#define SMALL 64

static struct fx fx;
static struct rt_catt *att;

static void run_client(void)
{
    static uint8_t bytes[SMALL], read[2 * SMALL];

    for (unsigned i = 0; i < FRAMES; i++) {
        fx_data(&fx, 0, 1, RT_STDOUT, (uint64_t)i * SMALL, bytes, SMALL);
        (void)fx_read(&fx, att, RT_STDOUT, read, sizeof(read));
        (void)fx_take(&fx, 0);
    }
}

__attribute__((noinline)) void measured(void (*run)(void));

__attribute__((noinline)) void measured(void (*run)(void))
{
    run();
}

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "client") != 0) {
        (void)fprintf(stderr, "usage: bench-guard_client client\n");
        return 2;
    }
    att = fx_live(&fx, 1);
    measured(run_client);
    fx_close(&fx);
    return 0;
}
