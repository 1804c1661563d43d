/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/relay.h"
#include "tests/unit/session_tls/tls_end.h"

#include <sys/socket.h>

/* Links over TLS: what goes through, and what becomes of it when the line is bad. */

#define MESSAGE 3000
/* More than the bytes by which the length of a handshake may differ. */
#define SIGNATURE_VARIES 16

/* Turns in which nothing has come: then nothing will, as all is in this process. */
#define IDLE_MAX 1000

/* The line is also cut when nothing comes any more: how long a handshake is differs by a few bytes, with its
 * signatures, and so may what was changed in one. */
static void run_relay(struct world *world, struct relay *relay, const bool *until)
{
    for (int idle = 0; !*until; idle++) {
        if (relay_turn(relay)) {
            idle = 0;
        } else if (idle == IDLE_MAX) {
            relay_cut(relay);
        }
        assert_true(idle < 2 * IDLE_MAX);
        (void)uv_run(&world->fixture->loop, UV_RUN_NOWAIT);
    }
}

static void fill(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = byte_at(i);
    }
}

/* Frames there and back, begun with before the handshake. */
static void echo(struct fixture *fixture, bool tcp)
{
    struct world world;
    struct secure client = {.end = {.whole_frames = true, .want = 3 * MIB}}, agent = {.end.echo = true};
    size_t bytes;
    uint8_t *stream = make_frames(3 * MIB, 60000, &bytes);
    int fds[2];

    world_open(&world, fixture);
    (tcp ? tcp_pair_of : pair_of)(fds);
    open_secure(&world, &client, fds[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
    open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
    for (size_t at = 0; at < bytes;) {
        size_t size = bytes - at < 100001 ? bytes - at : 100001;
        write_out(&client, stream + at, size);
        at += size;
    }
    assert_int_equal(rt_link_queued(&client.end.link), bytes);
    assert_int_equal(rt_link_sent_total(&client.end.link), 0);
    fixture_run(fixture, &client.end.got_all);
    assert_int_equal(client.end.seen, 3 * MIB);
    assert_int_equal(client.seen_then + agent.seen_then, 0);
    assert_int_equal(client.readies + agent.readies, 2);
    assert_int_equal(rt_link_sent_total(&client.end.link), bytes);
    assert_int_equal(rt_link_queued(&client.end.link), 0);
    assert_true(client.end.drains > 0);
    close_both(&world, &client, &agent);
    assert_string_equal(agent.end.text, "closed by the peer");
    (void)remove(in_dir(fixture, "ca.pem"));
    world_close(&world);
    free(stream);
}

static void test_echo(void **state)
{
    echo(*state, false);
    echo(*state, true);
}

/* Both write as much as a queue takes, and neither is read before: all of it comes, whoever has to wait. */
static void test_back_pressure(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct secure ends[2] = {{.end = {.whole_frames = true, .want = 24 * MIB}},
                             {.end = {.whole_frames = true, .want = 24 * MIB}}};
    size_t bytes;
    uint8_t *stream = make_frames(24 * MIB, 65000, &bytes);
    int fds[2];

    world_open(&world, fixture);
    tcp_pair_of(fds);
    open_secure(&world, &ends[0], fds[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
    open_secure(&world, &ends[1], fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
    for (int i = 0; i < 2; i++) {
        write_out(&ends[i], stream, bytes / 2); /* one piece of many records */
        for (size_t at = bytes / 2; at < bytes;) {
            size_t size = bytes - at < 777 ? bytes - at : 777; /* and many pieces of one */
            write_out(&ends[i], stream + at, size);
            at += size;
        }
        assert_int_equal(rt_link_queued(&ends[i].end.link), bytes);
    }
    shake_hands(&world, &ends[0], &ends[1]);
    while (!ends[0].end.got_all || !ends[1].end.got_all) {
        for (int i = 0; i < 2; i++) {
            assert_true(rt_link_queued(&ends[i].end.link) <= bytes);
        }
        (void)uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ends[i].end.seen, 24 * MIB);
    }
    close_both(&world, &ends[0], &ends[1]);
    world_close(&world);
    free(stream);
}

/* Who does not read holds the other up, and nothing is lost. */
static void test_slow_reader(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct secure client = {0}, agent = {0};
    struct relay relay;
    size_t bytes, unsent;
    uint8_t *stream = make_frames(4 * MIB, 50000, &bytes);

    world_open(&world, fixture);
    relay_open(&relay, 4096);
    client.end.whole_frames = agent.end.whole_frames = true;
    agent.end.want = 4 * MIB;
    open_secure(&world, &client, relay.ends[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
    open_secure(&world, &agent, relay.ends[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
    run_relay(&world, &relay, &client.ready);
    write_out(&client, stream, bytes);
    turn(fixture);
    unsent = rt_link_queued(&client.end.link);
    assert_true(unsent > MIB && unsent <= bytes);
    turn(fixture);
    assert_int_equal(rt_link_queued(&client.end.link), unsent);
    assert_true(rt_link_unread(&client.end.link) > 0);
    run_relay(&world, &relay, &agent.end.got_all);
    turn(fixture);
    assert_int_equal(rt_link_queued(&client.end.link), 0);
    close_end(fixture, &client.end);
    run_relay(&world, &relay, &agent.end.closed);
    assert_string_equal(agent.end.text, "closed by the peer");
    relay_cut(&relay);
    world_close(&world);
    free(stream);
}

/* A byte at a time, both ways. */
static void test_trickle(void **state)
{
    struct world world;
    struct secure client = {.end.want = MESSAGE}, agent = {.end.echo = true};
    struct relay relay;
    uint8_t bytes[MESSAGE];

    world_open(&world, *state);
    relay_open(&relay, 1);
    fill(bytes, sizeof(bytes));
    open_secure(&world, &client, relay.ends[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
    open_secure(&world, &agent, relay.ends[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
    write_out(&client, bytes, sizeof(bytes));
    run_relay(&world, &relay, &client.end.got_all);
    assert_int_equal(client.end.seen, MESSAGE);
    close_end(*state, &client.end);
    run_relay(&world, &relay, &agent.end.closed);
    assert_string_equal(agent.end.text, "closed by the peer");
    relay_cut(&relay);
    world_close(&world);
}

/* How many bytes a connection takes each way, a MESSAGE from the client included. */
static void measure(struct world *world, size_t handshake[2], size_t all[2])
{
    struct secure client = {0}, agent = {.end.want = MESSAGE};
    struct relay relay;
    uint8_t bytes[MESSAGE];

    relay_open(&relay, 4096);
    fill(bytes, sizeof(bytes));
    open_secure(world, &client, relay.ends[0], &world->client, RT_WIRE_DIALLED, AGENT_URI);
    open_secure(world, &agent, relay.ends[1], &world->agent, RT_WIRE_ACCEPTED, NULL);
    run_relay(world, &relay, &agent.ready);
    memcpy(handshake, relay.moved, sizeof(relay.moved));
    write_out(&client, bytes, sizeof(bytes));
    run_relay(world, &relay, &agent.end.got_all);
    memcpy(all, relay.moved, sizeof(relay.moved));
    close_end(world->fixture, &client.end);
    run_relay(world, &relay, &agent.end.closed);
    relay_cut(&relay);
}

/* The line is cut once so many bytes have gone one way: nobody takes it for an end that the peer wanted. */
static void cut(struct world *world, int way, size_t at, size_t handshake)
{
    struct secure client = {0}, agent = {0};
    struct relay relay;
    uint8_t bytes[MESSAGE];

    relay_open(&relay, 4096);
    relay.cut_at[way] = at;
    fill(bytes, sizeof(bytes));
    open_secure(world, &client, relay.ends[0], &world->client, RT_WIRE_DIALLED, AGENT_URI);
    open_secure(world, &agent, relay.ends[1], &world->agent, RT_WIRE_ACCEPTED, NULL);
    write_out(&client, bytes, sizeof(bytes));
    run_relay(world, &relay, &client.end.closed);
    run_relay(world, &relay, &agent.end.closed);
    assert_int_equal(client.end.reason, RT_ECONN);
    assert_int_equal(agent.end.reason, RT_ECONN);
    if (strncmp(agent.end.text, agent.ready ? "cut off: " : "handshake: cut off: ", agent.ready ? 9 : 20) != 0) {
        fail_msg("cut at %zu of way %d: %s", at, way, agent.end.text);
    }
    if (way == 0 && at + SIGNATURE_VARIES < handshake) {
        assert_false(agent.ready);
    }
    assert_true(strcmp(client.end.text, "closed by the peer") != 0);
    assert_true(agent.end.seen <= MESSAGE);
}

static void test_cut(void **state)
{
    struct world world;
    size_t handshake[2], all[2];

    world_open(&world, *state);
    measure(&world, handshake, all);
    for (int way = 0; way < 2; way++) {
        for (size_t at = 0; at < all[way]; at += at < 8 || all[way] - at < 24 ? 1 : 23) {
            cut(&world, way, at, handshake[way]);
        }
    }
    world_close(&world);
}

/* One changed bit anywhere: the wire ends, and not one byte too many came. */
static void test_changed(void **state)
{
    struct world world;
    size_t handshake[2], all[2];

    world_open(&world, *state);
    measure(&world, handshake, all);
    for (size_t at = 0; at + SIGNATURE_VARIES < all[0]; at += 41) {
        struct secure client = {0}, agent = {0};
        struct relay relay;
        uint8_t bytes[MESSAGE];

        relay_open(&relay, 4096);
        relay.flip_at[0] = at;
        fill(bytes, sizeof(bytes));
        open_secure(&world, &client, relay.ends[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
        open_secure(&world, &agent, relay.ends[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
        write_out(&client, bytes, sizeof(bytes));
        run_relay(&world, &relay, &agent.end.closed);
        run_relay(&world, &relay, &client.end.closed);
        assert_true(at >= handshake[0] || agent.end.seen == 0);
        assert_true(agent.end.seen < MESSAGE);
        assert_true(strcmp(agent.end.text, "closed by the peer") != 0);
    }
    world_close(&world);
}

/* A link that ends with words to say: they go out, then that it ends; what comes meanwhile is not taken. */
static void test_last_words(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct secure client = {0}, agent = {.end = {.whole_frames = true, .want = MIB}};
    size_t bytes;
    uint8_t *stream = make_frames(MIB, 50000, &bytes);

    world_open(&world, fixture);
    open_both(&world, &client, &agent, AGENT_URI);
    shake_hands(&world, &client, &agent);
    write_out(&client, stream, bytes);
    rt_link_close(&client.end.link, RT_LINK_AFTER, RT_ESTATE, "over");
    write_out(&agent, stream, 1000);
    fixture_run(fixture, &agent.end.got_all);
    fixture_run(fixture, &client.end.closed);
    fixture_run(fixture, &agent.end.closed);
    assert_int_equal(client.end.reason, RT_ESTATE);
    assert_int_equal(client.end.seen, 0);
    assert_string_equal(agent.end.text, "closed by the peer");
    (void)remove(in_dir(fixture, "ca.pem"));
    world_close(&world);
    free(stream);
}

/* A last word that was said before the handshake is done goes out behind it. */
static void test_last_word_first(void **state)
{
    struct world world;
    struct secure client = {0}, agent = {.end.want = 3};
    uint8_t bytes[3];

    world_open(&world, *state);
    fill(bytes, sizeof(bytes));
    open_both(&world, &client, &agent, AGENT_URI);
    write_out(&client, bytes, sizeof(bytes));
    rt_link_close(&client.end.link, RT_LINK_AFTER, RT_ESTATE, "over");
    fixture_run(*state, &agent.end.got_all);
    fixture_run(*state, &client.end.closed);
    fixture_run(*state, &agent.end.closed);
    assert_int_equal(client.readies, 0);
    assert_string_equal(agent.end.text, "closed by the peer");
    world_close(&world);
}

/* Whatever ends a link before its handshake is done. */
static void test_ends_in_handshake(void **state)
{
    enum { PEER_GOES, CLOSED_NOW, TIME_IS_UP, KINDS };
    static const int reasons[KINDS] = {RT_ECONN, RT_ECANCELED, RT_ETIMEDOUT};
    struct world world;

    world_open(&world, *state);
    for (int kind = 0; kind < 2 * KINDS; kind++) {
        struct secure end = {0};
        bool dials = kind >= KINDS;
        int fds[2];

        pair_of(fds);
        open_secure(&world, &end, fds[0], dials ? &world.client : &world.agent,
                    dials ? RT_WIRE_DIALLED : RT_WIRE_ACCEPTED, NULL);
        write_out(&end, "x", 1);
        turn(*state);
        if (kind % KINDS == PEER_GOES) {
            (void)shutdown(fds[1], SHUT_WR);
        } else if (kind % KINDS == CLOSED_NOW) {
            rt_link_close(&end.end.link, RT_LINK_NOW, RT_ECANCELED, "no more");
        } else {
            uv_timer_set_repeat(end.end.link.timer, 1); /* instead of waiting for it */
            assert_int_equal(uv_timer_again(end.end.link.timer), 0);
        }
        fixture_run(*state, &end.end.closed);
        assert_int_equal(end.end.reason, reasons[kind % KINDS]);
        assert_int_equal(end.end.closes, 1);
        (void)close(fds[1]);
    }
    world_close(&world);
}

static size_t close_at_once(struct rt_link *link, struct rt_buf *buf, uint8_t *data, size_t size)
{
    struct secure *secure = link->data;

    (void)buf;
    (void)data;
    secure->end.frames++;
    rt_link_close(link, RT_LINK_NOW, RT_EPROTO, "no");
    return size;
}

/* One read of the socket has many records; the link is closed in the first of its own. */
static void test_close_within_on_data(void **state)
{
    static const struct rt_link_ops closer = {.on_data = close_at_once, .on_close = on_close};
    static const uint8_t bytes[600000];
    struct world world;
    struct secure client = {0}, agent = {0};
    struct rt_link_setup setup = {.loop = &((struct fixture *)*state)->loop,
                                  .pool = &pool,
                                  .ops = &closer,
                                  .wire = {.ops = &rt_wire_tls, .context = &world.agent, .side = RT_WIRE_ACCEPTED}};
    int fds[2];

    world_open(&world, *state);
    pair_of(fds);
    open_secure(&world, &client, fds[0], &world.client, RT_WIRE_DIALLED, NULL);
    write_out(&client, bytes, sizeof(bytes));
    agent.end.link.data = &agent;
    assert_int_equal(rt_link_open(&agent.end.link, fds[1], &setup), 0);
    fixture_run(*state, &agent.end.closed);
    assert_int_equal(agent.end.frames, 1);
    assert_int_equal(agent.end.reason, RT_EPROTO);
    fixture_run(*state, &client.end.closed);
    world_close(&world);
}

/* Keys are changed under way, and records come that are empty: TLS's own business. */
static void test_key_update(void **state)
{
    struct world world;
    struct secure agent = {.end.echo = true};
    struct raw raw;
    uint8_t bytes[MESSAGE], back[MESSAGE];
    size_t got = 0;
    int fds[2];

    world_open(&world, *state);
    pair_of(fds);
    open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
    raw_open(&raw, fds[0], true);
    raw_use(&raw, *state, "client");
    fill(bytes, sizeof(bytes));
    for (int i = 0; i < 10000 && !agent.ready; i++) {
        (void)SSL_do_handshake(raw.ssl);
        turn(*state);
    }
    for (size_t at = 0; at < MESSAGE; at += 1000) {
        assert_int_equal(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_write(raw.ssl, bytes + at, 1000), 1000);
    }
    for (int i = 0; i < 10000 && got < MESSAGE; i++) {
        int n = SSL_read(raw.ssl, back + got, (int)(MESSAGE - got));
        got += n > 0 ? (size_t)n : 0;
        turn(*state);
    }
    assert_memory_equal(back, bytes, MESSAGE);
    (void)SSL_shutdown(raw.ssl);
    fixture_run(*state, &agent.end.closed);
    assert_string_equal(agent.end.text, "closed by the peer");
    raw_close(&raw);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_echo),
        TEST(test_back_pressure),
        TEST(test_slow_reader),
        TEST(test_trickle),
        TEST(test_cut),
        TEST(test_changed),
        TEST(test_last_words),
        TEST(test_last_word_first),
        TEST(test_ends_in_handshake),
        TEST(test_close_within_on_data),
        TEST(test_key_update),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
