/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/store.h"

#include "migrate/store/store_priv.h"
#include "session/base/random.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Operations, which go over the connections of connections.c.
 *
 *     submit --> sent --answer--> reply
 *                  |  functions missing: loaded, sent once more; on another node of a cluster: sent there (route.c)
 *                  |  CREATE: listed --> written --> listed once more (sets.c) --> reply
 *                  |  FIND: ranges of host sets --> records --> reply (find.c)
 *                  |  END: tails counted (budget.c) --> written --> ROLE, WAIT (with all ends written by then) -->
 * reply
 *
 * The primary fails over from P to Q while a TAKE and an END are under way, in milliseconds:
 *
 *          0   commands: TAKE to P.  ends: END to P, answered; then ROLE, WAIT (all of these: P's node)
 *         10   P dies: all three connections are lost. TAKE and END reply RT_ETIMEDOUT: either may have happened.
 *              Phase OFFLINE, news DOWN: from now on submit says RT_EUNAVAIL, and no reply comes
 *       6000   commands has found Q: CHECKING (registry.c). Q lacks the functions: loaded by the first beat
 *       6001   the beat has written our row: ONLINE, news UP, fresh, as Q has another birth mark
 *       6002   pubsub has subscribed at Q: UP again, not fresh: claims published since 10 are not told again */

/* Answers. */

/* A row that cannot be read is one, too: who wrote it lives. */
static void parse_row(const struct rt_store_run *run, const struct rt_slice *name, const redisReply *text,
                      const redisReply *drains, uint64_t now_ms, struct rt_store_host *row)
{
    if (rt_store_parse_row((const char *)name->data, name->size, text->str, text->len, now_ms, row) == 0) {
        rt_store_reachable(run->store->self.machine, row);
    }
    row->drains = drains->type == REDIS_REPLY_STRING && rt_store_drains(drains->str, drains->len, row);
}

static int parse_hosts(struct rt_store_run *run, const redisReply *reply, struct rt_store_reply *out)
{
    const redisReply *next = rt_store_element(reply, 1, REDIS_REPLY_STRING);
    const redisReply *rows = rt_store_element(reply, 2, REDIS_REPLY_ARRAY);
    uint64_t now_ms;

    if (rt_store_integer(reply, 0, &now_ms) != 0 || next == NULL || next->len >= sizeof(out->next) || rows == NULL) {
        return RT_EPROTO;
    }
    out->hosts = calloc(RT_HOSTS_PAGE, sizeof(*out->hosts));
    if (out->hosts == NULL) {
        return RT_ENOMEM;
    }
    memcpy(out->next, next->str, next->len + 1);
    for (size_t i = 0; i + 2 < rows->elements && out->n_hosts < RT_HOSTS_PAGE; i += 3) {
        struct rt_store_host *row = &out->hosts[out->n_hosts];
        const redisReply *name = rows->element[i], *text = rows->element[i + 1];

        if (name->type == REDIS_REPLY_STRING && text->type == REDIS_REPLY_STRING) {
            const struct rt_slice of = {(const uint8_t *)name->str, name->len};

            parse_row(run, &of, text, rows->element[i + 2], now_ms, row);
            out->n_hosts += row->host[0] != '\0';
        }
    }
    rt_store_names_page(run->store, run->host, out->next, out->hosts, out->n_hosts);
    return 0;
}

/* The answer to HMGET: the row, or nil when the host has none; and whether it drains. */
static int parse_host_row(struct rt_store_run *run, const redisReply *reply, struct rt_store_reply *out)
{
    const struct rt_slice name = rt_slice_text(run->host);
    const redisReply *text = rt_store_element(reply, 0, REDIS_REPLY_STRING);

    if (rt_store_element(reply, 0, REDIS_REPLY_NIL) != NULL) {
        return 0;
    }
    if (text == NULL || reply->elements != 2) {
        return RT_EPROTO;
    }
    out->hosts = calloc(1, sizeof(*out->hosts));
    if (out->hosts == NULL) {
        return RT_ENOMEM;
    }
    out->n_hosts = 1;
    parse_row(run, &name, text, reply->element[1], 0, &out->hosts[0]);
    return 0;
}

static bool is_end(enum rt_store_op_kind kind)
{
    return kind == RT_STORE_END || kind == RT_STORE_MARK;
}

/* Fills the reply. RT_EPROTO when the answer is not what one of our functions gives. */
static int parse(struct rt_store_run *run, const redisReply *reply, struct rt_store_reply *out)
{
    char set[RT_HOST_MAX + 1];
    int rc;

    switch (run->kind) {
    case RT_STORE_CREATE:
        return rt_store_parse_created(reply, &out->outcome);
    case RT_STORE_REMOVE:
    case RT_STORE_REVOKE:
        rc = rt_store_parse_created(reply, &out->outcome);
        if (rc == 0 && out->outcome.verdict == RT_CLASS_NOT_FOUND) {
            out->error = RT_ENOTFOUND;
        }
        return rc;
    case RT_STORE_TEST:
    case RT_STORE_TAKE:
        rc = rt_store_parse_outcome(reply, &out->outcome, set);
        if (rc == 0 && run->kind == RT_STORE_TAKE) {
            rc = rt_store_parse_past(reply, &out->past);
        }
        if (rc == 0 && run->kind == RT_STORE_TAKE && out->outcome.verdict == RT_CLASS_OK &&
            strcmp(set, run->store->self.host) != 0) {
            rt_store_list(run->store, &run->key);
        }
        return rc;
    case RT_STORE_STATE:
    case RT_STORE_REPORT:
    case RT_STORE_END:
    case RT_STORE_MARK:
        rc = rt_store_parse_written(reply, &out->outcome, &out->error);
        return rc == 0 && out->outcome.verdict == RT_CLASS_ENDED && !is_end(run->kind) ? RT_EPROTO : rc;
    case RT_STORE_GET:
        out->records = malloc(sizeof(*out->records));
        if (out->records == NULL) {
            return RT_ENOMEM;
        }
        rc = rt_store_parse_record(reply, &run->key, out->records, set);
        out->n_records = rc > 0;
        out->unsure = !rt_store_is_sure(run->store);
        if (rc > 0 && run->audit) {
            rt_store_audit(run->store, out->records, set);
        }
        return rc < 0 ? rc : 0;
    case RT_STORE_TAILS:
        out->error = rt_store_parse_tails(reply, out);
        return out->error == RT_ENOTFOUND ? 0 : out->error;
    case RT_STORE_HOSTS:
        return parse_hosts(run, reply, out);
    case RT_STORE_HOST_ROW:
        return parse_host_row(run, reply, out);
    case RT_STORE_FIND:
        break;
    }
    return RT_EPROTO;
}

/* It is made, and was listed, whatever has become of this: a client that asked once more would hear that it is there.
 */
static void named_again_cb(void *ctx, int error, const redisReply *answer)
{
    struct rt_store_run *run = ctx;
    struct rt_store_reply reply = {.outcome = {.verdict = RT_CLASS_OK, .life = run->life}};

    error = rt_store_error_of(run->store, error, answer);
    if (error == RT_ECANCELED) {
        reply = (struct rt_store_reply){.error = error};
    } else if (error != 0) {
        rt_store_log(run->store, RT_LOG_WARN, "cannot list %s/%s again: %s", run->key.tenant, run->key.cid,
                     rt_strerror(error));
    }
    rt_store_run_done(run, &reply);
}

static void run_cb(void *ctx, int error, const redisReply *answer)
{
    struct rt_store_run *run = ctx;
    struct rt_store_reply reply = {.error = 0};
    struct rt_store_record *records;
    struct rt_store_host *hosts;

    error = rt_store_error_of(run->store, error, answer);
    if (error == 0) {
        if (run->counted) {
            rt_store_tails_sweep(run->store);
        }
        error = parse(run, answer, &reply);
        if (error == RT_EPROTO) {
            rt_store_log(run->store, RT_LOG_ERROR, "the store's answer makes no sense (operation %d)", (int)run->kind);
            error = RT_EUNAVAIL;
        }
    }
    if (error != 0) {
        reply.error = error;
        reply.n_records = reply.n_hosts = 0;
    } else if (run->kind == RT_STORE_END && reply.error == 0 && reply.outcome.verdict == RT_CLASS_OK) {
        rt_store_end_written(run);
        return;
    } else if (is_end(run->kind) && reply.error == 0) {
        reply.how = reply.outcome.verdict == RT_CLASS_ENDED ? RT_END_OTHER : RT_END_STORED;
    } else if (run->kind == RT_STORE_CREATE && reply.outcome.verdict == RT_CLASS_OK) {
        run->life = reply.outcome.life;
        if (rt_store_name(run->store, &run->key, named_again_cb, run) == 0) {
            return;
        }
    }
    records = reply.records;
    hosts = reply.hosts;
    rt_store_run_done(run, &reply);
    free(records);
    free(hosts);
}

/* The second half of what is done in two: the record is written, when the first half went well. */
static void write_record(struct rt_store_run *run, int error, enum rt_store_lane lane)
{
    struct rt_store_reply reply = {.error = error};

    if (reply.error == 0) {
        char record[RT_STORE_KEY_MAX];

        rt_store_key(&run->key, 'r', record);
        reply.error = rt_store_send(run->store, lane, record, run->command, run->size, run_cb, run);
    }
    if (reply.error == 0) {
        run->command = NULL;
    } else {
        rt_store_run_done(run, &reply);
    }
}

/* An end goes behind the count of its tails, which may be on another server: one that is cut off here is counted and
 * not stored, never the other way round. */
static void counted_cb(void *ctx, int error, const redisReply *answer)
{
    struct rt_store_run *run = ctx;

    write_record(run, rt_store_tails_counted(run->store, error, answer), RT_STORE_ENDS);
}

/* A session is made when its name is listed, never the other way round. */
static void named_cb(void *ctx, int error, const redisReply *answer)
{
    struct rt_store_run *run = ctx;

    error = rt_store_error_of(run->store, error, answer);
    write_record(run, error == 0 && answer->type != REDIS_REPLY_INTEGER ? RT_EUNAVAIL : error, RT_STORE_COMMANDS);
}

static int start_run(struct rt_store_run *run, const struct rt_store_op *op)
{
    struct rt_store_args args;
    int rc;

    if (op->kind == RT_STORE_FIND) {
        return rt_store_find_start(run, op);
    }
    rc = rt_store_encode(op, run->store->self.host, &args);
    if (rc != 0) {
        return rc;
    }
    run->counted = op->kind == RT_STORE_END && op->tail[0].size + op->tail[1].size > 0;
    if (!run->counted && op->kind != RT_STORE_CREATE) {
        return rt_store_call(run->store, op->kind == RT_STORE_END ? RT_STORE_ENDS : RT_STORE_COMMANDS, &args.redis,
                             run_cb, run);
    }
    run->command = rt_redis_format(&args.redis, &run->size);
    if (run->command == NULL) {
        return RT_ENOMEM;
    }
    return run->counted ? rt_store_tails_count(run->store, op, counted_cb, run)
                        : rt_store_name(run->store, &run->key, named_cb, run);
}

int rt_store_submit(struct rt_store *store, const struct rt_store_op *op)
{
    bool claim = op->kind == RT_STORE_TEST || op->kind == RT_STORE_TAKE;
    struct rt_store_run *run;
    int rc;

    if (store->phase != RT_STORE_ONLINE) {
        return RT_EUNAVAIL;
    }
    if (store->n_ops >= RT_STORE_OPS_MAX) {
        return RT_ELIMIT;
    }
    run = calloc(1, sizeof(*run));
    if (run == NULL) {
        return RT_ENOMEM;
    }
    run->store = store;
    run->id = op->id;
    run->kind = op->kind;
    run->audit = op->audit;
    run->key = claim ? op->claim.key : op->key;
    memcpy(run->host, op->host, sizeof(run->host));
    rc = start_run(run, op);
    if (rc != 0) {
        redisFreeCommand(run->command);
        free(run);
        return rc;
    }
    store->n_ops++;
    return 0;
}

void rt_store_set_self(struct rt_store *store, uint64_t sessions, bool drains)
{
    store->self.sessions = sessions;
    store->self.drains = drains;
}

static void heart_cb(uv_timer_t *timer)
{
    rt_store_registry_beat(timer->data);
    rt_store_tails_beat(timer->data);
    rt_store_look_beat(timer->data);
}

/* Start and stop. */

static bool copy_path(char out[RT_STORE_PATH_MAX + 1], const char *path)
{
    return path == NULL || snprintf(out, RT_STORE_PATH_MAX + 1, "%s", path) <= RT_STORE_PATH_MAX;
}

static int copy_config(struct rt_store *store, const struct rt_store_config *config,
                       struct rt_store_endpoint endpoints[RT_ENDPOINTS_MAX], size_t *n)
{
    char why[RT_STORE_ENDPOINT_TEXT_MAX];

    if (rt_store_endpoints_parse(config->endpoints, config->n_endpoints, endpoints, n, why, sizeof(why)) != 0) {
        return RT_ECONFIG;
    }
    for (size_t i = 0; i < *n; i++) {
        if (endpoints[i].tls && config->secure.ops == NULL) {
            return RT_ECONFIG;
        }
    }
    if (!rt_store_word(config->host, RT_HOST_MAX) || !rt_store_word(config->version, sizeof(store->self.version) - 1) ||
        (config->machine != NULL && !rt_store_word(config->machine, RT_MACHINE_MAX)) || config->n_addr > RT_ADDRS_MAX) {
        return RT_ECONFIG;
    }
    snprintf(store->self.host, sizeof(store->self.host), "%s", config->host);
    snprintf(store->self.version, sizeof(store->self.version), "%s", config->version);
    snprintf(store->self.machine, sizeof(store->self.machine), "%s", config->machine != NULL ? config->machine : "-");
    for (size_t i = 0; i < config->n_addr; i++) {
        if (!rt_store_word(config->addr[i], RT_ADDR_MAX)) {
            return RT_ECONFIG;
        }
        snprintf(store->self.addr[store->self.n_addr++], RT_ADDR_MAX + 1, "%s", config->addr[i]);
    }
    return copy_path(store->login_file, config->login_file) &&
                   copy_path(store->sentinel_login_file, config->sentinel_login_file)
               ? 0
               : RT_ECONFIG;
}

static bool id_is_zero(const struct rt_id *id)
{
    static const struct rt_id zero;

    return rt_id_equal(id, &zero);
}

int rt_store_init(struct rt_store *store, uv_loop_t *loop, const struct rt_store_config *config)
{
    struct rt_store_endpoint endpoints[RT_ENDPOINTS_MAX];
    size_t n;
    int rc;

    memset(store, 0, sizeof(*store));
    store->loop = loop;
    store->config = *config;
    store->instance = config->instance;
    store->tails.host_max = config->tails_host != 0 ? config->tails_host : RT_TAILS_HOST_BYTES;
    store->tails.store_max = config->tails_all != 0 ? config->tails_all : RT_TAILS_ALL_BYTES;
    if (config->n_endpoints == 0 || config->n_endpoints > RT_ENDPOINTS_MAX || config->host == NULL ||
        config->version == NULL || config->on_reply == NULL || config->on_news == NULL) {
        return RT_EINVAL;
    }
    rc = copy_config(store, config, endpoints, &n);
    if (rc != 0) {
        return rc;
    }
    if (id_is_zero(&store->instance)) {
        rt_random_fill(NULL, store->instance.b, sizeof(store->instance.b));
    }
    rc = rt_store_connections_init(store, loop, endpoints, n);
    if (rc == 0 && uv_timer_init(loop, &store->heart) != 0) {
        rc = RT_EIO;
    }
    /* libuv's init of timers and idles cannot fail; were it to, the loop would be unusable anyway. */
    if (rc != 0) {
        return rc;
    }
    store->heart.data = store;
    return 0;
}

void rt_store_start(struct rt_store *store)
{
    assert(store->phase == RT_STORE_IDLE);
    store->phase = RT_STORE_OFFLINE;
    rt_store_connections_start(store);
    uv_timer_start(&store->heart, heart_cb, RT_HEARTBEAT_MS, RT_HEARTBEAT_MS);
}

static void part_closed(struct rt_store *store)
{
    if (--store->closing == 0) {
        free(store->names);
        store->names = NULL;
        free(store->cluster);
        store->cluster = NULL;
        store->closed(store);
    }
}

static void heart_closed_cb(uv_handle_t *handle)
{
    part_closed(handle->data);
}

void rt_store_stop(struct rt_store *store, void (*closed)(struct rt_store *store))
{
    assert(store->phase != RT_STORE_STOPPING);
    store->phase = RT_STORE_STOPPING;
    store->closed = closed;
    store->closing = 1;
    uv_close((uv_handle_t *)&store->heart, heart_closed_cb);
    rt_store_connections_stop(store, part_closed);
}
