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

/* Who comes over the network and is not let in. No, wrong and revoked certificates, those of another CA or domain, TLS
 * 1.2 and a vch that poses as an agent: tests/system/cluster/test_tls.c. */

#define LORIS_MAX 10000
/* Descriptors that this process needs besides. */
#define LORIS_SPARE 256
#define DAY 86400L

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
    const struct rt_slice local = URI(LOCAL);
    const struct attack_certificate wrong[] = {
        {.directory = attack_in("expired"), .uris = {local}, .n_uris = 1, .from_s = -2 * DAY, .until_s = -DAY},
        {.directory = attack_in("early"), .uris = {local}, .n_uris = 1, .from_s = DAY, .until_s = 2 * DAY},
        {.directory = attack_in("strange"), .uris = {local}, .n_uris = 1, .stranger = true}};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct peer peer;

        attack_issue(&wrong[i]);
        assert_int_equal(attack_tls_hello(&peer, wrong[i].directory, false), ATTACK_CLOSED);
        attack_saw("%s", peer.why);
        peer_close(&peer);
    }
}

/* ---- connections that say nothing, or next to it ---- */

static int loris_fds[LORIS_MAX];

/* A connection to one of the four listeners of host 0, in turn. */
static int dial(unsigned which)
{
    const char *const listeners[] = {attack_guests(0), attack_clients(0), attack_tcp, attack_tls_tcp};
    struct peer peer;

    peer_open(&peer, listeners[which % 4]);
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

static bool closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* Says one byte more on every second one, and counts those that are still open. */
static unsigned drip(unsigned n, unsigned at)
{
    static const uint8_t hello[RT_FRAME_HEADER] = {0, 0, 0, 100, RT_HELLO}, tls[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc};
    unsigned open = 0;

    for (unsigned i = 0; i < n; i++) {
        char told[256];

        while (recv(loris_fds[i], told, sizeof(told), MSG_DONTWAIT) > 0) { /* before it is closed */
        }
        if (closed(loris_fds[i])) {
            continue;
        }
        open++;
        if (i % 8 < 4) {
            (void)send(loris_fds[i], i % 4 == 3 ? &tls[at % sizeof(tls)] : &hello[at % sizeof(hello)], 1,
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

void attack_slow_loris(void)
{
    uint64_t until = rt_process_now_ms() + HARNESS_LIMIT_MS;
    unsigned n = loris_count(), open = n;

    for (unsigned i = 0; i < n; i++) {
        loris_fds[i] = dial(i);
        if (i % (n / 4) == n / 8) {
            newcomers();
        }
    }
    newcomers();
    for (unsigned at = 0; open > 0; at++) {
        open = drip(n, at);
        assert_true(rt_process_now_ms() < until);
        rt_process_sleep_ms(100);
    }
    attack_saw("%u connections, all closed", n);
    for (unsigned i = 0; i < n; i++) {
        (void)close(loris_fds[i]);
    }
    newcomers();
}
