/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/digest.h"
#include "session/core/frame.h"
#include "session/core/msg.h"
#include "session/core/msg_hop.h"
#include "session/core/msg_stream.h"
#include "session/core/protocol.h"
#include "session/core/receiver.h"
#include "session/core/tether.h"

#include "tests/unit/session_core/tether_clients.h"
#include "tests/unit/session_core/tether_fixture.h"
#include "tests/unit/session_core/tether_process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Random walks: a process that writes and reads, clients that read, type and stall, links and channels that are lost at
 * any point. The oracle knows every byte: what a client consumes is what was written at that offset, or lies in a gap
 * that was told; what the process reads of a client is what that client wrote, each byte once. No honest client is ever
 * refused, no credit exceeded, no deadline stays in the past. A failure prints the seed. */

#define CLIENTS 4
#define STEPS 3000
#define SEEDS 24

static struct tx tx;

struct client {
    struct tx_rx rx[2]; /* consumed: kept for a resume */
    struct tx_rx got[2];
    struct { /* received on this channel and not consumed; the bytes were checked when they came */
        uint64_t from, to;
        bool gap;
    } run[2][512];
    size_t runs[2];
    uint64_t control, control_from;    /* control-up: nothing comes but the exit, which this walk has not */
    uint64_t head, acked, sent, limit; /* stdin: written, acknowledged, sent on this channel, allowed */
    struct rt_digest typed;            /* at acked */
    uint32_t channel;
    uint64_t try_no;
    uint64_t hold;
    bool known;    /* has had an ATTACHED */
    bool asked;    /* ATTACH sent, nothing heard */
    bool fixed;    /* a resume has named its cursors: they stand still until ATTACHED */
    uint64_t read; /* how much of what it wrote the process has */
};

static struct client clients[CLIENTS];
static uint32_t next_channel;
static uint64_t rng;

static uint64_t rnd(uint64_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % below;
}

/* The byte that a client types at an offset: it names the client. */
static uint8_t typed(unsigned who, uint64_t offset)
{
    return (uint8_t)(who << 6 | (offset * 7 + (offset >> 5) * 3) % 64);
}

static void drop_channel(struct client *c)
{
    c->channel = 0;
    c->asked = false;
}

/* The agent's link is lost: every channel with it, and what was on its way. */
static void lose_link(void)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        drop_channel(&clients[i]);
    }
    tx_lost(&tx);
}

static void ask(unsigned who)
{
    struct client *c = &clients[who];
    struct rt_attach_msg msg;
    if (c->known) {
        msg = tx_resume((uint8_t)(who + 1), ++c->try_no, &c->rx[0], &c->rx[1], c->acked, c->head);
    } else {
        msg = tx_new((uint8_t)(who + 1), ++c->try_no);
        msg.hold = c->hold;
        msg.from = who % 2 ? RT_FROM_OLDEST : RT_FROM_NOW;
    }
    c->channel = ++next_channel;
    c->asked = true;
    c->fixed = c->known;
    tx_attach(&tx, c->channel, &msg);
}

/* ---- what the tether sent ---- */

static void on_attached(struct client *c, const struct tx_frame *f)
{
    struct rt_attached_msg msg;
    tx_decode(f, RT_MSG_ATTACHED, &msg);
    assert_true(c->asked);
    for (unsigned s = 0; s < 2; s++) {
        if (!c->known) {
            c->rx[s] = tx_rx(msg.out[s].c);
        }
        assert_int_equal(msg.out[s].c, c->rx[s].next);
        c->got[s] = c->rx[s];
        c->got[s].limit = c->rx[s].next + TX_INITIAL;
        c->runs[s] = 0;
    }
    assert_true(msg.in[0].a >= c->acked && msg.in[0].a <= c->head);
    assert_int_equal(msg.in[0].a, c->read);
    c->sent = msg.in[0].a;
    c->limit = c->sent + TX_INITIAL;
    c->known = true;
    c->asked = c->fixed = false;
}

static void on_output(struct client *c, const struct tx_frame *f)
{
    unsigned s = f->head.stream - RT_STDOUT;
    struct tx_rx *got = &c->got[s];
    uint64_t from = got->next;
    assert_int_equal(f->head.offset, from);
    if (f->head.type == RT_GAP) {
        got->next = rt_get_u64(f->payload);
        assert_true(got->next > from && got->next <= tx.written[0][s]);
    } else {
        got->next += f->head.length;
        assert_true(got->next <= got->limit);
        for (uint32_t k = 0; k < f->head.length; k++) {
            if (f->payload[k] != tx_byte(f->head.stream, from + k)) {
                fail_msg("a wrong byte at %llu", (unsigned long long)(from + k));
            }
        }
    }
    assert_true(c->runs[s] < 512);
    c->run[s][c->runs[s]].from = from;
    c->run[s][c->runs[s]].to = got->next;
    c->run[s][c->runs[s]++].gap = f->head.type == RT_GAP;
}

static void on_ack(unsigned who, const struct tx_frame *f)
{
    struct client *c = &clients[who];
    uint64_t limit = rt_get_u64(f->payload);
    assert_true(f->head.offset >= c->acked && f->head.offset <= c->sent);
    while (c->acked < f->head.offset) {
        uint8_t piece[64];
        size_t n = 0;
        while (n < sizeof(piece) && c->acked < f->head.offset) {
            piece[n++] = typed(who, c->acked++);
        }
        rt_digest_extend(&c->typed, piece, n);
    }
    assert_int_equal(rt_get_u64(f->payload + 8), rt_digest_value(&c->typed));
    assert_true(limit >= c->limit);
    c->limit = limit;
}

/* One call's worth of output; `lost`: it never arrives. */
static void take(bool lost)
{
    tx_next(&tx);
    tx.out_size = rt_tether_output(tx.tether, tx.out, TX_CAP - rnd(TX_CAP / 2), tx.now);
    tx_parse(&tx);
    for (size_t i = 0; i < tx.n_frames && !lost; i++) {
        const struct tx_frame *f = &tx.frames[i];
        for (unsigned who = 0; who < CLIENTS; who++) {
            struct client *c = &clients[who];
            if (f->head.channel == 0 || f->head.channel != c->channel) {
                continue;
            }
            if (f->head.type == RT_REFUSE) {
                struct rt_refuse_msg msg;
                tx_decode(f, RT_MSG_REFUSE, &msg);
                fail_msg("an honest client is refused: class %llu, stream %llu, at %llu, got %llu, %.*s",
                         (unsigned long long)msg.c, (unsigned long long)msg.s, (unsigned long long)msg.at,
                         (unsigned long long)msg.got, (int)msg.m.size, (const char *)msg.m.data);
            }
            if (f->head.type == RT_ATTACHED) {
                on_attached(c, f);
            } else if (f->head.type == RT_ACK && f->head.stream == RT_STDIN) {
                on_ack(who, f);
            } else if ((f->head.type == RT_DATA || f->head.type == RT_GAP) && f->head.stream <= RT_STDERR) {
                on_output(c, f);
            }
        }
    }
}

/* ---- what clients do ---- */

/* Consumes some of what came, also when its channel is gone by now; not while a resume is under way. */
static void consume(struct client *c)
{
    if (!c->known || c->fixed) {
        return;
    }
    for (unsigned s = 0; s < 2; s++) {
        struct tx_rx *rx = &c->rx[s];
        size_t n = c->runs[s] > 0 ? rnd(c->runs[s]) + 1 : 0, done = 0;
        for (; done < n; done++) {
            uint64_t to = c->run[s][done].to;
            assert_int_equal(c->run[s][done].from, rx->next);
            if (c->run[s][done].gap) {
                rx->from = rx->next = to;
            } else if (rnd(4) == 0 && to - rx->next > 1) { /* a part */
                rx->next += rnd(to - rx->next);
                c->run[s][done].from = rx->next;
                break;
            } else {
                rx->next = to;
            }
        }
        c->runs[s] -= done;
        memmove(c->run[s], c->run[s] + done, c->runs[s] * sizeof(c->run[s][0]));
    }
}

static void acknowledge(struct client *c)
{
    for (unsigned s = 0; s < 2 && c->channel && !c->asked; s++) {
        uint64_t limit = c->got[s].next + rnd(60000);
        if (limit > c->got[s].limit) {
            c->got[s].limit = limit;
        }
        tx_ack_raw(&tx, c->channel, RT_STDOUT + s, c->rx[s].next, limit,
                   tx_digest(RT_STDOUT + s, c->rx[s].from, c->rx[s].next), 0);
    }
}

static void write_input(unsigned who)
{
    struct client *c = &clients[who];
    static uint8_t bytes[4096];
    uint64_t n = rnd(300);
    c->head += n;
    while (c->channel && !c->asked && c->sent < c->head && c->sent < c->limit) {
        n = c->head - c->sent;
        n = n < c->limit - c->sent ? n : c->limit - c->sent;
        n = n < sizeof(bytes) ? n : sizeof(bytes);
        for (uint64_t k = 0; k < n; k++) {
            bytes[k] = typed(who, c->sent + k);
        }
        tx_data(&tx, c->channel, RT_STDIN, c->sent, bytes, n);
        c->sent += n;
    }
}

static void process_reads(void)
{
    static uint8_t buf[4000];
    size_t n = tx_read(&tx, 0, buf, rnd(sizeof(buf)));
    for (size_t i = 0; i < n; i++) {
        struct client *c = &clients[buf[i] >> 6];
        assert_int_equal(buf[i], typed(buf[i] >> 6, c->read));
        c->read++;
        assert_true(c->read <= c->head);
    }
}

static void step(void)
{
    unsigned who = (unsigned)rnd(CLIENTS);
    struct client *c = &clients[who];
    struct rt_refuse_msg gone = {.c = RT_CLASS_LOST};
    switch (rnd(24)) {
    case 0:
        if (tx.up) {
            lose_link();
        }
        break;
    case 1: /* one channel is lost; sometimes the guest is not told */
        if (c->channel && rnd(2)) {
            tx_refuse(&tx, c->channel, &gone);
        }
        drop_channel(c);
        break;
    case 2:
    case 3:
        if (tx.up && !c->channel) {
            ask(who);
        }
        break;
    case 4:
        take(true);
        if (tx.up) {
            lose_link();
        }
        break;
    case 5:
    case 6:
    case 7:
        (void)tx_produce(&tx, 0, RT_STDOUT + (unsigned)rnd(2), rnd(rnd(8) ? 3000 : 2 * TX_RING));
        break;
    case 8:
    case 9:
    case 10:
        consume(c);
        break;
    case 11:
    case 12:
        acknowledge(c);
        break;
    case 13:
    case 14:
        write_input(who);
        break;
    case 15:
    case 16:
        process_reads();
        break;
    case 17:
        tx_run(&tx, rnd(rnd(4) ? 20 : 3000), true);
        break;
    default:
        take(false);
        break;
    }
    if (!tx.up) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            drop_channel(&clients[i]);
        }
        if (!tx.dialing && rnd(3) == 0) {
            tx_run(&tx, 600, false);
        }
        if (tx.dialing && rnd(3) == 0) {
            tx_up(&tx);
        }
    }
}

/* The faults stop: everybody gets the rest, and the process too. */
static void settle(void)
{
    if (tx.up) {
        lose_link();
    }
    tx_run(&tx, tx.dialing ? 0 : 600, false);
    tx_up(&tx);
    for (unsigned i = 0; i < CLIENTS; i++) {
        ask(i);
    }
    for (unsigned round = 0; round < 200; round++) {
        take(false);
        for (unsigned i = 0; i < CLIENTS; i++) {
            for (unsigned k = 0; k < 100; k++) {
                consume(&clients[i]);
            }
            acknowledge(&clients[i]);
            write_input(i);
        }
        process_reads();
        process_reads();
        tx_run(&tx, RT_ACK_DELAY_MS, true);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &clients[i];
        assert_int_equal(c->rx[0].next, tx.written[0][0]);
        assert_int_equal(c->rx[1].next, tx.written[0][1]);
        assert_true(c->head - c->acked < 3000); /* all but the newest */
    }
}

static void walk(uint64_t seed)
{
    rng = seed * 0x9e3779b97f4a7c15U | 1;
    memset(clients, 0, sizeof(clients));
    next_channel = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    tx_live(&tx, NULL);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].hold = i == 0 ? 0 : rnd(3) * 2000;
        rt_digest_start(&clients[i].typed, 0);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step();
    }
    settle();
    tx_close(&tx);
}

static void test_random_walks(void **state)
{
    (void)state;
    const char *seed = getenv("RT_TEST_SEED");
    if (seed != NULL) {
        walk(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 1; i <= SEEDS; i++) {
        walk(i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_walks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
