/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_TESTS_FUZZ_REDIS_WORLD_H
#define RETETHER_TESTS_FUZZ_REDIS_WORLD_H

#include "migrate/store/store.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What fuzz_redis.c puts around migrate/store/store.c: a loop whose clock the fuzzer sets, streams without sockets, and
 * a server that may answer anything. The linker sends what the store calls of libuv and of session/transport to
 * redis_loop.c (--wrap). */

#define REDIS_SENTINELS 2
/* Commands, claims and hosts, ends; of each Sentinel what is asked, and its hints. */
#define REDIS_CONNS (3 + 2 * REDIS_SENTINELS)
#define REDIS_DIALS 40 /* those that are closing count too */
/* Commands that a server has not answered; one more, and it hangs up. */
#define REDIS_ASKED_MAX 512

enum redis_ask {
    ASKED_AUTH,
    ASKED_ROLE,
    ASKED_SENTINEL_ROLE,
    ASKED_MASTER,
    ASKED_ADDRESS,
    ASKED_INFO,
    ASKED_CONFIG,
    ASKED_FUNCTION,
    ASKED_BEAT,
    ASKED_TEST,
    ASKED_TAKE,
    ASKED_CREATE, /* or REMOVE, or REVOKE */
    ASKED_WRITE,
    ASKED_TAILS,
    ASKED_HOSTS,
    ASKED_HOST_ROW,
    ASKED_RECORD,
    ASKED_RANGE,
    ASKED_TIME,
    ASKED_SCORE,
    ASKED_COUNT,
    ASKED_TOTAL,
    ASKED_SUBSCRIBE,
    ASKED_PING,
    ASKED_NUMBER, /* what is answered with a small number */
    ASKED_KINDS,
};

struct redis_asked {
    uint8_t what; /* enum redis_ask */
    uint64_t seq; /* BEAT: of the row that the store wrote last */
};

struct redis_dial {
    struct rt_dialled *at; /* NULL: free */
    enum { DIAL_UNDER_WAY, DIAL_OPEN, DIAL_CLOSING } phase;
    int reason;
    bool sentinel; /* it is one of these that was dialled */
    struct redis_asked asked[REDIS_ASKED_MAX];
    size_t n_asked;
};

/* redis_loop.c */
void redis_loop_reset(void);
/* What a turn of the loop does: what was put off, then what has closed. */
void redis_loop_turn(void);
/* Lets so much time pass; 0: until the next timer. False: there is none. */
bool redis_loop_pass(uint64_t ms);
/* The stream of one of the store's connections, or NULL. */
struct redis_dial *redis_loop_dial(struct rt_store *store, unsigned conn);
void redis_loop_connected(struct redis_dial *dial);
void redis_loop_lost(struct redis_dial *dial);
/* Bytes from the server, in two parts where `cut` is below their size. */
void redis_loop_receive(struct redis_dial *dial, const char *data, size_t size, size_t cut);
void redis_loop_check(const struct rt_store *store);
/* Nothing is open, nothing will be called. */
void redis_loop_check_over(void);

/* redis_server.c */
/* What the store has sent: whole commands. */
void redis_server_read(struct redis_dial *dial, const char *data, size_t size);
/* The answer to a command, by the rules where the choices are 0. Returns its size. *broken: it may be none at all, or
 * take what follows with it. */
size_t redis_server_answer(const struct redis_asked *asked, struct fuzz_in *in, const char **out, bool *broken);
/* A message on one of the two channels. */
size_t redis_server_push(struct fuzz_in *in, const char **out);

#endif
