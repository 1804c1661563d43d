/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/store/codec.h"

#include "migrate/core/past.h"
#include "session/base/text.h"
#include "session/base/units.h"
#include "session/core/frame.h"
#include "session/core/order.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct rt_slice slice(const char *text, size_t size)
{
    return (struct rt_slice){(const uint8_t *)text, size};
}

static bool number(struct rt_slice text, uint64_t *value)
{
    return rt_read_number(text, RT_COUNTER_MAX - 1, value);
}

static bool id(struct rt_slice hex, struct rt_id *out)
{
    return rt_unhex(hex, out->b, sizeof(out->b));
}

int rt_store_parse_id(const char *hex, size_t size, struct rt_id *out)
{
    return id(slice(hex, size), out) ? 0 : RT_EPROTO;
}

static bool copy(struct rt_slice text, char *out, size_t cap)
{
    if (text.size >= cap || (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)) {
        return false;
    }
    rt_slice_copy(text, out, cap);
    return true;
}

int rt_store_parse_member(const char *text, size_t size, struct rt_key *key)
{
    const char *slash = memrchr(text, '/', size);

    return slash != NULL && copy(slice(text, (size_t)(slash - text)), key->tenant, sizeof(key->tenant)) &&
                   copy(slice(slash + 1, size - (size_t)(slash - text) - 1), key->cid, sizeof(key->cid))
               ? 0
               : RT_EPROTO;
}

const redisReply *rt_store_element(const redisReply *reply, size_t i, int type)
{
    if (reply->type != REDIS_REPLY_ARRAY || i >= reply->elements || reply->element[i]->type != type) {
        return NULL;
    }
    return reply->element[i];
}

int rt_store_integer(const redisReply *reply, size_t i, uint64_t *value)
{
    const redisReply *item = rt_store_element(reply, i, REDIS_REPLY_INTEGER);

    if (item == NULL || item->integer < 0 || (uint64_t)item->integer >= RT_COUNTER_MAX) {
        return RT_EPROTO;
    }
    *value = (uint64_t)item->integer;
    return 0;
}

static int text(const redisReply *reply, size_t i, char *out, size_t cap)
{
    const redisReply *item = rt_store_element(reply, i, REDIS_REPLY_STRING);

    return item != NULL && copy(slice(item->str, item->len), out, cap) ? 0 : RT_EPROTO;
}

int rt_store_parse_outcome(const redisReply *reply, struct rt_claim_outcome *outcome, char set[RT_HOST_MAX + 1])
{
    uint64_t verdict, draining, moved;

    memset(outcome, 0, sizeof(*outcome));
    if (rt_store_integer(reply, 0, &verdict) != 0 || rt_store_integer(reply, 1, &draining) != 0 ||
        rt_store_integer(reply, 2, &outcome->life) != 0 || rt_store_integer(reply, 3, &outcome->epoch) != 0 ||
        rt_store_integer(reply, 4, &outcome->delay_ms) != 0 ||
        text(reply, 5, outcome->host, sizeof(outcome->host)) != 0 || rt_store_integer(reply, 6, &moved) != 0 ||
        text(reply, 7, set, RT_HOST_MAX + 1) != 0 || verdict >= RT_CLASSES) {
        return RT_EPROTO;
    }
    outcome->verdict = (enum rt_class)verdict;
    outcome->draining = draining != 0;
    outcome->moved = moved != 0;
    return 0;
}

int rt_store_parse_past(const redisReply *reply, struct rt_slice *past)
{
    const redisReply *item = rt_store_element(reply, 8, REDIS_REPLY_STRING);

    if (item == NULL || item->len > RT_PAST_MAX) {
        return RT_EPROTO;
    }
    *past = slice(item->str, item->len);
    return 0;
}

int rt_store_parse_created(const redisReply *reply, struct rt_claim_outcome *outcome)
{
    uint64_t verdict;

    memset(outcome, 0, sizeof(*outcome));
    if (rt_store_integer(reply, 0, &verdict) != 0 || rt_store_integer(reply, 1, &outcome->life) != 0 ||
        reply->elements != 2 || verdict >= RT_CLASSES) {
        return RT_EPROTO;
    }
    outcome->verdict = (enum rt_class)verdict;
    return 0;
}

int rt_store_parse_written(const redisReply *reply, struct rt_claim_outcome *outcome, int *error)
{
    static const enum rt_class verdicts[] = {[RT_STORE_WRITTEN] = RT_CLASS_OK,
                                             [RT_STORE_NO_RECORD] = RT_CLASS_NOT_FOUND,
                                             [RT_STORE_OTHER_CLAIM] = RT_CLASS_STALE,
                                             [RT_STORE_OTHER_END] = RT_CLASS_ENDED};
    uint64_t code;

    memset(outcome, 0, sizeof(*outcome));
    if (rt_store_integer(reply, 0, &code) != 0 || code >= sizeof(verdicts) / sizeof(verdicts[0]) ||
        rt_store_integer(reply, 1, &outcome->life) != 0 || rt_store_integer(reply, 2, &outcome->epoch) != 0 ||
        text(reply, 3, outcome->host, sizeof(outcome->host)) != 0) {
        return RT_EPROTO;
    }
    outcome->verdict = verdicts[code];
    *error = verdicts[code] == RT_CLASS_NOT_FOUND || verdicts[code] == RT_CLASS_STALE ? RT_ENOTFOUND : 0;
    return 0;
}

static bool ancestors(struct rt_slice hex, struct rt_record *rule)
{
    for (; hex.size >= RT_STORE_ID_HEX && rule->n_ancestors < RT_ANCESTORS_MAX; rule->n_ancestors++) {
        if (!id((struct rt_slice){hex.data, RT_STORE_ID_HEX}, &rule->ancestors[rule->n_ancestors])) {
            return false;
        }
        hex.data += RT_STORE_ID_HEX;
        hex.size -= RT_STORE_ID_HEX;
    }
    return hex.size == 0;
}

static bool report(struct rt_slice value, struct rt_store_record *record)
{
    if (value.size > RT_REPORT_MAX) {
        return false;
    }
    memcpy(record->report, value.data, value.size);
    record->report_size = value.size;
    return true;
}

static bool state(struct rt_slice value, struct rt_record *rule)
{
    uint64_t read;

    if (!number(value, &read) || read < RT_SESSION_CREATED || read > RT_SESSION_ENDED) {
        return false;
    }
    rule->state = (enum rt_session_state)read;
    return true;
}

static bool field(const char *name, struct rt_slice value, struct rt_store_record *record, char set[RT_HOST_MAX + 1])
{
    struct rt_record *rule = &record->rule;
    const struct { /* one of the three */
        const char *name;
        uint64_t *number;
        struct rt_id *id;
        char *text;
        size_t cap;
    } fields[] = {
        {"life", .number = &rule->life},
        {"ep", .number = &rule->epoch},
        {"lost", .number = &rule->lost_ms},
        {"ring", .number = &record->ring},
        {"made", .number = &record->made_ms},
        {"claimed", .number = &record->claimed_ms},
        {"seen", .number = &record->seen_ms},
        {"moves", .number = &record->moves},
        {"code", .number = &record->code},
        {"sig", .number = &record->sig},
        {"out", .number = &record->out},
        {"err", .number = &record->err},
        {"rev", .number = &rule->rev},
        {"inc", .id = &rule->inc},
        {"tkt", .id = &rule->ticket},
        {"nonce", .id = &rule->nonce},
        {"host", .text = rule->host, .cap = sizeof(rule->host)},
        {"bound", .text = rule->bound_to, .cap = sizeof(rule->bound_to)},
        {"label", .text = record->label, .cap = sizeof(record->label)},
        {"set", .text = set, .cap = RT_HOST_MAX + 1},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(name, fields[i].name) == 0) {
            return fields[i].number != NULL ? number(value, fields[i].number)
                   : fields[i].id != NULL   ? id(value, fields[i].id)
                                            : copy(value, fields[i].text, fields[i].cap);
        }
    }
    if (strcmp(name, "st") == 0) {
        return state(value, rule);
    }
    if (strcmp(name, "anc") == 0) {
        return ancestors(value, rule);
    }
    if (strcmp(name, "hist") == 0) {
        return rt_past_history(value, record) == 0;
    }
    if (strcmp(name, "rep") == 0) {
        return report(value, record);
    }
    return true; /* a later version's */
}

int rt_store_parse_record(const redisReply *reply, const struct rt_key *key, struct rt_store_record *record,
                          char set[RT_HOST_MAX + 1])
{
    memset(record, 0, sizeof(*record));
    set[0] = '\0';
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0) {
        return RT_EPROTO;
    }
    if (reply->elements == 0) {
        return 0;
    }
    record->key = *key;
    record->rule.exists = true;
    for (size_t i = 0; i < reply->elements; i += 2) {
        const redisReply *name = rt_store_element(reply, i, REDIS_REPLY_STRING);
        const redisReply *value = rt_store_element(reply, i + 1, REDIS_REPLY_STRING);

        if (name == NULL || value == NULL || !field(name->str, slice(value->str, value->len), record, set)) {
            return RT_EPROTO;
        }
    }
    return record->rule.state == RT_SESSION_NONE ? RT_EPROTO : 1;
}

int rt_store_parse_tails(const redisReply *reply, struct rt_store_reply *out)
{
    const redisReply *tails[2] = {rt_store_element(reply, 6, REDIS_REPLY_STRING),
                                  rt_store_element(reply, 7, REDIS_REPLY_STRING)};
    const redisReply *order = rt_store_element(reply, 11, REDIS_REPLY_STRING);
    uint64_t state, lost, cut;

    if (rt_store_integer(reply, 0, &state) != 0 || rt_store_integer(reply, 1, &lost) != 0 ||
        rt_store_integer(reply, 2, &out->end.code) != 0 || rt_store_integer(reply, 3, &out->end.sig) != 0 ||
        rt_store_integer(reply, 4, &out->end.out) != 0 || rt_store_integer(reply, 5, &out->end.err) != 0 ||
        tails[0] == NULL || tails[1] == NULL || order == NULL || rt_store_integer(reply, 8, &out->outcome.life) != 0 ||
        text(reply, 9, out->outcome.host, sizeof(out->outcome.host)) != 0 || rt_store_integer(reply, 10, &cut) != 0) {
        return RT_EPROTO;
    }
    if (state != RT_SESSION_ENDED && lost == 0) {
        return RT_ENOTFOUND;
    }
    out->lost = lost != 0;
    out->cut = cut != 0;
    for (size_t i = 0; i < 2; i++) {
        out->tail[i] = slice(tails[i]->str, tails[i]->len);
    }
    out->end.ord = slice(order->str, order->len);
    if (rt_order_unpack(out->end.ord, (const uint64_t[2]){tails[0]->len, tails[1]->len}, NULL) == 0) {
        out->end.ord.size = 0; /* of other tails: these are whole without it */
    }
    return 0;
}

size_t rt_store_format_row(const struct rt_store_host *host, char out[RT_STORE_ROW_MAX])
{
    size_t size =
        (size_t)snprintf(out, RT_STORE_ROW_MAX, "%" PRIu64 "\n%s\n%s\n", host->sessions, host->version, host->machine);

    for (size_t i = 0; i < host->n_addr; i++) {
        size += (size_t)snprintf(out + size, RT_STORE_ROW_MAX - size, "%s\n", host->addr[i]);
    }
    return size;
}

static bool is_local(const char *addr)
{
    static const char *const local[] = {"unix:", "tls:127.", "tls:[::1]:", "tls:localhost:"};

    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        if (strncmp(addr, local[i], strlen(local[i])) == 0) {
            return true;
        }
    }
    return false;
}

void rt_store_reachable(const char *machine, struct rt_store_host *row)
{
    size_t n = 0;

    if (strcmp(row->machine, machine) == 0 && strcmp(machine, "-") != 0) {
        return;
    }
    for (size_t i = 0; i < row->n_addr; i++) {
        if (!is_local(row->addr[i])) {
            memmove(row->addr[n++], row->addr[i], sizeof(row->addr[i]));
        }
    }
    row->n_addr = n;
}

/* Cuts a text into lines, without their newlines. Returns how many; most + 1 where there are more. */
static size_t cut(const char *text, size_t size, struct rt_slice *line, size_t most)
{
    const char *end = text + size;
    size_t n = 0;

    for (; text < end && n < most; n++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));

        line[n] = slice(text, (size_t)((stop != NULL ? stop : end) - text));
        text += line[n].size + 1;
    }
    return n + (text < end);
}

/* Of a row: instance, seq, time, sessions, version, machine; its addresses follow. */
#define ROW_LINES 6

/* The heartbeat of a row that has none which can be read: its text. That of a host that lives changes. */
static void beat_of_text(const char *text, size_t size, struct rt_id *instance)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t *b = &instance->b[i % sizeof(instance->b)];

        *b = (uint8_t)(*b * 31 + (uint8_t)text[i]);
    }
}

/* What the agent gave. */
static bool given(const struct rt_slice *line, size_t n, struct rt_store_host *row)
{
    if (n < ROW_LINES || n > ROW_LINES + RT_ADDRS_MAX || !number(line[3], &row->sessions) ||
        !copy(line[4], row->version, sizeof(row->version)) || !copy(line[5], row->machine, sizeof(row->machine))) {
        return false;
    }
    for (size_t i = ROW_LINES; i < n; i++) {
        if (!copy(line[i], row->addr[row->n_addr++], RT_ADDR_MAX + 1)) {
            return false;
        }
    }
    return true;
}

int rt_store_parse_row(const char *host, size_t host_size, const char *row_text, size_t size, uint64_t now_ms,
                       struct rt_store_host *row)
{
    struct rt_slice line[ROW_LINES + RT_ADDRS_MAX] = {{NULL, 0}};
    size_t n = cut(row_text, size, line, ROW_LINES + RT_ADDRS_MAX);
    struct rt_store_host beat;
    uint64_t at_ms;

    memset(row, 0, sizeof(*row));
    if (host_size == 0 || !copy(slice(host, host_size), row->host, sizeof(row->host))) {
        return RT_EPROTO;
    }
    beat = *row;
    (void)snprintf(beat.version, sizeof(beat.version), "-");
    (void)snprintf(beat.machine, sizeof(beat.machine), "-");
    if (!id(line[0], &beat.instance) || !number(line[1], &beat.seq) || !number(line[2], &at_ms)) {
        beat.seq = 0;
        memset(&beat.instance, 0, sizeof(beat.instance));
        beat_of_text(row_text, size, &beat.instance);
        *row = beat;
        return RT_EPROTO;
    }
    beat.age_ms = now_ms > at_ms ? now_ms - at_ms : 0;
    *row = beat;
    if (size > RT_STORE_ROW_MAX + 128 || !given(line, n, row)) {
        *row = beat;
        return RT_EPROTO;
    }
    return 0;
}

bool rt_store_drains(const char *text, size_t size, const struct rt_store_host *row)
{
    struct rt_id instance;

    return id(slice(text, size), &instance) && rt_id_equal(&instance, &row->instance);
}

int rt_store_parse_host(const char *message, size_t size, struct rt_store_news *news)
{
    const char *stop = memchr(message, '\n', size);
    size_t name = stop != NULL ? (size_t)(stop - message) : 0;

    memset(news, 0, sizeof(*news));
    news->kind = RT_STORE_HOST;
    /* A name whose line does not end has no row behind it. */
    if (stop == NULL || rt_store_parse_row(message, name, stop + 1, size - name - 1, 0, &news->row) != 0) {
        return RT_EPROTO;
    }
    memcpy(news->host, news->row.host, sizeof(news->host));
    return 0;
}

int rt_store_parse_claimed(const char *message, size_t size, struct rt_store_news *news)
{
    struct rt_slice line[5] = {{NULL, 0}};

    memset(news, 0, sizeof(*news));
    news->kind = RT_STORE_CLAIMED;
    if (cut(message, size, line, 5) < 5 || !number(line[0], &news->life) || !number(line[1], &news->epoch) ||
        !copy(line[2], news->host, sizeof(news->host)) || !copy(line[3], news->key.tenant, sizeof(news->key.tenant)) ||
        !copy(line[4], news->key.cid, sizeof(news->key.cid))) {
        return RT_EPROTO;
    }
    if (news->life != 0 && news->host[0] == '\0') { /* a claim has a host */
        news->kind = RT_STORE_REVOKED;
    }
    return 0;
}
