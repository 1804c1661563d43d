/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_core/tether_process.h"

#include "session/core/frame.h"
#include "session/core/tether.h"
#include "tests/unit/session_core/tether_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

uint8_t *tx_space(struct tx *tx, uint32_t proc, unsigned stream, size_t *room)
{
    uint8_t *space = rt_tether_space(tx->tether, proc, stream, room);
    if (space == NULL) {
        rt_tether_want_space(tx->tether, proc, stream, tx->now);
        space = rt_tether_space(tx->tether, proc, stream, room);
    }
    return space;
}

size_t tx_produce(struct tx *tx, uint32_t proc, unsigned stream, size_t size)
{
    uint64_t *at = &tx->written[proc][stream - RT_STDOUT];
    size_t done = 0, room;
    uint8_t *space;
    while (done < size && (space = tx_space(tx, proc, stream, &room)) != NULL) {
        if (room > size - done) {
            room = size - done;
        }
        for (size_t i = 0; i < room; i++) {
            space[i] = tx_byte(stream, *at + i);
        }
        rt_tether_commit(tx->tether, proc, stream, room);
        *at += room;
        done += room;
    }
    tx_next(tx);
    return done;
}

void tx_text(struct tx *tx, uint32_t proc, unsigned stream, const char *text)
{
    size_t size = strlen(text), room;
    uint8_t *space = tx_space(tx, proc, stream, &room);
    assert_true(room >= size);
    for (size_t i = 0; i < size; i++) {
        space[i] = (uint8_t)text[i];
    }
    rt_tether_commit(tx->tether, proc, stream, size);
    tx->written[proc][stream - RT_STDOUT] += size;
    tx_next(tx);
}

bool tx_blocked(struct tx *tx, uint32_t proc, unsigned stream)
{
    size_t room;
    (void)tx_space(tx, proc, stream, &room);
    tx_next(tx);
    return room == 0;
}

size_t tx_read(struct tx *tx, uint32_t proc, uint8_t *buf, size_t size)
{
    size_t done = 0, part;
    const uint8_t *data;
    while (done < size && (data = rt_tether_stdin(tx->tether, proc, &part), part > 0)) {
        if (part > size - done) {
            part = size - done;
        }
        memcpy(buf + done, data, part);
        done += part;
        rt_tether_stdin_taken(tx->tether, proc, part, tx->now);
        tx_next(tx);
    }
    return done;
}

void tx_exit(struct tx *tx, uint32_t proc, unsigned code)
{
    rt_tether_exited(tx->tether, proc, code, 0, tx->now);
    rt_tether_eof(tx->tether, proc, RT_STDOUT, tx->now);
    rt_tether_eof(tx->tether, proc, RT_STDERR, tx->now);
    tx_next(tx);
}
