/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/cli/lost.h"

#include "clients/cli/text.h"
#include "session/base/clock.h"
#include "session/base/timer.h"

/* When to look first: a move is over sooner, and agents call a container lost 2 s after its connection broke. */
#define FIRST_LOOK_MS 3000
#define LOOK_MS 5000

static void look_cb(uv_timer_t *timer);

/* Looks again in a while, or when the container has been lost for long enough. */
static void look_later(struct cli_lost *lost, uint64_t delay_ms)
{
    uint64_t away_ms = uv_now(&lost->app->loop) - lost->away_ms;

    if (lost->state == CLI_LOST_TOLD) {
        uint64_t left_ms = lost->limit_ms > away_ms ? lost->limit_ms - away_ms : 0;

        delay_ms = left_ms < delay_ms ? left_ms : delay_ms;
    }
    (void)uv_timer_start(&lost->timer, look_cb, delay_ms, 0);
}

static void looked_cb(struct retether_client *client, const struct retether_reply *reply, void *ctx)
{
    struct cli_lost *lost = ctx;
    bool is_lost = reply->error == 0 && reply->cls == RETETHER_OK && reply->n_records == 1 &&
                   reply->records[0].state == RETETHER_STATE_LOST;
    char since[40];

    (void)client;
    lost->asked = false;
    if (lost->state != CLI_LOST_AWAY) {
        return;
    }
    if (is_lost) {
        lost->state = CLI_LOST_TOLD;
        rt_time_text(lost->since_ms, since, sizeof(since));
        cli_say("%s is lost since %s: its machine is not heard from; waiting for it", lost->app->container, since);
    }
    look_later(lost, LOOK_MS);
}

static void look_cb(uv_timer_t *timer)
{
    struct cli_lost *lost = timer->data;
    uint64_t away_ms = uv_now(timer->loop) - lost->away_ms;

    if (lost->state == CLI_LOST_TOLD && away_ms >= lost->limit_ms) {
        lost->on_timeout(lost);
        return;
    }
    if (lost->state == CLI_LOST_AWAY && !lost->asked &&
        retether_show(lost->app->client, lost->app->container, false, looked_cb, lost) == RT_OK) {
        lost->asked = true;
        return;
    }
    look_later(lost, LOOK_MS);
}

void cli_lost_open(struct cli_lost *lost, struct cli_app *app, void (*on_timeout)(struct cli_lost *lost))
{
    lost->app = app;
    lost->on_timeout = on_timeout;
    lost->state = CLI_LOST_SERVED;
    lost->limit_ms = RT_NEVER;
    (void)cli_read(app->options, &cli_lost_timeout, &lost->limit_ms);
    (void)uv_timer_init(&app->loop, &lost->timer);
    lost->timer.data = lost;
}

void cli_lost_interrupted(struct cli_lost *lost)
{
    if (lost->state == CLI_LOST_SERVED) {
        lost->state = CLI_LOST_AWAY;
        lost->since_ms = rt_wall_ms();
        lost->away_ms = uv_now(&lost->app->loop);
        look_later(lost, FIRST_LOOK_MS);
    }
}

void cli_lost_resumed(struct cli_lost *lost, const char *host)
{
    if (lost->state == CLI_LOST_TOLD) {
        cli_say("%s is back, served by %s", lost->app->container, host);
    }
    lost->state = CLI_LOST_SERVED;
    (void)uv_timer_stop(&lost->timer);
}

void cli_lost_close(struct cli_lost *lost)
{
    uv_close((uv_handle_t *)&lost->timer, NULL);
}
