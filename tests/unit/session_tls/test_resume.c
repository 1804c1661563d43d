/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/session_tls/tls_end.h"

#include <sys/socket.h>
#include <time.h>

/* Sessions that are resumed, and what is asked of them. */

#define HOUR 3600L

static long later_s; /* the clock is so far on */

/* In the place of libc's, for OpenSSL too. */
time_t time(time_t *out)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += later_s;
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

static const struct rt_tls_ticket_key keys[3] = {{.name = "one", .mac = {1}, .cipher = {1}},
                                                 {.name = "two", .mac = {2}, .cipher = {2}},
                                                 {.name = "three", .mac = {3}, .cipher = {3}}};

static struct rt_tls_settings with_keys(const struct fixture *fixture, const char *name, size_t first, size_t n)
{
    struct rt_tls_settings settings = settings_of(fixture, name);

    settings.ticket_keys = keys + first;
    settings.n_ticket_keys = n;
    return settings;
}

static void load_with_keys(const struct world *world, struct rt_tls *tls, const char *name, size_t first, size_t n)
{
    struct rt_tls_settings settings = with_keys(world->fixture, name, first, n);

    assert_int_equal(rt_tls_load(tls, &settings, NULL, 0), 0);
}

/* As world_open(), and the agent has the first two keys. */
static void open_world(struct world *world, struct fixture *fixture)
{
    later_s = 0;
    world_open(world, fixture);
    load_with_keys(world, &world->agent, "agent", 0, 2);
}

/* What a connection of the client with this agent came to. */
static struct {
    bool resumed;
    struct secure client, agent;
} last;

/* Whether one is made, a byte goes each way, and it ends in good order. */
static bool connects_as(struct world *world, struct rt_tls *agent, const char *expect, bool guess, const char *accepts)
{
    long before = SSL_CTX_sess_hits(world->client.ctx);
    uint8_t byte = byte_at(0);
    int fds[2];

    memset(&last, 0, sizeof(last));
    last.client.end.want = 1;
    last.agent.end.echo = true;
    pair_of(fds);
    open_secure_guessing(world, &last.client, fds[0], &world->client, RT_WIRE_DIALLED, expect, guess);
    open_secure(world, &last.agent, fds[1], agent, RT_WIRE_ACCEPTED, accepts);
    write_out(&last.client, &byte, 1);
    for (int i = 0; i < 10000 && !last.client.end.got_all && !last.client.end.closed; i++) {
        turn(world->fixture);
    }
    last.resumed = SSL_CTX_sess_hits(world->client.ctx) > before;
    if (!last.client.end.got_all) {
        fixture_run(world->fixture, &last.client.end.closed);
        fixture_run(world->fixture, &last.agent.end.closed);
        assert_int_equal(last.agent.readies, 0);
        return false;
    }
    assert_int_equal(last.client.readies + last.agent.readies, 2);
    assert_string_equal(last.agent.peer, CLIENT_URI);
    close_both(world, &last.client, &last.agent);
    assert_string_equal(last.agent.end.text, "closed by the peer");
    return true;
}

static bool connects_to(struct world *world, struct rt_tls *agent, const char *expect, const char *accepts)
{
    return connects_as(world, agent, expect, false, accepts);
}

static bool connects(struct world *world, struct rt_tls *agent)
{
    return connects_to(world, agent, AGENT_URI, NULL);
}

/* At the agent that gave the ticket, and at any that has its keys; each time there is a new one. */
static void test_resumed(void **state)
{
    struct world world;
    struct rt_tls again, turned, foreign;

    open_world(&world, *state);
    rt_tls_init(&again);
    rt_tls_init(&turned);
    rt_tls_init(&foreign);
    load_with_keys(&world, &again, "agent", 0, 2);
    load_with_keys(&world, &turned, "agent", 1, 2); /* it seals with what was second, and has not the first any more */
    load_with_keys(&world, &foreign, "agent", 2, 1);
    assert_true(connects(&world, &world.agent) && !last.resumed);
    for (int i = 0; i < 3; i++) {
        const struct ssl_session_st *session = world.client.sessions[0].session;
        assert_true(connects(&world, i == 1 ? &again : &world.agent) && last.resumed);
        assert_string_equal(last.client.peer, AGENT_URI);
        assert_int_equal(world.client.n_sessions, 1);
        assert_ptr_not_equal(world.client.sessions[0].session, session);
    }
    assert_true(connects(&world, &turned) && !last.resumed);     /* the first key sealed it */
    assert_true(connects(&world, &world.agent) && last.resumed); /* the second, which seals there, opens here */
    assert_true(connects(&world, &foreign) && !last.resumed);
    rt_tls_close(&again);
    rt_tls_close(&turned);
    rt_tls_close(&foreign);
    world_close(&world);
}

/* A connection that is cut, as by the death of an agent, says nothing against its session. */
static void test_cut_off(void **state)
{
    struct world world;
    struct secure client, agent;
    uint8_t byte = byte_at(0);
    int fds[2];

    open_world(&world, *state);
    for (int i = 0; i < 2; i++) {
        memset(&client, 0, sizeof(client));
        memset(&agent, 0, sizeof(agent));
        client.end.want = 1;
        agent.end.echo = true;
        pair_of(fds);
        open_secure(&world, &client, fds[0], &world.client, RT_WIRE_DIALLED, AGENT_URI);
        open_secure(&world, &agent, fds[1], &world.agent, RT_WIRE_ACCEPTED, NULL);
        write_out(&client, &byte, 1);
        fixture_run(world.fixture, &client.end.got_all);
        assert_int_equal(world.client.whole, 1);
        assert_int_equal(world.client.resumed, i);
        assert_int_equal(shutdown(fds[0], SHUT_RDWR), 0);
        fixture_run(world.fixture, &client.end.closed);
        fixture_run(world.fixture, &agent.end.closed);
        assert_memory_equal(client.end.text, "cut off: ", 9);
    }
    world_close(&world);
}

/* Who expects anybody resumes nothing; what it began counts for who was there. */
static void test_anybody(void **state)
{
    struct world world;

    open_world(&world, *state);
    for (int i = 0; i < 2; i++) {
        assert_true(connects_to(&world, &world.agent, NULL, NULL) && !last.resumed);
        assert_int_equal(world.client.n_sessions, 1);
    }
    assert_true(connects(&world, &world.agent) && last.resumed);
    world_close(&world);
}

/* Who is there by a guess is resumed with, and anybody else is let in as ever. */
static void test_guess(void **state)
{
    struct world world;
    struct rt_tls other;

    open_world(&world, *state);
    issue(&world, URI_OF("agent/esx18"), "other");
    rt_tls_init(&other);
    load_with_keys(&world, &other, "other", 2, 1);
    assert_true(connects_as(&world, &world.agent, URI_OF("agent/esx18"), true, NULL) && !last.resumed);
    assert_true(connects_as(&world, &world.agent, AGENT_URI, true, NULL) && last.resumed);
    assert_string_equal(last.client.peer, AGENT_URI);
    assert_true(connects_as(&world, &other, AGENT_URI, true, NULL) && !last.resumed);
    assert_string_equal(last.client.peer, URI_OF("agent/esx18"));
    assert_true(connects_as(&world, &other, URI_OF("agent/esx18"), true, NULL) && last.resumed);
    assert_true(connects_as(&world, &other, "no identity", true, NULL) && !last.resumed);
    assert_int_equal(world.client.n_sessions, 2);
    rt_tls_close(&other);
    world_close(&world);
}

/* An agent that has the keys resumes another's session, and is that one by it. When that is forgotten it has to say who
 * it is. */
static void test_forgotten(void **state)
{
    struct rt_identity agent = {.role = RT_IDENTITY_AGENT, .name = "esx17"};
    struct world world;
    struct rt_tls other;

    open_world(&world, *state);
    issue(&world, URI_OF("agent/esx18"), "other");
    rt_tls_init(&other);
    load_with_keys(&world, &other, "other", 0, 2);
    assert_true(connects(&world, &world.agent) && !last.resumed);
    assert_true(connects_as(&world, &other, AGENT_URI, true, NULL) && last.resumed);
    assert_string_equal(last.client.peer, AGENT_URI);
    rt_tls_forget(&world.client, &agent);
    rt_tls_forget(&world.client, &agent); /* none any more */
    assert_int_equal(world.client.n_sessions, 0);
    assert_true(connects_as(&world, &other, AGENT_URI, true, NULL) && !last.resumed);
    assert_string_equal(last.client.peer, URI_OF("agent/esx18"));
    rt_tls_forget(&world.client, &agent); /* another's session stays */
    assert_int_equal(world.client.n_sessions, 1);
    rt_tls_close(&other);
    world_close(&world);
}

/* Without keys, or by new files nothing is resumed. */
static void test_not_resumed(void **state)
{
    struct world world;

    open_world(&world, *state);
    load(*state, &world.agent, "agent");
    assert_true(connects(&world, &world.agent));
    assert_int_equal(world.client.n_sessions, 0);
    load_with_keys(&world, &world.agent, "agent", 0, 1);
    assert_true(connects(&world, &world.agent));
    assert_int_equal(world.client.n_sessions, 1);
    load(*state, &world.client, "client"); /* by the old session it would be who it was */
    assert_int_equal(world.client.n_sessions, 0);
    assert_true(connects(&world, &world.agent) && !last.resumed);
    load(*state, &world.agent, "agent"); /* a ticket without its key is none */
    assert_true(connects(&world, &world.agent) && !last.resumed);
    world_close(&world);
}

/* A session with one agent says nothing of another, though that has its keys. */
static void test_other_name(void **state)
{
    struct world world;
    struct rt_tls other;

    open_world(&world, *state);
    issue(&world, URI_OF("agent/esx18"), "other");
    rt_tls_init(&other);
    load_with_keys(&world, &other, "other", 0, 2);
    assert_true(connects(&world, &world.agent));
    assert_true(connects_to(&world, &other, URI_OF("agent/esx18"), NULL) && !last.resumed);
    assert_string_equal(last.client.peer, URI_OF("agent/esx18"));
    assert_int_equal(world.client.n_sessions, 2);
    assert_true(connects_to(&world, &other, URI_OF("agent/esx18"), NULL) && last.resumed);
    assert_true(connects(&world, &world.agent) && last.resumed);
    rt_tls_close(&other);
    world_close(&world);
}

static void expect_refused(struct world *world, const char *finds)
{
    assert_false(connects(world, &world->agent));
    assert_false(last.resumed);
    assert_int_equal(last.agent.end.reason, RT_EAUTH);
    assert_string_equal(last.agent.end.text, finds);
}

/* What has become wrong with the client's certificate since counts for its session too. */
static void test_client_judged_anew(void **state)
{
    static const long revoked[] = {2};
    struct fixture *fixture = *state;
    struct world world;
    struct rt_tls_settings settings;
    struct certs_ca other;

    open_world(&world, fixture);
    assert_true(connects(&world, &world.agent));
    assert_true(connects(&world, &world.agent) && last.resumed);

    settings = with_keys(fixture, "agent", 0, 2);
    settings.crl_file = in_dir(fixture, "crl.pem");
    certs_crl_append(&world.ca, revoked, 1, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    expect_refused(&world, "handshake: the peer's certificate is revoked");

    settings.crl_file = NULL;
    issue(&world, "spiffe://next.example/retether/agent/esx17", "next");
    settings.cert_file = in_dir(fixture, "next.pem");
    settings.key_file = in_dir(fixture, "next.key");
    settings.domain = "next.example";
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    assert_false(connects_to(&world, &world.agent, AGENT_URI, NULL)); /* each refuses the other */
    assert_false(last.resumed);

    certs_ca_init(&other, "other CA", NULL);
    settings = with_keys(fixture, "agent", 0, 2);
    settings.ca_file = in_dir(fixture, "other.pem");
    certs_ca_append(&other, settings.ca_file);
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    expect_refused(&world, "handshake: the peer's certificate is of an unknown CA");

    load_with_keys(&world, &world.agent, "agent", 0, 2);
    assert_true(connects(&world, &world.agent));
    assert_false(connects_to(&world, &world.agent, AGENT_URI, URI_OF("viewer/acme")));
    assert_false(last.resumed);
    assert_string_equal(last.agent.end.text, "handshake: not who was expected: vch/acme instead of viewer/acme");

    later_s = 2 * HOUR;
    issue(&world, AGENT_URI, "agent"); /* made anew, as the client's was not */
    load_with_keys(&world, &world.agent, "agent", 0, 2);
    expect_refused(&world, "handshake: the peer's certificate has expired");
    later_s = 0;
    certs_ca_close(&other);
    world_close(&world);
}

/* And what has become wrong with the agent's. */
static void test_agent_judged_anew(void **state)
{
    struct world world;

    open_world(&world, *state);
    issue_as(&world,
             (struct certs_spec){.uris = {rt_slice_text(CLIENT_URI)}, .n_uris = 1, .until_s = 100 * HOUR, .serial = 3},
             "client");
    load(*state, &world.client, "client");
    assert_true(connects(&world, &world.agent));
    assert_true(connects(&world, &world.agent) && last.resumed);
    later_s = 2 * HOUR;
    assert_false(connects(&world, &world.agent));
    assert_false(last.resumed);
    assert_string_equal(last.client.end.text, "handshake: the peer's certificate has expired");
    issue(&world, AGENT_URI, "agent");
    load_with_keys(&world, &world.agent, "agent", 0, 2);
    assert_true(connects(&world, &world.agent) && !last.resumed);
    assert_true(connects(&world, &world.agent) && last.resumed);
    later_s = 0;
    world_close(&world);
}

/* As open_world(); then root has made a CA in between, which has issued the client's certificate. */
static void open_between(struct world *world, struct fixture *fixture, struct certs_ca *root, struct certs_ca *between)
{
    open_world(world, fixture);
    *root = world->ca;
    certs_ca_init(between, "between", root);
    world->ca = *between;
    issue(world, CLIENT_URI, "client");
}

/* A session has no CAs in between: it is resumed where these are known, else a whole handshake does. */
static void test_chain(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct certs_ca root, between;

    open_between(&world, fixture, &root, &between);
    certs_ca_append(&between, in_dir(fixture, "client.pem"));
    load(fixture, &world.client, "client");
    assert_true(connects(&world, &world.agent) && !last.resumed);
    assert_true(connects(&world, &world.agent) && !last.resumed);
    issue(&world, AGENT_URI, "agent");
    certs_ca_append(&between, in_dir(fixture, "agent.pem"));
    load_with_keys(&world, &world.agent, "agent", 0, 2);
    assert_true(connects(&world, &world.agent) && last.resumed);
    load(fixture, &world.client, "client");
    assert_true(connects(&world, &world.agent) && !last.resumed);
    assert_true(connects(&world, &world.agent) && last.resumed);
    world.ca = root;
    certs_ca_close(&between);
    world_close(&world);
}

/* A CA in between may be the one that counts: its own CA is not known then, nor that one's CRL; its own CRL is. */
static void test_anchor_between(void **state)
{
    static const long revoked[] = {2};
    struct fixture *fixture = *state;
    struct world world;
    struct certs_ca root, between;
    struct rt_tls_settings settings;

    open_between(&world, fixture, &root, &between);
    load(fixture, &world.client, "client");
    settings = with_keys(fixture, "agent", 0, 2);
    settings.ca_file = in_dir(fixture, "between.pem");
    settings.crl_file = in_dir(fixture, "none-revoked.pem");
    certs_ca_append(&between, settings.ca_file);
    certs_crl_append(&between, NULL, 0, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    assert_true(connects(&world, &world.agent) && !last.resumed);
    assert_true(connects(&world, &world.agent) && last.resumed);
    settings.crl_file = in_dir(fixture, "revoked.pem");
    certs_crl_append(&between, revoked, 1, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    expect_refused(&world, "handshake: the peer's certificate is revoked");
    world.ca = root; /* by which the one in between was made, but that says nothing here */
    issue(&world, CLIENT_URI, "client");
    load(fixture, &world.client, "client");
    expect_refused(&world, "handshake: the peer's certificate is of an unknown CA");
    certs_ca_close(&between);
    world_close(&world);
}

/* A CA in between that is not of the file, and of which no CRL is there, lets nobody in. */
static void test_chain_without_crl(void **state)
{
    struct fixture *fixture = *state;
    struct world world;
    struct certs_ca root, between;
    struct rt_tls_settings settings;

    open_between(&world, fixture, &root, &between);
    certs_ca_append(&between, in_dir(fixture, "client.pem"));
    load(fixture, &world.client, "client");
    settings = settings_of(fixture, "agent");
    settings.crl_file = in_dir(fixture, "crl.pem");
    certs_crl_append(&root, NULL, 0, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    expect_refused(&world, "handshake: the peer's certificate is of a CA whose CRL is not there");
    certs_crl_append(&between, NULL, 0, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(&world.agent, &settings, NULL, 0), 0);
    assert_true(connects(&world, &world.agent));
    world.ca = root;
    certs_ca_close(&between);
    world_close(&world);
}

/* The agent reads its files anew, with a CRL of this CA that names one certificate. */
static void revoke_serial(struct world *world, const struct certs_ca *ca, long serial, const char *name)
{
    struct rt_tls_settings settings = with_keys(world->fixture, "agent", 0, 2);

    settings.crl_file = in_dir(world->fixture, name);
    certs_crl_append(ca, &serial, 1, -60, 3600, settings.crl_file);
    assert_int_equal(rt_tls_load(&world->agent, &settings, NULL, 0), 0);
}

/* Of a wire that is open it can be told that its peer's certificate has been revoked since. */
static void test_revoked_since(void **state)
{
    struct world world;
    struct secure client, agent;

    open_world(&world, *state);
    for (unsigned resumed = 0; resumed < 2; resumed++) {
        load_with_keys(&world, &world.agent, "agent", 0, 2);
        assert_true(resumed == 0 || connects(&world, &world.agent));
        memset(&client, 0, sizeof(client));
        memset(&agent, 0, sizeof(agent));
        open_both(&world, &client, &agent, AGENT_URI);
        shake_hands(&world, &client, &agent);
        assert_int_equal(world.agent.resumed > 0, resumed);
        assert_false(rt_tls_peer_revoked(&agent.end.link.wire));
        revoke_serial(&world, &world.ca, 3, resumed == 0 ? "other" : "other, resumed");
        assert_false(rt_tls_peer_revoked(&agent.end.link.wire));
        revoke_serial(&world, &world.ca, 2, resumed == 0 ? "it" : "it, resumed");
        assert_true(rt_tls_peer_revoked(&agent.end.link.wire));
        assert_false(rt_tls_peer_revoked(&client.end.link.wire)); /* it has read nothing */
        close_both(&world, &client, &agent);
    }
    world_close(&world);
}

static void test_chain_revoked_since(void **state)
{
    struct fixture *fixture = *state;
    struct secure client = {.ready = false}, agent = {.ready = false};
    struct world world;
    struct certs_ca root, between;

    open_between(&world, fixture, &root, &between);
    certs_ca_append(&between, in_dir(fixture, "client.pem"));
    load(fixture, &world.client, "client");
    open_both(&world, &client, &agent, AGENT_URI);
    shake_hands(&world, &client, &agent);
    revoke_serial(&world, &root, 9, "other");
    assert_false(rt_tls_peer_revoked(&agent.end.link.wire));
    revoke_serial(&world, &root, 0, "between");
    assert_true(rt_tls_peer_revoked(&agent.end.link.wire));
    close_both(&world, &client, &agent);
    world.ca = root;
    certs_ca_close(&between);
    world_close(&world);
}

/* A handshake that had begun by the old files lets nobody in whom the new ones revoke. */
static void test_revoked_meanwhile(void **state)
{
    struct secure client = {.ready = false}, agent = {.ready = false};
    struct world world;

    open_world(&world, *state);
    open_both(&world, &client, &agent, AGENT_URI);
    revoke_serial(&world, &world.ca, 2, "it");
    fixture_run(*state, &agent.end.closed);
    fixture_run(*state, &client.end.closed);
    assert_int_equal(agent.readies, 0);
    assert_int_equal(agent.end.reason, RT_EAUTH);
    assert_string_equal(agent.end.text, "handshake: the peer's certificate has been revoked");
    world_close(&world);
}

/* As many as there is room for, of the peers that were dialled last. */
static void test_many(void **state)
{
    struct world world;
    struct rt_tls agent;
    char uri[2][64];

    open_world(&world, *state);
    rt_tls_init(&agent);
    for (int i = 0; i <= RT_TLS_SESSIONS_MAX; i++) {
        (void)snprintf(uri[0], sizeof(uri[0]), URI_OF("agent/host%d"), i);
        issue(&world, uri[0], "host");
        load_with_keys(&world, &agent, "host", 0, 2);
        assert_true(connects_to(&world, &agent, uri[0], NULL) && !last.resumed);
        assert_int_equal(world.client.n_sessions, i < RT_TLS_SESSIONS_MAX ? i + 1 : RT_TLS_SESSIONS_MAX);
        if (i == 0) {
            memcpy(uri[1], uri[0], sizeof(uri[0]));
        }
    }
    assert_true(connects_to(&world, &agent, uri[0], NULL) && last.resumed);
    assert_string_equal(world.client.sessions[0].peer.name, "host1"); /* uri[1] had to go */
    assert_string_equal(uri[1], URI_OF("agent/host0"));
    rt_tls_close(&agent);
    world_close(&world);
}

static void test_too_many_keys(void **state)
{
    static const struct rt_tls_ticket_key many[RT_TLS_TICKET_KEYS_MAX + 1];
    struct world world;
    struct rt_tls_settings settings;
    char why[128];

    open_world(&world, *state);
    settings = settings_of(*state, "agent");
    settings.ticket_keys = many;
    settings.n_ticket_keys = RT_TLS_TICKET_KEYS_MAX + 1;
    assert_int_equal(rt_tls_load(&world.agent, &settings, why, sizeof(why)), RT_EINVAL);
    assert_int_equal(world.agent.n_ticket_keys, 2);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resumed),           TEST(test_cut_off),
        TEST(test_anybody),           TEST(test_guess),
        TEST(test_forgotten),         TEST(test_not_resumed),
        TEST(test_other_name),        TEST(test_client_judged_anew),
        TEST(test_agent_judged_anew), TEST(test_chain),
        TEST(test_anchor_between),    TEST(test_chain_without_crl),
        TEST(test_revoked_since),     TEST(test_chain_revoked_since),
        TEST(test_revoked_meanwhile), TEST(test_many),
        TEST(test_too_many_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
