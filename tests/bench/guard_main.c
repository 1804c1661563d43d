/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"
#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_process.h"

#include <stdio.h>
#include <string.h>

/* What tests/bench/guard counts the instructions of: bench-guard switch|attach|claim|tether does the named thing to the
 * machine of an agent, or of a tether, a fixed number of times, between scripted peers and without any I/O. Only what
 * runs within measured() is counted, and of that only our own functions. */

#define FRAMES 1000
#define SMALL 64
#define SESSIONS 50

static struct fx fx;
static struct tx tx;
static struct fx_guest guests[SESSIONS];
static char names[SESSIONS][16];
static int client;

/* Small frames from guest to client. */
static void run_switch(void)
{
    static const uint8_t bytes[SMALL];
    struct rt_frame frame;
    const uint8_t *payload;

    for (unsigned i = 0; i < FRAMES; i++) {
        fx_data(&fx, guests[0].link, 1, RT_STDOUT, (uint64_t)i * SMALL, bytes, SMALL);
        while (fx_next(&fx, client, &frame, &payload)) {
        }
    }
}

static void run_attach(void)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        (void)fx_bound(&fx, &guests[i], client, 10 + i);
    }
}

static void run_claim(void)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        fx_serve(&fx, &guests[i]);
    }
}

/* A process writes as often as frames are switched above; each write goes out, a client consumes them. */
static void run_tether(void)
{
    struct tx_rx rx = tx_rx(0);

    for (unsigned i = 0; i < FRAMES; i++) {
        (void)tx_produce(&tx, 0, RT_STDOUT, SMALL);
        (void)tx_take(&tx);
        (void)tx_consume(&tx, 1, RT_STDOUT, &rx);
        if (i % 100 == 99) {
            tx_ack(&tx, 1, RT_STDOUT, &rx, TX_WINDOW);
        }
    }
}

__attribute__((noinline)) void measured(void (*run)(void));

__attribute__((noinline)) void measured(void (*run)(void))
{
    run();
}

static void name_guests(void)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "guard-%u", i);
        fx_guest(&guests[i], names[i], (uint8_t)(1 + i));
    }
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";

    fx_init(&fx);
    if (strcmp(what, "switch") == 0) {
        fx_attached(&fx, &guests[0], &client);
        measured(run_switch);
    } else if (strcmp(what, "attach") == 0) {
        name_guests();
        client = fx_client(&fx, "local");
        run_claim();
        measured(run_attach);
    } else if (strcmp(what, "claim") == 0) {
        name_guests();
        measured(run_claim);
    } else if (strcmp(what, "tether") == 0) {
        struct rt_attach_msg msg = tx_new(1, 1);

        tx_live(&tx, NULL);
        tx_bind(&tx, 1, &msg);
        measured(run_tether);
        tx_close(&tx);
    } else {
        (void)fprintf(stderr, "usage: bench-guard switch|attach|claim|tether\n");
        return 2;
    }
    fx_close(&fx);
    return 0;
}
