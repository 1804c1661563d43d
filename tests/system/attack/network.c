/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/base/slice.h"
#include "tests/system/attack/cases.h"
#include "tests/system/attack/rogue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Who comes over the network and is not let in. */

#define LORIS_MAX 10000
/* Descriptors that this process needs besides. */
#define LORIS_SPARE 256
#define DAY 86400L
#define REVOKED_SERIAL 7070
/* More than an agent has in handshakes at a time. */
#define LORIS_OPEN_MAX 4096
/* Of each listener, at the end: so many in all that none gives way to another. */
#define LORIS_LAST 64

/* ---- certificates ---- */

#define URI(text)                                                                                                      \
    {                                                                                                                  \
        (const uint8_t *)(text), sizeof(text) - 1                                                                      \
    }
#define LOCAL ATTACK_DOMAIN "vch/local"

static const struct rt_slice crafted[] = {URI(ATTACK_DOMAIN "vch"),
                                          URI(ATTACK_DOMAIN "vch/"),
                                          URI(LOCAL "/"),
                                          URI(LOCAL "/x"),
                                          URI(ATTACK_DOMAIN "vch//local"),
                                          URI(ATTACK_DOMAIN "vch/lo%63al"),
                                          URI(ATTACK_DOMAIN "vch/../vch/local"),
                                          URI(ATTACK_DOMAIN "vch/."),
                                          URI(ATTACK_DOMAIN "vch/*"),
                                          URI(ATTACK_DOMAIN "vch/local local"),
                                          URI(ATTACK_DOMAIN "VCH/local"),
                                          URI(ATTACK_DOMAIN "root/local"),
                                          URI(ATTACK_DOMAIN "nobody/local"),
                                          URI(ATTACK_DOMAIN "operator/"),
                                          URI(ATTACK_DOMAIN "operator/local"),
                                          URI(ATTACK_DOMAIN "agent/h0"),
                                          URI(ATTACK_DOMAIN),
                                          URI(LOCAL "?operator"),
                                          URI(LOCAL "#operator"),
                                          URI(LOCAL "\n"),
                                          URI(LOCAL "\0"),
                                          URI(LOCAL "\0.example"),
                                          URI(LOCAL "\xff"),
                                          URI("spiffe://test.example/retether/vch/"
                                              "local-local-local-local-local-local-local-local-local-local-local"),
                                          URI("spiffe://test.example//retether/vch/local"),
                                          URI("spiffe://test.example/vch/local"),
                                          URI("spiffe://TEST.example/retether/vch/local"),
                                          URI("spiffe://test.example./retether/vch/local"),
                                          URI("spiffe://test.example:7401/retether/vch/local"),
                                          URI("spiffe://root@test.example/retether/vch/local"),
                                          URI("spiffe://sub.test.example/retether/vch/local"),
                                          URI("spiffe://test.example.far/retether/vch/local"),
                                          URI("spiffe:///retether/vch/local"),
                                          URI("spiffe:/test.example/retether/vch/local"),
                                          URI("https://test.example/retether/vch/local"),
                                          URI("retether/vch/local"),
                                          URI("")};

/* Nobody with it is welcomed. */
static void turned_away(const struct attack_certificate *certificate, unsigned *alerts, unsigned *refusals)
{
    struct peer peer;
    int cls;

    attack_issue(certificate);
    cls = attack_tls_hello(&peer, certificate->directory, false);
    if (cls == RT_CLASS_OK) {
        fail_msg("let in as \"%.*s\"", (int)certificate->uris[0].size, (const char *)certificate->uris[0].data);
    }
    *alerts += cls == ATTACK_CLOSED;
    *refusals += cls != ATTACK_CLOSED;
    peer_close(&peer);
}

void attack_crafted_names(void)
{
    const struct rt_slice local = URI(LOCAL), other = URI(ATTACK_DOMAIN "vch/other"),
                          chief = URI(ATTACK_DOMAIN "operator"), web = URI("https://test.example/");
    const struct attack_certificate several[] = {{.uris = {local, other}, .n_uris = 2},
                                                 {.uris = {local, chief}, .n_uris = 2},
                                                 {.uris = {local, local}, .n_uris = 2},
                                                 {.uris = {web, local}, .n_uris = 2},
                                                 {.uris = {local, web, chief}, .n_uris = 3},
                                                 {.n_uris = 0},
                                                 {.n_uris = 0, .dns = true}};
    unsigned alerts = 0, refusals = 0;

    for (size_t i = 0; i < sizeof(crafted) / sizeof(crafted[0]) + sizeof(several) / sizeof(several[0]); i++) {
        size_t at = i - sizeof(crafted) / sizeof(crafted[0]);
        struct attack_certificate one = {.uris = {crafted[0]}, .n_uris = 1};
        char name[32];

        if (i < sizeof(crafted) / sizeof(crafted[0])) {
            one.uris[0] = crafted[i];
        } else {
            one = several[at];
        }
        (void)snprintf(name, sizeof(name), "crafted-%zu", i);
        one.directory = attack_in(name);
        turned_away(&one, &alerts, &refusals);
    }
    attack_saw("%u closed in the handshake, %u refused", alerts, refusals);
}

void attack_other_certificates(void)
{
    const struct rt_slice local = URI(LOCAL), far = URI("spiffe://far.example/retether/vch/local");
    const struct attack_certificate wrong[] = {
        {.directory = attack_in("expired"), .uris = {local}, .n_uris = 1, .from_s = -2 * DAY, .until_s = -DAY},
        {.directory = attack_in("early"), .uris = {local}, .n_uris = 1, .from_s = DAY, .until_s = 2 * DAY},
        {.directory = attack_in("strange"), .uris = {local}, .n_uris = 1, .stranger = true},
        {.directory = attack_in("far"), .uris = {far}, .n_uris = 1}};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct peer peer;

        attack_issue(&wrong[i]);
        assert_int_equal(attack_tls_hello(&peer, wrong[i].directory, false), ATTACK_CLOSED);
        attack_saw("%s", peer.why);
        peer_close(&peer);
    }
}

/* An older version of TLS, with a good certificate; the right one, with none. */
void attack_other_tls(void)
{
    struct peer peer;

    assert_int_equal(attack_tls_hello(&peer, attack_in("vch"), true), ATTACK_CLOSED);
    attack_saw("%s", peer.why);
    peer_close(&peer);
    assert_int_equal(attack_tls_hello(&peer, NULL, false), ATTACK_CLOSED);
    attack_saw("%s", peer.why);
    peer_close(&peer);
}

/* One that is in, and whose certificate is revoked then: it is out, and does not come in again; others do. */
void attack_revoked(void)
{
    const struct rt_slice local = URI(LOCAL);
    const struct attack_certificate gone = {
        .directory = attack_in("gone"), .uris = {local}, .n_uris = 1, .serial = REVOKED_SERIAL};
    struct peer open, again, other;
    struct rt_frame frame;

    attack_issue(&gone);
    attack_client(&open, "gone");
    attack_revoke(REVOKED_SERIAL);
    assert_null(attack_next(&open, ATTACK_TYPE(RT_REPLY), &frame));
    attack_close(&open);
    assert_int_equal(attack_tls_hello(&again, attack_in("gone"), false), ATTACK_CLOSED);
    attack_saw("its open connection: closed; %s", again.why);
    peer_close(&again);
    attack_client(&other, "vch");
    assert_true(attack_alive(&other));
    attack_close(&other);
}

/* Who has a vch's certificate answers where an agent should: the real client says so, and leaves. */
void attack_no_agent(void)
{
    char cert[160], key[160], at[32], endpoint[64];
    const char *argv[] = {"openssl", "s_server", "-accept", at,      "-cert",      cert,     "-key",
                          key,       "-Verify",  "2",       "-alpn", "retether/1", "-quiet", NULL};
    unsigned port = rt_test_free_port();
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    struct rt_process_spec spec;
    struct rt_process_run run;
    bool told = false;
    pid_t pid;

    (void)snprintf(cert, sizeof(cert), "%s/cert.pem", attack_in("vch"));
    (void)snprintf(key, sizeof(key), "%s/key.pem", attack_in("vch"));
    (void)snprintf(at, sizeof(at), "127.0.0.1:%u", port);
    (void)snprintf(endpoint, sizeof(endpoint), "tls:127.0.0.1:%u", port);
    rt_process_spec_init(&spec, argv);
    pid = rt_process_start(&spec);
    assert_true(pid > 0);
    while (!told && rt_process_now_ms() < until) { /* it may not listen yet */
        const char *why;

        harness_cli(&run, NULL, 0, ARGS("ls", "--agent", endpoint, "--timeout", "2s", "--tls", attack_in("vch")));
        assert_int_equal(run.status, 125);
        assert_int_equal(run.status, 125);
        why = strstr(run.err, "vch/local answers there, which is no agent");
        told = why != NULL;
        if (told) {
            attack_saw("its client: %.*s", (int)strcspn(why, "\n"), why);
        }
        rt_process_run_free(&run);
    }
    rt_process_kill(pid);
    assert_true(told);
}

/* ---- connections that say nothing, or next to it ---- */

#define LISTENERS 4

static int loris_fds[LORIS_MAX];

/* A connection to one of the listeners of host 0. */
static int dial(unsigned which)
{
    const char *const listeners[LISTENERS] = {attack_guests(0), attack_clients(0), attack_tcp, attack_tls_tcp};
    struct peer peer;

    peer_open(&peer, listeners[which]);
    return peer.fd;
}

/* As many as this process may have. */
static unsigned loris_count(void)
{
    struct rlimit files;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    return files.rlim_cur > LORIS_MAX + LORIS_SPARE ? LORIS_MAX : (unsigned)files.rlim_cur - LORIS_SPARE;
}

/* Behind what it was told. */
static bool closed(int fd)
{
    char told[256];
    ssize_t n;

    do {
        n = recv(fd, told, sizeof(told), MSG_DONTWAIT);
    } while (n > 0);
    return n == 0 || errno != EAGAIN;
}

/* Says one byte more on every second one, and counts those that are still open. */
static unsigned drip(unsigned n, unsigned at)
{
    static const uint8_t hello[RT_FRAME_HEADER] = {0, 0, 0, 100, RT_HELLO}, tls[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc};
    unsigned open = 0;

    for (unsigned i = 0; i < n; i++) {
        if (closed(loris_fds[i])) {
            continue;
        }
        open++;
        if (i % (2 * LISTENERS) < LISTENERS) {
            (void)send(loris_fds[i],
                       i % LISTENERS == LISTENERS - 1 ? &tls[at % sizeof(tls)] : &hello[at % sizeof(hello)], 1,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
    return open;
}

/* Beside them whoever is honest comes in, as a client and as a guest. */
static void newcomers(void)
{
    struct rogue guest;
    struct peer client;
    char cid[32];

    (void)snprintf(cid, sizeof(cid), "newcomer-%llu", (unsigned long long)attack_number());
    rogue_start(&guest, cid);
    attack_client(&client, "vch");
    assert_true(attack_alive(&client) && attack_alive(&guest.peer));
    attack_close(&client);
    rogue_close(&guest);
}

static unsigned count_open(unsigned n)
{
    unsigned open = 0;

    for (unsigned i = 0; i < n; i++) {
        open += !closed(loris_fds[i]);
    }
    return open;
}

static void close_all(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        (void)close(loris_fds[i]);
    }
}

/* All on one listener, which stay as long as they may. Returns how many do, until they are too many. */
static unsigned crowd(unsigned listener, unsigned n)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    unsigned open;

    for (unsigned i = 0; i < n; i++) {
        loris_fds[i] = dial(listener);
        if (i == n / 2) {
            newcomers();
        }
    }
    newcomers();
    while ((open = count_open(n)) > LORIS_OPEN_MAX) {
        assert_true(rt_process_now_ms() < until);
        attack_pass(20);
    }
    close_all(n);
    return open;
}

/* First each listener for itself, as many as there can be. Then a few on each, which all have to go by themselves. */
void attack_slow_loris(void)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    unsigned n = loris_count(), left = LISTENERS * LORIS_LAST, open = left, at = 0;

    attack_saw("%u connections each; open at once:", n);
    for (unsigned listener = 0; listener < LISTENERS; listener++) {
        attack_saw("%u", crowd(listener, n));
    }
    for (unsigned i = 0; i < left; i++) {
        loris_fds[i] = dial(i % LISTENERS);
    }
    while (open > 0) {
        open = drip(left, at++);
        assert_true(rt_process_now_ms() < until);
        rt_process_sleep_ms(100);
    }
    attack_saw("%u more, all closed", left);
    close_all(left);
    newcomers();
}
