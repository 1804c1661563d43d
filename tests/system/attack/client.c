/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "session/core/msg_stream.h"
#include "tests/system/agent/daemon.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/honest.h"
#include "tests/system/attack/rogue.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Clients of the right tenant, attached to the honest container too, that ask for too much or break the rules. */

#define CHANNELS 100000
/* Of one link at a time; what is above is refused. */
#define CHANNELS_AT_ONCE 4096
#define STORM_LINKS 32
#define STORM_EACH 12
#define EXECS 80
#define ITEMS 20000
#define BURST 4
/* What may wait for a peer that reads nothing, and is not more for any other. */
#define WAITING_MAX ((size_t)48 << 20)
#define LISTS 20000

/* Attached to the honest container from now on, holding nothing; where its stdout begins. */
static uint64_t attached(struct peer *client, uint32_t channel, unsigned want)
{
    struct rt_attach_msg msg = {.cid = rt_slice_text(HONEST_CID), .make = true, .want = want, .from = RT_FROM_NOW};
    struct rt_attached_msg answer;
    struct rt_frame frame;
    const uint8_t *payload;
    char why[RT_TEXT_MAX];

    attack_attach(client, channel, &msg);
    payload = attack_next(client, ATTACK_TYPE(RT_ATTACHED), &frame);
    assert_non_null(payload);
    assert_int_equal(frame.channel, channel);
    assert_int_equal(rt_msg_decode(RT_MSG_ATTACHED, payload, frame.length, &answer, why, sizeof(why)), 0);
    return answer.out[0].c;
}

static void detach(struct peer *client, uint32_t channel)
{
    struct rt_frame frame = {.type = RT_DETACH, .channel = channel};

    peer_send(client, &frame, NULL);
}

void attack_ack_beyond(void)
{
    static const uint64_t beyond[] = {1, UINT64_C(1) << 40};
    struct peer client;

    attack_client(&client, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t from = attached(&client, i + 1, 1U << RT_STDOUT);
        struct rt_frame frame;
        int cls;

        /* else the agent may take the ACK for where the stream begins, and the first DATA for a JUMP */
        assert_non_null(attack_next(&client, ATTACK_TYPE(RT_DATA), &frame));
        /* it has had 1,024 bytes at most */
        attack_credit(&client, i + 1, RT_STDOUT, from + RT_INITIAL_CREDIT + beyond[i], RT_COUNTER_MAX - 1);
        cls = attack_refused(&client, i + 1);
        attack_saw("%s: its attachment is gone", attack_class(cls));
        assert_int_equal(cls, RT_CLASS_REWOUND);
    }
    assert_true(attack_alive(&client));
    attack_close(&client);
}

void attack_channel_again(void)
{
    static const uint32_t again[] = {7, 3, 0};

    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
        struct rt_attach_msg msg = {.cid = rt_slice_text(HONEST_CID), .make = true, .want = 2};
        struct peer client;
        int cls;

        attack_client(&client, NULL);
        (void)attached(&client, 7, 1U << RT_STDOUT);
        attack_attach(&client, again[i], &msg);
        cls = attack_refused(&client, 0);
        attack_saw("%s", attack_class(cls));
        assert_int_equal(cls, RT_CLASS_PROTOCOL);
        attack_close(&client);
    }
}

/* ---- storms ---- */

/* Counts what comes by class, OK for ATTACHED, until so many answers are there. */
static void collect(struct peer *client, unsigned answers, unsigned by_class[RT_CLASSES])
{
    while (answers-- > 0) {
        struct rt_frame frame;

        assert_non_null(attack_next(client, ATTACK_TYPE(RT_ATTACHED) | ATTACK_TYPE(RT_REFUSE), &frame));
        assert_int_not_equal(frame.channel, 0);
        if (frame.type == RT_ATTACHED) {
            by_class[RT_CLASS_OK]++;
            continue;
        }
        client->used -= RT_FRAME_HEADER + (size_t)frame.length;
        int cls = attack_refused(client, frame.channel);
        assert_in_range(cls, 0, RT_CLASSES - 1);
        by_class[cls]++;
    }
}

static void say_classes(const unsigned by_class[RT_CLASSES])
{
    for (unsigned i = 0; i < RT_CLASSES; i++) {
        if (by_class[i] > 0) {
            attack_saw("%u %s", by_class[i], i == 0 ? "attached" : rt_class_name(i));
        }
    }
}

/* More attachments than the container has, and more commands. */
void attack_attach_storm(void)
{
    static struct peer clients[STORM_LINKS];
    struct rt_attach_msg msg = {.cid = rt_slice_text(HONEST_CID), .make = true, .want = 1U << RT_STDOUT};
    unsigned by_class[RT_CLASSES] = {0}, execs[RT_CLASSES] = {0};

    msg.from = RT_FROM_NOW;
    for (unsigned i = 0; i < STORM_LINKS; i++) {
        attack_client(&clients[i], i % 2 == 0 ? NULL : "vch");
        for (uint32_t k = 1; k <= STORM_EACH; k++) {
            struct rt_attach_msg one = msg;
            attack_attach(&clients[i], k, &one);
        }
    }
    for (unsigned i = 0; i < STORM_LINKS; i++) {
        collect(&clients[i], STORM_EACH, by_class);
    }
    say_classes(by_class);
    assert_true(by_class[RT_CLASS_OK] <= RT_ATTS_MAX && by_class[RT_CLASS_LIMIT] > 0);
    for (unsigned i = 0; i < STORM_LINKS; i++) {
        for (uint32_t k = 1; k <= STORM_EACH; k++) {
            detach(&clients[i], k);
        }
        assert_true(attack_alive(&clients[i]));
        attack_close(&clients[i]);
    }
    attack_client(&clients[0], NULL);
    for (uint32_t k = 1; k <= EXECS; k++) {
        struct rt_attach_msg one = msg;
        one.exec = true;
        one.want |= 1U << RT_CONTROL_DOWN;
        attack_attach(&clients[0], k, &one);
    }
    collect(&clients[0], EXECS, execs);
    attack_saw("commands:");
    say_classes(execs);
    assert_true(execs[RT_CLASS_OK] < RT_PROCS_MAX && execs[RT_CLASS_LIMIT] > 0);
    for (uint32_t k = 1; k <= EXECS; k++) {
        detach(&clients[0], k);
    }
    assert_true(attack_alive(&clients[0]));
    attack_close(&clients[0]);
}

/* Takes what has come, and counts refusals of channels. */
static unsigned take_refusals(struct peer *client)
{
    struct rt_frame frame;
    unsigned n = 0;

    peer_read(client, 0);
    while (peer_frame(client, &frame) != NULL) {
        assert_false(frame.type == RT_REFUSE && frame.channel == 0);
        n += frame.type == RT_REFUSE;
    }
    assert_false(client->eof);
    return n;
}

/* Writes all, and reads meanwhile: who waits for room alone might wait for ever. */
static unsigned pour(struct peer *client, const uint8_t *data, size_t size)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    unsigned n = 0;

    while (size > 0) {
        attack_pass(0);
        ssize_t sent = send(client->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
            continue;
        }
        assert_true(errno == EAGAIN && rt_process_now_ms() < until);
        n += take_refusals(client);
        (void)poll(&(struct pollfd){.fd = client->fd, .events = POLLOUT | POLLIN}, 1, 50);
    }
    return n;
}

/* To a container whose guest answers none of them. */
void attack_channels(void)
{
    static uint8_t out[65536];
    struct rogue guest;
    struct peer client;
    uint8_t id[RT_ID_SIZE] = {0xcc};
    struct rt_attach_msg msg = {.make = true, .want = 31, .try_no = 1, .id = {id, sizeof(id)}, .wait = 10000};
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    unsigned refused = 0;
    size_t used = 0;

    rogue_start(&guest, "silent");
    msg.cid = rt_slice_text(guest.cid);
    attack_client(&client, NULL);
    for (uint32_t channel = 1; channel <= CHANNELS; channel++) {
        struct rt_frame frame = {.type = RT_ATTACH, .channel = channel};

        rt_put_u64(id + 8, channel);
        used += rt_msg_put(frame, RT_MSG_ATTACH, &msg, out + used, sizeof(out) - used);
        if (used > sizeof(out) - RT_SHORT_MAX || channel == CHANNELS) {
            refused += pour(&client, out, used);
            used = 0;
        }
    }
    while (refused < CHANNELS - CHANNELS_AT_ONCE) {
        assert_true(rt_process_now_ms() < until);
        attack_pass(0);
        (void)poll(&(struct pollfd){.fd = client.fd, .events = POLLIN}, 1, 50);
        refused += take_refusals(&client);
    }
    attack_saw("%u LIMIT", refused);
    assert_true(attack_alive(&client));
    assert_true(attack_alive(&guest.peer));
    attack_close(&client);
    assert_true(attack_alive(&guest.peer));
    rogue_close(&guest);
}

/* Items without end, in the largest frames, whatever the limit is, until the channel is refused. */
static int storm(struct peer *client, struct rt_frame data, const uint8_t *item, size_t size)
{
    static uint8_t burst[BURST * (RT_FRAME_HEADER + RT_FRAME_PAYLOAD_MAX)];
    struct rt_frame frame;

    data.length = (uint32_t)(RT_FRAME_PAYLOAD_MAX / size * size);
    do {
        size_t used = 0;

        for (unsigned i = 0; i < BURST; i++) {
            rt_frame_put(burst + used, &data);
            used += RT_FRAME_HEADER;
            for (uint32_t at = 0; at < data.length; at += (uint32_t)size, used += size) {
                memcpy(burst + used, item, size);
            }
            data.offset += data.length;
        }
        assert_true(peer_write(client, burst, used));
        frame = (struct rt_frame){.type = RT_PING, .offset = attack_number()};
        peer_send(client, &frame, NULL);
        assert_non_null(attack_next(client, ATTACK_TYPE(RT_PONG) | ATTACK_TYPE(RT_REFUSE), &frame));
    } while (frame.type == RT_PONG);
    client->used -= RT_FRAME_HEADER + (size_t)frame.length;
    return attack_refused(client, data.channel);
}

/* As many as it may, then more than that. */
void attack_items_of_a_client(void)
{
    uint8_t item[RT_ITEM_MAX];
    struct rt_down_item resize = {.t = RT_ITEM_RESIZE, .rows = 9, .cols = 9};
    struct rt_frame frame, data = {.type = RT_DATA, .channel = 1, .stream = RT_CONTROL_DOWN};
    struct peer client;
    int size = rt_msg_encode(RT_MSG_DOWN_ITEM, &resize, item + 2, sizeof(item) - 2), cls;
    uint64_t limit = RT_INITIAL_CREDIT;

    assert_in_range(size, 1, UINT8_MAX);
    item[0] = 0;
    item[1] = (uint8_t)size;
    data.length = (uint32_t)size + 2;
    attack_client(&client, NULL);
    (void)attached(&client, 1, 1U << RT_STDOUT | 1U << RT_CONTROL_DOWN);
    for (unsigned i = 0; i < ITEMS; i++) {
        while (data.offset + data.length > limit) {
            const uint8_t *ack = attack_next(&client, ATTACK_TYPE(RT_ACK) | ATTACK_TYPE(RT_REFUSE), &frame);

            assert_non_null(ack);
            assert_int_equal(frame.type, RT_ACK);
            limit = rt_get_u64(ack);
        }
        peer_send(&client, &data, item);
        data.offset += data.length;
    }
    cls = storm(&client, data, item, data.length);
    attack_saw("%u taken, then %s", ITEMS, attack_class(cls));
    assert_int_equal(cls, RT_CLASS_LIMIT);
    assert_true(attack_alive(&client));
    attack_close(&client);
}

/* ---- bombs ---- */

static void fill(uint8_t *out, size_t size, unsigned kind)
{
    static const uint8_t heads[][5] = {{0xdd, 0x05, 0xf5, 0xe1, 0x00}, {0xdf, 0xff, 0xff, 0xff, 0xff},
                                       {0xdd, 0x00, 0xff, 0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff},
                                       {0xc9, 0xff, 0xff, 0xff, 0xff}, {0x91, 0x91, 0x91, 0x91, 0x91},
                                       {0x81, 0xa1, 'c', 0x81, 0xa1},  {0xc0, 0xc0, 0xc0, 0xc0, 0xc0}};

    for (size_t i = 0; i < size; i++) {
        out[i] = heads[kind % 8][i % 5];
    }
}

void attack_bombs(void)
{
    static uint8_t bomb[RT_FRAME_PAYLOAD_MAX];
    struct rogue guest;
    struct peer client;
    struct rt_frame frame;

    attack_client(&client, NULL);
    rogue_start(&guest, "bomber");
    for (unsigned kind = 0; kind < 8; kind++) {
        fill(bomb, sizeof(bomb), kind);
        frame = (struct rt_frame){.type = RT_REQUEST, .offset = kind + 1, .length = RT_SHORT_MAX};
        peer_send(&client, &frame, bomb);
        assert_non_null(attack_next(&client, ATTACK_TYPE(RT_REPLY), &frame));
        frame = (struct rt_frame){.type = RT_ATTACH, .channel = kind + 1, .length = RT_SHORT_MAX};
        peer_send(&client, &frame, bomb);
        assert_int_equal(attack_refused(&client, kind + 1), RT_CLASS_INVALID);
        for (uint32_t channel = 1; channel < 20; channel++) {
            frame = (struct rt_frame){.type = RT_DATA, .channel = channel, .length = RT_FRAME_PAYLOAD_MAX};
            peer_send(&client, &frame, bomb);
        }
        frame = (struct rt_frame){.type = RT_REPORT, .length = RT_FRAME_PAYLOAD_MAX};
        peer_send(&guest.peer, &frame, bomb);
        assert_int_equal(attack_refused(&guest.peer, 0), RT_CLASS_PROTOCOL);
        rogue_again(&guest);
    }
    attack_saw("client: INVALID, its link goes on; guest: PROTOCOL");
    assert_true(attack_alive(&client));
    attack_close(&client);
    rogue_close(&guest);
}

/* ---- readers that do not read ---- */

static size_t rss(void)
{
    return daemon_rss(&(const struct daemon){.pid = harness.hosts[0].pid});
}

/* Asks for lists until nothing more is taken of it. */
static void ask_lists(struct peer *client)
{
    uint8_t ask[RT_FRAME_HEADER + 64];
    struct rt_request_msg list = {.op = rt_slice_text("list")};
    struct rt_frame frame = {.type = RT_REQUEST, .offset = 1};
    size_t size = rt_msg_put(frame, RT_MSG_REQUEST, &list, ask, sizeof(ask)), at = 0;

    for (unsigned i = 0; i < LISTS; i++) {
        ssize_t n = send(client->fd, ask + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n <= 0) {
            break;
        }
        at = (at + (size_t)n) % size;
    }
}

/* It is attached to a guest of its own, which says what its limit allows, and to the honest container, and says that it
 * takes all; then it reads nothing. */
static void stop_reading(struct rogue *guest, struct peer *client, const char *certificates, const char *cid)
{
    static uint8_t zeros[RT_FRAME_PAYLOAD_MAX];
    struct rt_frame data = {.type = RT_DATA, .stream = RT_STDOUT}, ack;
    uint64_t limit = RT_INITIAL_CREDIT;
    const uint8_t *payload;

    rogue_start(guest, cid);
    attack_client(client, certificates);
    data.channel = rogue_attached(guest, client, 1, 1U << RT_STDOUT);
    uint64_t from = attached(client, 2, 1U << RT_STDOUT);
    attack_neglect(client);
    attack_credit(client, 2, RT_STDOUT, from, RT_COUNTER_MAX - 1);
    attack_credit(client, 1, RT_STDOUT, 0, RT_COUNTER_MAX - 1);
    payload = attack_next(&guest->peer, ATTACK_TYPE(RT_ACK), &ack);
    assert_non_null(payload);
    limit = rt_get_u64(payload);
    while (data.offset < limit && data.offset < (UINT64_C(1) << 28)) {
        struct rt_frame frame;

        data.length = (uint32_t)(limit - data.offset < sizeof(zeros) ? limit - data.offset : sizeof(zeros));
        peer_send(&guest->peer, &data, zeros);
        data.offset += data.length;
        peer_read(&guest->peer, data.offset == limit ? 200 : 0);
        while ((payload = peer_frame(&guest->peer, &frame)) != NULL) {
            limit = frame.type == RT_ACK && rt_get_u64(payload) > limit ? rt_get_u64(payload) : limit;
            data.offset = frame.type == RT_REFUSE ? limit : data.offset;
        }
    }
    if (certificates == NULL) {
        ask_lists(client);
    }
}

/* What the agent sent before it gave this peer up; as nothing is answered, it does. */
static size_t drain_until_closed(struct peer *peer)
{
    static uint8_t room[65536];
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    size_t size = 0;

    for (;;) {
        ssize_t n = recv(peer->fd, room, sizeof(room), MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            return size;
        }
        assert_true(rt_process_now_ms() < until);
        size += n > 0 ? (size_t)n : 0;
        if (n < 0 || size % (8 << 20) < sizeof(room)) {
            attack_pass(200);
        }
    }
}

void attack_never_reads(void)
{
    struct rogue guests[2];
    struct peer clients[2];
    size_t before = rss(), most = before;
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct pollfd gone;

    stop_reading(&guests[0], &clients[0], NULL, "unread-1");
    stop_reading(&guests[1], &clients[1], "vch", "unread-2");
    gone = (struct pollfd){.fd = clients[0].fd};
    while (poll(&gone, 1, 20) == 0) {
        most = rss() > most ? rss() : most;
        assert_true(rt_process_now_ms() < until);
        assert_true(attack_alive(&guests[0].peer) && attack_alive(&guests[1].peer));
    }
    (void)drain_until_closed(&clients[1]);
    attack_saw("closed: it answered no ping; %zu KiB waited for it", (most - before) >> 10);
    assert_true(most < before + WAITING_MAX);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(attack_alive(&guests[i].peer));
        attack_close(&clients[i]);
        rogue_close(&guests[i]);
    }
}
