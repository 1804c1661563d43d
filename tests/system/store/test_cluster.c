/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/cluster.h"

#include "tests/lib/redis_cluster.h"
#include "tests/system/store/harness.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A real cluster: three primaries, each with a replica. */

#define HANG_MS 60000
#define PRIMARIES ((size_t)3)
#define BOXES 40 /* containers, in slots of all nodes */
#define ROUNDS 50
#define MOVES_LEAST 10 /* of a slot, while these go on */

static struct rt_test_cluster cluster;
static char endpoint[160];
static struct agent *a, *b;

static bool is_settled(struct agent *agent)
{
    return is_up(agent) && agent->store.whole && agent->store.reg->ends.state == RT_REDIS_READY &&
           agent->store.pubsub.state == RT_REDIS_READY;
}

static struct agent *start(const char *host)
{
    struct rt_store_config config;
    struct agent *agent;

    agent_config(&config, endpoint, host);
    agent = agent_new(&config);
    if (!run_until(is_settled, agent, HANG_MS)) {
        for (size_t i = 0; i < agent->n_log; i++) {
            print_message("  %s\n", agent->log[i]);
        }
        fail();
    }
    run_for(100);
    return agent;
}

static int setup(void **state)
{
    (void)state;
    if (rt_test_cluster_start(&cluster, PRIMARIES, PRIMARIES) != 0) {
        return -1;
    }
    /* Two of them, a replica one: they name the others. */
    snprintf(endpoint, sizeof(endpoint), "redis-cluster://127.0.0.1:%u,127.0.0.1:%u", cluster.nodes[4].port,
             cluster.nodes[1].port);
    a = start("hosta");
    b = start("hostb");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    agent_stop(a);
    agent_stop(b);
    rt_test_cluster_stop(&cluster);
    return 0;
}

/* As often as it takes: the store may be out, in part, for a while. */
static int until_answered(struct agent *agent, const struct rt_store_op *op)
{
    int rc = RT_EUNAVAIL;

    for (uint64_t ms = 0; (rc == RT_EUNAVAIL || rc == RT_ETIMEDOUT) && ms < HANG_MS; ms += 20) {
        struct rt_store_op again = *op;

        agent->n_news = 0; /* there is room for so many */
        rc = submit(agent, &again);
        if (rc == RT_EUNAVAIL || rc == RT_ETIMEDOUT) {
            run_for(20);
        }
    }
    return rc;
}

static struct rt_key box(int i)
{
    char cid[16];

    snprintf(cid, sizeof(cid), "box-%02d", i);
    return key_of("t", cid);
}

static void take_all(uint64_t lives[BOXES])
{
    for (int i = 0; i < BOXES; i++) {
        struct rt_store_op op = join_op(RT_STORE_TAKE, box(i), 7, 1, "hosta");

        assert_int_equal(until_answered(a, &op), 0);
        assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
        lives[i] = a->reply.outcome.life;
    }
}

/* Each once, by whichever agent: both hosts are in the registry. */
static void list_all(struct agent *agent)
{
    struct rt_store_op op = {.kind = RT_STORE_FIND, .key = key_of("t", "box-")}, hosts = {.kind = RT_STORE_HOSTS};
    bool seen[BOXES] = {false};
    int n = 0;

    assert_int_equal(until_answered(agent, &hosts), 0);
    assert_int_equal(agent->reply.n_hosts, 2);
    do {
        assert_int_equal(until_answered(agent, &op), 0);
        for (size_t i = 0; i < agent->reply.n_records; i++) {
            unsigned long at = strtoul(agent->records[i].key.cid + 4, NULL, 10);

            assert_false(seen[at]);
            seen[at] = true;
            n++;
        }
        op.cursor = agent->reply.cursor;
    } while (op.cursor.host[0] != '\0');
    assert_int_equal(n, BOXES);
}

static struct rt_store_op end_of(int i, uint64_t life)
{
    struct rt_store_op op = {.kind = RT_STORE_END, .key = box(i), .life = life, .epoch = 1};

    op.end.code = (uint64_t)i + 1;
    op.tail[0] = (struct rt_slice){.data = (const uint8_t *)"bye", .size = 3};
    op.end.out = 3;
    return op;
}

/* Keys of all three nodes: claims are heard, all are listed, ends are at a replica. */
static void test_spread(void **state)
{
    uint64_t lives[BOXES];
    size_t heard = 0, per_node[PRIMARIES] = {0};

    (void)state;
    b->n_news = 0;
    take_all(lives);
    run_for(300);
    for (size_t i = 0; i < b->n_news; i++) {
        heard += b->news[i].kind == RT_STORE_CLAIMED;
    }
    assert_int_equal(heard, BOXES);
    list_all(a);
    list_all(b);
    for (int i = 0; i < BOXES; i++) {
        struct rt_store_op end = end_of(i, lives[i]), tails = {.kind = RT_STORE_TAILS, .key = box(i)};
        char key[RT_CID_MAX + 8];

        assert_int_equal(until_answered(a, &end), 0);
        assert_int_equal(a->reply.how, RT_END_REPLICATED);
        assert_int_equal(until_answered(b, &tails), 0);
        assert_int_equal(b->reply.end.code, i + 1);
        assert_memory_equal(b->tails[0], "bye", 3);
        snprintf(key, sizeof(key), "{t/%s}", box(i).cid);
        per_node[rt_slot_of(key, strlen(key)) * PRIMARIES / RT_SLOTS]++;
    }
    for (size_t i = 0; i < PRIMARIES; i++) {
        assert_true(per_node[i] > 0);
    }
    assert_int_equal(a->n_errors_logged + b->n_errors_logged, 0);
}

/* A slot that is moved, again and again. */

static struct {
    unsigned slot;
    char ids[PRIMARIES][41];
    redisContext *at[PRIMARIES];
    atomic_uint moves;
    atomic_bool over, failed;
} mover;

static redisReply *order(size_t node, const char *format, ...)
{
    redisReply *reply;
    va_list args;

    va_start(args, format);
    reply = redisvCommand(mover.at[node], format, args);
    va_end(args);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        print_error("%s: %s\n", format, reply != NULL ? reply->str : "no answer");
        mover.failed = true;
    }
    return reply;
}

static void move_slot(size_t from, size_t to)
{
    redisReply *keys;

    freeReplyObject(order(to, "CLUSTER SETSLOT %u IMPORTING %s", mover.slot, mover.ids[from]));
    freeReplyObject(order(from, "CLUSTER SETSLOT %u MIGRATING %s", mover.slot, mover.ids[to]));
    keys = order(from, "CLUSTER GETKEYSINSLOT %u 100", mover.slot);
    for (size_t i = 0; keys != NULL && keys->type == REDIS_REPLY_ARRAY && i < keys->elements; i++) {
        freeReplyObject(order(from, "MIGRATE 127.0.0.1 %u %s 0 5000", cluster.nodes[to].port, keys->element[i]->str));
    }
    freeReplyObject(keys);
    freeReplyObject(order(to, "CLUSTER SETSLOT %u NODE %s", mover.slot, mover.ids[to]));
    freeReplyObject(order(from, "CLUSTER SETSLOT %u NODE %s", mover.slot, mover.ids[to]));
}

static void *mover_main(void *arg)
{
    struct timespec pause = {.tv_nsec = 30000000};
    size_t at = mover.slot * PRIMARIES / RT_SLOTS;

    (void)arg;
    while (!mover.over && !mover.failed) {
        move_slot(at, (at + 1) % PRIMARIES);
        at = (at + 1) % PRIMARIES;
        mover.moves++;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void mover_start(const char *tag, pthread_t *thread)
{
    memset(&mover, 0, sizeof(mover));
    mover.slot = rt_slot_of(tag, strlen(tag));
    for (size_t i = 0; i < PRIMARIES; i++) {
        char id[64];

        mover.at[i] = redisConnect("127.0.0.1", cluster.nodes[i].port);
        assert_true(mover.at[i] != NULL && mover.at[i]->err == 0);
        assert_int_equal(rt_test_cluster_command(&cluster.nodes[i], "CLUSTER MYID", id, sizeof(id)), 0);
        snprintf(mover.ids[i], sizeof(mover.ids[i]), "%.40s", id);
    }
    assert_int_equal(pthread_create(thread, NULL, mover_main, NULL), 0);
}

static void mover_stop(pthread_t thread)
{
    mover.over = true;
    pthread_join(thread, NULL);
    for (size_t i = 0; i < PRIMARIES; i++) {
        redisFree(mover.at[i]);
    }
    assert_false(mover.failed);
}

static bool is_answered(struct agent *agent)
{
    return agent->reply.id == agent->last_id;
}

/* Both submit theirs before either is answered; what could not be done then is asked again. */
static void at_once(struct agent *const agents[2], struct rt_store_op ops[2])
{
    int rcs[2];

    for (size_t i = 0; i < 2; i++) {
        agents[i]->n_news = 0;
        ops[i].id = ++agents[i]->last_id;
        rcs[i] = rt_store_submit(&agents[i]->store, &ops[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        if (rcs[i] == 0) {
            assert_true(run_until(is_answered, agents[i], HANG_MS));
            rcs[i] = agents[i]->reply.error;
        }
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(rcs[i] == 0 || rcs[i] == RT_EUNAVAIL || rcs[i] == RT_ETIMEDOUT);
        if (rcs[i] != 0) {
            assert_int_equal(until_answered(agents[i], &ops[i]), 0);
        }
    }
}

/* Both agents claim one session in each epoch, one after the other or at once: one has it, however often the slot
 * moves. */
static void test_slot_moves(void **state)
{
    struct rt_store_op op = join_op(RT_STORE_TAKE, key_of("t", "box"), 1, 1, "hosta");
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = op.claim.key};
    unsigned seed = 77000000, wins[2] = {0};
    uint8_t ticket = 1;
    uint64_t life;
    pthread_t thread;

    (void)state;
    mover_start("{t/box}", &thread);
    assert_int_equal(until_answered(a, &op), 0);
    assert_int_equal(a->reply.outcome.verdict, RT_CLASS_OK);
    life = a->reply.outcome.life;
    for (uint64_t epoch = 2; epoch < 2 + ROUNDS || mover.moves < MOVES_LEAST; epoch++) {
        uint8_t next[2] = {(uint8_t)(2 * epoch), (uint8_t)(2 * epoch + 1)}, winner = 0;
        unsigned first = (seed = seed * 1103515245 + 12345) >> 30 & 1, n_ok = 0;
        struct agent *const agents[2] = {first == 0 ? a : b, first == 0 ? b : a};
        struct rt_store_op ops[2];

        for (unsigned i = 0; i < 2; i++) {
            ops[i] = ticket_op(get.key, 1, life, epoch, ticket, next[first ^ i], agents[i]->store.self.host);
        }
        if (epoch % 2 == 0) {
            at_once(agents, ops);
        }
        for (unsigned i = 0; i < 2; i++) {
            if (epoch % 2 != 0) {
                assert_int_equal(until_answered(agents[i], &ops[i]), 0);
            }
            if (agents[i]->reply.outcome.verdict == RT_CLASS_OK) {
                n_ok++;
                wins[first ^ i]++;
                winner = next[first ^ i];
            }
        }
        assert_int_equal(n_ok, 1);
        ticket = winner;
        assert_int_equal(until_answered(a, &get), 0);
        assert_int_equal(a->reply.n_records, 1);
        assert_int_equal(a->records[0].rule.life, life);
        assert_int_equal(a->records[0].rule.epoch, epoch);
        run_for(5);
    }
    mover_stop(thread);
    assert_true(wins[0] > 0 && wins[1] > 0);
}

/* A primary dies. What it had comes back with its replica; until then all else goes on, or waits. */

static size_t owner_of(const char *key)
{
    return rt_slot_of(key, strlen(key)) * PRIMARIES / RT_SLOTS;
}

/* The replica that was promoted has none: an end there is on one disk. Of the other nodes each has its replica. */
static void want_unsure(size_t node, int i, uint64_t life)
{
    struct rt_store_op end = end_of(i, life);
    char key[RT_CID_MAX + 8];

    if (i % 2 == 0) { /* the others are listed below */
        return;
    }
    end.epoch = 2;
    snprintf(key, sizeof(key), "{t/%s}", box(i).cid);
    assert_int_equal(until_answered(b, &end), 0);
    assert_int_equal(b->reply.how, owner_of(key) == node ? RT_END_STORED : RT_END_REPLICATED);
    assert_int_equal(b->reply.unsure, owner_of(key) == node);
}

static void kill_one(size_t node)
{
    uint64_t lives[BOXES];
    int ended = BOXES / 2;

    take_all(lives);
    for (int i = 0; i < ended; i++) {
        struct rt_store_op end = end_of(i, lives[i]);

        assert_int_equal(until_answered(a, &end), 0);
        assert_int_equal(a->reply.how, RT_END_REPLICATED);
    }
    assert_int_equal(rt_test_redis_kill(&cluster.nodes[node]), 0);
    for (int i = 0; i < BOXES; i++) { /* of which a third is there */
        struct rt_store_op move = ticket_op(box(i), 7, lives[i], 2, 1, 2, "hostb");

        if (i >= ended) {
            assert_int_equal(until_answered(b, &move), 0);
            assert_int_equal(b->reply.outcome.verdict, RT_CLASS_OK);
        }
    }
    assert_true(run_until(is_settled, a, HANG_MS));
    assert_true(run_until(is_settled, b, HANG_MS));
    for (int i = 0; i < BOXES; i++) {
        struct rt_store_op tails = {.kind = RT_STORE_TAILS, .key = box(i)}, get = {.kind = RT_STORE_GET, .key = box(i)};

        if (i < ended) {
            assert_int_equal(until_answered(b, &tails), 0);
            assert_int_equal(b->reply.end.code, i + 1);
        } else {
            get.audit = true; /* it lists what could not be listed while its host's set was away */
            assert_int_equal(until_answered(b, &get), 0);
            assert_int_equal(b->reply.n_records, 1);
            assert_int_equal(b->records[0].rule.epoch, 2);
            assert_string_equal(b->records[0].rule.host, "hostb");
            want_unsure(node, i, lives[i]);
        }
    }
    run_for(300);
    list_all(a);
    list_all(b);
}

static size_t n_fresh(const struct agent *agent)
{
    size_t n = 0;

    for (size_t i = 0; i < agent->n_log; i++) {
        n += strstr(agent->log[i], "new or rolled back") != NULL;
    }
    return n;
}

static void test_node_dies(void **state)
{
    size_t node = (owner_of("{reg}") + 1) % PRIMARIES;

    (void)state;
    kill_one(node);
    assert_true(n_fresh(a) > 0 && n_fresh(b) > 0);
}

static void test_registry_dies(void **state)
{
    (void)state;
    kill_one(owner_of("{reg}"));
    assert_true(n_fresh(a) > 0 && n_fresh(b) > 0);
    assert_string_equal(rt_redis_where(&a->store.pubsub), rt_redis_where(&a->store.reg->commands));
}

/* The node of the host's set is away, that of the record is there: nothing is made by halves. */
static void test_create_without_set(void **state)
{
    struct rt_store_op create = {.kind = RT_STORE_CREATE, .key = key_of("t", "new")};
    struct rt_store_op get = {.kind = RT_STORE_GET, .key = create.key};
    char host[16], key[32], record[32];
    size_t registry = owner_of("{reg}"), node = registry;
    struct agent *c;

    (void)state;
    for (unsigned i = 0; node == registry; i++) {
        snprintf(host, sizeof(host), "host%u", i);
        snprintf(key, sizeof(key), "{host/%s}", host);
        node = owner_of(key);
    }
    for (unsigned i = 0; i == 0 || owner_of(record) == node; i++) {
        snprintf(create.key.cid, sizeof(create.key.cid), "new-%u", i);
        snprintf(record, sizeof(record), "{t/new-%u}", i);
    }
    get.key = create.key;
    c = start(host);
    assert_int_equal(rt_test_redis_kill(&cluster.nodes[node]), 0);
    assert_int_not_equal(submit(c, &create), 0);
    assert_int_equal(until_answered(a, &get), 0);
    assert_int_equal(a->reply.n_records, 0);
    assert_int_equal(until_answered(c, &create), 0);
    assert_int_equal(c->reply.outcome.verdict, RT_CLASS_OK);
    agent_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slot_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_registry_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_create_without_set, setup, teardown),
    };

    return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
