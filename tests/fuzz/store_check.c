/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "tests/fuzz/store_check.h"

#include "session/core/protocol.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void store_check_text(const char *text, size_t cap)
{
    FUZZ_CHECK(memchr(text, '\0', cap) != NULL);
}

void store_check_record(const struct rt_store_record *record)
{
    const struct rt_record *rule = &record->rule;
    FUZZ_CHECK(rule->exists && rule->state >= RT_SESSION_CREATED && rule->state <= RT_SESSION_ENDED);
    FUZZ_CHECK(rule->life < RT_COUNTER_MAX && rule->epoch < RT_COUNTER_MAX);
    FUZZ_CHECK(rule->n_ancestors <= RT_ANCESTORS_MAX && record->n_hist <= RT_HISTORY_MAX);
    FUZZ_CHECK(record->report_size <= RT_REPORT_MAX);
    store_check_text(rule->host, sizeof(rule->host));
    store_check_text(rule->bound_to, sizeof(rule->bound_to));
    store_check_text(record->label, sizeof(record->label));
    for (size_t i = 0; i < record->n_hist; i++) {
        store_check_text(record->hist[i].host, sizeof(record->hist[i].host));
    }
}

void store_check_outcome(const struct rt_claim_outcome *outcome)
{
    FUZZ_CHECK(outcome->verdict < RT_CLASSES);
    FUZZ_CHECK(outcome->life < RT_COUNTER_MAX && outcome->epoch < RT_COUNTER_MAX);
    store_check_text(outcome->host, sizeof(outcome->host));
}

void store_check_host(const struct rt_store_host *row)
{
    FUZZ_CHECK(row->n_addr <= RT_ADDRS_MAX && row->seq < RT_COUNTER_MAX);
    store_check_text(row->host, sizeof(row->host));
    store_check_text(row->version, sizeof(row->version));
    store_check_text(row->machine, sizeof(row->machine));
    for (size_t i = 0; i < row->n_addr; i++) {
        store_check_text(row->addr[i], sizeof(row->addr[i]));
    }
}

void store_check_news(const struct rt_store_news *news)
{
    FUZZ_CHECK(news->kind <= RT_STORE_LOOKED && news->life < RT_COUNTER_MAX && news->epoch < RT_COUNTER_MAX);
    store_check_text(news->host, sizeof(news->host));
    store_check_text(news->key.tenant, sizeof(news->key.tenant));
    store_check_text(news->key.cid, sizeof(news->key.cid));
    if (news->kind == RT_STORE_HOST) {
        store_check_host(&news->row);
    }
}
