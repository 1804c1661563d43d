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

static int parse_number(const char *text, size_t size, uint64_t *value)
{
    return rt_read_number((struct rt_slice){(const uint8_t *)text, size}, RT_COUNTER_MAX - 1, value) ? 0 : RT_EPROTO;
}

int rt_store_parse_id(const char *hex, size_t size, struct rt_id *id)
{
    return rt_unhex((struct rt_slice){(const uint8_t *)hex, size}, id->b, sizeof(id->b)) ? 0 : RT_EPROTO;
}

static int copy_text(const char *text, size_t size, char *out, size_t cap)
{
    if (size >= cap || memchr(text, '\0', size) != NULL) {
        return RT_EPROTO;
    }
    memcpy(out, text, size);
    out[size] = '\0';
    return 0;
}

int rt_store_parse_member(const char *text, size_t size, struct rt_key *key)
{
    const char *slash = memrchr(text, '/', size);
    size_t tenant = slash != NULL ? (size_t)(slash - text) : 0;

    if (slash == NULL || copy_text(text, tenant, key->tenant, sizeof(key->tenant)) != 0 ||
        copy_text(slash + 1, size - tenant - 1, key->cid, sizeof(key->cid)) != 0) {
        return RT_EPROTO;
    }
    return 0;
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

    return item != NULL ? copy_text(item->str, item->len, out, cap) : RT_EPROTO;
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
    *past = (struct rt_slice){(const uint8_t *)item->str, item->len};
    return 0;
}

int rt_store_parse_created(const redisReply *reply, struct rt_claim_outcome *outcome)
{
    uint64_t verdict;

    memset(outcome, 0, sizeof(*outcome));
    if (rt_store_integer(reply, 0, &verdict) != 0 || reply->elements != 1 || verdict >= RT_CLASSES) {
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

/* The next line of [*at, end), without its newline. */
static bool next_line(const char **at, const char *end, const char **line, size_t *size)
{
    const char *stop;

    if (*at >= end) {
        return false;
    }
    *line = *at;
    stop = memchr(*at, '\n', (size_t)(end - *at));
    *size = (size_t)((stop != NULL ? stop : end) - *at);
    *at += *size + 1;
    return true;
}

static int parse_ancestors(const char *value, size_t size, struct rt_record *rule)
{
    if (size % RT_STORE_ID_HEX != 0 || size / RT_STORE_ID_HEX > RT_ANCESTORS_MAX - rule->n_ancestors) {
        return RT_EPROTO;
    }
    for (size_t at = 0; at < size; at += RT_STORE_ID_HEX) {
        if (rt_store_parse_id(value + at, RT_STORE_ID_HEX, &rule->ancestors[rule->n_ancestors++]) != 0) {
            return RT_EPROTO;
        }
    }
    return 0;
}

static int parse_report(const char *value, size_t size, struct rt_store_record *record)
{
    if (size > RT_REPORT_MAX) {
        return RT_EPROTO;
    }
    memcpy(record->report, value, size);
    record->report_size = size;
    return 0;
}

static int parse_state(const char *value, size_t size, struct rt_record *rule)
{
    uint64_t state;

    if (parse_number(value, size, &state) != 0 || state < RT_SESSION_CREATED || state > RT_SESSION_ENDED) {
        return RT_EPROTO;
    }
    rule->state = (enum rt_session_state)state;
    return 0;
}

static int parse_field(const char *name, const char *value, size_t size, struct rt_store_record *record,
                       char set[RT_HOST_MAX + 1])
{
    struct rt_record *rule = &record->rule;
    const struct {
        const char *name;
        uint64_t *out;
    } numbers[] = {
        {"life", &rule->life},      {"ep", &rule->epoch},       {"lost", &rule->lost_ms},
        {"ring", &record->ring},    {"made", &record->made_ms}, {"claimed", &record->claimed_ms},
        {"seen", &record->seen_ms}, {"moves", &record->moves},  {"code", &record->code},
        {"sig", &record->sig},      {"out", &record->out},      {"err", &record->err},
    };
    const struct {
        const char *name;
        struct rt_id *out;
    } ids[] = {{"inc", &rule->inc}, {"tkt", &rule->ticket}, {"nonce", &rule->nonce}};
    const struct {
        const char *name;
        char *out;
        size_t cap;
    } texts[] = {{"host", rule->host, sizeof(rule->host)},
                 {"bound", rule->bound_to, sizeof(rule->bound_to)},
                 {"label", record->label, sizeof(record->label)},
                 {"set", set, RT_HOST_MAX + 1}};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return parse_number(value, size, numbers[i].out);
        }
    }
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        if (strcmp(name, ids[i].name) == 0) {
            return rt_store_parse_id(value, size, ids[i].out);
        }
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(name, texts[i].name) == 0) {
            return copy_text(value, size, texts[i].out, texts[i].cap);
        }
    }
    if (strcmp(name, "st") == 0) {
        return parse_state(value, size, rule);
    }
    if (strcmp(name, "anc") == 0) {
        return parse_ancestors(value, size, rule);
    }
    if (strcmp(name, "hist") == 0) {
        return rt_past_history((struct rt_slice){(const uint8_t *)value, size}, record);
    }
    if (strcmp(name, "rep") == 0) {
        return parse_report(value, size, record);
    }
    return 0; /* a later version's */
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

        if (name == NULL || value == NULL || parse_field(name->str, value->str, value->len, record, set) != 0) {
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
        out->tail[i] = (struct rt_slice){(const uint8_t *)tails[i]->str, tails[i]->len};
    }
    out->end.ord = (struct rt_slice){(const uint8_t *)order->str, order->len};
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
    static const char *const local[] = {"unix:", "tcp:127.", "tcp:[::1]:"};

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

int rt_store_parse_row(const char *host, size_t host_size, const char *row_text, size_t size, uint64_t now_ms,
                       struct rt_store_host *row)
{
    const char *end = row_text + size;
    const char *line;
    size_t length;
    uint64_t at_ms;

    memset(row, 0, sizeof(*row));
    if (size > RT_STORE_ROW_MAX + 128 || host_size == 0 ||
        copy_text(host, host_size, row->host, sizeof(row->host)) != 0 || !next_line(&row_text, end, &line, &length) ||
        rt_store_parse_id(line, length, &row->instance) != 0 || !next_line(&row_text, end, &line, &length) ||
        parse_number(line, length, &row->seq) != 0 || !next_line(&row_text, end, &line, &length) ||
        parse_number(line, length, &at_ms) != 0 || !next_line(&row_text, end, &line, &length) ||
        parse_number(line, length, &row->sessions) != 0 || !next_line(&row_text, end, &line, &length) ||
        copy_text(line, length, row->version, sizeof(row->version)) != 0 ||
        !next_line(&row_text, end, &line, &length) ||
        copy_text(line, length, row->machine, sizeof(row->machine)) != 0) {
        return RT_EPROTO;
    }
    while (next_line(&row_text, end, &line, &length)) {
        if (row->n_addr == RT_ADDRS_MAX || copy_text(line, length, row->addr[row->n_addr++], RT_ADDR_MAX + 1) != 0) {
            return RT_EPROTO;
        }
    }
    row->age_ms = now_ms > at_ms ? now_ms - at_ms : 0;
    return 0;
}

int rt_store_parse_host(const char *message, size_t size, struct rt_store_news *news)
{
    const char *end = message + size;
    const char *name;
    size_t length;

    memset(news, 0, sizeof(*news));
    news->kind = RT_STORE_HOST;
    /* A name whose line does not end has no row behind it. */
    if (!next_line(&message, end, &name, &length) || message > end ||
        rt_store_parse_row(name, length, message, (size_t)(end - message), 0, &news->row) != 0) {
        return RT_EPROTO;
    }
    memcpy(news->host, news->row.host, sizeof(news->host));
    return 0;
}

int rt_store_parse_claimed(const char *message, size_t size, struct rt_store_news *news)
{
    const char *end = message + size;
    const char *line[5];
    size_t length[5];

    memset(news, 0, sizeof(*news));
    news->kind = RT_STORE_CLAIMED;
    for (size_t i = 0; i < 5; i++) {
        if (!next_line(&message, end, &line[i], &length[i])) {
            return RT_EPROTO;
        }
    }
    if (parse_number(line[0], length[0], &news->life) != 0 || parse_number(line[1], length[1], &news->epoch) != 0 ||
        copy_text(line[2], length[2], news->host, sizeof(news->host)) != 0 ||
        copy_text(line[3], length[3], news->key.tenant, sizeof(news->key.tenant)) != 0 ||
        copy_text(line[4], length[4], news->key.cid, sizeof(news->key.cid)) != 0) {
        return RT_EPROTO;
    }
    return 0;
}
