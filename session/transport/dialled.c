/* SPDX-License-Identifier: Apache-2.0
 * Copyright The retether authors */
#include "session/transport/dialled.h"

#include <unistd.h>

static void dialled_cb(struct rt_dialer *dialer, int status, int fd, const char *text)
{
    struct rt_dialled *dialled = dialer->data;

    if (dialled->phase == RT_DIALLED_GIVEN_UP) {
        status = dialled->reason;
        text = "";
    } else if (status == 0) {
        status = rt_link_open(&dialled->link, fd, &dialled->setup);
        text = "not a stream socket";
        if (status == 0) {
            dialled->phase = RT_DIALLED_OPEN;
            dialled->on_open(&dialled->link);
            return;
        }
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    dialled->setup.ops->on_close(&dialled->link, status, text);
}

void rt_dialled_start(struct rt_dialled *dialled, const struct rt_endpoint *endpoint, uint64_t timeout_ms,
                      const struct rt_link_setup *setup, void (*on_open)(struct rt_link *link))
{
    dialled->setup = *setup;
    dialled->setup.wire.side = RT_WIRE_DIALLED;
    dialled->on_open = on_open;
    dialled->phase = RT_DIALLED_DIALLING;
    dialled->link.state = RT_LINK_CLOSED;
    dialled->dialer.data = dialled;
    rt_dialer_start(&dialled->dialer, setup->loop, endpoint, timeout_ms, dialled_cb);
}

void rt_dialled_close(struct rt_dialled *dialled, enum rt_link_how how, int reason, const char *text)
{
    if (dialled->phase == RT_DIALLED_OPEN) {
        rt_link_close(&dialled->link, how, reason, text);
    } else if (dialled->phase == RT_DIALLED_DIALLING) {
        dialled->phase = RT_DIALLED_GIVEN_UP;
        dialled->reason = reason;
        rt_dialer_cancel(&dialled->dialer);
    }
}
