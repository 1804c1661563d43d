/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "clients/lib/guest_internal.h"

#include "session/core/protocol.h"

#include <stdio.h>

/* What the application is told of the link and of the processes. */

static const char *state_name(enum rt_tether_state state)
{
    static const char *const names[] = {
        [RT_TETHER_DOWN] = "down", [RT_TETHER_DIALING] = "dialing", [RT_TETHER_HELLO] = "hello",
        [RT_TETHER_LIVE] = "live", [RT_TETHER_REFUSED] = "refused", [RT_TETHER_IS_OVER] = "over",
    };

    return names[state];
}

static void tell(struct retether_guest *guest, struct retether_guest_event *event, const struct rt_tether_view *view)
{
    event->container = guest->config.cid;
    event->life = view->life;
    event->epoch = view->epoch;
    event->resent = view->resent;
    event->host = view->host;
    if (guest->callbacks.event != NULL) {
        guest->callbacks.event(guest, event, guest->callbacks.ctx);
    }
}

void rt_guest_tell_process(struct retether_guest *guest, uint32_t id, const char *from, const char *to,
                           const char *reason)
{
    struct retether_guest_event event = {
        .kind = RETETHER_GUEST_PROCESS, .process = id, .from = from, .to = to, .reason = reason};
    struct rt_tether_view view;

    rt_tether_view(guest->tether, &view);
    tell(guest, &event, &view);
}

void rt_guest_tell_link(struct retether_guest *guest)
{
    struct rt_tether_view view;
    char refusal[RETETHER_GUEST_REASON_MAX];
    struct retether_guest_event event = {.kind = RETETHER_GUEST_LINK, .reason = guest->reason};

    rt_tether_view(guest->tether, &view);
    if (view.state == guest->state) {
        return;
    }
    if (view.state == RT_TETHER_REFUSED) {
        snprintf(refusal, sizeof(refusal), "%s%s%s", rt_class_name(view.cls), view.text[0] != '\0' ? ": " : "",
                 view.text);
        event.reason = refusal;
    } else if (view.state == RT_TETHER_IS_OVER) {
        static const char *const how[] = {[RT_END_LATER] = "not stored",
                                          [RT_END_REPLICATED] = "stored and replicated",
                                          [RT_END_STORED] = "stored",
                                          [RT_END_ON_DISK] = "kept by the agent",
                                          [RT_END_OTHER] = "not stored: its life had ended in another way before"};

        event.reason = view.end_ok && (size_t)view.end_how < sizeof(how) / sizeof(how[0]) ? how[view.end_how]
                                                                                          : "not told to an agent";
    } else if (view.state != RT_TETHER_DOWN) {
        event.reason = "";
    }
    event.from = state_name(guest->state);
    event.to = state_name(view.state);
    guest->state = view.state;
    tell(guest, &event, &view);
}
