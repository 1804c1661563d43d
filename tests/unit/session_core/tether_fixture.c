/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_core/tether_fixture.h"

#include "session/base/slice.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

uint8_t tx_word_byte(size_t i)
{
    return (uint8_t)(1 + i * 31 % 251);
}

uint8_t tx_byte(unsigned stream, uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8) * 7 + (offset >> 16) * 13 + stream);
}

static void tx_random(void *ctx, void *out, size_t size)
{
    struct tx *tx = ctx;
    memset(out, ++tx->randoms, size);
}

void tx_next(struct tx *tx)
{
    struct rt_tether_action action;
    for (unsigned i = 0; rt_tether_next(tx->tether, &action); i++) {
        assert_true(i < 1000);
        assert_int_equal(tx->overs, 0);
        switch (action.kind) {
        case RT_TETHER_DIAL:
            assert_false(tx->dialing || tx->up);
            tx->dialing = true;
            tx->dials++;
            break;
        case RT_TETHER_HANGUP:
            assert_true(tx->dialing || tx->up);
            assert_non_null(action.reason);
            tx->dialing = tx->up = false;
            tx->hangups++;
            tx->reason = action.reason;
            break;
        case RT_TETHER_START:
            tx->starts++;
            tx->start_proc = action.proc;
            tx->start_tty = action.tty;
            tx->start_in = action.in;
            tx->rows = action.rows;
            tx->cols = action.cols;
            assert_int_equal(action.exec != NULL, action.proc != 0);
            if (action.exec != NULL) {
                rt_slice_copy(action.exec->argv[0], tx->argv0, sizeof(tx->argv0));
                tx->word = action.exec->argv[1].size;
                for (size_t k = 0; k < tx->word; k++) {
                    assert_int_equal(action.exec->argv[1].data[k], tx_word_byte(k));
                }
            }
            if (!tx->starts_wait) {
                rt_tether_started(tx->tether, action.proc, tx->start_code, tx->now);
            }
            break;
        case RT_TETHER_SIGNAL:
            assert_true(tx->sigs < TX_SIGS);
            tx->sig[tx->sigs].proc = action.proc;
            tx->sig[tx->sigs++].sig = action.sig;
            break;
        case RT_TETHER_RESIZE:
            tx->resizes++;
            tx->rows = action.rows;
            tx->cols = action.cols;
            break;
        case RT_TETHER_STDIN_END:
            tx->stdin_ends++;
            break;
        case RT_TETHER_CLOSE_OUTPUT:
            tx->closes++;
            tx->close_proc = action.proc;
            break;
        case RT_TETHER_OVER:
            tx->overs++;
            break;
        }
    }
}

void tx_parse(struct tx *tx)
{
    tx->n_frames = 0;
    for (size_t at = 0; at < tx->out_size;) {
        const char *why;
        struct tx_frame *frame = &tx->frames[tx->n_frames++];
        assert_true(tx->n_frames <= TX_FRAMES && tx->out_size - at >= RT_FRAME_HEADER);
        rt_frame_get(tx->out + at, &frame->head);
        assert_int_equal(rt_frame_check(&frame->head, RT_WAY_GUEST_AGENT, &why), 0);
        frame->payload = tx->out + at + RT_FRAME_HEADER;
        at += RT_FRAME_HEADER + frame->head.length;
        assert_true(at <= tx->out_size);
    }
}

size_t tx_take(struct tx *tx)
{
    size_t n;
    tx_next(tx);
    tx->out_size = 0;
    while (TX_OUT - tx->out_size >= tx->out_cap &&
           (n = rt_tether_output(tx->tether, tx->out + tx->out_size, tx->out_cap, tx->now)) > 0) {
        assert_true(n <= tx->out_cap);
        tx->out_size += n;
    }
    tx_parse(tx);
    return tx->n_frames;
}

const struct tx_frame *tx_frame(const struct tx *tx, uint8_t type, uint32_t channel, size_t n)
{
    for (size_t i = 0; i < tx->n_frames; i++) {
        if (tx->frames[i].head.type == type && tx->frames[i].head.channel == channel && n-- == 0) {
            return &tx->frames[i];
        }
    }
    return NULL;
}

size_t tx_count(const struct tx *tx, uint8_t type)
{
    size_t n = 0;
    for (size_t i = 0; i < tx->n_frames; i++) {
        n += tx->frames[i].head.type == type;
    }
    return n;
}

void tx_decode(const struct tx_frame *frame, enum rt_msg_kind kind, void *msg)
{
    char why[RT_TEXT_MAX];
    assert_non_null(frame);
    assert_int_equal(rt_msg_decode(kind, frame->payload, frame->head.length, msg, why, sizeof(why)), 0);
}

void tx_send(struct tx *tx, struct rt_frame head, const void *payload)
{
    static uint8_t buf[RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX];
    rt_frame_put(buf, &head);
    if (head.length > 0 && payload != NULL) {
        memcpy(buf + RT_FRAME_HEADER, payload, head.length);
    }
    assert_int_equal(rt_tether_input(tx->tether, buf, RT_FRAME_HEADER + head.length, tx->now),
                     RT_FRAME_HEADER + head.length);
    tx_next(tx);
}

void tx_send_map(struct tx *tx, struct rt_frame head, enum rt_msg_kind kind, const void *msg)
{
    static uint8_t buf[RT_FRAME_PAYLOAD_MAX];
    int size = rt_msg_encode(kind, msg, buf, sizeof(buf));
    assert_true(size > 0);
    head.length = (uint32_t)size;
    tx_send(tx, head, buf);
}

void tx_refuse(struct tx *tx, uint32_t channel, const struct rt_refuse_msg *msg)
{
    tx_send_map(tx, (struct rt_frame){.type = RT_REFUSE, .channel = channel}, RT_MSG_REFUSE, msg);
}

void tx_tick(struct tx *tx, uint64_t at)
{
    tx->now = at;
    rt_tether_tick(tx->tether, at);
    tx_next(tx);
}

void tx_run(struct tx *tx, uint64_t ms, bool answer)
{
    uint64_t end = tx->now + ms;
    for (unsigned i = 0; tx_deadline(tx) <= end; i++) {
        assert_true(i < 100000);
        if (tx_deadline(tx) > tx->now) {
            tx->now = tx_deadline(tx);
        }
        tx_tick(tx, tx->now);
        if (answer && tx->up) {
            tx_send(tx, (struct rt_frame){.type = RT_PING}, NULL);
        }
        assert_true(tx_deadline(tx) > tx->now);
    }
    tx_tick(tx, end);
}

struct rt_tether_config tx_config(struct tx *tx)
{
    struct rt_tether_config config;
    rt_tether_defaults(&config);
    memcpy(config.cid, "box", 4);
    memcpy(config.token, "join", 4);
    config.token_size = 4;
    config.seed = 7;
    config.ctx = tx;
    config.random = tx_random;
    config.ring_bytes = TX_RING;
    return config;
}

void tx_open(struct tx *tx, const struct rt_tether_config *config)
{
    memset(tx, 0, sizeof(*tx));
    tx->config = config != NULL ? *config : tx_config(tx);
    tx->config.ctx = tx;
    tx->now = 1000;
    tx->out_cap = TX_CAP;
    tx->tether = rt_tether_new(&tx->config, tx->now);
    assert_non_null(tx->tether);
    tx_next(tx);
    assert_true(tx->dialing);
    assert_int_equal(tx->starts, 1);
}

void tx_close(struct tx *tx)
{
    rt_tether_free(tx->tether);
    tx->tether = NULL;
}

void tx_connect(struct tx *tx, struct rt_hello_msg *hello)
{
    assert_true(tx->dialing);
    tx->dialing = false;
    tx->up = true;
    rt_tether_connected(tx->tether, tx->now);
    assert_int_equal(tx_take(tx), 1);
    tx_decode(tx_frame(tx, RT_HELLO, 0, 0), RT_MSG_HELLO, hello);
}

void tx_welcome(struct tx *tx, uint64_t life, const char *ticket)
{
    struct rt_welcome_msg msg = {
        .v = 1, .host = rt_slice_text("h"), .life = life, .tkt = rt_slice_text(ticket), .drain = tx->drain};
    tx_send_map(tx, (struct rt_frame){.type = RT_WELCOME}, RT_MSG_WELCOME, &msg);
}

void tx_up(struct tx *tx)
{
    struct rt_hello_msg hello;
    tx_connect(tx, &hello);
    tx_welcome(tx, 5, "ticket");
    assert_true(tx_take(tx) >= 2);
    assert_int_equal(tx->frames[0].head.type, RT_CONFIRM);
    assert_int_equal(tx->frames[1].head.type, RT_REPORT);
}

void tx_live(struct tx *tx, const struct rt_tether_config *config)
{
    tx_open(tx, config);
    tx_up(tx);
}

void tx_lost(struct tx *tx)
{
    tx->dialing = tx->up = false;
    rt_tether_lost(tx->tether, tx->now);
    tx_next(tx);
}

void tx_cut(struct tx *tx)
{
    tx_lost(tx);
    tx_run(tx, tx->dialing ? 0 : 600, false);
    tx_up(tx);
}
