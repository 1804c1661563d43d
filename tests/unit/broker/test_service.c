/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "broker/service.h"

#include "broker/core/link.h"
#include "broker/shell.h"
#include "tests/unit/broker/shell_fixture.h"
#include "tests/unit/session_transport/cipher_wire.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Services beside each other: one that reads what all count, and the sessions behind a wire with a handshake. */

static struct fx_peer one;
static struct rt_counter seen[RT_SHELL_COUNTERS_MAX];
static size_t n_seen;

/* ---- a service that only looks ---- */

static int open_reader(struct rt_shell *of)
{
    (void)of;
    return 0;
}

static bool accept_nobody(struct rt_shell *of, size_t port, int fd, const struct rt_comer *comer)
{
    (void)of, (void)port, (void)fd, (void)comer;
    return false;
}

static bool spare_nobody(struct rt_shell *of)
{
    (void)of;
    return false;
}

static size_t count_looks(struct rt_shell *of, struct rt_counter out[RT_SERVICE_COUNTERS_MAX])
{
    static uint64_t looks;

    (void)of;
    out[0] = (struct rt_counter){"looks", ++looks};
    return 1;
}

static void read_all(struct rt_shell *of)
{
    n_seen = rt_shell_counters(of, seen);
}

static void end_nothing(struct rt_shell *of)
{
    (void)of;
}

static const struct rt_service reader = {.name = "reader",
                                         .open = open_reader,
                                         .accept = accept_nobody,
                                         .spare = spare_nobody,
                                         .counters = count_looks,
                                         .beat = read_all,
                                         .stop = end_nothing,
                                         .close = end_nothing};

static const struct rt_counter *counter(const char *name)
{
    for (size_t i = 0; i < n_seen; i++) {
        if (strcmp(seen[i].name, name) == 0) {
            return &seen[i];
        }
    }
    return NULL;
}

static bool client_counted(void *ctx)
{
    (void)ctx;
    return counter("clients") != NULL && counter("clients")->value == 1;
}

/* A service that stands before the sessions reads theirs and its own. All are named as metrics are, once each. */
static void test_reads_all_counters(void **state)
{
    static const struct rt_service *const both[] = {&reader, &rt_sessions, NULL};

    (void)state;
    fx_services = both;
    fx_start();
    fx_client_up(&one);
    fx_until(client_counted, NULL);
    assert_non_null(counter("looks"));
    assert_non_null(counter("short_of_descriptors"));
    for (size_t i = 0; i < n_seen; i++) {
        assert_int_equal(strspn(seen[i].name, "abcdefghijklmnopqrstuvwxyz_0123456789"), strlen(seen[i].name));
        assert_true(seen[i].name[0] == '_' || (seen[i].name[0] >= 'a' && seen[i].name[0] <= 'z'));
        assert_ptr_equal(counter(seen[i].name), &seen[i]);
    }
    fx_close(&one);
    fx_stop(0);
}

/* ---- the sessions behind another wire ---- */

static struct cipher_context ours = {.number = 1};

static bool accept_ciphered(struct rt_shell *of, size_t port, int fd, const struct rt_comer *comer)
{
    struct rt_comer ciphered = *comer;

    ciphered.wire = (struct rt_wire_setup){.ops = &cipher_wire, .context = &ours, .side = RT_WIRE_ACCEPTED};
    return rt_sessions.accept(of, port, fd, &ciphered);
}

static const struct ag_link *newest(void)
{
    return rt_ag_link(shell.agent, RT_LIST_OF(shell.links.prev, struct rt_conn, node)->id);
}

static bool is_connected(void *ctx)
{
    (void)ctx;
    return rt_shell_connections(&shell) == 1;
}

static bool is_proved(void *ctx)
{
    (void)ctx;
    return newest()->state == AG_OPEN;
}

static bool has_header(void *ctx)
{
    ssize_t n = recv(one.fd, one.in + one.size, sizeof(one.in) - one.size, MSG_DONTWAIT);

    (void)ctx;
    one.size += n > 0 ? (size_t)n : 0;
    return one.size >= 2 + RT_FRAME_HEADER;
}

/* With a wire that has a handshake, the machine knows who is there from that; until then nothing goes either way. */
static void test_wire_with_a_handshake(void **state)
{
    static struct rt_service ciphered;
    static const struct rt_service *const alone[] = {&ciphered, NULL};
    uint8_t hello[RT_SHORT_MAX];
    size_t size = fx_hello(hello, sizeof(hello));
    struct rt_frame frame;

    (void)state;
    ciphered = rt_sessions;
    ciphered.accept = accept_ciphered;
    fx_services = alone;
    fx_start();
    (void)snprintf(shell.tls.domain, sizeof(shell.tls.domain), "lab");
    for (size_t i = 0; i < size; i++) {
        hello[i] ^= CIPHER_KEY;
    }
    fx_connect(&one, fx_client);
    fx_until(is_connected, NULL);
    fx_turn_for(20);
    assert_int_equal(newest()->state, AG_UNPROVED);
    fx_send(&one, (const uint8_t[]){CIPHER_MARK, 7}, 2);
    fx_until(is_proved, NULL);
    assert_string_equal(newest()->who, "peer-7");
    assert_int_equal(newest()->client->as, RT_CLIENT_VCH);
    fx_send(&one, hello, size);
    fx_until(has_header, NULL);
    for (size_t i = 2; i < one.size; i++) { /* behind the other side's handshake */
        one.in[i] ^= CIPHER_KEY;
    }
    rt_frame_get(one.in + 2, &frame);
    assert_int_equal(frame.type, RT_WELCOME);
    fx_close(&one);
    fx_connect(&one, fx_client); /* fails in its handshake, without a byte */
    fx_send(&one, "no", 2);
    fx_until_closed(&one);
    assert_int_equal(one.size, 0);
    fx_close(&one);
    fx_connect(&one, fx_client); /* stopped in the middle of it */
    fx_until(is_connected, NULL);
    fx_stop(0);
    fx_until_closed(&one);
    assert_int_equal(one.size, 0);
    fx_close(&one);
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, fx_setup, fx_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_DIR(test_reads_all_counters), WITH_DIR(test_wire_with_a_handshake)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
