/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void cli_limits_take(struct cli_limit *rows, const struct retether_reply *reply, const char *host)
{
    for (size_t i = 0; i < reply->n_limits; i++) {
        rows[i].limit = reply->limits[i];
        (void)snprintf(rows[i].host, sizeof(rows[i].host), "%s", host);
    }
}

int cli_limit_compare(const void *a, const void *b)
{
    const struct retether_limit *first = &((const struct cli_limit *)a)->limit;
    const struct retether_limit *second = &((const struct cli_limit *)b)->limit;
    int by_tenant = strcmp(first->tenant, second->tenant);

    return by_tenant != 0 ? by_tenant : strcmp(first->setting, second->setting);
}

void cli_limit_json(struct cli_text *text, const struct cli_limit *row)
{
    const struct retether_limit *limit = &row->limit;

    cli_json_text(text, "host", row->host);
    cli_json_text(text, "setting", limit->setting);
    cli_json_text_or_null(text, "tenant", limit->tenant);
    cli_json_number(text, "has", limit->has);
    cli_json_number(text, "most", limit->most);
    cli_json_number(text, "refused", limit->refused);
}

void cli_limit_row(struct cli_table *table, const struct cli_limit *row)
{
    const struct retether_limit *limit = &row->limit;

    cli_table_add(table, CLI_PLAIN, row->host);
    cli_table_add(table, CLI_PLAIN, limit->setting);
    cli_table_add(table, CLI_PLAIN, limit->tenant[0] != '\0' ? limit->tenant : "-");
    cli_table_addf(table, "%" PRIu64, limit->has);
    cli_table_addf(table, "%" PRIu64, limit->most);
    cli_table_addf(table, "%" PRIu64, limit->refused);
}
