/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/embedded.h"
#include "tests/system/store/harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* The private redis-server of an agent without a configured store. */

static char dir[64];

struct owner {
    struct rt_embedded embedded;
    bool up, adopted, closed;
    int error;
    char endpoint[128], why[512];
};

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/rt-embedded-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static pid_t pid_in_file(void)
{
    char path[96];
    char line[32];
    long pid = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/redis.pid", dir);
    file = fopen(path, "r");
    if (file != NULL) {
        if (fgets(line, sizeof(line), file) != NULL) {
            pid = strtol(line, NULL, 10);
        }
        fclose(file);
    }
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int remove_dir(void **state)
{
    pid_t pid = pid_in_file();

    (void)state;
    if (pid > 1) {
        kill(pid, SIGKILL); /* only after a failed test */
    }
    rt_test_remove_tree(dir);
    return 0;
}

static void on_up(void *ctx, const char *endpoint, bool adopted)
{
    struct owner *owner = ctx;

    assert_false(owner->up);
    owner->up = true;
    owner->adopted = adopted;
    snprintf(owner->endpoint, sizeof(owner->endpoint), "%s", endpoint);
}

static void on_failed(void *ctx, int error, const char *why)
{
    struct owner *owner = ctx;

    assert_int_equal(owner->error, 0);
    owner->error = error;
    snprintf(owner->why, sizeof(owner->why), "%s", why);
}

static int start(struct owner *owner, uv_loop_t *on, const char *program)
{
    struct rt_embedded_config config = {
        .dir = dir, .program = program, .ctx = owner, .on_up = on_up, .on_failed = on_failed};

    memset(owner, 0, sizeof(*owner));
    assert_int_equal(rt_embedded_prepare(&owner->embedded, &config, owner->why, sizeof(owner->why)), 0);
    return rt_embedded_start(&owner->embedded, on);
}

static void run(uv_loop_t *on, const bool *flag, const int *error, uint64_t ms)
{
    uint64_t limit = uv_hrtime() + ms * 1000000;

    while (!*flag && !(error != NULL && *error) && uv_hrtime() < limit) {
        uv_run(on, UV_RUN_NOWAIT);
        usleep(2000);
    }
}

static void closed(struct rt_embedded *embedded)
{
    struct owner *owner = (struct owner *)embedded;

    owner->closed = true;
}

static void stop(struct owner *owner)
{
    pid_t pid = owner->embedded.pid;

    rt_embedded_stop(&owner->embedded, closed);
    run(&loop, &owner->closed, NULL, 8000);
    assert_true(owner->closed);
    if (pid) {
        assert_int_equal(kill(pid, 0), -1);
        assert_int_equal(errno, ESRCH);
    }
    uv_run(&loop, UV_RUN_NOWAIT);
    rt_embedded_close(&owner->embedded);
}

static void test_start_and_stop(void **state)
{
    struct owner owner;
    struct agent *a;
    struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_of("t", "c")};
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = key_of("t", "c")};
    pid_t pid;

    (void)state;
    assert_int_equal(start(&owner, &loop, NULL), 0);
    run(&loop, &owner.up, &owner.error, 8000);
    assert_true(owner.up);
    assert_false(owner.adopted);
    pid = owner.embedded.pid;
    assert_int_equal(pid_in_file(), pid);
    assert_int_equal(getsid(pid), pid); /* a session of its own */

    a = agent_start(owner.endpoint, "hosta");
    assert_false(logged(a, "append-only"));
    assert_false(logged(a, "noeviction"));
    assert_int_equal(submit(a, &op), 0);
    agent_stop(a);
    stop(&owner);

    /* Its data are there again. */
    assert_int_equal(start(&owner, &loop, NULL), 0);
    run(&loop, &owner.up, &owner.error, 8000);
    assert_true(owner.up);
    assert_false(owner.adopted);
    a = agent_start(owner.endpoint, "hostb");
    assert_int_equal(submit(a, &get), 0);
    assert_int_equal(a->reply.n_records, 1);
    agent_stop(a);
    stop(&owner);
}

/* An agent that starts the server and is killed. */
static void doomed_agent(void)
{
    uv_loop_t own;
    struct owner owner;

    uv_loop_init(&own);
    if (start(&owner, &own, NULL)) {
        _exit(1);
    }
    run(&own, &owner.up, &owner.error, 8000);
    if (owner.up) {
        kill(getpid(), SIGKILL);
    }
    _exit(2);
}

static void test_adopted_after_a_crash(void **state)
{
    struct owner owner;
    struct agent *a;
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        doomed_agent();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    pid = pid_in_file();
    assert_true(pid > 1);
    assert_int_equal(kill(pid, 0), 0); /* it outlived its agent */
    assert_int_equal(start(&owner, &loop, NULL), 0);
    run(&loop, &owner.up, &owner.error, 8000);
    assert_true(owner.up);
    assert_true(owner.adopted);
    assert_int_equal(owner.embedded.pid, pid);
    a = agent_start(owner.endpoint, "hosta");
    agent_stop(a);
    stop(&owner);
}

/* It dies under us: started again when it had been steady, else an error. */
static void test_dies(void **state)
{
    struct owner owner;
    bool never = false;
    pid_t pid;

    (void)state;
    assert_int_equal(start(&owner, &loop, NULL), 0);
    run(&loop, &owner.up, &owner.error, 8000);
    assert_true(owner.up);
    pid = owner.embedded.pid;
    owner.embedded.up_ms -= RT_EMBEDDED_STEADY_MS; /* as if it had run that long */
    kill(pid, SIGKILL);
    for (int i = 0; i < 100 && (owner.embedded.pid == pid || owner.embedded.state != RT_EMBEDDED_UP); i++) {
        run(&loop, &never, &owner.error, 100);
        assert_int_equal(owner.error, 0);
    }
    assert_int_equal(owner.embedded.state, RT_EMBEDDED_UP);
    assert_int_not_equal(owner.embedded.pid, pid);
    kill(owner.embedded.pid, SIGKILL);
    run(&loop, &never, &owner.error, 3000);
    assert_int_equal(owner.error, RT_EIO);
    assert_non_null(strstr(owner.why, "redis.log"));
    stop(&owner);
}

static void test_cannot_start(void **state)
{
    struct owner owner;
    char script[120];
    FILE *file;

    (void)state;
    assert_int_equal(start(&owner, &loop, "no-such-redis-server"), 0);
    run(&loop, &owner.up, &owner.error, 3000);
    assert_int_equal(owner.error, RT_ENOTFOUND);
    assert_non_null(strstr(owner.why, "install redis-server"));
    stop(&owner);

    /* Ends at once. */
    assert_int_equal(start(&owner, &loop, "false"), 0);
    run(&loop, &owner.up, &owner.error, 3000);
    assert_int_equal(owner.error, RT_EIO);
    stop(&owner);

    /* Never answers: given up after a while, and killed although it ignores TERM. */
    snprintf(script, sizeof(script), "%s/deaf", dir);
    file = fopen(script, "w");
    assert_non_null(file);
    fputs("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.2; done\n", file);
    fclose(file);
    assert_int_equal(chmod(script, 0700), 0);
    assert_int_equal(start(&owner, &loop, script), 0);
    run(&loop, &owner.up, &owner.error, RT_EMBEDDED_START_MS + 2000);
    assert_int_equal(owner.error, RT_ETIMEDOUT);
    stop(&owner);

    memset(script, 'x', sizeof(script) - 1);
    script[sizeof(script) - 1] = '\0';
    struct rt_embedded_config config = {.dir = script, .ctx = &owner, .on_up = on_up, .on_failed = on_failed};
    assert_int_equal(rt_embedded_prepare(&owner.embedded, &config, owner.why, sizeof(owner.why)), RT_EINVAL);
}

/* Somebody else's server sits on the socket: not adopted, not stopped. */
static void test_stranger(void **state)
{
    struct owner owner;
    char path[96];
    FILE *file;
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        doomed_agent();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    pid = pid_in_file();
    snprintf(path, sizeof(path), "%s/redis.pid", dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
    assert_int_equal(start(&owner, &loop, NULL), 0);
    run(&loop, &owner.up, &owner.error, 3000);
    assert_int_equal(owner.error, RT_EIO);
    assert_non_null(strstr(owner.why, "redis.pid"));
    rt_embedded_stop(&owner.embedded, closed);
    run(&loop, &owner.closed, NULL, 3000);
    assert_int_equal(kill(pid, 0), 0);
    rt_embedded_close(&owner.embedded);
    kill(pid, SIGKILL);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_start_and_stop, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_adopted_after_a_crash, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_dies, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_cannot_start, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_stranger, make_dir, remove_dir),
    };

    uv_loop_init(&loop);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
