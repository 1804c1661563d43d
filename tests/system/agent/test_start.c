/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/protocol.h"
#include "tests/lib/redis.h"
#include "tests/system/agent/pair.h"

#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Starting, stopping, and what stands in the way of either. */

#define NOBODY 65534

static void write_config(const struct daemon *daemon, const char *text, char path[96])
{
    FILE *file;

    (void)snprintf(path, 96, "%s/conf", daemon->dir);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A connection as nobody, until it is killed; ends with the errno of a connect that failed. */
static pid_t connect_as_nobody(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pid_t parent = getpid(), pid = fork();
    int fd;

    assert_true(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0 || fd < 0) {
        _exit(255);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* setuid clears it */
    if (getppid() != parent || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        _exit(errno);
    }
    for (;;) {
        (void)pause();
    }
}

/* Who may connect is decided by the sockets' permissions; who did is told with its uid. */
static void test_other_users(void **state)
{
    struct daemon *daemon = *state;
    const char *const doors[] = {daemon->guest, daemon->client};
    int status;
    pid_t pid;

    if (geteuid() != 0) {
        print_message("skipped: becoming another user needs root\n");
        skip();
    }
    assert_int_equal(chmod(daemon->dir, 0711), 0);
    daemon_up(daemon, NULL);
    for (size_t i = 0; i < 2; i++) {
        pid = connect_as_nobody(doors[i]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EACCES);
    }
    assert_int_equal(daemon_said(daemon, "uid 65534"), 0);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_int_equal(daemon_wait(daemon, 5000), 0);
    daemon->doors = ",mode=0666";
    daemon_up(daemon, NULL);
    for (size_t i = 0; i < 2; i++) {
        char line[64];

        pid = connect_as_nobody(doors[i]);
        (void)snprintf(line, sizeof(line), "unix pid %ld uid %d", (long)pid, NOBODY);
        daemon_until(daemon, line, 1, 5000);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
}

/* Whom no rule fits is told so by the program, and the log says it. */
static void test_stranger(void **state)
{
    struct daemon *daemon = *state;
    char program[RT_PROCESS_PATH], command[512], rule[64], line[128] = "", wanted[128];
    FILE *out;
    int status;

    rt_process_program("retether", program);
    (void)snprintf(rule, sizeof(rule), "%lu = vch/local", (unsigned long)geteuid() + 1);
    daemon->user = rule;
    daemon_up(daemon, NULL);
    (void)snprintf(command, sizeof(command), "'%s' --agent 'unix:%s' hosts 2>&1", program, daemon->client);
    out = popen(command, "re");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof(line), out));
    status = pclose(out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 125);
    (void)snprintf(wanted, sizeof(wanted),
                   "user %lu may not use this agent; it takes a rule of access.users, or a client's certificate",
                   (unsigned long)geteuid());
    daemon_until(daemon, wanted, 1, 5000);
    if (strstr(line, wanted) == NULL) {
        fail_msg("retether says: %s", line);
    }
    daemon->user = NULL;
}

static void test_check_config(void **state)
{
    const struct daemon *daemon = *state;
    char path[96], out[8192], wanted[256];
    const char *flags[] = {"--check-config", "--config", path, NULL};
    static const struct {
        const char *text, *message; /* after the path */
    } bad[] = {
        {"host {\n  name = h1\n  colour = red\n}\n", ":3: no such option 'colour'"},
        {"listen {\n  clients = {\"tcp:192.0.2.1:7401\"}\n}\n",
         ":2: listen.clients: tcp:192.0.2.1:7401: plain TCP proves nobody"},
        {"access {\n  users = {\"* = vch/acme\",\n    \"nobody = king\"}\n}\n",
         ":3: access.users: \"nobody = king\": no role behind the ="},
        {"listen {\n  guests = {\"udp:1\"}\n}\n", ":2: listen.guests: udp:1: wants unix:PATH"},
    };

    write_config(daemon, "host {\n  name = h1\n}\n", path);
    assert_int_equal(daemon_run(flags, out, sizeof(out)), 0);
    assert_string_equal(out, "retetherd: the settings are good\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_config(daemon, bad[i].text, path);
        assert_int_equal(daemon_run(flags, out, sizeof(out)), 2);
        (void)snprintf(wanted, sizeof(wanted), "retetherd: %s%s", path, bad[i].message);
        if (strncmp(out, wanted, strlen(wanted)) != 0) {
            fail_msg("it says %s instead of %s", out, wanted);
        }
    }
    assert_int_equal(daemon_run((const char *[]){"--version", NULL}, out, sizeof(out)), 0);
    assert_int_equal(strncmp(out, "retetherd ", 10), 0);
    assert_int_equal(daemon_run((const char *[]){"--help", NULL}, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "--state-dir DIR"));
    assert_int_equal(daemon_run((const char *[]){"--no-such", NULL}, out, sizeof(out)), 2);
    /* what it tells back does not steer the terminal */
    assert_int_equal(daemon_run((const char *[]){"--log-level", "\033]0;x\a", NULL}, out, sizeof(out)), 2);
    assert_non_null(strstr(out, "?]0;x?"));
    assert_null(strchr(out, '\033'));
}

static void assert_exit(int status, int code)
{
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void test_embedded(void **state)
{
    struct daemon *daemon = *state;
    struct pair pair;
    struct stat info;
    pid_t redis;

    daemon_up(daemon, NULL);
    assert_int_equal(daemon_said(daemon, "no store is configured: a private redis-server is used"), 1);
    redis = daemon_redis(daemon);
    assert_true(redis > 0);
    assert_int_equal(stat(daemon->client, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    pair_start(&pair, daemon, "one", 1);
    pair_move(&pair, 1 << 20, 10000);
    /* A crash leaves the server, and the sockets' files; both are taken over. */
    daemon_kill(daemon);
    pair_close(&pair);
    assert_int_equal(kill(redis, 0), 0);
    daemon_up(daemon, NULL);
    assert_int_equal(daemon_said(daemon, "private redis-server adopted from an earlier run"), 1);
    assert_int_equal(daemon_redis(daemon), redis);
    /* If it ends by itself it is started again. */
    assert_int_equal(kill(redis, SIGKILL), 0);
    daemon_until(daemon, "private redis-server started", 2, 15000);
    daemon_until(daemon, "\"from\":\"down\",\"to\":\"up\"", 3, 10000);
    redis = daemon_redis(daemon);
    pair_start(&pair, daemon, "two", 1);
    pair_move(&pair, 1 << 20, 10000);
    /* A clean stop stops it. */
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_exit(daemon_wait(daemon, 3500), 0);
    assert_int_equal(kill(redis, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_int_equal(stat(daemon->client, &info), -1);
    pair_close(&pair);
    /* Its data is still there: the id is taken. */
    daemon_up(daemon, NULL);
    peer_client(&pair.client, daemon->client);
    assert_int_not_equal(peer_try_create(&pair.client, "two", NULL, NULL), RT_CLASS_OK);
    peer_close(&pair.client);
}

/* As systemd makes one. */
static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

/* Sockets that were passed are used in the place of those that the settings name, and are their maker's: who comes
 * while there is no agent waits for the next one. */
static void test_passed(void **state)
{
    struct daemon *daemon = *state;
    int sockets[2] = {listen_at(daemon->guest), listen_at(daemon->client)};
    int early = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat before, after;
    struct pair pair;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon->client);
    assert_int_equal(stat(daemon->client, &before), 0);
    daemon->passed = sockets;
    for (unsigned run = 1; run <= 2; run++) {
        assert_true(run == 2 || connect(early, (struct sockaddr *)&address, sizeof(address)) == 0);
        daemon_up(daemon, NULL);
        assert_int_equal(daemon_said(daemon, "for clients, a socket that was passed"), run);
        assert_int_equal(daemon_said(daemon, "for guests, a socket that was passed"), run);
        daemon_until(daemon, "\"event\":\"link-opened\"", 1, 5000);
        pair_start(&pair, daemon, run == 1 ? "one" : "two", 1);
        pair_move(&pair, 1 << 20, 10000);
        pair_close(&pair);
        assert_int_equal(kill(daemon->pid, SIGTERM), 0);
        assert_exit(daemon_wait(daemon, 3500), 0);
        assert_int_equal(stat(daemon->client, &after), 0);
        assert_int_equal(after.st_ino, before.st_ino);
    }
    /* One that is gone is not made anew: that is its maker's too. */
    daemon_up(daemon, NULL);
    assert_int_equal(unlink(daemon->client), 0);
    test_pause(1500);
    assert_int_equal(access(daemon->client, F_OK), -1);
    daemon->passed = NULL;
    (void)close(early);
    (void)close(sockets[0]);
    (void)close(sockets[1]);
}

/* A private store that does not end: the agent does, in time. */
static void test_stuck_redis(void **state)
{
    struct daemon *daemon = *state;
    pid_t redis;

    daemon_up(daemon, NULL);
    redis = daemon_redis(daemon);
    assert_true(redis > 0);
    assert_int_equal(kill(redis, SIGSTOP), 0);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_exit(daemon_wait(daemon, 3300), 0);
    assert_int_equal(daemon_said(daemon, "the store does not answer in time"), 1);
}

static void test_no_redis(void **state)
{
    struct daemon *daemon = *state;

    daemon_start(daemon, (const char *[]){"--redis-server", "/nonexistent/redis-server", NULL});
    assert_exit(daemon_wait(daemon, 5000), 1);
    assert_int_equal(daemon_said(daemon, "cannot start /nonexistent/redis-server"), 1);
    assert_int_equal(daemon_said(daemon, "install redis-server, or configure a store"), 1);
    assert_int_equal(access(daemon->client, F_OK), -1);
}

static void test_state_in_use(void **state)
{
    struct daemon *daemon = *state;
    struct daemon second = *daemon;

    daemon_up(daemon, NULL);
    (void)snprintf(second.guest, sizeof(second.guest), "%s/g2", daemon->dir);
    (void)snprintf(second.client, sizeof(second.client), "%s/c2", daemon->dir);
    daemon_start(&second, (const char *[]){"--host-name", "h2", NULL});
    assert_exit(daemon_wait(&second, 5000), 1);
    assert_int_equal(daemon_said(daemon, "is in use: another retetherd runs with it"), 1);
    /* The same sockets. */
    second = *daemon;
    (void)snprintf(second.state, sizeof(second.state), "%s/state2", daemon->dir);
    daemon_start(&second, NULL);
    assert_exit(daemon_wait(&second, 5000), 1);
    assert_true(daemon_said(daemon, "somebody answers there") == 1);
    assert_int_equal(access(daemon->guest, F_OK), 0);
}

static void test_bad_keys(void **state)
{
    struct daemon *daemon = *state;
    char keys[128];

    (void)snprintf(keys, sizeof(keys), "%s/keys", daemon->dir);
    FILE *file = fopen(keys, "we");
    assert_non_null(file);
    assert_true(fputs("key one 00\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    daemon_start(daemon, (const char *[]){"--keys", keys, NULL});
    assert_exit(daemon_wait(daemon, 5000), 1);
    assert_true(daemon_said(daemon, keys) >= 1);
}

static void test_duplicate_name(void **state)
{
    struct daemon *daemon = *state;
    struct daemon second = *daemon;
    struct rt_test_redis redis;

    assert_int_equal(rt_test_redis_start(&redis, NULL, NULL), 0);
    daemon_up(daemon, (const char *[]){"--store", redis.unix_endpoint, NULL});
    (void)snprintf(second.guest, sizeof(second.guest), "%s/g2", daemon->dir);
    (void)snprintf(second.client, sizeof(second.client), "%s/c2", daemon->dir);
    (void)snprintf(second.state, sizeof(second.state), "%s/state2", daemon->dir);
    daemon_start(&second, (const char *[]){"--store", redis.unix_endpoint, NULL});
    assert_exit(daemon_wait(&second, 10000), 1);
    assert_int_equal(daemon_said(daemon, "another live agent goes by the name h1"), 1);
    assert_int_equal(daemon_said(daemon, "\"event\":\"ready\""), 1);
    /* The first one, killed, is back at once: it is known as itself. */
    daemon_kill(daemon);
    daemon_start(daemon, (const char *[]){"--store", redis.unix_endpoint, NULL});
    daemon_until(daemon, "\"event\":\"ready\"", 2, 2000);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_exit(daemon_wait(daemon, 3500), 0);
    rt_test_redis_stop(&redis);
}

/* TERM ends it in time whatever the store does, and tells the clients; a second one ends it at once. */
static void test_term(void **state)
{
    struct daemon *daemon = *state;
    struct rt_test_redis redis;
    struct pair pair;
    uint64_t since;

    assert_int_equal(rt_test_redis_start(&redis, NULL, NULL), 0);
    daemon_up(daemon, (const char *[]){"--store", redis.unix_endpoint, NULL});
    pair_start(&pair, daemon, "t1", 1);
    pair_move(&pair, 1 << 20, 10000);
    assert_int_equal(kill(daemon->pid, SIGHUP), 0);
    daemon_until(daemon, "keys read: 1 keys, key 1 seals", 1, 2000);
    pair_move(&pair, 1 << 20, 10000);
    since = test_now_ms();
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_int_equal(peer_refused(&pair.client, 2000), RT_CLASS_LOST);
    assert_exit(daemon_wait(daemon, 3500), 0);
    assert_true(test_now_ms() - since < 1000);
    pair_close(&pair);

    daemon_start(daemon, (const char *[]){"--store", redis.unix_endpoint, NULL});
    daemon_until(daemon, "\"event\":\"ready\"", 2, 8000);
    pair_start(&pair, daemon, "t2", 1);
    assert_int_equal(rt_test_redis_pause(&redis), 0);
    assert_int_equal(kill(daemon->pid, SIGINT), 0);
    assert_exit(daemon_wait(daemon, 3500), 0);
    pair_close(&pair);

    daemon_start(daemon, (const char *[]){"--store", redis.unix_endpoint, NULL});
    daemon_until(daemon, "\"event\":\"listener\"", 6, 8000);
    assert_int_equal(rt_test_redis_resume(&redis), 0);
    daemon_until(daemon, "\"event\":\"ready\"", 3, 8000);
    pair_start(&pair, daemon, "t3", 1);
    pair_run(&pair, 50);
    assert_int_equal(rt_test_redis_pause(&redis), 0);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    daemon_until(daemon, "\"event\":\"stopping\"", 3, 1000);
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_exit(daemon_wait(daemon, 300), 128 + SIGTERM);
    pair_close(&pair);
    rt_test_redis_stop(&redis);
}

/* Connections beyond the cap are told so, and closed at once; a place that becomes free is taken. */
static void test_accept_cap(void **state)
{
    struct daemon *daemon = *state;
    struct peer peers[3], more;

    daemon_up(daemon, (const char *[]){"--max-clients", "3", NULL});
    for (int i = 0; i < 3; i++) {
        peer_client(&peers[i], daemon->client);
    }
    peer_open(&more, daemon->client);
    assert_int_equal(peer_refused(&more, 10000), RT_CLASS_LIMIT);
    assert_non_null(strstr(more.why, "this agent has 3 clients of this user or address, the most it may have "
                                     "(listen.max_clients)"));
    peer_close(&more);
    daemon_until(daemon, "turned away, there are too many connections", 1, 3000);
    for (int i = 0; i < 20; i++) {
        peer_close(&peers[i % 3]);
        test_pause(20);
        peer_client(&peers[i % 3], daemon->client);
    }
    for (int i = 0; i < 3; i++) {
        peer_close(&peers[i]);
    }
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_int_equal(daemon_wait(daemon, 3500), 0);
    assert_true(daemon_said(daemon, "turned_away_clients 1 ") >= 1); /* also by the minute, when the machine is slow */
    assert_int_equal(daemon_said(daemon, "turned_away_clients 2 "), 0);
}

/* Few open files: said at the start, and when they are short; whoever comes gets in all the same. */
static void test_few_descriptors(void **state)
{
    struct daemon *daemon = *state;
    struct peer silent[100], peer;

    daemon->files = 150;
    daemon_up(daemon, NULL);
    daemon_until(daemon, "150 open files are allowed, and listen.max_guests and listen.max_clients want ", 1,
                 3000 * TEST_PATIENCE);
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
        peer_open(&silent[i], daemon->client);
    }
    daemon_until(daemon, "clients could not connect, or only in the place of an older handshake", 1,
                 3000 * TEST_PATIENCE);
    test_pause(1000); /* of one flood only RT_SHELL_FDS_SWAP get in at once; it is over by then */
    peer_client(&peer, daemon->client);
    peer_close(&peer);
    for (size_t i = 0; i < sizeof(silent) / sizeof(silent[0]); i++) {
        peer_close(&silent[i]);
    }
    assert_int_equal(kill(daemon->pid, SIGTERM), 0);
    assert_int_equal(daemon_wait(daemon, 3500 * TEST_PATIENCE), 0);
    assert_int_equal(daemon_said(daemon, "evicted-clients 0 "), 0);
}

/* Somebody cleans up too much: a socket that is gone is made anew, with its directory. */
static void test_removed_socket(void **state)
{
    struct daemon *daemon = *state;
    char dir[96], gone[96];
    struct peer peer;

    (void)snprintf(dir, sizeof(dir), "%s/run", daemon->dir);
    (void)snprintf(gone, sizeof(gone), "%s/gone", daemon->dir);
    (void)snprintf(daemon->client, sizeof(daemon->client), "%s/run/c", daemon->dir);
    daemon_up(daemon, NULL);
    assert_int_equal(unlink(daemon->client), 0);
    daemon_until(daemon, "somebody has removed the socket; made anew", 1, 5000);
    peer_client(&peer, daemon->client);
    peer_close(&peer);
    assert_int_equal(rename(dir, gone), 0);
    daemon_until(daemon, "somebody has removed the socket; made anew", 2, 5000);
    peer_client(&peer, daemon->client);
    peer_close(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stranger, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_check_config, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_other_users, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_embedded, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_passed, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_stuck_redis, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_no_redis, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_state_in_use, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_bad_keys, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_duplicate_name, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_accept_cap, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_few_descriptors, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_removed_socket, daemon_setup, daemon_teardown),
        cmocka_unit_test_setup_teardown(test_term, daemon_setup, daemon_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
