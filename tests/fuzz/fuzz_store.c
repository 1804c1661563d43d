/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/past.h"
#include "migrate/store/codec.h"
#include "migrate/store/resp.h"
#include "migrate/store/slots_reply.h"
#include "session/core/order.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/store_check.h"

#include <string.h>

/* What a store says: replies through the guard and the parser behind it, then through the decoder of each kind of
 * reply; rows, messages and names as texts. The first byte chooses: below 128 replies, cut in two at that many bytes;
 * below 160 a record whose fields are chosen; else texts. */

#define FIELDS_MAX 24
#define VALUE_MAX ((size_t)1024)

/* A reply may be of any kind: each decoder takes it or says RT_EPROTO. */
static void decode(const redisReply *reply)
{
    static struct rt_store_record record;
    static struct rt_store_reply tails;
    const struct rt_key key = {"t", "box"};
    struct rt_claim_outcome outcome;
    struct rt_slice past;
    char set[RT_HOST_MAX + 1] = "";
    int rc = rt_store_parse_record(reply, &key, &record, set), error = 0;
    FUZZ_CHECK(rc == 1 || rc == 0 || rc == RT_EPROTO);
    if (rc == 1) {
        store_check_record(&record);
    }
    store_check_text(set, sizeof(set));
    if (rt_store_parse_outcome(reply, &outcome, set) == 0) {
        store_check_outcome(&outcome);
        store_check_text(set, sizeof(set));
    }
    if (rt_store_parse_past(reply, &past) == 0) {
        FUZZ_CHECK(past.size <= RT_PAST_MAX && (past.size == 0 || past.data != NULL));
    }
    if (rt_store_parse_created(reply, &outcome) == 0) {
        store_check_outcome(&outcome);
    }
    if (rt_store_parse_written(reply, &outcome, &error) == 0) {
        store_check_outcome(&outcome);
        FUZZ_CHECK(error == 0 || error == RT_ENOTFOUND);
    }
    rc = rt_store_parse_tails(reply, &tails);
    FUZZ_CHECK(rc == 0 || rc == RT_ENOTFOUND || rc == RT_EPROTO);
    if (rc == 0) {
        FUZZ_CHECK(tails.tail[0].size <= RT_RESP_BYTES_MAX && tails.tail[1].size <= RT_RESP_BYTES_MAX);
        const uint64_t size[2] = {tails.tail[0].size, tails.tail[1].size};
        FUZZ_CHECK(tails.end.ord.size == 0 || rt_order_unpack(tails.end.ord, size, NULL) > 0);
        FUZZ_CHECK(tails.end.out < RT_COUNTER_MAX && tails.end.err < RT_COUNTER_MAX);
    }
}

/* A slot map, or where to go on: within their bounds, or refused. */
static void decode_slots(const redisReply *reply)
{
    static const struct rt_slot_place asked = {.host = "asked", .port = 1};
    static struct rt_slot_map map;
    struct rt_slot_place place = asked;
    uint16_t slot = 0;
    size_t n_owned = 0;
    int rc = rt_slots_reply(reply, &asked, &map);
    FUZZ_CHECK((rc == 0 || rc == RT_EPROTO || rc == RT_ELIMIT) && map.n <= RT_SLOT_NODES_MAX);
    for (size_t i = 0; i < map.n; i++) {
        uint8_t primary = map.nodes[i].primary;
        FUZZ_CHECK(primary < map.n && map.nodes[primary].primary == primary);
        FUZZ_CHECK(rt_slot_place_valid(&map.nodes[i].place));
        FUZZ_CHECK(rt_slot_map_find(&map, &map.nodes[i].place) == (int)i);
    }
    for (size_t i = 0; i < RT_SLOTS && map.n > 0; i++) {
        uint8_t owner = map.owner[i];
        n_owned += owner != RT_SLOT_NOBODY;
        FUZZ_CHECK(owner == RT_SLOT_NOBODY || (owner < map.n && map.nodes[owner].primary == owner));
    }
    FUZZ_CHECK(n_owned == map.n_owned);
    if (reply->type == REDIS_REPLY_ERROR) {
        enum rt_slot_said said = rt_slot_said(reply->str, &asked, &slot, &place);
        FUZZ_CHECK(slot < RT_SLOTS);
        FUZZ_CHECK((said != RT_SLOT_SAID_MOVED && said != RT_SLOT_SAID_ASK) || rt_slot_place_valid(&place));
    }
}

static void replies(const char *data, size_t size, size_t cut)
{
    struct rt_resp guard, parts;
    redisReader *reader;
    void *reply = NULL;
    uint64_t n = 0;
    int rc, rc_parts;
    rt_resp_init(&guard);
    rt_resp_init(&parts);
    rc = rt_resp_feed(&guard, data, size);
    cut = cut < size ? cut : size;
    rc_parts = rt_resp_feed(&parts, data, cut);
    if (rc_parts == 0) {
        rc_parts = rt_resp_feed(&parts, data + cut, size - cut);
    }
    FUZZ_CHECK(rc == rc_parts && (rc != 0 || guard.replies == parts.replies));
    FUZZ_CHECK(rc == 0 || rc == RT_EPROTO || rc == RT_ELIMIT);
    if (rc != 0) {
        return;
    }
    FUZZ_CHECK(guard.depth <= RT_RESP_DEPTH_MAX && guard.nodes <= RT_RESP_NODES_MAX);
    reader = redisReaderCreate();
    FUZZ_CHECK(reader != NULL);
    rc = redisReaderFeed(reader, data, size);
    while (rc == REDIS_OK && (rc = redisReaderGetReply(reader, &reply)) == REDIS_OK && reply != NULL) {
        decode(reply);
        decode_slots(reply);
        freeReplyObject(reply);
        n++;
    }
    FUZZ_CHECK(rc == REDIS_OK ? n == guard.replies : n <= guard.replies);
    redisReaderFree(reader);
}

/* One part of a value: an id in hex, a number, a move, or bytes as they are. Returns its size. */
static size_t put_part(struct fuzz_in *in, uint8_t kind, char out[VALUE_MAX])
{
    struct rt_slice raw;
    switch (kind % 4) {
    case 0:
        memset(out, '0', RT_STORE_ID_HEX);
        return RT_STORE_ID_HEX;
    case 1:
        return (size_t)snprintf(out, VALUE_MAX, "%u", (unsigned)fuzz_number(in));
    case 2:
        return (size_t)snprintf(out, VALUE_MAX, "%u 2 3 host\n", fuzz_byte(in));
    default:
        raw = fuzz_bytes(in);
        if (raw.size > 0) {
            memcpy(out, raw.data, raw.size);
        }
        return raw.size;
    }
}

/* A record with any fields in any order, also more than once. */
static void chosen_record(struct fuzz_in *in)
{
    static const char *const names[] = {"st",    "life",  "ep",    "lost", "ring", "made", "claimed", "seen",
                                        "moves", "code",  "sig",   "out",  "err",  "inc",  "tkt",     "nonce",
                                        "host",  "bound", "label", "set",  "anc",  "hist", "rep",     "later"};
    static char text[(size_t)FIELDS_MAX * (VALUE_MAX + 64)];
    unsigned n = fuzz_byte(in) % FIELDS_MAX;
    size_t at = (size_t)snprintf(text, sizeof(text), "*%u\r\n$2\r\nst\r\n$1\r\n2\r\n", 2 * n + 2);
    for (unsigned i = 0; i < n; i++) {
        const char *name = names[fuzz_byte(in) % (sizeof(names) / sizeof(names[0]))];
        char value[VALUE_MAX];
        uint8_t kind = fuzz_byte(in);
        size_t size = 0;
        for (unsigned parts = 1 + kind / 4 % 32; parts > 0 && size < VALUE_MAX - 256; parts--) {
            char part[VALUE_MAX];
            size_t more = put_part(in, kind, part);
            memcpy(value + size, part, more);
            size += more;
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "$%zu\r\n%s\r\n$%zu\r\n", strlen(name), name, size);
        memcpy(text + at, value, size);
        at += size;
        text[at++] = '\r';
        text[at++] = '\n';
    }
    replies(text, at, at / 2);
}

static void texts(const char *data, size_t size)
{
    static struct rt_store_record record;
    struct rt_store_news news;
    struct rt_store_host row;
    struct rt_key key;
    struct rt_id id;
    char member[RT_STORE_MEMBER_MAX], hex[RT_STORE_ID_HEX + 1];
    if (rt_store_parse_row("h", 1, data, size, 1000, &row) == 0) {
        store_check_host(&row);
    }
    if (rt_store_parse_claimed(data, size, &news) == 0) {
        FUZZ_CHECK(news.kind == RT_STORE_CLAIMED || news.kind == RT_STORE_REVOKED);
        store_check_news(&news);
    }
    if (rt_store_parse_host(data, size, &news) == 0) {
        FUZZ_CHECK(news.kind == RT_STORE_HOST);
        store_check_news(&news);
    }
    record = (struct rt_store_record){.rule = {.exists = true, .state = RT_SESSION_RUNNING}};
    if (rt_past_read((struct rt_slice){(const uint8_t *)data, size}, &record) == 0) {
        store_check_record(&record);
    }
    if (rt_store_parse_member(data, size, &key) == 0) {
        rt_store_member(&key, member);
        FUZZ_CHECK(strlen(member) == size && memcmp(member, data, size) == 0);
    }
    if (rt_store_parse_id(data, size, &id) == 0) {
        rt_store_format_id(&id, hex);
        FUZZ_CHECK(strlen(hex) == size && memcmp(hex, data, size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy;
    if (size < 2) {
        return 0;
    }
    copy = malloc(size - 1); /* of its own, so that a read past its end shows */
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    if (data[0] < 128) {
        replies(copy, size - 1, data[0]);
    } else if (data[0] < 160) {
        chosen_record(&(struct fuzz_in){data + 1, size - 1});
    } else {
        texts(copy, size - 1);
    }
    free(copy);
    return 0;
}
