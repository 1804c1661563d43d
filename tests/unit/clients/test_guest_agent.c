/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"
#include "retether/guest.h"
#include "session/core/digest.h"
#include "session/core/protocol.h"

#include "tests/lib/command.h"
#include "tests/unit/clients/caller.h"

#include <signal.h>

/* The runner in front of an agent: processes attached to, moved, run, ended; and what it tells its caller. */

struct world {
    struct fixture *f;
    struct caller *c;
    struct retether_guest *guest; /* NULL once stopped */
    struct retether_guest_options options;
    bool over, stopped, stop_when_over;
    int status;
    unsigned live, refused, down;
    char reason[RETETHER_GUEST_REASON_MAX], host[65], told[1024];
};

static void stopped_cb(void *ctx)
{
    struct world *w = ctx;

    assert_false(w->stopped);
    w->stopped = true;
}

static void stop(struct world *w)
{
    struct retether_guest *guest = w->guest;

    w->guest = NULL;
    retether_guest_stop(guest, stopped_cb, w);
}

static void over_cb(struct retether_guest *guest, int status, void *ctx)
{
    struct world *w = ctx;

    assert_ptr_equal(guest, w->guest);
    assert_false(w->over);
    w->over = true;
    w->status = status;
    if (w->stop_when_over) {
        stop(w);
    }
}

static void event_cb(struct retether_guest *guest, const struct retether_guest_event *event, void *ctx)
{
    struct world *w = ctx;
    size_t used = strlen(w->told);

    (void)guest;
    assert_string_not_equal(event->from, event->to);
    if (event->kind == RETETHER_GUEST_PROCESS) {
        snprintf(w->told + used, sizeof(w->told) - used, "%u:%s;", event->process, event->to);
        return;
    }
    w->live += strcmp(event->to, "live") == 0;
    w->down += strcmp(event->to, "down") == 0;
    if (strcmp(event->to, "refused") == 0) {
        w->refused++;
        snprintf(w->reason, sizeof(w->reason), "%s", event->reason);
    }
    if (strcmp(event->to, "live") == 0) {
        snprintf(w->host, sizeof(w->host), "%s", event->host);
    }
}

static int setup(void **state)
{
    static struct world world;
    struct world *w = &world;
    void *fixture;

    memset(w, 0, sizeof(*w));
    assert_int_equal(fixture_setup(&fixture), 0);
    w->f = fixture;
    w->c = caller_open(w->f);
    w->stop_when_over = true;
    peer_listen(&w->f->peer[0]);
    retether_guest_defaults(&w->options, sizeof(w->options));
    w->options.agent = w->f->peer[0].address;
    w->options.cid = "c1";
    w->options.token = "rtj1.Zm9v";
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    void *fixture = w->f;

    if (w->guest != NULL) {
        stop(w);
    }
    for (unsigned i = 0; i < FX_LIMIT_MS && !w->stopped; i++) {
        (void)uv_run(&w->f->loop, UV_RUN_ONCE);
    }
    return w->stopped ? fixture_teardown(&fixture) : -1;
}

static void start(struct world *w, const char *script)
{
    const struct retether_guest_callbacks callbacks = {
        .size = sizeof(callbacks), .event = event_cb, .over = over_cb, .ctx = w};
    const char *const argv[] = {"sh", "-c", script, NULL};
    char why[256] = "";

    w->options.argv = argv;
    assert_int_equal(retether_guest_new(&w->f->loop, &w->options, &callbacks, &w->guest, why, sizeof(why)), RT_OK);
    assert_int_equal(retether_guest_start(w->guest), RT_OK);
}

static void until_text(struct world *w, unsigned n, const char *text)
{
    FIXTURE_UNTIL(w->f, caller_has(w->c, n, text));
}

static void until_over(struct world *w, int status)
{
    FIXTURE_UNTIL(w->f, w->over && w->stopped);
    assert_int_equal(w->status, status);
}

/* ---- one process ---- */

static void test_echo(void **state)
{
    struct world *w = *state;
    struct rt_hello_msg hello;
    struct kept kept;

    start(w, "read a; echo got $a; echo err >&2; exit 3");
    kept = peer_expect(w->f, RT_HELLO);
    fixture_decode(RT_MSG_HELLO, kept.payload, kept.head.length, &hello);
    assert_true(rt_slice_equal(hello.role, rt_slice_text("guest")));
    assert_true(rt_slice_equal(hello.cid, rt_slice_text("c1")));
    assert_true(rt_slice_equal(hello.tok, rt_slice_text("foo")));
    FIXTURE_UNTIL(w->f, w->c->att[0].bound);
    assert_string_equal(w->host, "h0");
    caller_input(w->c, 0, "hello\n", 6);
    until_over(w, 3);
    assert_string_equal((char *)w->c->att[0].out[0].data, "got hello\n");
    assert_string_equal((char *)w->c->att[0].out[1].data, "err\n");
    assert_int_equal(w->c->att[0].exit.code, 3);
    assert_int_equal(w->c->att[0].exit.out, 10);
    assert_int_equal(w->c->end.code, 3);
    assert_int_equal(w->c->tail_size[0], 10);
    assert_int_equal(w->c->tail_size[1], 4);
    assert_true(w->c->reports > 0);
    assert_string_equal(w->told, "0:running;0:exited;");
}

static void test_stdin_end(void **state)
{
    struct world *w = *state;

    start(w, "cat; echo end");
    FIXTURE_UNTIL(w->f, w->c->att[0].bound);
    caller_input(w->c, 0, "abc", 3);
    caller_input_end(w->c, 0);
    until_over(w, 0);
    assert_string_equal((char *)w->c->att[0].out[0].data, "abcend\n");
}

/* The process closes its stdin: that is told, and nothing is written into it. */
static void test_stdin_closed(void **state)
{
    struct world *w = *state;

    start(w, "exec <&-; echo closed; sleep 0.1; kill -TERM $$");
    FIXTURE_UNTIL(w->f, w->c->att[0].closed);
    until_over(w, 128 + SIGTERM);
    assert_int_equal(w->c->end.sig, SIGTERM);
}

static void test_signals(void **state)
{
    struct world *w = *state;

    start(w, "trap 'echo usr1' USR1; trap 'exit 4' INT; echo ready; while :; do sleep 0.02; done");
    until_text(w, 0, "ready");
    caller_item(w->c, 0, &(struct rt_down_item){.t = RT_ITEM_SIGNAL, .sig = SIGUSR1});
    until_text(w, 0, "usr1");
    retether_guest_signal(w->guest, SIGINT); /* from this side */
    until_over(w, 4);
}

/* Input beyond what the process reads waits; none is lost by a cut. */
static void test_cut(void **state)
{
    struct world *w = *state;
    static char bytes[20000];

    memset(bytes, 'x', sizeof(bytes));
    start(w, "echo ready; head -c 20000 | wc -c; read x; exit 0");
    until_text(w, 0, "ready");
    caller_input(w->c, 0, bytes, 10000);
    peer_cut(&w->f->peer[0]);
    FIXTURE_UNTIL(w->f, w->live == 2 && w->c->att[0].bound);
    assert_int_equal(w->f->peer[0].epoch, 2);
    caller_input(w->c, 0, bytes, 10000);
    until_text(w, 0, "20000");
    peer_cut(&w->f->peer[0]);
    caller_input_end(w->c, 0);
    until_over(w, 0);
    assert_true(w->c->attaches >= 3);
}

static void test_refused(void **state)
{
    struct world *w = *state;

    w->f->peer[0].refuse = RT_CLASS_RETRY_LATER;
    start(w, "exit 0");
    until_over(w, 0);
    assert_int_equal(w->refused, 1);
    assert_string_equal(w->reason, "RETRY_LATER: not here");
}

/* END is repeated until somebody has it. */
static void test_slow_end(void **state)
{
    struct world *w = *state;

    w->c->slow_end = true;
    start(w, "exit 6");
    FIXTURE_UNTIL(w->f, w->c->ended && caller_exited(w->c, 0));
    fixture_settle(w->f);
    assert_false(w->over);
    w->c->slow_end = false;
    until_over(w, 6);
}

static void test_cannot_run(void **state)
{
    struct world *w = *state;
    static const char *const argv[] = {"/nonexistent/command", NULL};
    const struct retether_guest_callbacks callbacks = {.size = sizeof(callbacks), .over = over_cb, .ctx = w};
    char why[256] = "";

    w->options.argv = argv;
    assert_int_equal(retether_guest_new(&w->f->loop, &w->options, &callbacks, &w->guest, why, sizeof(why)), RT_OK);
    assert_int_equal(retether_guest_start(w->guest), RT_OK);
    until_over(w, 127);
    assert_int_equal(w->c->att[0].exit.code, 127);
}

/* A grandchild that holds the pipes is waited for so long, and no longer. */
static void test_drain(void **state)
{
    struct world *w = *state;
    long sleeper;

    w->options.drain_timeout_ms = 50;
    start(w, "sleep 20 & echo $!; exit 2");
    until_over(w, 2);
    assert_non_null(strstr(w->told, "0:exited;0:closed;"));
    sleeper = strtol((const char *)w->c->att[0].out[0].data, NULL, 10);
    assert_true(sleeper > 1);
    (void)kill((pid_t)sleeper, SIGKILL);
}

/* ---- a ring that gets full again and again ---- */

/* The client takes stdout of attachment 0 without keeping it, and acknowledges it when the ring is full. */
struct far {
    bool (*caller)(struct fixture *f, struct link *link, const struct rt_frame *head, const uint8_t *payload);
    struct rt_digest digest;
    uint32_t channel;
};

static struct far far;

static bool far_frame(struct fixture *f, struct link *link, const struct rt_frame *head, const uint8_t *payload)
{
    if (head->stream != RT_STDOUT || (head->type != RT_DATA && head->type != RT_FIN)) {
        return far.caller(f, link, head, payload);
    }
    far.channel = head->channel;
    rt_digest_extend(&far.digest, payload, head->length);
    assert_true(far.digest.at == head->offset + head->length);
    if (head->type == RT_FIN) {
        link_ack(link, head->channel, RT_STDOUT, head->offset, head->offset, rt_digest_value(&far.digest), RT_ACK_FIN);
    }
    return true;
}

static void far_acks(struct world *w)
{
    if (far.channel != 0) {
        link_ack(w->c->link, far.channel, RT_STDOUT, far.digest.at, far.digest.at + UINT64_C(8) * RT_GUEST_BUDGET,
                 rt_digest_value(&far.digest), 0);
    }
}

/* Acknowledges when the ring is full. */
static bool far_has(struct world *w, uint64_t size)
{
    if (w->guest->processes->out.pause) {
        far_acks(w);
    }
    return far.digest.at == size;
}

/* A burst of small writes lets the pipe rest when the ring gets full. An ACK comes within that millisecond, and the
 * read that follows fills just what it has made room for, an eighth of the ring: then nothing may be left that says
 * that there is none. All sizes are whole pages, so that the pipe holds as much as one read takes. */
static void test_full_at_rest(void **state)
{
    static const char script[] =
        "exec perl -e '"
        "while (<STDIN>) {"
        "    $n = 4096 * (8 + $. % 16);"
        "    syswrite STDOUT, \"x\" x (2097152 - 32768 - $n); select undef, undef, undef, 0.003;"
        "    syswrite STDOUT, \"x\" x 64 for 1..$n / 64; syswrite STDOUT, \"x\" x 1048576;"
        "}'";
    struct world *w = *state;

    far = (struct far){.caller = w->f->on_frame};
    rt_digest_start(&far.digest, 0);
    w->f->on_frame = far_frame;
    w->options.ring_bytes = UINT64_C(8) * RT_GUEST_BUDGET;
    start(w, script);
    FIXTURE_UNTIL(w->f, w->c->att[0].bound);
    for (unsigned i = 1; i <= 300; i++) {
        far_acks(w);
        caller_input(w->c, 0, "\n", 1);
        FIXTURE_UNTIL(w->f, far_has(w, i * UINT64_C(3112960)));
    }
    caller_input_end(w->c, 0);
    until_over(w, 0);
}

/* ---- terminals, exec ---- */

static void test_tty(void **state)
{
    struct world *w = *state;

    w->options.tty = true;
    w->options.rows = 11;
    w->options.cols = 22;
    start(w, "stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done");
    until_text(w, 0, "ready");
    assert_true(w->c->att[0].attached.tty);
    assert_true(caller_has(w->c, 0, "11 22"));
    caller_item(w->c, 0, &(struct rt_down_item){.t = RT_ITEM_RESIZE, .rows = 33, .cols = 44});
    until_text(w, 0, "33 44");
    until_over(w, 0);
}

static void ask_exec(struct world *w, const char *const *argv, bool tty)
{
    static const char *const env[] = {"WORD=exec", NULL};
    struct rt_down_item item = rt_test_command(argv, env, "/");

    w->c->exec_tty = tty;
    caller_attach(w->c, 1);
    FIXTURE_UNTIL(w->f, w->c->att[1].bound);
    caller_item(w->c, 1, &item);
}

static void ask_script(struct world *w, const char *script, bool tty)
{
    ask_exec(w, (const char *const[]){"sh", "-c", script, NULL}, tty);
}

static void test_exec(void **state)
{
    struct world *w = *state;

    start(w, "echo ready; read x; exit 1");
    until_text(w, 0, "ready");
    ask_script(w, "read a; echo $WORD $a $(pwd); exit 9", false);
    caller_input(w->c, 1, "in\n", 3);
    FIXTURE_UNTIL(w->f, caller_exited(w->c, 1));
    assert_string_equal((char *)w->c->att[1].out[0].data, "exec in /\n");
    assert_int_equal(w->c->att[1].exit.code, 9);
    caller_input(w->c, 0, "\n", 1);
    until_over(w, 1);
    assert_string_equal(w->told, "0:running;1:running;1:exited;0:exited;");
}

/* A command that is not there ends with 127, and the container goes on. */
static void test_exec_not_found(void **state)
{
    struct world *w = *state;

    start(w, "echo ready; read x; exit 0");
    until_text(w, 0, "ready");
    ask_exec(w, (const char *const[]){"no-such-command", NULL}, false);
    FIXTURE_UNTIL(w->f, caller_exited(w->c, 1));
    assert_int_equal(w->c->att[1].exit.code, 127);
    caller_input_end(w->c, 0);
    until_over(w, 0);
}

/* What a system call cannot be given whole is not run cut off. */
static void test_exec_with_nul(void **state)
{
    struct world *w = *state;
    static const char *const argv[3][3] = {{"echo", "a~b", NULL}, {"echo", NULL}, {"echo", NULL}};
    static const char *const env[3][2] = {{NULL}, {"A=a~b", NULL}, {NULL}};
    static const char *const cwd[3] = {"/", "/", "/~b"};

    start(w, "echo ready; read x; exit 0");
    until_text(w, 0, "ready");
    for (unsigned i = 0; i < 3; i++) {
        struct rt_down_item item = rt_test_command(argv[i], env[i], cwd[i]);
        uint8_t what[RT_PIECE_MAX];
        uint8_t *at;

        memcpy(what, item.b.data, item.b.size);
        at = memchr(what, '~', item.b.size);
        assert_non_null(at);
        *at = '\0';
        item.b.data = what;
        caller_attach(w->c, 1 + i);
        FIXTURE_UNTIL(w->f, w->c->att[1 + i].bound);
        caller_item(w->c, 1 + i, &item);
        FIXTURE_UNTIL(w->f, caller_exited(w->c, 1 + i));
        assert_int_equal(w->c->att[1 + i].exit.code, 126);
    }
    caller_input_end(w->c, 0);
    until_over(w, 0);
}

/* ---- stopped ---- */

static void test_stopped_when_live(void **state)
{
    struct world *w = *state;

    start(w, "echo ready; cat");
    until_text(w, 0, "ready");
    stop(w);
    FIXTURE_UNTIL(w->f, w->stopped);
    assert_false(w->over);
    FIXTURE_UNTIL(w->f, peer_link(&w->f->peer[0]) == NULL);
}

/* Not stopped within `over`, but later; no second `over` comes. */
static void test_stopped_after_over(void **state)
{
    struct world *w = *state;

    w->stop_when_over = false;
    start(w, "exit 5");
    FIXTURE_UNTIL(w->f, w->over);
    fixture_settle(w->f);
    retether_guest_signal(w->guest, SIGTERM); /* to nobody */
    stop(w);
    FIXTURE_UNTIL(w->f, w->stopped);
    assert_int_equal(w->status, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_echo),
        TEST(test_stdin_end),
        TEST(test_stdin_closed),
        TEST(test_signals),
        TEST(test_cut),
        TEST(test_refused),
        TEST(test_slow_end),
        TEST(test_cannot_run),
        TEST(test_drain),
        TEST(test_full_at_rest),
        TEST(test_tty),
        TEST(test_exec),
        TEST(test_exec_not_found),
        TEST(test_exec_with_nul),
        TEST(test_stopped_when_live),
        TEST(test_stopped_after_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
