/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#ifndef RETETHER_CLIENTS_CLI_LOST_H
#define RETETHER_CLIENTS_CLI_LOST_H

#include "clients/cli/app.h"

#include <stdbool.h>
#include <stdint.h>

/* Watches over an attachment whose container nobody serves now, and says what has become of it. The attachment itself
 * waits as long as it takes.
 *
 *     SERVED --interrupted--> AWAY --its record says lost: told--> TOLD --resumed: told--> SERVED
 *                              |                                    |
 *                              +---resumed (a move)---> SERVED      +--lost for --lost-timeout--> over
 */

enum cli_lost_state { CLI_LOST_SERVED, CLI_LOST_AWAY, CLI_LOST_TOLD };

struct cli_lost {
    struct cli_app *app; /* watches over app->container */
    enum cli_lost_state state;
    uv_timer_t timer;
    bool asked;
    uint64_t limit_ms; /* of --lost-timeout; RT_NEVER: none */
    uint64_t since_ms; /* since 1970: when the streams stopped */
    uint64_t away_ms;  /* the same, of the loop's clock */
    void (*on_timeout)(struct cli_lost *lost);
    void *data;
};

/* on_timeout is called once the container has been lost for as long as --lost-timeout says. */
void cli_lost_open(struct cli_lost *lost, struct cli_app *app, void (*on_timeout)(struct cli_lost *lost));
void cli_lost_interrupted(struct cli_lost *lost);
void cli_lost_resumed(struct cli_lost *lost, const char *host);
void cli_lost_close(struct cli_lost *lost);

#endif
