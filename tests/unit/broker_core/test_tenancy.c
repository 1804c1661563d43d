/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/unit/broker_core/fixture.h"

#include "broker/core/ask.h"
#include "broker/core/machine.h"
#include "broker/core/request.h"
#include "session/core/msg_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Another tenant's container cannot be told from none. Whatever may be asked is asked twice: where there is no
 * container of the name, and where another tenant has one, in each state that it may be in. The two are compared: every
 * byte that comes, when it comes, and every operation that the store is asked for it, so that the time it takes does
 * not tell either. Operations come from the agent's own table: a new one is asked without a change here. */

#define TENANT "local"
#define OTHER "other"
#define WATCHED_MS 12000 /* longer than anything may be held; a guest that says nothing is still served */
#define STEP_MS 400

/* What one client saw, and what the store was asked for its tenant. */
struct seen {
    char bytes[65536];
    size_t size;
};

static struct fx fx;
static struct seen *seen; /* NULL: nothing is noted */

static void note(const void *data, size_t size)
{
    assert_true(seen->size + size <= sizeof(seen->bytes));
    memcpy(seen->bytes + seen->size, data, size);
    seen->size += size;
}

static int note_store(void *ctx, const struct rt_store_op *op)
{
    char line[512];

    if (seen != NULL && strcmp(op->key.tenant, TENANT) == 0) {
        note(line, (size_t)snprintf(line, sizeof(line), "%llu: store %d %s every %d host %s behind %s/%s\n",
                                    (unsigned long long)fx.now, op->kind, op->key.cid, op->every, op->host,
                                    op->cursor.host, op->cursor.member));
    }
    return fx_store_submit(ctx, op);
}

static void note_frame(const struct rt_frame *frame, const uint8_t *payload)
{
    char line[64];
    uint8_t head[RT_FRAME_HEADER];

    rt_frame_put(head, frame);
    note(line, (size_t)snprintf(line, sizeof(line), "%llu: frame ", (unsigned long long)fx.now));
    note(head, sizeof(head));
    note(payload, frame->length);
    note("\n", 1);
}

/* What has come: everybody answers pings, of the client all else is noted. */
static void read_all(int client)
{
    struct rt_frame frame;
    const uint8_t *payload;

    for (int i = 0; i < (int)fx.n_links; i++) {
        while (fx_next(&fx, i, &frame, &payload)) {
            if (frame.type == RT_PING && !fx.links[i].closed) {
                fx_send(&fx, i, &(struct rt_frame){.type = RT_PONG, .offset = frame.offset}, NULL);
            } else if (i == client) {
                note_frame(&frame, payload);
            }
        }
    }
}

/* ---- what the other tenant has ---- */

static struct fx_guest guest;

static struct rt_record *record_of(const char *cid, enum rt_session_state state, const char *host)
{
    struct rt_record *rule = &fx_record(&fx, OTHER, cid)->rule;

    rule->exists = true;
    rule->state = state;
    rule->life = rule->epoch = 3;
    (void)snprintf(rule->host, sizeof(rule->host), "%s", host);
    return rule;
}

static void nothing(void)
{
}

static void created(void)
{
    record_of("web", RT_SESSION_CREATED, "")->life = 0;
}

static void served(void)
{
    fx_guest(&guest, "web", 7);
    fx_join_token(&guest, OTHER, "web", "");
    fx_serve(&fx, &guest);
}

static void left(void)
{
    served();
    fx_lost(&fx, guest.link);
}

/* Hosts say how many they serve. */
static void elsewhere(void)
{
    (void)record_of("web", RT_SESSION_RUNNING, "hostb");
    for (size_t i = 0; i < fx.n_hosts; i++) {
        fx.hosts[i].row.sessions++;
    }
}

static void moving(void)
{
    (void)record_of("web", RT_SESSION_MOVING, "here");
}

static void lost(void)
{
    record_of("web", RT_SESSION_LOST, "hostb")->lost_ms = 1;
}

static void ended(void)
{
    (void)record_of("web", RT_SESSION_ENDED, "here");
}

static void end_kept(void)
{
    struct rt_end_msg end = {.code = 4};

    served();
    fx_down(&fx);
    fx_msg(&fx, guest.link, &(struct rt_frame){.type = RT_END}, RT_MSG_END, &end);
    fx_disk(&fx, 0);
    assert_int_equal(fx.n_kept, 1);
    fx_lost(&fx, guest.link);
    fx_up(&fx, false, true);
}

static void revoked(void)
{
    struct rt_store_news news = {.kind = RT_STORE_REVOKED, .life = 9};

    record_of("web", RT_SESSION_RUNNING, "here")->rev = 9;
    news.key = fx_record(&fx, OTHER, "web")->key;
    rt_agent_store_news(fx.agent, &news, fx.now);
}

static void several(void)
{
    (void)record_of("web", RT_SESSION_RUNNING, "hostb");
    (void)record_of("web-2", RT_SESSION_RUNNING, "here");
    (void)record_of("we", RT_SESSION_ENDED, "hostb");
}

/* Its own clients wait for it. */
static void awaited(void)
{
    int client = fx_client(&fx, OTHER);
    struct rt_request_msg msg = {.op = rt_slice_text("show"), .cid = rt_slice_text("web"), .wait = RT_WAIT_MAX_MS};

    (void)record_of("web", RT_SESSION_CREATED, "");
    fx_attach(&fx, client, 1, "web", RT_WAIT_MAX_MS, 0, 0);
    fx_request(&fx, client, 1, &msg);
}

static const struct {
    const char *name;
    void (*make)(void);
} worlds[] = {
    {"nothing", nothing},     {"created", created}, {"served", served},   {"left", left},
    {"elsewhere", elsewhere}, {"moving", moving},   {"lost", lost},       {"ended", ended},
    {"end kept", end_kept},   {"revoked", revoked}, {"several", several}, {"awaited", awaited},
};

/* ---- what is asked ---- */

enum { STORE_WHOLE, STORE_FILLS, STORE_OUT, STORE_KINDS };

struct question {
    unsigned op; /* enum ag_what; ASK_KINDS: an attach */
    const char *cid;
    bool prefix, resume, local;
    uint64_t wait;
    const char *host;
};

static const struct question questions[] = {
    {.cid = "web"},
    {.cid = "web", .wait = 3000},
    {.cid = "web", .wait = RT_WAIT_MAX_MS, .resume = true},
    {.cid = "web", .prefix = true},
    {.cid = "we", .prefix = true},
    {.cid = "w", .prefix = true, .host = "here"},
    {.cid = ""},
    {.cid = OTHER "/web"},
    {.cid = "web-", .prefix = true, .host = "hostb"},
    {.cid = "", .local = true},
    {.cid = "w", .prefix = true, .local = true},
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

static void put(int client, const struct question *q)
{
    struct rt_request_msg msg = {.cid = rt_slice_text(q->cid), .prefix = q->prefix, .wait = q->wait, .local = q->local};

    if (q->op == ASK_KINDS) {
        fx_attach(&fx, client, 1, q->cid, q->wait, q->resume ? 2 : 0, q->resume ? 2 : 0);
        return;
    }
    msg.op = rt_slice_text(rt_ag_request_name(q->op));
    if (q->host != NULL) {
        msg.host = rt_slice_text(q->host);
    }
    fx_request(&fx, client, 1, &msg);
}

static void answer(void)
{
    if (fx.store == FX_STORE_UP) {
        fx_answer(&fx);
    }
}

/* own: the tenant has a container too, whose name begins like the other one's. */
static void look(size_t world, bool own, unsigned store, enum rt_client_role as, const struct question *q,
                 struct seen *into)
{
    int client;

    seen = NULL;
    fx_init(&fx);
    assert_non_null(fx.agent);
    fx.agent->config.io.store = note_store;
    fx_host(&fx, "hostb", true);
    if (own) {
        struct rt_record *rule = &fx_record(&fx, TENANT, "web-own")->rule;

        rule->exists = true;
        rule->state = RT_SESSION_RUNNING;
        rule->life = rule->epoch = 3;
        (void)snprintf(rule->host, sizeof(rule->host), "hostb");
    }
    answer();
    worlds[world].make();
    answer();
    if (store == STORE_OUT) {
        fx_down(&fx);
    } else if (store == STORE_FILLS) {
        fx_up(&fx, true, false);
    }
    client = fx_client_as(&fx, as);
    into->size = 0;
    seen = into;
    put(client, q);
    for (uint64_t ms = 0; ms < WATCHED_MS; ms += STEP_MS) {
        answer();
        read_all(client);
        fx_tick(&fx, STEP_MS);
    }
    read_all(client);
    seen = NULL;
    fx_close(&fx);
}

static void compare(bool own, unsigned store, enum rt_client_role as, const struct question *q)
{
    static struct seen none, other;

    look(0, own, store, as, q, &none);
    if (memmem(none.bytes, none.size, ": frame ", 8) == NULL) {
        fail_msg("%s %s: no answer", rt_ag_request_name(q->op), q->cid);
    }
    for (size_t i = 1; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        look(i, own, store, as, q, &other);
        if (other.size != none.size || memcmp(other.bytes, none.bytes, none.size) != 0) {
            fail_msg("%s \"%s\"%s wait %llu, as role %d, store %u, own %d: where another tenant's is \"%s\":\n%.*s\n"
                     "and where there is none:\n%.*s",
                     q->op == ASK_KINDS ? "attach" : rt_ag_request_name(q->op), q->cid, q->prefix ? " prefix" : "",
                     (unsigned long long)q->wait, as, store, own, worlds[i].name, (int)other.size, other.bytes,
                     (int)none.size, none.bytes);
        }
    }
}

static void compare_all(enum rt_client_role as)
{
    for (unsigned op = 0; op <= ASK_KINDS; op++) {
        for (size_t i = 0; i < QUESTIONS; i++) {
            struct question q = questions[i];

            q.op = op;
            for (unsigned store = 0; store < STORE_KINDS; store++) {
                compare(false, store, as, &q);
                compare(true, store, as, &q);
            }
        }
    }
}

static void test_vch(void **state)
{
    (void)state;
    compare_all(RT_CLIENT_VCH);
}

static void test_viewer(void **state)
{
    (void)state;
    compare_all(RT_CLIENT_VIEWER);
}

/* The comparison sees what there is to see: an operator, to whom all of it is told. */
static void test_operator_sees(void **state)
{
    static struct seen none, other;
    struct question q = {.op = ASK_SHOW, .cid = "we", .prefix = true};

    (void)state;
    look(0, false, STORE_WHOLE, RT_CLIENT_OPERATOR, &q, &none);
    for (size_t i = 1; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
        look(i, false, STORE_WHOLE, RT_CLIENT_OPERATOR, &q, &other);
        assert_true(other.size != none.size || memcmp(other.bytes, none.bytes, none.size) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vch),
        cmocka_unit_test(test_viewer),
        cmocka_unit_test(test_operator_sees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
