/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store_priv.h"

#include "session/tls/tls.h"
#include "tests/lib/pki.h"
#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A real Redis, and real Sentinels, with TLS and passwords: who the server has to be, who the agent is, and what
 * becomes of it when a file changes while it runs. Certificates are of `retether pki`. */

#define HANG_MS 30000
#define SENTINELS ((size_t)3)
#define PASSWORD "secret-of-redis"

static char lab[64], server_dir[96], agent_dir[96], other_dir[96], alien_dir[96];
static struct rt_test_redis server;
static struct rt_tls tls;

static const char *in_lab(const char *name, char path[96])
{
    snprintf(path, 96, "%s/%s", lab, name);
    return path;
}

static int make_lab(void **state)
{
    char ca[96], alien[96];
    int rc;

    snprintf(lab, sizeof(lab), "/tmp/rt-store-tls-XXXXXX");
    if (loop_setup(state) != 0 || mkdtemp(lab) == NULL) {
        return -1;
    }
    rc = rt_test_pki_ca(in_lab("ca", ca)) | rt_test_pki_ca(in_lab("alien-ca", alien));
    rc |= rt_test_pki_issue(ca, "store", "redis.test.example,127.0.0.1", in_lab("server", server_dir));
    rc |= rt_test_pki_issue(ca, "store", "other.test.example,127.0.0.2", in_lab("other", other_dir));
    rc |= rt_test_pki_issue(ca, "agent", "hosta", in_lab("agent", agent_dir));
    rc |= rt_test_pki_issue(alien, "agent", "hosta", in_lab("alien", alien_dir));
    rt_tls_init(&tls);
    return rc;
}

static int remove_lab(void **state)
{
    rt_tls_close(&tls);
    rt_test_remove_tree(lab);
    return loop_teardown(state);
}

static int load(const char *path)
{
    struct rt_tls_directory directory;
    struct rt_tls_settings settings = {.by_name = true};
    char why[512] = "";
    int rc = rt_tls_directory(&directory, path, &settings, why, sizeof(why));

    rc = rc == 0 ? rt_tls_load(&tls, &settings, why, sizeof(why)) : rc;
    if (rc != 0) {
        print_message("%s\n", why);
    }
    return rc;
}

static void config_of(struct rt_store_config *config, const char *endpoint, const char *login)
{
    agent_config(config, endpoint, "hosta");
    config->login_file = login != NULL ? login_file(login) : NULL;
    config->secure = (struct rt_wire_setup){.ops = &rt_wire_tls, .context = &tls};
}

static struct agent *start(const char *endpoint, const char *login)
{
    struct rt_store_config config;

    config_of(&config, endpoint, login);
    return agent_new(&config);
}

static int start_server(void **state)
{
    (void)state;
    return load(agent_dir) | rt_test_redis_start_tls(&server, NULL, server_dir, PASSWORD);
}

static int stop_server(void **state)
{
    (void)state;
    rt_test_redis_stop(&server);
    return 0;
}

/* How many connections go by this name. */
static size_t count_clients(const char *name)
{
    redisContext *context = redisConnectUnix(server.socket);
    redisReply *reply;
    char part[96];
    size_t n = 0;

    assert_non_null(context);
    freeReplyObject(redisCommand(context, "AUTH " PASSWORD));
    reply = redisCommand(context, "CLIENT LIST");
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    snprintf(part, sizeof(part), " name=%s ", name);
    for (const char *at = reply->str; (at = strstr(at, part)) != NULL; at++) {
        n++;
    }
    freeReplyObject(reply);
    redisFree(context);
    return n;
}

static const char *expected;

static bool says_expected(struct agent *agent)
{
    return logged(agent, expected);
}

static void until_says(struct agent *agent, const char *text)
{
    expected = text;
    if (!run_until(says_expected, agent, HANG_MS)) {
        fail_msg("\"%s\" instead of \"%s\"", agent->n_log > 0 ? agent->log[0] : "", text);
    }
}

static bool is_connected(struct agent *agent)
{
    (void)agent;
    return count_clients("retetherd-hosta/commands") == 1 && count_clients("retetherd-hosta/claims") == 1 &&
           count_clients("retetherd-hosta/ends") == 1;
}

static void test_comes_up(void **state)
{
    struct agent *a = start(server.tcp_endpoint, PASSWORD "\n");

    (void)state;
    assert_int_equal(strncmp(server.tcp_endpoint, "rediss://", 9), 0);
    assert_true(run_until(is_up, a, HANG_MS));
    assert_true(run_until(is_connected, a, HANG_MS));
    agent_stop(a);
}

/* The server is not who it must be, or takes the agent for nobody: said once, and why; nothing of the password goes
 * there. */
static void refused(const char *endpoint, const char *why)
{
    struct agent *a = start(endpoint, PASSWORD "\n");

    until_says(a, why);
    run_for(300); /* it is dialled again */
    assert_false(is_up(a));
    assert_int_equal(a->n_log, 1);
    assert_false(logged(a, PASSWORD));
    agent_stop(a);
}

static void test_refused(void **state)
{
    char named[64], ca[96], bare[96], file[128];
    struct rt_test_redis impostor;

    (void)state;
    /* By a name that its certificate does not have. */
    snprintf(named, sizeof(named), "rediss://localhost:%u", server.port);
    refused(named, "the peer's certificate is not of localhost");
    assert_int_equal(rt_test_redis_start_tls(&impostor, NULL, other_dir, PASSWORD), 0);
    refused(impostor.tcp_endpoint, "the peer's certificate is not of 127.0.0.1");
    rt_test_redis_stop(&impostor);
    /* Of a CA that is not known here. */
    assert_int_equal(load(alien_dir), 0);
    refused(server.tcp_endpoint, "the peer's certificate is of an unknown CA");
    /* It wants a certificate, and there is none. */
    in_lab("bare", bare);
    assert_int_equal(rt_test_pki((const char *[]){"issue", "--out", bare, in_lab("ca", ca), "viewer", "x", NULL}), 0);
    snprintf(file, sizeof(file), "%s/cert.pem", bare);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(load(bare), RT_ENOTFOUND); /* its key alone is a mistake */
    snprintf(file, sizeof(file), "%s/key.pem", bare);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(load(bare), 0);
    refused(server.tcp_endpoint, "the peer wants a certificate");
}

/* Without a context an address with TLS is refused, not dialled in the clear. */
static void test_no_context(void **state)
{
    struct rt_store_config config;
    struct rt_store store;

    (void)state;
    config_of(&config, "rediss://127.0.0.1:1", NULL);
    config.secure.ops = NULL;
    assert_int_equal(rt_store_init(&store, &loop, &config), RT_ECONFIG);
}

/* All its connections are cut, as when the server is started anew. */
static void cut(void)
{
    char answer[64];

    assert_int_equal(rt_test_redis_command(&server, "CLIENT KILL TYPE normal", answer, sizeof(answer)), 0);
    assert_int_equal(rt_test_redis_command(&server, "CLIENT KILL TYPE pubsub", answer, sizeof(answer)), 0);
}

/* The password is changed while the agent runs: in the server, and in the file before or after that. */
static void test_rotation(void **state)
{
    struct agent *a;
    char answer[64];

    (void)state;
    assert_int_equal(rt_test_redis_command(&server, "ACL SETUSER agent on >one ~* &* +@all", answer, sizeof(answer)),
                     0);
    a = start(server.tcp_endpoint, "agent\none\n");
    assert_true(run_until(is_up, a, HANG_MS));
    (void)login_file("agent\ntwo\n");
    assert_int_equal(rt_test_redis_command(&server, "ACL SETUSER agent resetpass >two", answer, sizeof(answer)), 0);
    cut();
    assert_true(run_until(is_down, a, HANG_MS));
    assert_true(run_until(is_up, a, HANG_MS));
    assert_false(logged(a, "WRONGPASS"));
    assert_int_equal(rt_test_redis_command(&server, "ACL SETUSER agent resetpass >three", answer, sizeof(answer)), 0);
    cut();
    assert_true(run_until(is_down, a, HANG_MS));
    run_for(300); /* it is tried again */
    assert_true(is_down(a));
    (void)login_file("agent\nthree\n");
    assert_true(run_until(is_up, a, HANG_MS));
    agent_stop(a);
}

/* The certificates are changed, as SIGHUP has them read: the next dial goes by them. */
static void test_new_certificates(void **state)
{
    struct agent *a = start(server.tcp_endpoint, PASSWORD "\n");

    (void)state;
    assert_true(run_until(is_up, a, HANG_MS));
    assert_int_equal(load(alien_dir), 0);
    run_for(100);
    assert_true(is_up(a)); /* what is open stays */
    cut();
    assert_true(run_until(is_down, a, HANG_MS));
    run_for(300); /* it is dialled again */
    assert_true(is_down(a));
    assert_int_equal(load(agent_dir), 0);
    assert_true(run_until(is_up, a, HANG_MS));
    agent_stop(a);
}

/* Sentinels with TLS and a password of their own, and what they name. */
static void test_sentinels(void **state)
{
    static struct rt_test_redis replica, sentinels[SENTINELS];
    struct rt_store_config config;
    struct agent *a;
    char endpoint[160], answer[64];
    FILE *file;
    char path[96];

    (void)state;
    assert_int_equal(rt_test_redis_start_tls(&replica, &server, server_dir, PASSWORD), 0);
    for (size_t i = 0; i < SENTINELS; i++) {
        assert_int_equal(rt_test_sentinel_start_tls(&sentinels[i], &server, "secret-of-sentinel"), 0);
    }
    for (size_t i = 0; i < SENTINELS; i++) {
        assert_int_equal(rt_test_sentinel_wait(&sentinels[i], SENTINELS - 1, 1), 0);
    }
    snprintf(endpoint, sizeof(endpoint), "sentinel+tls://main@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
             sentinels[0].port, sentinels[1].port, sentinels[2].port);
    config_of(&config, endpoint, PASSWORD "\n");
    a = agent_new(&config);
    until_says(a, "no Sentinel names a primary");
    until_says(a, "it wants a password, and none is set for it");
    assert_false(is_up(a));
    agent_stop(a);
    in_lab("sentinel-password", path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("secret-of-sentinel\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    config.sentinel_login_file = path;
    a = agent_new(&config);
    assert_true(run_until(is_up, a, HANG_MS));
    assert_string_equal(rt_redis_where(&a->store.only.commands), server.tcp_endpoint);
    assert_int_equal(rt_test_redis_command(&sentinels[0], "SENTINEL FAILOVER main", answer, sizeof(answer)), 0);
    for (unsigned ms = 0; strcmp(rt_redis_where(&a->store.only.commands), replica.tcp_endpoint) != 0; ms += 100) {
        assert_true(ms < HANG_MS);
        run_for(100);
    }
    assert_true(run_until(is_up, a, HANG_MS));
    agent_stop(a);
    for (size_t i = 0; i < SENTINELS; i++) {
        rt_test_redis_stop(&sentinels[i]);
    }
    rt_test_redis_stop(&replica);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, start_server, stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_comes_up), WITH_SERVER(test_refused),   cmocka_unit_test(test_no_context),
        WITH_SERVER(test_rotation), WITH_SERVER(test_sentinels), WITH_SERVER(test_new_certificates),
    };

    agent_call_ms = 0;
    return cmocka_run_group_tests(tests, make_lab, remove_lab);
}
