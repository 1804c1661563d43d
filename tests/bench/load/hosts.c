/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/bench/load/load.h"

#include "migrate/core/pace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hosts and their sessions: what is asked, and what comes of the answers. */

static bool submit(struct host *host, enum what what, unsigned at, struct rt_store_op *op)
{
    op->id = (uint64_t)what << WHAT_SHIFT | at;
    return rt_store_submit(&host->store, op) == 0;
}

/* The next claim of a session, by this host. */
static void claim(struct rt_store_op *op, unsigned at, const struct host *host)
{
    const struct session *session = &load.sessions[at];
    uint64_t turn = (uint64_t)at << 20;

    op->claim = (struct rt_claim){.key = key_of(at),
                                  .join = session->epoch == 0,
                                  .inc = id_of(at, 0),
                                  .life = session->epoch == 0 ? 0 : session->life,
                                  .epoch = session->epoch + 1,
                                  .nonce = id_of(turn + session->epoch, 1),
                                  .taken = session->epoch > 0,
                                  .next = id_of(turn + session->epoch + 1, 2),
                                  .store_whole = true,
                                  .granted_life = session->life,
                                  .base = session->life};
    if (session->epoch > 0) {
        op->claim.ticket = id_of(turn + session->epoch, 2);
    }
    memcpy(op->claim.host, host->name, sizeof(host->name));
}

static void fill(struct host *host)
{
    unsigned of = (unsigned)(host - load.hosts);

    while (host->under_way < LOAD_FILL_WINDOW && of + host->next * load.n_hosts < load.n_sessions) {
        unsigned at = of + host->next * load.n_hosts;
        struct rt_store_op op = {.kind = RT_STORE_CREATE, .key = key_of(at), .label = rt_slice_text("of the load")};

        if (!submit(host, FOR_CREATE, at, &op)) {
            die("create: refused");
        }
        host->next++;
        host->under_way++;
    }
}

static void closed_cb(struct rt_store *store)
{
    struct host *host = store->config.ctx;

    load.n_open--;
    host->open = host->closing = host->walking = false;
}

void close_host(struct host *host)
{
    if (host->open && !host->closing) {
        load.n_up -= host->up;
        host->up = false;
        host->closing = true;
        rt_store_stop(&host->store, closed_cb);
    }
}

static void made(struct host *host)
{
    host->under_way--;
    load.n_filled++;
    fill(host);
    if (host->under_way == 0) {
        close_host(host);
    }
}

void move(void)
{
    for (unsigned tried = 0; tried < 1000; tried++) {
        unsigned at = load.move_next++ % load.n_sessions;
        struct session *session = &load.sessions[at];
        unsigned to = (unsigned)(mixed(load.move_next) % load.n_hosts);
        struct rt_store_op op = {.kind = RT_STORE_TEST};

        to = to == session->host ? (to + 1) % load.n_hosts : to;
        if (session->busy) {
            continue;
        }
        session->busy = true;
        session->asked_ns = now_ns();
        claim(&op, at, &load.hosts[to]);
        op.claim.granted_life = 0;
        if (!submit(&load.hosts[to], FOR_TEST, at, &op)) {
            die("claim: refused");
        }
        load.moves_under_way++;
        return;
    }
}

static void moved(struct host *host, struct session *session, const struct rt_store_reply *reply)
{
    session->busy = false;
    load.moves_under_way--;
    if (reply->error != 0 || reply->outcome.verdict != RT_CLASS_OK) {
        load.refused++;
        return;
    }
    session->epoch++;
    session->host = (uint16_t)(host - load.hosts);
    load.moves++;
    if (load.n_latencies < LOAD_LATENCIES_MAX) {
        load.latency_ms[load.n_latencies++] = ms_since(session->asked_ns);
    }
    if (load.moving && load.moves_a_s <= 0) {
        move();
    }
}

void find_page(void)
{
    if (!submit(&load.hosts[load.finder], FOR_FIND, 0, &load.find)) {
        die("list: refused");
    }
}

static void found(const struct rt_store_reply *reply)
{
    if (reply->error != 0) {
        die("list: %s", rt_strerror(reply->error));
    }
    if (load.pages++ == 0) {
        load.first_ns = now_ns() - load.find_ns;
    }
    load.found += reply->n_records;
    load.find.cursor = reply->cursor;
    if (reply->cursor.host[0] != '\0') {
        find_page();
    } else {
        load.finding = false;
    }
}

/* Of one session, from its CREATE to its last answer. */
static void session_reply(struct host *host, enum what what, unsigned at, const struct rt_store_reply *reply)
{
    struct session *session = &load.sessions[at];
    struct rt_store_op op = {.kind = RT_STORE_TAKE};

    switch (what) {
    case FOR_CREATE:
        session->life = reply->outcome.life;
        claim(&op, at, host);
        if (!submit(host, FOR_FIRST, at, &op)) {
            die("take: refused");
        }
        break;
    case FOR_FIRST:
        session->epoch = 1;
        session->host = (uint16_t)(host - load.hosts);
        op = (struct rt_store_op){.kind = RT_STORE_REPORT,
                                  .key = key_of(at),
                                  .life = session->life,
                                  .epoch = 1,
                                  .report = {load.report, load.report_size}};
        if (!submit(host, FOR_REPORT, at, &op)) {
            die("report: refused");
        }
        break;
    case FOR_REPORT:
        made(host);
        break;
    default:
        claim(&op, at, host);
        if (!submit(host, FOR_MOVE, at, &op)) {
            die("take: refused");
        }
        break;
    }
}

/* A page of the registry with each heartbeat, and the first round without waiting, as agents do. */
static void walk(struct host *host)
{
    struct rt_store_op op = {.kind = RT_STORE_HOSTS};

    memcpy(op.host, host->walked, sizeof(op.host));
    if (!host->walking && !load.filling) {
        host->walking = submit(host, FOR_WALK, 0, &op);
    }
}

static void walked(struct host *host, const struct rt_store_reply *reply)
{
    host->walking = false;
    memcpy(host->walked, reply->next, sizeof(host->walked));
    host->walked_round = host->walked_round || host->walked[0] == '\0';
    if (!host->walked_round) {
        walk(host);
    }
}

static void reply_cb(void *ctx, const struct rt_store_reply *reply)
{
    struct host *host = ctx;
    enum what what = (enum what)(reply->id >> WHAT_SHIFT);
    unsigned at = (unsigned)(reply->id & ((UINT64_C(1) << WHAT_SHIFT) - 1));
    bool good = reply->error == 0 && reply->outcome.verdict == RT_CLASS_OK;

    load.progress_ns = now_ns();
    if (host->closing) {
        return; /* a page of the registry that nobody wants any more */
    }
    switch (what) {
    case FOR_CREATE:
    case FOR_FIRST:
    case FOR_REPORT:
        if (!good) {
            die("step %d of %u: %s, %s", what, at, rt_strerror(reply->error), rt_class_name(reply->outcome.verdict));
        }
        session_reply(host, what, at, reply);
        break;
    case FOR_TEST:
        if (!good) {
            moved(host, &load.sessions[at], reply);
        } else {
            session_reply(host, what, at, reply);
        }
        break;
    case FOR_MOVE:
        moved(host, &load.sessions[at], reply);
        break;
    case FOR_AUDIT:
        load.audits += reply->error == 0 && reply->n_records == 1;
        break;
    case FOR_FIND:
        found(reply);
        break;
    case FOR_WALK:
        walked(host, reply);
        break;
    }
}

static void news_cb(void *ctx, const struct rt_store_news *news)
{
    struct host *host = ctx;

    switch (news->kind) {
    case RT_STORE_UP:
        load.n_up += !host->up;
        host->up = true;
        if (load.filling) {
            fill(host);
            if (host->under_way == 0) {
                close_host(host);
            }
        }
        break;
    case RT_STORE_DOWN:
        die("%s: %s", host->name, load.why);
    case RT_STORE_TAKEN:
        die("%s: its name is another one's", host->name);
    case RT_STORE_TOUCH:
        walk(host);
        break;
    case RT_STORE_CLAIMED:
    case RT_STORE_REVOKED:
    case RT_STORE_HOST:
    case RT_STORE_LOOKED:
        break;
    }
}

/* Why the store is out is logged before it is told. */
static void log_cb(void *ctx, enum rt_log_level level, const char *text)
{
    (void)ctx;
    (void)snprintf(load.why, sizeof(load.why), "%s", text);
    if (level == RT_LOG_ERROR) {
        (void)fprintf(stderr, "bench-load: %s\n", text);
    }
}

void open_host(struct host *host)
{
    unsigned of = (unsigned)(host - load.hosts);
    struct rt_store_config config = {.endpoints = {load.endpoint},
                                     .n_endpoints = 1,
                                     .host = host->name,
                                     .addr = {"tls:192.0.2.1:7401"},
                                     .n_addr = 1,
                                     .version = "0.1-load",
                                     .instance = id_of(of, 3),
                                     .op_timeout_ms = LOAD_OP_LIMIT_MS,
                                     .connect_timeout_ms = LOAD_OP_LIMIT_MS,
                                     .ctx = host,
                                     .on_reply = reply_cb,
                                     .on_news = news_cb,
                                     .on_log = log_cb};

    if (rt_store_init(&host->store, &load.loop, &config) != 0) {
        die("%s cannot be opened", host->name);
    }
    host->open = true;
    load.n_open++;
    rt_store_set_self(&host->store, (load.n_sessions - of + load.n_hosts - 1) / load.n_hosts, false);
    rt_store_start(&host->store);
}

/* ---- time ---- */

static void audit(void)
{
    unsigned at = load.audit_next++ % load.n_sessions;
    struct rt_store_op op = {.kind = RT_STORE_GET, .key = key_of(at), .audit = true};

    if (!submit(&load.hosts[load.sessions[at].host], FOR_AUDIT, at, &op)) {
        die("audit: refused");
    }
}

void tick_cb(uv_timer_t *timer)
{
    double s = ms_since(load.tick_ns) / 1e3;

    (void)timer;
    load.tick_ns = now_ns();
    if (load.auditing) {
        load.audits_owed += s * load.n_sessions * 1e3 / (double)rt_audit_ms(load.n_sessions);
        for (; load.audits_owed >= 1; load.audits_owed--) {
            audit();
        }
    }
    if (load.moving && load.moves_a_s > 0) {
        load.moves_owed += s * load.moves_a_s;
        for (; load.moves_owed >= 1; load.moves_owed--) {
            move();
        }
    }
}

void run(bool (*done)(void), uint64_t ms)
{
    uint64_t began = now_ns();

    load.progress_ns = began;
    while (done != NULL ? !done() : ms_since(began) < (double)ms) {
        if (done != NULL && ms_since(load.progress_ns) > LOAD_STUCK_MS) {
            die("nothing is answered any more");
        }
        (void)uv_run(&load.loop, UV_RUN_ONCE);
    }
}
