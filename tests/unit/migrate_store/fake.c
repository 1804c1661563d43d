/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/migrate_store/fake.h"

#include "migrate/core/slots.h"
#include "migrate/store/functions.h"
#include "tests/lib/redis.h"
#include "tests/system/store/harness.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_SIZE 400
#define ANSWER_MAX 512

struct fake_peer {
    union {
        uv_pipe_t pipe;
        uv_tcp_t tcp;
        uv_stream_t stream;
        uv_handle_t handle;
    } at;
    struct fake_peer *next;
    struct fake *fake;
    redisReader *reader; /* owned; of the commands */
    bool silent, subscribed;
    char in[65536];
};

struct answer {
    uv_write_t req;
    char text[];
};

void fake_rule(struct fake *fake, const char *ask, const char *answer, enum fake_then then, size_t times)
{
    assert_true(fake->n_rules < FAKE_RULES_MAX);
    fake->rules[fake->n_rules++] = (struct fake_rule){.ask = ask, .answer = answer, .then = then, .times = times};
}

void fake_no_rules(struct fake *fake)
{
    fake->n_rules = 0;
}

size_t fake_asked(const struct fake *fake, const char *part)
{
    size_t n = 0;

    for (const char *at = fake->asked; (at = strstr(at, part)) != NULL; at = strchr(at, '\n')) {
        n++;
    }
    return n;
}

void fake_forget(struct fake *fake)
{
    fake->n_asked = 0;
    fake->asked[0] = '\0';
}

static void peer_closed_cb(uv_handle_t *handle)
{
    struct fake_peer *peer = handle->data;
    struct fake_peer **at = &peer->fake->peers;

    while (*at != peer) {
        at = &(*at)->next;
    }
    *at = peer->next;
    peer->fake->n_open--;
    redisReaderFree(peer->reader);
    free(peer);
}

static void peer_close(struct fake_peer *peer)
{
    if (!uv_is_closing(&peer->at.handle)) {
        uv_close(&peer->at.handle, peer_closed_cb);
    }
}

static void written_cb(uv_write_t *req, int status)
{
    (void)status;
    free(req);
}

static void say(struct fake_peer *peer, const char *text)
{
    size_t size = strlen(text);
    struct answer *answer = malloc(sizeof(*answer) + size + 1);
    uv_buf_t buf;

    assert_non_null(answer);
    memcpy(answer->text, text, size + 1);
    buf = uv_buf_init(answer->text, (unsigned)size);
    if (size == 0 || uv_write(&answer->req, &peer->at.stream, &buf, 1, written_cb)) {
        free(answer);
    }
}

/* What a server without anything in it says. beat: "FCALL beat 3 rt:{reg}:rows rt:{reg}:names rt:{reg}:birth HOST
 * INSTANCE SEQ ..." */
static void say_usual(struct fake_peer *peer, const char *command)
{
    static const char *const usual[][2] = {
        {"ROLE", FAKE_ROLE},
        {"AUTH", "+OK\r\n"},
        {"CLIENT", "+OK\r\n"},
        {"INFO", FAKE_INFO},
        {"CLUSTER INFO", "$43\r\ncluster_state:ok\r\ncluster_current_epoch:6\r\n\r\n"},
        {"PING", "+PONG\r\n"},
        {"SUBSCRIBE", "*3\r\n$9\r\nsubscribe\r\n$10\r\nrt:claimed\r\n:1\r\n"},
        {"FUNCTION LOAD", "$10\r\nretether_0\r\n"},
        {"WAIT", ":0\r\n"},
        {"ZREM", ":1\r\n"},
        {"PEXPIRE", ":1\r\n"},
        {"CONFIG", "*0\r\n"},
        {"ZRANGE", "*0\r\n"},
        {"ZSCORE", "$1\r\n0\r\n"},
        {"TIME", "*2\r\n$4\r\n1000\r\n$6\r\n000000\r\n"},
        {"HGETALL", "*0\r\n"},
        {"FCALL list ", ":1\r\n"},
        {"FCALL listed ", ":1\r\n"},
        {"FCALL touch", ":1\r\n"},
    };
    const struct fake_beat *beat = &peer->fake->beat;
    char text[ANSWER_MAX];
    unsigned long long seq;

    /* NOLINTNEXTLINE(cert-err34-c): our own commands */
    if (sscanf(command, "FCALL beat 3 rt:{reg}:rows rt:{reg}:names rt:{reg}:birth %*s %*s %llu", &seq) == 1) {
        snprintf(text, sizeof(text), "*7\r\n:%llu\r\n$32\r\n%s\r\n:%llu\r\n:%d\r\n$%zu\r\n%s\r\n:%llu\r\n:%llu\r\n",
                 beat->now_ms, beat->mark, beat->born_ms, beat->taken, strlen(beat->instance), beat->instance,
                 beat->seq_kept ? seq : beat->seq_found, seq + 1);
        say(peer, text);
        return;
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (strncmp(command, usual[i][0], strlen(usual[i][0])) == 0) {
            say(peer, usual[i][1]);
            return;
        }
    }
    say(peer, "-ERR unknown command\r\n");
}

static void obey(struct fake_peer *peer, const char *command)
{
    struct fake *fake = peer->fake;

    for (size_t i = fake->n_rules; i > 0; i--) {
        struct fake_rule rule = fake->rules[i - 1];

        if (strstr(command, rule.ask) == NULL) {
            continue;
        }
        if (rule.times > 0 && --fake->rules[i - 1].times == 0) {
            fake->n_rules--;
            memmove(&fake->rules[i - 1], &fake->rules[i], (fake->n_rules - (i - 1)) * sizeof(rule));
        }
        say(peer, rule.answer);
        peer->silent = rule.then != FAKE_GO_ON;
        if (rule.then == FAKE_CLOSE) {
            peer_close(peer);
        }
        return;
    }
    say_usual(peer, command);
}

/* The words of a command in one line, what is long or not text cut; a function by its name without its version. */
static void read_words(const redisReply *command, char line[LINE_MAX_SIZE])
{
    char version[32];
    size_t at = 0, own = (size_t)snprintf(version, sizeof(version), "rt_%s_", rt_store_functions_version);

    line[0] = '\0';
    assert_int_equal(command->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i < command->elements && at < LINE_MAX_SIZE - 1; i++) {
        const char *word = command->element[i]->len < 200 ? command->element[i]->str : "...";

        word += strncmp(word, version, own) == 0 ? own : 0;
        at += (size_t)snprintf(line + at, LINE_MAX_SIZE - at, "%s%.60s", i > 0 ? " " : "", word);
    }
    for (char *c = line; *c != '\0'; c++) {
        *c = *c == '\n' ? '|' : *c;
    }
}

/* FCALL name n key...: a cluster refuses keys of two slots. */
static void check_slots(const redisReply *command)
{
    redisReply **words = command->element;
    size_t n = command->elements > 2 && strcmp(words[0]->str, "FCALL") == 0 ? strtoul(words[2]->str, NULL, 10) : 0;

    assert_true(n == 0 || n + 3 <= command->elements);
    for (size_t i = 1; i < n; i++) {
        assert_int_equal(rt_slot_of(words[3]->str, words[3]->len), rt_slot_of(words[3 + i]->str, words[3 + i]->len));
    }
}

static void note(struct fake *fake, const char *line)
{
    size_t size = strlen(line);

    if (fake->n_asked + size + 2 > FAKE_ASKED_MAX) {
        fake_forget(fake);
    }
    snprintf(fake->asked + fake->n_asked, FAKE_ASKED_MAX - fake->n_asked, "%s\n", line);
    fake->n_asked += size + 1;
}

static void peer_alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct fake_peer *peer = handle->data;

    (void)suggested;
    *buf = uv_buf_init(peer->in, sizeof(peer->in));
}

static void peer_read_cb(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct fake_peer *peer = stream->data;
    char line[LINE_MAX_SIZE];

    if (size < 0) {
        peer_close(peer);
        return;
    }
    assert_int_equal(redisReaderFeed(peer->reader, buf->base, (size_t)size), REDIS_OK);
    while (!uv_is_closing((uv_handle_t *)stream)) {
        void *command = NULL;

        assert_int_equal(redisReaderGetReply(peer->reader, &command), REDIS_OK);
        if (command == NULL) {
            return;
        }
        read_words(command, line);
        check_slots(command);
        freeReplyObject(command);
        note(peer->fake, line);
        peer->subscribed |= strncmp(line, "SUBSCRIBE", 9) == 0;
        if (!peer->silent) {
            obey(peer, line);
        }
    }
}

static void accept_cb(uv_stream_t *listener, int status)
{
    struct fake *fake = listener->data;
    struct fake_peer *peer = calloc(1, sizeof(*peer));

    assert_int_equal(status, 0);
    assert_non_null(peer);
    fake->n_connections++;
    fake->n_open++;
    peer->fake = fake;
    peer->reader = redisReaderCreate();
    assert_non_null(peer->reader);
    peer->next = fake->peers;
    fake->peers = peer;
    if (fake->port != 0) {
        uv_tcp_init(&loop, &peer->at.tcp);
    } else {
        uv_pipe_init(&loop, &peer->at.pipe, 0);
    }
    peer->at.handle.data = peer;
    assert_int_equal(uv_accept(listener, &peer->at.stream), 0);
    if (fake->port != 0) {
        uv_tcp_nodelay(&peer->at.tcp, 1);
    }
    uv_read_start(&peer->at.stream, peer_alloc_cb, peer_read_cb);
}

int fake_group_setup(void **state)
{
    (void)state;
    /* As every program on libuv does: it writes without MSG_NOSIGNAL. */
    return signal(SIGPIPE, SIG_IGN) == SIG_ERR || uv_loop_init(&loop);
}

int fake_group_teardown(void **state)
{
    (void)state;
    return uv_loop_close(&loop);
}

static void begin(struct fake *fake)
{
    memset(fake, 0, sizeof(*fake));
    fake->beat = (struct fake_beat){
        .now_ms = 1000000, .born_ms = 1000, .mark = FAKE_MARK, .instance = FAKE_OTHER, .seq_kept = true};
}

static void listen_there(struct fake *fake)
{
    fake->listener.handle.data = fake;
    assert_int_equal(uv_listen(&fake->listener.stream, 16, accept_cb), 0);
}

void fake_start_tcp(struct fake *fake)
{
    struct sockaddr_in at;
    int size = sizeof(at);

    begin(fake);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &at), 0);
    uv_tcp_init(&loop, &fake->listener.tcp);
    assert_int_equal(uv_tcp_bind(&fake->listener.tcp, (struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&fake->listener.tcp, (struct sockaddr *)&at, &size), 0);
    fake->port = ntohs(at.sin_port);
    snprintf(fake->endpoint, sizeof(fake->endpoint), "redis://127.0.0.1:%u", fake->port);
    listen_there(fake);
}

void fake_start(struct fake *fake)
{
    begin(fake);
    snprintf(fake->dir, sizeof(fake->dir), "/tmp/rt-fake-XXXXXX");
    assert_non_null(mkdtemp(fake->dir));
    snprintf(fake->path, sizeof(fake->path), "%s/socket", fake->dir);
    snprintf(fake->endpoint, sizeof(fake->endpoint), "redis+unix://%s", fake->path);
    uv_pipe_init(&loop, &fake->listener.pipe, 0);
    assert_int_equal(uv_pipe_bind(&fake->listener.pipe, fake->path), 0);
    listen_there(fake);
}

void fake_say(struct fake *fake, const char *text)
{
    for (struct fake_peer *peer = fake->peers; peer != NULL; peer = peer->next) {
        say(peer, text);
    }
}

void fake_push(struct fake *fake, const char *text)
{
    for (struct fake_peer *peer = fake->peers; peer != NULL; peer = peer->next) {
        if (peer->subscribed) {
            say(peer, text);
        }
    }
}

void fake_cut(struct fake *fake)
{
    for (struct fake_peer *peer = fake->peers; peer != NULL; peer = peer->next) {
        peer_close(peer);
    }
}

static void closed_cb(uv_handle_t *handle)
{
    struct fake *fake = handle->data;

    fake->closed = true;
}

void fake_stop(struct fake *fake)
{
    uv_close(&fake->listener.handle, closed_cb);
    fake_cut(fake);
    while (!fake->closed || fake->n_open > 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    if (fake->port == 0) {
        rt_test_remove_tree(fake->dir);
    }
}
