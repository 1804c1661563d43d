/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/core/order.h"
#include "tests/fuzz/redis_world.h"
#include "tests/fuzz/store_check.h"

#include <string.h>

/* The store as the agent has it: three connections that are dialled, greeted, lost and dialled again, heartbeats,
 * operations of several steps. The fuzzer is the server, and the Sentinels, the network, the clock, and who asks. Each
 * operation is answered once, whatever comes; and once the server is as it should be, the store is up. */

/* Operations that wait; one more is not asked. */
#define OPS_MAX 64
/* In one step. */
#define PASS_MAX_MS 100000
/* How long an honest server may take to be found: back-offs, a heartbeat, 11 s of a name that was another's, and 10 s
 * of Sentinels who had said a newer epoch. */
#define HEAL_MS 45000
#define HEAL_STEPS_MAX 4000

static struct {
    struct rt_store store;
    struct {
        uint64_t id;
        enum rt_store_op_kind kind;
    } ops[OPS_MAX];
    size_t n_ops;
    uint64_t last_id;
    size_t cut;       /* the next bytes of the server come in two parts, the first of this size */
    unsigned stop_in; /* the store is stopped from within so many callbacks from now; 0: not */
    bool stopped, closed;
    bool broken; /* a connection may owe more, or fewer, answers than the store waits for */
} asker;

static void closed_cb(struct rt_store *store)
{
    FUZZ_CHECK(store == &asker.store && asker.stopped && !asker.closed);
    asker.closed = true;
}

static void stop(void)
{
    if (!asker.stopped) {
        asker.stopped = true;
        rt_store_stop(&asker.store, closed_cb);
    }
}

static void in_callback(void)
{
    FUZZ_CHECK(!asker.closed);
    if (asker.stop_in > 0 && --asker.stop_in == 0) {
        stop();
    }
}

static void check_reply(const struct rt_store_reply *reply)
{
    bool one = reply->kind == RT_STORE_GET || reply->kind == RT_STORE_HOST_ROW;
    FUZZ_CHECK(reply->error == 0 || reply->error == RT_EUNAVAIL || reply->error == RT_ETIMEDOUT ||
               reply->error == RT_ELIMIT || reply->error == RT_ENOTFOUND || reply->error == RT_ECANCELED ||
               reply->error == RT_EPROTO);
    FUZZ_CHECK(reply->n_records <= (one ? 1 : RT_LIST_MAX) && reply->n_hosts <= (one ? 1 : RT_HOSTS_PAGE));
    FUZZ_CHECK(reply->past.size <= RT_PAST_MAX);
    for (size_t i = 0; i < reply->n_records; i++) {
        store_check_record(&reply->records[i]);
    }
    for (size_t i = 0; i < reply->n_hosts; i++) {
        store_check_host(&reply->hosts[i]);
    }
    store_check_outcome(&reply->outcome);
    store_check_text(reply->next, sizeof(reply->next));
    store_check_text(reply->cursor.host, sizeof(reply->cursor.host));
    store_check_text(reply->cursor.member, sizeof(reply->cursor.member));
    if (reply->kind == RT_STORE_TAILS && reply->error == 0 && reply->end.ord.size > 0) {
        const uint64_t size[2] = {reply->tail[0].size, reply->tail[1].size};
        FUZZ_CHECK(rt_order_unpack(reply->end.ord, size, NULL) > 0);
    }
}

static void on_reply(void *ctx, const struct rt_store_reply *reply)
{
    size_t i = 0;
    FUZZ_CHECK(ctx == &asker);
    while (i < asker.n_ops && asker.ops[i].id != reply->id) {
        i++;
    }
    FUZZ_CHECK(i < asker.n_ops && asker.ops[i].kind == reply->kind); /* else it is a second answer */
    asker.ops[i] = asker.ops[--asker.n_ops];
    check_reply(reply);
    in_callback();
}

static void on_news(void *ctx, const struct rt_store_news *news)
{
    FUZZ_CHECK(ctx == &asker);
    store_check_news(news);
    in_callback();
}

static void on_log(void *ctx, enum rt_log_level level, const char *line)
{
    FUZZ_CHECK(ctx == &asker && level <= RT_LOG_DEBUG && line[0] != '\0');
}

static void open_store(uint8_t options)
{
    static uv_loop_t loop;
    struct rt_store_config config = {.endpoints = {"redis+unix:///redis"},
                                     .n_endpoints = 1,
                                     .host = "h0",
                                     .addr = {"tls:10.0.0.1:7401"},
                                     .n_addr = 1,
                                     .version = "1",
                                     .machine = options & 4 ? "m" : NULL,
                                     .tails_host = 1000,
                                     .tails_all = 2000,
                                     .ctx = &asker,
                                     .on_reply = on_reply,
                                     .on_news = on_news,
                                     .on_log = on_log};
    if (options & 2) {
        config.endpoints[0] = "sentinel://main@10.0.0.1:26379,10.0.0.2:26379";
        config.login_file = config.sentinel_login_file = "login";
    }
    if ((options & 18) == 16) {
        config.endpoints[config.n_endpoints++] = "redis://10.0.0.3:6379";
    }
    redis_loop_reset();
    memset(&asker, 0, sizeof(asker));
    FUZZ_CHECK(rt_store_init(&asker.store, &loop, &config) == 0);
    rt_store_start(&asker.store);
}

static void submit(struct fuzz_in *in)
{
    static const char *const hosts[] = {"h1", "h0", "", "h2"}, *const cids[] = {"box", "c1", "bo", ""};
    static const uint8_t bytes[RT_TAIL_MAX + 1];
    struct rt_store_op op = {.kind = fuzz_byte(in) % (RT_STORE_HOST_ROW + 1), .id = ++asker.last_id};
    uint8_t what = fuzz_byte(in);
    int rc;
    memcpy(op.key.tenant, what & 1 ? "u" : "t", 2);
    rt_slice_copy(rt_slice_text(cids[what >> 1 & 3]), op.key.cid, sizeof(op.key.cid));
    rt_slice_copy(rt_slice_text(hosts[what >> 3 & 3]), op.host, sizeof(op.host));
    op.every = what & 32;
    op.audit = what & 64;
    op.whole = what & 128;
    op.life = fuzz_number(in);
    op.epoch = op.ring = op.known = op.life;
    op.state = RT_SESSION_RUNNING + op.life % 3;
    op.claim = (struct rt_claim){.key = op.key, .join = op.every, .life = op.life, .host = "h0"};
    op.claim.n_ancestors = op.life % (RT_ANCESTORS_MAX + 1);
    op.label = op.report = op.past = (struct rt_slice){bytes, (size_t)op.life % 700};
    op.tail[0] = (struct rt_slice){bytes, (size_t)(op.life * 64 % sizeof(bytes))};
    op.tail[1] = (struct rt_slice){bytes, op.every ? 5 : 0};
    if (op.audit && op.kind == RT_STORE_FIND) {
        memcpy(op.cursor.host, "h0", 3);
        memcpy(op.cursor.member, "t/box", 6);
    }
    if (asker.n_ops == OPS_MAX || asker.stopped) {
        return;
    }
    rc = rt_store_submit(&asker.store, &op);
    FUZZ_CHECK(rc == 0 || rc == RT_EUNAVAIL || rc == RT_ELIMIT || rc == RT_EINVAL);
    if (rc == 0) { /* nothing is answered from within */
        asker.ops[asker.n_ops].id = op.id;
        asker.ops[asker.n_ops++].kind = op.kind;
    }
}

/* The oldest command of a connection is answered; or one that is being dialled is there. False: there was nothing. */
static bool serve(unsigned conn, struct fuzz_in *in)
{
    struct redis_dial *dial = asker.stopped ? NULL : redis_loop_dial(&asker.store, conn);
    struct redis_asked asked;
    const char *answer;
    size_t size, cut = asker.cut;
    if (dial == NULL || dial->phase == DIAL_CLOSING || (dial->phase == DIAL_OPEN && dial->n_asked == 0)) {
        return false;
    }
    if (dial->phase == DIAL_UNDER_WAY) {
        redis_loop_connected(dial);
        return true;
    }
    asked = dial->asked[0];
    memmove(dial->asked, dial->asked + 1, --dial->n_asked * sizeof(asked));
    size = redis_server_answer(&asked, in, &answer, &asker.broken);
    asker.cut = 0;
    redis_loop_receive(dial, answer, size, cut == 0 ? size : cut);
    return true;
}

/* All that is asked is answered as it should be. */
static void settle(void)
{
    struct fuzz_in honest = {NULL, 0};
    bool any = true;
    for (unsigned i = 0; any; i++) {
        FUZZ_CHECK(i < HEAL_STEPS_MAX);
        any = false;
        for (unsigned conn = 0; conn < REDIS_CONNS; conn++) {
            any = serve(conn, &honest) || any;
        }
        redis_loop_turn();
    }
}

static void speak(unsigned conn, struct fuzz_in *in, bool push)
{
    struct redis_dial *dial = asker.stopped ? NULL : redis_loop_dial(&asker.store, conn);
    struct rt_slice raw;
    const char *data;
    size_t size;
    if (push) {
        size = redis_server_push(in, &data);
    } else {
        raw = fuzz_bytes(in);
        asker.broken = true;
        data = (const char *)raw.data;
        size = raw.size;
    }
    if (dial != NULL) {
        redis_loop_receive(dial, data, size, asker.cut == 0 ? size : asker.cut);
        asker.cut = 0;
    }
}

static void step(struct fuzz_in *in)
{
    uint8_t what = fuzz_byte(in);
    unsigned conn = what / 16 % REDIS_CONNS;
    struct redis_dial *dial = asker.stopped ? NULL : redis_loop_dial(&asker.store, conn);
    switch (what % 16) {
    case 4:
        settle();
        break;
    case 5:
    case 6:
    case 7:
        submit(in);
        break;
    case 8:
        (void)redis_loop_pass(fuzz_number(in) * 8 % PASS_MAX_MS);
        break;
    case 9: /* lost, or not reached */
        if (dial != NULL && dial->phase != DIAL_CLOSING) {
            redis_loop_lost(dial);
        }
        break;
    case 10:
        speak(conn == 4 || conn == 6 ? conn : 1, in, true); /* who listens */
        break;
    case 11:
        speak(conn, in, false);
        break;
    case 12:
        asker.cut = fuzz_number(in);
        break;
    case 13:
        asker.stop_in = fuzz_byte(in);
        break;
    default:
        (void)serve(conn, in);
        break;
    }
    redis_loop_turn();
}

static void check(void)
{
    FUZZ_CHECK(asker.closed || asker.store.n_ops == asker.n_ops);
    if (!asker.stopped) {
        redis_loop_check(&asker.store);
    }
}

/* From now on the server is as it should be: then the store comes up, and owes no answer. One whose answers made no
 * sense starts again: that one answer has been lost, no client sees. */
static void heal(void)
{
    const struct rt_store *store = &asker.store;
    uint64_t until = uv_now(store->loop) + HEAL_MS;
    asker.stop_in = 0;
    for (unsigned conn = 0; conn < REDIS_CONNS && asker.broken && !asker.stopped; conn++) {
        struct redis_dial *dial = redis_loop_dial(&asker.store, conn);
        if (dial != NULL && dial->phase != DIAL_CLOSING) {
            redis_loop_lost(dial);
        }
    }
    while (!asker.stopped && uv_now(store->loop) < until) {
        settle();
        FUZZ_CHECK(asker.stopped || redis_loop_pass(0));
    }
    if (!asker.stopped) {
        settle();
        FUZZ_CHECK(store->phase == RT_STORE_ONLINE && asker.n_ops == 0);
        FUZZ_CHECK(store->pubsub.state == RT_REDIS_READY && store->only.ends.state == RT_REDIS_READY);
        check();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {.data = data, .size = size};
    uint8_t options = fuzz_byte(&in);
    open_store(options);
    if (options & 1) { /* up, so that an input of few bytes begins in the middle */
        (void)redis_loop_pass(1);
        settle();
    }
    while (in.size > 0 && !asker.closed) {
        step(&in);
        check();
    }
    if (options & 8) {
        heal();
    }
    stop();
    for (unsigned i = 0; i < 3; i++) { /* what closes may close others */
        redis_loop_turn();
    }
    FUZZ_CHECK(asker.closed && asker.n_ops == 0);
    redis_loop_check_over();
    return 0;
}
