/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/lib/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_LIMIT_MS 60000
#define STEP_MS 10
#define PORT_TRIES 5
#define COMMAND_LIMIT_MS 5000

static int fail(const char *what)
{
    fprintf(stderr, "redis fixture: %s: %s\n", what, strerror(errno));
    return -1;
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&time, NULL);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    remove(path);
    return 0;
}

void rt_test_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

uint16_t rt_test_free_port(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint16_t port = 0;

    if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
        getsockname(fd, (struct sockaddr *)&addr, &size) == 0) {
        port = ntohs(addr.sin_port);
    }
    if (fd >= 0) {
        close(fd);
    }
    return port;
}

/* A connection that is logged in; or NULL. */
static redisContext *open_client(const struct rt_test_redis *redis, unsigned limit_ms)
{
    const struct timeval limit = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000L};
    redisContext *context = redis->pid != 0 ? redisConnectUnixWithTimeout(redis->socket, limit) : NULL;

    if (context != NULL && (context->err != 0 || redisSetTimeout(context, limit) != REDIS_OK)) {
        redisFree(context);
        return NULL;
    }
    if (context != NULL && redis->password != NULL) { /* before the server has its password it has none */
        freeReplyObject(redisCommand(context, "AUTH %s", redis->password));
    }
    return context;
}

redisReply *rt_test_redis_ask(const struct rt_test_redis *redis, unsigned limit_ms, const char *line)
{
    redisContext *context = open_client(redis, limit_ms);
    char command[RT_TEST_REDIS_LINE_MAX];
    int size = snprintf(command, sizeof(command), "%s\r\n", line);
    void *reply = NULL;

    if (context == NULL) {
        return NULL;
    }
    if (size >= (int)sizeof(command) || redisAppendFormattedCommand(context, command, (size_t)size) != REDIS_OK ||
        redisGetReply(context, &reply) != REDIS_OK) {
        reply = NULL;
    }
    redisFree(context);
    return reply;
}

int rt_test_redis_command(struct rt_test_redis *redis, const char *command, char *answer, size_t size)
{
    redisReply *reply = rt_test_redis_ask(redis, COMMAND_LIMIT_MS, command);

    answer[0] = '\0'; /* it may have held the command */
    if (reply == NULL) {
        return -1;
    }
    switch (reply->type) {
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        snprintf(answer, size, "%c%s", reply->type == REDIS_REPLY_ERROR ? '-' : '+', reply->str);
        break;
    case REDIS_REPLY_INTEGER:
        snprintf(answer, size, ":%lld", reply->integer);
        break;
    case REDIS_REPLY_ARRAY:
        snprintf(answer, size, "*%zu", reply->elements);
        break;
    case REDIS_REPLY_STRING:
        snprintf(answer, size, "%s", reply->str);
        break;
    default:
        snprintf(answer, size, "$-1");
        break;
    }
    freeReplyObject(reply);
    return 0;
}

/* What this process says goes to its log; then it is that program. */
static void run(const struct rt_test_redis *redis, const char *const *argv)
{
    char log[80];
    int fd;

    snprintf(log, sizeof(log), "%s/log", redis->dir);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    for (size_t i = 0; i < RT_TEST_REDIS_ENV_MAX && redis->env[i] != NULL; i++) {
        putenv((char *)(uintptr_t)redis->env[i]);
    }
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void sentinel(const struct rt_test_redis *redis)
{
    char path[80];
    FILE *file;

    snprintf(path, sizeof(path), "%s/conf", redis->dir);
    file = fopen(path, "w");
    if (file == NULL) {
        _exit(1);
    }
    fprintf(file,
            "%sport %u\nbind 127.0.0.1\nprotected-mode no\nunixsocket %s\ndir %s\n"
            "sentinel monitor main 127.0.0.1 %u 2\nsentinel down-after-milliseconds main 1000\n"
            "sentinel failover-timeout main 20000\n",
            redis->tls != NULL ? "port 0\ntls-" : "", redis->port, redis->socket, redis->dir, redis->primary);
    if (redis->tls != NULL) {
        fprintf(file,
                "tls-cert-file %s/cert.pem\ntls-key-file %s/key.pem\ntls-ca-cert-file %s/ca.pem\n"
                "tls-replication yes\n",
                redis->tls, redis->tls, redis->tls);
    }
    if (redis->password != NULL) {
        fprintf(file, "requirepass %s\nsentinel sentinel-pass %s\n", redis->password, redis->password);
    }
    if (redis->primary_password != NULL) {
        fprintf(file, "sentinel auth-pass main %s\n", redis->primary_password);
    }
    fclose(file);
    run(redis, (const char *const[]){"redis-server", path, "--sentinel", NULL});
}

static size_t add_tls(const struct rt_test_redis *redis, const char **argv)
{
    static char cert[128], key[128], ca[128];
    const char *const options[] = {"--tls-cert-file",   cert,  "--tls-key-file", key, "--tls-ca-cert-file", ca,
                                   "--tls-replication", "yes", "--port",         "0", "--tls-port"};

    snprintf(cert, sizeof(cert), "%s/cert.pem", redis->tls);
    snprintf(key, sizeof(key), "%s/key.pem", redis->tls);
    snprintf(ca, sizeof(ca), "%s/ca.pem", redis->tls);
    memcpy(argv, options, sizeof(options));
    return sizeof(options) / sizeof(options[0]);
}

static void child(const struct rt_test_redis *redis, pid_t parent)
{
    const char *argv[64] = {"redis-server",
                            "--daemonize",
                            "no",
                            "--save",
                            "",
                            "--appendfsync",
                            "always",
                            "--bind",
                            "127.0.0.1",
                            "--repl-diskless-sync-delay",
                            "0"};
    char port[8], bus[8], primary[32];
    size_t n = 11;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    if (redis->sentinel) {
        sentinel(redis);
    }
    snprintf(port, sizeof(port), "%u", redis->port);
    if (redis->tls != NULL) {
        n += add_tls(redis, &argv[n]);
    } else {
        argv[n++] = "--port";
    }
    argv[n++] = port;
    if (redis->password != NULL) {
        argv[n++] = "--requirepass";
        argv[n++] = redis->password;
        argv[n++] = "--masterauth";
        argv[n++] = redis->password;
    }
    argv[n++] = "--unixsocket";
    argv[n++] = redis->socket;
    argv[n++] = "--dir";
    argv[n++] = redis->dir;
    argv[n++] = "--appendonly";
    argv[n++] = "yes";
    if (redis->cluster) {
        snprintf(bus, sizeof(bus), "%u", redis->bus);
        argv[n++] = "--cluster-enabled";
        argv[n++] = "yes";
        argv[n++] = "--cluster-port";
        argv[n++] = bus;
    }
    if (redis->primary) {
        snprintf(primary, sizeof(primary), "127.0.0.1 %u", redis->primary);
        argv[n++] = "--replicaof";
        argv[n++] = primary;
    }
    for (size_t i = 0; i < RT_TEST_REDIS_OPTIONS_MAX && redis->options[i] != NULL; i++) {
        argv[n++] = redis->options[i];
    }
    argv[n] = NULL;
    run(redis, argv);
}

static void show_log(const struct rt_test_redis *redis)
{
    char path[80], line[512];
    FILE *file;

    snprintf(path, sizeof(path), "%s/log", redis->dir);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        fputs(line, stderr);
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* It has ended before it answered: of a log that says nothing the status is all there is. */
static int ended(struct rt_test_redis *redis, int status)
{
    redis->pid = 0;
    fprintf(stderr, "redis fixture: redis-server ended with %s %d%s\n", WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
            WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ": is it installed?" : "");
    return -1;
}

static int spawn(struct rt_test_redis *redis)
{
    pid_t parent = getpid();
    char answer[64];
    int status;

    unlink(redis->socket);
    redis->pid = fork();
    if (redis->pid < 0) {
        redis->pid = 0;
        return fail("fork");
    }
    if (redis->pid == 0) {
        child(redis, parent);
    }
    for (int ms = 0; ms < START_LIMIT_MS; ms += STEP_MS) {
        if (rt_test_redis_command(redis, "PING", answer, sizeof(answer)) == 0 && strcmp(answer, "+PONG") == 0) {
            return 0;
        }
        if (waitpid(redis->pid, &status, WNOHANG) == redis->pid) {
            return ended(redis, status); /* the port may have been taken meanwhile */
        }
        pause_ms(STEP_MS);
    }
    errno = ETIMEDOUT;
    return fail("no answer");
}

static int start(struct rt_test_redis *redis)
{
    snprintf(redis->dir, sizeof(redis->dir), "%s/rt-redis-XXXXXX", "/tmp");
    if (mkdtemp(redis->dir) == NULL) {
        redis->dir[0] = '\0';
        return fail("mkdtemp");
    }
    snprintf(redis->socket, sizeof(redis->socket), "%s/socket", redis->dir);
    snprintf(redis->unix_endpoint, sizeof(redis->unix_endpoint), "redis+unix://%s", redis->socket);
    for (int i = 0; i < PORT_TRIES; i++) {
        redis->port = rt_test_free_port();
        redis->bus = rt_test_free_port();
        snprintf(redis->tcp_endpoint, sizeof(redis->tcp_endpoint), "redis%s://127.0.0.1:%u",
                 redis->tls != NULL ? "s" : "", redis->port);
        if (spawn(redis) == 0) {
            return 0;
        }
        if (redis->pid) {
            break;
        }
    }
    show_log(redis);
    rt_test_redis_stop(redis);
    return -1;
}

/* A node serves a moment after it has its slots. */
static int take_slots(struct rt_test_redis *redis)
{
    char answer[128];

    if (rt_test_redis_command(redis, "CLUSTER ADDSLOTSRANGE 0 16383", answer, sizeof(answer)) != 0 ||
        strcmp(answer, "+OK") != 0) {
        return fail("CLUSTER ADDSLOTSRANGE");
    }
    for (int ms = 0; ms < START_LIMIT_MS; ms += STEP_MS) {
        if (rt_test_redis_command(redis, "GET x", answer, sizeof(answer)) == 0 && answer[0] == '$') {
            return 0;
        }
        pause_ms(STEP_MS);
    }
    errno = ETIMEDOUT;
    return fail("the cluster does not come up");
}

static void set_options(struct rt_test_redis *redis, const char *const *options)
{
    for (size_t i = 0; options != NULL && options[i] != NULL && i < RT_TEST_REDIS_OPTIONS_MAX; i++) {
        redis->options[i] = options[i];
    }
}

int rt_test_redis_start(struct rt_test_redis *redis, const struct rt_test_redis *primary, const char *const *options)
{
    memset(redis, 0, sizeof(*redis));
    redis->primary = primary != NULL ? primary->port : 0;
    set_options(redis, options);
    redis->cluster = redis->alone = primary == NULL && getenv("RT_TEST_REDIS_CLUSTER") != NULL;
    if (start(redis) != 0) {
        return -1;
    }
    return redis->alone ? take_slots(redis) : 0;
}

int rt_test_redis_start_node(struct rt_test_redis *redis, const char *const *options)
{
    memset(redis, 0, sizeof(*redis));
    redis->cluster = true;
    set_options(redis, options);
    return start(redis);
}

int rt_test_redis_start_tls(struct rt_test_redis *redis, const struct rt_test_redis *primary, const char *tls,
                            const char *password)
{
    memset(redis, 0, sizeof(*redis));
    redis->primary = primary != NULL ? primary->port : 0;
    redis->tls = tls;
    redis->password = password;
    return start(redis);
}

int rt_test_sentinel_start(struct rt_test_redis *sentinel, const struct rt_test_redis *primary)
{
    return rt_test_sentinel_start_tls(sentinel, primary, NULL);
}

int rt_test_sentinel_start_tls(struct rt_test_redis *sentinel, const struct rt_test_redis *primary,
                               const char *password)
{
    memset(sentinel, 0, sizeof(*sentinel));
    sentinel->sentinel = true;
    sentinel->primary = primary->port;
    sentinel->tls = primary->tls;
    sentinel->primary_password = primary->password;
    sentinel->password = password;
    return start(sentinel);
}

/* How many usable ones CKQUORUM counts: "+OK 3 usable Sentinels. ..." */
static unsigned usable(struct rt_test_redis *sentinel)
{
    static const char good[] = "+OK ";
    char answer[256];

    return rt_test_redis_command(sentinel, "SENTINEL CKQUORUM main", answer, sizeof(answer)) == 0 &&
                   strncmp(answer, good, sizeof(good) - 1) == 0
               ? (unsigned)strtoul(answer + sizeof(good) - 1, NULL, 10)
               : 0;
}

int rt_test_sentinel_wait(struct rt_test_redis *sentinel, unsigned others, unsigned replicas)
{
    char answer[64], wanted[16];

    snprintf(wanted, sizeof(wanted), "*%u", replicas);
    for (int ms = 0; ms < START_LIMIT_MS; ms += 10 * STEP_MS) {
        if (usable(sentinel) == others + 1 &&
            rt_test_redis_command(sentinel, "SENTINEL REPLICAS main", answer, sizeof(answer)) == 0 &&
            strcmp(answer, wanted) == 0) {
            return 0;
        }
        pause_ms(10L * STEP_MS);
    }
    errno = ETIMEDOUT;
    show_log(sentinel);
    return fail("Sentinels do not find each other");
}

static int send_signal(struct rt_test_redis *redis, int signal)
{
    if (redis->pid <= 0 || kill(redis->pid, signal)) {
        return fail("kill");
    }
    return 0;
}

int rt_test_redis_pause(struct rt_test_redis *redis)
{
    return send_signal(redis, SIGSTOP);
}

int rt_test_redis_resume(struct rt_test_redis *redis)
{
    return send_signal(redis, SIGCONT);
}

int rt_test_redis_kill(struct rt_test_redis *redis)
{
    if (send_signal(redis, SIGKILL)) {
        return -1;
    }
    while (waitpid(redis->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    redis->pid = 0;
    return 0;
}

int rt_test_redis_restart(struct rt_test_redis *redis, bool empty)
{
    char path[96];

    if (empty) {
        snprintf(path, sizeof(path), "%s/appendonlydir", redis->dir);
        rt_test_remove_tree(path);
    }
    if (spawn(redis)) {
        show_log(redis);
        return -1;
    }
    return 0;
}

int rt_test_redis_promote(struct rt_test_redis *redis)
{
    char answer[64];

    redis->primary = 0;
    return rt_test_redis_command(redis, "REPLICAOF NO ONE", answer, sizeof(answer));
}

/* The server counts its refusals by their first word. */
static void check_slots(struct rt_test_redis *redis)
{
    char answer[64];

    if (rt_test_redis_command(redis,
                              "EVAL \"return string.find(redis.call('INFO', 'errorstats'), 'CROSSSLOT') or 0\" 0",
                              answer, sizeof(answer)) != 0 ||
        strcmp(answer, ":0") != 0) {
        fprintf(stderr, "redis fixture: a command had keys of two slots (%s)\n", answer);
        abort();
    }
}

void rt_test_redis_stop(struct rt_test_redis *redis)
{
    if (redis->pid > 0 && redis->alone) {
        check_slots(redis);
    }
    if (redis->pid > 0) {
        rt_test_redis_kill(redis);
    }
    if (redis->dir[0] != '\0') {
        rt_test_remove_tree(redis->dir);
        redis->dir[0] = '\0';
    }
}
