/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "migrate/core/watch.h"

void rt_touch_beat(struct rt_touch *touch, uint64_t now)
{
    if (!touch->on || now - touch->last >= RT_TOUCH_LATE_MS) {
        touch->since = now;
    }
    touch->on = true;
    touch->last = now;
}

void rt_touch_break(struct rt_touch *touch)
{
    touch->on = false;
}

static bool in_touch(const struct rt_touch *touch, uint64_t now)
{
    return touch->on && now - touch->last < RT_TOUCH_LATE_MS;
}

static bool same(const struct rt_watch *watch, const struct rt_look *look)
{
    return watch->there == look->there &&
           (!look->there || (watch->seq == look->seq && rt_id_equal(&watch->instance, &look->instance)));
}

void rt_watch_look(struct rt_watch *watch, const struct rt_touch *touch, const struct rt_look *look, uint64_t now)
{
    bool first = watch->state == RT_WATCH_UNKNOWN;
    uint64_t from = watch->since > touch->since ? watch->since : touch->since;

    if (!first && !look->notice && look->asked < watch->looked) {
        return; /* overtaken by a newer one */
    }
    watch->looked = look->asked;
    if (first || look->notice || !same(watch, look)) {
        /* A row that went says as little as a first look: a store that lost it may get it back in a second. */
        watch->state = look->there && (!first || look->notice) ? RT_WATCH_ALIVE : RT_WATCH_WATCHING;
        watch->there = look->there;
        watch->instance = look->instance;
        watch->seq = look->seq;
        watch->since = now;
        return;
    }
    if (in_touch(touch, now) && look->asked >= from + RT_HEARTBEAT_EXPIRY_MS) {
        watch->state = RT_WATCH_DEAD;
    } else if (watch->state == RT_WATCH_DEAD) {
        watch->state = RT_WATCH_WATCHING; /* it may have come back while nobody could write */
    }
}

bool rt_watch_dead(const struct rt_watch *watch, const struct rt_touch *touch, uint64_t now)
{
    return watch->state == RT_WATCH_DEAD && in_touch(touch, now) && now - watch->looked < RT_TOUCH_LATE_MS;
}
